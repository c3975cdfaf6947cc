# SPDX-License-Identifier: Apache-2.0
"""Prompts as token ids, in three parts: what all begin with, the row's own, and what all end with. Needs no torch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["PromptRows"]

Ids = NDArray[np.int32]


@dataclass(frozen=True, eq=False)
class PromptRows:
    """n prompts that differ in the middle.

    Attributes:
        prefix: (p,) ids with which every prompt begins.
        rows: one (length,) array a prompt: what follows the prefix, at least one id.
        ending: how many ids at the end belong to the prompt and not to the row's text; they are never cut off.
    """

    prefix: Ids
    rows: Sequence[Ids]
    ending: int

    @property
    def lengths(self) -> NDArray[np.int64]:
        """(n,) tokens of each row after the prefix."""
        return np.array([len(row) for row in self.rows], dtype=np.int64)

    def cut(self, max_length: int) -> PromptRows:
        """The same with at most so many ids a row, left out before the common ending.

        >>> begin, row = np.array([1], np.int32), np.array([5, 6, 7, 9], np.int32)
        >>> PromptRows(begin, [row], ending=1).cut(3).rows[0].tolist()
        [5, 6, 9]
        """
        ending = min(self.ending, max_length - 1)
        kept = [
            row if len(row) <= max_length else np.concatenate([row[: max_length - ending], row[len(row) - ending :]])
            for row in self.rows
        ]
        return PromptRows(self.prefix, kept, self.ending)
