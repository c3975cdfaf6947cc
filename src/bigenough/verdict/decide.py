# SPDX-License-Identifier: Apache-2.0
"""The verdict: who is tested, in which order, at which level, and what follows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from bigenough.errors import BadOption, NotEnoughLabels
from bigenough.task import MetricName, metrics
from bigenough.verdict.compare import Figures, Question, compare, missing_rows
from bigenough.verdict.resampling import N_RESAMPLES
from bigenough.verdict.sentences import comparison_words, verdict_sentence
from bigenough.verdict.sequence import Step, climb_up, walk_down
from bigenough.verdict.stopping import judge
from bigenough.verdict.verdict import (
    Answer,
    Bar,
    Comparison,
    Decision,
    EarlyPlan,
    EarlyStop,
    LeftOut,
    Mode,
    Nominee,
    OrderBy,
    Reference,
    ReferenceScore,
    Verdict,
)

__all__ = ["decide"]

Codes = NDArray[np.int64]


def decide(
    gold: Codes,
    nominees: Sequence[Nominee],
    reference: Reference | Bar,
    *,
    metric: MetricName = "accuracy",
    margin: float | None = None,
    alpha: float = 0.05,
    mode: Mode = "down",
    order_by: OrderBy = "size_bytes",
    groups: Codes | None = None,
    left_out: Sequence[LeftOut] = (),
    seed: int = 0,
    n_resamples: int = N_RESAMPLES,
    describe: bool = True,
    planned: int | None = None,
    early: EarlyPlan | None = None,
) -> Verdict:
    """Test the nominees against the reference and say what is proved.

    The chance that a nominee is crowned whose true score is worse than the reference's by the margin or more is at most
    ``alpha``, however many nominees there are, if nominees, order, reference, metric, margin and alpha were fixed
    before these rows were looked at and the rows (or groups) are independent draws of what the model will meet.

    Args:
        gold: (n,) gold codes of the certify rows.
        nominees: in the order of testing: mode "down" from the most expensive to the cheapest, mode "up" the other way
            round.
        reference: the candidate whom they must not be worse than, or a bar that they must be above.
        metric: which score, as ``bigenough.task.metrics`` defines it.
        margin: the loss that still counts as good enough, a fraction; by default 0.015, and 0 against a bar.
        alpha: the promised error.
        mode: "down" tests each at alpha and stops at the first failure, "up" each at alpha / k and stops at the first
            pass.
        order_by: what "expensive" meant, for the record.
        groups: (n,) codes of groups whose rows are correlated; None for independent rows.
        left_out: candidates that were not nominated, for the record.
        seed: the bootstrap's.
        n_resamples: the bootstrap's.
        describe: whether nominees whose turn never came are opened after the verdict, to describe them. What they show
            changes no winner; but without it a nominee that was not reached counts as not shown to be worse.
        planned: how many nominees were planned, when mode "up" asks before all of them are fitted; alpha is split over
            these, and while some are neither given nor left out the reference cannot win.
        early: how a paid reference was asked, if asking was to end once the question is settled. Gold and predictions
            are then those of the asked rows, in the order of asking, and each nominee is judged by a test that may be
            looked at after every row; n is the number of rows asked. Accuracy against a candidate, independent rows and
            mode "down" only.

    Raises:
        NotEnoughLabels: there are no certify rows, or a single group.
        BadOption: shapes, names or numbers that make no sense, or a question that cannot be stopped early.

    Example:
        >>> gold = np.zeros(2000, dtype=np.int64)
        >>> small, big = gold.copy(), gold.copy()
        >>> small[:100], big[50:140] = 1, 1
        >>> verdict = decide(gold, [Nominee("linear", 31_000_000, small)], Reference("frozen", big, 90_000_000))
        >>> verdict.answer, verdict.winner, verdict.exit_code
        ('proved', 'linear', 0)
    """
    if margin is None:
        margin = 0.0 if isinstance(reference, Bar) else 0.015
    question = _question(gold, reference, metric, margin, groups, seed, n_resamples)
    _check(nominees, reference, margin, alpha)
    n_planned = max(len(nominees), planned or 0)
    stop: EarlyStop | None = None
    if early is None:
        steps, seen = _tested(question, nominees, alpha, mode, n_planned, describe=describe)
    else:
        opened = [_open(nominee, len(gold)) for nominee in nominees]
        steps, seen, stop = judge(question, [each.name for each in nominees], opened, early, alpha=alpha, mode=mode)
    comparisons = [_comparison(nominees[step.place], step, seen.get(step.place), question) for step in steps]
    target = _reference_score(question, reference)
    comparisons = [replace(c, words=comparison_words(c, target, metric, margin)) for c in comparisons]
    return _conclude(
        question,
        target,
        comparisons,
        alpha=alpha,
        mode=mode,
        order_by=order_by,
        left_out=tuple(left_out),
        n_planned=n_planned,
        early=stop,
    )


def _tested(
    question: Question, nominees: Sequence[Nominee], alpha: float, mode: Mode, n_planned: int, *, describe: bool
) -> tuple[list[Step], dict[int, Figures]]:
    """Each nominee's turn, and the figures of those that were opened, by their place."""
    opened: dict[int, Figures] = {}
    n = len(question.gold)

    def test(place: int, level: float) -> bool:
        opened[place] = compare(question, _open(nominees[place], n), level)
        return opened[place].lower > -question.margin

    k = len(nominees)
    steps = walk_down(k, test, alpha) if mode == "down" else climb_up(k, test, alpha, n_planned)
    described = {
        step.place: compare(question, _open(nominees[step.place], n), step.level)
        for step in steps
        if step.passed is None and (describe or not callable(nominees[step.place].predicted))
    }
    return steps, opened | described


