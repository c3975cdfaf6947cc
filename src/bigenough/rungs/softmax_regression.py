# SPDX-License-Identifier: Apache-2.0
"""Multinomial logistic regression on dense features, or dense and sparse ones, fast enough to be fitted in a search.

The optimum is that of ``sklearn.linear_model.LogisticRegression``'s multinomial loss; the way there is shorter. The
features of an encoder are strongly correlated, which makes plain L-BFGS crawl. Here the problem is first turned into
the features' principal axes and each axis scaled by the root of its curvature (Böhning 1992 bounds the Hessian of the
loss by a multiple of XᵀX), after which a few dozen steps suffice.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from bigenough.rungs.lbfgs import minimise

if TYPE_CHECKING:
    from scipy.sparse import csr_array

__all__ = ["SoftmaxRegression", "balanced_weights", "fit_softmax_regression"]

_NOBODY = 1e-9
"""Share of the rows below which a class that only soft targets speak of counts as one without rows."""

Array = NDArray[np.float64]
Single = NDArray[np.float32]

STEPS = 200
TOLERANCE = 3e-5
"""Relative gain of a step below which it is the last; a hundredth of it is what float32 can tell apart."""


class SoftmaxRegression(NamedTuple):
    """Scores are features · weight + sparse features · sparse_weight + bias."""

    weight: Array
    bias: Array
    sparse_weight: Array


def fit_softmax_regression(
    features: NDArray[np.floating],
    labels: NDArray[np.int64] | Array,
    *,
    n_classes: int,
    c: float,
    row_weights: Array | None = None,
    sparse: csr_array | None = None,
    threads: int = 1,
) -> SoftmaxRegression:
    """Weights (d, n_classes) and biases (n_classes,) that minimise ½‖W‖² + c · Σᵢ wᵢ · (−ln p(labelᵢ)).

    Of soft targets t the loss of row i is the cross-entropy −Σₖ tᵢₖ · ln pₖ = ln Σₖ e^sₖ − Σₖ tᵢₖ · sₖ of its scores s
    (Hinton, Vinyals & Dean 2015, equation 1), of which a label is the case of a one and zeros.

    A class without any row gets weight 0 and bias −10,000, so its probability is 0. Of two classes each gets its own
    column, so ``c`` counts double what it does in scikit-learn's two-class case.

    Args:
        features: (n, d).
        labels: (n,) codes below ``n_classes``; or (n, n_classes) target probabilities, whose rows sum to 1.
        n_classes: columns of the result.
        c: the inverse strength of the penalty; biases are not penalised.
        row_weights: (n,) or None for ones.
        sparse: (n, f) further features, under the same penalty.
        threads: that share the products with the sparse features; the result is the same to the last digit.

    >>> fitted = fit_softmax_regression(np.array([[-1.0], [1.0]]), np.array([0, 2]), n_classes=3, c=1.0)
    >>> bool(fitted.weight[0, 2] > 0 > fitted.weight[0, 0]), float(fitted.bias[1])
    (True, -10000.0)
    """
    from scipy.sparse import csr_array
    from threadpoolctl import threadpool_limits

    if sparse is None:
        sparse = csr_array((len(labels), 0), dtype=np.float32)
    present, codes = _classes(labels, n_classes)
    rows = np.ones(len(labels)) if row_weights is None else row_weights
    # One thread: the number of threads changes the last digits of a product of dense matrices, and so the model.
    with threadpool_limits(1), ThreadPoolExecutor(threads) as pool:
        found = _fit(features, sparse, codes, len(present), c, rows, _Workers(threads, pool))
    whole = SoftmaxRegression(
        np.zeros((features.shape[1], n_classes)), np.full(n_classes, -1e4), np.zeros((sparse.shape[1], n_classes))
    )
    whole.weight[:, present], whole.bias[present], whole.sparse_weight[:, present] = found
    return whole


def balanced_weights(labels: NDArray[np.int64] | Array) -> Array:
    """(n,) row weights that give every class the same sum, and sum to n.

    A row of soft targets (n, k) gets what its classes get, by their shares in it.

    >>> balanced_weights(np.array([0, 0, 0, 1])).tolist()
    [0.6666666666666666, 0.6666666666666666, 0.6666666666666666, 2.0]
    """
    if labels.ndim == 2:
        present, shares = _classes(labels, labels.shape[1])
        return np.asarray(shares @ (len(labels) / (len(present) * shares.sum(axis=0))), dtype=np.float64)
    present, codes, counts = np.unique(labels, return_inverse=True, return_counts=True)
    return np.asarray((len(labels) / (len(present) * counts))[codes], dtype=np.float64)


def _classes(labels: NDArray[np.int64] | Array, n_classes: int) -> tuple[NDArray[np.int64], NDArray[np.int64] | Array]:
    """The codes of the classes that have rows, and the labels, or the soft targets, among these alone."""
    if labels.ndim == 1:
        return np.unique(labels, return_inverse=True)
    if labels.shape[1] != n_classes:
        raise ValueError(f"Targets of {n_classes} classes need as many columns. Got the shape {labels.shape}.")
    present = np.flatnonzero(labels.sum(axis=0) > _NOBODY * len(labels))
    shares = labels[:, present].astype(np.float64)
    return present, shares / shares.sum(axis=1, keepdims=True)


def _fit(
    x: NDArray[np.floating],
    sparse: csr_array,
    codes: NDArray[np.int64] | Array,
    k: int,
    c: float,
    rows: Array,
    workers: _Workers,
) -> SoftmaxRegression:
    design = _Design(x, sparse, rows, penalty=1 / (c * float(rows.sum())), k=k, workers=workers)
    share = (rows / rows.sum()).astype(np.float32)
    at = np.arange(len(codes))
    targets = codes.astype(np.float32) if codes.ndim == 2 else None
    pull = None if targets is None else targets * share[:, None]
    # What no model can get below is taken off, or the gain of a step would look small beside it and be the last.
    floor = 0.0 if codes.ndim == 1 else float(share @ np.sum(codes * np.log(np.maximum(codes, 1e-300)), axis=1))

    def loss(flat: Single) -> tuple[float, Single]:
        v, b = design.split(flat)
        logits = design.times(v)
        logits += b
        logits -= logits.max(axis=1, keepdims=True)
        right = logits[at, codes].copy() if targets is None else np.einsum("ij,ij->i", logits, targets)
        np.exp(logits, out=logits)
        sums = logits.sum(axis=1)
        value = float(np.dot((np.log(sums) - right).astype(np.float64), share)) + floor
        logits *= (share / sums)[:, None]
        if pull is None:
            logits[at, codes] -= share
        else:
            logits -= pull
        penalised = v * design.penalty_scale
        value += 0.5 * float(np.vdot(penalised, v))
        slope = design.transposed(logits) + penalised
        return value, np.concatenate([slope.ravel(), logits.sum(axis=0) * design.bias_scale])

    mass = np.bincount(codes, weights=rows, minlength=k) if targets is None else rows @ codes
    prior = np.log(mass / rows.sum())
    start = np.concatenate([np.zeros(design.width * k), (prior - prior.mean()) / design.bias_scale])
    start = start.astype(np.float32)
    return design.restored(minimise(loss, start, steps=STEPS, tolerance=TOLERANCE))


class _Workers(NamedTuple):
    """Threads, and where they wait for work."""

    number: int
    pool: ThreadPoolExecutor


class _Shared:
    """A sparse matrix in as many parts as there are workers, which share a product: each makes some of its rows.

    A row of the product is made in the same way whoever makes it.
    """

    def __init__(self, matrix: csr_array, workers: _Workers) -> None:
        numbers = np.linspace(0, matrix.nnz, workers.number + 1)[1:-1]
        self.ends = [0, *np.searchsorted(matrix.indptr, numbers).tolist(), matrix.shape[0]]
        self.parts = [matrix[start:end] for start, end in pairwise(self.ends)]
        self.pool = workers.pool

    def __matmul__(self, other: Single) -> Single:
        out: Single = np.empty((self.ends[-1], other.shape[1]), dtype=np.float32)

        def make(part: int) -> None:
            out[self.ends[part] : self.ends[part + 1]] = self.parts[part] @ other

        if len(self.parts) == 1:
            make(0)
        else:
            list(self.pool.map(make, range(len(self.parts))))
        return out


class _Design:
    """The features in coordinates in which the loss curves about alike in every direction.

    Dense features are centred, turned into principal axes and scaled; sparse ones are scaled only. The intercept is
    not penalised, so centring changes nothing but the way.
    """

    def __init__(
        self, x: NDArray[np.floating], sparse: csr_array, rows: Array, *, penalty: float, k: int, workers: _Workers
    ) -> None:
        from scipy.sparse import csr_array, diags_array

        share = rows / rows.sum()
        self.k, self.dense_width, self.width = k, x.shape[1], x.shape[1] + sparse.shape[1]
        # At the start every class has probability 1/k; its variance is what the Hessian multiplies XᵀX by.
        variance = (1 - 1 / k) / k if k > 1 else 1.0
        self.bias_scale = np.float32(1 / np.sqrt(variance))
        self.center = share @ x
        moved = x - self.center
        spread, axes = np.linalg.eigh((moved * share[:, None]).T @ moved)
        self.axes = axes / np.sqrt(np.maximum(spread, 0) * variance + penalty)
        self.dense = (moved @ self.axes).astype(np.float32)
        squares = share @ sparse.power(2) if sparse.shape[1] else np.zeros(0)
        self.sparse_scale = 1 / np.sqrt(squares * variance + penalty)
        scaled = csr_array((sparse @ diags_array(self.sparse_scale)).astype(np.float32))
        self.sparse, self.sparse_columns = _Shared(scaled, workers), _Shared(csr_array(scaled.T), workers)
        scales = np.concatenate([(self.axes**2).sum(axis=0), self.sparse_scale**2])
        self.penalty_scale = (penalty * scales[:, None]).astype(np.float32)

    def split(self, flat: Single) -> tuple[Single, Single]:
        """(width, k) weights and (k,) biases in these coordinates."""
        border = self.width * self.k
        return flat[:border].reshape(self.width, self.k), flat[border:] * self.bias_scale

    def times(self, v: Single) -> Single:
        """(n, k): all features times v."""
        out: Single = self.dense @ v[: self.dense_width]
        if self.width > self.dense_width:
            out += self.sparse @ v[self.dense_width :]
        return out

    def transposed(self, g: Single) -> Single:
        """(width, k): all features, transposed, times g."""
        parts = [self.dense.T @ g]
        if self.width > self.dense_width:
            parts.append(self.sparse_columns @ g)
        return np.concatenate(parts)

    def restored(self, flat: Single) -> SoftmaxRegression:
        """Weights and biases for the features as they came."""
        v, b = (part.astype(np.float64) for part in self.split(flat))
        weight = self.axes @ v[: self.dense_width]
        return SoftmaxRegression(weight, b - self.center @ weight, self.sparse_scale[:, None] * v[self.dense_width :])
