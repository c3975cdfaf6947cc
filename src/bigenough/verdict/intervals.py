# SPDX-License-Identifier: Apache-2.0
"""An interval for each score of one model: what the report prints beside every figure.

Which method, and why:

* accuracy, precision, recall: Wilson's score interval; independent rows, a plain share, good for few rows and near 0 or
  1.
* balanced accuracy, macro F1, and accuracy of grouped rows: the bootstrap of ``resampling`` (BCa with its guard).
* log loss: Johnson's t over rows or groups; a mean of values with a long right tail, for which Student's t is
  off-centre.
* calibration error: bins stay as they are on the full rows and their sums are resampled as correlated normal numbers.
  Resampled errors lie too high by about as much as the estimate itself does, so the interval runs from the *basic*
  bootstrap's low end, 2 × estimate − upper quantile, which takes that bias off, to the *percentile* bootstrap's high
  end, which leaves it on. Wide on purpose.

These intervals describe; they decide nothing.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from bigenough.quantity import measured
from bigenough.quantity.quantity import QuantityJson
from bigenough.task import MetricName, metrics
from bigenough.verdict.noninferiority import Bounds, wilson_interval
from bigenough.verdict.resampling import N_RESAMPLES, resample_all

__all__ = ["ClassScores", "Interval", "metric_intervals", "per_class_intervals"]

Codes = NDArray[np.int64]
Floats = NDArray[np.float64]

N_BINS = 15


class Interval(NamedTuple):
    """A value with the ends of its two-sided interval, and how the ends were found."""

    value: float
    low: float
    high: float
    method: str


class ClassScores(NamedTuple):
    """One class's scores; precision is None when the class is never predicted, recall when gold has no row of it."""

    n: int
    precision: Interval | None
    recall: Interval | None
    f1: float

    def to_json(self) -> dict[str, Any]:
        """The scores as plain JSON values, precision and recall as quantities or null."""
        return {"n": self.n, "precision": _quantity(self.precision), "recall": _quantity(self.recall), "f1": self.f1}


def metric_intervals(
    gold: Codes,
    predicted: Codes,
    probability: Floats,
    *,
    groups: Codes | None = None,
    confidence: float = 0.95,
    seed: int = 0,
    n_resamples: int = N_RESAMPLES,
) -> dict[str, Interval]:
    """Accuracy, balanced accuracy, macro F1, log loss and calibration error, each with its interval.

    Args:
        gold: (n,) gold codes.
        predicted: (n,) predicted codes.
        probability: (n, k) class probabilities.
        groups: (n,) group codes when rows of a group are correlated.
        confidence: of the two-sided intervals.
        seed: the only source of randomness.
        n_resamples: how many resamples.

    Example:
        >>> gold = np.array([0, 1] * 50)
        >>> found = metric_intervals(gold, gold, np.eye(2)[gold])
        >>> [round(x, 3) for x in found["accuracy"][:3]]
        [1.0, 0.963, 1.0]
    """
    level = (1 - confidence) / 2
    found: dict[str, Interval] = {}
    names: tuple[MetricName, ...] = ("accuracy", "balanced_accuracy", "macro_f1")
    resampled = resample_all(
        names, gold, predicted, groups=groups, seed=seed, n_resamples=n_resamples, unseen_groups=False
    )
    for name, result in resampled.items():
        low, high = max(0.0, result.bound(level, "lower")), min(1.0, result.bound(level, "upper"))
        found[name] = Interval(result.estimate, low, high, "BCa bootstrap with a score-type guard" + _over(groups))
    if groups is None:
        low, high = wilson_interval(int(np.sum(gold == predicted)), len(gold), confidence)
        found["accuracy"] = Interval(metrics.accuracy(gold, predicted), low, high, "Wilson score")
    found |= _probability_intervals(gold, probability, groups, level, seed, n_resamples)
    return found


def per_class_intervals(
    gold: Codes, predicted: Codes, n_classes: int, *, groups: Codes | None = None, confidence: float = 0.95
) -> list[ClassScores]:
    """Precision, recall and F1 of each class, in order of the codes, with Wilson intervals.

    With groups, a share of n rows in groups of mᵢ counts as one of n² / Σ mᵢ² rows (Kish 1965): as if the rows of a
    group shared their fate, so that the interval is rather too wide than too narrow.

    >>> per_class_intervals(np.array([0, 0, 1]), np.array([0, 1, 1]), 2)[0].f1.__round__(4)
    0.6667
    """
    support = np.bincount(gold, minlength=n_classes)
    claimed = np.bincount(predicted, minlength=n_classes)
    hits = np.bincount(gold[gold == predicted], minlength=n_classes)
    found = []
    for code, (n, said, right) in enumerate(zip(support.tolist(), claimed.tolist(), hits.tolist(), strict=True)):
        precision = _share(right, said, confidence, None if groups is None else groups[predicted == code])
        recall = _share(right, n, confidence, None if groups is None else groups[gold == code])
        found.append(ClassScores(n, precision, recall, 2 * right / max(n + said, 1)))
    return found


