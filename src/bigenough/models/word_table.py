# SPDX-License-Identifier: Apache-2.0
"""An encoder's word vectors in few bytes: rows of 8 bits, rows of 4 bits, and ids that share another id's row.

It decides how rows are coded, and never which ids deserve one: that is asked of the user's texts, elsewhere.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

__all__ = ["BLOCK", "WordTable"]

BLOCK = 32
"""Neighbours that share a scale in a row of 4 bits."""


@dataclass(frozen=True, eq=False)
class WordTable:
    """Coded rows, the fine ones first, and the row of each token id.

    Both codes are symmetric, largest absolute value to largest whole number (Dettmers et al. 2022, section 2.1): one
    scale a row for 8 bits, one for 32 neighbours for 4 bits.

    Attributes:
        place: (vocabulary,) int32, the row at which an id's vector is: below a in ``fine``, from a on in ``coarse``.
        fine: (a, width) int8, at least one row.
        fine_scale: (a, 1) float32.
        coarse: (b, width / 2) uint8, two numbers of 4 bits a byte, the first in its low half, 8 standing for zero.
        coarse_scale: (b, width / 32) float16.
    """

    place: NDArray[np.int32]
    fine: NDArray[np.int8]
    fine_scale: NDArray[np.float32]
    coarse: NDArray[np.uint8]
    coarse_scale: NDArray[np.float16]

    @classmethod
    def of(
        cls, words: NDArray[np.float32], fine: NDArray[np.int64], coarse: NDArray[np.int64], instead: NDArray[np.int64]
    ) -> Self:
        """Code the (vocabulary, width) vectors.

        Args:
            words: the vectors.
            fine: ids with a row of 8 bits, at least one.
            coarse: ids with a row of 4 bits; the width must then be a multiple of 32.
            instead: (vocabulary,) for each id the id whose row it uses: itself for those in ``fine`` and ``coarse``.

        >>> words = np.array([[1.0, -0.5], [0.9, -0.5]], dtype=np.float32)
        >>> table = WordTable.of(words, np.array([0]), np.array([], int), np.array([0, 0]))
        >>> table.decoded().round(2).tolist()
        [[1.0, -0.5], [1.0, -0.5]]
        """
        place = np.zeros(len(words), dtype=np.int32)
        kept = np.concatenate([fine, coarse]).astype(np.int64)
        place[kept] = np.arange(len(kept), dtype=np.int32)
        scale = np.maximum(np.abs(words[fine]).max(axis=1, keepdims=True) / 127, np.float32(1e-12))
        codes = np.rint(words[fine] / scale).astype(np.int8)
        if not len(coarse):
            nothing = np.zeros((0, 0), np.uint8), np.zeros((0, 0), np.float16)
            return cls(place[instead], codes, scale.astype(np.float32), *nothing)
        blocks = words[coarse].reshape(len(coarse), -1, BLOCK)
        # Rounded up to the next 16-bit number, or the largest of a block would not fit.
        steps = np.nextafter((np.abs(blocks).max(axis=2) / 7).astype(np.float16), np.float16(np.inf))
        halves = (np.rint(blocks / steps[:, :, None].astype(np.float32)) + 8).astype(np.uint8).reshape(len(coarse), -1)
        packed = halves[:, ::2] | (halves[:, 1::2] << 4)
        return cls(place[instead], codes, scale.astype(np.float32), packed, steps)

    @property
    def n_parameters(self) -> int:
        """The numbers of all rows, without their scales."""
        return self.fine.size + 2 * self.coarse.size

    @property
    def row_bytes(self) -> int:
        """The bytes of all rows and their scales, without the row of each id."""
        return self.fine.nbytes + self.fine_scale.nbytes + self.coarse.nbytes + self.coarse_scale.nbytes

    def decoded(self) -> NDArray[np.float32]:
        """The (vocabulary, width) vectors as the encoder sees them."""
        fine = self.fine * self.fine_scale
        if not len(self.coarse):
            return fine[self.place]
        halves = np.empty((len(self.coarse), fine.shape[1]), dtype=np.float32)
        halves[:, ::2], halves[:, 1::2] = self.coarse & 15, self.coarse >> 4
        # In 16 bits, as the graph's operator gives them.
        coarse = ((halves - 8) * np.repeat(self.coarse_scale, BLOCK, axis=1)).astype(np.float16).astype(np.float32)
        return np.concatenate([fine, coarse])[self.place]
