# SPDX-License-Identifier: Apache-2.0
"""What this machine really does: bytes read and operations done in a second, measured in a few seconds.

Reading is measured with products of a matrix and a vector, which touch every weight once as decoding does, over
working sets of several sizes, since a small model may live in the last cache. Arithmetic is measured with products of
square matrices.
"""

from __future__ import annotations

import statistics
import time
from dataclasses import dataclass
from typing import Any

from bigenough.atlas.shape import Shape
from bigenough.atlas.speed import Device, encoding
from bigenough.errors import BadOption
from bigenough.quantity.range import Range

__all__ = ["Calibration", "calibrate"]

_WORKING_SETS_MB = (32, 128, 512)
_SHARE_OF_A_SET = 0.25  # seconds spent on each, times the whole budget


@dataclass(frozen=True)
class Calibration:
    """What was measured.

    Attributes:
        bandwidths: bytes per second by size of the working set in bytes, smallest first.
        peak: operations per second of large 32-bit matrix products.
        narrow: the same for the products of a small encoder: some hundred rows, 384 and 1,536 wide.
        threads: how many computed.
        seconds: how long it took.
    """

    bandwidths: tuple[tuple[float, Range], ...]
    peak: Range
    narrow: Range
    threads: int
    seconds: float

    def bandwidth(self, size_bytes: float) -> Range:
        """Bytes per second for weights of some size, from the working set that is nearest above it."""
        return next((speed for size, speed in self.bandwidths if size >= size_bytes), self.bandwidths[-1][1])

    def device(self, size_bytes: float) -> Device:
        """The machine as a device, for weights of some size."""
        return Device("this machine", self.bandwidth(size_bytes), self.peak, measured=True)

    def encoding(self, shape: Shape, tokens: float) -> Range:
        """Rows per second of an encoder on this machine, for rows of some tokens; see ``speed.encoding``."""
        return encoding(self.arithmetic(shape), shape, tokens)

    def arithmetic(self, shape: Shape) -> Range:
        """Operations per second of products as wide as this encoder's."""
        return self.narrow if shape.hidden < 768 else self.peak

    def to_json(self) -> dict[str, Any]:
        """What was measured as plain JSON values."""
        return {
            "bandwidth": [{"working_set_bytes": size, **speed.to_json()} for size, speed in self.bandwidths],
            "peak": self.peak.to_json(),
            "narrow": self.narrow.to_json(),
            "threads": self.threads,
            "seconds": self.seconds,
        }


def calibrate(threads: int | None = None, *, seconds: float = 2.0) -> Calibration:
    """Measure this machine; takes about ``seconds`` and half a gigabyte.

    Args:
        threads: computing threads; all usable cores when ``None``.
        seconds: time to spend, 0.5 to 30.
    """
    if not 0.5 <= seconds <= 30:
        raise BadOption(f"seconds={seconds!r}: a calibration takes 0.5 to 30 seconds.")
    from threadpoolctl import threadpool_limits

    from bigenough.measure.machine import machine

    many = threads or machine().cores
    began = time.perf_counter()
    with threadpool_limits(many):
        speeds = tuple(_reading(megabytes, seconds * _SHARE_OF_A_SET) for megabytes in _WORKING_SETS_MB)
        peak = _computing(seconds * _SHARE_OF_A_SET / 2, 1024, 1024, 1024)
        narrow = _computing(seconds * _SHARE_OF_A_SET / 2, 384, 384, 1536)
    return Calibration(speeds, peak, narrow, many, time.perf_counter() - began)


def _reading(megabytes: int, seconds: float) -> tuple[float, Range]:
    import numpy as np

    columns = 4096
    matrix = np.ones((megabytes * 1_000_000 // (4 * columns), columns), dtype=np.float32)
    vector, out = np.ones(columns, dtype=np.float32), np.empty(len(matrix), dtype=np.float32)
    rates = _rates(lambda: np.dot(matrix, vector, out=out), matrix.nbytes / 1e9, seconds)
    source = f"matrix × vector over {megabytes} MB, {len(rates)} times: median, fastest and slowest tenth"
    return float(matrix.nbytes), _measured(rates, "GB/s", "bandwidth of this machine", source)


def _computing(seconds: float, rows: int, inner: int, columns: int) -> Range:
    import numpy as np

    left, right = np.ones((rows, inner), dtype=np.float32), np.ones((inner, columns), dtype=np.float32)
    out = np.empty((rows, columns), dtype=np.float32)
    rates = _rates(lambda: np.dot(left, right, out=out), 2 * rows * inner * columns / 1e12, seconds)
    source = f"{rows} × {inner} × {columns} products in 32 bits, {len(rates)} times: median, fastest and slowest tenth"
    return _measured(rates, "TFLOP/s", "arithmetic of this machine", source)


def _rates(step: Any, work: float, seconds: float) -> list[float]:
    step()
    rates: list[float] = []
    end = time.perf_counter() + seconds
    while len(rates) < 3 or time.perf_counter() < end:
        began = time.perf_counter()
        step()
        rates.append(work / (time.perf_counter() - began))
    return rates


def _measured(rates: list[float], unit: str, name: str, source: str) -> Range:
    ordered = sorted(rates)
    tenth = len(ordered) // 10
    low, high = ordered[tenth], ordered[-1 - tenth]
    return Range(low, statistics.median(ordered), high, unit, name=name, source=source, provenance="measured")
