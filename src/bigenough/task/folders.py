# SPDX-License-Identifier: Apache-2.0
"""Which files of a folder are the training, validation and test rows.

Three shapes are known: what Hugging Face ``datasets`` writes with ``save_to_disk`` (one data set, or one folder a
split), and a folder of files named after their splits, whole or in shards (``train-00000-of-00002.parquet``).
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bigenough.errors import UnreadableTable
from bigenough.task.table import few

__all__ = ["FolderSplits", "Shards", "find_splits"]

_ROLES = {
    "train": "train", "training": "train",
    "validation": "validation", "valid": "validation", "val": "validation", "dev": "validation",
    "test": "test", "testing": "test",
}  # fmt: skip
_ENDINGS = (".csv", ".tsv", ".jsonl", ".ndjson", ".json", ".parquet", ".arrow", ".feather", ".txt")
_SHARD = re.compile(r"-\d{4,5}-of-\d{4,5}.*$")


@dataclass(frozen=True)
class Shards:
    """Files that follow each other, and what Hugging Face says of their columns."""

    name: str
    paths: tuple[Path, ...]
    features: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class FolderSplits:
    """The splits of a folder, and the names of those that have no role here."""

    train: Shards
    validation: Shards | None = None
    test: Shards | None = None
    unused: tuple[str, ...] = ()


def find_splits(folder: Path, where: str) -> FolderSplits:
    """The files of each split.

    Raises:
        UnreadableTable: no training rows can be told among the folder's files.
    """
    if (folder / "dataset_dict.json").is_file():
        names = _json(folder / "dataset_dict.json").get("splits", [])
        return _by_role({str(name): _saved(folder / str(name), str(name)) for name in names}, where)
    if (folder / "state.json").is_file():
        return FolderSplits(_saved(folder, folder.name))
    files = sorted(path for path in folder.rglob("*") if _is_table(path, folder))
    parts: dict[str, list[Path]] = {}
    for path in files:
        parts.setdefault(_SHARD.sub("", Path(path.name.removesuffix(".gz")).stem), []).append(path)
    if len(files) == 1:
        return FolderSplits(Shards(files[0].name, (files[0],)))
    doubled = [name for name, paths in parts.items() if len({(path.parent, path.suffixes[-1]) for path in paths}) > 1]
    if doubled:
        raise UnreadableTable(
            f"{where} holds {few([str(path.relative_to(folder)) for path in parts[doubled[0]]])}, and it is not plain "
            "which to read. Name one file."
        )
    return _by_role({name: Shards(name, tuple(paths)) for name, paths in parts.items()}, where)


def _is_table(path: Path, folder: Path) -> bool:
    parts = path.relative_to(folder).parts
    if len(parts) > 2 or any(part.startswith((".", "_")) for part in parts):
        return False
    name = path.name.lower().removesuffix(".gz")
    return path.is_file() and name.endswith(_ENDINGS) and name not in {"meta.json", "dataset_info.json", "readme.txt"}


def _by_role(parts: Mapping[str, Shards], where: str) -> FolderSplits:
    roles: dict[str, Shards] = {}
    unused = []
    for name, shards in parts.items():
        role = _ROLES.get(name.lower())
        if role is None or role in roles:
            unused.append(name)
        else:
            roles[role] = shards
    if "train" not in roles:
        raise UnreadableTable(
            f"{where} is a folder with {few(sorted(parts)) or 'no table'}: no training table can be told. "
            "Name one file, or call it train.csv (and test.csv, validation.csv)."
        )
    return FolderSplits(roles["train"], roles.get("validation"), roles.get("test"), tuple(unused))


def _saved(folder: Path, name: str) -> Shards:
    """The files of one ``save_to_disk`` folder, in the order that its state names."""
    state = _json(folder / "state.json")
    names = [str(entry["filename"]) for entry in state.get("_data_files", [])]
    paths = tuple(folder / file for file in names)
    missing = [str(path) for path in paths if path.parent != folder or not path.is_file()]
    if missing or not paths:
        raise UnreadableTable(f"{folder} names data files that are not there: {few(missing) or 'none at all'}.")
    info = folder / "dataset_info.json"
    features = _json(info).get("features") if info.is_file() else None
    return Shards(name, paths, features or {})


def _json(path: Path) -> Mapping[str, Any]:
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UnreadableTable(f"{path} cannot be read: {error}. Save the data set again.") from error
    return value if isinstance(value, dict) else {}
