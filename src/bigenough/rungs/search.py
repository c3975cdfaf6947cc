# SPDX-License-Identifier: Apache-2.0
"""The same search for every rung: settings are tried on fit and chosen on select, within a declared budget.

The certify split is not an argument of anything here.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bigenough.errors import BadOption, MissingExtra, OutOfDisk, RungFailed, WeightsNotFound
from bigenough.rungs.fit_memory import FitMemory
from bigenough.rungs.protocol import Rung, Settings, Workbench
from bigenough.rungs.sample import stratified_order
from bigenough.rungs.suggestions import Suggestions
from bigenough.rungs.trials import TrialRecord, Trials, Tried, is_costly, not_beaten, settled
from bigenough.task import Examples
from bigenough.task.task import MetricName

__all__ = ["REFIT_ROOM", "CurvePoint", "SearchResult", "learning_curve", "search", "slowest"]

REFIT_ROOM = 1.3
"""How much more than its share of rows a costly rung's refit is given: it plans with four fifths of its time, and the
machine may be slower by then."""
FAIR = 1.8
"""How many times the slowest trial's seconds the next one must be given. A rung that plans what its minutes suffice
for, and for the refit's rows too, would else be tried with less than those before it."""
TRIALS_SHARE = 0.8
"""How much of a rung's time the trials take, for the progress: the curve, the refit and the measuring follow."""


@dataclass(frozen=True, eq=False)
class SearchResult:
    """What a search found.

    Attributes:
        settings: the chosen ones.
        score: their score on select.
        log_loss: their log loss on select, as in their trial.
        trials: all that was tried, in order.
        select_probability: (n, k) uncalibrated probabilities of the select rows at the best settings.
        seconds: the sum over the trials.
        record: what the rung told of the chosen fit.
        model: where the chosen fit's model is kept, for a costly rung.
    """

    settings: Settings
    score: float
    log_loss: float
    trials: tuple[TrialRecord, ...]
    select_probability: NDArray[np.float64]
    seconds: float
    record: Mapping[str, Any] = field(default_factory=dict)
    model: Path | None = None


@dataclass(frozen=True)
class CurvePoint:
    """The score on select after fitting on so many rows."""

    rows: int
    score: float

    def to_json(self) -> dict[str, float]:
        """``rows`` and ``score``."""
        return dict(vars(self))


def search(
    rung: Rung,
    fit: Examples,
    select: Examples,
    n_classes: int,
    metric: MetricName,
    *,
    trials: int,
    minutes: float,
    bench: Workbench,
    memory: FitMemory | None = None,
    clock: Callable[[], float] = time.monotonic,
) -> SearchResult:
    """Try settings of a rung: its first ones, then what a seeded tree-structured Parzen estimator suggests.

    Bergstra et al. 2011, as in optuna. Which of them the rung ends with is ``trials.settled``'s rule.

    A trial that raises is recorded with its reason, and the search goes on. A rung
    without anything to search gets one trial. Fits found in ``memory`` are not done again and count with the seconds
    they took, so that a search that was killed goes the same way when it is repeated. Deterministic given
    ``bench.seed`` as long as the minutes do not run out.

    Args:
        rung: the recipe.
        fit: what it is fitted on.
        select: what it is scored on.
        n_classes: how many classes the task has.
        metric: what is to be high.
        trials: how many different settings at most.
        minutes: no trial begins after so many minutes of trials; of a costly rung, none but the first that would leave
            too few of them for the refit.
        bench: its seed is the search's too.
        memory: finished fits of this rung on these splits; None keeps nothing.
        clock: seconds from an arbitrary moment.

    Raises:
        RungFailed: every trial failed; the message has the first reason.
        MissingExtra, WeightsNotFound, OutOfDisk: no other settings would help.
    """
    if trials < 1 or not minutes > 0:
        raise BadOption(
            f"A search needs at least one trial and some time. Got {trials} trials and {minutes:g} minutes."
        )
    work = Trials(rung, select, n_classes, metric, bench, memory or FitMemory(), clock)
    records: list[TrialRecord] = []
    front: list[Tried] = []
    first: Tried | None = None
    suggestions = Suggestions(rung, fit, n_classes, bench.seed)
    refit = REFIT_ROOM * (1 + len(select) / max(1, len(fit))) if is_costly(rung) else 0.0
    for settings in suggestions.upto(trials):
        bench.say(f"trial {len(records) + 1} of {trials}", TRIALS_SHARE * len(records) / trials)
        began = clock()
        try:
            tried = work.within(_seconds_left(records, 60 * minutes, refit)).tried(fit, settings)
        except (MissingExtra, OutOfDisk, WeightsNotFound):
            raise
        except Exception as error:  # a plugin may raise anything
            records.append(TrialRecord(settings, None, None, clock() - began, f"{type(error).__name__}: {error}"))
        else:
            records.append(tried.record)
            front = not_beaten([*front, tried])
            first = tried if len(records) == 1 else first
        suggestions.tell(records[-1].score)
        if _seconds_left(records, 60 * minutes, refit) <= (FAIR * slowest(records) if refit else 0.0):
            break
    if not front:
        told = f" with all {len(records)} settings. First" if len(records) > 1 else ""
        raise RungFailed(f"The rung {rung.name!r} failed{told}: {records[0].failure}")
    chosen = settled(front, first, work)
    seconds = sum(record.seconds for record in records)
    kept = chosen.fitted
    return SearchResult(
        chosen.record.settings, chosen.score, chosen.log_loss, tuple(records), kept.probability, seconds,
        kept.record, kept.model,
    )  # fmt: skip


