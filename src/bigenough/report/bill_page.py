# SPDX-License-Identifier: Apache-2.0
"""The bill of the giants: what the essays say it takes, computed again, and where they mislead."""

from __future__ import annotations

from bigenough.atlas import facts
from bigenough.atlas.bill import BillItem, in_equivalent, items
from bigenough.report.frame import Section, framed, quantity_cell, sourced
from bigenough.report.markup import Html, element, table

__all__ = ["bill_page"]

_MOODS = {
    True: ("", "✓", "stands"),
    False: ("problem", "!", "does not stand"),
    None: ("warning", "½", "half of the matter"),
}


def bill_page() -> str:
    """The essays' figures recomputed, the corrections and the equivalents, as one HTML page."""
    every = items()
    wrong = sum(item.holds is False for item in every)
    half = sum(item.holds is None for item in every)
    headline = f"Of {len(every)} figures on what giants take, {wrong} do not stand and {half} tell half of the matter"
    gist = (
        "Five essays quote what it takes to train and serve a giant. Each figure is computed again here from "
        "published facts, with its formula."
    )
    sections = [
        Section(
            "bill", "The figures, computed again", [element("ul", *(_item(item) for item in every), class_="findings")]
        ),
        Section("table", "The same in a table", [_table(every)]),
        Section("corrections", "Where the essays mislead", [_corrections()]),
        Section("equivalents", "Equivalents, and what they are", _equivalents()),
        Section("essays", "The essays", [_essays()]),
    ]
    return framed("The bill of the giants", headline, gist, sections)


def _item(item: BillItem) -> Html:
    mood, sign, word = _MOODS[item.holds]
    return element(
        "li",
        element("span", sign, class_="sign", title=word),
        element("p", element("strong", item.claim), " ", element("span", f"essay {item.essay}", class_="tag")),
        element("p", item.verdict),
        element("p", item.formula, class_="advice"),
        class_=mood or None,
    )


def _table(every: tuple[BillItem, ...]) -> Html:
    body: list[list[Html | str]] = [
        [
            item.claim,
            quantity_cell(item.said),
            quantity_cell(item.recomputed),
            sourced(item.recomputed),
            _MOODS[item.holds][2],
        ]
        for item in every
    ]
    return table(
        "Said and recomputed", ["Claim", "said", "recomputed", "how", "so it"], body, kind="cards", words={3, 4}
    )


def _corrections() -> Html:
    body = [[one.says, one.fact, one.source, one.essay] for one in facts.corrections()]
    return table(
        "Corrections", ["An essay says", "what is known", "source", "essay"], body, kind="cards", words={1, 2, 3}
    )


def _equivalents() -> list[Html | str | None]:
    body: list[list[Html | str]] = [
        [
            one.name,
            f"{one.value:,.0f} {one.unit}",
            one.per,
            quantity_cell(in_equivalent("GPT-3", one)),
            one.source + (f"; {one.note}" if one.note else ""),
        ]
        for one in facts.equivalents()
    ]
    told = (
        "An equivalent helps to picture an amount. It compares neither what is done with it nor what it is worth. "
        "Beside each stands how often the training of GPT-3 (552 t CO2e, 1,287 MWh: arXiv:2104.10350 Table 4) holds it."
    )
    heads = ["Of what", "amount", "for", "GPT-3’s training", "source"]
    return [element("p", told), table("Equivalents", heads, body, kind="cards", words={2, 4})]


def _essays() -> Html:
    return element("ul", *(element("li", f"{one.key}: {one.about}, {one.year}") for one in facts.essays().values()))