def _question(
    gold: Codes,
    reference: Reference | Bar,
    metric: MetricName,
    margin: float,
    groups: Codes | None,
    seed: int,
    n_resamples: int,
) -> Question:
    if len(gold) == 0:
        raise NotEnoughLabels(
            "There are no certify rows, so nothing can be proved. Label a random sample of rows first."
        )
    if groups is not None and len(np.unique(groups)) < 2:
        raise NotEnoughLabels(
            "All certify rows belong to one group, so nothing can be said about other groups. Give rows of more "
            "groups, or leave the group column out if rows are independent."
        )
    against = None if isinstance(reference, Bar) else _fit(reference.predicted, len(gold), reference.name)
    bar = reference.value if isinstance(reference, Bar) else 0.0
    return Question(gold, metric, margin, against, bar, groups, seed, n_resamples)


def _check(nominees: Sequence[Nominee], reference: Reference | Bar, margin: float, alpha: float) -> None:
    names = [nominee.name for nominee in nominees]
    if isinstance(reference, Reference):
        names.append(reference.name)
    elif not 0 < reference.value < 1:
        raise BadOption(f"The bar must be a fraction between 0 and 1 (0.92 is 92 %). Got {reference.value!r}.")
    doubled = sorted({name for name in names if names.count(name) > 1})
    if doubled:
        raise BadOption(
            f"Nominees and reference need different names; {doubled[0]!r} stands twice. The reference is no nominee."
        )
    if not 0 <= margin < 1:
        raise BadOption(f"The margin must be a fraction from 0 to below 1 (0.015 is 1.5 points). Got {margin!r}.")
    if not 0 < alpha < 0.5:
        raise BadOption(f"alpha must lie between 0 and 0.5. Got {alpha!r}.")


def _open(nominee: Nominee, n: int) -> Codes:
    predicted = nominee.predicted
    return _fit(predicted() if callable(predicted) else predicted, n, nominee.name)


def _fit(predicted: Codes, n: int, name: str) -> Codes:
    if predicted.shape != (n,):
        raise BadOption(
            f"{name} has predictions of shape {predicted.shape}; gold has {n} rows. Predict each certify row once."
        )
    return predicted


