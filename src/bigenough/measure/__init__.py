# SPDX-License-Identifier: Apache-2.0
"""What a candidate is like: its mistakes, speed, memory, energy and steadiness, on this machine.

This package decides how a figure is taken: in which process, over which rows, how often, and what its spread means;
each comes back as a `Quantity` that says so. It refuses to compare candidates, to put an interval on a score (that is
the verdict's work) and to call a modelled energy measured. Nothing is re-exported here, so that the probe process,
which imports this package, starts as fast as a server would.
"""
