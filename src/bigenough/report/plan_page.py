# SPDX-License-Identifier: Apache-2.0
"""The page of a plan: what a model takes, with ranges, formulas and sources."""

from __future__ import annotations

from collections.abc import Sequence

from bigenough.atlas.plan import Line, Plan
from bigenough.errors import BadOption
from bigenough.quantity.range import Range
from bigenough.report.frame import Section, framed, quantity_cell, sourced
from bigenough.report.markup import Html, element, table

__all__ = ["plan_page"]


_SHORT = 16


def plan_page(plans: Sequence[Plan]) -> str:
    """One or several plans as one HTML page; every figure with its derivation.

    Raises:
        BadOption: there is no plan.
    """
    if not plans:
        raise BadOption("There is no plan to show. Name a model: bigenough plan gpt-3 --on a100-80gb.")
    headline = plans[0].title if len(plans) == 1 else f"{len(plans)} plans side by side"
    gist = (
        "Ranges hold what the assumptions allow; the first figure is the likeliest. Nothing here was run "
        "unless it says measured."
    )
    sections = [Section("compared", "Side by side", [_compared(plans)])] if len(plans) > 1 else []
    for number, plan in enumerate(plans, 1):
        before = f"{plan.title}: " if len(plans) > 1 else ""
        sections += [
            Section(
                f"plan-{number}-{place}",
                f"{before}{part.title}",
                [_lines(part.title, part.lines), _derivations(part.lines)],
            )
            for place, part in enumerate(plan.sections)
        ]
    taken = list(dict.fromkeys(said for plan in plans for said in plan.assumptions))
    sections.append(
        Section("assumptions", "What was taken for granted", [element("ul", *(element("li", said) for said in taken))])
    )
    return framed("A plan", headline, gist, sections)


def _lines(title: str, lines: Sequence[Line]) -> Html:
    body: list[list[Html | str]] = [[line.label, _figure(line), _background(line)] for line in lines]
    return table(title, ["Figure", "value", "how it is known"], body, kind="cards plain", words={2})


def _figure(line: Line) -> Html | str:
    if not isinstance(line.figure, str):
        return quantity_cell(line.figure.quantity())
    return line.figure if len(line.figure) <= _SHORT else "–"  # sentences stand where there is room for them


def _background(line: Line) -> Html | str:
    if isinstance(line.figure, str):
        told = [line.figure] if len(line.figure) > _SHORT else []
        return "; ".join([*told, *([line.note] if line.note else [])]) or "–"
    note = element("span", line.note) if line.note else None
    formula = element("small", line.figure.formula) if line.figure.formula else None
    return element("span", note, formula, sourced(line.figure.quantity()))


def _derivations(lines: Sequence[Line]) -> Html | None:
    seen: set[str] = set()
    told = [
        (line.label, line.figure.explain(seen))
        for line in lines
        if isinstance(line.figure, Range) and line.figure.inputs
    ]
    if not told:
        return None
    text = "\n\n".join(f"{label}\n" + "\n".join(f"  {row}" for row in rows) for label, rows in told)
    return element("details", element("summary", "Derived line by line"), element("pre", element("code", text)))


def _compared(plans: Sequence[Plan]) -> Html:
    labels = list(
        dict.fromkeys((part.title, line.label) for plan in plans for part in plan.sections for line in part.lines)
    )
    found = [{(part.title, line.label): line for part in plan.sections for line in part.lines} for plan in plans]
    body: list[list[Html | str]] = [
        [label, *(_side(lines.get((title, label))) for lines in found)] for title, label in labels
    ]
    heads = ["Figure", *_short_titles(plans)]
    return table("The plans", heads, body, kind="cards plain", words=set(range(1, len(plans) + 1)))


def _side(line: Line | None) -> Html | str:
    if line is None:
        return "–"
    return line.figure if isinstance(line.figure, str) else quantity_cell(line.figure.quantity())


def _short_titles(plans: Sequence[Plan]) -> list[str]:
    """Titles without the device where all have the same."""
    parts = [plan.title.rpartition(" on ") for plan in plans]
    same = len({device for _, _, device in parts}) == 1
    return [name if same and name else plan.title for (name, _, _), plan in zip(parts, plans, strict=True)]
