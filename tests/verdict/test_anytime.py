# SPDX-License-Identifier: Apache-2.0
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from bigenough.errors import BadOption
from bigenough.verdict.anytime import SequentialWalk, anytime_bounds, asking_order, log_e_value

MARGINS = st.sampled_from([0.0, 0.005, 0.02, 0.1, 0.5])
DISCORDANCES = st.sampled_from([0.02, 0.1, 0.6])
GOAL = -math.log(0.05)


def _rights(differences):
    """A nominee and a reference whose rights differ by these."""
    differences = np.asarray(differences)
    return differences >= 0, differences <= 0


@settings(max_examples=60)
@given(MARGINS, DISCORDANCES, st.floats(0, 1), st.integers(1, 6), st.booleans(), st.floats(0, 1))
def test_stake_has_no_mean_above_one_under_its_hypothesis(margin, expected, share, n, worse, further):
    """Exactly, over all tables of n rows; at the edge of the hypothesis the mean is one, so nothing is given away."""
    edge = -margin
    difference = edge + further * (1 - edge) if worse else edge - further * (1 + edge)
    b = share * (1 - abs(difference)) / 2 + max(difference, 0)
    c = b - difference
    counts = np.array([(i, j, n - i - j) for i in range(n + 1) for j in range(n + 1 - i)])
    chances = stats.multinomial.pmf(counts, n, [b, c, max(1 - b - c, 0.0)])
    stakes = np.exp(log_e_value(counts[:, 0], counts[:, 1], n, margin, discordance=expected, worse=worse))
    mean = float(np.nansum(chances * stakes))
    assert np.all(stakes >= 0)
    assert mean <= 1 + 1e-9
    if further == 0:
        assert mean == pytest.approx(1, abs=1e-9)


@settings(max_examples=60)
@given(MARGINS, DISCORDANCES, st.integers(0, 60), st.integers(0, 60), st.integers(1, 300))
def test_every_row_that_speaks_for_a_claim_raises_its_stake(margin, expected, b, c, ties):
    n = b + c + ties

    def stakes(b, c):
        return [float(log_e_value(b, c, n, margin, discordance=expected, worse=worse)) for worse in (False, True)]

    good, bad = stakes(b, c)
    for better in (stakes(b + 1, c), stakes(b, c - 1) if c else stakes(b + 1, c)):
        assert better[0] > good
        assert better[1] < bad


@settings(max_examples=60)
@given(st.lists(st.sampled_from([-1, 0, 0, 0, 0, 1]), min_size=1, max_size=150), MARGINS, st.data())
def test_stakes_depend_on_counts_and_findings_do_not_depend_on_batches(differences, margin, data):
    cuts = sorted(data.draw(st.sets(st.integers(1, len(differences)), max_size=4)) | {len(differences)})
    candidate, reference = _rights(differences)
    batched, whole, shuffled = (SequentialWalk(margin, 0.05, ["small"], rows=len(differences)) for _ in range(3))
    for start, end in zip([0, *cuts[:-1]], cuts, strict=True):
        batched.update(candidate[start:end, None], reference[start:end])
    whole.update(candidate[:, None], reference)
    assert batched.standings[0] == pytest.approx(whole.standings[0])
    order = np.random.default_rng(0).permutation(len(differences))
    shuffled.update(candidate[order, None], reference[order])
    expected = [
        float(np.exp(log_e_value(differences.count(1), differences.count(-1), len(differences), margin, worse=worse)))
        for worse in (False, True)
    ]
    for walk in (batched, shuffled):
        assert [walk.standings[0].e_not_worse, walk.standings[0].e_worse] == pytest.approx(expected)


def test_what_is_found_first_stands():
    walk = SequentialWalk(0.1, 0.05, ["small"])
    good, bad = _rights([1] * 60), _rights([-1] * 400)
    walk.update(good[0][:, None], good[1])
    found = walk.standings[0]
    walk.update(bad[0][:, None], bad[1])
    assert found.finding == walk.standings[0].finding == "not worse"
    assert found.settled_at == walk.standings[0].settled_at < 60
    assert walk.standings[0].e_worse > 20
    assert walk.standings[0].p_not_worse == found.p_not_worse <= 0.05
    assert walk.stopped_at == 60


