# SPDX-License-Identifier: Apache-2.0
"""The header of a GGUF file, read before llama.cpp sees it, so that a cut or damaged file is an error with its name.

The format is that of ggml's ``docs/gguf.md``, versions 2 and 3, little-endian.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, BinaryIO

from bigenough.errors import TamperedArtefact

__all__ = ["read_header"]

MAGIC = b"GGUF"
VERSIONS = (2, 3)
_NUMBERS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
_STRING, _ARRAY = 8, 9
_LONGEST = 1 << 28
"""No string or count in a header is larger; a damaged one may say so."""
_BLOCKS: Mapping[int, tuple[int, int]] = {
    0: (1, 4), 1: (1, 2), 2: (32, 18), 3: (32, 20), 6: (32, 22), 7: (32, 24), 8: (32, 34), 9: (32, 36), 10: (256, 84),
    11: (256, 110), 12: (256, 144), 13: (256, 176), 14: (256, 210), 15: (256, 292), 24: (1, 1), 25: (1, 2), 26: (1, 4),
    27: (1, 8), 28: (1, 8), 30: (1, 2),
}  # fmt: skip
"""Numbers and bytes of a block, by ``ggml_type``; of other types a file's size is not checked."""


def read_header(path: Path) -> dict[str, Any]:
    """The plain values of a GGUF file's header, arrays left out.

    Raises:
        TamperedArtefact: the file is no GGUF file of a known version, or ends before all it announces.
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        if file.read(len(MAGIC)) != MAGIC:
            raise TamperedArtefact(
                f"{path} is not a GGUF file: it does not begin with {MAGIC.decode()}. Name a model in the GGUF format, "
                "as llama.cpp reads it. If bigenough wrote it here: Copy the whole folder again."
            )
        try:
            values, needed = _read(file)
        except (struct.error, UnicodeDecodeError, KeyError, ValueError) as error:
            raise _cut(path, f"its header cannot be read: {error}") from error
    if size < needed:
        raise _cut(path, f"it has {size:,} bytes and announces {needed:,}")
    return values


def _read(file: BinaryIO) -> tuple[dict[str, Any], int]:
    """The values, and how many bytes the whole file needs."""
    version, tensors, keys = _unpacked(file, "IQQ")
    if version not in VERSIONS or max(tensors, keys) > _LONGEST:
        raise ValueError(f"version {version} with {tensors} tensors; versions {VERSIONS} are known")
    values: dict[str, Any] = {}
    for _ in range(keys):
        name, (kind,) = _string(file), _unpacked(file, "I")
        value = _value(file, kind)
        if value is not None:
            values[name] = value
    ends = [0]
    for _ in range(tensors):
        _string(file)
        (dimensions,) = _unpacked(file, "I")
        shape = _unpacked(file, f"{min(dimensions, 8)}Q")
        kind, offset = _unpacked(file, "IQ")
        numbers, width = _BLOCKS.get(kind, (1, 0))
        ends.append(offset + math.prod(shape) // numbers * width)
    alignment = int(values.get("general.alignment", 32)) or 32
    start = -(-file.tell() // alignment) * alignment
    return values, start + max(ends)


def _value(file: BinaryIO, kind: int) -> Any:
    """A plain value; None for an array, which is passed over."""
    if kind == _STRING:
        return _string(file)
    if kind != _ARRAY:
        return _unpacked(file, _NUMBERS[kind])[0]
    inner, count = _unpacked(file, "IQ")
    if count > _LONGEST:
        raise ValueError(f"an array of {count} values")
    if inner in _NUMBERS:
        _exactly(file, count * struct.calcsize("<" + _NUMBERS[inner]))
        return None
    skip: Callable[[], Any] = (lambda: _skip_string(file)) if inner == _STRING else (lambda: _value(file, inner))
    for _ in range(count):
        skip()
    return None


def _string(file: BinaryIO) -> str:
    (length,) = _unpacked(file, "Q")
    return _exactly(file, length).decode("utf-8")


def _skip_string(file: BinaryIO) -> None:
    (length,) = _unpacked(file, "Q")
    _exactly(file, length)


def _unpacked(file: BinaryIO, layout: str) -> tuple[Any, ...]:
    layout = "<" + layout
    return struct.unpack(layout, file.read(struct.calcsize(layout)))


def _exactly(file: BinaryIO, length: int) -> bytes:
    if length > _LONGEST:
        raise ValueError(f"a value of {length} bytes")
    data = file.read(length)
    if len(data) != length:
        raise ValueError("it ends in the middle")
    return data


def _cut(path: Path, found: str) -> TamperedArtefact:
    return TamperedArtefact(
        f"{path} is not whole ({found}). Copy the whole folder again from where it came, or download the file again."
    )
