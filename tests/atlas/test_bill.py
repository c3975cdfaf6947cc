# SPDX-License-Identifier: Apache-2.0
"""The essays' figures computed again, and the routes from every corner of the map."""

import pytest

from bigenough.atlas.bill import items
from bigenough.atlas.cards import card, card_json, compact, listing, side_by_side
from bigenough.atlas.facts import model, models
from bigenough.atlas.whereabouts import ENOUGH_LABELS, NO_LABELS, Standing, players, route, standing_of
from bigenough.errors import BadOption


def item(words):
    return next(one for one in items() if words in one.claim)


@pytest.mark.parametrize(
    ("words", "value", "holds"),
    [
        ("227 GB", 10.3, False),  # bits a parameter
        ("DGX-2.", 349.2, True),  # GB at 16 bits, in 512
        ("single AWS instance", 349.2, False),  # GB, against 256
        ("87,000 USD a year", 9.93, None),  # USD an hour
        ("A DGX-2 costs", 4.59, None),  # years
        ("626,000 lb", 87.1, False),  # kg of one run
    ],
)
def test_the_bill_is_computed_from_the_atlas(words, value, holds):
    found = item(words)
    assert found.recomputed.value == pytest.approx(value, rel=5e-3)
    assert found.holds is holds


def test_five_cars_belong_to_a_search():
    found = item("626,000 lb")
    assert "284 t = 5.0 car lifetimes" in found.formula
    assert "search" in found.verdict


def test_one_to_two_orders_of_magnitude_is_tested_not_repeated():
    ratio = item("orders of magnitude").recomputed
    assert 10 < ratio.low < ratio.value < ratio.high < 200


def test_every_item_says_who_and_how():
    for one in items():
        assert one.said.source
        assert one.recomputed.provenance in ("modelled", "published")
        assert one.formula
        assert one.verdict


@pytest.mark.parametrize(
    ("labelled", "memory", "accelerators", "corner"),
    [
        (0, 16, 0, "no labels, small machine"),
        (0, 640, 8, "no labels, large machine"),
        (10_000, 16, 0, "enough labels, small machine"),
        (10_000, 640, 8, "enough labels, large machine"),
        (NO_LABELS, 256, 0, "few labels, small machine"),
        (ENOUGH_LABELS - 1, 24, 1, "few labels, large machine"),
    ],
)
def test_the_corners_of_the_map(labelled, memory, accelerators, corner):
    advice = route(Standing(labelled, memory, accelerators=accelerators))
    assert advice.corner == corner
    assert advice.steps


def test_what_a_machine_allows_grows_with_its_memory_and_what_a_text_allows_with_its_length():
    small, large = route(Standing(100, 16)), route(Standing(100, 32))
    assert large.serves.value == 2 * small.serves.value
    assert small.tunes.value < small.serves.value < small.serves_small.value
    assert route(Standing(200, 16)).pretrains.value == 2 * small.pretrains.value


def test_a_standing_is_read_from_an_audit():
    audit = {"splits": {"fit": 600, "select": 200, "certify": 400, "decisions": []}, "length": {"median_chars": 80}}
    standing = standing_of(audit, memory_gb=16, unlabelled=50)
    assert (standing.labelled, standing.tokens_per_text, standing.tokens) == (1200, 20, 25_000)


@pytest.mark.parametrize("broken", [{"labelled": -1}, {"memory_gb": 0}, {"accelerators": -1}, {"tokens_per_text": 0}])
def test_an_impossible_standing_is_refused(broken):
    with pytest.raises(BadOption, match=next(iter(broken))):
        Standing(**{"labelled": 10, "memory_gb": 16.0, **broken})


def test_players_come_from_published_runs():
    found = {one.name: one for one in players(models())}
    assert found["BLOOM-176B"].memory_gb == 384 * 80
    assert "GPT-4" not in found


def test_a_card_shows_figures_sources_and_contradictions():
    told = card("dall-e")
    assert "27.5" in told
    assert "17.89" in told
    assert "arXiv:2205.11487" in told
    assert card_json("gpt-4")["figures"]["total_params"]["value"] is None
    assert "set apart" in card("dlrm-12t")
    assert "399,000 USD/machine" in card("dgx-2")
    assert card_json("france")["kind"] == "grid"
    with pytest.raises(BadOption, match="no model, device, machine or country"):
        card("nonsuch")


def test_lists_say_how_many_and_what_is_set_apart():
    assert "1 model. Recommenders are set apart" in listing([model("DLRM-12T")])
    assert listing([]).startswith("No model meets")
    assert "unknown" in side_by_side([model("GPT-3"), model("GPT-4")])
    assert compact(1.571e12) == "1.57T"
