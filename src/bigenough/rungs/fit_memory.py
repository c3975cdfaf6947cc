# SPDX-License-Identifier: Apache-2.0
"""What finished fits said of the select rows, so that no fit is ever done twice, in one run or after a kill."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from io import BytesIO
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from bigenough.rungs.protocol import Predictor
from bigenough.storage import atomic_folder, canonical_json, read_json, write_bytes, write_json

__all__ = ["FitMemory", "Fitted"]

MODEL = "-model"


@dataclass(frozen=True, eq=False)
class Fitted:
    """One finished fit.

    Attributes:
        probability: (n, k) uncalibrated probabilities of the select rows.
        seconds: how long fitting and predicting took.
        settings: what select made of the settings, if the rung watched it; else None.
        record: what the rung told of a watched fit.
        model: where the fitted model is kept, if the rung is a costly one.
    """

    probability: NDArray[np.float64]
    seconds: float
    settings: Mapping[str, Any] | None = None
    record: Mapping[str, Any] = field(default_factory=dict)
    model: Path | None = None


@dataclass
class FitMemory:
    """Finished fits by key: in a folder, each file whole or absent; or, without a folder, nowhere.

    The folder belongs to one rung, one seed and one pair of fit and select splits; whoever makes it sees to that.
    """

    folder: Path | None = None
    reused: int = field(default=0, init=False)
    """How many fits were found and not done again."""
    reused_seconds: float = field(default=0.0, init=False)
    """What those took when they were made."""

    def get(self, key: str) -> Fitted | None:
        """The fit kept under this key; None when there is none or its file cannot be read."""
        fitted = self._read(key)
        if fitted is None or (fitted.model is not None and not fitted.model.is_dir()):
            return None
        self.reused += 1
        self.reused_seconds += fitted.seconds
        return fitted

    def _read(self, key: str) -> Fitted | None:
        path = self._path(key)
        if path is None or not path.is_file():
            return None
        try:
            with np.load(path, allow_pickle=False) as arrays:
                told = json.loads(str(arrays["told"])) if "told" in arrays else {}
                return Fitted(
                    arrays["probability"], float(arrays["seconds"]), told.get("settings"), told.get("record", {}),
                    self.model(key) if told.get("model") else None,
                )  # fmt: skip
        except (BadZipFile, EOFError, KeyError, OSError, ValueError):
            return None

    def put(self, key: str, fitted: Fitted) -> None:
        """Keep a fit under this key. Raises ``OutOfDisk``."""
        path = self._path(key)
        if path is not None:
            buffer = BytesIO()
            told = {"settings": fitted.settings, "record": fitted.record, "model": fitted.model is not None}
            np.savez(
                buffer, probability=fitted.probability, seconds=np.float64(fitted.seconds),
                told=np.array(canonical_json(told)),
            )  # fmt: skip
            write_bytes(path, buffer.getvalue())

    def refused(self, key: str) -> str | None:
        """Why the fit of this key is refused; None where that is not kept."""
        path = self._refusal(key)
        if path is None or not path.is_file():
            return None
        try:
            return str(read_json(path)["refused"])
        except (KeyError, TypeError, ValueError):
            return None

    def put_refused(self, key: str, reason: str) -> None:
        """Keep that the fit of this key is refused, and why. Raises ``OutOfDisk``."""
        path = self._refusal(key)
        if path is not None:
            write_json(path, {"refused": reason})

    def keep_model(self, key: str, predictor: Predictor) -> Path | None:
        """Keep the fitted model itself; where. None without a folder. Raises ``OutOfDisk``.

        One that is there was left by a kill before ``put``: it is another fit's, whose probabilities nobody kept.
        """
        path = self.model(key)
        if path is not None:
            with atomic_folder(path) as made:
                predictor.save(made)
        return path

    def drop_models(self, chosen: Path | None) -> None:
        """Delete every model but the chosen one, and keep what their fits said. Raises ``OutOfDisk``."""
        for path in [] if self.folder is None else sorted(self.folder.glob(f"*{MODEL}")):
            if path == chosen:
                continue
            key = path.name.removesuffix(MODEL)
            if (fitted := self._read(key)) is not None:
                # First, lest a fit whose model is missing is taken for a damaged one and done again.
                self.put(key, replace(fitted, model=None))
            shutil.rmtree(path, ignore_errors=True)

    def drop_checkpoints(self) -> None:
        """Delete what a fit may have left for its own resumption: there is nothing to resume any more."""
        if self.checkpoints is not None:
            shutil.rmtree(self.checkpoints, ignore_errors=True)

    @property
    def checkpoints(self) -> Path | None:
        """Where a fit that takes long may keep its checkpoints."""
        return None if self.folder is None else self.folder / "checkpoints"

    def model(self, key: str) -> Path | None:
        """Where the model of this key is kept, if it is."""
        return None if self.folder is None else self.folder / f"{key}{MODEL}"

    def _refusal(self, key: str) -> Path | None:
        return None if self.folder is None else self.folder / f"{key}-refused.json"

    def _path(self, key: str) -> Path | None:
        return None if self.folder is None else self.folder / f"{key}.npz"
