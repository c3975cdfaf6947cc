# SPDX-License-Identifier: Apache-2.0
"""Stopping early a second time: the two stakes of a nominee row by row, what they found first, and their bounds.

Fifteen bets around margin / discordance, the shares of the stake log-normal, each at most 0.99 of what one row could
lose whole; a row of difference d multiplies a bet's stake by 1 + bet × (d + margin), or 1 − bet × (d + margin) for the
claim "worse". A claim is found when its stakes together reach 1 / alpha.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from .distributions import bisect

__all__ = ["METHOD", "Case", "Settled", "enough"]

METHOD = "betting, valid at any time"
BETS = 15

Floats = NDArray[np.float64]


class Settled(NamedTuple):
    """What was found first of a nominee, and after how many rows; "open" after all of them."""

    finding: str
    row: int


class Case(NamedTuple):
    """One nominee's rows in the order of asking: d is 1 where it alone is right, -1 where the reference alone is."""

    d: NDArray[np.int64]
    margin: float
    expected: float

    def settled(self, alpha: float) -> Settled:
        """The claim whose stake is first at 1 / alpha.

        >>> Case(np.zeros(300, dtype=np.int64), 0.05, 0.1).settled(0.05)
        Settled(finding='not worse', row=84)
        """
        arrived = {}
        for finding, sign in (("not worse", 1.0), ("worse", -1.0)):
            there = np.flatnonzero(self._path(sign) >= -math.log(alpha))
            if len(there):
                arrived[finding] = int(there[0]) + 1
        if not arrived:
            return Settled("open", len(self.d))
        first = min(arrived, key=lambda finding: arrived[finding])
        return Settled(first, arrived[first])

    def p_value(self) -> float:
        """One over the highest stake so far of the claim "not worse", at most 1."""
        return min(1.0, math.exp(-float(self._path(1.0).max())))

    def bounds(self, level: float) -> tuple[float, float]:
        """The differences that the stakes, laid against them in place of -margin, have not refuted at this level."""
        goal, point = -math.log(level), float(self.d.mean())
        low = bisect(lambda edge: self._against(edge, 1.0) < goal, -1.0, point)
        high = bisect(lambda edge: self._against(edge, -1.0) >= goal, point, 1.0)
        return low, high

    def _bets(self, sign: float) -> tuple[Floats, Floats]:
        """Bets, and the logs of the shares of the stake that they start with."""
        places = [5 * k / (BETS - 1) - 2.5 for k in range(BETS)]
        most = 0.99 / (1 - sign * self.margin)
        centre = (self.margin if self.margin > 0 else 0.01) / self.expected
        sizes = np.array([min(centre * math.exp(0.7 * place), most) for place in places])
        shares = np.array([math.exp(-place * place / 2) for place in places])
        return sizes, np.log(shares / shares.sum())

    def _path(self, sign: float) -> Floats:
        """(n,) logs of the stake after each row."""
        sizes, shares = self._bets(sign)
        growth = np.log(1 + sign * np.outer(self.d + self.margin, sizes)).cumsum(axis=0)
        return np.asarray(np.logaddexp.reduce(shares + growth, axis=1))

    def _against(self, edge: float, sign: float) -> float:
        """The log of the stake after all rows, laid against a mean difference of ``edge``."""
        sizes, shares = self._bets(sign)
        sizes = np.minimum(sizes, 0.99 / max(1 + sign * edge, 1e-9))
        values, times = np.unique(self.d, return_counts=True)
        growth = (times[:, None] * np.log(1 + sign * np.outer(values - edge, sizes))).sum(axis=0)
        return float(np.logaddexp.reduce(shares + growth))


def enough(cases: Sequence[Settled]) -> int | None:
    """The row after which no other could change the verdict on nominees that are tested in this order, if there is one.

    >>> enough([Settled("not worse", 300), Settled("worse", 420), Settled("open", 500)])
    420
    >>> enough([Settled("worse", 90), Settled("open", 500)]) is None
    True
    """
    for row in sorted({case.row for case in cases if case.finding != "open"}):
        known = [case.finding if case.row <= row else "open" for case in cases]
        passed = next((place for place, finding in enumerate(known) if finding != "not worse"), len(known))
        over = passed == len(known) or known[passed] == "worse"
        if over and (passed > 0 or "not worse" in known or set(known) == {"worse"}):
            return row
    return None
