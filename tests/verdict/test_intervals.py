# SPDX-License-Identifier: Apache-2.0
import numpy as np
import pytest

from bigenough.task import metrics
from bigenough.verdict import metric_intervals, per_class_intervals
from bigenough.verdict.noninferiority import wilson_interval


def _world(n, seed=0, k=4):
    rng = np.random.default_rng(seed)
    probability = rng.dirichlet(np.full(k, 0.4), n)
    gold = (probability.cumsum(axis=1) > rng.random(n)[:, None]).argmax(axis=1)
    return gold, probability.argmax(axis=1), probability


@pytest.mark.parametrize("grouped", [False, True])
def test_values_are_the_metrics_and_lie_within_their_intervals(grouped):
    gold, predicted, probability = _world(600)
    groups = np.arange(600) // 3 if grouped else None
    found = metric_intervals(gold, predicted, probability, groups=groups, n_resamples=400)
    assert found["accuracy"].value == metrics.accuracy(gold, predicted)
    assert found["macro_f1"].value == pytest.approx(metrics.macro_f1(gold, predicted), abs=1e-12)
    assert found["balanced_accuracy"].value == pytest.approx(metrics.balanced_accuracy(gold, predicted), abs=1e-12)
    assert found["log_loss"].value == pytest.approx(metrics.log_loss(gold, probability), abs=1e-12)
    assert found["calibration_error"].value == metrics.calibration_error(gold, probability)
    assert all(one.low <= one.value <= one.high for one in found.values())
    assert all(("over groups" in one.method) == grouped for one in found.values())


def test_perfect_and_tiny_tables_have_intervals():
    gold = np.array([0, 1, 1])
    found = metric_intervals(gold, gold, np.eye(2)[gold], n_resamples=100)
    assert found["accuracy"][:3] == (1.0, pytest.approx(wilson_interval(3, 3).low), 1.0)
    assert found["macro_f1"].low < found["macro_f1"].value == found["macro_f1"].high == 1.0
    assert found["log_loss"][:3] == (0.0, 0.0, 0.0)
    assert all(np.isfinite(one[:3]).all() for one in found.values())


def test_class_scores_know_what_they_cannot_know():
    first, second, third = per_class_intervals(np.array([0, 0, 1]), np.array([0, 0, 0]), 3)
    assert (first.n, first.recall.value, first.precision.value) == (2, 1.0, pytest.approx(2 / 3))
    assert (second.precision, second.recall.value, second.f1) == (None, 0.0, 0.0)
    assert (third.n, third.precision, third.recall, third.f1) == (0, None, None, 0.0)
    assert third.to_json() == {"n": 0, "precision": None, "recall": None, "f1": 0.0}
    assert first.to_json()["recall"]["provenance"] == "measured"


@pytest.mark.parametrize("groups", [None, np.arange(100) // 2])
def test_no_log_loss_is_below_zero(groups):
    right = np.full(100, np.exp(-0.001))
    right[7] = np.exp(-3.0)
    gold = np.zeros(100, np.int64)
    found = metric_intervals(gold, gold, np.column_stack([right, 1 - right]), groups=groups, n_resamples=50)["log_loss"]
    assert 0 <= found.low < found.value < found.high
