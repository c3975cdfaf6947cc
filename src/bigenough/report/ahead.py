# SPDX-License-Identifier: Apache-2.0
"""How far more labels would carry each rung: the learning curves, continued, and what that says in a sentence."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from bigenough.report.files import Json
from bigenough.report.markup import Html, element
from bigenough.report.numbers import count, keep_together, percent, points
from bigenough.report.view import View
from bigenough.rungs.extrapolation import LEVEL, Forecast, Law, NoLaw, extrapolate

__all__ = ["Continued", "forecasts", "told_ahead"]

_STEPS = (1.19, 1.41, 1.68, 2.0)
"""How many times today's rows the continued curve is drawn at."""
_FURTHEST = 16
"""How many times today's rows a target is looked for."""


@dataclass(frozen=True, eq=False)
class Continued:
    """A rung's learning curve and what it foretells.

    Attributes:
        ahead: rows, score, low, high from the last point on; empty when the points say nothing.
        law: the laws that the points leave possible, or why there is none.
        target: the score it would have to reach to be good enough, None if it is there or nothing is asked of it.
        tested: what at most half of the rows foretold of all of them; None where so few points say nothing.
    """

    name: str
    rows: Sequence[int]
    scores: Sequence[float]
    ahead: Sequence[tuple[int, float, float, float]]
    law: Law | NoLaw
    target: float | None
    tested: Forecast | None = None


def forecasts(view: View) -> list[Continued]:
    """Every candidate with a learning curve, in the page's order."""
    found, aim = [], _aim(view)
    for one in view.contenders:
        curve = one.files.candidate.get("learning_curve") or ()
        points = sorted((int(point["rows"]), float(point["score"])) for point in curve)
        if not points:
            continue
        rows, scores = [rows for rows, _ in points], [score for _, score in points]
        scored = _scored_rows(view, one.files.candidate, rows[-1])
        law = extrapolate(rows, scores, scored) if scored else NoLaw("the number of its select rows is not known")
        ahead: list[tuple[int, float, float, float]] = []
        if isinstance(law, Law):
            here = law.at(rows[-1])
            ahead = [(rows[-1], scores[-1], here.low, here.high)]
            ahead += [_step(law.at(round(step * rows[-1]))) for step in _STEPS]
        target = aim if aim is not None and scores[-1] < aim else None
        found.append(Continued(one.name, rows, scores, ahead, law, target, _backwards(rows, scores, scored)))
    return found


def _backwards(rows: Sequence[int], scores: Sequence[float], scored_rows: int) -> Forecast | None:
    """The forecast of the last point from those with at most half of its rows, to be held against what came true.

    The half of an odd number is rounded up, where the point was drawn so.
    """
    half = sum(some <= (rows[-1] + 1) // 2 for some in rows[:-1])
    law = extrapolate(rows[:half], scores[:half], scored_rows) if scored_rows and half else None
    return law.at(rows[-1]) if isinstance(law, Law) else None


def _step(one: Forecast) -> tuple[int, float, float, float]:
    return one.rows, one.score, one.low, one.high


def _scored_rows(view: View, candidate: Json, fit_rows: int) -> int:
    """How many rows select has: the refit's less the fit's, or as the audit counted them; 0 if nobody knows."""
    both = candidate.get("fit_rows")
    if both is not None:
        return max(0, int(both) - fit_rows)
    return int(((view.files.audit or {}).get("splits") or {}).get("select", 0))


def _aim(view: View) -> float | None:
    """The select score from which a candidate looks good enough: the reference's or the bar, less the margin."""
    margin = float(view.verdict["margin"])
    if view.bar is not None:
        return view.bar - margin
    curve = (view.reference.files.candidate.get("learning_curve") if view.reference else None) or ()
    return max(curve, key=lambda point: point["rows"])["score"] - margin if curve else None


def told_ahead(curves: Sequence[Continued]) -> Html | None:
    """A sentence for each rung: what twice the labels would bring, and when it would be good enough."""
    told = [
        element("li", element("strong", one.name), ": ", keep_together(_sentence(one)))
        for one in curves
        if len(one.rows) > 1
    ]
    if not told:
        return None
    chance = f"{100 * LEVEL:.0f}"
    return element(
        "div",
        element(
            "p", f"With twice the labels, on the same select rows ({chance} % intervals; settings kept as they are):"
        ),
        element("ul", *told),
    )


def _sentence(one: Continued) -> str:
    if isinstance(one.law, NoLaw):
        return f"cannot be foretold: {one.law.reason}."
    twice = one.law.at(2 * one.rows[-1])
    low, high = percent(twice.low).removesuffix(" %"), percent(twice.high)
    said = f"{low} to {high}, from {percent(one.scores[-1])} today.{_tested(one)}"
    if one.target is None:
        return said
    there = one.law.reach(one.target, _FURTHEST * one.rows[-1])
    if there.earliest is None:
        return f"{said} It would not come to the {percent(one.target)} asked for by {count(there.most)} fit rows."
    if there.rows is None:
        return (
            f"{said} It would probably not come to the {percent(one.target)} asked for by "
            f"{count(there.most)} fit rows, and at best from {_rounded(there.earliest)} on."
        )
    latest = "more than " + count(there.most) if there.latest is None else _rounded(there.latest)
    return (
        f"{said} It would come to the {percent(one.target)} asked for at about {_rounded(there.rows)} fit rows "
        f"({_rounded(there.earliest)} to {latest})."
    )


def _tested(one: Continued) -> str:
    """How the same forecast would have done, from half of the rows."""
    if one.tested is None:
        return ""
    low, high = percent(one.tested.low).removesuffix(" %"), percent(one.tested.high)
    off = points(one.tested.score - one.scores[-1])
    return f" Tested backwards, half of the rows foretold {low} to {high} for today: off by {off} points."


def _rounded(rows: int) -> str:
    """Two digits that count."""
    step = 10 ** max(len(str(rows)) - 2, 0)
    return count(round(rows / step) * step)
