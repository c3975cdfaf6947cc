# SPDX-License-Identifier: Apache-2.0
"""One study on disk: where each file lies, who may write, and whether a folder may be resumed."""

from __future__ import annotations

import fcntl
import re
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

_HALF_WRITTEN = re.compile(r"\.(?P<name>.+)\.[0-9a-f]{8}\.(?P<kind>tmp|old)")
"""The names that ``storage`` gives to what is not in place yet, or no longer."""
_UNTIL_PLANNED = ("against", "unlabelled")
"""What may still be chosen otherwise as long as plan.json is not written, since certify is closed until then."""
_ONCE_FINISHED = ("unlabelled",)
"""What may be other than it was once the verdict is there, since it changes no model any more."""
_OURS = re.compile(r"\.lock|\.study\.json\.[0-9a-f]{8}\.tmp")
"""What a kill before the first finished file may leave in a study's folder."""


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

    def check(self, identity: Mapping[str, Any]) -> None:
        """Raise ``StudyMismatch`` unless the folder is new, empty or this very study's; touches nothing."""
        if (self.path / "study.json").exists():
            self._check_same(identity)
        elif self.path.exists() and any(not _OURS.fullmatch(entry.name) for entry in self.path.iterdir()):
            raise StudyMismatch(
                f"{self.path} exists, is not empty and holds no study.json, so it is left as it is. "
                "Name another folder (--out DIR)."
            )

    @contextmanager
    def opened(self, identity: Mapping[str, Any], facts: Mapping[str, Any]) -> Iterator[None]:
        """Create the study or resume it, and keep every other process out of it while the block runs.

        ``identity`` is what makes it this study and no other: data, splits, options. Whom the others are held against
        and the unlabelled texts may change until plan.json is written. ``facts`` are written beside it once.

        Raises:
            StudyMismatch: the folder holds anything else, or another process works in it; nothing was touched.
        """
        self.check(identity)
        with self._lock():
            self.check(identity)
            self._mend()
            if not self.has("study.json"):
                write_json(self.path / "study.json", {"format": FORMAT, **facts, "identity": dict(identity)})
            else:
                self._change(identity, facts)
            yield

    def _change(self, identity: Mapping[str, Any], facts: Mapping[str, Any]) -> None:
        """Write down what is chosen otherwise now, and whom the others were held against before."""
        held = self.read("study.json")
        if self.has("plan.json") or held["identity"] == identity:
            return
        now = {"options": facts["options"], "identity": dict(identity)}
        before = held["identity"].get("against")
        if before != identity.get("against"):
            now["against_before"] = [*held.get("against_before", ()), before]
        self.write("study.json", {**held, **now})

    def _check_same(self, identity: Mapping[str, Any]) -> None:
        held = self.read("study.json")
        if held.get("format") != FORMAT:
            raise StudyMismatch(
                f"{self.path} holds a study in format {held.get('format')!r}; this bigenough reads format {FORMAT}. "
                "Name another folder (--out DIR)."
            )
        there = held["identity"]
        free = _ONCE_FINISHED if self.has("verdict.json") else () if self.has("plan.json") else _UNTIL_PLANNED
        differing = sorted(
            key for key in {*identity, *there} if there.get(key) != identity.get(key) and key not in free
        )
        if differing:
            told = "; ".join(f"{key}: {there.get(key)!r} there, {identity.get(key)!r} now" for key in differing)
            raise StudyMismatch(
                f"{self.path} holds a study of other data or options ({told}) and is never overwritten. "
                "Name another folder (--out DIR), or leave --out away to get one of its own."
            )

    @contextmanager
    def _lock(self) -> Iterator[None]:
        """Freed by the system when the process ends, however it ends."""
        self.path.mkdir(parents=True, exist_ok=True)
        with (self.path / ".lock").open("w") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise StudyMismatch(
                    f"Another process is working on {self.path}. Wait for it, or name another folder (--out DIR)."
                ) from None
            yield

    def _mend(self) -> None:
        """Put back what a kill left between two names, and remove what it left half written."""
        for left in sorted(self.path.rglob(".*")):
            found = _HALF_WRITTEN.fullmatch(left.name)
            if found is None:
                continue
            whole = left.with_name(found["name"])
            if found["kind"] == "old" and not whole.exists():
                left.rename(whole)
            elif left.is_dir():
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
        if splits.units is not None:
            columns["unit"] = splits.units
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
