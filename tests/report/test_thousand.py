# SPDX-License-Identifier: Apache-2.0
"""Money, energy and emissions of 1,000 requests, and when a specialist pays back against what runs elsewhere."""

from dataclasses import replace

import pytest

from bigenough.quantity import measured, modelled, published, unknown
from bigenough.report.break_even import break_even
from bigenough.report.page import render
from bigenough.report.serving import local_usd, per_thousand
from bigenough.report.thousand import thousand
from bigenough.report.view import view


def with_remote(study, usd):
    """The study with its reference at an endpoint that asks so much for 1,000 requests."""

    def moved(one):
        spent = {"wh": modelled(0.043, "Wh", "t").to_json(), "co2e_g": modelled(0.016, "g CO2e", "t").to_json()}
        if one.name != "frozen":
            served = {**one.performance, "serve_co2e_g_per_1000": modelled(0.001, "g CO2e", "t").to_json()}
            return replace(one, candidate={**one.candidate, "energy": spent}, performance=served)
        served = {
            **one.performance,
            "serve_usd_per_1000": usd.to_json(),
            "serve_wh_per_1000": modelled(300.0, "Wh", "ecologits", low=100.0, high=900.0).to_json(),
            "serve_co2e_g_per_1000": modelled(120.0, "g CO2e", "ecologits", low=40.0, high=400.0).to_json(),
        }
        candidate = {**one.candidate, "energy": spent, "remote": True, "size_bytes": None}
        return replace(one, candidate=candidate, performance=served)

    return replace(study, candidates=tuple(moved(one) for one in study.candidates))


def test_every_rung_has_a_price_in_one_unit(study):
    page = str(thousand(view(study)))
    assert page.count(" USD") >= len(study.candidates)
    assert "thread-hour" in page
    assert "pays back" not in page


def test_a_specialist_pays_back_in_money_and_in_emissions(study):
    page = str(thousand(view(with_remote(study, published(0.4, "USD", "a price list of 2026-11-01")))))
    assert "In money: The specialist has paid back its" in page
    assert "In CO₂e: The specialist has paid back its" in page
    assert "0.40 USD" in page or "0.4 USD" in page


def test_an_unknown_price_is_said_to_be_unknown(study):
    page = str(thousand(view(with_remote(study, unknown("USD", "no price is known for this model")))))
    assert "Nobody can tell when the specialist pays back" in page


def test_a_page_with_something_elsewhere_is_whole(study):
    page = render(with_remote(study, published(0.4, "USD", "a price list")))
    assert "What 1,000 requests take" in page


def changed(study, name, **files):
    """The study with other files of one candidate."""
    return replace(
        study, candidates=tuple(replace(one, **files) if one.name == name else one for one in study.candidates)
    )


def test_the_break_even_has_its_formula_and_its_range(study):
    usd = published(0.4, "USD", "a price list of 2026-11-01")
    seen = view(with_remote(study, usd))
    found = break_even(seen)
    assert (found.specialist, found.against) == (seen.winner.name, "frozen")
    served = per_thousand(seen.winner, seen)["usd"]
    assert found.money.saved_per_1000.value == pytest.approx(0.4 - served.value)
    assert found.money.requests.value == pytest.approx(1000 * found.money.fixed.value / (0.4 - served.value))
    for answer in (found.money, found.co2e):
        assert answer.requests.provenance == "modelled"
        assert "fixed cost / (" in answer.requests.source
        assert answer.requests.low <= answer.requests.value <= answer.requests.high
        assert answer.requests.low < answer.requests.high
    told = found.to_json()
    assert told["co2e"]["requests"]["source"] == found.co2e.requests.source
    page = str(thousand(seen))
    assert f"{found.money.requests.value:,.0f} requests" in page
    assert "Break-even = cost of making / (" in page


def test_ranges_of_energy_elsewhere_and_prices_of_tokens_are_shown(study):
    table = "genai-prices 0.2.3: somebody, as of 2026-11-01"
    paid = with_remote(study, published(0.4, "USD", table))
    frozen = next(one for one in paid.candidates if one.name == "frozen")
    prices = {
        f"usd_per_million_tokens_{way}": published(usd, "USD/million tokens", table).to_json()
        for way, usd in (("in", 0.15), ("out", 0.6))
    }
    page = str(thousand(view(changed(paid, "frozen", performance={**frozen.performance, **prices}))))
    assert "0.10 kWh–0.90 kWh" in page
    assert f"0.15 USD a million tokens read, 0.6 written ({table})" in page
    assert "money, its price was not recorded" in str(thousand(view(paid)))


def test_lessons_of_a_paid_teacher_are_part_of_the_making(study):
    paid = with_remote(study, published(0.4, "USD", "a price list"))
    alone = break_even(view(paid)).money.fixed
    winner = view(paid).winner
    frozen = next(one for one in paid.candidates if one.name == "frozen")
    taught = {**winner.files.candidate, "made_from": "frozen-1", "record": {"lessons": 5000}}
    there = changed(changed(paid, winner.name, candidate=taught), "frozen", candidate=frozen.candidate, home="frozen-1")
    assert break_even(view(there)).money.fixed.value == pytest.approx(alone.value + 5 * 0.4)
    untold = changed(there, winner.name, candidate={**taught, "record": {}})
    assert break_even(view(untold)).money.pays == "unknown"


def test_a_making_whose_energy_nobody_measured_leaves_the_answer_open(study):
    paid = with_remote(study, published(0.4, "USD", "a price list"))
    winner = view(paid).winner
    record = {name: value for name, value in winner.files.candidate.items() if name != "energy"}
    assert break_even(view(changed(paid, winner.name, candidate=record))).co2e.pays == "unknown"


@pytest.mark.parametrize("wh", [modelled(10.0, "Wh", "t"), unknown("Wh", "no counter")])
def test_local_money_is_between_electricity_and_rent(wh):
    found = local_usd(3600.0, 2, wh, "an hour")
    assert found.value == pytest.approx(2 * 1.43 / 32)
    assert found.provenance == "modelled"
    if wh.value is not None:
        assert 0 < found.low < found.value
        assert "kWh" in found.source


def test_what_takes_more_electricity_than_rent_costs_its_electricity():
    found = local_usd(0.001, 1, measured(1e6, "Wh", "a counter"), "work")
    assert found.value == found.low == found.high
