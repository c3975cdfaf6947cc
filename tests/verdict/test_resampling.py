# SPDX-License-Identifier: Apache-2.0
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from bigenough.task import metrics
from bigenough.verdict.noninferiority import tango_lower
from bigenough.verdict.resampling import resample

METRICS = ["accuracy", "balanced_accuracy", "macro_f1"]


def _models(n=400, k=5, seed=0, rights=(0.8, 0.85)):
    rng = np.random.default_rng(seed)
    gold = rng.choice(k, n, p=np.linspace(1, 3, k) / np.linspace(1, 3, k).sum())
    return gold, *(np.where(rng.random(n) < right, gold, rng.integers(0, k, n)) for right in rights)


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("paired", [True, False])
def test_bca_is_that_of_scipy_on_the_same_resamples(metric, paired):
    gold, candidate, reference = _models()
    against = reference if paired else None

    def statistic(rows):
        rows = rows.astype(np.int64)
        value = metrics.score(metric, gold[rows], candidate[rows])
        return value - metrics.score(metric, gold[rows], reference[rows]) if paired else value

    ours = resample(metric, gold, candidate, against, seed=3, n_resamples=500)

    class Known:  # scipy takes a result's distribution instead of drawing its own
        bootstrap_distribution = ours.replicates

    peer = stats.bootstrap(
        (np.arange(len(gold)),),
        statistic,
        vectorized=False,
        n_resamples=0,
        bootstrap_result=Known,
        confidence_level=0.9,
    ).confidence_interval
    assert ours.bca_bound(0.05, "lower") == pytest.approx(peer.low, abs=1e-9)
    assert ours.bca_bound(0.05, "upper") == pytest.approx(peer.high, abs=1e-9)


@pytest.mark.parametrize("metric", METRICS)
def test_resamples_vary_as_rows_drawn_one_by_one(metric):
    gold, candidate, reference = _models(n=150)
    ours = resample(metric, gold, candidate, reference, seed=0, n_resamples=4000).replicates
    rng = np.random.default_rng(1)
    plain = []
    for _ in range(4000):
        rows = rng.integers(0, 150, 150)
        plain.append(
            metrics.score(metric, gold[rows], candidate[rows]) - metrics.score(metric, gold[rows], reference[rows])
        )
    assert stats.ks_2samp(ours, plain).pvalue > 1e-4


@pytest.mark.parametrize("metric", METRICS)
def test_estimate_is_the_metric(metric):
    gold, candidate, reference = _models(seed=4)
    expected = metrics.score(metric, gold, candidate) - metrics.score(metric, gold, reference)
    assert resample(metric, gold, candidate, reference, n_resamples=10).estimate == pytest.approx(expected, abs=1e-12)


@settings(max_examples=25)
@given(st.sampled_from(METRICS), st.integers(0, 10_000), st.booleans())
def test_order_of_rows_does_not_matter(metric, seed, grouped):
    gold, candidate, reference = _models(n=90, seed=seed)
    groups = np.arange(90) // 3 if grouped else None
    order = np.random.default_rng(seed).permutation(90)
    shuffled = None if groups is None else groups[order]
    first = resample(metric, gold, candidate, reference, groups=groups, n_resamples=50)
    second = resample(metric, gold[order], candidate[order], reference[order], groups=shuffled, n_resamples=50)
    assert first.bound(0.05, "lower") == pytest.approx(second.bound(0.05, "lower"), abs=1e-12)


@settings(max_examples=25)
@given(st.sampled_from(METRICS), st.integers(0, 10_000))
def test_lower_level_gives_farther_bounds_and_p_values_follow_them(metric, seed):
    result = resample(metric, *_models(n=120, seed=seed), n_resamples=300)
    bounds = [result.bound(level, "lower") for level in (0.01, 0.025, 0.05, 0.2)]
    assert bounds == sorted(bounds)
    assert result.bound(0.05, "upper") >= result.estimate >= bounds[-1]
    assert result.pvalue(bounds[1] - 1e-9) <= 0.025 + 1e-9
    assert result.pvalue(bounds[1] + 1e-6) >= 0.025 - 1e-9


