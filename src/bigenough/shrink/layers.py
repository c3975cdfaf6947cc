# SPDX-License-Identifier: Apache-2.0
"""An encoder with fewer layers: the time of a row falls with each, its bytes with the layer's matrices.

The upper layers go, or every other one: of all layers of a tuned BERT the top ones can be left out at least cost
(Sajjad et al. 2023, "On the effect of dropping layers of pre-trained transformer models", section 4). What is left is
healed.

Its labels are no longer the parent's, since it has learned again, so it is not flips that refuse a variant but what it
gets wrong: one whose score on the watched rows falls by more than allowed. The smallest that stays is kept.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import replace
from time import monotonic
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bigenough.errors import Refused, RungFailed
from bigenough.models.graph_reading import EncoderArrays
from bigenough.rungs.predictors.encoder import EncoderPredictor
from bigenough.rungs.protocol import Settings, Watched, Workbench
from bigenough.rungs.training.product import parity
from bigenough.shrink.encoders import EncoderStep, arrays_of, opener, row_seconds
from bigenough.shrink.flips import (
    NOT_FINITE,
    Comparison,
    Variant,
    compare,
    kept_variant,
    saved_bytes,
    variants_record,
)
from bigenough.shrink.healing import Healed, best_healing, healed, said_by
from bigenough.task import Examples
from bigenough.task.task import MetricName

__all__ = ["HealedStep", "LayersRung", "kept_layers", "loss_refusal"]

_NAMES: Mapping[MetricName, str] = {
    "accuracy": "accuracy", "balanced_accuracy": "balanced accuracy", "macro_f1": "macro F1",
}  # fmt: skip


class HealedStep(EncoderStep):
    """A step that cuts and heals; a subclass says what is tried and how it is cut.

    ``allowed_flips`` is how much of the task's metric may be lost.
    """

    @property
    def costly(self) -> bool:
        """With torch it trains, and takes minutes."""
        return best_healing() == "train"

    @property
    def requires(self) -> tuple[str, ...]:
        """What it trains with, where that is installed: it is part of the key. Nothing of it is needed."""
        return ("torch", "transformers") if self.costly else ()

    @abstractmethod
    def attempts(self, arrays: EncoderArrays) -> Sequence[Mapping[str, Any]]:
        """The settings of all variants; one without ``healing`` has that of the first settings."""

    @abstractmethod
    def cut(
        self, arrays: EncoderArrays, parent: EncoderPredictor, settings: Settings, examples: Examples, bench: Workbench
    ) -> EncoderArrays:
        """What the settings leave of the arrays."""

    def fit(self, examples: Examples, n_classes: int, settings: Settings, bench: Workbench) -> EncoderPredictor:
        """The parent that saw these rows, cut as the settings say, and healed on them."""
        return self._cut_and_healed(examples, settings, bench).predictor

    def fit_recorded(self, examples: Examples, n_classes: int, settings: Settings, bench: Workbench) -> Watched:
        """``fit``, and what healing took and had to give up."""
        made = self._cut_and_healed(examples, settings, bench)
        return Watched(made.predictor, settings, {"notes": list(made.notes), "trainings": _trainings([made])})

    def _cut_and_healed(self, examples: Examples, settings: Settings, bench: Workbench) -> Healed:
        parent = self.model_of(examples)
        left = self.cut(arrays_of(parent), parent, settings, examples, bench)
        return healed(left, parent, examples, settings["healing"], bench)

    def fit_watching(
        self, examples: Examples, n_classes: int, settings: Settings, bench: Workbench, watch: Examples
    ) -> Watched:
        """Every variant, healed; of those that lose no more of ``bench.metric`` than allowed the smallest is kept.

        Each may take an equal part of the minutes that are left. One that cannot be trained, in its part or at all,
        heals by its head alone; one that fails then too is left out, and both are noted. Raises ``Refused`` when all
        lose too much, ``RungFailed`` when there is none, or when those that failed might have been better.
        """
        parent = self.model_of(examples)
        arrays = arrays_of(parent)
        tried = [{"healing": settings["healing"], **one} for one in self.attempts(arrays)]
        if not tried:
            raise RungFailed(f"{self.name}: {self.parent.name} has nothing that could be cut off.")
        began, before_a_kill = monotonic(), 0.0
        lessons = any(one["healing"] == "train" for one in tried)
        targets = said_by(parent, examples) if lessons else None
        expected = parent.predict_proba(watch.texts)
        variants, notes, failed = list[Variant](), list[str](), list[str]()
        trainings: list[Mapping[str, Any]] = []
        best: dict[int, Healed] = {}
        for place, one in enumerate(tried):
            bench.say(f"variant {place + 1} of {len(tried)}", place / len(tried))
            since = monotonic()
            part = _part(bench, since - began + before_a_kill, len(tried) - place)
            made = self._healed(arrays, parent, one, examples, part, targets, failed)
            if made is None:
                continue
            product, settings = made
            before_a_kill += max(0.0, product.seconds - (monotonic() - since))
            notes += [f"{_told(settings)}: {note}" for note in product.notes]
            trainings += _trainings([product])
            found = compare(expected, product.predictor.predict_proba(watch.texts), watch.labels, bench.metric)
            reason = loss_refusal(found, self.allowed_flips, bench.metric)
            variants.append(Variant(settings, *found, saved_bytes(product.predictor), refused=reason))
            if reason is None and kept_variant(self.name, variants) == len(variants) - 1:
                best = {len(variants) - 1: product}
            del made, product  # there is memory for the best beside the one that trains
        if not variants:
            raise RungFailed(f"{self.name}: no variant could be made. {'; '.join(failed)}.")
        try:
            kept = kept_variant(self.name, variants, distance=_lost)
        except Refused as error:
            if failed:  # with more memory they might have been trained
                raise RungFailed(f"{error} {'; '.join(failed)}.") from None
            raise
        predictor = best[kept].predictor
        own, seconds = row_seconds([opener(each, bench.threads) for each in (parent, predictor)], watch.texts)
        variants[kept] = replace(variants[kept], latency_ratio=round(seconds / own, 3))
        record = {
            **variants_record(variants, kept),
            "parent_bytes": saved_bytes(parent),
            "notes": [*failed, *notes],
            "trainings": trainings,
        }
        if best[kept].training is not None:
            body, tokenizer = arrays_of(predictor).model, predictor.encoder.tokenizer
            record["export"] = parity(predictor, body, tokenizer, watch.texts, bench.threads)
        return Watched(predictor, variants[kept].settings, record)

    def _healed(
        self,
        arrays: EncoderArrays,
        parent: EncoderPredictor,
        settings: Settings,
        examples: Examples,
        bench: Workbench,
        targets: NDArray[np.float32] | None,
        failed: list[str],
    ) -> tuple[Healed, Settings] | None:
        """One variant, and the settings by which it came to be; None when it cannot be made. ``failed`` has the why."""
        for way in dict.fromkeys((settings["healing"], "head")):
            one = {**settings, "healing": way}
            try:
                left = self.cut(arrays, parent, one, examples, bench)
                return healed(left, parent, examples, way, bench, targets), one
            except RungFailed as error:
                failed.append(f"{_told(one)} failed: {str(error).rstrip('.')}")
                bench.say(failed[-1], None)
        return None


class LayersRung(HealedStep):
    """An encoder without some of its layers; ``allowed_flips`` is how much of the metric may be lost."""

    step = "layers"
    summary = "the encoder without some of its layers, healed"
    place = 27

    def first_settings(self, examples: Examples, n_classes: int) -> Settings:
        """All layers but the top one."""
        return {"layers": [-1], "healing": best_healing()}

    def attempts(self, arrays: EncoderArrays) -> Sequence[Mapping[str, Any]]:
        """Without the top layer, the top two, the top three, and every other one."""
        return [{"layers": list(kept)} for kept in kept_layers(len(arrays.model.layers))]

    def cut(
        self, arrays: EncoderArrays, parent: EncoderPredictor, settings: Settings, examples: Examples, bench: Workbench
    ) -> EncoderArrays:
        """The arrays of the layers named; [-1] is all but the top one."""
        model = arrays.model
        kept = list(range(len(model.layers) - 1)) if settings["layers"] == [-1] else settings["layers"]
        if not kept:
            raise RungFailed(f"{self.name}: {self.parent.name} has a single layer, which cannot go.")
        layers = tuple(model.layers[i] for i in kept)
        # What was pooled behind a layer is now pooled behind those below it that stay.
        pooled = tuple(sorted({sum(i < at for i in kept) for at in model.config.pooled} - {len(kept)}))
        config = replace(model.config, layers=len(layers), pooled=pooled)
        return arrays._replace(model=replace(model, layers=layers, config=config))


def kept_layers(count: int) -> list[tuple[int, ...]]:
    """The layers that stay, for each variant of an encoder of so many layers, most layers first.

    >>> kept_layers(6)
    [(0, 1, 2, 3, 4), (0, 1, 2, 3), (0, 1, 2), (0, 2, 4)]
    """
    dropped = [tuple(range(count - top)) for top in (1, 2, 3)]
    return list(dict.fromkeys(kept for kept in [*dropped, tuple(range(0, count, 2))] if 0 < len(kept) < count))


def _told(settings: Settings) -> str:
    return ", ".join(f"{name}={value}" for name, value in settings.items())


def _part(bench: Workbench, spent_seconds: float, variants: int) -> Workbench:
    """The bench with the minutes of one variant, when so many are to come."""
    if bench.fit_minutes is None:
        return bench
    return replace(bench, fit_minutes=max(0.0, bench.fit_minutes - spent_seconds / 60) / variants)


def _lost(variant: Variant) -> float:
    return variant.parent_score - variant.score


def _trainings(healed: Sequence[Healed]) -> list[Mapping[str, Any]]:
    """What a record says of them: the seconds of each that was trained."""
    return [{"seconds": round(one.seconds, 3)} for one in healed if one.training is not None]


def loss_refusal(found: Comparison, allowed: float, metric: MetricName = "accuracy") -> str | None:
    """Why a healed model is refused, or None; the scores are in ``metric``.

    >>> loss_refusal(Comparison(0.05, 0.9, 0.86, 0.9), 0.015)
    'accuracy on the watched rows falls by 4.00 points, 1.50 are allowed'
    """
    if not np.isfinite(found.max_probability_difference):
        return NOT_FINITE
    lost = found.parent_score - found.score
    if lost > allowed:
        name = _NAMES[metric]
        return f"{name} on the watched rows falls by {100 * lost:.2f} points, {100 * allowed:.2f} are allowed"
    return None
