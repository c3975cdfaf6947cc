# SPDX-License-Identifier: Apache-2.0
"""After how many requests the chosen specialist has paid back its making, against what runs elsewhere.

The arithmetic is ``bigenough.measure.payback``'s; here its figures are gathered from a study's files: what making the
chosen one took, and those it was made from, lessons of a paid teacher included; what serving it takes; what asking the
other takes.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from bigenough.measure.payback import Payback, payback
from bigenough.quantity import Quantity, unknown
from bigenough.report.markup import Html, element, join, table
from bigenough.report.numbers import carbon, count, dollars, keep_together, with_interval
from bigenough.report.serving import REQUESTS, as_quantity, local_usd, per_thousand, threads_of
from bigenough.report.view import Contender, View

__all__ = ["BreakEven", "break_even", "shown"]


@dataclass(frozen=True)
class BreakEven:
    """When making and serving one model is cheaper than asking another.

    Attributes:
        specialist: the one that runs here.
        against: the one that runs elsewhere.
        money, co2e: the answer in US dollars and in grams.
    """

    specialist: str
    against: str
    money: Payback
    co2e: Payback

    def to_json(self) -> dict[str, Any]:
        """Both answers as plain JSON values; each figure's source is its formula."""
        whom = {"specialist": self.specialist, "against": self.against}
        return {**whom, "money": self.money.to_json(), "co2e": self.co2e.to_json()}


def break_even(view: View) -> BreakEven | None:
    """The chosen model against the one elsewhere; None where nothing runs elsewhere, or that is the choice."""
    remote = next((one for one in view.contenders if one.remote), None)
    chosen = view.winner or view.safe
    if remote is None or chosen is None or chosen.remote:
        return None
    line = _line_of(chosen, view)
    made = [_making(one, child, view) for one, child in zip(line, [chosen, *line], strict=False)]
    mine, theirs = (per_thousand(one, view) for one in (chosen, remote))
    usd, co2e = (
        payback({name: figure for part in made for name, figure in part[what].items()}, mine[what], theirs[what])
        for what in ("usd", "co2e_g")
    )
    return BreakEven(chosen.name, remote.name, usd, co2e)


def shown(found: BreakEven) -> Html:
    """The answers in words and figures."""
    said = [f"In money: {found.money.sentence}", f"In CO₂e: {found.co2e.sentence}"]
    rows = [
        [element("strong", what), *_row(answer, show)]
        for what, answer, show in (("Money", found.money, dollars), ("CO₂e", found.co2e, carbon))
    ]
    heads = ["In", "Saved by 1,000 requests", "To be paid back", "Break-even"]
    head = element("p", f"{found.specialist} against {found.against}, request by request:")
    formula = element(
        "p",
        "Break-even = cost of making / (cost of a request there − cost of a request here); ranges are carried through "
        "end by end. Point at a figure to see what went in.",
        class_="note",
    )
    listed = element("ul", *(element("li", keep_together(each)) for each in said))
    return join([head, listed, table("Break-even", heads, rows, kind="pinned"), formula])


def _row(answer: Payback, show: Callable[[float], str]) -> list[Html]:
    def signed(value: float) -> str:
        return show(value) if value >= 0 else f"−{show(-value)}"

    money = [with_interval(figure.to_json(), signed) for figure in (answer.saved_per_1000, answer.fixed)]
    return [*money, with_interval(answer.requests.to_json(), lambda n: f"{count(math.ceil(n))} requests")]


def _line_of(one: Contender, view: View) -> list[Contender]:
    """A candidate and those it was made from: what was spent on them was spent for it."""
    by_home = {each.files.home: each for each in view.contenders if each.files.home}
    line = [one]
    while (parent := by_home.get(line[-1].files.candidate.get("made_from") or "")) is not None and parent not in line:
        line.append(parent)
    return line


def _making(one: Contender, child: Contender, view: View) -> dict[str, dict[str, Quantity]]:
    """What making one of them took, in money and emissions, each figure by its name; ``child`` was made from it."""
    if one.remote:
        return _lessons(one, child, view)
    record = one.files.candidate
    seconds = sum(float(record.get(f"{part}_seconds") or 0.0) for part in ("search", "curve", "fit"))
    name, wh = f"making {one.name}", _spent(one, "wh", "Wh")
    usd = local_usd(seconds, threads_of(view), wh, "search, learning curve and last fit")
    return {"usd": {name: usd}, "co2e_g": {name: _spent(one, "co2e_g", "g CO2e")}}


def _lessons(teacher: Contender, student: Contender, view: View) -> dict[str, dict[str, Quantity]]:
    """What a teacher that runs elsewhere was paid for, at the mean price of its requests."""
    records = (student.files.candidate.get(part) or {} for part in ("refit_record", "record"))
    n = next((int(record["lessons"]) for record in records if "lessons" in record), None)
    served, name = per_thousand(teacher, view), f"lessons of {teacher.name}"
    return {what: {name: _times(served[what], n)} for what in ("usd", "co2e_g")}


def _times(price: Quantity, n: int | None) -> Quantity:
    if n is None or price.value is None:
        return unknown(price.unit, price.source if n is not None else "how many lessons there were is not recorded")
    value, low, high = (None if end is None else end * n / REQUESTS for end in (price.value, price.low, price.high))
    source = f"{count(n)} texts × the mean of a request; {price.source}"
    return Quantity(value, price.unit, "modelled", source, low, high)


def _spent(one: Contender, what: str, unit: str) -> Quantity:
    told = (one.files.candidate.get("energy") or {}).get(what)
    return unknown(unit, "the energy of making it was not measured") if told is None else as_quantity(told)
