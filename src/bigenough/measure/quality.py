# SPDX-License-Identifier: Apache-2.0
"""Where a classifier errs: counts of gold against predicted, as pure functions of codes.

Only counts and plain ratios are made here. Intervals on them are the verdict's.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["ClassCounts", "Confusion", "confusion_counts", "per_class", "top_confusions"]

Codes = NDArray[np.int64]


@dataclass(frozen=True)
class ClassCounts:
    """How one class fared.

    Attributes:
        label: the class.
        n: rows whose gold label it is.
        claimed: rows it was predicted for.
        hits: rows that are both.
        precision: hits / claimed; None when it was never predicted.
        recall: hits / n; None when gold does not hold it.
        f1: 2 hits / (n + claimed); 0 when both are 0.
    """

    label: str
    n: int
    claimed: int
    hits: int
    precision: float | None
    recall: float | None
    f1: float

    def to_json(self) -> dict[str, Any]:
        """The counts as plain JSON values."""
        return asdict(self)


@dataclass(frozen=True)
class Confusion:
    """One class taken for another: how often, and in which of the user's rows."""

    gold: str
    predicted: str
    count: int
    rows: tuple[int, ...]

    def to_json(self) -> dict[str, Any]:
        """The confusion as plain JSON values."""
        return {**asdict(self), "rows": list(self.rows)}


def confusion_counts(gold: Codes, predicted: Codes, n_classes: int) -> NDArray[np.int64]:
    """The (n_classes, n_classes) table of row counts by gold (down) and predicted (across).

    >>> confusion_counts(np.array([0, 0, 1]), np.array([0, 1, 1]), 2).tolist()
    [[1, 1], [0, 1]]
    """
    if len(gold) != len(predicted):
        raise ValueError(f"gold has {len(gold)} rows and predicted {len(predicted)}; they must be the same rows.")
    cells = np.bincount(gold * n_classes + predicted, minlength=n_classes * n_classes)
    return cells.reshape(n_classes, n_classes)


def per_class(gold: Codes, predicted: Codes, classes: Sequence[str]) -> tuple[ClassCounts, ...]:
    """Each class's counts, in the order of ``classes``.

    >>> per_class(np.array([0, 0, 1]), np.array([0, 1, 1]), ["no", "yes"])[1].precision
    0.5
    """
    table = confusion_counts(gold, predicted, len(classes))
    support, claimed, hits = table.sum(axis=1).tolist(), table.sum(axis=0).tolist(), table.diagonal().tolist()
    return tuple(
        ClassCounts(
            label=label,
            n=n,
            claimed=c,
            hits=h,
            precision=h / c if c else None,
            recall=h / n if n else None,
            f1=2 * h / (n + c) if n + c else 0.0,
        )
        for label, n, c, h in zip(classes, support, claimed, hits, strict=True)
    )


def top_confusions(
    gold: Codes, predicted: Codes, rows: Codes, classes: Sequence[str], *, limit: int = 20, rows_each: int = 20
) -> tuple[Confusion, ...]:
    """The most frequent confusions, the larger first and ties in the order of classes, each with its first rows.

    >>> top_confusions(np.array([0, 0, 1]), np.array([1, 1, 1]), np.array([7, 9, 11]), ["no", "yes"])
    (Confusion(gold='no', predicted='yes', count=2, rows=(7, 9)),)
    """
    n_classes = len(classes)
    wrong = np.flatnonzero(gold != predicted)
    cells = gold[wrong] * n_classes + predicted[wrong]
    kinds, counts = np.unique(cells, return_counts=True)
    order = np.argsort(-counts, kind="stable")[:limit]
    return tuple(
        Confusion(
            gold=classes[int(kinds[i]) // n_classes],
            predicted=classes[int(kinds[i]) % n_classes],
            count=int(counts[i]),
            rows=tuple(rows[wrong[cells == kinds[i]]][:rows_each].tolist()),
        )
        for i in order
    )
