# SPDX-License-Identifier: Apache-2.0
"""The fresh process in which a saved model is loaded, timed and asked again: ``python -m bigenough.measure.probe``.

Two lines of JSON come in on standard input, one line goes out on standard output; whatever a library prints goes to
standard error. Before the first prediction nothing is imported that a server would not import, so that start-up time is
the model's own.
"""

from __future__ import annotations

import base64
import importlib
import json
import os
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from bigenough.rungs.protocol import Predictor

__all__ = ["main"]

_BLOCKS = 4
_CALLS_PER_BLOCK = (5, 150)
_ANSWERS_AT_MOST = 400_000  # probabilities sent back to be compared: 3.2 MB


def main() -> None:
    """Answer one request."""
    answer_to = _take_standard_output()
    request = json.loads(sys.stdin.readline())
    # Where memory is measured the texts are there before it is, lest they be charged to the model.
    texts = json.loads(sys.stdin.readline()) if request["rows"] is None else None
    # a server's baseline holds the interpreter and numpy; psutil is not used, for it would be charged to the model
    baseline = _resident_bytes()
    before = time.perf_counter()
    predictor = _load(request)
    loaded = time.perf_counter()
    predictor.predict_proba([request["first_text"]])
    answer: dict[str, Any] = {"startup_s": time.time() - request["started"], "load_s": loaded - before}
    if texts is None:
        texts = json.loads(sys.stdin.readline())
    if request["rows"] is None:
        answer |= _measure(predictor, texts, request["seconds"], baseline)
    else:
        answer["answers"] = _pack(predictor.predict_proba(texts[: request["rows"]]))
    json.dump(answer, answer_to)
    answer_to.close()


def _take_standard_output() -> TextIO:
    answer_to = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    return answer_to


def _load(request: dict[str, Any]) -> Predictor:
    module, _, function = request["loader"].partition(":")
    load: Callable[..., Predictor] = getattr(importlib.import_module(module), function)
    return load(Path(request["model"]), threads=request["threads"])


def _measure(predictor: Predictor, texts: Sequence[str], seconds: float, baseline: int | None) -> dict[str, Any]:
    from bigenough.measure.determinism import in_process

    call_s = _warm_up(predictor, texts, 0.15 * seconds)
    rows = _rows_to_compare(len(texts), predictor.n_classes, call_s, seconds)
    batch = texts[: min(len(texts), max(32, int(0.3 * seconds / call_s)))]
    calls = _SingleCalls(predictor, texts, rows)
    batches_s = []
    for _ in range(_BLOCKS):  # single calls and batches take turns, so that a slow spell of the machine meets both
        calls.block(seconds / _BLOCKS)
        started = time.perf_counter()
        predictor.predict_proba(batch)
        batches_s.append(time.perf_counter() - started)
    settled, peak = _resident_bytes(), _peak_bytes()
    first, checks = in_process(predictor.predict_proba, texts[:rows], calls.answers())
    return {
        "n_parameters": predictor.n_parameters,
        "blocks_ms": calls.blocks_ms,
        "cpu_s_per_call": calls.cpu_s / calls.n,
        "wall_s_per_call": calls.wall_s / calls.n,
        "batch_rows": len(batch),
        "batches_s": batches_s,
        "settled_bytes": None if settled is None or baseline is None else settled - baseline,
        "peak_bytes": None if peak is None or baseline is None else peak - baseline,
        "rows": rows,
        "checks": [vars(check) for check in checks],
        "answers": _pack(first),
    }


def _warm_up(predictor: Predictor, texts: Sequence[str], seconds: float) -> float:
    """The median seconds of a single call, after first calls that fill caches and start threads."""
    durations: list[float] = []
    while len(durations) < 3 or (sum(durations) < seconds and len(durations) < 50):
        started = time.perf_counter()
        predictor.predict_proba([texts[len(durations) % len(texts)]])
        durations.append(time.perf_counter() - started)
    return float(np.median(durations))


def _rows_to_compare(n_texts: int, n_classes: int, call_s: float, seconds: float) -> int:
    affordable = int(0.3 * seconds / call_s)
    return max(1, min(n_texts, 200, max(20, affordable), _ANSWERS_AT_MOST // max(1, n_classes)))


class _SingleCalls:
    """Single-row calls in timed blocks, going round the texts, that keep the first answers about the first rows."""

    def __init__(self, predictor: Predictor, texts: Sequence[str], rows: int) -> None:
        self.blocks_ms: list[list[float]] = []
        self.cpu_s = self.wall_s = 0.0
        self.n = 0
        self._predictor, self._texts, self._rows = predictor, texts, rows
        self._answers: list[NDArray[np.float64]] = []

    def block(self, seconds: float) -> None:
        """Call until the time is over, within the bounds on the number of calls."""
        durations: list[float] = []
        least, most = _CALLS_PER_BLOCK
        cpu, wall = time.process_time(), time.perf_counter()
        while len(durations) < least or (time.perf_counter() - wall < seconds and len(durations) < most):
            text = [self._texts[self.n % len(self._texts)]]
            started = time.perf_counter_ns()
            answer = self._predictor.predict_proba(text)
            durations.append((time.perf_counter_ns() - started) / 1e6)
            if len(self._answers) < self._rows:
                self._answers.append(answer)
            self.n += 1
        self.cpu_s += time.process_time() - cpu
        self.wall_s += time.perf_counter() - wall
        self.blocks_ms.append(durations)

    def answers(self) -> NDArray[np.float64]:
        """The (rows, k) answers to the first rows, asked one by one."""
        for text in self._texts[len(self._answers) : self._rows]:
            self._answers.append(self._predictor.predict_proba([text]))
        return np.concatenate(self._answers)


def _resident_bytes() -> int | None:
    status = _status("VmRSS")
    if status is not None:
        return status
    import psutil

    return int(psutil.Process().memory_info().rss)


def _peak_bytes() -> int | None:
    # not getrusage: on Linux its maximum survives exec, and would be the parent's
    return _status("VmHWM") or _resident_bytes()


def _status(field: str) -> int | None:
    """A size from Linux' account of this process, in bytes."""
    try:
        lines = Path("/proc/self/status").read_text(encoding="ascii", errors="replace").splitlines()
    except OSError:
        return None
    sizes = [line.split()[1] for line in lines if line.startswith(field + ":")]
    return int(sizes[0]) * 1024 if sizes else None


def _pack(answers: NDArray[np.float64]) -> dict[str, Any]:
    data = np.ascontiguousarray(answers, dtype="<f8")
    return {"shape": data.shape, "float64": base64.b64encode(data.tobytes()).decode("ascii")}


if __name__ == "__main__":
    main()
