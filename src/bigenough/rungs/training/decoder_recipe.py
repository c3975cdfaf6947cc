# SPDX-License-Identifier: Apache-2.0
"""What the training of a language model is told, and what it gives back. It decides nothing, and needs no torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import NDArray

from bigenough.errors import BadOption

__all__ = ["DecoderRecipe", "DecoderTrained", "Targets"]

Targets = Literal["all", "attention"]


@dataclass(frozen=True)
class DecoderRecipe:
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
    """

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

    def __post_init__(self) -> None:
        wrong = [name for name, (fits, _) in _BOUNDS.items() if not fits(getattr(self, name))]
        if wrong:
            told = "; ".join(f"{name} must be {_BOUNDS[name][1]}, got {getattr(self, name)!r}" for name in wrong)
            raise BadOption(f"The language model cannot be trained so: {told}.")

    @classmethod
    def of(cls, settings: Mapping[str, Any]) -> Self:
        """The recipe that these settings name. Raises ``BadOption`` for a name or a value that makes no sense.

        >>> DecoderRecipe.of({"epochs": 2.0}).epochs
        2.0
        """
        known = [field.name for field in fields(cls)]
        unknown = sorted(set(settings) - set(known))
        if unknown:
            raise BadOption(f"Training has no settings {unknown}. Expected some of {known}.")
        return cls(**settings)

    def frozen_layers(self, layers: int) -> int:
        """How many of so many layers stay as they are.

        >>> DecoderRecipe(frozen=0.5).frozen_layers(30)
        15
        """
        return min(int(self.frozen * layers), layers - 1)

    def as_json(self) -> dict[str, Any]:
        """All of it, by name."""
        return dict(vars(self))


_BOUNDS: Mapping[str, tuple[Any, str]] = {
    "epochs": (lambda value: 0 < value < 10_000, "above 0"),
    "learning_rate": (lambda value: value > 0, "above 0"),
    "batch": (lambda value: value >= 1, "at least 1"),
    "warm_up": (lambda value: 0 <= value < 1, "from 0 to 1"),
    "weight_decay": (lambda value: value >= 0, "at least 0"),
    "label_smoothing": (lambda value: 0 <= value < 1, "from 0 to 1"),
    "lora_rank": (lambda value: value >= 1, "at least 1"),
    "targets": (lambda value: value in ("all", "attention"), "'all' or 'attention'"),
    "frozen": (lambda value: 0 <= value < 1, "from 0 to 1"),
    "max_length": (lambda value: value >= 16, "at least 16 tokens"),
    "seed_offset": (lambda value: value >= 0, "at least 0"),
}


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
