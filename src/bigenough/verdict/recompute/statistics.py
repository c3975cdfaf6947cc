# SPDX-License-Identifier: Apache-2.0
"""The statistics of a verdict, written a second time from their definitions."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .distributions import binomial_tail, bisect, normal, student_quantile

__all__ = [
    "Resamples",
    "calibration_error",
    "calibration_interval",
    "clopper_pearson",
    "mcnemar",
    "mean_interval",
    "metric_value",
    "resamples",
    "tango_bound",
    "tango_statistic",
    "wilson",
]

Codes = NDArray[np.int64]
Floats = NDArray[np.float64]
Pair = tuple[float, float]


def metric_value(metric: str, gold: Codes, predicted: Codes, weights: Floats | None = None) -> float:
    """The score of weighted rows, class by class, over the classes of gold that have weight."""
    w = np.ones(len(gold)) if weights is None else weights
    right = w * (gold == predicted)
    if metric == "accuracy":
        return float(right.sum() / w.sum())
    k = int(max(gold.max(), predicted.max())) + 1
    in_gold, hits = np.bincount(gold, w, k), np.bincount(gold, right, k)
    there = in_gold > 0
    if metric == "balanced_accuracy":
        return float((hits[there] / in_gold[there]).mean())
    claimed = np.bincount(predicted, w, k)
    return float((2 * hits[there] / (in_gold[there] + claimed[there])).mean())


def wilson(hits: float, n: float, confidence: float) -> Pair:
    """The two proportions whose score test just keeps ``hits`` of n; both may be fractions."""
    z = normal.inv_cdf((1 + confidence) / 2)
    share = hits / n
    low = bisect(lambda p: abs(share - p) <= z * math.sqrt(p * (1 - p) / n), 0.0, share) if hits else 0.0
    high = bisect(lambda p: abs(share - p) > z * math.sqrt(p * (1 - p) / n), share, 1.0) if hits < n else 1.0
    return low, high


def clopper_pearson(hits: int, n: int, level: float) -> Pair:
    """The two proportions whose binomial tail at ``hits`` is just ``level``."""
    low = bisect(lambda p: binomial_tail(hits, n, p) >= level, 0.0, 1.0) if hits else 0.0
    high = bisect(lambda p: 1 - binomial_tail(hits + 1, n, p) <= level, 0.0, 1.0) if hits < n else 1.0
    return low, high


def mcnemar(b: int, c: int) -> float:
    """Twice the smaller tail of b + c fair coins, at most 1."""
    n = b + c
    if n == 0:
        return 1.0
    tail = sum(
        math.exp(math.lgamma(n + 1) - math.lgamma(i + 1) - math.lgamma(n - i + 1) - n * math.log(2))
        for i in range(min(b, c) + 1)
    )
    return min(1.0, 2 * tail)


def tango_statistic(b: int, c: int, n: int, difference: float) -> float:
    """The score statistic, its constrained estimate found as the root of the likelihood's slope."""
    low, high = max(0.0, -difference), (1 - difference) / 2

    def past(q: float) -> bool:
        rest = 1 - 2 * q - difference
        slope = (b / (q + difference) if b else 0.0) + (c / q if c else 0.0)
        return slope - (2 * (n - b - c) / rest if n > b + c else 0.0) <= 0

    q = low if low >= high or b + c == 0 else bisect(lambda x: x > low and (x >= high or past(x)), low, high)
    variance = n * (2 * q + difference - difference**2)
    distance = b - c - n * difference
    if variance <= 1e-12:
        return 0.0 if abs(distance) < 1e-9 else math.copysign(math.inf, distance)
    return distance / math.sqrt(variance)


def tango_bound(b: int, c: int, n: int, level: float) -> Pair:
    """The one-sided lower and upper bound, each at error ``level``, by inversion of the statistic."""
    z, point = normal.inv_cdf(1 - level), (b - c) / n
    low = bisect(lambda d: tango_statistic(b, c, n, d) <= z, -1.0, point)
    high = bisect(lambda d: tango_statistic(b, c, n, d) < -z, point, 1.0)
    return low, high


@dataclass(frozen=True, eq=False)
class Resamples:
    """Replicates and jackknife of a metric or a difference, from the published order of draws."""

    estimate: float
    values: Floats
    error: float
    acceleration: float
    seen: float
    worst: float
    worst_variance: float
    units: int

    def bounds(self, level: float) -> Pair:
        """The more cautious of BCa and the score-type guard, below and above."""
        t = student_quantile(level, max(self.units - 1, 1))

        def reach(effect: float) -> float:
            return t * t * effect / 2 + math.hypot(t * t * effect / 2, t * self.error)

        far = max(reach(self.seen), min(reach(self.worst), t * math.sqrt(self.error**2 + self.worst_variance)))
        return min(self._bca(level), self.estimate - far), max(self._bca(1 - level), self.estimate + far)

    def _bca(self, level: float) -> float:
        n = len(self.values)
        below, above = (
            int((self.values < self.estimate - 1e-12).sum()),
            int((self.values > self.estimate + 1e-12).sum()),
        )
        if below == above == 0:
            return self.estimate
        share = min(max((below + (n - above)) / (2 * n), 0.5 / n), 1 - 0.5 / n)
        bias = normal.inv_cdf(share)
        shifted = bias + normal.inv_cdf(level)
        if 1 - self.acceleration * shifted <= 0:
            return float(self.values.min() if level < 0.5 else self.values.max())
        return float(np.quantile(self.values, normal.cdf(bias + shifted / (1 - self.acceleration * shifted))))

    def pvalue(self, value: float) -> float:
        """The level at which the lower bound reaches ``value``."""
        if self.bounds(0.5)[0] <= value:
            return 1.0 if self.estimate <= value else 0.5
        if self.bounds(1e-9)[0] > value:
            return 1e-9
        return bisect(lambda level: self.bounds(level)[0] > value, 1e-9, 0.5)


