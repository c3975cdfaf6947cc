# SPDX-License-Identifier: Apache-2.0
"""What is held against what: per-row answers, and a stated value beside the same value from the rows."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

__all__ = ["CLOSED", "INVERTED", "Arrays", "Check", "Codes", "Floats", "Json", "Rows", "same"]

Codes = NDArray[np.int64]
Floats = NDArray[np.float64]
Json = Mapping[str, Any]

CLOSED, INVERTED = 1e-9, 1e-6
"""How near closed forms, and inverted ones, must come."""


class Arrays(NamedTuple):
    """One candidate's rows on certify: (n,) predicted codes and, if its evidence is checked, (n, k) probabilities.

    ``positions`` (n,) are their places in certify in the order of asking, of a reference that was asked about some.
    """

    predicted: Codes
    probability: Floats | None = None
    positions: Codes | None = None


class Check(NamedTuple):
    """One printed value and the same value from the rows."""

    name: str
    stated: object
    recomputed: object
    agree: bool


class Rows(NamedTuple):
    """The certify rows that something is computed on."""

    gold: Codes
    groups: Codes | None
    candidates: Mapping[str, Arrays]

    def at(self, positions: Codes) -> Rows:
        """These rows in this order; of who was asked about some rows only, as many of its answers."""
        taken = {
            name: Arrays(each.predicted[positions] if each.positions is None else each.predicted[: len(positions)])
            for name, each in self.candidates.items()
        }
        return Rows(self.gold[positions], None, taken)


def same(name: str, stated: object, found: object, tolerance: float = CLOSED) -> Check:
    """A check that takes two numbers for the same when they are as near as that."""
    if isinstance(stated, int | float) and isinstance(found, int | float):
        return Check(name, stated, found, math.isclose(stated, found, rel_tol=tolerance, abs_tol=tolerance))
    return Check(name, stated, found, stated == found)
