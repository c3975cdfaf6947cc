# SPDX-License-Identifier: Apache-2.0
"""How many rows a proof takes, and what a given number of rows can prove.

Margins, discordances and differences are fractions. *Discordance* is the share of rows that exactly one of the two
models gets right; it decides the price of a proof, and a small pilot shows it. The difference is candidate − reference,
0 when the two are truly equal.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple

from scipy import stats

from bigenough.errors import BadOption
from bigenough.verdict.exact import exact_level, passing_chance
from bigenough.verdict.noninferiority import tango_z

__all__ = [
    "MOST_ROWS",
    "PowerRow",
    "bar_power",
    "bar_rows_needed",
    "power",
    "power_table",
    "rows_needed",
    "smallest_margin",
]

MOST_ROWS = 10_000_000
"""Above this many rows a search gives up: nobody will label them."""

_EXACT_UP_TO = 200_000
_TOOTH = 0.005
"""How far the power of some rows may stand below that of a few rows less, since counts are whole."""


class PowerRow(NamedTuple):
    """One cell of a table of sample sizes; ``rows`` is None when more than ``MOST_ROWS`` would be needed."""

    margin: float
    discordance: float
    rows: int | None


def power(n: int, margin: float, discordance: float, alpha: float = 0.05, difference: float = 0.0) -> float:
    """The chance that n rows prove "not worse than the margin", by Tango's test at the level that keeps alpha.

    Exact up to 200,000 rows: the discordant counts are trinomial. Beyond that, the usual normal approximation with the
    null's variance from the constrained limit (Liu, Hsueh, Hsieh & Chen 2002, Statistics in Medicine 21:231).

    >>> round(power(1500, 0.02, 0.10), 2)
    0.78
    """
    _check(margin, discordance, alpha, difference)
    if n < 1:
        return 0.0
    return _power_at(n, margin, discordance, exact_level(n, margin, alpha), difference)


def _power_at(n: int, margin: float, discordance: float, level: float, difference: float) -> float:
    """The power of Tango's test at just this level."""
    if n < 1:
        return 0.0
    if n > _EXACT_UP_TO:
        return _normal_power(n, margin, discordance, level, difference)
    # Shares below 1e-12 are rounding, and the binomial overflows on the smallest floats.
    only_reference, only_candidate = (
        0.0 if share < 1e-12 else share for share in ((discordance - difference) / 2, (discordance + difference) / 2)
    )
    return passing_chance(n, margin, float(stats.norm.isf(level)), only_candidate, only_reference)


