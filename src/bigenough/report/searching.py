# SPDX-License-Identifier: Apache-2.0
"""The search over all rungs under one budget: what was tried of each rung, what it cost, and what became of it.

A study without such a search has none of this: each of its rungs was searched by itself.
"""

from __future__ import annotations

from typing import Any

from bigenough.report.files import Json
from bigenough.report.markup import Html, element, join, shorten, table
from bigenough.report.numbers import clocked, count, duration, energy, percent, quantity
from bigenough.report.quality import role_chip
from bigenough.report.view import ROLES, Contender, View

__all__ = ["search_json", "searched"]


def search_json(view: View) -> dict[str, Any] | None:
    """The search for scripts: what each rung tried and took, the part it played, and why it was left out."""
    found = view.files.search
    if found is None:
        return None
    figures = ("trials", "stages", "best", "seconds", "energy", "unmetered_fits")
    return {
        "minutes": found["minutes"],
        "seconds": found["seconds"],
        "energy": found["energy"],
        "rungs": {
            one.name: {**{name: one.search[name] for name in figures}, "role": one.role, "left_out": one.reason}
            for one in view.contenders
            if one.search is not None
        },
    }


def searched(view: View) -> Html | None:
    """One line a rung, and all of them together; None where no budget was shared."""
    found = view.files.search
    if found is None:
        return None
    rungs = [(one, one.search) for one in view.contenders if one.search is not None]
    spent, held = found["seconds"]["fits"], found["seconds"]["held for refits"]
    told = element(
        "p",
        f"All rungs shared {duration(60 * found['minutes'])} of the budget: fits took {duration(spent)}, and "
        f"{duration(held)} more were kept for the final fits. Settings begin on a small share of the fit rows, and the "
        "better ones go on to larger shares.",
    )
    together = [
        element("strong", "together"), count(sum(search["trials"] for _, search in rungs)), "–", "–", clocked(spent),
        quantity(found["energy"]["wh"], energy), "–",
    ]  # fmt: skip
    lines = table(
        "The search, one line a rung",
        ["Rung", "Settings tried", "Largest share of fit", f"Best {view.metric_name} on select", "Time", "Energy",
         "What became of it"],
        [*(_row(one, search, view) for one, search in rungs), together],
        kind="cards", words={6},
    )  # fmt: skip
    return join([element("h3", "The search"), told, lines, _note(found, view)])


def _row(one: Contender, search: Json, view: View) -> list[Html | str]:
    best = search["best"]
    share: Html | str = "–"
    if best is not None:
        share = join([percent(best["share"], 0), element("small", f"{count(best['rows'])} rows")], " ")
    return [
        element("strong", one.name),
        count(search["trials"]),
        share,
        "–" if best is None else percent(best["score"]),
        clocked(search["seconds"]) if search["trials"] else "–",
        quantity(search["energy"]["wh"], energy) if search["trials"] else "–",
        _became(one, view),
    ]


def _became(one: Contender, view: View) -> Html:
    """The part it played, and why; the part's own words are not said twice."""
    said = ROLES[one.role]
    reason = (one.reason or "").removeprefix(f"{said} ")
    return join([role_chip(one, view), element("small", shorten(reason, 200)) if reason else None])


def _note(found: Json, view: View) -> Html:
    unmetered = sum(one.search["unmetered_fits"] for one in view.contenders if one.search is not None)
    gone = (
        f" Of {count(unmetered)} fits, made by a run that was stopped, only the time was kept, not the energy."
        if unmetered
        else ""
    )
    return element(
        "p",
        f"Best {view.metric_name} on select: of all settings on the largest share; it is what they were chosen by, so "
        "no estimate of what new rows bring. Time: of all fits, failed ones and those remembered from a run that was "
        f"stopped included. Energy: that of all rungs together, shared by time.{gone}",
        class_="note",
    )
