# SPDX-License-Identifier: Apache-2.0
"""The section on 1,000 requests: what each rung takes, and when the chosen one has paid back its making."""

from __future__ import annotations

from bigenough.report.break_even import break_even, shown
from bigenough.report.markup import Html, element, join, table
from bigenough.report.numbers import carbon, dollars, energy, with_interval
from bigenough.report.serving import as_quantity, per_thousand, prices_told
from bigenough.report.view import Contender, View

__all__ = ["thousand"]

SHOWN = (("usd", dollars), ("wh", energy), ("co2e_g", carbon))


def thousand(view: View) -> Html:
    """A line for each candidate, and what it takes until the chosen one has paid back its making."""
    measured = [one for one in view.contenders if one.files.performance]
    if not measured:
        return element("p", "Nothing was measured in this study.", class_="note")
    rows = [_line(one, view) for one in measured]
    taken = table("Money, energy and emissions", ["Rung", "Money", "Energy", "CO₂e"], rows, kind="pinned")
    found = break_even(view)
    notes = [prices_told(), *(told for one in measured if (told := _elsewhere(one)))]
    return join([
        taken, None if found is None else shown(found), *(element("p", each, class_="note") for each in notes),
    ])  # fmt: skip


def _line(one: Contender, view: View) -> list[Html]:
    taken = per_thousand(one, view)
    return [element("strong", one.name), *(with_interval(taken[what].to_json(), show) for what, show in SHOWN)]


def _elsewhere(one: Contender) -> str | None:
    """The prices of tokens and the source of the energy of what runs elsewhere, in words."""
    if not one.remote:
        return None
    told = [one.figure(f"usd_per_million_tokens_{way}") for way in ("in", "out")]
    read, written = (None if each is None else as_quantity(each) for each in told)
    if read is None or written is None:
        money = "its price was not recorded"
    elif read.value is None or written.value is None:
        money = f"unknown, since {read.source}"
    else:
        money = f"{read.value:g} USD a million tokens read, {written.value:g} written ({read.source})"
    wh = one.figure("serve_wh_per_1000")
    energy_told = "its energy was not recorded" if wh is None else str(wh["source"])
    return f"Of {one.name}, which runs elsewhere: money, {money}; energy and CO₂e, {energy_told}."