NOT_WORSE, WORSE, OPEN = [0] * 190 + [1] * 10, [-1] * 120 + [0] * 80, [0] * 20 + [-1, 0] * 10 + [1, 0] * 80


@pytest.mark.parametrize(
    ("stories", "passed", "decided", "settled"),
    [
        ([NOT_WORSE, NOT_WORSE], ("a", "b"), True, True),
        ([NOT_WORSE, WORSE, NOT_WORSE], ("a",), True, True),
        ([WORSE, NOT_WORSE], (), True, False),
        ([WORSE, WORSE], (), True, True),
        ([NOT_WORSE, [0] * 10], ("a",), False, False),
        ([[0] * 10, WORSE, NOT_WORSE], (), False, False),
    ],
)
def test_walk_ends_with_the_first_that_is_found_worse_and_crowns_nobody_behind(stories, passed, decided, settled):
    n = max(map(len, stories))
    walk = SequentialWalk(0.05, 0.05, list("abc")[: len(stories)], rows=n + 1)
    # [0] * 10 stands for a nominee whose rows take turns, which says nothing of it
    columns = [story if len(story) == n else [(-1) ** i for i in range(n)] for story in stories]
    differences = np.array(columns).T
    reference = np.ones(n, dtype=bool)
    # one reference serves all, so a nominee that is right alone needs rows on which the reference is wrong
    reference[np.any(differences > 0, axis=1)] = False
    candidate = np.where(reference[:, None], differences == 0, differences > 0)
    walk.update(candidate, reference)
    assert (walk.passed, walk.decided, walk.settled) == (passed, decided, settled), walk.standings


def test_walk_is_decided_when_the_rows_are_exhausted():
    candidate, reference = _rights([1, -1] * 20)
    walk = SequentialWalk(0.02, 0.05, ["a", "b"], rows=40)
    walk.update(np.stack([candidate, candidate], axis=1)[:30], reference[:30])
    assert (walk.decided, walk.stopped_at, walk.rows_saved) == (False, None, 10)
    walk.update(np.stack([candidate, candidate], axis=1)[30:], reference[30:])
    assert (walk.decided, walk.settled, walk.stopped_at, walk.rows_saved, walk.passed) == (True, True, 40, 0, ())
    assert [step.passed for step in walk.steps] == [False, None]


@given(st.integers(0, 80), st.integers(0, 80), st.integers(0, 1000), st.sampled_from([0.005, 0.02, 0.1]))
@settings(max_examples=60)
def test_bounds_say_what_the_stakes_say(b, c, ties, margin):
    n = b + c + ties
    low, high = anytime_bounds(b, c, n, margin, 0.05)
    assert -1 <= low <= (b - c) / max(n, 1) <= high <= 1
    for worse, side in ((False, low + margin), (True, -margin - high)):
        stake = float(log_e_value(b, c, n, margin, worse=worse))
        if abs(stake - GOAL) > 1e-6:
            assert (side > 0) == (stake > GOAL)


@settings(max_examples=60)
@given(st.lists(st.integers(0, 5), max_size=40), st.integers(0, 3))
def test_order_is_of_all_rows_and_keeps_groups_together(codes, seed):
    groups = np.array(codes, dtype=np.int64)
    order = asking_order(len(codes), seed, groups)
    assert sorted(order.tolist()) == list(range(len(codes)))
    assert np.sum(np.diff(groups[order]) != 0) == max(len(set(codes)) - 1, 0)
    assert sorted(asking_order(len(codes), seed).tolist()) == list(range(len(codes)))


