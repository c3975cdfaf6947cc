# SPDX-License-Identifier: Apache-2.0
"""How fast a runtime really writes on this machine, from one file, and what that says of others.

On a CPU unpacking blocks, attention and the sampler take longer than reading, and how long depends on how the runtime
was compiled; no data sheet says. So one model's file is run for a moment, and the time of its step is carried to other
files, in proportion to their bytes or to their weights, whichever way it goes.
"""

from __future__ import annotations

import importlib
import math
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from bigenough.atlas.checks import positive
from bigenough.errors import BadOption, MissingExtra
from bigenough.quantity.range import Range

__all__ = ["Probe", "gguf_size", "probe", "writing_like"]

_WIDTHS = (1, 1, 2, 2, 4, 4, 4, 1, 0, 0, 8, 8, 8)  # bytes of GGUF's value types; 8 is text, 9 an array
_TEXT, _ARRAY = 8, 9


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
    unpacking); a tenth more at either end. Never faster than ``bandwidth`` allows.

    >>> one = Probe(1e8, 1e8, 50.0, 1, "an example")
    >>> round(writing_like(one, 1e8, 2e8).mid, 1)
    35.4
    """
    by_bytes = known.tokens_per_s * known.size_bytes / positive("size", size_bytes)
    by_weights = known.tokens_per_s * known.weights / positive("weights", weights)
    low, high = min(by_bytes, by_weights) / 1.1, max(by_bytes, by_weights) * 1.1
    most = bandwidth.to("B/s").mid / size_bytes if bandwidth else math.inf
    mid = min(math.sqrt(by_bytes * by_weights), most)
    inputs = () if bandwidth is None else (bandwidth,)
    return Range(
        min(low, mid), mid, max(mid, min(high, most)), "token/s", name="tokens per second of one user",
        formula="speed of the probe × bytes or weights of the "
                "probe / those of the file", source=known.source, inputs=inputs,
    )  # fmt: skip


def probe(file: Path, *, threads: int | None = None, tokens: int = 64) -> Probe:
    """Run a GGUF file for a moment and say how fast it wrote; needs ``xllamacpp``.

    The better of two runs counts: the first one warms the caches.
    """
    weights, size = gguf_size(file)
    try:
        xllamacpp = importlib.import_module("xllamacpp")
    except ImportError:
        raise MissingExtra("Measuring how fast a GGUF file writes", "xllamacpp", "pip install xllamacpp") from None
    from bigenough.measure.machine import machine

    many = threads or machine().cores
    settings = xllamacpp.CommonParams()
    settings.model.path = str(file)
    settings.n_ctx, settings.n_parallel = 512, 1
    settings.cpuparams.n_threads = settings.cpuparams_batch.n_threads = many
    server = xllamacpp.Server(settings)
    request = {
        "prompt": "The history of the city begins",
        "n_predict": tokens,
        "temperature": 0.0,
        "ignore_eos": True,
        "cache_prompt": False,
    }
    rates = [float(server.handle_completions(request)["timings"]["predicted_per_second"]) for _ in range(2)]
    return Probe(weights, size, max(rates), many, f"{file.name}, {tokens} tokens with xllamacpp, {many} threads")


def gguf_size(file: Path) -> tuple[float, float]:
    """Parameters and bytes of the tensors of a GGUF file, from its header alone."""
    if not file.is_file():
        raise BadOption(f"{file} is no file. Give a GGUF file to run, such as one that a package of weights ships.")
    with file.open("rb") as stream:
        if stream.read(4) != b"GGUF":
            raise BadOption(f"{file} is no GGUF file: it does not begin with GGUF.")
        _, tensors, pairs = struct.unpack("<IQQ", stream.read(20))
        for _ in range(pairs):
            _skip_text(stream)
            _skip_value(stream, *struct.unpack("<I", stream.read(4)))
        weights = sum(_elements(stream) for _ in range(tensors))
        header = stream.tell()
    return float(weights), float(file.stat().st_size - header)


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
