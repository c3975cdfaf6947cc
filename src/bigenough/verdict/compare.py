# SPDX-License-Identifier: Apache-2.0
"""One nominee against the reference: figures, bounds and p-value; no decision.

| metric | rows | reference | bounds and p-value |
| --- | --- | --- | --- |
| accuracy | independent | candidate | Tango's score test at its exact level; exact McNemar beside it |
| accuracy | independent | bar | exact binomial (Clopper–Pearson) |
| accuracy | grouped | either | bootstrap over groups; Tango beside it, marked as ignoring groups |
| macro F1, balanced accuracy | either | either | bootstrap over rows or groups |

A reference that was asked row by row, until the question was settled, is compared in ``bigenough.verdict.stopping``.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from bigenough.task import MetricName, metrics
from bigenough.verdict.exact import exact_level
from bigenough.verdict.noninferiority import (
    exact_bounds,
    exact_pvalue,
    mcnemar_pvalue,
    paired_counts,
    tango_lower,
    tango_pvalue,
    tango_upper,
)
from bigenough.verdict.power import MOST_ROWS, bar_rows_needed, rows_needed
from bigenough.verdict.resampling import resample
from bigenough.verdict.verdict import IgnoresGroups, PlainInterval, RowsNeeded

__all__ = ["BETTING", "CONFIDENCE", "TARGET_POWER", "Figures", "Question", "compare", "missing_rows", "rounded_up"]

CONFIDENCE = 0.95
TARGET_POWER = 0.8
MARGIN_STEP = 1e-5
BETTING = "betting, valid at any time"
"""The method of ``bigenough.verdict.stopping``."""
_PAIRED = ("Tango score", BETTING)
"""Methods of independent pairs, for which a fresh test of fixed size would be Tango's."""
HOPELESS = 20
"""More than so many times today's rows nobody will label; the sentence says so."""

Codes = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Question:
    """What every nominee of one verdict is asked, on which rows."""

    gold: Codes
    metric: MetricName
    margin: float
    reference: Codes | None
    bar: float
    groups: Codes | None
    seed: int
    n_resamples: int


@dataclass(frozen=True)
class Figures:
    """What was measured of one nominee.

    ``spread`` is the standard deviation of the difference per root of n rows; ``exact_level`` and ``exact_level_worse``
    are the levels of the lower and the upper bound, where they are smaller than the one that was promised.
    """

    score: float
    reference_score: float
    difference: float
    lower: float
    upper: float
    interval: PlainInterval
    p_value: float
    method: str
    n: int
    spread: float
    only_candidate_right: int | None = None
    only_reference_right: int | None = None
    mcnemar_p: float | None = None
    ignores_groups: IgnoresGroups | None = None
    exact_level: float | None = None
    exact_level_worse: float | None = None
    smallest_provable_margin: float = 0.0

    @property
    def discordance(self) -> float | None:
        """The share of rows that exactly one of the two gets right; None against a bar."""
        if self.only_candidate_right is None or self.only_reference_right is None:
            return None
        return (self.only_candidate_right + self.only_reference_right) / self.n


def compare(question: Question, predicted: Codes, level: float) -> Figures:
    """The nominee's figures with one-sided bounds at error ``level``."""
    if question.metric == "accuracy" and question.groups is None:
        return (
            _tango(question, predicted, level) if question.reference is not None else _exact(question, predicted, level)
        )
    return _bootstrap(question, predicted, level)


def _tango(question: Question, predicted: Codes, level: float) -> Figures:
    assert question.reference is not None  # noqa: S101  (for the type checker)
    right, reference_right = predicted == question.gold, question.reference == question.gold
    (b, c), n = paired_counts(right, reference_right), len(question.gold)
    difference = (b - c) / n
    half = (1 - CONFIDENCE) / 2
    below, above = exact_level(n, question.margin, level), exact_level(n, question.margin, level, worse=True)
    # An upper bound is the lower bound with the two models exchanged; one call inverts all four.
    ends = tango_lower([b, c, b, c], [c, b, c, b], n, [below, above, half, half]).tolist()
    return Figures(
        score=float(np.mean(right)),
        reference_score=float(np.mean(reference_right)),
        difference=difference,
        lower=ends[0],
        upper=-ends[1],
        interval=PlainInterval(ends[2], -ends[3], CONFIDENCE),
        p_value=float(tango_pvalue(b, c, n, question.margin)),
        method="Tango score",
        n=n,
        spread=math.sqrt((b + c) / n - difference**2),
        only_candidate_right=b,
        only_reference_right=c,
        mcnemar_p=mcnemar_pvalue(b, c),
        exact_level=below,
        exact_level_worse=above,
        smallest_provable_margin=_smallest_margin(b, c, n, level, float(tango_lower(b, c, n, level))),
    )


