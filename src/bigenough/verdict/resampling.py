# SPDX-License-Identifier: Apache-2.0
"""Bounds for metrics that are no simple share of rows: the paired BCa bootstrap with a score-type guard.

Rows with the same (gold, candidate, reference) codes are exchangeable, so a resample of n rows is one multinomial draw
over the distinct *cells* of that table: 4,000 resamples of 30,000 rows cost as much as of 3,000, in bounded memory, and
the answer does not depend on the order of the rows. With groups, whole groups are drawn (n_groups of them, with
replacement).

The draw is fully specified, so that anyone can repeat it: cells are sorted by (gold, candidate, reference), groups by
code; ``numpy.random.default_rng(seed).multinomial(units, shares, size=n_resamples)`` with shares = rows of the cell /
n, or 1 / n_groups.

Two bounds are computed and the more cautious one is used, since each alone is too hopeful somewhere:

* BCa (Efron 1987, Journal of the American Statistical Association 82:171), acceleration from the jackknife, ties
  counted half; the same numbers as ``scipy.stats.bootstrap(method="BCa")`` on the same resamples. Hopeful when few rows
  are discordant.
* A jackknife bound with the form of a score test: (estimate − x)² = t² (se² + κ |estimate − x|), t from Student on
  units − 1 degrees. As in Wilson's and Tango's intervals the variance at the tested value exceeds the observed one, by
  κ times the distance, κ being the effect of one more discordant row on the metric. It is solved twice and the farther
  bound taken: for the typical effect seen (Σd² / Σ|d| of the jackknife's deviations d), and for the worst: a row of the
  rarest class, 1 over (number of classes × rows of that class). The worst term is capped by what all classes together
  can vary, Σ 1 / (4 K² n_k). For accuracy κ is 1 / n, and a table without discordant rows gives just Tango's −t² / (n +
  t²), up to t⁴ / n². With groups of m rows both are taken Σ m² / n times (Kish 1965): all rows of a group may be
  discordant together, though none that was seen was.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy import sparse, special

from bigenough.task import MetricName

__all__ = ["N_RESAMPLES", "Resampled", "resample", "resample_all"]

N_RESAMPLES = 4000

Codes = NDArray[np.int64]
Floats = NDArray[np.float64]
Tail = Literal["lower", "upper"]

_CHUNK = 256  # resamples at a time: bounds the memory at chunk × (cells + classes) numbers
_TIE = 1e-12  # values closer than this are the same number reached by another order of additions


@dataclass(frozen=True, eq=False)
class Resampled:
    """A metric, or the difference of two models' metrics, with all that its bounds need.

    Attributes:
        estimate: the value on the rows as they are.
        replicates: the sorted values on the resamples.
        standard_error: the jackknife's, over rows or groups.
        acceleration: the skewness that BCa corrects for.
        seen_effect: how much one discordant unit typically moved the value.
        worst_effect: how much one more discordant row could move it.
        worst_variance: what unseen discordant rows can add to the variance at most.
        units: how many rows, or groups, were resampled.
    """

    estimate: float
    replicates: Floats
    standard_error: float
    acceleration: float
    seen_effect: float
    worst_effect: float
    worst_variance: float
    units: int

    def bound(self, level: float, tail: Tail) -> float:
        """The one-sided bound with error ``level``: the more cautious of BCa and the jackknife's score-type bound.

        When every resample gives the same value BCa says nothing and the jackknife's bound stands alone.
        """
        bca, guard = self.bca_bound(level, tail), self.score_bound(level, tail)
        return min(bca, guard) if tail == "lower" else max(bca, guard)

    def bca_bound(self, level: float, tail: Tail) -> float:
        """The BCa bound alone; the estimate itself when all resamples agree."""
        level = level if tail == "lower" else 1 - level
        below = np.mean(self.replicates < self.estimate - _TIE)
        above = np.mean(self.replicates > self.estimate + _TIE)
        if below == 0 and above == 0:
            return self.estimate
        # Half a resample is kept on each side: an infinite bias correction would say more than the resamples do.
        half = 0.5 / len(self.replicates)
        bias = float(special.ndtri(np.clip((below + 1 - above) / 2, half, 1 - half)))
        shifted = bias + float(special.ndtri(level))
        stretch = 1 - self.acceleration * shifted
        if stretch <= 0:
            return float(self.replicates[0] if tail == "lower" else self.replicates[-1])
        return float(np.quantile(self.replicates, special.ndtr(bias + shifted / stretch)))

    def score_bound(self, level: float, tail: Tail) -> float:
        """The jackknife's score-type bound alone; see the top of this module."""
        t2 = float(special.stdtrit(max(self.units - 1, 1), level)) ** 2
        capped = float(np.sqrt(t2 * (self.standard_error**2 + self.worst_variance)))
        distance = max(self._reach(t2, self.seen_effect), min(self._reach(t2, self.worst_effect), capped))
        return self.estimate - distance if tail == "lower" else self.estimate + distance

    def _reach(self, t2: float, effect: float) -> float:
        bend = t2 * effect / 2
        return bend + float(np.sqrt(bend**2 + t2 * self.standard_error**2))

    def pvalue(self, value: float) -> float:
        """The one-sided p-value of "the truth is ``value`` or less": the level at which the lower bound reaches it."""
        low, high = 1e-9, 0.5
        if self.bound(high, "lower") <= value:
            return 1.0 if self.estimate <= value else high
        if self.bound(low, "lower") > value:
            return low
        for _ in range(50):
            middle = (low + high) / 2
            low, high = (low, middle) if self.bound(middle, "lower") > value else (middle, high)
        return high


