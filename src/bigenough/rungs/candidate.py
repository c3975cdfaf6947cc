# SPDX-License-Identifier: Apache-2.0
"""A rung fitted to a task, on disk: searched, calibrated, refitted, saved, and from then on judged only from its files.

How it is made is told in ``making``. The certify split is not an argument of anything in this module either.
"""

from __future__ import annotations

import inspect
import platform
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from functools import cached_property
from importlib.metadata import PackageNotFoundError, packages_distributions, version
from io import BytesIO
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from bigenough.errors import RungFailed
from bigenough.rungs.calibration import temper
from bigenough.rungs.fit_memory import FitMemory
from bigenough.rungs.making import Budget, Found, Made, Making
from bigenough.rungs.predictors import load_predictor
from bigenough.rungs.protocol import Predictor, Rung, Workbench, is_remote
from bigenough.rungs.shared_energy import Energy, added, told, without
from bigenough.storage import (
    atomic_folder,
    content_hash,
    copy_folder,
    file_hashes,
    read_json,
    sha256_file,
    write_bytes,
    write_json,
)
from bigenough.task import Examples, Task
from bigenough.task.metrics import accuracy, balanced_accuracy, calibration_error, log_loss, macro_f1

__all__ = ["Budget", "Candidate", "Found", "Meter", "Predictions", "candidate_key", "make_candidate"]

CODE_PACKAGES = ("rungs", "models", "llama", "chat", "shrink", "task/metrics.py")
ON_FIT = "on-fit"
LIBRARIES = ("numpy", "scipy", "scikit-learn", "onnxruntime", "tokenizers", "optuna")


class Reading(Protocol):
    """Energy counted while a block ran, as JSON values."""

    def to_json(self) -> Mapping[str, Any]:
        """``wh`` and ``co2e_g``, each with its provenance."""
        ...


Meter = Callable[[], AbstractContextManager[Reading]]


@dataclass(frozen=True, eq=False)
class Predictions:
    """What one model said about n rows.

    Attributes:
        gold: (n,) codes.
        predicted: (n,) codes.
        probability: (n, k) class probabilities.
        positions: (n,) places of these rows in their split, in the order of asking, where only some were asked; None
            for all rows in their order.
    """

    gold: NDArray[np.int64]
    predicted: NDArray[np.int64]
    probability: NDArray[np.float64]
    positions: NDArray[np.int64] | None = None

    @classmethod
    def of(
        cls,
        gold: NDArray[np.int64],
        probability: NDArray[np.float64],
        positions: NDArray[np.int64] | None = None,
    ) -> Predictions:
        """The predictions that these probabilities make: the most likely class, the first on a tie."""
        return cls(gold, probability.argmax(axis=1).astype(np.int64), probability, positions)

    def save(self, path: Path) -> None:
        """Write them as one .npz file, without pickle."""
        buffer = BytesIO()
        arrays: dict[str, Any] = {"gold": self.gold, "predicted": self.predicted, "probability": self.probability}
        if self.positions is not None:
            arrays["positions"] = self.positions
        np.savez_compressed(buffer, **arrays)
        write_bytes(path, buffer.getvalue())

    @classmethod
    def load(cls, path: Path) -> Predictions:
        """Read what ``save`` wrote."""
        with np.load(path, allow_pickle=False) as arrays:
            return cls(arrays["gold"], arrays["predicted"], arrays["probability"], arrays.get("positions"))

    def scores(self) -> dict[str, float]:
        """Every score of these predictions, without intervals."""
        return {
            "accuracy": accuracy(self.gold, self.predicted),
            "balanced_accuracy": balanced_accuracy(self.gold, self.predicted),
            "macro_f1": macro_f1(self.gold, self.predicted),
            "log_loss": log_loss(self.gold, self.probability),
            "calibration_error": calibration_error(self.gold, self.probability),
        }


@dataclass(frozen=True)
class Candidate:
    """A fitted rung in its folder."""

    folder: Path

    @property
    def name(self) -> str:
        """Its name in the study."""
        return str(self.record["name"])

    @property
    def model(self) -> Path:
        """The predictor's own files: what is measured, judged and shipped."""
        return self.folder / "model"

    @property
    def on_fit(self) -> Path:
        """The files of the model that saw fit alone; there for costly rungs only."""
        return self.folder / ON_FIT

    @cached_property
    def record(self) -> dict[str, Any]:
        """The content of candidate.json."""
        record: dict[str, Any] = read_json(self.folder / "candidate.json")
        return record

    @property
    def rung(self) -> str:
        """The rung it was made by."""
        return str(self.record["rung"])

    @property
    def remote(self) -> bool:
        """Whether the model runs elsewhere, behind an endpoint, and each question may cost money."""
        return bool(self.record.get("remote", False))

    @property
    def size_bytes(self) -> int | None:
        """Bytes of the model's files on disk; None for one that runs elsewhere."""
        size = self.record["size_bytes"]
        return None if size is None else int(size)

    @property
    def serving_bytes(self) -> float:
        """The size by which candidates are ordered: what runs elsewhere counts as larger than anything here."""
        return float("inf") if self.size_bytes is None else float(self.size_bytes)

    def predictor(self, threads: int | None) -> Predictor:
        """The model, loaded from its files."""
        return load_predictor(self.model, threads=threads)

    def predictions(self, split: str) -> Predictions:
        """Its stored predictions on "select" (before the refit) or "certify"."""
        return Predictions.load(self.folder / f"{split}.npz")

    def has(self, name: str) -> bool:
        """Whether one of its files was finished."""
        return (self.folder / name).exists()


