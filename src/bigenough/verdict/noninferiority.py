# SPDX-License-Identifier: Apache-2.0
"""Closed-form tests and intervals for rights and wrongs of independent rows.

Notation of the paired table: of n rows, ``b`` are right only by the candidate and ``c`` only by the reference; the
difference of the two accuracies is (b − c) / n. All functions take scalars or arrays that broadcast.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

__all__ = [
    "Bounds",
    "exact_bounds",
    "exact_pvalue",
    "mcnemar_pvalue",
    "paired_counts",
    "tango_interval",
    "tango_lower",
    "tango_pvalue",
    "tango_upper",
    "tango_z",
    "wilson_interval",
]

Floats = NDArray[np.float64]

_HALVINGS = 80  # 2 / 2**80 is far below the spacing of floats near a bound


class Bounds(NamedTuple):
    """The ends of an interval."""

    low: float
    high: float


def paired_counts(candidate_right: NDArray[np.bool_], reference_right: NDArray[np.bool_]) -> tuple[int, int]:
    """The rows that only the candidate, and that only the reference, gets right.

    >>> paired_counts(np.array([True, True, False]), np.array([True, False, True]))
    (1, 1)
    """
    return int(np.sum(candidate_right & ~reference_right)), int(np.sum(reference_right & ~candidate_right))


def tango_z(b: ArrayLike, c: ArrayLike, n: ArrayLike, difference: ArrayLike) -> Floats:
    """The score statistic of H0: P(only candidate right) − P(only reference right) = ``difference``.

    Tango 1998 (Statistics in Medicine 17:891–908), with the constrained maximum-likelihood estimate of the second
    probability in closed form (his equation for q̃21). Asymptotically standard normal under H0, falling in
    ``difference``.

    >>> round(float(tango_z(10, 15, 500, -0.02)), 4)
    0.9698
    """
    b_, c_, n_, d = np.broadcast_arrays(*(np.asarray(x, dtype=np.float64) for x in (b, c, n, difference)))
    linear = -b_ - c_ + (2 * n_ - b_ + c_) * d
    root = np.sqrt(np.maximum(linear**2 + 8 * n_ * c_ * d * (1 - d), 0.0))
    only_reference = (root - linear) / (4 * n_)
    variance = np.maximum(n_ * (2 * only_reference + d * (1 - d)), 0.0)
    distance = b_ - c_ - n_ * d
    with np.errstate(divide="ignore", invalid="ignore"):
        z = distance / np.sqrt(variance)
    # A variance of zero leaves no doubt: the data either are what H0 says, or cannot be.
    certain = np.where(np.abs(distance) < 1e-9, 0.0, np.where(distance > 0, np.inf, -np.inf))
    return np.where(variance > 0, z, certain)


def tango_pvalue(b: ArrayLike, c: ArrayLike, n: ArrayLike, margin: float) -> Floats:
    """The one-sided p-value of H0: the candidate is worse than the reference by ``margin`` (a fraction) or more.

    >>> round(float(tango_pvalue(50, 50, 1500, 0.02)), 4)
    0.0019
    """
    return np.asarray(stats.norm.sf(tango_z(b, c, n, -margin)))


def tango_lower(b: ArrayLike, c: ArrayLike, n: ArrayLike, level: ArrayLike) -> Floats:
    """The one-sided lower bound of the difference at error ``level``: every smaller difference is rejected.

    With b = c = 0 it is −z² / (n + z²): rows that all agree still leave some doubt.

    >>> round(float(tango_lower(0, 0, 500, 0.05)), 5)
    -0.00538
    """
    b_, c_, n_, z = np.broadcast_arrays(*(np.asarray(x, dtype=np.float64) for x in (b, c, n, stats.norm.isf(level))))
    low, high = np.full(b_.shape, -1.0), (b_ - c_) / n_
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        rejected = tango_z(b_, c_, n_, middle) > z
        low, high = np.where(rejected, middle, low), np.where(rejected, high, middle)
    return np.asarray((low + high) / 2)


def tango_upper(b: ArrayLike, c: ArrayLike, n: ArrayLike, level: ArrayLike) -> Floats:
    """The one-sided upper bound of the difference at error ``level``: the lower bound with the two models exchanged.

    >>> float(tango_upper(3, 9, 200, 0.05)) == -float(tango_lower(9, 3, 200, 0.05))
    True
    """
    return -tango_lower(c, b, n, level)


def tango_interval(b: int, c: int, n: int, confidence: float = 0.95) -> Bounds:
    """Tango's two-sided score interval of the difference (b − c) / n.

    >>> [round(x, 4) for x in tango_interval(6, 16, 161)]  # Cavo et al. 2012 in Fagerland, Lydersen & Laake 2017, ch. 8
    [-0.124, -0.0054]
    """
    level = (1 - confidence) / 2
    return Bounds(float(tango_lower(b, c, n, level)), float(tango_upper(b, c, n, level)))


def mcnemar_pvalue(b: int, c: int) -> float:
    """The exact two-sided McNemar p-value of "both are right equally often": b + c tosses of a fair coin.

    >>> mcnemar_pvalue(2, 10).__round__(5)
    0.03857
    """
    return 1.0 if b + c == 0 else float(stats.binomtest(b, b + c, 0.5).pvalue)


def wilson_interval(hits: float, n: float, confidence: float = 0.95) -> Bounds:
    """Wilson's score interval of one proportion (Wilson 1927, Journal of the American Statistical Association 22:209).

    Counts may be fractions: an effective number of rows.

    >>> [round(x, 4) for x in wilson_interval(81, 263)]  # Newcombe 1998, Statistics in Medicine 17:857, table I
    [0.2553, 0.3662]
    """
    z2 = float(stats.norm.isf((1 - confidence) / 2)) ** 2
    centre = (hits + z2 / 2) / (n + z2)
    half = float(np.sqrt(z2 * (hits * (n - hits) / n + z2 / 4))) / (n + z2)
    return Bounds(0.0 if hits == 0 else max(0.0, centre - half), 1.0 if hits >= n else min(1.0, centre + half))


def exact_pvalue(hits: int, n: int, bar: float) -> float:
    """The exact one-sided p-value of H0: the true proportion is ``bar`` or less (binomial tail).

    Exact, not Wilson: with one proportion there is no nuisance parameter, so the level can be kept without
    approximation.

    >>> exact_pvalue(95, 100, 0.9).__round__(4)
    0.0576
    """
    return 1.0 if hits == 0 else float(stats.binom.sf(hits - 1, n, min(max(bar, 0.0), 1.0)))


def exact_bounds(hits: int, n: int, level: float) -> Bounds:
    """The exact one-sided lower and upper bound of a proportion, each at error ``level`` (Clopper & Pearson 1934).

    >>> [round(x, 4) for x in exact_bounds(95, 100, 0.05)]
    [0.8977, 0.9801]
    """
    low = 0.0 if hits == 0 else float(stats.beta.ppf(level, hits, n - hits + 1))
    high = 1.0 if hits == n else float(stats.beta.isf(level, hits + 1, n - hits))
    return Bounds(low, high)
