# SPDX-License-Identifier: Apache-2.0
"""How far more labels would carry a rung: a power law through its learning curve, with an interval.

The law is score(n) = a − b · n^(−c), the form that error falls in on most tasks (Figueroa et al. 2012, BMC Medical
Informatics and Decision Making 12:8, equation 1; Hestness et al. 2017, arXiv:1712.00409, section 2; Rosenfeld et al.
2020, ICLR; Viering & Loog 2021, arXiv:2103.10948, section 4). Three or four points cannot fix three parameters, so no
single curve is drawn: every curve that is possible is weighed by how well it fits and by how common such exponents are,
and the forecast is the spread of what they say (Bayes' rule on a grid; no random numbers).

This module decides what the points say about more rows. It refuses to speak when there are fewer than three, or when
they do not rise by more than chance: a flat or falling curve has no law to follow.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr

from bigenough.errors import BadOption

__all__ = ["LEVEL", "Forecast", "Law", "NoLaw", "Reach", "extrapolate"]

Floats = NDArray[np.float64]

LEVEL = 0.8
"""How often a forecast's interval should hold what comes true."""
FEWEST_POINTS = 3
EXPONENT_MEDIAN, EXPONENT_SPREAD = 0.5, 0.6
"""Log-normal prior of c, cut to (0, 1]: 0.5 is the rate of the textbook (Vapnik), measured ones lie around it."""
WIGGLE = (0.02, 0.05, 0.1, 0.2)
"""How far a point may stand off the law, as shares of what it still has to gain there; equally likely beforehand."""
SHARED = 0.5
"""The correlation of being right on a row between two fits of one curve: a low one, as a higher narrows the interval.
Measured on four sets that the back-test does not report, between fits on a half and on all rows: 0.63 to 0.85."""

_EXPONENTS = np.exp(np.linspace(math.log(0.05), 0.0, 16))
_GAINS = (np.arange(120) + 0.5) / 120
_HEIGHTS = np.linspace(-3.6, 3.6, 19)


class Forecast(NamedTuple):
    """The score to expect after fitting on so many rows, and the interval that holds it with chance ``level``."""

    rows: int
    score: float
    low: float
    high: float
    level: float


class Reach(NamedTuple):
    """When a target score would be reached.

    Attributes:
        target: the score asked for.
        rows: the fit rows that would do, as likely as not; None when that is more than ``most``.
        earliest, latest: the ends of the interval of those rows; None beyond ``most``.
        chance: that ``most`` rows suffice.
        most: the number of rows up to which it was asked.
    """

    target: float
    rows: int | None
    earliest: int | None
    latest: int | None
    chance: float
    most: int


class NoLaw(NamedTuple):
    """Why nothing can be said about more rows."""

    reason: str


@dataclass(frozen=True, eq=False)
class Law:
    """Possible curves, each with its weight.

    Attributes:
        largest: the most rows that were fitted on.
        ceiling: (m,) a, the score that a curve ends at.
        height: (m,) the score of a curve at ``largest``.
        exponent: (m,) c.
        wiggle: (m,) how far scores stand off the curve, as a share of what is still to gain.
        weight: (m,) the posterior weights, summing to 1.
        effective_rows: how many rows of their own each score would be measured on with the same error.
    """

    largest: int
    ceiling: Floats
    height: Floats
    exponent: Floats
    wiggle: Floats
    weight: Floats
    effective_rows: float

    def at(self, rows: int, level: float = LEVEL) -> Forecast:
        """The score that would be measured, on the rows that the others were, after fitting on ``rows`` rows.

        The interval holds the noise of that measurement too, so that it can be held against what comes true.

        Raises:
            BadOption: no rows, or a level outside (0, 1).
        """
        if rows < 1 or not 0 < level < 1:
            raise BadOption(f"A forecast needs at least 1 row and a level between 0 and 1. Got {rows} and {level:g}.")
        mean = self._curve(rows)
        spread = np.sqrt(_noise(mean, self.effective_rows) ** 2 + (self.wiggle * (self.ceiling - mean)) ** 2)
        low, middle, high = (self._quantile(mean, spread, share) for share in ((1 - level) / 2, 0.5, (1 + level) / 2))
        return Forecast(rows, middle, low, high, level)

    def reach(self, target: float, most: int, level: float = LEVEL) -> Reach:
        """After how many fit rows the curve itself, measurement noise aside, would come to ``target``.

        Raises:
            BadOption: ``most`` is below the rows already fitted on, or a level outside (0, 1).
        """
        if most < self.largest or not 0 < level < 1:
            raise BadOption(
                f"A target is asked for up to at least the {self.largest} rows already there, with a level between 0 "
                f"and 1. Got {most} rows and {level:g}."
            )
        left = np.clip((self.ceiling - target) / (self.ceiling - self.height), 1e-300, None)
        needed = math.log(self.largest) - np.log(left) / self.exponent
        order = np.argsort(needed, kind="stable")
        share = np.cumsum(self.weight[order])

        def rows(level: float) -> int | None:
            found = needed[order[min(int(np.searchsorted(share, level)), len(order) - 1)]]
            return None if found > math.log(most) else max(1, math.ceil(math.exp(found) - 1e-6))

        chance = float(np.sum(self.weight[needed <= math.log(most)]))
        return Reach(target, rows(0.5), rows((1 - level) / 2), rows((1 + level) / 2), min(chance, 1.0), most)

    def _curve(self, rows: float) -> Floats:
        faded = (rows / self.largest) ** -self.exponent
        return np.clip(self.ceiling - (self.ceiling - self.height) * faded, 0.0, 1.0)

    def _quantile(self, mean: Floats, spread: Floats, share: float) -> float:
        """The point below which a mixture of normal distributions has this share, by bisection."""
        low, high = 0.0, 1.0
        for _ in range(20):
            middle = (low + high) / 2
            below = float(np.dot(self.weight, ndtr((middle - mean) / spread)))
            low, high = (middle, high) if below < share else (low, middle)
        return (low + high) / 2


