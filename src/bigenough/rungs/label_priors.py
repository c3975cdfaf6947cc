# SPDX-License-Identifier: Apache-2.0
"""Heads that correct a language model's scores of labels: its liking for some labels, whatever the text.

Scores are (n, k) log-probabilities among the labels. Two heads need no labelled row, three are fitted on some.
"""

from __future__ import annotations

from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from bigenough.errors import BadOption
from bigenough.rungs.dense import fit_head
from bigenough.rungs.lbfgs import minimise
from bigenough.rungs.predictors.head import DenseHead
from bigenough.rungs.predictors.softmax import softmax

__all__ = ["CONTENT_FREE", "FITTED", "Fitted", "fitted_head", "plain_head", "prior_head"]

Scores = NDArray[np.float64]
Fitted = Literal["bias", "vector", "matrix"]
FITTED: tuple[Fitted, ...] = get_args(Fitted)

CONTENT_FREE = ("N/A", "[MASK]", "")
"""Texts that say nothing, as in Zhao et al. 2021, section 5."""
_SPREAD = 3.0
"""Standard deviation, in nats, that biases are expected to have."""
_NO_ROWS = -1e4
"""The bias of a class that no example has: its probability is zero, as in every head that labels fit."""


def plain_head(n_classes: int) -> DenseHead:
    """Scores as they are."""
    return DenseHead(np.eye(n_classes), np.zeros(n_classes))


def prior_head(scores: Scores) -> DenseHead:
    """Take off what the model says of these texts on average: p(y | x) / p̄(y), as probabilities again.

    Of texts without content this is contextual calibration (Zhao et al. 2021, equation 1 with W = diag(p̄)⁻¹, b = 0),
    of one text that only sets the scene it is domain-conditional PMI (Holtzman et al. 2021, section 3), and of the
    task's own texts, whose labels it does not read, batch calibration (Zhou et al. 2024, equation 4).

    >>> head = prior_head(np.log([[0.8, 0.2]]))
    >>> head.probabilities(np.log([[0.8, 0.2]])).round(3).tolist()
    [[0.5, 0.5]]
    """
    average = np.exp(scores).mean(axis=0)
    return DenseHead(np.eye(scores.shape[1]), -np.log(np.maximum(average, 1e-12)))


def fitted_head(scores: Scores, labels: NDArray[np.int64], present: NDArray[np.int64], kind: Fitted) -> DenseHead:
    """Fit the correction on labelled rows: a penalised logistic regression on the scores.

    "bias" adds a number to each class, "vector" also multiplies each by one (vector scaling, Guo et al. 2017, section
    4.2), "matrix" mixes them (matrix scaling, ibid.; here with the penalty of every head). Numbers are drawn towards
    leaving the scores as they are: ½ Σ (a − 1)² + ½ Σ (b / 3)² is added to the sum of the rows' log losses.

    Args:
        scores: (n, k).
        labels: (n,) codes.
        present: the codes that have examples; another class gets probability zero.
        kind: what may change. A matrix needs a row of every present class, and is a vector without.

    >>> scores = np.log([[0.7, 0.3], [0.6, 0.4], [0.9, 0.1]])
    >>> head = fitted_head(scores, np.array([0, 1, 0]), np.array([0, 1]), "bias")
    >>> bool(head.bias[1] > head.bias[0])
    True
    """
    if kind not in FITTED:
        raise BadOption(f"A fitted correction is one of {list(FITTED)}. Got {kind!r}.")
    k = scores.shape[1]
    if kind == "matrix" and len(present) > 1 and set(present) <= set(labels.tolist()):
        return fit_head(scores, labels, k, {"C": 1.0, "balanced": False})
    own = scores[:, present]
    codes = np.searchsorted(present, labels)
    a, b = _scaled(own, codes, scales=kind != "bias")
    weight, bias = np.zeros((k, k)), np.full(k, _NO_ROWS)
    weight[present, present], bias[present] = a, b
    return DenseHead(weight, bias)


def _scaled(scores: Scores, codes: NDArray[np.int64], *, scales: bool) -> tuple[Scores, Scores]:
    """The (k,) factors and the (k,) biases."""
    n, k = scores.shape
    at = np.arange(n)

    def loss(flat: NDArray[np.floating]) -> tuple[float, Scores]:
        a, b = flat[:k], flat[k:]
        probability = softmax(scores * a + b, 1.0) if n else np.zeros((0, k))
        value = -float(np.log(np.maximum(probability[at, codes], 1e-300)).sum())
        probability[at, codes] -= 1
        off = a - 1
        value += 0.5 * float(off @ off) + 0.5 * float(b @ b) / _SPREAD**2
        slope_a = (probability * scores).sum(axis=0) + off if scales else np.zeros(k)
        slope = np.concatenate([slope_a, probability.sum(axis=0) + b / _SPREAD**2])
        return value / max(1, n), slope / max(1, n)

    found = minimise(loss, np.concatenate([np.ones(k), np.zeros(k)]), steps=300, tolerance=1e-7)
    return np.asarray(found[:k], np.float64), np.asarray(found[k:], np.float64)
