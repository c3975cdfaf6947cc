# SPDX-License-Identifier: Apache-2.0
"""Which example lies in which split."""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

__all__ = ["CERTIFY", "FIT", "SELECT", "SplitPositions", "parts_of"]

FIT, SELECT, CERTIFY = 0, 1, 2

Positions = NDArray[np.int64]


class SplitPositions(Protocol):
    """Positions of the three splits' examples."""

    @property
    def fit(self) -> Positions:
        """Where the rows to train on are."""
        ...

    @property
    def select(self) -> Positions:
        """Where the rows to choose settings on are."""
        ...

    @property
    def certify(self) -> Positions:
        """Where the rows to judge on are."""
        ...


def parts_of(n: int, splits: SplitPositions) -> NDArray[np.int8]:
    """The (n,) split codes ``FIT``, ``SELECT`` and ``CERTIFY``; −1 for a row in none."""
    part = np.full(n, -1, dtype=np.int8)
    for code, positions in ((FIT, splits.fit), (SELECT, splits.select), (CERTIFY, splits.certify)):
        part[positions] = code
    return part
