# SPDX-License-Identifier: Apache-2.0
"""Facts as data files, and the planner: what a model of some size takes to train, to tune and to serve.

The facts are tables with a source in every row; the planner is pure functions that return figures with ranges, units
and derivations. Only a name such as ``hf:org/name`` asks the network.
"""
