# SPDX-License-Identifier: Apache-2.0
"""Whether a model says the same thing twice: label equality and the largest change of any probability."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["Check", "Determinism", "compare", "in_process"]

Probabilities = NDArray[np.float64]


@dataclass(frozen=True)
class Check:
    """One way of asking again.

    Attributes:
        check: what was changed: "repeat", "batch size 7", "shuffled order", "1 thread", "restart" and so on.
        label_flips: rows whose most probable class differs from the first answer.
        max_probability_difference: the largest absolute difference of any probability; 1 when one of them is no number.
    """

    check: str
    label_flips: int
    max_probability_difference: float


@dataclass(frozen=True)
class Determinism:
    """All checks, over the same rows, against one answer: all rows in one batch, in the process that was timed."""

    rows: int
    checks: tuple[Check, ...]

    def stable(self, tolerance: float = 1e-6) -> bool:
        """Whether no label ever flipped and no probability moved by more than ``tolerance``."""
        return all(c.label_flips == 0 and c.max_probability_difference <= tolerance for c in self.checks)

    def to_json(self) -> dict[str, Any]:
        """The checks as plain JSON values."""
        return {"rows": self.rows, "checks": [asdict(check) for check in self.checks]}


def compare(check: str, first: Probabilities, again: Probabilities) -> Check:
    """How two answers about the same rows, each (n, k), differ.

    >>> compare("repeat", np.array([[0.6, 0.4]]), np.array([[0.25, 0.75]]))
    Check(check='repeat', label_flips=1, max_probability_difference=0.35)
    """
    if first.shape != again.shape:
        raise ValueError(f"{check}: {again.shape} probabilities came back where the first answer had {first.shape}.")
    flips = int(np.sum(first.argmax(axis=1) != again.argmax(axis=1)))
    difference = float(np.abs(first - again).max(initial=0.0))
    return Check(check, flips, difference if np.isfinite(difference) else 1.0)


def in_process(
    predict_proba: Callable[[Sequence[str]], Probabilities], texts: Sequence[str], one_by_one: Probabilities
) -> tuple[Probabilities, tuple[Check, ...]]:
    """The answer for all texts in one batch, and the checks that need no other process.

    ``one_by_one`` holds the answers that single-row calls gave before, so that the slowest way is not walked twice.
    """
    first = predict_proba(texts)
    order = np.random.default_rng(0).permutation(len(texts))
    shuffled = np.empty_like(first)
    shuffled[order] = predict_proba([texts[i] for i in order])
    checks = (
        compare("repeat", first, predict_proba(texts)),
        compare("batch size 1", first, one_by_one),
        *(compare(f"batch size {size}", first, _in_batches(predict_proba, texts, size)) for size in (7, 64)),
        compare("shuffled order", first, shuffled),
    )
    return first, checks


def _in_batches(
    predict_proba: Callable[[Sequence[str]], Probabilities], texts: Sequence[str], size: int
) -> Probabilities:
    def batches() -> Iterator[Probabilities]:
        for start in range(0, len(texts), size):
            yield predict_proba(texts[start : start + size])

    return np.concatenate(list(batches()))