def rows_needed(
    margin: float, discordance: float, alpha: float = 0.05, power: float = 0.8, difference: float = 0.0
) -> int | None:
    """The labelled certify rows at which the proof succeeds with the given power; None beyond ``MOST_ROWS``.

    Power climbs in a fine saw-tooth since counts are whole; the answer is a point on its upward path, not the first
    tooth. The level that keeps alpha is that of the answer, to which it is found in two rounds; where that many rows do
    not reach the power at theirs by more than a tooth, a hundredth more are taken until some do.

    >>> rows_needed(0.02, 0.10)
    1607
    """
    _check(margin, discordance, alpha, difference)
    _check_power(power)
    if margin + difference <= 1e-9:
        return None
    variance = max(discordance, margin) - difference**2
    level: float = alpha
    found: int | None = None
    for _ in range(2):
        guess = _normal_guess(variance, margin + difference, level, power)
        found = _search_rows(partial(_rows_power, margin, discordance, level, difference), power, guess)
        if found is None:
            return None
        level = exact_level(found, margin, alpha)
    while found is not None and _power_at(found, margin, discordance, level, difference) < power - _TOOTH:
        more = found + max(1, found // 100)
        found = more if more <= MOST_ROWS else None
        level = exact_level(more, margin, alpha)
    return found


def smallest_margin(
    n: int, discordance: float, alpha: float = 0.05, power: float = 0.8, difference: float = 0.0
) -> float | None:
    """The smallest margin that n rows prove with the given power, in steps of 0.0001; None if there is none below 1.

    >>> smallest_margin(1607, 0.10)
    0.0199
    """
    _check(0.0, discordance, alpha, difference)
    _check_power(power)
    low, high = 0, 9999
    if _power_of(n, high / 10_000, discordance, alpha, difference) < power:
        return None
    while high - low > 1:
        middle = (low + high) // 2
        reached = _power_of(n, middle / 10_000, discordance, alpha, difference) >= power
        low, high = (low, middle) if reached else (middle, high)
    return high / 10_000


def power_table(
    margins: Sequence[float], discordances: Sequence[float], alpha: float = 0.05, power: float = 0.8
) -> list[PowerRow]:
    """The rows needed for each margin and discordance, if the two models are truly equally good.

    >>> power_table([0.02], [0.05, 0.10])
    [PowerRow(margin=0.02, discordance=0.05, rows=820), PowerRow(margin=0.02, discordance=0.1, rows=1607)]
    """
    return [PowerRow(m, d, rows_needed(m, d, alpha, power)) for m in margins for d in discordances]


def bar_power(n: int, accuracy: float, bar: float, alpha: float = 0.05) -> float:
    """The chance that the exact binomial test on n rows proves a model of this true accuracy to be above the bar.

    >>> round(bar_power(1000, 0.94, 0.92), 2)
    0.77
    """
    if n < 1:
        return 0.0
    smallest = int(stats.binom.isf(alpha, n, bar)) + 1  # P(X ≥ smallest | bar) ≤ alpha
    return float(stats.binom.sf(smallest - 1, n, accuracy)) if smallest <= n else 0.0


def bar_rows_needed(accuracy: float, bar: float, alpha: float = 0.05, power: float = 0.8) -> int | None:
    """The rows at which a model of this true accuracy is proved to be above the bar; None if it never is.

    >>> bar_rows_needed(0.94, 0.92)
    1101
    """
    _check_power(power)
    if accuracy <= bar:
        return None
    guess = _normal_guess(bar * (1 - bar), accuracy - bar, alpha, power)
    return _search_rows(lambda n: bar_power(n, accuracy, bar, alpha), power, guess)


def _check(margin: float, discordance: float, alpha: float, difference: float) -> None:
    if not 0 <= margin < 1:
        raise BadOption(f"The margin must be a fraction from 0 to below 1 (0.02 is 2 points). Got {margin!r}.")
    if not 0 <= discordance <= 1:
        raise BadOption(f"The discordance must be a fraction from 0 to 1 (0.1 is 10 % of rows). Got {discordance!r}.")
    if not 0 < alpha < 0.5:
        raise BadOption(f"alpha must lie between 0 and 0.5. Got {alpha!r}.")
    if abs(difference) > discordance + 1e-12:
        raise BadOption(
            f"Two models that disagree on a share of {discordance:g} cannot differ by {difference:g}. "
            "Give a larger discordance or a smaller difference."
        )


def _check_power(power: float) -> None:
    if not 0 < power < 1:
        raise BadOption(f"The power must lie between 0 and 1. Got {power!r}.")


def _normal_power(n: int, margin: float, discordance: float, alpha: float, difference: float) -> float:
    # What the constrained estimate tends to when the expected counts are observed.
    b, c = n * (discordance + difference) / 2, n * (discordance - difference) / 2
    z_expected = float(tango_z(b, c, n, -margin))
    spread = math.sqrt(max(discordance - difference**2, 1e-12) / n)
    null_spread = (difference + margin) / z_expected if z_expected > 0 else spread
    return float(stats.norm.sf((float(stats.norm.isf(alpha)) * null_spread - (difference + margin)) / spread))


_power_of = power  # the public searches take a parameter of that name


def _rows_power(margin: float, discordance: float, level: float, difference: float, n: int) -> float:
    return _power_at(n, margin, discordance, level, difference)


def _search_rows(reached: Callable[[int], float], target: float, guess: float) -> int | None:
    """Bisect for the target, from a bracket around the normal approximation's guess."""
    if guess > 2 * MOST_ROWS:
        return None
    low, high = int(0.9 * guess), int(1.1 * guess) + 16
    while low > 0 and reached(low) >= target:
        low = low // 2
    while reached(high) < target:
        low, high = high, 2 * high
        if high > 2 * MOST_ROWS:
            return None
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if reached(middle) >= target else (middle, high)
    return high if high <= MOST_ROWS else None


def _normal_guess(variance: float, distance: float, alpha: float, target: float) -> float:
    z = float(stats.norm.isf(alpha)) + float(stats.norm.ppf(target))
    return variance * (z / distance) ** 2