def resample(
    metric: MetricName,
    gold: Codes,
    predicted: Codes,
    reference: Codes | None = None,
    *,
    groups: Codes | None = None,
    seed: int = 0,
    n_resamples: int = N_RESAMPLES,
) -> Resampled:
    """The metric of one model, or its difference candidate − reference on the same rows, under resampling.

    A class that vanishes from a resample's gold is left out of that resample's average, as the metric itself leaves out
    a class that gold does not have.

    Args:
        metric: which score, as ``bigenough.task.metrics`` defines it.
        gold: (n,) gold codes.
        predicted: (n,) the candidate's codes.
        reference: (n,) the reference's codes, or None for the candidate's own score.
        groups: (n,) group codes when rows of a group are correlated; whole groups are then drawn.
        seed: the only source of randomness.
        n_resamples: how many resamples.

    Example:
        >>> gold = np.array([0, 1] * 100)
        >>> result = resample("macro_f1", gold, np.where(np.arange(200) < 20, 0, gold), seed=1)
        >>> round(result.estimate, 3), round(result.bound(0.05, "lower"), 3)
        (0.95, 0.917)
    """
    return resample_all((metric,), gold, predicted, reference, groups=groups, seed=seed, n_resamples=n_resamples)[
        metric
    ]


def resample_all(
    names: Sequence[MetricName],
    gold: Codes,
    predicted: Codes,
    reference: Codes | None = None,
    *,
    groups: Codes | None = None,
    seed: int = 0,
    n_resamples: int = N_RESAMPLES,
    unseen_groups: bool = True,
) -> dict[MetricName, Resampled]:
    """``resample`` for several metrics from one set of draws.

    ``unseen_groups`` False leaves whole groups that may be discordant unseen out of the guard, for intervals that
    describe and prove nothing.
    """
    table = _Table.of(gold, predicted, reference)
    members, totals = _units(table, groups)
    n_units = int(totals.sum())
    rng = np.random.default_rng(seed)
    replicates = {name: np.empty(n_resamples) for name in names}
    for start in range(0, n_resamples, _CHUNK):
        draws = rng.multinomial(n_units, totals / n_units, size=min(_CHUNK, n_resamples - start)).astype(np.float64)
        counts = draws if members is None else draws @ members
        for name in names:
            replicates[name][start : start + len(draws)] = table.values(name, counts)
    return {name: _summary(table, name, members, totals, replicates[name], unseen_groups) for name in names}


def _summary(
    table: _Table,
    metric: MetricName,
    members: sparse.csr_array | None,
    totals: Floats,
    replicates: Floats,
    unseen_groups: bool,
) -> Resampled:
    n_units = int(totals.sum())
    estimate = float(table.values(metric, table.counts[None, :])[0])
    without = _without_one(table, metric, members)
    deviations = np.average(without, weights=totals) - without
    size = float(totals @ np.abs(deviations))
    still = size <= n_units * _TIE
    squares = 0.0 if still else float(totals @ deviations**2)
    together = table.rows_together(members, still=still) if still or unseen_groups else 1.0
    effect, variance = table.worst(metric)
    return Resampled(
        estimate=estimate,
        replicates=np.sort(replicates),
        standard_error=float(np.sqrt(squares * (n_units - 1) / n_units)),
        acceleration=0.0 if still else float(totals @ deviations**3) / (6 * squares**1.5),
        seen_effect=0.0 if still else squares / size,
        worst_effect=effect * together,
        worst_variance=variance * together,
        units=n_units,
    )


