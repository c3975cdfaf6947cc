# SPDX-License-Identifier: Apache-2.0
"""The scores of a classifier, each a pure function of gold codes and predictions.

Conventions that change figures, said once: macro F1 and balanced accuracy average over the classes that occur in gold
(a class that is only predicted costs precision elsewhere, as in scikit-learn's ``balanced_accuracy_score``;
scikit-learn's ``f1_score(average="macro")`` would add such a class as a zero), and a class without any true positive
has F1 zero.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from bigenough.task.task import MetricName

__all__ = ["accuracy", "balanced_accuracy", "calibration_error", "log_loss", "macro_f1", "score"]

Codes = NDArray[np.int64]


def accuracy(gold: Codes, predicted: Codes) -> float:
    """The share of rows whose prediction is the gold label.

    >>> accuracy(np.array([0, 1, 1, 0]), np.array([0, 1, 0, 0]))
    0.75
    """
    return float(np.mean(gold == predicted))


def balanced_accuracy(gold: Codes, predicted: Codes) -> float:
    """The mean over gold's classes of the share found (recall).

    >>> balanced_accuracy(np.array([0, 0, 0, 1]), np.array([0, 0, 0, 0]))
    0.5
    """
    n_classes = int(max(gold.max(), predicted.max())) + 1
    support = np.bincount(gold, minlength=n_classes)
    hits = np.bincount(gold[gold == predicted], minlength=n_classes)
    present = support > 0
    return float(np.mean(hits[present] / support[present]))


def macro_f1(gold: Codes, predicted: Codes) -> float:
    """The mean over gold's classes of F1 = 2 TP / (2 TP + FP + FN).

    >>> macro_f1(np.array([0, 0, 1, 1]), np.array([0, 1, 1, 1])).__round__(4)
    0.7333
    """
    n_classes = int(max(gold.max(), predicted.max())) + 1
    support = np.bincount(gold, minlength=n_classes)
    claimed = np.bincount(predicted, minlength=n_classes)
    hits = np.bincount(gold[gold == predicted], minlength=n_classes)
    present = support > 0
    return float(np.mean(2 * hits[present] / (support[present] + claimed[present])))


def log_loss(gold: Codes, probability: NDArray[np.float64]) -> float:
    """The mean of −ln p(gold label), with p kept at or above 1e-12.

    >>> log_loss(np.array([0, 1]), np.array([[0.5, 0.5], [0.5, 0.5]])).__round__(4)
    0.6931
    """
    return float(-np.mean(np.log(np.clip(probability[np.arange(len(gold)), gold], 1e-12, 1.0))))


def calibration_error(gold: Codes, probability: NDArray[np.float64], *, n_bins: int = 15) -> float:
    """The expected calibration error of the top label over bins with equal numbers of rows.

    Naeini, Cooper & Hauskrecht 2015, with the equal-mass bins of Nguyen & O'Connor 2015, since equal-width bins leave
    most bins empty for a confident model. Rows are ordered by confidence, ties by place.

    >>> calibration_error(np.array([0, 0]), np.array([[1.0, 0.0], [1.0, 0.0]]))
    0.0
    """
    confidence = probability.max(axis=1)
    correct = (probability.argmax(axis=1) == gold).astype(np.float64)
    order = np.argsort(confidence, kind="stable")
    gaps = correct[order] - confidence[order]
    return float(sum(abs(part.sum()) for part in np.array_split(gaps, min(n_bins, len(gold)))) / len(gold))


def score(metric: MetricName, gold: Codes, predicted: Codes) -> float:
    """The task's metric."""
    functions = {"accuracy": accuracy, "balanced_accuracy": balanced_accuracy, "macro_f1": macro_f1}
    return functions[metric](gold, predicted)
