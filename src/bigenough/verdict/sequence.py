# SPDX-License-Identifier: Apache-2.0
"""In which order nominees are tested, at which level, and when to stop; with one error promised for all of them.

Both searches open a nominee only when its turn comes: ``test`` is called for the nominees that are reached and for no
other.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

__all__ = ["Step", "climb_up", "walk_down"]


class Step(NamedTuple):
    """One nominee's turn: the error level it was due, and whether it passed; None if its turn never came."""

    place: int
    level: float
    passed: bool | None


def walk_down(n_nominees: int, test: Callable[[int, float], bool], alpha: float) -> list[Step]:
    """Test nominees in the given order, each at the full alpha, until one fails.

    The order must be fixed before the data are seen. The chance that any unworthy nominee passes is at most alpha,
    however many there are and however correlated: to pass an unworthy one, the first unworthy one in the order must
    pass. (Maurer, Hothorn & Lehmacher 1995; as a stepwise interval: Hsu & Berger 1999, Journal of the American
    Statistical Association 94:468.)

    >>> [step.passed for step in walk_down(3, lambda place, level: place == 0, 0.05)]
    [True, False, None]
    """
    steps: list[Step] = []
    stopped = False
    for place in range(n_nominees):
        passed = None if stopped else test(place, alpha)
        stopped = stopped or not passed
        steps.append(Step(place, alpha, passed))
    return steps


def climb_up(
    n_nominees: int, test: Callable[[int, float], bool], alpha: float, n_planned: int | None = None
) -> list[Step]:
    """Test nominees in the given order, each at alpha / n_planned, until one passes.

    ``n_planned`` is how many nominees were planned before the first was tested; by default those that are given.

    By Bonferroni's inequality the chance that any unworthy nominee passes is at most alpha, in whatever order and
    wherever the search stops. It costs power; what it buys is that larger nominees need never be run.

    >>> [(step.level, step.passed) for step in climb_up(2, lambda place, level: place == 0, 0.05)]
    [(0.025, True), (0.025, None)]
    """
    steps: list[Step] = []
    stopped = False
    level = alpha / max(n_nominees, n_planned or 0, 1)
    for place in range(n_nominees):
        passed = None if stopped else test(place, level)
        stopped = stopped or bool(passed)
        steps.append(Step(place, level, passed))
    return steps