def resamples(
    metric: str,
    gold: Codes,
    models: list[Codes],
    groups: Codes | None,
    seed: int,
    n_resamples: int,
    *,
    unseen_groups: bool = True,
) -> Resamples:
    """Draw cells or groups in the published order and score each resample by itself."""
    k = int(max(gold.max(), *(m.max() for m in models))) + 1
    key = gold.copy()
    for model in models:
        key = key * k + model
    _, first, cell = np.unique(key, return_index=True, return_inverse=True)
    unit_of_row = cell.reshape(-1) if groups is None else np.unique(groups, return_inverse=True)[1].reshape(-1)
    rows_of_unit = np.bincount(unit_of_row)
    times = rows_of_unit.astype(np.float64) if groups is None else np.ones(len(rows_of_unit))
    n_units = int(times.sum())

    def value(gold_: Codes, models_: list[Codes], weights: Floats) -> float:
        scores = [metric_value(metric, gold_, m, weights) for m in models_]
        return scores[0] if len(scores) == 1 else scores[0] - scores[1]

    rng = np.random.default_rng(seed)
    some_gold, some_models = (gold[first], [m[first] for m in models]) if groups is None else (gold, models)
    values = np.empty(n_resamples)
    for i in range(n_resamples):
        draw = rng.multinomial(n_units, times / n_units).astype(np.float64)
        values[i] = value(some_gold, some_models, draw if groups is None else draw[unit_of_row])
    weights = rows_of_unit.astype(np.float64) if groups is None else np.ones(len(gold))
    without = np.empty(len(times))
    for unit in range(len(times)):
        less = weights.copy()
        if groups is None:
            less[unit] -= 1
        else:
            less[unit_of_row == unit] = 0.0
        without[unit] = value(some_gold, some_models, less) if less.sum() else 0.0
    deviation = (times * without).sum() / n_units - without
    size = float((times * np.abs(deviation)).sum())
    still = size <= n_units * 1e-12
    squares = float((times * deviation**2).sum())
    support = np.bincount(gold)[np.bincount(gold) > 0] if metric != "accuracy" else np.array([len(gold)])
    together = 1.0
    if groups is not None:
        kish = float((rows_of_unit**2).sum()) / len(gold) if unseen_groups else 1.0
        together = float(rows_of_unit.max()) if still else kish
    return Resamples(
        estimate=value(gold, models, np.ones(len(gold))),
        values=values,
        error=0.0 if still else math.sqrt(squares * (n_units - 1) / n_units),
        acceleration=0.0 if still else float((times * deviation**3).sum()) / (6 * squares**1.5),
        seen=0.0 if still else squares / size,
        worst=together / (len(support) * float(support.min())),
        worst_variance=together * float((1 / support).sum()) / (4 * len(support) ** 2),
        units=n_units,
    )


def calibration_error(gold: Codes, probability: Floats) -> float:
    """The mean over 15 bins of equal numbers of rows of |right − confidence|."""
    return sum(abs(float(gaps.sum())) for gaps in _bins(gold, probability)[1]) / len(gold)


def _bins(gold: Codes, probability: Floats) -> tuple[list[Codes], list[Floats]]:
    sure = probability.max(axis=1)
    gap = (probability.argmax(axis=1) == gold) - sure
    rows = np.array_split(np.argsort(sure, kind="stable"), min(15, len(gold)))
    return rows, [gap[r] for r in rows]


def calibration_interval(
    gold: Codes, probability: Floats, groups: Codes | None, level: float, seed: int, n_resamples: int
) -> Pair:
    """Basic low end, percentile high end, from normal draws with the bins' covariance."""
    n, (rows, gaps) = len(gold), _bins(gold, probability)
    units = np.arange(n) if groups is None else np.unique(groups, return_inverse=True)[1].reshape(-1)
    sums = np.zeros((int(units.max()) + 1, len(rows)))
    for place, (r, g) in enumerate(zip(rows, gaps, strict=True)):
        np.add.at(sums[:, place], units[r], g)
    total = sums.sum(axis=0)
    deviations = sums - np.outer(np.bincount(units), total / n)
    covariance = deviations.T @ deviations
    factor = np.linalg.cholesky(covariance + 1e-12 * (1 + np.trace(covariance)) * np.eye(len(rows)))
    noise = np.random.default_rng(seed).standard_normal((n_resamples, len(rows)))
    errors = np.abs(total + noise @ factor.T).sum(axis=1) / n
    high, error = float(np.quantile(errors, 1 - level)), float(np.abs(total).sum() / n)
    return min(error, max(0.0, 2 * error - high)), max(error, high)


def mean_interval(values: Floats, groups: Codes | None, level: float) -> Pair:
    """Johnson's t for the mean of rows, in units of rows or groups."""
    n = len(values)
    units = np.arange(n) if groups is None else np.unique(groups, return_inverse=True)[1].reshape(-1)
    deviation = np.bincount(units, values - values.mean())
    m = len(deviation)
    variance = float((deviation**2).sum()) / max(m - 1, 1)
    if variance == 0:
        return float(values.mean()), float(values.mean())
    shift = float((deviation**3).mean()) / (6 * variance * m) * m / n
    half = student_quantile(level, max(m - 1, 1)) * math.sqrt(variance / m) * m / n
    return max(0.0, float(values.mean()) + shift - half), float(values.mean()) + shift + half
