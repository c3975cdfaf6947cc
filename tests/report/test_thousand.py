# SPDX-License-Identifier: Apache-2.0
"""Money, energy and emissions of 1,000 requests, and when a specialist pays back against what runs elsewhere."""

from dataclasses import replace

import pytest

from bigenough.quantity import measured, modelled, published, unknown
from bigenough.report.page import render
from bigenough.report.thousand import local_usd, thousand
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
