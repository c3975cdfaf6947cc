# SPDX-License-Identifier: Apache-2.0
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bigenough.errors import BadOption
from bigenough.measure.payback import payback
from bigenough.quantity import measured, modelled, published, unknown
from bigenough.quantity.range import between

USD = "USD"


def _usd(low, width=0.0):
    return modelled(low + width / 2, USD, "an example", low=low, high=low + width)


RANGES = st.builds(_usd, st.floats(0, 50), st.floats(0, 20))
SHARES = st.builds(lambda low, width: modelled(low, "", "an example", low=low, high=min(low + width, 1.0)),
                   st.floats(0, 1), st.floats(0, 0.5))  # fmt: skip


def test_escalated_requests_are_charged_for_both():
    found = payback({"training": _usd(90)}, _usd(1), _usd(10), escalated=0.1)
    assert found.saved_per_1000.value == pytest.approx(10 - (1 + 0.1 * 10))
    assert found.requests.value == pytest.approx(1000 * 90 / 8)
    assert found.requests.provenance == "modelled"
    assert "11,250 requests" in found.sentence


@given(RANGES, RANGES, RANGES, SHARES, st.lists(st.floats(0, 1), min_size=4, max_size=4))
@settings(max_examples=200)
def test_every_world_within_the_ranges_is_within_the_answer(training, ours, theirs, share, places):
    found = payback({"training": training}, ours, theirs, escalated=share)
    fixed, own, other, passed = (
        each.low + place * (each.high - each.low)
        for each, place in zip((training, ours, theirs, share), places, strict=True)
    )
    saved = (1 - passed) * other - own
    if found.pays == "never":
        assert saved <= 1e-9
    elif found.pays == "after":
        assert saved > -1e-9
    if saved > 1e-6 and found.requests.low is not None:
        needed = 1000 * fixed / saved
        assert found.requests.low <= needed * (1 + 1e-9)
        assert found.requests.high is None or needed <= found.requests.high * (1 + 1e-6)


@given(RANGES, RANGES, RANGES, st.floats(0, 1), st.floats(0, 1))
def test_more_escalation_never_pays_back_sooner(training, ours, theirs, first, second):
    less, more = (payback({"t": training}, ours, theirs, escalated=share) for share in sorted((first, second)))
    if more.requests.value is not None and less.requests.value is not None:
        assert more.requests.value >= less.requests.value * (1 - 1e-9)
    if less.pays == "never":
        assert more.pays == "never"


def test_ranges_that_hold_both_may_never_pay():
    found = payback({"training": _usd(10)}, _usd(1), _usd(0.5, width=2.5))
    assert found.pays == "perhaps never"
    assert found.requests.value == pytest.approx(1000 * 10 / 0.75)
    assert (found.requests.low, found.requests.high) == (5000.0, None)
    assert "may never pay back" in found.sentence
    doubtful = payback({"training": _usd(10)}, _usd(2.5), _usd(0.5, width=2.5))
    assert doubtful.pays == "perhaps never"
    assert doubtful.requests.value is None


def test_equal_costs_never_pay():
    found = payback({"training": measured(0.0, USD, "none")}, _usd(2), _usd(2))
    assert found.pays == "never"
    assert str(found.requests) == "unknown"


def test_specialist_without_training_pays_at_once():
    assert payback({"training": measured(0.0, USD, "none")}, _usd(1), _usd(2)).requests.value == 0


@pytest.mark.parametrize("missing", ["training", "specialist", "generalist", "escalated"])
def test_unknown_stays_unknown(missing):
    known = {"training": _usd(1), "specialist": _usd(1), "generalist": _usd(3), "escalated": modelled(0.1, "", "x")}
    known[missing] = unknown("" if missing == "escalated" else USD, "nobody measured it")
    fixed = {"training": known.pop("training"), "labels": _usd(5)}
    found = payback(fixed, known["specialist"], known["generalist"], escalated=known["escalated"])
    assert found.pays == "unknown"
    assert found.requests.value is None
    assert missing in found.requests.source
    assert missing in found.sentence


def test_what_saves_nothing_never_pays_whatever_it_cost():
    found = payback({"training": unknown(USD, "not measured")}, _usd(4), _usd(3))
    assert found.pays == "never"
    assert found.fixed.value is None


def test_fixed_costs_add_up_and_units_are_converted():
    fixed = {"training": measured(500.0, "g CO2e", "a meter"), "search": modelled(1.5, "kg CO2e", "a model")}
    found = payback(fixed, measured(2.0, "g CO2e", "a meter"), published(0.012, "kg CO2e", "somebody"))
    assert found.requests.value == pytest.approx(1000 * 2000 / 10)
    assert found.saved_per_1000.unit == "kg CO2e"
    assert found.saved_per_1000.value == pytest.approx(0.01)
    assert found.fixed.value == pytest.approx(2.0)


def test_planner_ranges_are_taken_as_they_are():
    found = payback({"training": between(4, 9, USD, "rent", "x")}, _usd(1), between(2, 8, USD, "price", "x", mid=5))
    assert (found.requests.low, found.requests.value) == (pytest.approx(4000 / 7), pytest.approx(6000 / 4))
    assert found.requests.high == pytest.approx(9000)


def test_answer_is_plain_json():
    told = payback({"training": _usd(3)}, _usd(1), _usd(2)).to_json()
    assert told["pays"] == "after"
    assert told["requests"]["value"] == 3000
    assert set(told) == {"pays", "requests", "saved_per_1000", "fixed", "sentence"}


@pytest.mark.parametrize(
    ("fixed", "ours", "theirs", "share", "said"),
    [
        ({}, _usd(1), _usd(2), 0.0, "Nothing is to be paid back"),
        ({"t": _usd(-1)}, _usd(1), _usd(2), 0.0, "not below zero"),
        ({"t": _usd(1)}, _usd(-1), _usd(2), 0.0, "not below zero"),
        ({"t": _usd(1)}, _usd(1), _usd(2), 1.2, "share of the requests"),
        ({"t": _usd(1)}, _usd(1), _usd(2), float("nan"), "share of the requests"),
        ({"t": _usd(1)}, _usd(1), _usd(2), modelled(1.2, "", "x"), "share of the requests"),
        ({"t": _usd(1)}, _usd(1), _usd(2), modelled(0.2, "h", "x"), "share of the requests"),
        ({"t": measured(1.0, "Wh", "x")}, _usd(1), _usd(2), 0.0, "one kind of unit"),
        ({"t": measured(1.0, "shells", "x")}, _usd(1), _usd(2), 0.0, "not a unit"),
    ],
)
def test_nonsense_is_refused(fixed, ours, theirs, share, said):
    with pytest.raises(BadOption, match=said):
        payback(fixed, ours, theirs, escalated=share)
