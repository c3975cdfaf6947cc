# SPDX-License-Identifier: Apache-2.0
"""How fast, large and steady a saved model is, measured in fresh processes of its own."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bigenough.errors import InputError, RungFailed
from bigenough.measure.determinism import Check, Determinism, compare
from bigenough.measure.energy import PowerModel
from bigenough.quantity import Quantity, measured, unknown

__all__ = ["LOADER", "Performance", "measure_performance"]

LOADER = "bigenough.rungs.predictors:load_predictor"
"""Who turns a model folder into a predictor in the fresh process, called as ``function(folder, threads=n)``."""

_ROWS_AT_MOST = 512
_THREAD_VARIABLES = (
    *("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "BLIS_NUM_THREADS"),
    *("VECLIB_MAXIMUM_THREADS", "NUMEXPR_NUM_THREADS", "RAYON_NUM_THREADS"),
)


@dataclass(frozen=True)
class Performance:
    """What was measured of one saved model.

    Attributes:
        figures: by name: startup_s, load_s, latency_p50_ms, latency_p95_ms, latency_p99_ms, throughput_rows_per_s,
            memory_mb, size_mb (MB are 10^6 bytes), n_parameters, serve_wh_per_1000, serve_co2e_g_per_1000.
        determinism: whether it says the same thing twice.
    """

    figures: Mapping[str, Quantity]
    determinism: Determinism

    def to_json(self) -> dict[str, Any]:
        """The figures and checks as plain JSON values."""
        figures: dict[str, Any] = {name: quantity.to_json() for name, quantity in self.figures.items()}
        return figures | {"determinism": self.determinism.to_json()}


def measure_performance(
    model: Path,
    texts: Sequence[str],
    *,
    threads: int | None = None,
    power: PowerModel | None = None,
    seconds: float = 1.0,
    loader: str = LOADER,
    timeout_s: float = 600.0,
) -> Performance:
    """Load a saved model in fresh processes, one after the other, and measure it on real rows.

    The first process times single-row calls and batches and asks the same rows again in other ways; the others measure
    start-up and ask once more after a restart and with one thread, two, and as many as the libraries choose.

    Args:
        model: the folder that ``Predictor.save`` wrote.
        texts: rows like those it will serve; at most 512 of them, evenly spaced, are used.
        threads: how many threads it will be served with; None leaves every library its own choice.
        power: what a second of work takes; without it the serving energy is unknown.
        seconds: about how long single-row calls are timed; everything else follows it.
        loader: who loads the folder, as "module:function".
        timeout_s: when a process is given up.

    Raises:
        InputError: there is no text to ask about.
        RungFailed: the model could not be loaded or asked in a process of its own; ends with that process's last lines.
    """
    if not len(texts):
        raise InputError("Measuring a model's speed needs at least one text. Got none.")
    places = np.unique(np.linspace(0, len(texts) - 1, min(len(texts), _ROWS_AT_MOST)).astype(np.int64))
    probe = _Probe(model, [texts[i] for i in places], loader, seconds, timeout_s)
    main = probe.ask(threads)
    first, rows = _unpack(main["answers"]), int(main["rows"])
    others = {"restart": threads, "1 thread": 1, "2 threads": 2, "default threads": None}
    again = {name: probe.ask(n, rows=rows) for name, n in others.items() if name == "restart" or n != threads}
    checks = [Check(**check) for check in main["checks"]]
    checks += [compare(name, first, _unpack(answer["answers"])) for name, answer in again.items()]
    figures = {
        **_start_up(list(again.values())),
        **_speed(main),
        "memory_mb": _memory(main),
        "size_mb": _size(model),
        "n_parameters": measured(main["n_parameters"], "", "counted in the saved model"),
        **_serving_energy(main, power),
    }
    return Performance(figures, Determinism(rows, tuple(checks)))


@dataclass(frozen=True)
class _Probe:
    model: Path
    texts: Sequence[str]
    loader: str
    seconds: float
    timeout_s: float

    def ask(self, threads: int | None, *, rows: int | None = None) -> dict[str, Any]:
        """One process: a whole measurement, or just start-up and the answers about the first ``rows`` rows."""
        request = {
            "model": str(self.model.resolve()),
            "loader": self.loader,
            "threads": threads,
            "seconds": self.seconds,
            "rows": rows,
            "first_text": self.texts[0],
        }
        command = [sys.executable, "-P", "-m", "bigenough.measure.probe"]
        texts = json.dumps(list(self.texts))
        lines = f"{json.dumps({**request, 'started': time.time()})}\n{texts}\n"
        try:
            child = subprocess.run(  # noqa: S603 - this interpreter and this package
                command,
                input=lines.encode("ascii"),
                capture_output=True,
                check=False,
                timeout=self.timeout_s,
                env=_environment(threads),
            )
        except subprocess.TimeoutExpired as error:
            raise RungFailed(
                f"Measuring {self.model} in a fresh process was given up after {self.timeout_s:g} s. "
                "Give it shorter texts, or leave this rung out."
            ) from error
        if child.returncode != 0:
            raise RungFailed(
                f"{self.model} could not be measured in a fresh process (exit code {child.returncode}). "
                f"Its last lines:\n{_last_lines(child.stderr)}"
            )
        answer: dict[str, Any] = json.loads(child.stdout)
        return answer


def _environment(threads: int | None) -> dict[str, str]:
    """The environment of this process with the wished number of threads and with hash seeds drawn anew."""
    left_out = {"PYTHONHASHSEED", *_THREAD_VARIABLES}
    environment = {name: value for name, value in os.environ.items() if name not in left_out}
    if threads is not None:
        environment |= dict.fromkeys(_THREAD_VARIABLES, str(threads))
    home = Path(__file__).resolve().parents[2]
    if home.name not in ("site-packages", "dist-packages"):
        paths = [path for path in (environment.get("PYTHONPATH"), str(home)) if path]
        environment["PYTHONPATH"] = os.pathsep.join(paths)
    return environment


def _last_lines(text: bytes, n: int = 12) -> str:
    lines = text.decode("utf-8", errors="replace").strip().splitlines()
    return "\n".join(f"    {line}" for line in lines[-n:]) or "    (it wrote nothing)"


def _unpack(answers: Mapping[str, Any]) -> NDArray[np.float64]:
    return np.frombuffer(base64.b64decode(answers["float64"]), dtype="<f8").reshape(answers["shape"])


def _start_up(answers: Sequence[Mapping[str, Any]]) -> dict[str, Quantity]:
    n = len(answers)
    return {
        "startup_s": _middle(
            [answer["startup_s"] for answer in answers],
            "s",
            f"from the start of a fresh interpreter to the first prediction; median and extremes of {n} processes",
        ),
        "load_s": _middle(
            [answer["load_s"] for answer in answers],
            "s",
            f"importing what the model needs and loading it; median and extremes of {n} fresh processes",
        ),
    }


def _speed(main: Mapping[str, Any]) -> dict[str, Quantity]:
    blocks = [np.array(block) for block in main["blocks_ms"]]
    calls = np.concatenate(blocks)
    figures = {}
    for percentile in (50, 95, 99):
        value = float(np.percentile(calls, percentile))
        spread = [float(np.percentile(block, percentile)) for block in blocks]
        figures[f"latency_p{percentile}_ms"] = measured(
            value,
            "ms",
            f"{percentile}th percentile of {len(calls)} single-row calls in a fresh process after a warm-up; "
            f"the range is that of {len(blocks)} blocks of calls",
            low=min(value, *spread),
            high=max(value, *spread),
        )
    rates = [main["batch_rows"] / batch_s for batch_s in main["batches_s"]]
    source = f"batches of {main['batch_rows']} rows in a fresh process; median and extremes of {len(rates)}"
    figures["throughput_rows_per_s"] = _middle(rates, "rows/s", source)
    return figures


def _memory(main: Mapping[str, Any]) -> Quantity:
    if main["peak_bytes"] is None:
        return unknown("MB", "this system does not tell a process's memory")
    peak, settled = max(0, main["peak_bytes"]) / 1e6, max(0, main["settled_bytes"]) / 1e6
    source = (
        "highest resident memory of a fresh process that loads the model and asks single rows and batches of "
        f"{main['batch_rows']}, above that of a bare interpreter with numpy; the low end is what it holds between calls"
    )
    return measured(peak, "MB", source, low=min(settled, peak), high=peak)


def _size(model: Path) -> Quantity:
    size = sum(path.stat().st_size for path in model.rglob("*") if path.is_file())
    return measured(size / 1e6, "MB", "bytes of the saved model's files, in 10^6")


def _serving_energy(main: Mapping[str, Any], power: PowerModel | None) -> dict[str, Quantity]:
    if power is None:
        why = "no power model of this machine was given"
        return {"serve_wh_per_1000": unknown("Wh", why), "serve_co2e_g_per_1000": unknown("g CO2e", why)}
    use = power.energy(
        1000 * main["cpu_s_per_call"], 1000 * main["wall_s_per_call"], "1,000 single-row calls in a fresh process"
    )
    return {"serve_wh_per_1000": use.wh, "serve_co2e_g_per_1000": use.co2e_g}


def _middle(values: Sequence[float], unit: str, source: str) -> Quantity:
    return measured(float(np.median(values)), unit, source, low=min(values), high=max(values))
