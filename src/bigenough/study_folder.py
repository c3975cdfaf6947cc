# SPDX-License-Identifier: Apache-2.0
"""One study on disk: where each file lies, who may write, and whether a folder may be resumed."""

from __future__ import annotations

import fcntl
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from bigenough.errors import StudyMismatch
from bigenough.storage import read_json, write_bytes, write_json
from bigenough.task import Examples
from bigenough.task.splits import Splits

__all__ = ["FORMAT", "StudyFolder"]

FORMAT = 1


@dataclass(frozen=True)
class StudyFolder:
    """The paths of a study, and the rule that finished work is found again and never overwritten."""

    path: Path

    @property
    def candidates(self) -> Path:
        """One folder a candidate."""
        return self.path / "candidates"

    @property
    def specialist(self) -> Path:
        """The packaged winner."""
        return self.path / "specialist"

    @property
    def report(self) -> Path:
        """The page."""
        return self.path / "report.html"

    def open(self, identity: Mapping[str, Any], facts: Mapping[str, Any]) -> None:
        """Create the folder, or resume the study in it; raise ``StudyMismatch`` when it holds anything else.

        ``identity`` is what makes it this study and no other: data, options. ``facts`` are written beside it once.
        """
        if (self.path / "study.json").exists():
            self._check_same(identity)
            return
        if self.path.exists() and any(entry.name != ".lock" for entry in self.path.iterdir()):
            raise StudyMismatch(
                f"{self.path} exists, is not empty and holds no study.json, so it is left as it is. "
                "Name another folder (--out DIR)."
            )
        write_json(self.path / "study.json", {"format": FORMAT, **facts, "identity": dict(identity)})

    def _check_same(self, identity: Mapping[str, Any]) -> None:
        held = self.read("study.json")
        if held.get("format") != FORMAT:
            raise StudyMismatch(
                f"{self.path} holds a study in format {held.get('format')!r}; this bigenough reads format {FORMAT}. "
                "Name another folder (--out DIR)."
            )
        differing = sorted(key for key in identity if held["identity"].get(key) != identity[key])
        if differing:
            told = "; ".join(f"{key}: {held['identity'].get(key)!r} there, {identity[key]!r} now" for key in differing)
            raise StudyMismatch(
                f"{self.path} holds a study of other data or options ({told}) and is never overwritten. "
                "Name another folder (--out DIR), or leave --out away to get one of its own."
            )

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Keep a second process from writing into the same study; freed by the system when the process ends."""
        self.path.mkdir(parents=True, exist_ok=True)
        with (self.path / ".lock").open("w") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise StudyMismatch(
                    f"Another process is working on {self.path}. Wait for it, or name another folder (--out DIR)."
                ) from None
            self._sweep()
            yield

    def _sweep(self) -> None:
        """Remove what a kill left half written; only whoever holds the lock may."""
        for pattern in (".*.tmp", ".*.old"):
            for left in self.path.rglob(pattern):
                if left.is_dir():
                    shutil.rmtree(left, ignore_errors=True)
                else:
                    left.unlink(missing_ok=True)

    def read(self, name: str) -> Any:
        """The value of one of the study's JSON files."""
        return read_json(self.path / name)

    def has(self, name: str) -> bool:
        """Whether that file was finished."""
        return (self.path / name).exists()

    def write(self, name: str, data: Any) -> None:
        """Finish one of the study's JSON files."""
        write_json(self.path / name, data)

    def write_data(self, examples: Examples, classes: tuple[str, ...], splits: Splits) -> None:
        """Keep the rows as they are used, and which split each is in."""
        columns: dict[str, Any] = {
            "row": examples.rows,
            "text": list(examples.texts),
            "label": [classes[code] for code in examples.labels],
        }
        if examples.groups is not None:
            columns["group"] = examples.groups
        split = np.empty(len(examples), dtype=object)
        for name in ("fit", "select", "certify"):
            split[getattr(splits, name)] = name
        frame = pl.DataFrame({**columns, "split": split.tolist()})
        write_bytes(self.path / "examples.parquet", _parquet(frame))


def _parquet(frame: pl.DataFrame) -> bytes:
    from io import BytesIO

    buffer = BytesIO()
    frame.write_parquet(buffer)
    return buffer.getvalue()