def _quantity(interval: Interval | None) -> QuantityJson | None:
    if interval is None:
        return None
    return measured(interval.value, "", f"certify; {interval.method}", low=interval.low, high=interval.high).to_json()


def _share(hits: int, n: int, confidence: float, groups: Codes | None) -> Interval | None:
    if n == 0:
        return None
    if groups is None:
        return Interval(hits / n, *wilson_interval(hits, n, confidence), "Wilson score")
    sizes = np.unique(groups, return_counts=True)[1]
    effective = n**2 / float((sizes**2).sum())
    low, high = wilson_interval(effective * hits / n, effective, confidence)
    return Interval(hits / n, low, high, "Wilson score at the effective number of groups (Kish)")


def _over(groups: Codes | None) -> str:
    return "" if groups is None else " over groups"


def _probability_intervals(
    gold: Codes, probability: Floats, groups: Codes | None, level: float, seed: int, n_resamples: int
) -> dict[str, Interval]:
    n = len(gold)
    loss = -np.log(np.clip(probability[np.arange(n), gold], 1e-12, 1.0))
    confidence = probability.max(axis=1)
    order = np.argsort(confidence, kind="stable")
    n_bins = min(N_BINS, n)
    bin_of_row = np.empty(n, dtype=np.int64)
    for place, rows in enumerate(np.array_split(order, n_bins)):
        bin_of_row[rows] = place
    gaps = np.zeros((n, n_bins))
    gaps[np.arange(n), bin_of_row] = (probability.argmax(axis=1) == gold) - confidence
    units = np.arange(n) if groups is None else np.unique(groups, return_inverse=True)[1].reshape(-1)

    error = metrics.calibration_error(gold, probability, n_bins=n_bins)
    quantile = _resampled_error_quantile(gaps, units, level, seed, n_resamples)
    return {
        "log_loss": Interval(float(loss.mean()), *_mean_bounds(loss, units, level), "Johnson's t" + _over(groups)),
        "calibration_error": Interval(
            error,
            min(error, max(0.0, 2 * error - quantile)),
            max(error, quantile),
            "bootstrap, basic to percentile" + _over(groups),
        ),
    }


def _unit_deviations(values: Floats, units: Codes) -> Floats:
    """(units, m) sums per unit, less what the unit's number of rows would have at the overall mean."""
    sizes = np.bincount(units).astype(np.float64)
    sums = np.column_stack([np.bincount(units, weights=column) for column in values.T])
    return np.asarray(sums - sizes[:, None] * values.mean(axis=0))


def _mean_bounds(values: Floats, units: Codes, level: float) -> Bounds:
    """Johnson's modified t (1978, Journal of the American Statistical Association 73:536): centred by the skew."""
    deviations = _unit_deviations(values[:, None], units)[:, 0]
    n_units, n_rows = len(deviations), len(values)
    variance = float(np.sum(deviations**2)) / max(n_units - 1, 1)
    if variance == 0:
        return Bounds(float(values.mean()), float(values.mean()))
    scale = n_units / n_rows  # from per unit to per row
    skew = float(np.mean(deviations**3)) / (6 * variance * n_units) * scale
    half = float(stats.t.isf(level, max(n_units - 1, 1))) * float(np.sqrt(variance / n_units)) * scale
    low = max(0.0, float(values.mean()) + skew - half)  # no log loss is below zero
    return Bounds(low, float(values.mean()) + skew + half)


def _resampled_error_quantile(gaps: Floats, units: Codes, level: float, seed: int, n_resamples: int) -> float:
    """The upper quantile of the calibration error when the bins' sums vary as normal numbers with their covariance."""
    deviations = _unit_deviations(gaps, units)
    covariance = deviations.T @ deviations
    ridge = 1e-12 * (1.0 + float(np.trace(covariance)))  # bins without any variance must not stop the factorisation
    factor = np.linalg.cholesky(covariance + ridge * np.eye(gaps.shape[1]))
    noise = np.random.default_rng(seed).standard_normal((n_resamples, gaps.shape[1]))
    return float(np.quantile(np.abs(gaps.sum(axis=0) + noise @ factor.T).sum(axis=1) / len(gaps), 1 - level))