def test_a_table_without_discordant_rows_gets_tangos_bound():
    gold = np.array([0, 1] * 300)
    result = resample("accuracy", gold, gold, gold, n_resamples=100)
    assert result.estimate == 0
    assert result.bound(0.05, "lower") == pytest.approx(float(tango_lower(0, 0, 600, 0.05)), rel=0.01)


def test_score_bound_of_accuracy_is_close_to_tangos_score():
    gold = np.zeros(2000, dtype=np.int64)
    candidate, reference = gold.copy(), gold.copy()
    candidate[:90], reference[60:130] = 1, 1
    result = resample("accuracy", gold, candidate, reference)
    b, c = 40, 60
    assert result.estimate == pytest.approx((b - c) / 2000)
    tango = float(tango_lower(b, c, 2000, 0.05))
    assert tango - 6e-4 < result.score_bound(0.05, "lower") < tango


@pytest.mark.parametrize("metric", ["balanced_accuracy", "macro_f1"])
def test_agreement_with_a_rare_class_leaves_more_doubt_than_without(metric):
    even, rare = np.repeat([0, 1], [200, 200]), np.repeat([0, 1], [396, 4])
    bounds = [resample(metric, gold, gold, gold, n_resamples=50).bound(0.05, "lower") for gold in (even, rare)]
    assert bounds[1] < 5 * bounds[0] < 0


def test_a_class_that_vanishes_from_a_resample_is_no_failure():
    gold = np.repeat([0, 1, 2], [30, 30, 1])
    candidate = gold.copy()
    candidate[-1] = 0
    result = resample("macro_f1", gold, candidate, gold, n_resamples=2000)
    assert np.isfinite(result.replicates).all()
    assert result.replicates[-1] == 0  # without the class there is no difference


def test_groups_whose_rows_move_together_widen_the_bound():
    rng = np.random.default_rng(0)
    groups = np.repeat(np.arange(100), 10)
    gold = np.zeros(1000, dtype=np.int64)
    candidate = np.repeat(rng.random(100) < 0.1, 10).astype(np.int64)
    reference = np.repeat(rng.random(100) < 0.1, 10).astype(np.int64)
    alone = resample("accuracy", gold, candidate, reference)
    together = resample("accuracy", gold, candidate, reference, groups=groups)
    assert together.standard_error == pytest.approx(np.sqrt(10) * alone.standard_error, rel=0.05)
    assert together.units == 100


def test_agreeing_groups_count_as_whole_groups():
    gold = np.zeros(1000, dtype=np.int64)
    alone = resample("accuracy", gold, gold, gold, n_resamples=50)
    together = resample("accuracy", gold, gold, gold, groups=np.arange(1000) // 10, n_resamples=50)
    assert together.bound(0.05, "lower") < 9 * alone.bound(0.05, "lower")


def test_seed_is_the_only_randomness():
    rows = _models()
    first, again, other = (resample("macro_f1", *rows, seed=seed, n_resamples=50) for seed in (1, 1, 2))
    assert np.array_equal(first.replicates, again.replicates)
    assert not np.array_equal(first.replicates, other.replicates)


@pytest.mark.parametrize("lost", [0, 1, 2])
def test_one_discordant_row_does_not_speak_for_whole_groups(lost):
    gold = np.zeros(1000, np.int64)
    candidate = gold.copy()
    candidate[:lost] = 1
    bound = resample("accuracy", gold, candidate, gold, groups=np.arange(1000) // 10, n_resamples=100).bound(
        0.05, "lower"
    )
    assert bound < -0.025
    alone = resample("accuracy", gold, candidate, gold, groups=np.arange(1000), n_resamples=100).bound(0.05, "lower")
    assert alone == pytest.approx(
        resample("accuracy", gold, candidate, gold, n_resamples=100).bound(0.05, "lower"), abs=1e-3
    )
    assert alone > -0.01
