# SPDX-License-Identifier: Apache-2.0
"""A figure keeps its range, unit and provenance, and unknown stays unknown."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bigenough.quantity import Quantity, measured, modelled, published, unknown

finite = st.floats(allow_nan=False, allow_infinity=False, width=32)


@given(finite, finite, finite, st.sampled_from([measured, modelled, published]))
def test_json_brings_it_back(value, one, other, make):
    quantity = make(value, "ms", "a source", low=min(one, other), high=max(one, other))
    assert Quantity.from_json(quantity.to_json()) == quantity


def test_unknown_prints_as_unknown_and_comes_back():
    nothing = unknown("Wh", "no counter")
    assert str(nothing) == "unknown"
    assert nothing.value is None
    assert Quantity.from_json(nothing.to_json()) == nothing


@pytest.mark.parametrize(
    "build",
    [
        lambda: measured(1.0, "ms", ""),
        lambda: measured(float("nan"), "ms", "x"),
        lambda: measured(float("inf"), "ms", "x"),
        lambda: measured(1.0, "ms", "x", low=3.0, high=2.0),
        lambda: Quantity(None, "ms", "measured", "x"),
        lambda: Quantity(1.0, "ms", "unknown", "x"),
    ],
)
def test_a_figure_without_source_or_sense_is_refused(build):
    with pytest.raises(ValueError, match=r"source|finite|above|unknown"):
        build()


@pytest.mark.parametrize(
    ("value", "shown"), [(0.0, "0 MB"), (12.3456, "12.35 MB"), (123456.7, "123,457 MB"), (1.2e-5, "1.2e-05 MB")]
)
def test_it_prints_short(value, shown):
    assert str(measured(value, "MB", "counted")) == shown
