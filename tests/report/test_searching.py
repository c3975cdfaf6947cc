# SPDX-License-Identifier: Apache-2.0
"""The report's account of a search over all rungs: one line a rung, with those that came to no model."""

from __future__ import annotations

import html
import re
from dataclasses import replace

import pytest

from bigenough.quantity import modelled
from bigenough.report.page import render
from bigenough.report.searching import search_json
from bigenough.report.view import view


def energy(wh):
    quantities = {"wh": modelled(wh, "Wh", "CPU time"), "co2e_g": modelled(wh / 2, "g CO2e", "grid")}
    return {name: quantity.to_json() for name, quantity in quantities.items()}


def searched(trials, seconds, wh, best=None, left_out=None, unmetered=0, failure=None):
    entry = {
        "settings": {"C": 4.0}, "score": best and best["score"], "log_loss": None, "seconds": seconds,
        "failure": failure, "share": best["share"] if best else 0.0, "rows": best["rows"] if best else 0,
        "stopped": left_out, "fits": [],
    }  # fmt: skip
    return {
        "trials": trials, "stages": [], "best": best, "seconds": seconds, "energy": energy(wh),
        "unmetered_fits": unmetered, "left_out": left_out, "entries": [entry] * trials,
    }  # fmt: skip


def best(share, rows, score):
    return {"share": share, "rows": rows, "score": score, "log_loss": 0.3, "settings": {"C": 4.0}}


TOO_LONG = "would have taken about 1,400 s of the 900 s that were left"


@pytest.fixture
def shared(study):
    """A study whose four rungs and two more shared twenty minutes."""
    reasons = {"tuned": TOO_LONG, "<b>own</b>": "could not be fitted (ValueError: <script>alert(1)</script>)"}
    more = [{"candidate": name, "reason": reason} for name, reason in reasons.items()]
    rungs = {
        "majority": searched(1, 2.0, 0.01, best(1, 5200, 0.1)),
        "linear": searched(16, 40.0, 0.2, best(1, 5200, 0.9212)),
        "static": searched(16, 60.0, 0.3, best(1, 5200, 0.8)),
        "frozen": searched(8, 90.0, 0.4, best(1, 5200, 0.93), unmetered=3),
        "tuned": searched(1, 70.0, 0.35, best(1 / 9, 578, 0.8567), TOO_LONG),
        "<b>own</b>": searched(2, 5.0, 0.02, None, "<i>broken</i>", failure="ValueError: <script>alert(1)</script>"),
    }
    record = {"minutes": 18.0, "seconds": {"fits": 267.0, "held for refits": 123.0}, "energy": energy(1.28)}
    return replace(study, search={**record, "rungs": rungs}, plan={"left_out": [*study.plan["left_out"], *more]})


def lines(page):
    """The words of each row of the section's table, by the rung's name."""
    table = page[page.index("<h3>The search</h3>") :]
    table = table[table.index("<tbody>") : table.index("</tbody>")]
    rows = [re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", row) for row in re.findall(r"<tr>(.*?)</tr>", table)]
    said = [[" ".join(html.unescape(re.sub(r"<[^>]+>", " ", cell)).split()) for cell in row] for row in rows]
    return {row[0]: row[1:] for row in said}


def test_every_rung_has_its_line_with_what_became_of_it(shared):
    found = lines(render(shared))
    assert set(found) == {"majority", "linear", "static", "frozen", "tuned", "<b>own</b>", "together"}
    assert found["linear"] == ["16", "100 % 5,200 rows", "92.1 %", "40 s", "0.20 Wh modelled", "winner"]
    assert found["tuned"][:5] == ["1", "11 % 578 rows", "85.7 %", "1 min 10 s", "0.35 Wh modelled"]
    assert found["tuned"][5].endswith(TOO_LONG)
    assert found["<b>own</b>"][:3] == ["2", "–", "–"]
    assert found["<b>own</b>"][5] == "could not be fitted (ValueError: <script>alert(1)</script>)"


def test_totals_are_what_was_measured(shared):
    assert lines(render(shared))["together"][:5] == ["44", "–", "–", "4 min 27 s", "1.3 Wh modelled"]


def test_what_is_missing_after_a_kill_is_said(shared):
    page = render(shared)
    assert "Of 3 fits, made by a run that was stopped, only the time was kept" in page
    whole = {name: {**rung, "unmetered_fits": 0} for name, rung in shared.search["rungs"].items()}
    assert "only the time was kept" not in render(replace(shared, search={**shared.search, "rungs": whole}))


def test_names_and_reasons_are_words_and_never_markup(shared):
    page = render(shared)
    assert "<script>" not in page
    assert "<b>own" not in page
    assert "<i>broken" not in page
    assert "&lt;b&gt;own&lt;/b&gt;" in page


def test_what_a_rung_without_a_model_tried_is_listed_with_the_others(shared):
    page = render(shared)
    assert "tuned: 1 setting tried on select, by accuracy" in page
    tried = page[page.index("tuned: 1 setting tried") :]
    assert tried.index("Best: <code>C=4.0</code>") < tried.index("85.7 %") < tried.index(TOO_LONG)
    took = page[page.index("What making it took") : page.index("<h3>The search</h3>")]
    row = took[took.index("<strong>tuned</strong>") :]
    assert row.index("1 min 10 s") < row.index("0.35 Wh")


def test_without_a_common_search_there_is_no_such_section(study):
    assert "The search" not in render(study)
    assert search_json(view(study)) is None


def test_scripts_get_the_same(shared):
    found = search_json(view(shared))
    assert {name: found[name] for name in ("minutes", "seconds", "energy")} == {
        name: shared.search[name] for name in ("minutes", "seconds", "energy")
    }
    assert found["rungs"]["tuned"] == {
        "trials": 1, "stages": [], "best": best(1 / 9, 578, 0.8567), "seconds": 70.0, "energy": energy(0.35),
        "unmetered_fits": 0, "role": "no result", "left_out": TOO_LONG,
    }  # fmt: skip
    assert (found["rungs"]["linear"]["role"], found["rungs"]["linear"]["left_out"]) == ("winner", None)
