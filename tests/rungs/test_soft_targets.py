# SPDX-License-Identifier: Apache-2.0
"""Class probabilities in place of labels."""

import numpy as np
import pytest
from models.tiny_bert import write_model
from scipy.sparse import csr_array

from bigenough.rungs.frozen import FrozenRung
from bigenough.rungs.linear import LinearRung
from bigenough.rungs.protocol import Workbench
from bigenough.rungs.softmax_regression import balanced_weights, fit_softmax_regression
from bigenough.rungs.static import StaticRung


def drawn(seed=0, n=160, k=4):
    rng = np.random.default_rng(seed)
    return rng.standard_normal((n, 5)), csr_array(rng.poisson(0.2, (n, 30)).astype(float)), rng.integers(0, k, n)


@pytest.mark.parametrize("balanced", [False, True])
def test_a_one_and_zeros_are_a_label(balanced):
    x, sparse, labels = drawn()
    labels[labels == 2] = 0
    targets = np.eye(4)[labels]
    rows = {name: balanced_weights(given) if balanced else None for name, given in (("h", labels), ("s", targets))}
    hard = fit_softmax_regression(x, labels, n_classes=4, c=2.0, row_weights=rows["h"], sparse=sparse)
    soft = fit_softmax_regression(x, targets, n_classes=4, c=2.0, row_weights=rows["s"], sparse=sparse)
    for one, other in zip(hard, soft, strict=True):
        np.testing.assert_allclose(other, one, atol=5e-3)
    assert soft.bias[2] == -1e4


def test_targets_are_met_where_nothing_stands_in_the_way():
    """With features that tell every text apart and hardly any penalty the model says what it was told."""
    targets = np.random.default_rng(1).dirichlet(np.ones(3), 12)
    fitted = fit_softmax_regression(np.eye(12), targets, n_classes=3, c=1e5)
    scores = np.exp(fitted.weight + fitted.bias)
    np.testing.assert_allclose(scores / scores.sum(axis=1, keepdims=True), targets, atol=0.02)


def test_a_wrong_number_of_columns_is_refused():
    with pytest.raises(ValueError, match="as many columns"):
        fit_softmax_regression(np.ones((2, 1)), np.full((2, 3), 1 / 3), n_classes=4, c=1.0)


def test_the_static_rung_learns_the_same_from_both(tmp_path, fit_split, select_split):
    rung = StaticRung(str(write_model(tmp_path / "model")))
    bench = Workbench(0, 1, tmp_path / "cache", offline=True)
    settings = rung.first_settings(fit_split, 4)
    hard = rung.fit(fit_split, 4, settings, bench).predict_proba(select_split.texts)
    soft = rung.fit_soft(fit_split.texts, np.eye(4)[fit_split.labels], 4, settings, bench)
    np.testing.assert_allclose(soft.predict_proba(select_split.texts), hard, atol=0.01)


def test_the_frozen_rung_learns_the_same_from_both(tmp_path, fit_split, select_split):
    rung = FrozenRung(str(write_model(tmp_path / "model")))
    bench = Workbench(0, 1, tmp_path / "cache", offline=True)
    settings = rung.first_settings(fit_split, 4)
    hard = rung.fit(fit_split, 4, settings, bench).predict_proba(select_split.texts)
    soft = rung.fit_soft(fit_split.texts, np.eye(4)[fit_split.labels], 4, settings, bench)
    np.testing.assert_allclose(soft.predict_proba(select_split.texts), hard, atol=0.01)


def test_the_linear_rung_learns_from_probabilities(tmp_path, fit_split, select_split):
    rung, bench = LinearRung(), Workbench(0, 1, tmp_path, offline=True)
    settings = rung.first_settings(fit_split, 4)
    targets = 0.9 * np.eye(5)[fit_split.labels] + 0.1 * np.array([0.25, 0.25, 0.25, 0.25, 0.0])
    probability = rung.fit_soft(fit_split.texts, targets, 5, settings, bench).predict_proba(select_split.texts)
    assert not probability[:, 4].any()
    plain = rung.fit(fit_split, 4, settings, bench).predict_proba(select_split.texts)
    hits = [np.mean(each.argmax(axis=1) == select_split.labels) for each in (probability, plain)]
    assert hits[0] >= hits[1] - 0.05
