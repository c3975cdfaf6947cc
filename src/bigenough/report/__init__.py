# SPDX-License-Identifier: Apache-2.0
"""One self-contained HTML page about a study.

This package decides how a verdict and its evidence are told: first in a sentence for whoever decides, then in figures
for whoever must act, each with its provenance. It computes no statistic that the verdict rests on, changes no answer,
and fills no gap: what a study does not know stands there as unknown.
"""
