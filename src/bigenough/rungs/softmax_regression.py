# SPDX-License-Identifier: Apache-2.0
"""Multinomial logistic regression on dense features, fast enough to be fitted dozens of times in a search.

The optimum is that of ``sklearn.linear_model.LogisticRegression``'s multinomial loss; the way there is shorter. The
features of an encoder are strongly correlated, which makes plain L-BFGS crawl. Here the problem is first turned into
the features' principal axes and each axis scaled by the root of its curvature (Böhning 1992 bounds the Hessian of the
loss by a multiple of XᵀX), after which a few dozen steps suffice.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["balanced_weights", "fit_softmax_regression"]

Array = NDArray[np.float64]

STEPS = 200
TOLERANCE = 1e-5


def fit_softmax_regression(
    features: NDArray[np.floating],
    labels: NDArray[np.int64],
    *,
    n_classes: int,
    c: float,
    row_weights: Array | None = None,
) -> tuple[Array, Array]:
    """Weights (d, n_classes) and biases (n_classes,) that minimise ½‖W‖² + c · Σᵢ wᵢ · (−ln p(labelᵢ)).

    A class without any row gets weight 0 and bias −10,000, so its probability is 0. Of two classes each gets its own
    column, so ``c`` counts double what it does in scikit-learn's two-class case.

    Args:
        features: (n, d).
        labels: (n,) codes below ``n_classes``.
        n_classes: columns of the result.
        c: the inverse strength of the penalty; biases are not penalised.
        row_weights: (n,) or None for ones.

    >>> weight, bias = fit_softmax_regression(np.array([[-1.0], [1.0]]), np.array([0, 2]), n_classes=3, c=1.0)
    >>> bool(weight[0, 2] > 0 > weight[0, 0]), float(bias[1])
    (True, -10000.0)
    """
    from threadpoolctl import threadpool_limits

    present, codes = np.unique(labels, return_inverse=True)
    weight, bias = np.zeros((features.shape[1], n_classes)), np.full(n_classes, -1e4)
    rows = np.ones(len(labels)) if row_weights is None else row_weights
    # One thread: the number of threads changes the last digits of a matrix product, and so the model.
    with threadpool_limits(1):
        weight[:, present], bias[present] = _fit(features, codes, len(present), c, rows)
    return weight, bias


def balanced_weights(labels: NDArray[np.int64]) -> Array:
    """(n,) row weights that give every class the same sum, and sum to n.

    >>> balanced_weights(np.array([0, 0, 0, 1])).tolist()
    [0.6666666666666666, 0.6666666666666666, 0.6666666666666666, 2.0]
    """
    present, codes, counts = np.unique(labels, return_inverse=True, return_counts=True)
    return np.asarray((len(labels) / (len(present) * counts))[codes], dtype=np.float64)


def _fit(x: NDArray[np.floating], codes: NDArray[np.int64], k: int, c: float, rows: Array) -> tuple[Array, Array]:
    from scipy.optimize import minimize

    total = float(rows.sum())
    prior = np.bincount(codes, weights=rows, minlength=k) / total
    center, axes, scale = _curvature(x, rows, penalty=1 / (c * total), k=k)
    z = ((x - center) @ (axes / scale)).astype(np.float32)
    d = z.shape[1]
    share = (rows / total).astype(np.float32)
    at = np.arange(len(codes))
    bias_scale = 1 / np.sqrt(max(1 - 1 / k, 1 / k) / k)

    def loss(flat: Array) -> tuple[float, Array]:
        v, b = flat[: d * k].reshape(d, k), flat[d * k :] * bias_scale
        logits = z @ v.astype(np.float32) + b.astype(np.float32)
        logits -= logits.max(axis=1, keepdims=True)
        right = logits[at, codes].copy()
        np.exp(logits, out=logits)
        sums = logits.sum(axis=1)
        value = float(np.dot((np.log(sums) - right).astype(np.float64), share))
        logits *= (share / sums)[:, None]
        logits[at, codes] -= share
        w = v / scale[:, None]
        value += 0.5 * float((w * w).sum()) / (c * total)
        grad = (z.T @ logits).astype(np.float64) + w / scale[:, None] / (c * total)
        return value, np.concatenate([grad.ravel(), logits.sum(axis=0, dtype=np.float64) * bias_scale])

    start = np.concatenate([np.zeros(d * k), (np.log(prior) - np.log(prior).mean()) / bias_scale])
    found = minimize(
        loss,
        start,
        jac=True,
        method="L-BFGS-B",
        options={"maxiter": STEPS, "gtol": TOLERANCE, "ftol": 1e-6, "maxcor": 10},
    )
    weight = (axes / scale) @ found.x[: d * k].reshape(d, k)
    return weight, found.x[d * k :] * bias_scale - center @ weight


def _curvature(x: NDArray[np.floating], rows: Array, *, penalty: float, k: int) -> tuple[Array, Array, Array]:
    """The features' mean, principal axes (d, d) and the root of the loss's curvature along each, penalty included."""
    share = rows / rows.sum()
    center = share @ x
    moved = x - center
    covariance = (moved * share[:, None]).T @ moved
    variance, axes = np.linalg.eigh(covariance)
    curvature = np.maximum(variance, 0) * (1 - 1 / k if k > 1 else 1) / k + penalty
    return center, axes, np.sqrt(curvature)
