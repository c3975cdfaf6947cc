# SPDX-License-Identifier: Apache-2.0
"""Curves whose law is known: the forecast finds it, its interval holds what comes true, and else it is silent."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy.special import ndtri

from bigenough.errors import BadOption
from bigenough.rungs.extrapolation import LEVEL, Law, NoLaw, extrapolate

SIZES = [500, 1000, 2000, 4000]


def law_of(a, b, c):
    return lambda n: a - b * np.asarray(n, float) ** -c


@settings(max_examples=12)
@given(st.floats(0.7, 0.99), st.floats(0.05, 0.4), st.floats(0.2, 0.9))
def test_it_recovers_a_power_law_that_many_rows_show(ceiling, lost, exponent):
    curve = law_of(ceiling, lost * SIZES[0] ** exponent, exponent)
    assume(curve(SIZES[0]) > 0.2)
    law = extrapolate(SIZES, curve(SIZES), scored_rows=10_000_000)
    assume(isinstance(law, Law))
    twice = law.at(8000, 0.99)
    assert twice.low <= curve(8000) <= twice.high
    # At the far corner (a ceiling of 0.99, 0.4 lost, c = 0.2) the prior of c alone takes 0.00605.
    assert twice.score == pytest.approx(curve(8000), abs=0.0061)


@settings(max_examples=12)
@given(st.lists(st.floats(0.01, 0.99), min_size=4, max_size=4), st.integers(50, 5000))
def test_forecasts_keep_their_order(scores, scored_rows):
    law = extrapolate(SIZES, sorted(scores), scored_rows)
    if isinstance(law, NoLaw):
        return
    further = [law.at(rows) for rows in (4000, 8000, 16000, 64000)]
    for one in further:
        assert 0 <= one.low <= one.score <= one.high <= 1
    assert [one.score for one in further] == sorted(one.score for one in further)
    wide = law.at(8000, 0.95)
    assert wide.low <= further[1].low <= further[1].high <= wide.high
    assert law.weight.sum() == pytest.approx(1)
    assert (law.ceiling >= law.height).all()
    assert (law.ceiling <= 1).all()


def test_three_points_say_less_than_five_and_far_less_than_near():
    curve = law_of(0.95, 3.0, 0.5)
    sizes = [500, 1000, 2000, 4000, 8000]
    few, many = (extrapolate(sizes[-k:], curve(sizes[-k:]), 1000).at(16000) for k in (3, 5))
    assert few.high - few.low > many.high - many.low > 0.015
    near, far = (extrapolate(sizes, curve(sizes), 1000).at(rows) for rows in (16_000, 128_000))
    assert far.high - far.low > near.high - near.low


def test_scores_on_rows_of_their_own_make_it_wider():
    curve = law_of(0.95, 3.0, 0.5)(SIZES)
    apart, together = (extrapolate(SIZES, curve, 1000, shared=shared).at(8000) for shared in (0.0, 0.5))
    assert apart.high - apart.low > 1.2 * (together.high - together.low)


def test_the_order_of_the_points_does_not_matter():
    curve = law_of(0.95, 3.0, 0.5)(SIZES)
    assert extrapolate(SIZES, curve, 900).at(8000) == extrapolate(SIZES[::-1], curve[::-1], 900).at(8000)


def test_a_target_is_reached_where_the_law_says():
    curve = law_of(0.95, 3.0, 0.5)
    law = extrapolate(SIZES, curve(SIZES), scored_rows=10_000_000)
    there = law.reach(0.92, most=100_000)  # 3 n^-0.5 = 0.03 at n = 10,000
    assert there.earliest <= 10_000 <= there.latest
    assert there.rows == pytest.approx(10_000, rel=0.25)
    assert there.chance > 0.95
    beyond = law.reach(0.92, most=5_000)
    assert (beyond.rows, beyond.latest) == (None, None)
    assert beyond.chance < 0.1
    assert law.reach(0.85, most=5_000).rows == pytest.approx(900, rel=0.1)
    assert law.reach(0.999, most=10**9).chance < 0.2


@pytest.mark.parametrize(
    ("rows", "scores", "reason"),
    [
        ([500, 1000], [0.8, 0.9], "at least 3 points, and there are 2"),
        ([500, 500, 1000], [0.7, 0.8, 0.9], "there are 2"),
        ([900, 1000, 1100], [0.7, 0.8, 0.9], "too close together"),
        ([500, 1000, 2000], [0.9, 0.9, 0.9], "does not rise"),
        ([500, 1000, 2000], [0.9, 0.85, 0.8], "does not rise"),
        ([500, 1000, 2000], [0.900, 0.903, 0.905], "does not rise"),
    ],
)
def test_it_is_silent_with_a_reason(rows, scores, reason):
    found = extrapolate(rows, scores, 500)
    assert isinstance(found, NoLaw)
    assert reason in found.reason


@pytest.mark.parametrize(
    ("rows", "scores", "scored_rows", "shared"),
    [
        ([500, 1000], [0.8], 100, 0.5),
        ([0, 1000, 2000], [0.7, 0.8, 0.9], 100, 0.5),
        ([500, 1000, 2000], [0.7, 0.8, 1.2], 100, 0.5),
        ([500, 1000, 2000], [0.7, 0.8, float("nan")], 100, 0.5),
        ([500, 1000, 2000], [0.7, 0.8, 0.9], 0, 0.5),
        ([500, 1000, 2000], [0.7, 0.8, 0.9], 100, 1.0),
    ],
)
def test_what_is_no_curve_is_refused(rows, scores, scored_rows, shared):
    with pytest.raises(BadOption):
        extrapolate(rows, scores, scored_rows, shared=shared)


def test_questions_without_sense_are_refused():
    law = extrapolate(SIZES, law_of(0.95, 3.0, 0.5)(SIZES), 1000)
    for ask in (
        lambda: law.at(0),
        lambda: law.at(8000, 1.0),
        lambda: law.reach(0.9, 3999),
        lambda: law.reach(0.9, 8000, 0),
    ):
        with pytest.raises(BadOption):
            ask()


def _scored(truth, scored_rows, correlation, rng):
    """Scores on the same rows: a row is right when its own hardness, in part the same for all fits, allows it."""
    shared = rng.normal(size=scored_rows)
    hard = np.sqrt(correlation) * shared + np.sqrt(1 - correlation) * rng.normal(size=(len(truth), scored_rows))
    return (hard < ndtri(truth)[:, None]).mean(axis=1)


@pytest.mark.slow
@pytest.mark.parametrize(("copula", "shared"), [(0.0, 0.0), (0.8, 0.5)])
@pytest.mark.parametrize("points", [3, 4, 5])
def test_intervals_hold_what_comes_true_as_often_as_they_say(points, copula, shared):
    """Laws drawn at random, among them some that wiggle; with rows shared (0.8 for hardness is over 0.5 for hits)."""
    rng = np.random.default_rng(100 * points + round(10 * copula))
    sizes = np.array([500 * 2**step for step in range(points)])
    held, asked = 0, 0
    while asked < 400:
        c = float(np.exp(np.log(0.5) + 0.6 * rng.normal()))
        end, scored_rows = float(rng.uniform(0.5, 0.95)), int(rng.integers(300, 3000))
        ceiling = end + float(rng.uniform()) * (1 - end)
        every = np.append(sizes, 2 * sizes[-1])
        left = (ceiling - end) * (every / sizes[-1]) ** -c
        truth = ceiling - left * (1 + rng.choice([0.02, 0.05, 0.1, 0.2]) * rng.normal(size=len(every)))
        if c > 1 or truth.min() < 0.1 or truth.max() > 0.999:
            continue
        seen = _scored(truth, scored_rows, copula, rng)
        law = extrapolate(sizes.tolist(), seen[:-1].tolist(), scored_rows, shared=shared)
        if isinstance(law, NoLaw):
            continue
        asked += 1
        forecast = law.at(int(every[-1]))
        held += forecast.low <= seen[-1] <= forecast.high
    error = np.sqrt(LEVEL * (1 - LEVEL) / asked)
    assert held / asked >= LEVEL - 2 * error