def slowest(records: Sequence[TrialRecord]) -> float:
    """The most seconds that a trial took which went well; 0 without one."""
    return max((one.seconds for one in records if one.score is not None), default=0.0)


def _seconds_left(records: Sequence[TrialRecord], seconds: float, refit: float) -> float:
    """What of these seconds one more trial may take, so that they suffice whichever trial is chosen.

    ``refit``: how many times as long as its trial a refit takes; 0 where it is not reckoned with. Until a trial went
    well nothing is kept for it.

    >>> slow, fast = TrialRecord({}, 0.9, 0.3, 60.0), TrialRecord({}, 0.9, 0.3, 20.0)
    >>> round(_seconds_left([slow, fast], 300.0, 1.4), 1), _seconds_left([slow], 300.0, 0.0)
    (91.7, 240.0)
    """
    left = seconds - sum(one.seconds for one in records)
    most = slowest(records)
    return min(left - refit * most, left / (1 + refit)) if most else left


def learning_curve(
    rung: Rung,
    settings: Settings,
    fit: Examples,
    select: Examples,
    n_classes: int,
    metric: MetricName,
    *,
    bench: Workbench,
    full_score: float,
    shares: Sequence[float] = (1 / 8, 1 / 4, 1 / 2),
    memory: FitMemory | None = None,
    seconds_left: float = float("inf"),
    full_seconds: float = 0.0,
) -> tuple[CurvePoint, ...]:
    """The score on select after fitting on growing shares of fit, at settings chosen on all of it.

    The parts are stratified, nested and the same for every rung. A part with fewer rows than classes, or on which the
    rung fails, is left out, and so is one for which ``seconds_left`` do not suffice, by the share of ``full_seconds``,
    the time a fit on all rows took. The last point is all of fit with ``full_score``, which is not computed again.
    """
    work = Trials(rung, select, n_classes, metric, bench, memory or FitMemory(), time.monotonic)
    if not getattr(rung, "curve", True):
        shares = ()
    order = stratified_order(fit.labels, bench.seed)
    points = []
    for share in sorted(shares):
        rows = round(share * len(fit))
        if not n_classes <= rows < len(fit) or share * full_seconds > seconds_left:
            continue
        seconds_left -= share * full_seconds
        try:
            fitted = work.fitted(fit.take(np.sort(order[:rows])), settings)
        except OutOfDisk:
            raise
        except Exception as error:  # the candidate stands without this point
            bench.say(f"no learning curve at {rows} rows: {type(error).__name__}: {error}", None)
            continue
        points.append(CurvePoint(rows, work.score(fitted)))
    return (*points, CurvePoint(len(fit), full_score))
