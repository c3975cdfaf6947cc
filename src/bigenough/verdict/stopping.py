# SPDX-License-Identifier: Apache-2.0
"""The verdict on a reference that was asked row by row: when asking may end, and what each nominee's rows then say.

The test itself is ``bigenough.verdict.anytime``. Every nominee is described on the rows that settled its own case, so
that its bounds say what was decided of it: the lower one is above -margin exactly when it was found not worse.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from bigenough.errors import BadOption
from bigenough.verdict.anytime import SequentialWalk, anytime_bounds, log_e_value
from bigenough.verdict.compare import BETTING, CONFIDENCE, Figures, Question
from bigenough.verdict.sequence import Step
from bigenough.verdict.verdict import EarlyPlan, EarlyStop, Mode, PlainInterval, StoppedBecause

__all__ = ["Judged", "idle", "judge", "start", "why_all_rows"]

Codes = NDArray[np.int64]


class Judged(NamedTuple):
    """What the asked rows say: every nominee's turn, its figures by its place, and how the asking went."""

    steps: list[Step]
    figures: dict[int, Figures]
    stop: EarlyStop


def why_all_rows(*, paid: bool, nominees: int, grouped: bool) -> str | None:
    """Why asking cannot be stopped early, although it was wished; None if it can.

    Args:
        paid: whether the reference runs elsewhere, so that each answer costs.
        nominees: how many smaller models are to be tested.
        grouped: whether certify rows stand in groups.

    >>> why_all_rows(paid=True, nominees=0, grouped=False)
    'no smaller model was nominated, so there is nothing to test'
    """
    if not paid:
        return "the reference runs here, so its answers cost nothing"
    if not nominees:
        return "no smaller model was nominated, so there is nothing to test"
    return "certify rows stand in groups, and the test for stopping early takes independent rows" if grouped else None


def start(plan: EarlyPlan, nominees: Sequence[str], margin: float, alpha: float) -> SequentialWalk:
    """The walk down the nominees, before the first row is asked.

    >>> start(EarlyPlan(of=2000, order_seed=0, batch_rows=50, discordance=0.1), ["linear"], 0.02, 0.05).rows_saved
    2000
    """
    return SequentialWalk(margin, alpha, nominees, rows=plan.of, discordance=plan.discordance)


def idle(walk: SequentialWalk) -> bool:
    """Whether asking more rows can change nothing in the verdict, so that asking should end.

    That is when the walk is settled, and in one case more: the first nominee is found worse and one behind it is found
    not worse. It can neither pass in its turn nor be shown worse, so the answer is "cannot tell" whatever comes.
    """
    return walk.settled or (walk.decided and any(each.finding == "not worse" for each in walk.standings))


def judge(
    question: Question, names: Sequence[str], predicted: Sequence[Codes], plan: EarlyPlan, *, alpha: float, mode: Mode
) -> Judged:
    """Walk down the nominees on the rows that were asked.

    Args:
        question: gold and reference on the asked rows, in the order of asking.
        names: the nominees, in the order of testing.
        predicted: (asked,) codes of each on the same rows.
        plan: what was fixed before the first row was asked.
        alpha: the promised error.
        mode: must be "down".

    Raises:
        BadOption: the question is not one that can be stopped early, or more rows were asked than there are.
    """
    _check(question, names, mode)
    assert question.reference is not None  # noqa: S101  (for the type checker)
    walk = start(plan, names, question.margin, alpha)
    walk.update(np.stack([each == question.gold for each in predicted], axis=1), question.reference == question.gold)
    rows = [standing.settled_at or walk.asked for standing in walk.standings]
    figures = {
        place: _figures(question, said, n, alpha, plan.discordance)
        for place, (said, n) in enumerate(zip(predicted, rows, strict=True))
    }
    because: StoppedBecause = "decided" if idle(walk) else "budget spent"
    if walk.asked == plan.of:
        because = "all rows asked"
    stop = EarlyStop(walk.asked, plan.of, plan.order_seed, plan.batch_rows, plan.discordance, because)
    return Judged(walk.steps, figures, stop)


def _check(question: Question, names: Sequence[str], mode: Mode) -> None:
    reasons = {
        "the metric must be accuracy": question.metric == "accuracy",
        "the reference must be a candidate, not a bar": question.reference is not None,
        "rows must be independent, not in groups": question.groups is None,
        "nominees must be tested from the most expensive down (mode 'down')": mode == "down",
        "there must be a nominee": len(names) > 0,
    }
    if failed := [reason for reason, kept in reasons.items() if not kept]:
        raise BadOption(f"Asking cannot be stopped early here: {'; '.join(failed)}. Ask every row.")


def _figures(question: Question, predicted: Codes, n: int, level: float, discordance: float) -> Figures:
    """One nominee on the first n asked rows, with bounds and a p-value that hold at all times together."""
    assert question.reference is not None  # noqa: S101  (for the type checker)
    right, other = (said[:n] == question.gold[:n] for said in (predicted, question.reference))
    ours, theirs = np.cumsum(right & ~other), np.cumsum(other & ~right)
    b, c = int(ours[-1]), int(theirs[-1])
    stakes = log_e_value(ours, theirs, np.arange(1, n + 1), question.margin, discordance=discordance)
    bounds, plain = (
        anytime_bounds(b, c, n, question.margin, error, discordance=discordance)
        for error in (level, (1 - CONFIDENCE) / 2)
    )
    difference = (b - c) / n
    return Figures(
        score=float(np.mean(right)),
        reference_score=float(np.mean(other)),
        difference=difference,
        lower=bounds.low,
        upper=bounds.high,
        interval=PlainInterval(plain.low, plain.high, CONFIDENCE),
        p_value=min(1.0, math.exp(-float(stakes.max()))),
        method=BETTING,
        n=n,
        spread=math.sqrt(max((b + c) / n - difference**2, 0.0)),
        only_candidate_right=b,
        only_reference_right=c,
        smallest_provable_margin=max(0.0, -bounds.low),
    )
