# SPDX-License-Identifier: Apache-2.0
"""From values in memory to a table's columns: pandas and polars frames, lists of rows, columns of lists.

pandas is read through its own methods, column by column, so that neither pandas nor pyarrow is imported here.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from bigenough.errors import UnreadableTable
from bigenough.task.table import unique_names

if TYPE_CHECKING:
    import polars as pl

__all__ = ["column", "frame_hash", "from_columns", "from_object", "from_polars", "from_records"]


def from_object(source: object) -> tuple[pl.DataFrame, tuple[str, ...], tuple[str, ...]]:
    """The frame of an object in memory, its doubled names and its nested columns.

    Takes a polars or pandas frame, anything that offers an Arrow stream, a dict of lists, a list of dicts.

    Raises:
        UnreadableTable: it is none of these, or its columns differ in length.
    """
    import polars as pl

    if isinstance(source, pl.LazyFrame):
        source = source.collect()
    if isinstance(source, pl.DataFrame):
        frame, nested = from_polars(source)
        return frame, (), nested
    if type(source).__module__.startswith("pandas") and hasattr(source, "iloc"):
        return _from_pandas(source)
    if hasattr(source, "__arrow_c_stream__"):
        frame, nested = from_polars(pl.DataFrame(source))
        return frame, (), nested
    if isinstance(source, Mapping):
        return from_columns([str(name) for name in source], [list(values) for values in source.values()])
    if isinstance(source, Sequence) and not isinstance(source, str | bytes):
        if all(isinstance(row, Mapping) for row in source):
            return from_records(source)
        raise UnreadableTable("The list holds other things than rows. A list of dicts, one a row, was expected.")
    raise UnreadableTable(
        f"A {type(source).__name__} cannot be read as a table. Give a path, a pandas or polars frame, "
        "a dict of lists or a list of dicts."
    )


def from_polars(frame: pl.DataFrame) -> tuple[pl.DataFrame, tuple[str, ...]]:
    """The frame with plain column types, and the names of the columns that held lists or objects."""
    import polars as pl

    nested = tuple(name for name, dtype in frame.schema.items() if dtype.is_nested() or dtype == pl.Object)
    changes: list[pl.Expr | pl.Series] = []
    for name, dtype in frame.schema.items():
        if name in nested:
            changes.append(column(name, [_json(value) for value in frame[name].to_list()]))
        elif dtype in (pl.Categorical, pl.Enum, pl.Time, pl.Duration):
            changes.append(pl.col(name).cast(pl.String))
        elif dtype == pl.Binary:
            changes.append(column(name, [_decode(value) for value in frame[name].to_list()]))
        elif dtype.is_integer() or (isinstance(dtype, pl.Decimal) and not dtype.scale):
            changes.append(_whole_numbers(frame[name]))
        elif dtype.is_float() or dtype.is_decimal():
            changes.append(pl.col(name).cast(pl.Float64).fill_nan(None))
    return frame.with_columns(changes), nested


def _whole_numbers(values: pl.Series) -> pl.Series:
    """In 64 bits; as text where one of them does not fit, as ids of 64 bits without a sign may not."""
    import polars as pl

    kept = values.cast(pl.Int64, strict=False)
    return kept if kept.null_count() == values.null_count() else values.cast(pl.String)


def from_records(records: Iterable[Mapping[str, Any]]) -> tuple[pl.DataFrame, tuple[str, ...], tuple[str, ...]]:
    """The frame of rows that are dicts; a key that a row lacks is missing there.

    Rows are taken apart as they come: a million dicts held at once would keep Python's garbage collector busy for most
    of the time.
    """
    columns: dict[str, list[Any]] = {}
    n = 0
    for record in records:
        for name, value in record.items():
            values = columns.setdefault(str(name), [])
            if len(values) < n:
                values.extend([None] * (n - len(values)))
            values.append(value)
        n += 1
    for values in columns.values():
        values.extend([None] * (n - len(values)))
    return from_columns(list(columns), list(columns.values()))


def from_columns(
    names: Sequence[str], columns: Sequence[Sequence[Any]]
) -> tuple[pl.DataFrame, tuple[str, ...], tuple[str, ...]]:
    """The frame of columns of Python values, with doubled names made different."""
    import polars as pl

    lengths = {name: len(values) for name, values in zip(names, columns, strict=True)}
    if len(set(lengths.values())) > 1:
        raise UnreadableTable(f"The columns differ in length: {lengths}. Each needs one value a row.")
    unique, duplicated = unique_names([_whole(name) for name in names])
    nested = []
    series = []
    for name, values in zip(unique, columns, strict=True):
        if any(isinstance(value, list | tuple | dict | set) for value in values):
            nested.append(name)
            values = [_json(value) for value in values]
        series.append(column(name, values))
    return pl.DataFrame(series), duplicated, tuple(nested)


def column(name: str, values: Sequence[Any]) -> pl.Series:
    """A column of one plain type: the values' own if they share one, else their text.

    Half of a surrogate pair, which JSON can hold and no text, reads as U+FFFD.

    >>> column("x", [1, None, 2]).to_list(), column("x", [1, "a", float("nan")]).to_list()
    ([1, None, 2], ['1', 'a', None])
    """
    import polars as pl

    clean = [None if _missing(value) else value for value in values]
    kinds = {type(value) for value in clean if value is not None}
    if kinds <= {str}:
        return _strings(name, clean)
    if kinds == {bool}:
        return pl.Series(name, clean, dtype=pl.Boolean)
    if kinds == {int} and all(value is None or -(2**63) <= value < 2**63 for value in clean):
        return pl.Series(name, clean, dtype=pl.Int64)
    if kinds == {int}:  # ids; as numbers with a point some would be the same
        return _strings(name, [None if value is None else str(value) for value in clean])
    if kinds <= {int, float}:
        return pl.Series(name, [None if value is None else float(value) for value in clean], dtype=pl.Float64)
    if all(issubclass(kind, dt.date) for kind in kinds) and len(kinds) == 1:
        return pl.Series(name, clean)
    return _strings(name, [None if value is None else _text(value) for value in clean])


def _strings(name: str, values: Sequence[str | None]) -> pl.Series:
    import polars as pl

    try:
        return pl.Series(name, values, dtype=pl.String)
    except UnicodeEncodeError:
        return pl.Series(name, [value and _whole(value) for value in values], dtype=pl.String)


def _whole(text: str) -> str:
    """The text with U+FFFD for each half of a surrogate pair that stands alone."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def frame_hash(frame: pl.DataFrame) -> str:
    """The SHA-256 of a frame's names and values, the same for equal frames on every machine and library version.

    >>> import polars as pl
    >>> frame_hash(pl.DataFrame({"a": [1]})) == frame_hash(pl.DataFrame({"a": ["1"]}))
    True
    """
    import polars as pl

    digest = hashlib.sha256()
    for name in frame.columns:
        digest.update(f"\x1d{name}\x1e".encode())
        values = frame[name].cast(pl.String)
        for start in range(0, len(values), 100_000):
            part = values.slice(start, 100_000).fill_null("\x1c")
            digest.update("".join(f"{value}\x1f" for value in part.to_list()).encode("utf-8", "surrogatepass"))
    return digest.hexdigest()


def _from_pandas(source: Any) -> tuple[pl.DataFrame, tuple[str, ...], tuple[str, ...]]:
    columns = []
    for place in range(source.shape[1]):
        series = source.iloc[:, place]
        missing = series.isna().tolist()
        values = series.tolist()
        columns.append([None if gone else _plain(value) for value, gone in zip(values, missing, strict=True)])
    return from_columns([str(name) for name in source.columns], columns)


def _plain(value: Any) -> Any:
    """A Python value in the place of a numpy or pandas scalar."""
    if hasattr(value, "to_pydatetime"):
        return value.to_pydatetime()
    if hasattr(value, "tolist"):
        return value.tolist()
    return value


def _missing(value: Any) -> bool:
    return value is None or (isinstance(value, float) and math.isnan(value))


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return value if isinstance(value, str) else str(value)


def _json(value: Any) -> str | None:
    return None if value is None else json.dumps(value, ensure_ascii=False, default=str)


def _decode(value: bytes | None) -> str | None:
    return None if value is None else value.decode("utf-8", "replace")
