# SPDX-License-Identifier: Apache-2.0
"""The planner against 250 published figures. The figure is read here to compare, and nowhere else."""

import csv
import math
from pathlib import Path

import pytest
from atlas.predictions import predict

from bigenough.quantity.range import Range

ROWS = list(csv.DictReader((Path(__file__).parent / "planner_truth.csv").read_text(encoding="utf-8").splitlines()))


def error_of(row):
    """How far off, in the measure of the row's test: (error, allowed)."""
    said, test, tolerance = predict(row), row["test"], row["tolerance"]
    if test == "equals":
        return (0.0 if said == row["published"] else 1.0), 0.0
    if isinstance(said, list):  # several figures in one cell
        published = [float(one) for one in row["published"].split("/")]
        factors = [max(one.mid / real, real / one.mid) for one, real in zip(said, published, strict=True)]
        return max(factors), float(tolerance[1:])
    if test == "interval":
        low, high = (float(one) for one in row["published"].split("-"))
        inside = low <= said.mid <= high and said.low < high and said.high > low
        return (0.0 if inside else 1.0), 0.0
    real, middle = float(row["published"]), said.mid if isinstance(said, Range) else said
    if test == "ratio":
        return max(middle / real, real / middle), float(tolerance[1:])
    if test == "at_least":
        return max(0.0, real - middle), 0.0
    if test == "at_most":
        return max(0.0, middle - real), 0.0
    if test == "share":
        assert isinstance(said, Range)
        return (0.0 if said.low <= real <= said.high else 1.0), 0.0
    if test == "bound":
        low, high = (float(one) for one in tolerance.split(" ")[0].split("-"))
        return (0.0 if low <= real / middle <= high else 1.0), 0.0
    return 100 * abs(middle / real - 1), float(tolerance)


def test_there_are_as_many_rows_as_the_table_has():
    assert len(ROWS) == 250
    assert {row["test"] for row in ROWS} == {
        "within",
        "ratio",
        "equals",
        "interval",
        "bound",
        "at_least",
        "at_most",
        "order",
        "share",
    }


@pytest.mark.parametrize("row", ROWS, ids=[row["id"] for row in ROWS])
def test_published_figure_is_met(row):
    error, allowed = error_of(row)
    assert math.isfinite(error)
    assert error <= allowed * (1 + 1e-9), (
        f"{row['name']}: {row['quantity']}: said {predict(row)}, published {row['published']} {row['unit']}"
    )
