# SPDX-License-Identifier: Apache-2.0
"""Files that are whole or absent, and the hashes that name them.

Everything bigenough keeps goes through here: a file or folder is written beside its place and renamed into it, so that
a kill at any moment leaves the old state or the new one and never half of either.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import secrets
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any

from bigenough.errors import OutOfDisk, TamperedArtefact

__all__ = [
    "atomic_folder",
    "canonical_json",
    "check_files",
    "content_hash",
    "copy_folder",
    "file_hashes",
    "read_json",
    "sha256_file",
    "sha256_once",
    "user_cache",
    "write_bytes",
    "write_json",
    "write_text",
]

Json = Any


def canonical_json(data: Json) -> str:
    """JSON with one spelling for one value: sorted keys, no spaces, no NaN."""
    return json.dumps(data, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def content_hash(*parts: Json, length: int = 12) -> str:
    """A short hash of JSON values, the same on every machine.

    >>> content_hash({"b": 1, "a": 2}) == content_hash({"a": 2, "b": 1})
    True
    """
    return hashlib.sha256(canonical_json(parts).encode()).hexdigest()[:length]


def sha256_file(path: Path) -> str:
    """The SHA-256 of a file's bytes, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def sha256_once(path: Path) -> str:
    """The same, read once in a process as long as the file's size and time of change stay."""
    found = path.stat()
    return _sha256_of(path, found.st_size, found.st_mtime_ns)


@lru_cache(maxsize=256)
def _sha256_of(path: Path, size: int, changed_ns: int) -> str:
    return sha256_file(path)


def file_hashes(folder: Path, *, leave_out: Sequence[str] = ()) -> dict[str, dict[str, int | str]]:
    """Size and hash of every file below a folder, by its path in it."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    names = [(path.relative_to(folder).as_posix(), path) for path in files]
    return {
        name: {"bytes": path.stat().st_size, "sha256": sha256_file(path)}
        for name, path in names
        if name not in leave_out
    }


def check_files(folder: Path, expected: Mapping[str, Mapping[str, int | str]]) -> None:
    """Raise ``TamperedArtefact`` unless every listed file is there with its size and hash."""
    for name, facts in expected.items():
        path = folder / name
        if not path.resolve().is_relative_to(folder.resolve()):
            raise TamperedArtefact(f"{folder} lists the file {name!r}, which lies outside the folder.")
        if not path.is_file():
            raise TamperedArtefact(f"{path} is missing. Copy the whole folder again from the study that made it.")
        if path.stat().st_size != facts["bytes"] or sha256_file(path) != facts["sha256"]:
            raise TamperedArtefact(
                f"{path} is not the file that was judged (its size or SHA-256 differs). "
                "Copy the whole folder again from the study that made it, or judge the changed model in a new study."
            )


def write_bytes(path: Path, data: bytes) -> None:
    """Put a whole file in place at once."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
    with _say_full(path):
        try:
            with beside.open("wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            beside.replace(path)
        finally:
            beside.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Put a whole UTF-8 text file in place at once."""
    write_bytes(path, text.encode())


def write_json(path: Path, data: Json) -> None:
    """Put a whole JSON file in place at once, readable by people."""
    write_text(path, json.dumps(data, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def read_json(path: Path) -> Json:
    """The value of a JSON file."""
    return json.loads(path.read_text(encoding="utf-8"))


def user_cache(environment: Mapping[str, str]) -> Path:
    """Where what all studies of a user share is kept: ``$BIGENOUGH_CACHE``, else ``bigenough`` in the user's cache.

    >>> user_cache({"BIGENOUGH_CACHE": "/data/cache"}), user_cache({"XDG_CACHE_HOME": "/caches"})
    (PosixPath('/data/cache'), PosixPath('/caches/bigenough'))
    """
    home = environment.get("BIGENOUGH_CACHE") or Path(environment.get("XDG_CACHE_HOME") or "~/.cache") / "bigenough"
    return Path(home).expanduser()


@contextmanager
def atomic_folder(path: Path) -> Iterator[Path]:
    """A scratch folder that takes the place of ``path`` when the block ends well, and vanishes when it does not."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
    with _say_full(path):
        try:
            beside.mkdir()
            yield beside
            if path.exists():
                old = path.with_name(f".{path.name}.{secrets.token_hex(4)}.old")
                path.rename(old)
                beside.rename(path)
                shutil.rmtree(old, ignore_errors=True)
            else:
                beside.rename(path)
        finally:
            shutil.rmtree(beside, ignore_errors=True)


def copy_folder(source: Path, target: Path) -> None:
    """Copy a folder to a new place. What the system raises keeps its number, unlike in ``shutil.copytree``."""
    target.mkdir()
    for path in sorted(source.rglob("*")):
        place = target / path.relative_to(source)
        if path.is_dir():
            place.mkdir()
        else:
            shutil.copyfile(path, place)


@contextmanager
def _say_full(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if isinstance(error, OutOfDisk) or error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise OutOfDisk(
            f"The disk that holds {path.parent} is full. Finished work is kept: "
            "free some space and run the same command again."
        ) from error
