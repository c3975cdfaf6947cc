# SPDX-License-Identifier: Apache-2.0
"""Our solver finds scikit-learn's optimum, sooner."""

import numpy as np
import pytest
from scipy.sparse import csr_array
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression

from bigenough.rungs.softmax_regression import balanced_weights, fit_softmax_regression


def objective(weight, bias, x, y, c, rows):
    scores = x @ weight + bias
    scores -= scores.max(1, keepdims=True)
    losses = np.log(np.exp(scores).sum(1)) - scores[np.arange(len(y)), y]
    return 0.5 * (weight**2).sum() + c * (rows * losses).sum()


@pytest.mark.parametrize("c", [0.01, 1.0, 30.0])
@pytest.mark.parametrize("balanced", [False, True])
def test_the_optimum_is_scikit_learns(c, balanced):
    x, y = load_digits(return_X_y=True)
    keep = (y > 2) | (np.arange(len(y)) % 4 == 0)
    x, y = x[keep] / 16 - 0.2, y[keep]
    rows = balanced_weights(y) if balanced else np.ones(len(y))
    theirs = LogisticRegression(C=c, max_iter=5000, tol=1e-8, class_weight="balanced" if balanced else None).fit(x, y)
    weight, bias, _ = fit_softmax_regression(x, y, n_classes=10, c=c, row_weights=rows)
    best = objective(theirs.coef_.T, theirs.intercept_, x, y, c, rows)
    assert objective(weight, bias, x, y, c, rows) <= best * 1.001 + 1e-6
    ours = (x @ weight + bias).argmax(1)
    assert np.mean(ours == theirs.predict(x)) > 0.995


def test_classes_without_rows_keep_their_place_and_get_nothing():
    x = np.random.default_rng(0).standard_normal((30, 4))
    y = np.repeat([1, 3], 15)
    weight, bias, _ = fit_softmax_regression(x, y, n_classes=5, c=1.0)
    assert weight.shape == (4, 5)
    assert set((x @ weight + bias).argmax(1)) <= {1, 3}
    assert not weight[:, [0, 2, 4]].any()
    assert (bias[[0, 2, 4]] == -1e4).all()


@pytest.mark.parametrize("x", [np.zeros((6, 3)), np.ones((6, 3), np.float32)])
def test_features_that_say_nothing_leave_the_shares(x):
    weight, bias, _ = fit_softmax_regression(x, np.array([0, 0, 0, 0, 1, 1]), n_classes=2, c=1.0)
    scores = np.exp(x[0] @ weight + bias)
    np.testing.assert_allclose(scores / scores.sum(), [2 / 3, 1 / 3], atol=1e-3)


def test_twice_gives_the_same_bits():
    rng = np.random.default_rng(2)
    x, y = rng.standard_normal((200, 20)).astype(np.float32), rng.integers(0, 5, 200)
    one, two = (fit_softmax_regression(x, y, n_classes=5, c=3.0) for _ in range(2))
    np.testing.assert_array_equal(one[0], two[0])
    np.testing.assert_array_equal(one[1], two[1])


def test_threads_share_the_work_and_change_no_digit():
    rng = np.random.default_rng(4)
    counts = csr_array(rng.poisson(0.1, (120, 50)).astype(np.float32))
    targets = rng.dirichlet(np.ones(6), 120)
    alone, *shared = (
        fit_softmax_regression(np.zeros((120, 0)), targets, n_classes=6, c=10.0, sparse=counts, threads=threads)
        for threads in (1, 2, 7)
    )
    for fitted in shared:
        np.testing.assert_array_equal(alone.sparse_weight, fitted.sparse_weight)
        np.testing.assert_array_equal(alone.bias, fitted.bias)


def test_more_threads_than_rows():
    counts = csr_array(np.eye(2, dtype=np.float32))
    fitted = fit_softmax_regression(np.zeros((2, 0)), np.array([0, 1]), n_classes=2, c=1.0, sparse=counts, threads=8)
    assert fitted.sparse_weight[0, 0] > 0 > fitted.sparse_weight[1, 0]


@pytest.mark.parametrize("c", [0.1, 5.0])
def test_sparse_features_are_features_like_others(c):
    rng = np.random.default_rng(3)
    x, y = rng.standard_normal((150, 6)), rng.integers(0, 3, 150)
    counts = rng.poisson(0.2, (150, 40)).astype(float)
    dense = fit_softmax_regression(np.hstack([x, counts]), y, n_classes=4, c=c)
    mixed = fit_softmax_regression(x, y, n_classes=4, c=c, sparse=csr_array(counts))
    ones, both = np.ones(150), np.hstack([x, counts])
    best = objective(dense.weight[:, :3], dense.bias[:3], both, y, c, ones)
    weight = np.vstack([mixed.weight, mixed.sparse_weight])
    assert objective(weight[:, :3], mixed.bias[:3], both, y, c, ones) == pytest.approx(best, rel=1e-3)
    assert not weight[:, 3].any()
