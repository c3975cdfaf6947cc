# SPDX-License-Identifier: Apache-2.0
"""The arrays of one safetensors file, read when they are taken; brain floats (bf16), which numpy lacks, as float32."""

from __future__ import annotations

import json
import struct
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bigenough.errors import UnsupportedModel

__all__ = ["TensorFile"]

KINDS = frozenset({"F64", "F32", "F16", "BF16", "I64", "I32", "I16", "I8", "U64", "U32", "U16", "U8", "BOOL"})
"""What an array may be made of; numbers of 8 bits and less with a point (F8_E4M3 and others) are not read."""


class TensorFile:
    """A safetensors file.

    Raises:
        UnsupportedModel: it is no such file, or was cut short.
    """

    def __init__(self, path: Path) -> None:
        from safetensors import SafetensorError, safe_open

        self.path = path
        opened: Any = safe_open
        try:
            self._file = opened(path, framework="numpy")
            self.names = tuple(self._file.keys())
        except SafetensorError as error:
            raise UnsupportedModel(f"{path} cannot be read as safetensors ({error}): download it again.") from error

    def array(self, name: str) -> NDArray[Any]:
        """One array, in the type in which it is kept; float32 where that is bf16.

        Raises:
            UnsupportedModel: it is kept in numbers that are not known here.
        """
        kind = self._file.get_slice(name).get_dtype()
        if kind not in KINDS:
            raise UnsupportedModel(
                f"{self.path} keeps {name!r} as {kind}, which is not read here. Name a copy of the model in 16 or 32 "
                "bits."
            )
        if kind != "BF16":
            found: NDArray[Any] = self._file.get_tensor(name)
            return found
        entry, start = self._header[name], self._start
        begin, end = entry["data_offsets"]
        halves = np.fromfile(self.path, np.dtype("<u2"), (end - begin) // 2, offset=start + begin)
        return (halves.astype(np.uint32) << 16).view(np.float32).reshape(entry["shape"])

    @cached_property
    def _start(self) -> int:
        """Where the arrays begin: after eight bytes that say how long the header is, and the header."""
        with self.path.open("rb") as file:
            (length,) = struct.unpack("<Q", file.read(8))
        return 8 + int(length)

    @cached_property
    def _header(self) -> dict[str, Any]:
        with self.path.open("rb") as file:
            header: dict[str, Any] = json.loads(file.read(self._start)[8:])
        return header
