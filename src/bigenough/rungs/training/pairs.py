# SPDX-License-Identifier: Apache-2.0
"""What contrastive tuning is told, and which rows meet in a step: numbers and their order, without torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from bigenough.errors import BadOption

__all__ = ["FEWEST_STEPS", "Contrast", "class_batches"]

FEWEST_STEPS = 3
"""Steps below which nothing is learned."""


@dataclass(frozen=True)
class Contrast:
    """How an encoder learns to put texts of one class together.

    Attributes:
        steps: how often the weights move; 0 leaves the encoder as it is.
        rows: texts in a step, about.
        per_class: texts of one class that meet in a step.
        learning_rate: the highest one.
        temperature: what cosines are divided by; the smaller, the more the nearest wrong texts count.
        dropout: the share of values that are dropped while it learns.
        weight_decay: AdamW's.
        warm_up: the share of the steps in which the learning rate rises.
        max_length: tokens a text is cut to while the encoder learns; later texts are read whole.
        seed_offset: added to ``bench.seed``.
        for_rows: how many rows the steps were chosen for; 0 takes them for whatever number there is.
    """

    steps: int = 20
    rows: int = 64
    per_class: int = 4
    learning_rate: float = 1e-4
    temperature: float = 0.1
    dropout: float = 0.1
    weight_decay: float = 0.01
    warm_up: float = 0.1
    max_length: int = 128
    seed_offset: int = 0
    for_rows: int = 0

    def __post_init__(self) -> None:
        wrong = [name for name, (least, _) in _LEAST.items() if not getattr(self, name) >= least]
        wrong += [name for name in ("learning_rate", "temperature") if not getattr(self, name) > 0]
        wrong += [name for name in ("dropout", "warm_up") if not 0 <= getattr(self, name) < 1]
        if wrong:
            told = ", ".join(f"{name}={getattr(self, name)!r}" for name in wrong)
            expected = "; ".join(f"{name} {words}" for name, (_, words) in _LEAST.items())
            raise BadOption(
                f"The encoder cannot be tuned with {told}. Expected: {expected}; learning_rate and temperature above "
                "0; dropout and warm_up from 0 to below 1."
            )

    @classmethod
    def of(cls, settings: Mapping[str, Any]) -> Self:
        """The recipe in these settings, which may have others too.

        >>> Contrast.of({"steps": 5, "C": 2.0}).steps
        5
        """
        known = {field.name for field in fields(cls)}
        return cls(**{name: value for name, value in settings.items() if name in known})

    def on(self, rows: int) -> Self:
        """The recipe for so many rows: it goes over fewer as often as over those its steps were chosen for.

        So what it takes grows with the rows. More rows than that get the same steps, and are gone over less often.

        >>> recipe = Contrast(steps=96, for_rows=616)
        >>> recipe.on(616).steps, recipe.on(308).steps, recipe.on(77).steps, recipe.on(821).steps
        (96, 48, 10, 96)
        """
        if not self.for_rows or rows >= self.for_rows:
            return replace(self, for_rows=rows)
        share = _steps_over(rows, self.rows) / _steps_over(self.for_rows, self.rows)
        steps = max(min(FEWEST_STEPS, self.steps), round(share * self.steps))
        return replace(self, steps=steps, for_rows=rows)

    def as_json(self) -> dict[str, Any]:
        """All of it, by name."""
        return dict(vars(self))


_LEAST: Mapping[str, tuple[float, str]] = {
    "steps": (0, "at least 0"),
    "rows": (2, "at least 2"),
    "per_class": (2, "at least 2"),
    "weight_decay": (0, "at least 0"),
    "max_length": (3, "at least 3"),
    "seed_offset": (0, "at least 0"),
    "for_rows": (0, "at least 0"),
}


def class_batches(
    labels: NDArray[np.int64], rows: int, per_class: int, rng: np.random.Generator
) -> list[NDArray[np.int64]]:
    """Every row once, in steps of about ``rows`` in which rows come ``per_class`` at a time from one class.

    A row that would meet no other of its class comes twice: under dropout its two vectors differ, and are a pair (Gao
    et al. 2021). All rows are one step when there are no more than ``rows`` of them.

    >>> labels = np.array([0, 0, 1, 1, 2])
    >>> [sorted(batch.tolist()) for batch in class_batches(labels, 8, 2, np.random.default_rng(0))]
    [[0, 1, 2, 3, 4, 4]]
    """
    shuffled = rng.permutation(len(labels))
    groups = []
    for code in np.unique(labels):
        own = shuffled[labels[shuffled] == code]
        parts = np.array_split(own, max(1, round(len(own) / per_class)))
        groups += [part if len(part) > 1 else np.repeat(part, 2) for part in parts]
    order = np.array_split(rng.permutation(len(groups)), _steps_over(len(labels), rows))
    return [np.concatenate([groups[place] for place in some]) for some in order if len(some)]


def _steps_over(n: int, rows: int) -> int:
    """How many steps of about ``rows`` go once over n of them."""
    return max(1, round(n / rows))
