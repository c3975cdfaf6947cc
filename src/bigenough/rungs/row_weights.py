# SPDX-License-Identifier: Apache-2.0
"""How much a row counts for a metric, and how far two models' scores on the same rows may differ by luck."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from bigenough.task.metrics import score
from bigenough.task.task import MetricName

__all__ = ["paired_error", "row_weights", "surely_better"]


def row_weights(metric: MetricName, gold: NDArray[np.int64]) -> NDArray[np.float64]:
    """(n,) how much each row counts, summing to 1: rows alike for accuracy, else classes alike.

    >>> row_weights("accuracy", np.array([0, 0, 0, 1])).tolist()
    [0.25, 0.25, 0.25, 0.25]
    >>> row_weights("macro_f1", np.array([0, 0, 1])).tolist()
    [0.25, 0.25, 0.5]
    """
    if metric == "accuracy":
        return np.full(len(gold), 1 / max(1, len(gold)))
    sizes = np.bincount(gold)
    weights: NDArray[np.float64] = 1 / (sizes[gold] * np.count_nonzero(sizes))
    return weights


def paired_error(hits: NDArray[np.bool_], others: NDArray[np.bool_], weights: NDArray[np.float64]) -> float:
    """One standard error of the difference of two weighted shares of hits on the same rows.

    Rows on which the two agree say nothing; of those that differ, the difference has the root of the sum of their
    squared weights at most (McNemar 1947, with weights). For macro F1 it stands in for its own error.

    >>> paired_error(np.array([True, True, False]), np.array([True, False, False]), np.full(3, 0.5))
    0.5
    """
    return float(np.sqrt(np.sum(weights[hits != others] ** 2)))


def surely_better(
    metric: MetricName,
    gold: NDArray[np.int64],
    one: NDArray[np.int64],
    other: NDArray[np.int64],
    errors: float = 1.0,
) -> bool:
    """Whether the first (n,) codes score higher than the second by more than so many errors of the difference.

    >>> gold = np.zeros(100, np.int64)
    >>> [surely_better("accuracy", gold, gold, (np.arange(100) < wrong).astype(int)) for wrong in (0, 1, 2)]
    [False, False, True]
    """
    if not len(gold):
        return False
    error = paired_error(one == gold, other == gold, row_weights(metric, gold))
    return bool(score(metric, gold, one) - score(metric, gold, other) > errors * error + 1e-12)
