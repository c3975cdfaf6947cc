# SPDX-License-Identifier: Apache-2.0
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bigenough.quantity.range import Range, between, exact, hull, larger, smaller, total
from bigenough.quantity.units import UnitMismatch, UnknownUnit, unit

sizes = st.floats(-1e6, 1e6, allow_nan=False)
positives = st.floats(1e-6, 1e6)


@st.composite
def ranges(draw, values=sizes, symbol="B"):
    low, mid, high = sorted(draw(st.tuples(values, values, values)))
    return Range(low, mid, high, symbol, name="x", source="drawn")


def inside(figure, value, scale=1.0):
    room = 1e-9 * max(1.0, abs(value), scale)
    return figure.low - room <= value <= figure.high + room


@given(ranges(), ranges(), st.floats(0, 1), st.floats(0, 1))
def test_arithmetic_holds_every_value_of_its_operands(a, b, s, t):
    x, y = a.low + s * (a.high - a.low), b.low + t * (b.high - b.low)
    assert inside(a + b, x + y, 1e6)
    assert inside(a - b, x - y, 1e6)
    assert inside(a * b, x * y, 1e12)
    assert inside(larger(a, b), max(x, y), 1e6)
    assert inside(smaller(a, b), min(x, y), 1e6)


@given(ranges(), ranges(positives), st.floats(0, 1), st.floats(0, 1))
def test_division_holds_every_value(a, b, s, t):
    x, y = a.low + s * (a.high - a.low), b.low + t * (b.high - b.low)
    assert inside(a / b, x / y, abs(x / y))


@given(ranges(), ranges(), ranges())
def test_sums_do_not_depend_on_order(a, b, c):
    one, other = total(a, b, c), total(c, a, b)
    assert one.mid == pytest.approx(other.mid, abs=1e-6)
    assert one.low == pytest.approx(other.low, abs=1e-6)


@given(ranges(positives), st.sampled_from(["kB", "GiB", "TB", "bit"]))
def test_conversion_there_and_back_is_the_same(figure, other):
    back = figure.to(other).to("B")
    assert back.mid == pytest.approx(figure.mid)
    assert back.quantity().unit == "B"


@given(ranges(positives), ranges(positives))
def test_a_hull_holds_its_parts(a, b):
    both = hull(a, b)
    assert both.low == min(a.low, b.low)
    assert both.high == max(a.high, b.high)
    assert both.low <= both.mid <= both.high


def test_units_combine_and_are_checked():
    speed = exact(2039, "GB/s", "bandwidth", "data sheet")
    size = exact(16, "GB", "weights", "arithmetic")
    assert (size / speed).to("ms").mid == pytest.approx(7.847, rel=1e-3)
    with pytest.raises(UnitMismatch, match="no 'GB'"):
        speed.to("GB")
    with pytest.raises(UnitMismatch):
        size + speed
    with pytest.raises(UnknownUnit, match="'Gb'"):
        exact(1, "Gb", "size", "nobody")


def test_gb_is_not_gib():
    assert exact(80, "GiB", "memory", "x").to("GB").mid == pytest.approx(85.899, rel=1e-4)
    assert unit("GB").size != unit("GiB").size


@pytest.mark.parametrize("bad", [(2.0, 1.0, 3.0), (0.0, math.nan, 1.0), (0.0, 1.0, math.inf)])
def test_a_range_rises_and_is_finite(bad):
    with pytest.raises(ValueError, match="range"):
        Range(*bad, "B")


def test_dividing_by_what_may_be_zero_is_refused():
    with pytest.raises(ZeroDivisionError, match="share"):
        exact(1, "B", "size", "x") / between(-1, 1, "", "share", "x")


def test_a_power_needs_a_plain_number():
    assert (exact(4, "", "n", "x") ** 0.5).mid == 2
    with pytest.raises(UnitMismatch):
        exact(4, "B", "n", "x") ** 2


def test_explanation_names_formula_inputs_and_sources():
    count = exact(7e9, "param", "parameters", "model card")
    bits = between(4, 5, "bit/param", "bits per weight", "a recipe")
    held = (count * bits).named("weights", "parameters × bits", "arithmetic", unit="GB")
    lines = held.explain()
    assert lines[0].startswith("weights = parameters × bits = 3.913 GB")
    assert lines[1].strip() == "parameters = 7e+09 param (published: model card)"
    assert "a recipe" in lines[2]
    assert held.quantity().provenance == "modelled"
    assert held.to_json()["formula"] == "parameters × bits"


def test_explanation_derives_a_figure_once_and_calls_given_what_was_given():
    count = exact(7e9, "param", "parameters", "given")
    held = (count * exact(16, "bit/param", "bits", "bf16")).named("weights", "N × bits", "arithmetic", unit="GB")
    again = (count * exact(16, "bit/param", "bits", "bf16")).named("weights", "N × bits", "arithmetic", unit="GB")
    told: set[str] = set()
    first, second = held.explain(told), again.explain(told)
    assert len(first) == 3
    assert second == [f"{first[0]}, as above"]
    assert first[1].strip() == "parameters = 7e+09 param (given)"


def test_steps_without_a_name_do_not_hide_what_they_rest_on():
    reading = exact(2, "ms", "reading", "a model")
    hidden = exact(8, "ms", "launching", "a model") * exact(0.25, "", "share", "a guess")
    step = total(reading, hidden).named("step", "reading + launching", "sum")
    assert [line.strip().split(" = ")[0] for line in step.explain()] == ["step", "reading", "launching", "share"]
