# SPDX-License-Identifier: Apache-2.0
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from statsmodels.stats.proportion import proportion_confint

from bigenough.errors import BadOption, NotEnoughLabels
from bigenough.verdict.prediction_powered import LEAST_CHECKED, LEAST_EACH, class_shares, label_quality


def _labels(rng, n, quality, kind):
    """Rights of n labels of this quality and the confidence in them."""
    sharp = 0.8 if kind == "sharp" else 8.0
    confidence = rng.beta(sharp * quality, sharp * (1 - quality), n)
    right = rng.random(n) < (quality if kind == "blind" else confidence)
    return right, 1 - (1 - confidence) ** 3 if kind == "overconfident" else confidence


@given(st.integers(1, 400), st.floats(0, 1), st.sampled_from([0.01, 0.05, 0.2]))
def test_without_a_confidence_it_is_the_exact_interval(n, share, alpha):
    hits = round(share * n)
    found = label_quality(np.arange(n) < hits, alpha=alpha)
    low, high = proportion_confint(hits, n, alpha, method="beta")
    assert (found.low, found.high) == pytest.approx((low if hits else 0.0, high if hits < n else 1.0))
    assert found.value == hits / n
    assert found.method == f"Clopper–Pearson, {n:,} checked rows"


@given(st.integers(1, 300), st.integers(0, 300), st.integers(0, 2**32 - 1), st.sampled_from(["sharp", "blind"]))
@settings(max_examples=60)
def test_interval_holds_its_estimate_and_is_a_share(n, n_unchecked, seed, kind):
    right, confidence = _labels(np.random.default_rng(seed), n + n_unchecked, 0.8, kind)
    found = label_quality(right[:n], confidence[:n], confidence[n:])
    assert 0 <= found.low <= found.value <= found.high <= 1
    few = n < LEAST_CHECKED or min(right[:n].sum(), n - right[:n].sum()) < LEAST_EACH
    if few or not n_unchecked:
        plain = label_quality(right[:n])
        assert found[:3] == plain[:3]
        assert found.method.startswith(plain.method + ";")


@pytest.mark.parametrize(
    ("n", "hits", "said"), [(49, 30, "fewer than 50"), (400, 391, "fewer than 10"), (400, 9, "fewer than 10")]
)
def test_few_rows_or_a_lopsided_share_fall_back_and_say_so(n, hits, said):
    right = np.arange(n) < hits
    confidence = np.linspace(0.99, 0.5, n)
    assert said in label_quality(right, confidence, confidence).method


def test_confidence_that_knows_narrows_and_one_that_does_not_changes_little():
    rng = np.random.default_rng(0)
    widths = {}
    for kind in ("sharp", "blind"):
        right, confidence = _labels(rng, 10_000, 0.8, kind)
        helped, plain = label_quality(right[:400], confidence[:400], confidence[400:]), label_quality(right[:400])
        widths[kind] = (helped.high - helped.low) / (plain.high - plain.low)
    assert widths["sharp"] < 0.75
    assert 0.9 < widths["blind"] < 1.03


def test_weight_has_the_smallest_variance():
    """The λ that is used, against a search over λ of the variance that Angelopoulos et al. give."""
    right, confidence = _labels(np.random.default_rng(3), 3000, 0.8, "overconfident")
    n, y, checked, unchecked = 500, right[:500].astype(float), confidence[:500] / 2, confidence[500:] / 2 + 0.1
    grid = np.linspace(0, 1, 1001)
    variance = [
        weight**2 * np.var(np.concatenate([checked, unchecked]), ddof=1) * (1 / n + 1 / 2500)
        - 2 * weight * np.cov(y, checked)[0, 1] / n
        for weight in grid
    ]
    found = label_quality(right[:500], checked, unchecked)
    best = grid[int(np.argmin(variance))]
    assert f"λ = {best:.2f}" in found.method
    assert found.value == pytest.approx(y.mean() + best * (unchecked.mean() - checked.mean()), abs=2e-3)


def test_constant_confidence_says_nothing():
    right = np.arange(200) < 150
    assert label_quality(right, np.full(200, 0.9), np.full(900, 0.9))[:3] == label_quality(right)[:3]


def test_perfect_guess_is_as_good_as_checking_all():
    rng = np.random.default_rng(1)
    right = rng.random(3000) < 0.7
    found = label_quality(right[:200], right[:200].astype(float), right[200:].astype(float))
    assert found.value == pytest.approx(right.mean(), abs=0.003)
    assert found.high - found.low < 0.04


def test_class_shares_correct_what_the_model_miscounts():
    """A model that calls half of class 2 class 0: its own counts are off by ten points, the estimates are not."""
    rng, truth = np.random.default_rng(2), np.array([0.5, 0.3, 0.2])
    estimates, widths, plain = [], [], []
    for _ in range(60):
        gold = rng.choice(3, 4000, p=truth)
        said = np.where((gold == 2) & (rng.random(4000) < 0.5), 0, gold)
        found = class_shares(gold[:300], said[:300], said[300:], 3)
        estimates.append([each.value for each in found])
        widths.append(found[1].high - found[1].low)
        plain.append(np.ptp(label_quality(gold[:300] == 1)[1:3]))
    assert np.mean(estimates, axis=0) == pytest.approx(truth, abs=0.01)
    assert np.mean(widths) < 0.5 * np.mean(plain)


