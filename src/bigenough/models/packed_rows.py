# SPDX-License-Identifier: Apache-2.0
"""Token rows in fewer bits: 16-bit numbers, or 8- or 4-bit whole numbers with scales, and no rows that say nothing.

Nothing is unpacked before it is asked for: a text's own rows are, in single precision, so that the memory in service
is the size on disk. What to pack, and whether the labels survive it, is decided elsewhere.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from bigenough.errors import BadOption
from bigenough.models.token_table import TokenTable

__all__ = ["PACKED", "Bits", "PackedRows", "PackedTable"]

Array = NDArray[np.float32]
Bits = Literal[4, 8, 16]

GROUP = 32
"""Neighbours that share a scale: few enough to be of one size, many enough that the scale adds half a bit."""
PACKED = ("rows.codes", "rows.scales", "rows.kept")
"""The names of its arrays in a file."""
NEGLIGIBLE = 1e-8
"""Largest number of a row beside the largest of all at or below which the row is zero."""


@dataclass(frozen=True, eq=False)
class PackedRows:
    """Rows of a (v, d) table that can be asked for by number, as float32.

    A number of b bits is a whole number from −(2^(b−1) − 1) to 2^(b−1) − 1 times the scale of its group, which is the
    largest absolute value of the group divided by 2^(b−1) − 1 (symmetric absmax quantisation, Dettmers et al. 2022,
    section 2.1), so that no number is off by more than half a scale, and the rounding of the scale to 16 bits.

    Attributes:
        codes: (r, d) int8 or float16; of 4 bits (r, ⌈d/2⌉) uint8, two neighbours in a byte, the first in its low half.
        scales: float16, (r, ⌈d/32⌉); rows of fewer than 32 numbers share one, as many of them as make 32; (0, 0) for
            16 bits.
        kept: (⌈v/8⌉,) uint8, one bit a row: whether it is among the r that are not zero.
        rows: v.
        width: d.
        bits: 4, 8 or 16.
        unit: what all of it is multiplied by, so that 16 bits are enough for the scales.
    """

    codes: NDArray[Any]
    scales: NDArray[np.float16]
    kept: NDArray[np.uint8]
    rows: int
    width: int
    bits: Bits
    unit: float = 1.0

    def __post_init__(self) -> None:
        kept = np.unpackbits(self.kept, count=self.rows)
        count = int(kept.sum())
        if len(self.codes) != count:
            raise ValueError(f"{count} rows are kept, but there are {len(self.codes)} codes")
        place = np.where(kept, np.cumsum(kept, dtype=np.int32) - 1, -1).astype(np.int32)
        object.__setattr__(self, "_place", place)

    @classmethod
    def of(cls, vectors: NDArray[np.floating], bits: int) -> Self:
        """Pack these (v, d) rows. Raises ``BadOption`` unless ``bits`` is 4, 8 or 16.

        >>> rows = PackedRows.of(np.array([[1.0, -0.5], [0.0, 0.0]]), 8)
        >>> rows.take(np.array([0, 1])).round(2).tolist(), len(rows.codes)
        ([[1.0, -0.5], [0.0, 0.0]], 1)
        """
        if bits not in (4, 8, 16):
            raise BadOption(f"Rows are packed in 4, 8 or 16 bits. Got {bits!r}.")
        sizes = np.abs(vectors).max(axis=1, initial=0.0)
        unit = float(sizes.max(initial=0.0)) or 1.0
        kept = sizes > NEGLIGIBLE * unit
        facts: dict[str, Any] = {"kept": np.packbits(kept), "rows": len(vectors), "width": vectors.shape[1]}
        facts["unit"] = unit
        rest = (vectors[kept] / unit).astype(np.float32)
        if bits == 16:
            return cls(rest.astype(np.float16), np.zeros((0, 0), np.float16), bits=16, **facts)
        codes, scales = _whole_numbers(rest, 2 ** (bits - 1) - 1)
        return cls(_paired(codes) if bits == 4 else codes, scales, bits=4 if bits == 4 else 8, **facts)

    @property
    def shape(self) -> tuple[int, int]:
        """(v, d), as if it were unpacked."""
        return self.rows, self.width

    @property
    def size(self) -> int:
        """Numbers that are kept, without the scales of their rows."""
        return len(self.codes) * self.width

    @property
    def nbytes(self) -> int:
        """Bytes in memory."""
        place: NDArray[np.int32] = self._place  # type: ignore[attr-defined]
        return self.codes.nbytes + self.scales.nbytes + self.kept.nbytes + place.nbytes

    def take(self, ids: NDArray[np.int64]) -> Array:
        """The (n, d) rows of these numbers; zero where none is kept."""
        place: NDArray[np.int32] = self._place[ids]  # type: ignore[attr-defined]
        if not len(self.codes):
            return np.zeros((len(ids), self.width), np.float32)
        codes = self.codes[place]
        if self.bits == 4:
            codes = _unpaired(codes, self.width)
        out = codes.astype(np.float32)
        if self.bits != 16:
            # A negative place, which is that of a zero row, is taken for some row or other, and blotted out below.
            scales = self.scales[place // _rows_of_a_group(self.width)].astype(np.float32)
            if scales.shape[1] == 1:
                out *= scales
            else:
                out *= np.repeat(scales, GROUP, axis=1)[:, : self.width]
        out *= np.float32(self.unit)
        out[place < 0] = 0.0
        return out

    def tensors(self) -> dict[str, NDArray[Any]]:
        """Its arrays, by the names that ``from_tensors`` reads."""
        return dict(zip(PACKED, (self.codes, self.scales, self.kept), strict=True))

    def facts(self) -> dict[str, Any]:
        """What else ``from_tensors`` must know; JSON values."""
        return {"rows": self.rows, "width": self.width, "bits": self.bits, "unit": self.unit}

    @classmethod
    def from_tensors(cls, tensors: Mapping[str, NDArray[Any]], facts: Mapping[str, Any]) -> Self:
        """What ``tensors`` and ``facts`` gave. Raises ``ValueError`` when the arrays do not fit together."""
        rows, width, bits = int(facts["rows"]), int(facts["width"]), facts["bits"]
        codes, scales, kept = (tensors[name] for name in PACKED)
        if bits not in _DTYPES or codes.dtype != _DTYPES[bits]:
            raise ValueError(f"rows of {bits!r} bits are kept as {codes.dtype}")
        columns = -(-width // 2) if bits == 4 else width
        groups = (0, 0) if bits == 16 else (-(-len(codes) // _rows_of_a_group(width)), -(-width // GROUP))
        if codes.shape[1:] != (columns,) or scales.shape != groups or len(kept) != -(-rows // 8):
            raise ValueError(f"codes {codes.shape}, scales {scales.shape} and {rows} rows do not fit together")
        return cls(codes, scales, kept, rows, width, bits, float(facts["unit"]))


_DTYPES = {4: np.uint8, 8: np.int8, 16: np.float16}


class PackedTable(TokenTable):
    """A token table whose rows stay packed.

    Attributes:
        packed: the rows.
    """

    def __init__(self, packed: PackedRows, tokenizer: Tokenizer, pairs: NDArray[np.uint64] | None = None) -> None:
        self.packed = packed
        super().__init__(np.zeros((0, packed.width), np.float32), tokenizer, pairs)

    @property
    def shape(self) -> tuple[int, int]:
        """(vocabulary + p, d)."""
        return self.packed.shape

    @property
    def n_numbers(self) -> int:
        """Numbers that are kept, scales and the keys of pairs included."""
        return self.packed.size + len(self.pairs)

    def take(self, ids: NDArray[np.int64]) -> Array:
        """The (n, d) vectors at these rows."""
        return self.packed.take(ids)


def _rows_of_a_group(width: int) -> int:
    return max(1, GROUP // max(1, width))


def _whole_numbers(rows: Array, most: int) -> tuple[NDArray[np.int8], NDArray[np.float16]]:
    """(r, d) whole numbers from −most to most, and the scales they are to be multiplied by."""
    count, width = rows.shape
    together, groups = _rows_of_a_group(width), -(-width // GROUP)
    blocks = -(-count // together)
    each = GROUP if groups > 1 else width
    wide = np.zeros((blocks * together, groups * each), np.float32)
    wide[:count, :width] = rows
    largest = np.abs(wide).reshape(blocks, together, groups, each).max(axis=(1, 3), initial=0.0)
    # Rounded up to the next 16-bit number, or the largest of a group would not fit.
    scales = np.nextafter((largest / most).astype(np.float16), np.float16(np.inf))
    by_row = np.repeat(scales.astype(np.float32), together, axis=0)[:count]
    spread = np.repeat(by_row, GROUP, axis=1)[:, :width]
    return np.clip(np.rint(rows / spread), -most, most).astype(np.int8), scales


def _paired(codes: NDArray[np.int8]) -> NDArray[np.uint8]:
    """Two numbers from −7 to 7 in a byte, as 1 to 15."""
    even = np.zeros((len(codes), codes.shape[1] + codes.shape[1] % 2), np.uint8)
    even[:, : codes.shape[1]] = codes + 8
    return np.asarray(even[:, ::2] | (even[:, 1::2] << 4), np.uint8)


def _unpaired(pairs: NDArray[np.uint8], width: int) -> NDArray[np.int8]:
    out = np.empty((len(pairs), 2 * pairs.shape[1]), np.int8)
    out[:, ::2] = pairs & 15
    out[:, 1::2] = pairs >> 4
    out -= 8
    return out[:, :width]
