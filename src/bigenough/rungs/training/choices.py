# SPDX-License-Identifier: Apache-2.0
"""What the recipes of all trainings have in common: some choices, bounds they are held against, and their JSON."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from inspect import signature
from typing import Any, ClassVar, Self

from bigenough.errors import BadOption

__all__ = ["Bound", "Choices"]

Bound = tuple[Callable[[Any], bool], str]
"""Whether a value fits, and in words which ones do."""

_COMMON: Mapping[str, Bound] = {
    "epochs": (lambda value: 0 < value < 10_000, "above 0 and below 10,000"),
    "learning_rate": (lambda value: value > 0, "above 0"),
    "batch": (lambda value: value >= 1, "at least 1"),
    "warm_up": (lambda value: 0 <= value < 1, "from 0 to 1"),
    "weight_decay": (lambda value: value >= 0, "at least 0"),
    "label_smoothing": (lambda value: 0 <= value < 1, "from 0 to 1"),
    "lora_rank": (lambda value: value >= 1, "at least 1"),
    "seed_offset": (lambda value: value >= 0, "at least 0"),
}


class Choices:
    """What a recipe for any kind of model has; a recipe is a frozen dataclass that gives these fields their defaults.

    No dataclass itself, so that each recipe has its fields in an order of its own. All are JSON values. Values that
    make no sense raise ``BadOption``, which names each of them.

    Attributes:
        taught: what is trained, as messages call it.
        bounds: of the choices that the recipe adds.
    """

    taught: ClassVar[str]
    bounds: ClassVar[Mapping[str, Bound]]

    epochs: float
    learning_rate: float
    batch: int
    warm_up: float
    weight_decay: float
    label_smoothing: float
    balanced: bool
    lora_rank: int
    seed_offset: int

    def __post_init__(self) -> None:
        bounds = {**_COMMON, **self.bounds}
        told = [
            f"{name} must be {bounds[name][1]}, got {value!r}"
            for name, value in vars(self).items()
            if name in bounds and not bounds[name][0](value)
        ]
        if told:
            raise BadOption(f"{self.taught} cannot be trained so: {'; '.join(told)}.")

    @classmethod
    def of(cls, settings: Mapping[str, Any]) -> Self:
        """The recipe that these settings name. Raises ``BadOption`` for a name or a value that makes no sense."""
        known = list(signature(cls).parameters)
        unknown = sorted(set(settings) - set(known))
        if unknown:
            raise BadOption(f"Training has no settings {unknown}. Expected some of {known}.")
        return cls(**settings)

    def changed(self, **changes: Any) -> Self:
        """The same recipe but for these choices."""
        return type(self).of({**vars(self), **changes})

    def as_json(self) -> dict[str, Any]:
        """All of it, by name."""
        return dict(vars(self))
