# SPDX-License-Identifier: Apache-2.0
"""What the training of a language model is told, and what it gives back. It decides nothing, and needs no torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from bigenough.rungs.training.choices import Bound, Choices

__all__ = ["DecoderRecipe", "DecoderTrained", "Targets"]

Targets = Literal["all", "attention"]


@dataclass(frozen=True)
class DecoderRecipe(Choices):
    """All choices of one training, JSON values only.

    Attributes:
        epochs: how often each row is seen; need not be whole. The learning rate reaches zero at their end.
        learning_rate: of the low-rank updates at its highest.
        batch: rows that one step learns from.
        warm_up: the share of the steps in which the learning rate rises.
        weight_decay: of the updates.
        label_smoothing: the share of each target that is spread over all classes (Szegedy et al. 2016, section 7).
        balanced: whether all classes weigh the same.
        lora_rank: the rank of the updates (Hu et al. 2021); they are scaled by two.
        targets: which matrices get one: "all" of a layer's seven, or the four of its "attention".
        frozen: the share of the layers, from the bottom, that stay as they are; what they make of a row is kept and
            used again.
        max_length: tokens a row is cut to, its share of the prompt included.
        seed_offset: added to the study's seed, to try another order of rows.

    >>> DecoderRecipe.of({"epochs": 2.0}).epochs
    2.0
    """

    taught = "The language model"
    bounds: ClassVar[Mapping[str, Bound]] = {
        "targets": (lambda value: value in ("all", "attention"), "'all' or 'attention'"),
        "frozen": (lambda value: 0 <= value < 1, "from 0 to 1"),
        "max_length": (lambda value: value >= 16, "at least 16 tokens"),
    }

    epochs: float = 4.0
    learning_rate: float = 1e-3
    batch: int = 16
    warm_up: float = 0.1
    weight_decay: float = 0.0
    label_smoothing: float = 0.0
    balanced: bool = False
    lora_rank: int = 16
    targets: Targets = "all"
    frozen: float = 0.0
    max_length: int = 256
    seed_offset: int = 0

    def frozen_layers(self, layers: int) -> int:
        """How many of so many layers stay as they are.

        >>> DecoderRecipe(frozen=0.5).frozen_layers(30)
        15
        """
        return min(int(self.frozen * layers), layers - 1)


@dataclass(frozen=True, eq=False)
class DecoderTrained:
    """What training gave.

    Attributes:
        changed: float32 arrays of the matrices that learned, updates folded in, by their names in transformers.
        probability: (m, k) of the watched rows in the state that was kept; of no rows when none were watched.
        recipe: as it was carried out: epochs after watching, freezing and length after the budget.
        record: what happened, JSON values.
    """

    changed: Mapping[str, NDArray[np.float32]]
    probability: NDArray[np.float64]
    recipe: DecoderRecipe
    record: Mapping[str, Any]
