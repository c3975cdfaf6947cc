# SPDX-License-Identifier: Apache-2.0
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from bigenough.errors import BadOption
from bigenough.verdict.exact import exact_level
from bigenough.verdict.noninferiority import tango_pvalue
from bigenough.verdict.power import (
    bar_power,
    bar_rows_needed,
    power,
    power_table,
    rows_needed,
    smallest_margin,
)


@pytest.mark.parametrize(("discordance", "difference"), [(0.1, 0.0), (0.02, -0.01), (0.3, 0.02), (0.0, 0.0)])
def test_power_is_the_sum_over_every_table(discordance, difference):
    n, margin = 120, 0.05
    b, c = np.meshgrid(np.arange(n + 1), np.arange(n + 1))
    b, c = b[b + c <= n], c[b + c <= n]
    p12, p21 = (discordance + difference) / 2, (discordance - difference) / 2
    chance = stats.multinomial.pmf(np.column_stack([b, c, n - b - c]), n, [p12, p21, 1 - p12 - p21])
    expected = chance[tango_pvalue(b, c, n, margin) < exact_level(n, margin, 0.05)].sum()
    assert power(n, margin, discordance, difference=difference) == pytest.approx(expected, abs=1e-8)


def test_exact_and_normal_power_meet_where_one_takes_over():
    below, above = power(200_000, 0.0015, 0.1), power(200_001, 0.0015, 0.1)
    assert below == pytest.approx(above, abs=2e-3)


def test_known_size_of_a_usual_study():
    rows = rows_needed(0.02, 0.10)
    textbook = (stats.norm.isf(0.05) + stats.norm.ppf(0.8)) ** 2 * 0.10 / 0.02**2
    assert rows == pytest.approx(textbook, rel=0.05)
    assert power(rows, 0.02, 0.10) >= 0.8


@settings(max_examples=8)
@given(st.floats(0.015, 0.08), st.floats(0.0, 0.4))
def test_rows_needed_shrink_with_the_margin_and_grow_with_discordance(margin, discordance):
    rows = rows_needed(margin, discordance)
    # 3 % is room for the saw-tooth of whole counts.
    assert rows_needed(margin * 1.5, discordance) <= rows * 1.03 + 5
    assert rows_needed(margin, discordance + 0.1) >= rows * 0.97 - 5


def test_smallest_margin_turns_rows_needed_round():
    margin = smallest_margin(1607, 0.10)
    assert margin == pytest.approx(0.02, abs=2e-4)
    assert smallest_margin(1, 0.9) is None


def test_what_cannot_be_proved_is_none():
    assert rows_needed(0.01, 0.1, difference=-0.01) is None
    assert rows_needed(0.0, 0.1) is None
    assert rows_needed(0.00001, 0.5) is None
    assert bar_rows_needed(0.9, 0.9) is None


def test_table_holds_every_pair():
    table = power_table([0.01, 0.02], [0.05, 0.1])
    assert [(row.margin, row.discordance) for row in table] == [(0.01, 0.05), (0.01, 0.1), (0.02, 0.05), (0.02, 0.1)]
    assert all(row.rows == rows_needed(row.margin, row.discordance) for row in table)


def test_bar_rows_reach_their_power():
    rows = bar_rows_needed(0.94, 0.92)
    assert bar_power(rows, 0.94, 0.92) >= 0.8 > bar_power(rows // 2, 0.94, 0.92)
    assert max(bar_power(n, 0.92, 0.92) for n in range(50, 3000, 37)) <= 0.05


@pytest.mark.parametrize(
    "arguments",
    [
        {"margin": 1.5},
        {"margin": -0.1},
        {"discordance": 10},
        {"alpha": 0.7},
        {"difference": 0.3},
    ],
)
def test_senseless_numbers_are_refused(arguments):
    with pytest.raises(BadOption):
        power(**({"n": 100, "margin": 0.02, "discordance": 0.1} | arguments))


def test_senseless_power_is_refused():
    with pytest.raises(BadOption, match="power"):
        rows_needed(0.02, 0.1, power=1.0)


@pytest.mark.parametrize(("margin", "discordance"), [(0.015, 0.0), (0.005, 0.0), (0.015, 0.002), (0.03, 0.001)])
def test_rows_that_hardly_differ_reach_the_power_at_their_own_level(margin, discordance):
    rows = rows_needed(margin, discordance)
    assert power(rows, margin, discordance) >= 0.8 - 0.005
    assert power(int(0.9 * rows), margin, discordance) < 0.8
