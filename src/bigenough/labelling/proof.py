# SPDX-License-Identifier: Apache-2.0
"""How many checked rows a proof takes at the least; with fewer, certify stays closed."""

from __future__ import annotations

from bigenough.verdict.power import bar_rows_needed, power, rows_needed

__all__ = ["USUAL_DISCORDANCE", "can_prove", "least_rows", "usual_rows"]

USUAL_DISCORDANCE = 0.05
_LONGEST_SEARCH = 100


def can_prove(n: int, margin: float, *, alpha: float = 0.05, bar: float | None = None) -> bool:
    """Whether n certify rows prove anything even if the models agree on every one, or every one is right.

    >>> can_prove(40, 0.05), can_prove(60, 0.05)
    (False, True)
    """
    if bar is not None:
        return n >= _least_above(bar - margin, alpha)
    return power(n, margin, 0.0, alpha) > 0.5


def least_rows(margin: float, *, alpha: float = 0.05, bar: float | None = None) -> int | None:
    """The fewest rows with which ``can_prove`` holds; None where no number is enough.

    >>> least_rows(0.05), least_rows(0.0, bar=0.95), least_rows(0.0)
    (59, 59, None)
    """
    if bar is not None:
        return _least_above(bar - margin, alpha)
    found = rows_needed(margin, 0.0, alpha)
    if found is None:
        return None
    # the level at which the test is exact depends on the number of rows itself, so the last few are tried
    return next((n for n in range(found, found + _LONGEST_SEARCH) if can_prove(n, margin, alpha=alpha)), None)


def usual_rows(margin: float, *, alpha: float = 0.05) -> int | None:
    """The rows of a proof with a chance of 80 % where two equal models disagree on 5 % of rows."""
    return rows_needed(margin, USUAL_DISCORDANCE, alpha)


def _least_above(bar: float, alpha: float) -> int:
    return 1 if bar <= 0 else bar_rows_needed(1.0, bar, alpha, 0.5) or 1