def _smallest_margin(b: int, c: int, n: int, level: float, lower: float) -> float:
    """The margin at which these counts pass, rounded up; found in steps, since each margin has a level of its own."""
    margin = _up(max(0.0, -lower))
    while margin < 1 and (bound := float(tango_lower(b, c, n, exact_level(n, margin, level)))) <= -margin:
        margin = _up(max(margin + MARGIN_STEP / 2, -bound))
    return min(margin, 1.0)


def _up(margin: float) -> float:
    return math.ceil(margin / MARGIN_STEP - 1e-9) * MARGIN_STEP


def _exact(question: Question, predicted: Codes, level: float) -> Figures:
    hits, n, bar = int(np.sum(predicted == question.gold)), len(question.gold), question.bar
    bounds, plain = exact_bounds(hits, n, level), exact_bounds(hits, n, (1 - CONFIDENCE) / 2)
    return Figures(
        score=hits / n,
        reference_score=bar,
        difference=hits / n - bar,
        lower=bounds.low - bar,
        upper=bounds.high - bar,
        interval=PlainInterval(plain.low - bar, plain.high - bar, CONFIDENCE),
        p_value=exact_pvalue(hits, n, bar - question.margin),
        method="exact binomial",
        n=n,
        spread=math.sqrt(hits / n * (1 - hits / n)),
        smallest_provable_margin=max(0.0, bar - bounds.low),
    )


def _bootstrap(question: Question, predicted: Codes, level: float) -> Figures:
    gold, reference, n = question.gold, question.reference, len(question.gold)
    result = resample(
        question.metric,
        gold,
        predicted,
        reference,
        groups=question.groups,
        seed=question.seed,
        n_resamples=question.n_resamples,
    )
    shift = question.bar if reference is None else 0.0
    half = (1 - CONFIDENCE) / 2
    low, high = result.bound(half, "lower") - shift, result.bound(half, "upper") - shift
    score = metrics.score(question.metric, gold, predicted)
    reference_score = question.bar if reference is None else metrics.score(question.metric, gold, reference)
    b = c = mcnemar = beside = None
    if reference is not None:
        b, c = paired_counts(predicted == gold, reference == gold)
        mcnemar = mcnemar_pvalue(b, c) if question.groups is None else None
        beside = _ignoring_groups(question, b, c, level)
    lower = max(result.bound(level, "lower") - shift, -1.0)
    return Figures(
        score=score,
        reference_score=reference_score,
        difference=score - reference_score,
        lower=lower,
        upper=min(result.bound(level, "upper") - shift, 1.0),
        interval=PlainInterval(max(low, -1.0), min(high, 1.0), CONFIDENCE),
        p_value=result.pvalue(shift - question.margin),
        method="BCa bootstrap with a score-type guard" + ("" if question.groups is None else " over groups"),
        n=n,
        spread=result.standard_error * math.sqrt(n),
        only_candidate_right=b,
        only_reference_right=c,
        mcnemar_p=mcnemar,
        ignores_groups=beside,
        smallest_provable_margin=max(0.0, -lower),
    )


def _ignoring_groups(question: Question, b: int, c: int, level: float) -> IgnoresGroups | None:
    if question.metric != "accuracy" or question.groups is None:
        return None
    n = len(question.gold)
    lower, upper = float(tango_lower(b, c, n, level)), float(tango_upper(b, c, n, level))
    return IgnoresGroups("Tango score", lower, upper, float(tango_pvalue(b, c, n, question.margin)))


