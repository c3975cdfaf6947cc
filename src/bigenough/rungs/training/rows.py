# SPDX-License-Identifier: Apache-2.0
"""Texts as token ids and targets as tensors, by the rows that a batch asks for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from tokenizers import Tokenizer

from bigenough.models.encoder import token_rows

__all__ = ["Batch", "Rows", "class_weighted", "token_ids", "used_tokens"]

Ids = NDArray[np.int32]


class Batch(NamedTuple):
    """Some rows on the device.

    Attributes:
        ids: (rows, length) token ids, padded with 0.
        mask: (rows, length), 1 where a token is, 0 where padding; None when there is none.
    """

    ids: torch.Tensor
    mask: torch.Tensor | None


@dataclass(frozen=True, eq=False)
class Rows:
    """n texts, each as its token ids.

    Attributes:
        ids: one (length,) array a text; the ids are places in the token table that is trained.
        lengths: (n,).
    """

    ids: Sequence[Ids]
    lengths: NDArray[np.int64]

    @classmethod
    def of(cls, ids: Sequence[Ids], used: NDArray[np.int64]) -> Rows:
        """The texts with ids that count among the ``used`` tokens only."""
        placed = [np.searchsorted(used, row).astype(np.int32) for row in ids]
        return cls(placed, np.array([len(row) for row in placed], dtype=np.int64))

    def cut(self, max_length: int) -> Rows:
        """The same with at most so many tokens; the last one, which ends a text, stays the last."""
        if not len(self.lengths) or self.lengths.max() <= max_length:
            return self
        ids = [row if len(row) <= max_length else np.concatenate([row[: max_length - 1], row[-1:]]) for row in self.ids]
        return Rows(ids, np.minimum(self.lengths, max_length))

    def batch(self, places: NDArray[np.int64], device: torch.device) -> Batch:
        """The rows at these places, padded to the longest of them."""
        lengths = self.lengths[places]
        ids = np.zeros((len(places), int(lengths.max())), dtype=np.int64)
        for row, place in zip(ids, places, strict=True):
            row[: self.lengths[place]] = self.ids[place]
        mask = None
        if lengths.min() < lengths.max():
            mask = torch.from_numpy((np.arange(ids.shape[1]) < lengths[:, None]).astype(np.int64)).to(device)
        return Batch(torch.from_numpy(ids).to(device), mask)


def token_ids(tokenizer: Tokenizer, texts: Sequence[str], max_length: int) -> list[Ids]:
    """The ids of each text, special tokens included; a text without any gets token 0."""
    return [np.array(row, dtype=np.int32) for row in token_rows(tokenizer, texts, max_length)]


def used_tokens(*texts: Sequence[Ids]) -> NDArray[np.int64]:
    """Every token id that occurs, in order."""
    rows = [row for some in texts for row in some]
    return np.unique(np.concatenate(rows)).astype(np.int64) if rows else np.zeros(1, np.int64)


def class_weighted(targets: NDArray[np.float32]) -> NDArray[np.float32]:
    """(n,) weights of rows that give every class of (n, k) targets the same sum, and sum to n.

    With targets that are certain these are scikit-learn's "balanced" weights.

    >>> class_weighted(np.array([[1, 0]] * 3 + [[0, 1]], np.float32)).round(2)
    array([0.67, 0.67, 0.67, 2.  ], dtype=float32)
    """
    mass = targets.sum(axis=0, dtype=np.float64)
    present = mass > 0
    weights: NDArray[np.float32] = (targets[:, present] @ (len(targets) / (present.sum() * mass[present]))).astype("f4")
    return weights
