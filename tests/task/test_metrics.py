# SPDX-License-Identifier: Apache-2.0
"""Every score against scikit-learn, and its properties."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from sklearn import metrics as peer

from bigenough.task.metrics import accuracy, balanced_accuracy, calibration_error, log_loss, macro_f1, score

codes = st.integers(1, 60).flatmap(
    lambda n: st.tuples(*(arrays(np.int64, n, elements=st.integers(0, 4)) for _ in range(2)))
)


@given(codes)
def test_scores_agree_with_scikit_learn(pair):
    gold, predicted = pair
    present = np.unique(gold)
    recall = peer.recall_score(gold, predicted, labels=present, average="macro", zero_division=0)
    f1 = peer.f1_score(gold, predicted, labels=present, average="macro", zero_division=0)
    assert accuracy(gold, predicted) == pytest.approx(peer.accuracy_score(gold, predicted))
    assert balanced_accuracy(gold, predicted) == pytest.approx(recall)
    assert macro_f1(gold, predicted) == pytest.approx(f1)


@given(codes, st.permutations(range(5)))
def test_names_of_classes_do_not_matter(pair, order):
    gold, predicted = pair
    renamed = np.array(order)
    for name in ("accuracy", "balanced_accuracy", "macro_f1"):
        assert score(name, renamed[gold], renamed[predicted]) == pytest.approx(score(name, gold, predicted))


def test_log_loss_agrees_with_scikit_learn():
    rng = np.random.default_rng(0)
    probability = rng.dirichlet(np.ones(4), size=200)
    gold = rng.integers(0, 4, 200)
    assert log_loss(gold, probability) == pytest.approx(peer.log_loss(gold, probability, labels=range(4)))


def test_log_loss_of_a_certain_error_is_bounded():
    assert log_loss(np.array([1]), np.array([[1.0, 0.0]])) == pytest.approx(-np.log(1e-12))


def test_calibration_error_is_small_when_confidence_is_true_and_large_when_it_is_not():
    rng = np.random.default_rng(0)
    confidence = rng.uniform(0.5, 1.0, 20_000)
    probability = np.column_stack([confidence, 1 - confidence])
    gold = (rng.uniform(size=20_000) > confidence).astype(np.int64)
    assert calibration_error(gold, probability) < 0.02
    assert calibration_error(np.ones(20_000, dtype=np.int64), probability) > 0.7