def test_group_is_one_bet_however_its_rows_are_ordered():
    differences, groups = np.array([0, 1, -1, 0, 0, 0, 1, 0]), np.array([4, 4, 9, 9, 9, 2, 2, 7])
    candidate, reference = _rights(differences)
    whole, parts = (SequentialWalk(0.05, 0.05, ["a"], largest_group=3) for _ in range(2))
    whole.update(candidate[:, None], reference, groups)
    for code in (9, 7, 4, 2):
        mine = groups == code
        parts.update(candidate[mine, None], reference[mine], groups[mine])
    assert whole.standings[0].e_not_worse == pytest.approx(parts.standings[0].e_not_worse)
    assert whole.asked == parts.asked == 8


def test_copies_in_groups_say_less_than_as_many_single_rows():
    candidate, reference = np.ones((600, 1), dtype=bool), np.ones(600, dtype=bool)
    rows, groups = SequentialWalk(0.03, 0.05, ["a"]), SequentialWalk(0.03, 0.05, ["a"], largest_group=5)
    rows.update(candidate, reference)
    groups.update(candidate, reference, np.arange(600) // 5)
    assert 1 < groups.standings[0].e_not_worse < rows.standings[0].e_not_worse


@pytest.mark.parametrize("difference", [-0.03, 0.0])
def test_false_findings_stay_rare(difference):
    """At the edge of both hypotheses, and where the candidate is equal: 400 studies of 800 rows."""
    luck = np.random.default_rng(5).random((800, 400))
    b, c = (luck < 0.05 + difference / 2).cumsum(axis=0), (luck > 0.95 + difference / 2).cumsum(axis=0)
    rows = np.arange(1, 801)[:, None]
    found = [np.mean((log_e_value(b, c, rows, 0.03, worse=worse) >= GOAL).any(axis=0)) for worse in (False, True)]
    ceiling = 0.05 + 3 * math.sqrt(0.05 * 0.95 / 400)
    assert found[1] <= ceiling
    if difference < 0:
        assert found[0] <= ceiling
    else:
        assert found[0] > 0.5  # equal models are usually recognised


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"margin": 1.0}, "margin must be a fraction"),
        ({"alpha": 0.5}, "alpha must lie"),
        ({"nominees": []}, "different names"),
        ({"nominees": ["a", "a"]}, "different names"),
        ({"discordance": 0.0}, "discordance must be a fraction"),
        ({"rows": 0}, "at least one row"),
        ({"largest_group": 0}, "at least one row"),
    ],
)
def test_nonsense_is_refused(wrong, said):
    given_ = {"margin": 0.02, "alpha": 0.05, "nominees": ["a"], **wrong}
    with pytest.raises(BadOption, match=said):
        SequentialWalk(**given_)


TWO = np.array([0, 0])


@pytest.mark.parametrize(
    ("setting", "candidate", "reference", "groups", "said"),
    [
        ({}, np.ones((3, 2), bool), np.ones(3, bool), None, r"Expected \(3, 1\)"),
        ({}, np.ones((3, 1)), np.ones(3, bool), None, "booleans"),
        ({"rows": 2}, np.ones((3, 1), bool), np.ones(3, bool), None, "3 rows were asked of 2"),
        ({}, np.ones((2, 1), bool), np.ones(2, bool), TWO, "largest_group"),
        ({"largest_group": 2}, np.ones((2, 1), bool), np.ones(2, bool), None, "largest_group"),
        ({"largest_group": 2}, np.ones((3, 1), bool), np.ones(3, bool), TWO, "one group code"),
        ({"largest_group": 2}, np.ones((3, 1), bool), np.ones(3, bool), np.zeros(3, np.int64), "a group has 3 rows"),
    ],
)
def test_rows_that_do_not_fit_are_refused(setting, candidate, reference, groups, said):
    with pytest.raises(BadOption, match=said):
        SequentialWalk(0.02, 0.05, ["a"], **setting).update(candidate, reference, groups)


def test_group_that_is_split_over_batches_is_refused():
    walk = SequentialWalk(0.02, 0.05, ["a"], largest_group=4)
    walk.update(np.ones((2, 1), bool), np.ones(2, bool), TWO)
    with pytest.raises(BadOption, match="the group 0 came in an earlier batch"):
        walk.update(np.ones((2, 1), bool), np.ones(2, bool), TWO)
