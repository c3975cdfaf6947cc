# SPDX-License-Identifier: Apache-2.0
"""What the long tables share: each row is made in a process of its own and kept as soon as it is finished.

A table's figures are one dict, a key a row, so that a kill loses at most the row in work. Predictions lie beside them
in the bench's cache, which git does not see; every figure that a table shows is in the JSON.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import sets

HERE = Path(__file__).parent
CACHE = HERE / ".cache"
THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS", "RAYON_NUM_THREADS")


@dataclass(frozen=True)
class Bench:
    """Where the data are, and what a run is allowed.

    Attributes:
        data: the folder of ``sets.load``.
        cache: studies and predictions.
        threads: for every process.
        rows: a small sample of each set, to try the scripts out; None takes the official splits whole.
        minutes: of each rung in a study.
        seeds: how many samples of few labels.
        rungs: those to measure in place of the table's own.
        pythons: by peer, the interpreter of an environment of its own.
        peers: those to measure in place of all.
        trials: settings that a study tries at most; None for its own number.
        turns: of all sets, in which the steps that shrink are timed.
    """

    data: Path
    cache: Path = CACHE
    threads: int = 2
    rows: int | None = None
    minutes: float = 20.0
    seeds: int = 5
    rungs: tuple[str, ...] | None = None
    pythons: dict[str, str] = field(default_factory=dict)
    peers: tuple[str, ...] | None = None
    trials: int | None = None
    turns: int = 5

    def load(self, name: str) -> sets.Split:
        """The official split, or a sample of it with every class in train."""
        split = sets.load(self.data, name)
        if self.rows is None:
            return split
        train = per_class(split.train, max(2, self.rows // split.train["label"].n_unique()), seed=0)
        return sets.Split(name, train, split.test.sample(min(self.rows, len(split.test)), seed=0))

    @property
    def body(self) -> str:
        """The folder of the encoder that all tuned models start from: MiniLM-L6 from its installed package."""
        from bigenough.models import DEFAULT_ENCODER, resolve

        return str(resolve(DEFAULT_ENCODER, cache=self.cache, offline=True).folder)

    def ask(self, script: str, name: str, job: dict[str, Any], *, python: str = sys.executable) -> dict[str, Any]:
        """Run one of this folder's scripts in a process of its own; raises ``Failed`` with its last line."""
        with tempfile.TemporaryDirectory() as folder:
            asked, answer = Path(folder) / "job.json", Path(folder) / "answer.json"
            asked.write_text(json.dumps(job), encoding="utf-8")
            told = dict.fromkeys(THREADS, str(self.threads))
            environment = {**os.environ, **told, "HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"}
            command = [python, str(HERE / script), name, str(asked), str(answer)]
            began = time.perf_counter()
            run = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
            if run.returncode or not answer.exists():
                raise Failed((run.stderr.strip().splitlines() or [f"exit code {run.returncode}"])[-1][:300])
            return {**json.loads(answer.read_text(encoding="utf-8")), "wall_s": time.perf_counter() - began}


class Failed(Exception):
    """A row's process ended without an answer."""


def per_class(frame: pl.DataFrame, n: int, *, seed: int) -> pl.DataFrame:
    """At most n rows of each class, drawn with the seed, classes in alphabetical order."""
    parts = [part.sample(min(n, len(part)), seed=seed, shuffle=True) for part in frame.partition_by("label")]
    return pl.concat(sorted(parts, key=lambda part: part["label"][0]))


def codes(*labels: Sequence[str]) -> list[np.ndarray]:
    """The same labels as whole numbers; the classes are those that occur in any of them."""
    classes = sorted({label for each in labels for label in each})
    places = {label: code for code, label in enumerate(classes)}
    return [np.array([places[label] for label in each], dtype=np.int64) for each in labels]


def quality(gold: Sequence[str], predicted: Sequence[str]) -> dict[str, dict[str, float]]:
    """Accuracy with Wilson's interval, macro F1 with the bootstrap's, both at 95 %."""
    from bigenough.verdict.noninferiority import wilson_interval
    from bigenough.verdict.resampling import resample

    known, said = codes(gold, predicted)
    hits, n = int(np.sum(known == said)), len(known)
    low, high = wilson_interval(hits, n)
    f1 = resample("macro_f1", known, said)
    bounds = [float(np.clip(f1.bound(0.025, tail), 0, 1)) for tail in ("lower", "upper")]
    return {
        "accuracy": {"value": hits / n, "low": low, "high": high},
        "macro_f1": {"value": f1.estimate, "low": bounds[0], "high": bounds[1]},
    }


def difference(metric: str, gold: Sequence[str], one: Sequence[str], other: Sequence[str]) -> dict[str, float]:
    """One model's score minus another's on the same rows: Tango's interval of accuracy, the paired bootstrap of F1."""
    from bigenough.verdict.noninferiority import paired_counts, tango_interval
    from bigenough.verdict.resampling import resample

    known, first, second = codes(gold, one, other)
    if metric == "accuracy":
        b, c = paired_counts(first == known, second == known)
        low, high = tango_interval(b, c, len(known))
        return {"value": (b - c) / len(known), "low": low, "high": high}
    found = resample("macro_f1", known, first, second)
    return {"value": found.estimate, "low": found.bound(0.025, "lower"), "high": found.bound(0.025, "upper")}


def keep(path: Path, gold: Sequence[str], predicted: Sequence[str]) -> None:
    """Store a row's predictions, without pickle."""
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(path, gold=np.array(gold, dtype=str), predicted=np.array(predicted, dtype=str))


def kept(path: Path) -> tuple[list[str], list[str]]:
    """The gold and the predicted labels that ``keep`` stored."""
    with np.load(path, allow_pickle=False) as arrays:
        return arrays["gold"].tolist(), arrays["predicted"].tolist()


def slug(key: str) -> str:
    """A row's key as a file name."""
    return "".join(letter if letter.isalnum() or letter in "-_." else "_" for letter in key)


def percent(figure: dict[str, float], digits: int = 1) -> str:
    """A share with its interval, in points."""
    value, low, high = (100 * figure[part] for part in ("value", "low", "high"))
    return f"{value:.{digits}f} [{low:.1f}, {high:.1f}]"


def megabytes(size: float) -> str:
    return f"{size / 1e6:,.1f}" if size >= 1e5 else f"{size / 1e6:.3f}"