def extrapolate(
    rows: Sequence[int], scores: Sequence[float], scored_rows: int, *, shared: float = SHARED
) -> Law | NoLaw:
    """The power laws that a learning curve leaves possible.

    Each score counts with its own part of the binomial error, √((1 − r) p (1 − p) / m) for m scored rows, and with what
    a fit on other rows of the same number would have changed: a share of the distance to the ceiling, so that points on
    few rows, far from the ceiling and not yet on the law (Hestness et al. 2017, figure 6), count less. Parameters are
    bounded: b ≥ 0, 0 < c ≤ 1, a ≤ 1. Beforehand a is anywhere between the last point's height and 1, c log-normal
    around 0.5.

    The points of one learning curve are scored on the same rows, so that they err together in part: r, ``shared``, is
    the correlation of being right between two fits of a curve. What they share moves all of them alike and tells
    nothing of the slope. The forecast is of the score on those same rows; another sample of rows has that error too.
    For metrics other than accuracy the binomial error stands in.

    Args:
        rows: how many rows were fitted on, in any order; those with the same number count as they come.
        scores: the scores then, from 0 to 1.
        scored_rows: on how many rows each score was measured.
        shared: the correlation r, from 0 (each score on rows of its own) to below 1.

    Returns:
        The laws, or the reason why there is none.

    Raises:
        BadOption: lengths that differ, scores outside 0 to 1, numbers of rows below 1, a correlation outside [0, 1).

    >>> law = extrapolate([500, 1000, 2000, 4000], [0.80, 0.84, 0.87, 0.89], scored_rows=2000)
    >>> twice = law.at(8000)
    >>> round(twice.score, 2), 0.01 < twice.high - twice.low < 0.03
    (0.9, True)
    >>> extrapolate([500, 1000], [0.80, 0.84], scored_rows=2000).reason
    'a curve needs at least 3 points, and there are 2'
    """
    n, score = _checked(rows, scores, scored_rows, shared)
    effective = scored_rows / (1 - shared)
    reason = _speechless(n, score, effective)
    if reason is not None:
        return NoLaw(reason)
    error = _noise(score, effective)
    largest = int(n[-1])
    exponent, gain, height, wiggle = (
        axis.ravel()
        for axis in np.meshgrid(
            _EXPONENTS, _GAINS, score[-1] + _spread_at_end(score, error) * _HEIGHTS, np.array(WIGGLE), indexing="ij"
        )
    )
    inside = (height > 0) & (height < 1)
    exponent, gain, height, wiggle = exponent[inside], gain[inside], height[inside], wiggle[inside]
    ceiling = height + gain * (1 - height)
    # The grid of c is even in log c, so the log-normal density is the normal one of log c.
    weight = -0.5 * (np.log(exponent / EXPONENT_MEDIAN) / EXPONENT_SPREAD) ** 2
    for size, seen, noise in zip(n, score, error, strict=True):
        left = (ceiling - height) * (size / largest) ** -exponent
        variance = noise**2 + (wiggle * left) ** 2
        weight -= 0.5 * ((seen - ceiling + left) ** 2 / variance + np.log(variance))
    weight = np.exp(weight - weight.max())
    kept = weight > 1e-5
    weight = weight[kept] / weight[kept].sum()
    return Law(largest, ceiling[kept], height[kept], exponent[kept], wiggle[kept], weight, effective)


def _checked(rows: Sequence[int], scores: Sequence[float], scored_rows: int, shared: float) -> tuple[Floats, Floats]:
    n, score = np.asarray(rows, np.float64), np.asarray(scores, np.float64)
    if n.shape != score.shape or n.ndim != 1:
        raise BadOption(f"A learning curve needs one score a number of rows. Got {n.shape} rows, {score.shape} scores.")
    if not (np.all(n >= 1) and np.all((score >= 0) & (score <= 1)) and scored_rows >= 1):
        raise BadOption("A learning curve needs row numbers of 1 and more, scores from 0 to 1, and some scored rows.")
    if not 0 <= shared < 1:
        raise BadOption(f"The correlation of two scores on the same rows lies from 0 to below 1. Got {shared:g}.")
    order = np.argsort(n, kind="stable")
    return n[order], score[order]


def _speechless(n: Floats, score: Floats, effective_rows: float) -> str | None:
    """Why these points say nothing about more rows; None if they do."""
    sizes = len(np.unique(n))
    if sizes < FEWEST_POINTS:
        return f"a curve needs at least {FEWEST_POINTS} points, and there are {sizes}"
    if n[-1] < 2 * n[0]:
        return "the points lie too close together: the largest number of rows is below twice the smallest"
    error = float(np.hypot(*_noise(score[[0, -1]], effective_rows)))
    if score[-1] - score[0] <= error:
        return f"the score does not rise with the rows by more than chance ({100 * error:.1f} points) explains"
    return None


def _noise(score: Floats, rows: float) -> Floats:
    """Binomial standard errors, with one hit and one miss added so that a faultless score is not taken as certain."""
    share = (score * rows + 1) / (rows + 2)
    error: Floats = np.sqrt(share * (1 - share) / rows)
    return error


def _spread_at_end(score: Floats, error: Floats) -> float:
    """How far the grid of heights reaches for each step: the last point's own error, wiggle included."""
    return float(np.hypot(error[-1], WIGGLE[-1] * max(0.0, score[-1] - score[-2]) + 0.02 * (1 - score[-1])))
