# SPDX-License-Identifier: Apache-2.0
"""Where a classifier errs: which class it takes for which, and in which rows, as a pure function of codes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["Confusion", "top_confusions"]

Codes = NDArray[np.int64]


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