def test_probabilities_serve_as_well_as_codes():
    rng = np.random.default_rng(5)
    gold = rng.integers(0, 2, 2000)
    chance = np.clip(gold + rng.normal(0, 0.4, 2000), 0, 1)
    soft = np.stack([1 - chance, chance], axis=1)
    hard = soft.argmax(axis=1)
    widths = [
        np.ptp(class_shares(gold[:200], said[:200], said[200:], 2)[0][1:3]) for said in (soft, hard, np.eye(2)[hard])
    ]
    assert widths[0] < widths[1] == pytest.approx(widths[2])


@pytest.mark.parametrize(
    ("call", "error", "said"),
    [
        (lambda: label_quality(np.zeros(0, bool)), NotEnoughLabels, "No row was checked"),
        (lambda: label_quality(np.ones(5)), BadOption, "one boolean"),
        (lambda: label_quality(np.ones(5, bool), np.ones(5)), BadOption, "or of neither"),
        (lambda: label_quality(np.ones(5, bool), np.ones(4), np.ones(9)), BadOption, "one figure a row"),
        (lambda: label_quality(np.ones(5, bool), np.full(5, np.nan), np.ones(9)), BadOption, "finite"),
        (lambda: label_quality(np.ones(5, bool), alpha=0.7), BadOption, "alpha"),
        (lambda: class_shares(np.array([0, 3]), np.array([0, 1]), np.array([0]), 2), BadOption, "one code"),
        (lambda: class_shares(np.array([0, 1]), np.array([0, 2]), np.array([0]), 2), BadOption, "probabilities a row"),
        (lambda: class_shares(np.array([0, 1]), np.ones((2, 3)), np.ones((1, 3)), 2), BadOption, "probabilities a row"),
    ],
)
def test_nonsense_is_refused(call, error, said):
    with pytest.raises(error, match=said):
        call()


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["calibrated", "sharp", "overconfident", "blind"])
@pytest.mark.parametrize(
    ("n", "n_unchecked", "quality"),
    [(50, 2000, 0.8), (100, 2000, 0.9), (200, 300, 0.95), (200, 4000, 0.8), (400, 4000, 0.97), (1000, 5000, 0.9)],
)
def test_intervals_cover(kind, n, n_unchecked, quality):
    rng, studies, hits = np.random.default_rng(6), 2000, 0
    for _ in range(studies):
        right, confidence = _labels(rng, n + n_unchecked, quality, kind)
        found = label_quality(right[:n], confidence[:n], confidence[n:])
        hits += found.low <= quality <= found.high
    assert hits / studies >= 0.95 - 2 * np.sqrt(0.95 * 0.05 / studies)


@pytest.mark.slow
def test_normal_limit_alone_would_miss_too_often():
    """The published interval where the share is lopsided; else the effective number of rows would be for nothing."""
    rng, n, studies, normal, ours = np.random.default_rng(8), 200, 2000, 0, 0
    for _ in range(studies):
        right, confidence = _labels(rng, n + 4000, 0.95, "sharp")
        y, checked, unchecked = right[:n].astype(float), confidence[:n], confidence[n:]
        weight = min(max(np.cov(y, checked)[0, 1] / ((1 + n / 4000) * np.var(confidence, ddof=1)), 0), 1)
        value = y.mean() + weight * (unchecked.mean() - checked.mean())
        error = np.sqrt(weight**2 * np.var(confidence) / 4000 + np.var(y - weight * checked, ddof=1) / n)
        normal += abs(value - 0.95) <= 1.96 * error
        found = label_quality(right[:n], checked, unchecked)
        ours += found.low <= 0.95 <= found.high
    assert normal / studies < 0.93
    assert ours / studies >= 0.95 - 2 * np.sqrt(0.95 * 0.05 / studies)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("n_unchecked", "wrong"), [(10_000, 0.009), (10_000, 0.002), (50_000, 0.005), (100_000, 0.004), (100_000, 0.02)]
)
def test_class_shares_of_a_model_that_hardly_errs_cover(n_unchecked, wrong):
    """All its errors go one way, and two hundred checked rows often show none of them."""
    rng, n, studies, hits, truth = np.random.default_rng(9), 200, 2000, 0, 0.25
    for _ in range(studies):
        checked = rng.multinomial(n, [truth, wrong, 1 - truth - wrong])  # of the class, wrongly put there, neither
        more = rng.multinomial(n_unchecked, [truth, wrong, 1 - truth - wrong])
        found = class_shares(
            np.repeat([1, 0, 0], checked), np.repeat([1, 1, 0], checked), np.repeat([1, 1, 0], more), 2
        )[1]
        hits += found.low <= truth <= found.high
    assert hits / studies >= 0.95 - 2 * np.sqrt(0.95 * 0.05 / studies)
