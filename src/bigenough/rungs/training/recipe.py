# SPDX-License-Identifier: Apache-2.0
"""What training is told, and what it gives back. It decides nothing, and needs no torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from bigenough.models.bert import BertModel
from bigenough.rungs.training.choices import Bound, Choices

__all__ = ["Method", "Recipe", "Trained", "Watch", "one_hot"]

Method = Literal["full", "lora"]


@dataclass(frozen=True)
class Recipe(Choices):
    """All choices of a training, JSON values only.

    Attributes:
        epochs: how often each row is seen; need not be whole. The learning rate reaches zero at their end.
        learning_rate: of the encoder's weights at its highest.
        head_multiple: the head learns from nothing, so its learning rate is so many times higher.
        batch: rows that one step learns from.
        warm_up: the share of the steps in which the learning rate rises.
        weight_decay: of matrices; biases, norms and embeddings have none.
        label_smoothing: the share of each target that is spread over all classes (Szegedy et al. 2016, section 7).
        layer_decay: a layer's learning rate, as a multiple of that of the layer above it (Howard & Ruder 2018).
        dropout: the chance that a number between layers is left out (Srivastava et al. 2014).
        adversarial: each batch is learned from a second time, with each text's token vectors moved by this share of
            one's length to where its loss rises most (``adversary``); 0 leaves that out, and takes half the time.
        balanced: whether all classes weigh the same.
        method: every weight, or low-rank updates of the matrices (Hu et al. 2021).
        lora_rank: the rank of those updates.
        frozen_layers: so many layers from the bottom, and the embeddings below them, stay as they are.
        max_length: tokens a text is cut to; None is what the encoder takes.
        seed_offset: added to the study's seed, to try another order of rows.
        averaged: the model is the mean of the weights of so many trainings, each with the next ``seed_offset``
            (``averaging``); ``loop.train`` makes one of them.

    >>> Recipe.of({"epochs": 2.0}).epochs
    2.0
    """

    taught = "The encoder"
    bounds: ClassVar[Mapping[str, Bound]] = {
        "head_multiple": (lambda value: value > 0, "above 0"),
        "layer_decay": (lambda value: 0 < value <= 1, "above 0 and at most 1"),
        "dropout": (lambda value: 0 <= value < 1, "from 0 to 1"),
        "adversarial": (lambda value: 0 <= value < 1, "from 0 to 1"),
        "method": (lambda value: value in ("full", "lora"), "'full' or 'lora'"),
        "frozen_layers": (lambda value: value >= 0, "at least 0"),
        "max_length": (lambda value: value is None or value >= 3, "at least 3 tokens, or null"),
        "averaged": (lambda value: value >= 1, "at least 1"),
    }

    epochs: float = 3.0
    learning_rate: float = 1e-4
    head_multiple: float = 20.0
    batch: int = 32
    warm_up: float = 0.1
    weight_decay: float = 0.01
    label_smoothing: float = 0.05
    layer_decay: float = 1.0
    dropout: float = 0.1
    adversarial: float = 0.0
    balanced: bool = False
    method: Method = "full"
    lora_rank: int = 16
    frozen_layers: int = 0
    max_length: int | None = None
    seed_offset: int = 0
    averaged: int = 1


@dataclass(frozen=True, eq=False)
class Watch:
    """Rows that training looks at and never learns from.

    Attributes:
        texts: n of them.
        labels: (n,) codes.
    """

    texts: Sequence[str]
    labels: NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Trained:
    """What training gave.

    Attributes:
        body: the encoder, without normalisation of its vectors; arrays of the same shapes as before.
        weight: (d, k) float32, from a text's vector to scores.
        bias: (k,) float64; a class that no target named has −10,000.
        recipe: as it was carried out: epochs after watching, freezing and length after the budget.
        record: what happened, JSON values.
    """

    body: BertModel
    weight: NDArray[np.float32]
    bias: NDArray[np.float64]
    recipe: Recipe
    record: Mapping[str, Any]


def one_hot(labels: NDArray[np.int64], n_classes: int) -> NDArray[np.float32]:
    """(n, k) targets that are certain of these codes.

    >>> one_hot(np.array([1, 0]), 2).tolist()
    [[0.0, 1.0], [1.0, 0.0]]
    """
    return np.eye(n_classes, dtype=np.float32)[labels]
