# SPDX-License-Identifier: Apache-2.0
"""From a path or an object to a table: the one door for the user's data.

A file's first bytes decide what it is, its name only where they cannot. Nothing is dropped silently: what was decided
and which rows could not be read stands in the table.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import zlib
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from bigenough.errors import UnreadableTable
from bigenough.task.delimited import read_delimited
from bigenough.task.encoding import decode
from bigenough.task.folders import Shards, find_splits
from bigenough.task.frames import frame_hash, from_object, from_polars
from bigenough.task.jsonlines import read_json_table
from bigenough.task.table import LeftOut, Table, few

if TYPE_CHECKING:
    import polars as pl

__all__ = ["LeftOut", "Table", "Tables", "read_splits", "read_table"]

_JSON = {".json", ".jsonl", ".ndjson"}


@dataclass(frozen=True, eq=False)
class Tables:
    """A source's rows to learn from, and its official test rows if it brings some.

    Attributes:
        table: the training rows, followed by the validation rows if there are some.
        test: the official test rows, or None.
    """

    table: Table
    test: Table | None = None


def read_table(source: object, *, name: str | None = None, named: Collection[str] = ()) -> Table:
    """The table in a file, folder or object in memory.

    Args:
        source: a path to CSV, TSV, text, JSON lines, JSON, Parquet, Arrow or Feather (any of them gzipped), to a
            Hugging Face datasets folder or a folder of split files; or a pandas or polars frame, a dict of lists, a
            list of dicts.
        name: what messages and reports call the source; its path by default.
        named: columns that the user speaks of, which tell a header from a row.

    Raises:
        UnreadableTable: there is nothing there, or it is no table, or most of it cannot be read.

    >>> table = read_table({"text": ["hello", "bye"], "label": ["greet", "part"]})
    >>> len(table), table.frame.columns
    (2, ['text', 'label'])
    """
    tables = read_splits(source, name=name, named=named)
    if tables.test is None:
        return tables.table
    unused = f"The {len(tables.test):,} rows of the test split ({tables.test.source}) are not read here."
    return replace(tables.table, decisions=(*tables.table.decisions, unused))


def read_splits(source: object, *, name: str | None = None, named: Collection[str] = ()) -> Tables:
    """The training table and, where the source is a folder that has one, the official test table.

    Raises:
        UnreadableTable: as ``read_table``.
    """
    if isinstance(source, str | Path):
        path = Path(source).expanduser()
        if path.is_dir():
            return _read_folder(path, name or str(source), named)
        return Tables(_read_file(path, name or str(source), named))
    frame, duplicated, nested = from_object(source)
    kind = name or f"a {type(source).__module__.split('.')[0]} {type(source).__name__}".replace("builtins ", "")
    return Tables(_in_memory(frame, kind, frame_hash(frame), duplicated=duplicated, nested=nested))


def _in_memory(
    frame: pl.DataFrame,
    where: str,
    sha256: str,
    *,
    decisions: tuple[str, ...] = (),
    duplicated: tuple[str, ...] = (),
    nested: tuple[str, ...] = (),
) -> Table:
    if frame.width == 0 or len(frame) == 0:
        raise UnreadableTable(f"{where} has {frame.width} columns and no rows. At least one row was expected.")
    rows = np.arange(1, len(frame) + 1, dtype=np.int64)
    if nested:
        decisions = (*decisions, f"The columns {few(nested)} hold lists or objects: read as JSON text.")
    return Table(frame, rows, where, sha256, decisions, (), duplicated, nested)


def _read_file(path: Path, where: str, named: Collection[str]) -> Table:
    data = _bytes(path, where)
    sha256 = hashlib.sha256(data).hexdigest()
    suffix = path.suffix.lower()
    if data.startswith(b"\x1f\x8b"):
        data = _unzipped(data, where)
        suffix = Path(path.stem).suffix.lower() if suffix == ".gz" else suffix
    if data.startswith((b"PAR1", b"ARROW1", b"\xff\xff\xff\xff")):
        frame, decisions, nested = _columnar(data, where)
        return _in_memory(frame, where, sha256, decisions=decisions, nested=nested)
    text = decode(data, where=where)
    if suffix in _JSON:
        table = read_json_table(text, where=where, sha256=sha256, lines=suffix != ".json")
    else:
        table = read_delimited(text, where=where, suffix=suffix, sha256=sha256, named=named)
    if not len(table):
        raise UnreadableTable(f"{where} has a header ({few(table.frame.columns)}) and no rows.")
    return table


def _bytes(path: Path, where: str) -> bytes:
    if not path.exists():
        there = [other.name for other in path.parent.iterdir()] if path.parent.is_dir() else []
        close = get_close_matches(path.name, there, n=3, cutoff=0.6)
        hint = f" Did you mean {few(close)}?" if close else " Check the path; the current folder is where it starts."
        raise UnreadableTable(f"There is no file {where}.{hint}")
    try:
        return path.read_bytes()
    except OSError as error:
        raise UnreadableTable(f"{where} cannot be opened: {error.strerror or error}.") from error


def _unzipped(data: bytes, where: str) -> bytes:
    try:
        return gzip.decompress(data)
    except (OSError, EOFError, zlib.error) as error:
        raise UnreadableTable(f"{where} is not a whole gzip file: {error}. Copy or download it again.") from error


def _columnar(data: bytes, where: str) -> tuple[pl.DataFrame, tuple[str, ...], tuple[str, ...]]:
    """A frame from Parquet or Arrow bytes, with the class names that Hugging Face keeps in Parquet's metadata."""
    import polars as pl

    features: Mapping[str, Any] = {}
    try:
        if data.startswith(b"PAR1"):
            frame = pl.read_parquet(io.BytesIO(data))
            kept = pl.read_parquet_metadata(io.BytesIO(data)).get("huggingface")
            features = json.loads(kept).get("info", {}).get("features", {}) if kept else {}
        elif data.startswith(b"ARROW1"):
            frame = pl.read_ipc(io.BytesIO(data))
        else:
            frame = pl.read_ipc_stream(io.BytesIO(data))
    except (pl.exceptions.PolarsError, OSError, ValueError) as error:
        raise UnreadableTable(f"{where} is damaged or not whole: {error}. Write or download it again.") from error
    frame, nested = from_polars(frame)
    frame, decisions = _class_names(frame, features)
    return frame, decisions, nested


