# SPDX-License-Identifier: Apache-2.0
"""The exact size of Tango's test, and the level at which it keeps what it promises.

Tango's score test is asymptotic. Its size, the chance that it passes a candidate that is worse by just the margin, is
known exactly from the trinomial distribution once the discordance is given; the discordance is not, so the size is the
largest over all of them, as in the exact unconditional test (Hsueh, Liu & Chen 2001, Biometrics 57:478). Where that is
above α, the test is done at a smaller level. n, margin and α decide the level, nothing that was observed.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy import special, stats

from bigenough.verdict.noninferiority import tango_z

__all__ = ["exact_level", "exact_size", "passing_chance"]

Floats = NDArray[np.float64]
Counts = NDArray[np.int64]

_TAIL = 6.5  # standard deviations; with the skewness allowed for, counts further out have a chance below 1e-10
_SPLITS = 40
_HALVINGS = 10
_NEAR = 6
_MOST_EXPECTED = 5_000
"""Rows expected to be right by the candidate alone, above which the size is that of the normal limit."""


def passing_chance(n: int, margin: float, z: float, only_candidate: float, only_reference: float) -> float:
    """P(Tango's statistic of "worse by ``margin``" is above ``z``), exact; two shares of discordant rows are given.

    For each count c of rows that only the reference gets right the statistic passes from some smallest b on. A negative
    margin asks for a lead.

    >>> round(passing_chance(1500, 0.02, 1.6449, 0.05, 0.05), 2)
    0.79
    """
    c = _likely_counts(n, only_reference)
    b = _smallest_passing(c, n, margin, z)
    share = 1.0 if only_reference >= 1 else min(only_candidate / (1 - only_reference), 1.0)
    left = n - c
    # P(B ≥ b) of a binomial is the incomplete beta function I_share(b, left − b + 1).
    beyond = special.betainc(np.maximum(b, 1), np.maximum(left - b + 1, 1), share)
    passing = np.where(b > left, 0.0, np.where(b < 1, 1.0, beyond))
    return float(np.clip(np.sum(_binomial_chances(c, n, only_reference) * passing), 0.0, 1.0))


def exact_size(n: int, margin: float, level: float, *, worse: bool = False) -> float:
    """The largest chance of a false claim at this level, over all discordances, when the true difference is −margin.

    The claim is "not worse than the margin allows", or with ``worse`` its opposite, "worse than that".

    >>> round(exact_size(1000, 0.015, 0.05, worse=True), 3), round(exact_size(100, 0.03, 0.05, worse=True), 2)
    (0.059, 0.09)
    """
    return max(_sizes(n, margin, level, worse, _shares(n, margin)))


@lru_cache(maxsize=4096)
def exact_level(n: int, margin: float, level: float, *, worse: bool = False) -> float:
    """The largest level, at most ``level``, at which the claim is false with a chance of at most ``level``.

    >>> exact_level(10_000, 0.03, 0.05) > 0.0499, round(exact_level(300, 0.015, 0.05), 3)
    (True, 0.048)
    """
    shares = _shares(n, margin)
    # Rejection regions are nested, so a share that keeps the level here keeps it at every smaller one.
    loud = [share for share, size in zip(shares, _sizes(n, margin, level, worse, shares), strict=True) if size > level]
    if not loud:
        return level
    low, high = 0.0, level
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        kept = all(size <= level for size in _sizes(n, margin, middle, worse, loud))
        low, high = (middle, high) if kept else (low, middle)
    return low


def _shares(n: int, margin: float) -> list[float]:
    """Shares of rows that only the candidate gets right: none, and from a fiftieth of a row up."""
    most = min(n * (1 - margin) / 2, max(_MOST_EXPECTED, 0.02))
    return [0.0, *(np.geomspace(0.02, max(most, 0.04), _SPLITS) / n).tolist()]


def _sizes(n: int, margin: float, level: float, worse: bool, shares: list[float]) -> list[float]:
    z = float(stats.norm.isf(level))
    if worse:  # the same test with the two models exchanged
        return [passing_chance(n, -margin, z, share + margin, share) for share in shares]
    return [passing_chance(n, margin, z, share, share + margin) for share in shares]


def _likely_counts(n: int, share: float) -> Counts:
    mean = n * share
    reach = _TAIL * np.sqrt(mean * max(1 - share, 0.0)) + _TAIL**2 / 2
    return np.arange(max(int(mean - reach), 0), min(int(mean + reach) + 1, n) + 1, dtype=np.int64)


def _binomial_chances(counts: Counts, n: int, share: float) -> Floats:
    ways = special.gammaln(n + 1) - special.gammaln(counts + 1) - special.gammaln(n - counts + 1)
    chances: Floats = np.exp(ways + special.xlogy(counts, share) + special.xlog1py(n - counts, -share))
    return chances


def _smallest_passing(c: Counts, n: int, margin: float, z: float) -> Counts:
    """For each c the smallest b that passes, n − c + 1 if none does; the statistic rises in b."""
    lowest, highest = np.full(c.shape, -1, dtype=np.int64), n - c + 1
    # Near c − n · margin + z standard errors, whose variance c and the margin nearly fix.
    spread = np.sqrt(np.maximum(n * abs(margin), 2 * c + n * margin))
    guess = (c - n * margin + z * spread).astype(np.int64)
    low, high = np.clip(guess - _NEAR, lowest, highest - 1), np.clip(guess + _NEAR, lowest + 1, highest)
    low = np.where((low >= 0) & _passes(low, c, n, margin, z), lowest, low)
    high = np.where((high < highest) & ~_passes(high, c, n, margin, z), highest, high)
    while np.any(high - low > 1):
        middle = (low + high) // 2
        passes = _passes(middle, c, n, margin, z)
        narrow = high - low > 1
        high, low = np.where(narrow & passes, middle, high), np.where(narrow & ~passes, middle, low)
    return high


def _passes(b: Counts, c: Counts, n: int, margin: float, z: float) -> NDArray[np.bool_]:
    found: NDArray[np.bool_] = tango_z(np.clip(b, 0, n - c), c, n, -margin) > z
    return found
