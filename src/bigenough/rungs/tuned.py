# SPDX-License-Identifier: Apache-2.0
"""The tuned rung: a pre-trained encoder whose own weights learn the task, together with a linear head.

It decides which recipe to try first from the number of rows and classes, never from a data set's name. How training
goes is ``bigenough.rungs.training``'s; torch is imported only while something is fitted.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from bigenough.errors import MissingExtra
from bigenough.models import resolve
from bigenough.models.bert import BertModel, read_bert
from bigenough.models.tokenizer_file import tokenizer_beside
from bigenough.rungs.by_targets import LearnsTargets
from bigenough.rungs.on_encoder import OnEncoder
from bigenough.rungs.predictors.encoder import EncoderPredictor
from bigenough.rungs.protocol import Settings, Trial, Workbench
from bigenough.rungs.row_weights import surely_better
from bigenough.rungs.training.averaging import RESERVE, Averaged, Kept, mean_of_trainings
from bigenough.rungs.training.distributed import LAUNCH, trained_by
from bigenough.rungs.training.product import parity, predictor_of
from bigenough.rungs.training.recipe import Recipe, Trained, Watch
from bigenough.task import Examples

__all__ = ["TunedRung"]

Say = Callable[[str, float | None], None]

_MANY_CLASSES = 20
_FEWEST_STEPS = 150
_MOST_EPOCHS = 20.0
_ADVERSARIAL = 0.25
"""How far a second pass moves what a text begins with, where the minutes suffice (docs/decisions/014)."""
_AVERAGED = 3
"""Trainings whose mean is the model, where the minutes suffice (docs/decisions/011)."""


class TunedRung(OnEncoder, LearnsTargets[EncoderPredictor]):
    """A tuned encoder with a head; ``encoder`` is a name or folder that ``models.resolve`` understands."""

    name = "tuned"
    version = 3
    summary = "sentence encoder, tuned on the task, with a linear head"
    place = 40
    requires = ("torch", "transformers", "peft")
    extra = "tune"
    costly = True

    def first_settings(self, examples: Examples, n_classes: int) -> Settings:
        """Full training; many classes get more epochs and a higher learning rate, few rows more epochs."""
        return _first(len(examples), n_classes).as_json()

    def suggest(self, trial: Trial, examples: Examples, n_classes: int) -> Settings:
        """Learning rate, smoothing, how far vectors are moved, class weights, method and frozen layers."""
        first = _first(len(examples), n_classes)
        return replace(
            first,
            learning_rate=trial.suggest_float("learning_rate", 5e-5, 2e-4, log=True),
            label_smoothing=trial.suggest_categorical("label_smoothing", [0.0, 0.05, 0.1]),
            adversarial=trial.suggest_categorical("adversarial", [0.0, 0.125, _ADVERSARIAL]),
            balanced=trial.suggest_categorical("balanced", [False, True]),
            method=trial.suggest_categorical("method", ["full", "lora"]),
            frozen_layers=trial.suggest_categorical("frozen_layers", [0, 2]),
        ).as_json()

    def _fitted(
        self,
        texts: Sequence[str],
        targets: NDArray[np.float64],
        settings: Settings,
        bench: Workbench,
        watch: Examples | None = None,
    ) -> tuple[EncoderPredictor, Settings, Mapping[str, Any]]:
        wanted = Recipe.of(settings)
        train = _loop()
        tokenizer, body = self._start(bench)
        seen = None if watch is None else Watch(watch.texts, watch.labels)
        single = targets.astype(np.float32)
        command = os.environ.get(LAUNCH, "")

        def one(recipe: Recipe, minutes: float | None, number: int) -> Trained:
            sight = seen if number == 1 else None
            own = replace(bench, fit_minutes=minutes, say=_numbered(number, bench.say))
            if command:
                return trained_by(command, body, tokenizer, texts, single, recipe, own, sight)
            trained: Trained = train(body, tokenizer, texts, single, recipe, own, sight)
            return trained

        kept = None
        if bench.scratch is not None:
            from bigenough.rungs.training.checkpoint import training_key
            from bigenough.rungs.training.machine import this_machine

            watched, labels = ([], []) if seen is None else (seen.texts, [seen.labels])
            key = training_key(
                body, [*texts, *watched], [single, *labels], tokenizer.to_str(), len(texts), wanted.as_json(),
                bench.seed, bench.metric, this_machine().precision, command,
            )  # fmt: skip
            kept = Kept.of(bench.scratch, key)
        found = mean_of_trainings(one, wanted, bench.fit_minutes, 1.0 if watch is None else RESERVE, kept)
        predictor = predictor_of(found.mean, tokenizer, bench)
        if watch is None:
            return predictor, found.mean.recipe.as_json(), found.mean.record
        trained, predictor = self._not_worse(found, predictor, tokenizer, bench, watch)
        export = parity(predictor, trained.body, tokenizer, watch.texts, bench.threads)
        return predictor, trained.recipe.as_json(), {**trained.record, "export": export}

    def _not_worse(
        self, found: Averaged, mean: EncoderPredictor, tokenizer: Tokenizer, bench: Workbench, watch: Examples
    ) -> tuple[Trained, EncoderPredictor]:
        """The mean, unless the first training alone is surely better on select."""
        several = found.mean.recipe.averaged
        if several == 1:
            return found.mean, mean
        first = predictor_of(found.first, tokenizer, bench)
        said = [each.predict_proba(watch.texts).argmax(axis=1) for each in (first, mean)]
        if not surely_better(bench.metric, watch.labels, *said):
            return found.mean, mean
        note = f"one training: on select it was surely better than the mean of {several}"
        told = {"trainings": found.mean.record["trainings"], "notes": [*found.first.record["notes"], note]}
        return replace(found.first, record={**found.first.record, **told}), first

    def _start(self, bench: Workbench) -> tuple[Tokenizer, BertModel]:
        """The encoder before it learns anything. Raises ``WeightsNotFound`` or ``UnsupportedModel``."""
        folder = resolve(self.encoder, cache=bench.cache, offline=bench.offline).folder
        body = read_bert(folder)
        return tokenizer_beside(body, folder), body


def _first(rows: int, n_classes: int) -> Recipe:
    """What suits most tasks of this size. Few rows are seen more often: a few dozen steps move no encoder.

    Small sets need more epochs, not fewer, for a result that does not depend on luck (Mosbach et al. 2021).

    >>> [(_first(rows, k).epochs, _first(rows, k).learning_rate) for rows, k in ((10_000, 77), (7_000, 2), (800, 2))]
    [(4.0, 0.00015), (3.0, 0.0001), (6.0, 0.0001)]
    """
    many = n_classes > _MANY_CLASSES
    enough = _FEWEST_STEPS * Recipe().batch / max(1, rows)
    epochs = max(4.0 if many else 3.0, min(_MOST_EPOCHS, float(round(enough))))
    rate = 1.5e-4 if many else 1e-4
    return Recipe(epochs=epochs, learning_rate=rate, adversarial=_ADVERSARIAL, averaged=_AVERAGED)


def _numbered(number: int, say: Say) -> Say:
    """Tells which of several trainings it is that something is said of; the first may be the only one."""
    return say if number == 1 else lambda what, done: say(f"training {number}: {what}", done)


def _loop() -> Any:
    try:
        from bigenough.rungs.training.loop import train
    except ImportError as error:
        raise MissingExtra("The rung 'tuned'", str(error.name), "pip install 'bigenough[tune]'") from error
    return train