@dataclass(frozen=True, eq=False)
class _Table:
    """The rows as distinct cells (gold, candidate[, reference]) with counts, and which class each cell counts for."""

    counts: Floats
    cell_of_row: Codes
    gold: sparse.csr_array
    claims: tuple[sparse.csr_array, ...]
    hits: tuple[sparse.csr_array, ...]

    @classmethod
    def of(cls, gold: Codes, predicted: Codes, reference: Codes | None) -> _Table:
        models = [predicted] if reference is None else [predicted, reference]
        columns = np.column_stack([gold, *models])
        cells, cell_of_row, counts = np.unique(columns, axis=0, return_inverse=True, return_counts=True)
        n_classes = int(columns.max()) + 1
        everywhere = np.ones(len(cells), dtype=bool)
        return cls(
            counts.astype(np.float64),
            cell_of_row.reshape(-1),
            _one_hot(cells[:, 0], everywhere, n_classes),
            tuple(_one_hot(cells[:, 1 + i], everywhere, n_classes) for i in range(len(models))),
            tuple(_one_hot(cells[:, 0], cells[:, 0] == cells[:, 1 + i], n_classes) for i in range(len(models))),
        )

    def values(self, metric: MetricName, counts: Floats) -> Floats:
        """The metric or difference for each of (r, cells) tables of counts: (r,)."""
        first = _metric(metric, counts @ self.gold, counts @ self.claims[0], counts @ self.hits[0])
        if len(self.claims) == 1:
            return first
        return first - _metric(metric, counts @ self.gold, counts @ self.claims[1], counts @ self.hits[1])

    def worst(self, metric: MetricName) -> tuple[float, float]:
        """The largest effect of one row on the metric, and the largest variance of unseen discordant rows."""
        if metric == "accuracy":
            return 1 / float(self.counts.sum()), 1 / (4 * float(self.counts.sum()))
        support = self.counts @ self.gold
        support = support[support > 0]
        return 1 / (len(support) * float(support.min())), float(np.sum(1 / support)) / (4 * len(support) ** 2)

    def rows_together(self, members: sparse.csr_array | None, *, still: bool) -> float:
        """How many rows one unseen discordant unit may have; 1 when rows stand alone.

        Rows of a group may all be discordant, whatever those that were seen did: so many rows as the group of a random
        row has, sum m² / n, and those of the largest where no unit moved the value.
        """
        if members is None:
            return 1.0
        rows = np.asarray(members.sum(axis=1)).reshape(-1)
        return float(rows.max() if still else rows @ rows / rows.sum())


def _metric(metric: MetricName, support: Floats, claimed: Floats, hits: Floats) -> Floats:
    """Scores from (r, classes) counts of gold, predictions and right predictions."""
    if metric == "accuracy":
        return np.asarray(hits.sum(axis=1) / np.maximum(support.sum(axis=1), 1))
    present = support > 0
    scores = 2 * hits / np.maximum(support + claimed, 1) if metric == "macro_f1" else hits / np.maximum(support, 1)
    return np.asarray(np.sum(scores, axis=1, where=present) / np.maximum(present.sum(axis=1), 1))


def _one_hot(classes: Codes, chosen: NDArray[np.bool_], n_classes: int) -> sparse.csr_array:
    rows = np.flatnonzero(chosen)
    return sparse.csr_array((np.ones(len(rows)), (rows, classes[rows])), shape=(len(classes), n_classes))


def _units(table: _Table, groups: Codes | None) -> tuple[sparse.csr_array | None, Floats]:
    """What is drawn: (kinds of unit, cells) rows in it, None for the rows themselves; and how many of each kind."""
    n_cells = len(table.counts)
    if groups is None:
        return None, table.counts
    names, unit_of_row = np.unique(groups, return_inverse=True)
    ones = np.ones(len(unit_of_row))
    members = sparse.coo_array((ones, (unit_of_row, table.cell_of_row)), shape=(len(names), n_cells)).tocsr()
    return members, np.ones(len(names))


def _without_one(table: _Table, metric: MetricName, members: sparse.csr_array | None) -> Floats:
    """The value without one unit of each kind (the jackknife), in chunks."""
    n_kinds = len(table.counts) if members is None else members.shape[0]
    parts = []
    for start in range(0, n_kinds, _CHUNK):
        stop = min(start + _CHUNK, n_kinds)
        taken = np.eye(stop - start, n_kinds, start) if members is None else members[start:stop].toarray()
        parts.append(table.values(metric, table.counts[None, :] - taken))
    return np.concatenate(parts)
