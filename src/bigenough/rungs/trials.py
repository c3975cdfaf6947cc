# SPDX-License-Identifier: Apache-2.0
"""One rung's fits on one pair of splits, how each is scored, and which of them it ends with."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bigenough.errors import Refused, RungFailed
from bigenough.rungs.calibration import fit_temperature, temper
from bigenough.rungs.fit_memory import FitMemory, Fitted
from bigenough.rungs.protocol import Rung, Settings, Watched, Workbench
from bigenough.rungs.row_weights import row_weights, surely_better
from bigenough.storage import content_hash
from bigenough.task import Examples
from bigenough.task.metrics import score
from bigenough.task.task import MetricName

__all__ = ["TrialRecord", "Trials", "Tried", "is_costly", "not_beaten", "recorded_seconds", "settled"]


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
class Tried:
    """A trial that went well."""

    record: TrialRecord
    score: float
    log_loss: float
    fitted: Fitted


@dataclass(frozen=True, eq=False)
class Trials:
    """One rung's fits on one pair of splits."""

    rung: Rung
    select: Examples
    n_classes: int
    metric: MetricName
    bench: Workbench
    memory: FitMemory
    clock: Callable[[], float]

    def within(self, seconds: float) -> Trials:
        """The same, where a fit may take minutes with no more of them than these seconds are."""
        allowed = self.bench.fit_minutes
        if allowed is None or 60 * allowed <= seconds:
            return self
        return replace(self, bench=replace(self.bench, fit_minutes=max(0.0, seconds) / 60))

    def fitted(self, examples: Examples, settings: Settings, *, watched: bool = False) -> Fitted:
        """The fit of these settings, from memory or done now; ``watched`` lets a rung that can look at select.

        Raises what the rung raises; that it refused all it made, from memory too.
        """
        key = content_hash(self.rung.name, self.rung.version, dict(settings), len(examples), self.bench.seed)
        kept = self.memory.get(key)
        if kept is not None and kept.probability.shape == (len(self.select), self.n_classes):
            return kept
        if (reason := self.memory.refused(key)) is not None:
            raise Refused(reason)
        began = self.clock()
        try:
            seen = self._seen(examples, settings, watched)
        except Refused as error:
            self.memory.put_refused(key, str(error))
            raise
        probability = self._checked(seen.predictor.predict_proba(self.select.texts))
        model = self.memory.keep_model(key, seen.predictor) if watched and is_costly(self.rung) else None
        seconds = max(self.clock() - began, recorded_seconds(seen.record))
        fitted = Fitted(probability, seconds, dict(seen.settings), seen.record, model)
        self.memory.put(key, fitted)
        return fitted

    def _seen(self, examples: Examples, settings: Settings, watched: bool) -> Watched:
        with_sight = getattr(self.rung, "fit_watching", None) if watched else None
        if with_sight is None:
            return Watched(self.rung.fit(examples, self.n_classes, settings, self.bench), settings, {})
        seen: Watched = with_sight(examples, self.n_classes, settings, self.bench, self.select)
        return seen

    def score(self, fitted: Fitted) -> float:
        """Its score on select."""
        return score(self.metric, self.select.labels, fitted.probability.argmax(axis=1))

    def tried(self, examples: Examples, settings: Settings) -> Tried:
        """One trial, scored."""
        fitted = self.fitted(examples, settings, watched=True)
        settings = settings if fitted.settings is None else fitted.settings
        gold = self.select.labels
        tempered = temper(fitted.probability, fit_temperature(fitted.probability, gold))
        said = np.maximum(tempered[np.arange(len(gold)), gold], 1e-12)
        loss = float(-np.sum(row_weights(self.metric, gold) * np.log(said)))
        found = self.score(fitted)
        return Tried(TrialRecord(settings, found, loss, fitted.seconds), found, loss, fitted)

    def _checked(self, probability: NDArray[np.float64]) -> NDArray[np.float64]:
        expected = (len(self.select), self.n_classes)
        if probability.shape != expected:
            raise RungFailed(f"{self.rung.name} gave probabilities of shape {probability.shape}. Expected {expected}.")
        if not np.allclose(probability.sum(axis=1), 1.0, atol=1e-6) or probability.min(initial=0.0) < 0:
            raise RungFailed(f"{self.rung.name} gave rows that are no probabilities: they must be finite and sum to 1.")
        return probability


def recorded_seconds(record: Mapping[str, Any]) -> float:
    """What trainings say that they took, the time before a kill included; 0 where they say nothing.

    >>> recorded_seconds({"trainings": [{"seconds": 40.0}, {"seconds": 38.0}], "seconds": 40.0}), recorded_seconds({})
    (78.0, 0.0)
    """
    return float(sum(one["seconds"] for one in record.get("trainings", [record]) if "seconds" in one))


def is_costly(rung: Rung) -> bool:
    """Whether one fit of it takes minutes."""
    return bool(getattr(rung, "costly", False))


def settled(tried: Sequence[Tried], first: Tried | None, work: Trials) -> Tried:
    """The trial that a rung ends with, of all that went well.

    Trials whose score is within one standard error of the highest (of the paired difference, from the rows on which the
    two disagree) count as equal: a select split of some hundred rows cannot tell them apart. If ``first``, the rung's
    first settings, are among them they stay, since they are good on most tasks (a rung that is surer of them says so in
    ``first_settings_hold``, in standard errors); else the one with the lowest log loss is chosen, which uses more of
    what select holds. Ties go to what was tried first.
    """
    front = not_beaten(tried)
    hold = float(getattr(work.rung, "first_settings_hold", 1.0))
    if first is not None and _as_good(first, front[0], work, errors=hold):
        return first
    return _chosen(front, work)


def not_beaten(tried: Sequence[Tried]) -> list[Tried]:
    """The trials that no other one equals or beats in both score and log loss; of equals, the first."""
    kept: list[Tried] = []
    for one in sorted(tried, key=lambda one: (-one.score, one.log_loss)):
        if not kept or one.log_loss < kept[-1].log_loss:
            kept.append(one)
    return kept


def _chosen(front: Sequence[Tried], work: Trials) -> Tried:
    """The lowest log loss within one standard error of the highest score; ``front`` falls in both.

    The error is that of a weighted difference of hits, which for macro F1 stands in for its own.
    """
    return [one for one in front if _as_good(one, front[0], work)][-1]


def _as_good(one: Tried, best: Tried, work: Trials, errors: float = 1.0) -> bool:
    highest, other = (each.fitted.probability.argmax(axis=1) for each in (best, one))
    return not surely_better(work.metric, work.select.labels, highest, other, errors)
