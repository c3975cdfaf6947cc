# SPDX-License-Identifier: Apache-2.0
"""How often a score test at some level makes a false claim: plain sums over the two discordant counts."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from .distributions import normal
from .statistics import tango_statistic

__all__ = ["largest_size"]

Floats = NDArray[np.float64]

EXPECTED = (0.0, 0.1, 0.3, 0.7, 1.3, 2.2, 3.5, 5.5, 9.0, 15.0, 30.0)
"""Rows that only one model gets right, at which the size is looked at: it is largest where these are few."""


def largest_size(n: int, margin: float, level: float, *, worse: bool = False) -> float:
    """The largest chance, over some discordances, of a false claim "not worse than the margin" (or "worse than it")."""
    z = normal.inv_cdf(1 - level)
    lead = -margin if worse else margin
    first: dict[int, int] = {}
    largest = 0.0
    for expected in EXPECTED:
        share = expected / n
        mine, other = (share + margin, share) if worse else (share, share + margin)
        if mine + other > 1:
            break
        others = _counts(n, other)
        chance = _binomial(others, n, other)
        size = 0.0
        for c, weight in zip(others.tolist(), chance.tolist(), strict=True):
            if weight < 1e-9:
                continue
            if c not in first:
                first[c] = _first_passing(c, n, lead, z)
            own = _counts(n - c, mine / (1 - other))
            size += weight * float(_binomial(own, n - c, mine / (1 - other))[own >= first[c]].sum())
        largest = max(largest, size)
    return largest


def _first_passing(c: int, n: int, margin: float, z: float) -> int:
    low, high = -1, n - c + 1
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if tango_statistic(middle, c, n, -margin) > z else (middle, high)
    return high


def _counts(n: int, share: float) -> NDArray[np.int64]:
    reach = 7 * math.sqrt(n * share) + 25
    return np.arange(max(0, int(n * share - reach)), min(n, int(n * share + reach)) + 1)


def _binomial(counts: NDArray[np.int64], n: int, share: float) -> Floats:
    if share <= 0:
        none: Floats = (counts == 0).astype(np.float64)
        return none
    if share >= 1:
        all_: Floats = (counts == n).astype(np.float64)
        return all_
    logs = np.array([math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1) for k in counts.tolist()])
    chances: Floats = np.exp(logs + counts * math.log(share) + (n - counts) * math.log1p(-share))
    return chances
