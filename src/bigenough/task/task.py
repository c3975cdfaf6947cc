# SPDX-License-Identifier: Apache-2.0
"""What is asked: the classes, the metric, the margin and the limits; and examples of it with gold answers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from bigenough.errors import BadOption

__all__ = ["Examples", "Limits", "MetricName", "Task"]

MetricName = Literal["accuracy", "balanced_accuracy", "macro_f1"]


@dataclass(frozen=True, eq=False)
class Examples:
    """Texts with gold labels, each remembering where it stood in the user's table.

    Attributes:
        texts: the n texts.
        labels: (n,) codes into the task's classes.
        rows: (n,) data-row numbers as the user counts them: the first row below the header is 1.
        groups: (n,) codes of groups that must stay together (a customer, a document), or None.
    """

    texts: Sequence[str]
    labels: NDArray[np.int64]
    rows: NDArray[np.int64]
    groups: NDArray[np.int64] | None = None

    def __len__(self) -> int:
        return len(self.texts)

    def take(self, positions: NDArray[np.int64]) -> Examples:
        """The examples at these positions, in this order."""
        groups = None if self.groups is None else self.groups[positions]
        return Examples([self.texts[i] for i in positions], self.labels[positions], self.rows[positions], groups)


@dataclass(frozen=True)
class Limits:
    """Hard requirements; a candidate that misses one is out, however good it is."""

    latency_p95_ms: float | None = None
    memory_mb: float | None = None
    size_mb: float | None = None

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if value is not None and not value > 0:
                raise BadOption(f"The limit {name} must be above zero. Got {value!r}.")


@dataclass(frozen=True)
class Task:
    """One narrow classification job, fixed before any model is fitted.

    Attributes:
        name: how reports call it.
        classes: the labels, sorted; a label's code is its place here.
        metric: what the verdict is about.
        margin: how much worse than the reference still counts as good enough, as a fraction (0.015 is 1.5 points).
        alpha: the promised chance of crowning any candidate that is not good enough.
        limits: hard requirements.
    """

    name: str
    classes: tuple[str, ...]
    metric: MetricName = "accuracy"
    margin: float = 0.015
    alpha: float = 0.05
    limits: Limits = field(default_factory=Limits)

    def __post_init__(self) -> None:
        if self.metric not in get_args(MetricName):
            raise BadOption(f"The metric must be one of {list(get_args(MetricName))}. Got {self.metric!r}.")
        if not 0 <= self.margin < 1:
            raise BadOption(f"The margin must be from 0 to below 100 points. Got {100 * self.margin:g} points.")
        if not 0 < self.alpha < 0.5:
            raise BadOption(f"alpha must lie between 0 and 0.5. Got {self.alpha!r}.")