def candidate_key(rung: Rung, data: str, task: Task, budget: Budget, weights: Mapping[str, str], seed: int) -> str:
    """The hash of everything that decides what a rung becomes: data, task, settings to search, weights and code."""
    source = inspect.getsourcefile(type(rung))
    return content_hash(
        {
            "rung": rung.name,
            "version": rung.version,
            "data": data,
            "metric": task.metric,
            "budget": [budget.trials, budget.minutes],
            # Where weights came from does not matter, and changes once a download lies in a cache; nor what is said of
            # that.
            "weights": {name: value for name, value in weights.items() if name not in ("source", "note")},
            "made_from": getattr(rung, "made_from", None),
            "allowed": getattr(rung, "allowed_flips", None),
            "seed": seed,
            "code": _code_hash(),
            "recipe": sha256_file(Path(source)) if source else "",
            "libraries": {name: _version(name) for name in (*LIBRARIES, *getattr(rung, "requires", ()))},
            "machine": platform.machine(),
        }
    )


def _version(module: str) -> str:
    """Of the distribution of this name, else of those that bring such a module (scikit-learn brings sklearn)."""
    try:
        return version(module)
    except PackageNotFoundError:
        return ", ".join(f"{name} {version(name)}" for name in sorted(set(packages_distributions().get(module, ()))))


def _code_hash() -> str:
    root = Path(__file__).parents[1]
    files: list[Path] = []
    for part in CODE_PACKAGES:
        path = root / part
        files += [path] if path.is_file() else sorted(path.rglob("*.py"))
    return content_hash([[path.relative_to(root).as_posix(), sha256_file(path)] for path in files])


def make_candidate(
    rung: Rung,
    folder: Path,
    *,
    fit: Examples,
    select: Examples,
    task: Task,
    budget: Budget,
    bench: Workbench,
    meter: Meter,
    memory: FitMemory,
    searched: Found | None = None,
) -> Candidate:
    """Search, calibrate, refit and save one rung into ``folder``; found whole, it is returned as it is.

    A kill at any moment leaves no half-made candidate, and the fits that were finished are found in ``memory``.
    ``searched`` is what a search over all rungs found for this one; None searches here.
    """
    if (folder / "candidate.json").exists():
        memory.drop_checkpoints()
        return Candidate(folder)
    bench = replace(bench, metric=task.metric)
    weights = rung.weights(bench)
    making = Making(rung, fit, select, task, budget, bench, memory, searched).allowed()
    try:
        with meter() as reading:
            made = making.made()
    except RungFailed:
        memory.drop_checkpoints()
        raise
    said = Predictions.of(select.labels, temper(made.found.select_probability, made.temperature))
    energy = _energy(reading, memory.reused, searched)
    made = _compared(rung, made, select, bench)
    _write(folder, rung, made, said, weights, energy)
    memory.drop_models(made.found.model)
    memory.drop_checkpoints()
    return Candidate(folder)


def _compared(rung: Rung, made: Made, select: Examples, bench: Workbench) -> Made:
    """The same, with what the shipped model was held against in the refit's record, where the rung does so."""
    asked: Callable[..., Mapping[str, Any]] | None = getattr(rung, "parity", None)
    if asked is None:
        return made
    export = asked(made.refit.predictor, select.texts, bench)
    return replace(made, refit=made.refit._replace(record={**made.refit.record, "export": export}))


def _write(
    folder: Path, rung: Rung, made: Made, said: Predictions, weights: Mapping[str, str], energy: Mapping[str, Any]
) -> None:
    """Put the whole candidate in place at once."""
    with atomic_folder(folder) as scratch:
        (scratch / "model").mkdir()
        made.refit.predictor.save(scratch / "model")
        if made.found.model is not None:
            copy_folder(made.found.model, scratch / ON_FIT)
        files = file_hashes(scratch / "model")
        said.save(scratch / "select.npz")
        write_json(scratch / "candidate.json", _record(rung, made, said, files, weights, energy))


def _record(
    rung: Rung,
    made: Made,
    said: Predictions,
    files: Mapping[str, Mapping[str, Any]],
    weights: Mapping[str, str],
    energy: Mapping[str, Any],
) -> dict[str, Any]:
    """The content of candidate.json."""
    found, refit, remote = made.found, made.refit, is_remote(made.refit.predictor)
    return {
        "name": rung.name,
        "rung": rung.name,
        "version": rung.version,
        "summary": rung.summary,
        "place": rung.place,
        "settings": dict(found.settings),
        "trials": [trial.to_json() for trial in found.trials],
        "record": dict(found.record),
        "refit_record": dict(refit.record),
        "made_from": getattr(rung, "made_from", None),
        "select": said.scores(),
        "learning_curve": [point.to_json() for point in made.curve],
        "temperature": made.temperature,
        "n_parameters": refit.predictor.n_parameters,
        "remote": remote,
        "size_bytes": None if remote else sum(int(facts["bytes"]) for facts in files.values()),
        "files": files,
        "weights": dict(weights),
        "fit_rows": made.fit_rows,
        "fit_seconds": made.fit_seconds,
        "search_seconds": found.seconds,
        "curve_seconds": made.curve_seconds,
        "energy": energy,
    }


def _energy(reading: Reading, reused: int, searched: Found | None) -> Energy:
    """The reading, with its share of a common search; it says so when fits of an earlier run are missing from it."""
    energy: Energy = reading.to_json()
    if searched is None:
        return without(energy, reused)
    if searched.energy.energy is not None:
        energy = told(added(energy, searched.energy.energy), "with its share, by time, of the search over all rungs")
    return without(energy, searched.energy.unmetered)
