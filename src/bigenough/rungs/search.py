# SPDX-License-Identifier: Apache-2.0
"""The same search for every rung: settings are tried on fit and chosen on select, within a declared budget.

The certify split is not an argument of anything here.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bigenough.errors import BadOption, MissingExtra, OutOfDisk, RungFailed, WeightsNotFound
from bigenough.rungs.calibration import fit_temperature, temper
from bigenough.rungs.fit_memory import FitMemory, Fitted
from bigenough.rungs.protocol import Rung, Settings, Watched, Workbench
from bigenough.rungs.sample import stratified_order
from bigenough.storage import content_hash
from bigenough.task import Examples
from bigenough.task.metrics import score
from bigenough.task.task import MetricName

__all__ = ["CurvePoint", "FitMemory", "SearchResult", "TrialRecord", "is_costly", "learning_curve", "search"]

_ASKS_PER_TRIAL = 5
"""How often, for each trial, the sampler may suggest what was tried already before a small space counts as searched."""


TRIALS_SHARE = 0.8
"""How much of a rung's time the trials take, for the progress: the curve, the refit and the measuring follow."""


@dataclass(frozen=True)
class TrialRecord:
    """Settings that were tried.

    Attributes:
        settings: the rung's choices.
        score: the task's metric on select; None when the fit failed.
        log_loss: on select, at the temperature that suits these settings best, so that trials compare; averaged as the
            score is, over rows for accuracy and over classes for the other metrics.
        seconds: fitting and predicting select.
        failure: why it failed, or None.
    """

    settings: Settings
    score: float | None
    log_loss: float | None
    seconds: float
    failure: str | None = None

    def to_json(self) -> dict[str, Any]:
        """All of it, as JSON values."""
        return {**vars(self), "settings": dict(self.settings)}


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


@dataclass(frozen=True, eq=False)
class _Tried:
    """A trial that went well."""

    record: TrialRecord
    score: float
    log_loss: float
    fitted: Fitted


@dataclass(frozen=True, eq=False)
class _Trials:
    """One rung's fits on one pair of splits."""

    rung: Rung
    select: Examples
    n_classes: int
    metric: MetricName
    bench: Workbench
    memory: FitMemory
    clock: Callable[[], float]

    def fitted(self, examples: Examples, settings: Settings, *, watched: bool = False) -> Fitted:
        """The fit of these settings, from memory or done now; ``watched`` lets a rung that can look at select."""
        key = content_hash(self.rung.name, self.rung.version, dict(settings), len(examples), self.bench.seed)
        kept = self.memory.get(key)
        if kept is not None and kept.probability.shape == (len(self.select), self.n_classes):
            return kept
        began = self.clock()
        with_sight = getattr(self.rung, "fit_watching", None) if watched else None
        if with_sight is None:
            seen = Watched(self.rung.fit(examples, self.n_classes, settings, self.bench), settings, {})
        else:
            seen = with_sight(examples, self.n_classes, settings, self.bench, self.select)
        probability = self._checked(seen.predictor.predict_proba(self.select.texts))
        model = self.memory.keep_model(key, seen.predictor) if watched and is_costly(self.rung) else None
        fitted = Fitted(probability, self.clock() - began, dict(seen.settings), seen.record, model)
        self.memory.put(key, fitted)
        return fitted

    def score(self, fitted: Fitted) -> float:
        return score(self.metric, self.select.labels, fitted.probability.argmax(axis=1))

    def tried(self, examples: Examples, settings: Settings) -> _Tried:
        """One trial, scored."""
        fitted = self.fitted(examples, settings, watched=True)
        settings = settings if fitted.settings is None else fitted.settings
        gold = self.select.labels
        tempered = temper(fitted.probability, fit_temperature(fitted.probability, gold))
        said = np.maximum(tempered[np.arange(len(gold)), gold], 1e-12)
        loss = float(-np.sum(_row_weights(self.metric, gold) * np.log(said)))
        found = self.score(fitted)
        return _Tried(TrialRecord(settings, found, loss, fitted.seconds), found, loss, fitted)

    def _checked(self, probability: NDArray[np.float64]) -> NDArray[np.float64]:
        expected = (len(self.select), self.n_classes)
        if probability.shape != expected:
            raise RungFailed(f"{self.rung.name} gave probabilities of shape {probability.shape}. Expected {expected}.")
        if not np.allclose(probability.sum(axis=1), 1.0, atol=1e-6) or probability.min(initial=0.0) < 0:
            raise RungFailed(f"{self.rung.name} gave rows that are no probabilities: they must be finite and sum to 1.")
        return probability


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

    Bergstra et al. 2011, as in optuna. Trials whose score is within one standard error of the highest (of the paired
    difference, from the rows on which the two disagree) count as equal: a select split of some hundred rows cannot tell
    them apart. If the first settings are among them they stay, since they are good on most tasks (a rung that is surer
    of its first settings says so in ``first_settings_hold``, in standard errors); else the one with the lowest log loss
    is chosen, which uses more of what select holds. Ties go to what was tried first.

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
        minutes: no trial begins after so many minutes of trials.
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
    work = _Trials(rung, select, n_classes, metric, bench, memory or FitMemory(), clock)
    records: list[TrialRecord] = []
    front: list[_Tried] = []
    first: _Tried | None = None
    suggestions = _Suggestions(rung, fit, n_classes, bench.seed)
    reserve = 1 + len(select) / max(1, len(fit)) if is_costly(rung) else 0.0
    for settings in suggestions.upto(trials):
        bench.say(f"trial {len(records) + 1} of {trials}", TRIALS_SHARE * len(records) / trials)
        began = clock()
        try:
            tried = work.tried(fit, settings)
        except (MissingExtra, OutOfDisk, WeightsNotFound):
            raise
        except Exception as error:  # a plugin may raise anything
            records.append(TrialRecord(settings, None, None, clock() - began, f"{type(error).__name__}: {error}"))
        else:
            records.append(tried.record)
            front = _not_beaten([*front, tried])
            first = tried if len(records) == 1 else first
        suggestions.tell(records[-1].score)
        # A costly rung keeps time for one more fit of the kind, and for the refit on fit and select.
        ahead = (1 + reserve) * records[-1].seconds if reserve else 0.0
        if sum(record.seconds for record in records) + ahead >= 60 * minutes:
            break
    if not front:
        raise RungFailed(f"The rung {rung.name!r} failed with all {len(records)} settings. First: {records[0].failure}")
    weights = _row_weights(metric, select.labels)
    chosen = _chosen(front, select.labels, weights)
    hold = float(getattr(rung, "first_settings_hold", 1.0))
    if first is not None and _as_good(first, front[0], select.labels, weights, errors=hold):
        chosen = first
    seconds = sum(record.seconds for record in records)
    kept = chosen.fitted
    return SearchResult(
        chosen.record.settings, chosen.score, chosen.log_loss, tuple(records), kept.probability, seconds,
        kept.record, kept.model,
    )  # fmt: skip


