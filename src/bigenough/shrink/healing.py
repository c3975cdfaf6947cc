# SPDX-License-Identifier: Apache-2.0
"""After parts of an encoder are gone: the head learns again, and with torch the rest does too, for two short rounds.

Without torch only the head is fitted anew, by softmax regression on the pruned encoder's vectors. With it, the encoder
then learns what its whole parent said of the fit texts (Hinton et al. 2015), two epochs long, as they are and with
moved vectors (docs/decisions/014); whatever else a tuned model needs is the tuned rung's. What is cut, and whether the
result is good enough, is decided elsewhere.
"""

from __future__ import annotations

import importlib.util
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from bigenough.models.graph import encoder_graph
from bigenough.models.graph_reading import EncoderArrays
from bigenough.rungs.dense import first_head, fit_head
from bigenough.rungs.predictors.encoder import EncoderPredictor
from bigenough.rungs.predictors.head import DenseHead
from bigenough.rungs.protocol import Workbench
from bigenough.rungs.trials import recorded_seconds
from bigenough.shrink.encoders import made
from bigenough.task import Examples

__all__ = ["Healed", "Healing", "best_healing", "healed", "said_by"]

Healing = Literal["head", "train"]
EPOCHS = 2.0
"""With moved vectors two lose less than one without, in 2.7 times the time: docs/decisions/015."""
ADVERSARIAL = 0.25
LEARNING_RATE = 1e-4


class Healed(NamedTuple):
    """A healed model.

    Attributes:
        predictor: the model.
        notes: in sentences, what its training had to give up.
        training: what its training says of itself, the seconds before a kill included; None where there was none.
    """

    predictor: EncoderPredictor
    notes: Sequence[str] = ()
    training: Mapping[str, Any] | None = None

    @property
    def seconds(self) -> float:
        """What its training took."""
        return 0.0 if self.training is None else recorded_seconds(self.training)


def best_healing() -> Healing:
    """``train`` where torch and transformers are installed, else ``head``."""
    there = all(importlib.util.find_spec(name) is not None for name in ("torch", "transformers"))
    return "train" if there else "head"


def healed(
    arrays: EncoderArrays,
    parent: EncoderPredictor,
    examples: Examples,
    healing: Healing,
    bench: Workbench,
    targets: NDArray[np.float32] | None = None,
    clock: Callable[[], float] = time.monotonic,
) -> Healed:
    """The pruned encoder with a head of its own, fitted on the examples.

    Args:
        arrays: what is left of the parent.
        parent: gives the tokenizer, and the probabilities that the whole model learns from.
        examples: texts and labels the parent was fitted on.
        healing: the head alone, or then two epochs of everything; coded word vectors keep their codes, and
            with them the lowest layer stays as it is.
        bench: ``fit_minutes`` bounds the training, with the head's fit before it.
        targets: what the parent says of the texts, ``said_by``, where that is known already.
        clock: seconds.
    """
    began = clock()
    if healing == "train":
        config = replace(arrays.model.config, normalise=False, pooled=())
        arrays = arrays._replace(model=replace(arrays.model, config=config))
    predictor = made(encoder_graph(*arrays), parent, arrays.n_parameters, bench)
    head = _refitted(predictor, examples, bench)
    if healing == "head":
        return Healed(replace(predictor, head=head))
    del predictor  # its session is not needed beside the training
    targets = said_by(parent, examples) if targets is None else targets
    if bench.fit_minutes is not None:
        bench = replace(bench, fit_minutes=max(0.0, bench.fit_minutes - (clock() - began) / 60))
    return _trained(arrays, parent, examples, targets, head, bench)


def said_by(parent: EncoderPredictor, examples: Examples) -> NDArray[np.float32]:
    """(n, classes) probabilities that a training learns from."""
    return parent.predict_proba(examples.texts).astype(np.float32)


def _refitted(predictor: EncoderPredictor, examples: Examples, bench: Workbench) -> DenseHead:
    bench.say("fitting the head again", None)
    vectors = predictor.encoder.embed(examples.texts)
    return fit_head(vectors, examples.labels, predictor.n_classes, first_head(predictor.n_classes))


def _trained(
    arrays: EncoderArrays,
    parent: EncoderPredictor,
    examples: Examples,
    targets: NDArray[np.float32],
    head: DenseHead,
    bench: Workbench,
) -> Healed:
    from bigenough.rungs.training.checkpoint import training_key
    from bigenough.rungs.training.loop import train
    from bigenough.rungs.training.recipe import Recipe
    from bigenough.rungs.training.trained_file import read_trained, write_trained

    recipe = Recipe(
        epochs=EPOCHS, learning_rate=LEARNING_RATE, head_multiple=1.0, label_smoothing=0.0,
        adversarial=ADVERSARIAL,
        frozen_layers=0 if arrays.table is None else 1,
    )  # fmt: skip
    tokenizer = parent.encoder.tokenizer
    path = None
    if bench.scratch is not None:
        told = (tokenizer.to_str(), recipe.as_json(), bench.seed)
        key = training_key(arrays.model, examples.texts, [targets, head.weight, head.bias], *told)
        path = bench.scratch / f"healed-{key}.safetensors"
    # One that was finished before a kill: others of its step may have been under way.
    trained = None if path is None else read_trained(path)
    if trained is None:
        trained = train(arrays.model, tokenizer, examples.texts, targets, recipe, bench, head=head)
        if path is not None:
            write_trained(path, trained)
    kept = arrays._replace(model=trained.body)
    new = DenseHead(trained.weight, trained.bias)
    healthy = made(encoder_graph(*kept), parent, kept.n_parameters, bench, head=new)
    return Healed(healthy, trained.record["notes"], trained.record)
