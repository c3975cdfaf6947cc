# SPDX-License-Identifier: Apache-2.0
"""How fast a model answers, asked the same way whoever made it; needs only the standard library."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from pathlib import Path

Predict = Callable[[Sequence[str]], object]

CALLS = 200
ROWS_AT_ONCE = 2_000
SECONDS = 3.0
"""About how long a round of single calls may take; slow models answer fewer."""
ROUNDS = 3


def speed(predict: Predict, texts: Sequence[str]) -> dict[str, float]:
    """Median milliseconds of single-row calls, and rows a second of many rows at once, after a warm-up."""
    return interleaved({"": predict}, texts)[""]


def interleaved(models: dict[str, Predict], texts: Sequence[str]) -> dict[str, dict[str, float]]:
    """The same of several models, taking turns, so that a slow spell of the machine meets all of them."""
    slowest = max(_warm_up(predict, texts) for predict in models.values())
    singles = _spread(texts, min(CALLS, max(20, int(SECONDS / slowest))))
    many = _spread(texts, min(ROWS_AT_ONCE, max(64, int(2 * SECONDS / slowest))))
    calls: dict[str, list[float]] = {name: [] for name in models}
    rates: dict[str, list[float]] = {name: [] for name in models}
    for _ in range(ROUNDS):
        for name, predict in models.items():
            calls[name].append(_single_ms(predict, singles))
            began = time.perf_counter()
            predict(many)
            rates[name].append(len(many) / (time.perf_counter() - began))
    return {
        name: {"ms": statistics.median(calls[name]), "rows_per_s": statistics.median(rates[name])} for name in models
    }


def peak_mb() -> float | None:
    """The highest resident memory of this process in 10^6 bytes, where Linux tells it."""
    status = Path("/proc/self/status")
    if not status.exists():
        return None
    line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM:"))
    return int(line.split()[1]) * 1024 / 1e6


def _warm_up(predict: Predict, texts: Sequence[str]) -> float:
    """Median seconds of the first calls but one."""
    times = []
    for text in _spread(texts, 10):
        began = time.perf_counter()
        predict([text])
        times.append(time.perf_counter() - began)
    return statistics.median(times[1:] or times)


def _single_ms(predict: Predict, texts: Sequence[str]) -> float:
    times = []
    for text in texts:
        began = time.perf_counter()
        predict([text])
        times.append(1000 * (time.perf_counter() - began))
    return statistics.median(times)


def _spread(texts: Sequence[str], most: int) -> list[str]:
    step = max(1, len(texts) // most)
    return list(texts[::step][:most])