def _class_names(frame: pl.DataFrame, features: Mapping[str, Any]) -> tuple[pl.DataFrame, tuple[str, ...]]:
    """Names in the place of Hugging Face's class codes; −1, which means unknown, becomes missing."""
    import polars as pl

    decisions = []
    for name, feature in features.items():
        if not isinstance(feature, Mapping) or feature.get("_type") != "ClassLabel" or name not in frame.columns:
            continue
        names = [str(one) for one in feature.get("names") or []]
        if not names or not frame.schema[name].is_integer():
            continue
        codes = pl.Series(range(len(names)), dtype=pl.Int64)
        mapped = frame[name].replace_strict(codes, pl.Series(names), default=None, return_dtype=pl.String)
        frame = frame.with_columns(mapped.alias(name))
        decisions.append(f"The codes in {name!r} are replaced by the {len(names)} class names kept with the data.")
    return frame, tuple(decisions)


def _read_folder(path: Path, where: str, named: Collection[str]) -> Tables:
    splits = find_splits(path, where)
    train = _read_shards(splits.train, f"{where}/{splits.train.name}" if splits.test else where, named)
    if splits.validation is not None:
        train = _joined(train, _read_shards(splits.validation, f"{where}/{splits.validation.name}", named))
    test = None if splits.test is None else _read_shards(splits.test, f"{where}/{splits.test.name}", named)
    if splits.unused:
        said = f"The folder also holds {few(splits.unused)}: not read."
        train = replace(train, decisions=(*train.decisions, said))
    return Tables(train, test)


def _read_shards(shards: Shards, where: str, named: Collection[str]) -> Table:
    """One table of several files that follow each other."""
    import polars as pl

    tables = [_read_file(path, str(path), named) for path in shards.paths]
    if len(tables) == 1 and not shards.features:
        return replace(tables[0], source=where)
    if any(table.unreadable for table in tables):
        bad = [table.source for table in tables if table.unreadable]
        raise UnreadableTable(f"{few(bad)} has rows that cannot be read. Read it alone to see which, and mend them.")
    try:
        frame = pl.concat([table.frame for table in tables], how="vertical_relaxed")
    except pl.exceptions.PolarsError as error:
        raise UnreadableTable(f"The files of {where} have different columns: {error}.") from error
    frame, decisions = _class_names(frame, shards.features)
    sha256 = hashlib.sha256("".join(table.sha256 for table in tables).encode()).hexdigest()
    said = tuple(dict.fromkeys(line for table in tables for line in table.decisions))
    return _in_memory(frame, where, sha256, decisions=(*said, *decisions), nested=tables[0].nested)


def _joined(train: Table, more: Table) -> Table:
    """Training rows followed by validation rows, whose numbers go on where the training rows' end."""
    import polars as pl

    if set(train.frame.columns) != set(more.frame.columns):
        said = f"The columns of {more.source} differ from those of {train.source}: its rows are left aside."
        return replace(train, decisions=(*train.decisions, said))
    start = train.n_rows
    moved = tuple(LeftOut(part.reason, part.rows + start) for part in more.unreadable)
    said = (
        f"The {len(more):,} rows of {more.source} stand behind the training rows, numbered from {start + 1:,} on; "
        "fit and select are drawn out of both."
    )
    return replace(
        train,
        frame=pl.concat([train.frame, more.frame.select(train.frame.columns)], how="vertical_relaxed"),
        rows=np.concatenate([train.rows, more.rows + start]),
        sha256=hashlib.sha256((train.sha256 + more.sha256).encode()).hexdigest(),
        decisions=(*dict.fromkeys((*train.decisions, *more.decisions)), said),
        unreadable=(*train.unreadable, *moved),
    )