def missing_rows(question: Question, figures: Figures, level: float) -> RowsNeeded:
    """How many labelled rows would decide this open comparison with a power of 0.8.

    It assumes that the truth is what was observed: the same discordance or spread, and the same difference, except that
    a nominee that looks better than a candidate reference is taken as equal, unless the margin is 0, which equal models
    never prove. A nominee that looks worse than the margin is more likely to be shown worse, so that is what the rows
    are counted for. Where no closed test gives the power, the normal formula
    n = spread² (z_alpha + z_power)² / distance² is used.
    """
    capped = question.reference is not None and question.margin > 0
    assumed = min(figures.difference, 0.0) if capped else figures.difference
    prove = assumed > -question.margin
    total = _rows_for(question, figures, level, assumed) if prove else _rows_to_show_worse(question, figures, level)
    equal = None
    if question.reference is not None and question.margin > 0:
        equal = _rows_for(question, figures, level, 0.0)
    n = figures.n
    total = None if total is None or total > MOST_ROWS else max(total, n + 1)
    more = None if total is None else total - n
    return RowsNeeded(
        purpose="prove" if prove else "show worse",
        total=total,
        more=more,
        power=TARGET_POWER,
        assumed_difference=assumed,
        assumed_discordance=figures.discordance if figures.method in _PAIRED else None,
        if_equal_more=None if equal is None or equal > MOST_ROWS else max(equal - n, 0),
        sentence=_missing_sentence(prove, total, n, _truth(question, assumed), question),
    )


def _rows_for(question: Question, figures: Figures, level: float, difference: float) -> int | None:
    if figures.method in _PAIRED:
        discordance = max(figures.discordance or 0.0, abs(difference))
        return rows_needed(question.margin, discordance, level, TARGET_POWER, difference)
    if figures.method == "exact binomial":
        return bar_rows_needed(figures.score, question.bar - question.margin, level, TARGET_POWER)
    return _normal_rows(figures.spread, level, difference + question.margin)


def _rows_to_show_worse(question: Question, figures: Figures, level: float) -> int | None:
    return _normal_rows(figures.spread, level, -(figures.difference + question.margin))


def _normal_rows(spread: float, level: float, distance: float) -> int | None:
    if distance <= 1e-9:
        return None
    z = float(stats.norm.isf(level)) + float(stats.norm.ppf(TARGET_POWER))
    rows = (spread * z / distance) ** 2
    return math.ceil(rows) if rows <= MOST_ROWS else None


def _truth(question: Question, assumed: float) -> str:
    """What the number of rows assumes."""
    if question.reference is None:
        side = "above" if assumed > 0 else "below"
        points = f"{100 * abs(assumed):.2g}"
        apart = f"{points} point{'' if points == '1' else 's'} {side} the bar" if assumed else "the bar itself"
        return f"its true score is {apart}"
    if abs(assumed) >= 5e-4:
        return f"the true difference is {100 * assumed:+.1f} points"
    return "the two are truly equal" if not assumed else f"the true difference is {100 * assumed:+.2g} points"


def _missing_sentence(prove: bool, total: int | None, n: int, truth: str, question: Question) -> str:
    """What to label. A second look at today's rows would spend the error twice, so the rows asked for are all fresh."""
    aim = "prove it good enough" if prove else "show it to be worse than the margin allows"
    if total is None:
        return f"Even ten million rows would not {aim} if {truth}."
    where = "" if question.groups is None else " in new groups"
    border = "bar" if question.reference is None and not question.margin else "margin"
    as_here = "" if question.reference is None else " and the models disagree as often as here"
    if total > HOPELESS * n:
        return (
            f"No realistic number of labels will settle it: about {rounded_up(total):,} fresh test rows{where} would "
            f"{aim}, with a chance of {100 * TARGET_POWER:.0f} %, if {truth}, which is next to the {border}."
        )
    return (
        f"A fresh test of about {rounded_up(total):,} labelled rows{where} (--test) would {aim}, with a chance of "
        f"{100 * TARGET_POWER:.0f} %, if {truth}{as_here}."
    )


def rounded_up(rows: int) -> int:
    """Two digits that count: more would claim a precision that nobody has.

    >>> rounded_up(82614), rounded_up(97)
    (83000, 97)
    """
    step: int = 10 ** max(len(str(rows)) - 2, 0)
    return -(-rows // step) * step