def is_costly(rung: Rung) -> bool:
    """Whether one fit of it takes minutes."""
    return bool(getattr(rung, "costly", False))


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
    work = _Trials(rung, select, n_classes, metric, bench, memory or FitMemory(), time.monotonic)
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


def _not_beaten(tried: Sequence[_Tried]) -> list[_Tried]:
    """The trials that no other one equals or beats in both score and log loss; of equals, the first."""
    kept: list[_Tried] = []
    for one in sorted(tried, key=lambda one: (-one.score, one.log_loss)):
        if not kept or one.log_loss < kept[-1].log_loss:
            kept.append(one)
    return kept


def _row_weights(metric: MetricName, gold: NDArray[np.int64]) -> NDArray[np.float64]:
    """(n,) how much each row counts, summing to 1: rows alike for accuracy, else classes alike."""
    if metric == "accuracy":
        return np.full(len(gold), 1 / len(gold))
    sizes = np.bincount(gold)
    weights: NDArray[np.float64] = 1 / (sizes[gold] * np.count_nonzero(sizes))
    return weights


def _chosen(front: Sequence[_Tried], gold: NDArray[np.int64], weights: NDArray[np.float64]) -> _Tried:
    """The lowest log loss within one standard error of the highest score; ``front`` falls in both.

    The error is that of a weighted difference of hits, which for macro F1 stands in for its own.
    """
    return [one for one in front if _as_good(one, front[0], gold, weights)][-1]


def _as_good(
    one: _Tried, best: _Tried, gold: NDArray[np.int64], weights: NDArray[np.float64], errors: float = 1.0
) -> bool:
    right, best_right = (each.fitted.probability.argmax(axis=1) == gold for each in (one, best))
    error = np.sqrt(np.sum(weights[right != best_right] ** 2))
    return bool(best.score - one.score <= errors * error + 1e-12)


class _Suggestions:
    """Different settings, one after the other, each followed by the score it got."""

    def __init__(self, rung: Rung, fit: Examples, n_classes: int, seed: int) -> None:
        import optuna

        self.rung, self.fit, self.n_classes = rung, fit, n_classes
        with _quiet():
            # A third of a usual budget is drawn blindly; optuna's own ten would leave nothing to the estimator.
            sampler = optuna.samplers.TPESampler(seed=seed, n_startup_trials=4)
            self.study = optuna.create_study(direction="maximize", sampler=sampler)
        self.scores: dict[str, float | None] = {}
        self.trial: Any = None
        self.key = ""

    def upto(self, trials: int) -> Iterator[Settings]:
        first = self.rung.first_settings(self.fit, self.n_classes)
        with _quiet():
            self.study.enqueue_trial(dict(first))
        for ask in range(_ASKS_PER_TRIAL * trials):
            with _quiet():
                self.trial = self.study.ask()
                suggested = self.rung.suggest(self.trial, self.fit, self.n_classes)
            settings: Mapping[str, Any] = first if ask == 0 else suggested
            self.key = content_hash(dict(settings))
            if self.key in self.scores:
                self.tell(self.scores[self.key])
                continue
            yield settings
            if len(self.scores) >= trials or not self.trial.params:
                return

    def tell(self, score: float | None) -> None:
        import optuna

        self.scores[self.key] = score
        with _quiet():
            if score is None:
                self.study.tell(self.trial, state=optuna.trial.TrialState.FAIL)
            else:
                self.study.tell(self.trial, score)


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep optuna's own log lines to itself, and its level as the caller had it."""
    import optuna

    level = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    try:
        yield
    finally:
        optuna.logging.set_verbosity(level)
