# SPDX-License-Identifier: Apache-2.0
"""What finished fits said of the select rows, so that no fit is ever done twice, in one run or after a kill."""

from __future__ import annotations

from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from bigenough.storage import write_bytes

__all__ = ["FitMemory", "Fitted"]


@dataclass(frozen=True, eq=False)
class Fitted:
    """One finished fit.

    Attributes:
        probability: (n, k) uncalibrated probabilities of the select rows.
        seconds: how long fitting and predicting took.
    """

    probability: NDArray[np.float64]
    seconds: float


@dataclass
class FitMemory:
    """Finished fits by key: in a folder, each file whole or absent; or, without a folder, nowhere.

    The folder belongs to one rung, one seed and one pair of fit and select splits; whoever makes it sees to that.
    """

    folder: Path | None = None
    reused: int = field(default=0, init=False)
    """How many fits were found and not done again."""

    def get(self, key: str) -> Fitted | None:
        """The fit kept under this key; None when there is none or its file cannot be read."""
        path = self._path(key)
        if path is None or not path.is_file():
            return None
        try:
            with np.load(path, allow_pickle=False) as arrays:
                fitted = Fitted(arrays["probability"], float(arrays["seconds"]))
        except (BadZipFile, EOFError, KeyError, OSError, ValueError):
            return None
        self.reused += 1
        return fitted

    def put(self, key: str, fitted: Fitted) -> None:
        """Keep a fit under this key. Raises ``OutOfDisk``."""
        path = self._path(key)
        if path is not None:
            buffer = BytesIO()
            np.savez(buffer, probability=fitted.probability, seconds=np.float64(fitted.seconds))
            write_bytes(path, buffer.getvalue())

    def _path(self, key: str) -> Path | None:
        return None if self.folder is None else self.folder / f"{key}.npz"
