# SPDX-License-Identifier: Apache-2.0
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from statsmodels.stats.contingency_tables import mcnemar
from statsmodels.stats.proportion import proportion_confint

from bigenough.verdict.noninferiority import (
    exact_bounds,
    exact_pvalue,
    mcnemar_pvalue,
    tango_interval,
    tango_lower,
    tango_pvalue,
    tango_upper,
    tango_z,
    wilson_interval,
)


@st.composite
def tables(draw):
    n = draw(st.integers(2, 5000))
    b = draw(st.integers(0, n))
    return b, draw(st.integers(0, n - b)), n


@pytest.mark.parametrize(
    ("b", "c", "n", "confidence", "low", "high"),
    [
        (0, 1, 44, 0.90, -0.096, 0.037),  # Tango 1998, disinfection of contact lenses
        (1, 7, 21, 0.95, -0.517, -0.026),  # Bentur et al. 2009, in Fagerland, Lydersen & Laake 2017, chapter 8
        (6, 16, 161, 0.95, -0.1240, -0.0054),  # Cavo et al. 2012, ibidem
        (28, 25, 618, 0.90, -0.0148, 0.0247),  # R: PropCIs::scoreci.mp(25, 28, 618, 0.9)
    ],
)
def test_tango_interval_is_the_published_one(b, c, n, confidence, low, high):
    digits = 3 if n < 100 else 4
    assert [round(end, digits) for end in tango_interval(b, c, n, confidence)] == [low, high]


def test_tango_test_is_the_published_one():
    assert round(float(tango_z(0, 1, 44, -0.1)), 3) == 1.709  # Tango 1998
    assert round(float(tango_pvalue(0, 1, 44, 0.1)), 3) == 0.044


def test_constrained_estimate_maximises_the_likelihood():
    b, c, n, d = 30, 45, 600, -0.04
    q = np.linspace(0.0401, 0.3, 400_001)
    likelihood = b * np.log(q + d) + c * np.log(q) + (n - b - c) * np.log(1 - 2 * q - d)
    best = q[likelihood.argmax()]
    assert float(tango_z(b, c, n, d)) == pytest.approx((b - c - n * d) / np.sqrt(n * (2 * best + d - d**2)), abs=1e-4)


def test_agreement_on_every_row_still_leaves_doubt():
    z2 = stats.norm.isf(0.05) ** 2
    assert float(tango_lower(0, 0, 500, 0.05)) == pytest.approx(-z2 / (500 + z2), abs=1e-12)


@pytest.mark.parametrize(("b", "c", "n"), [(0, 7, 7), (7, 0, 7), (0, 0, 1), (1, 0, 1), (3, 4, 7)])
def test_tables_at_the_border_have_ordered_bounds_within_the_range(b, c, n):
    low, high = tango_interval(b, c, n)
    assert -1 <= low <= (b - c) / n <= high <= 1


@given(tables(), st.floats(0.001, 0.4))
def test_bounds_mirror_each_other_and_enclose_the_estimate(table, level):
    b, c, n = table
    low, high = float(tango_lower(b, c, n, level)), float(tango_upper(b, c, n, level))
    assert low <= (b - c) / n + 1e-12
    assert high == -float(tango_lower(c, b, n, level))
    assert -1 <= low <= high <= 1


@given(tables(), st.floats(0, 0.5), st.floats(0, 0.4))
def test_a_wider_margin_never_makes_the_proof_harder(table, margin, more):
    assert tango_pvalue(*table, margin + more) <= tango_pvalue(*table, margin) + 1e-12


@given(tables(), st.floats(0, 0.3))
def test_one_more_win_never_hurts(table, margin):
    b, c, n = table
    if b + c < n:
        assert tango_z(b + 1, c, n, -margin) >= tango_z(b, c, n, -margin)


@given(tables(), st.floats(0.0, 0.3), st.sampled_from([0.01, 0.025, 0.05]))
def test_test_and_bound_say_the_same(table, margin, level):
    low, p = float(tango_lower(*table, level)), float(tango_pvalue(*table, margin))
    if abs(low + margin) > 1e-9:
        assert (low > -margin) == (p < level)


def test_arrays_give_what_scalars_give():
    b, c, n = np.array([0, 5, 30]), np.array([2, 5, 50]), np.array([40, 100, 1000])
    assert tango_lower(b, c, n, 0.05).tolist() == [float(tango_lower(*row, 0.05)) for row in zip(b, c, n, strict=True)]


@given(st.integers(0, 300), st.integers(0, 300))
def test_mcnemar_is_that_of_statsmodels(b, c):
    if b + c:
        assert mcnemar_pvalue(b, c) == pytest.approx(mcnemar([[0, b], [c, 0]], exact=True).pvalue, abs=1e-12)


@given(st.integers(1, 3000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))), st.sampled_from([0.9, 0.95]))
def test_intervals_of_a_share_are_those_of_statsmodels(hits_of, confidence):
    hits, n = hits_of
    expected = proportion_confint(hits, n, alpha=1 - confidence, method="wilson")
    assert wilson_interval(hits, n, confidence) == pytest.approx(expected, abs=1e-12)
    expected = proportion_confint(hits, n, alpha=1 - confidence, method="beta")
    assert exact_bounds(hits, n, (1 - confidence) / 2) == pytest.approx(expected, abs=1e-12)


@given(st.integers(1, 2000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))), st.floats(0.05, 0.99))
def test_exact_test_is_that_of_scipy_and_agrees_with_its_bound(hits_of, bar):
    hits, n = hits_of
    p = exact_pvalue(hits, n, bar)
    assert p == pytest.approx(stats.binomtest(hits, n, bar, alternative="greater").pvalue, abs=1e-12)
    low = exact_bounds(hits, n, 0.05).low
    if abs(low - bar) > 1e-9:
        assert (low > bar) == (p < 0.05)