def _comparison(nominee: Nominee, step: Step, figures: Figures | None, question: Question) -> Comparison:
    decision: Decision = "not tested" if step.passed is None else "passed" if step.passed else "failed"
    blank = Comparison(nominee.name, nominee.size_bytes, step.place + 1, decision, False, step.level)
    if figures is None:
        return blank
    values = {name: getattr(figures, name) for name in figures.__dataclass_fields__ if name != "spread"}
    tested = step.passed is not None
    if not tested:
        unsaid = ("lower", "p_value", "ignores_groups", "exact_level", "smallest_provable_margin")
        values |= dict.fromkeys(unsaid)
    worse = figures.upper < -question.margin
    open_ = not step.passed and not worse
    return replace(
        blank,
        **values,
        shown_worse=worse,
        rows_needed=missing_rows(question, figures, step.level) if open_ else None,
    )


def _reference_score(question: Question, reference: Reference | Bar) -> ReferenceScore:
    if isinstance(reference, Bar):
        return ReferenceScore("bar", None, None, reference.value, None, within_limits=False)
    score = metrics.score(question.metric, question.gold, reference.predicted)
    return ReferenceScore(
        "candidate", reference.name, reference.chosen, score, reference.size_bytes, reference.within_limits
    )


def _winner(comparisons: Sequence[Comparison], mode: Mode) -> Comparison | None:
    passed = [c for c in comparisons if c.decision == "passed"]
    return (passed[-1] if mode == "down" else passed[0]) if passed else None


def _deciding(comparisons: Sequence[Comparison], winner: Comparison | None) -> Comparison | None:
    """The winner; else the open comparison that the fewest rows would settle, a tested one first; else the closest."""
    if winner is not None:
        return winner
    failed = [c for c in comparisons if c.decision == "failed"]
    behind = [c for c in comparisons if c.decision == "not tested" and c.rows_needed is not None]
    open_ = [c for c in failed if not c.shown_worse] or behind
    if open_:
        return min(open_, key=_missing)
    return max(failed, key=lambda c: c.lower or 0.0) if failed else None


def _missing(comparison: Comparison) -> float:
    rows = comparison.rows_needed
    return float("inf") if rows is None or rows.more is None else rows.more


def _conclude(
    question: Question,
    target: ReferenceScore,
    comparisons: Sequence[Comparison],
    *,
    alpha: float,
    mode: Mode,
    order_by: OrderBy,
    left_out: tuple[LeftOut, ...],
    n_planned: int,
    early: EarlyStop | None,
) -> Verdict:
    winner = _winner(comparisons, mode)
    fallback = target.name if target.within_limits else None
    answer: Answer
    name: str | None
    if winner is not None:
        answer, name = "proved", winner.candidate
    elif all(c.shown_worse for c in comparisons) and len(comparisons) + len(left_out) >= n_planned:
        answer, name = ("proved", fallback) if fallback else ("not good enough", None)
    else:
        answer, name = "cannot tell", None
    deciding = _deciding(comparisons, winner)
    verdict = Verdict(
        answer=answer,
        exit_code={"proved": 0, "not good enough": 3, "cannot tell": 4}[answer],  # type: ignore[arg-type]
        winner=name,
        safe_choice=name or fallback,
        sentence="",
        metric=question.metric,
        margin=question.margin,
        alpha=alpha,
        mode=mode,
        order_by=order_by,
        n_planned=n_planned,
        reference=target,
        n_certify=len(question.gold),
        n_groups=None if question.groups is None else len(np.unique(question.groups)),
        comparisons=tuple(comparisons),
        left_out=left_out,
        deciding=deciding.candidate if deciding else None,
        smallest_provable_margin=deciding.smallest_provable_margin if deciding else None,
        rows_needed=deciding.rows_needed if deciding and answer == "cannot tell" else None,
        seed=question.seed,
        n_resamples=question.n_resamples,
        early=early,
    )
    return replace(verdict, sentence=verdict_sentence(verdict))
