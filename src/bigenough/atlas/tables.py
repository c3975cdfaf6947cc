# SPDX-License-Identifier: Apache-2.0
"""How the atlas reads its CSV files: one dataclass a table, one row an instance; an empty cell is unknown."""

from __future__ import annotations

import csv
import typing
from dataclasses import fields
from functools import cache
from importlib import resources
from typing import Any, TypeVar

__all__ = ["read_table"]

Kind = TypeVar("Kind")


@cache
def read_table(name: str, kind: type[Kind]) -> tuple[Kind, ...]:
    """All rows of a table of the package, in the file's order.

    Raises:
        ValueError: a cell does not hold what its column promises; the message names file, line and column.
    """
    hints = typing.get_type_hints(kind)
    columns = [field.name for field in fields(kind)]  # type: ignore[arg-type]
    text = resources.files("bigenough.atlas").joinpath("data", f"{name}.csv").read_text(encoding="utf-8")
    lines = csv.reader(text.splitlines())
    head = next(lines)
    if head != columns:
        raise ValueError(f"{name}.csv has the columns {head}; expected {columns}.")
    rows = []
    for number, cells in enumerate(lines, start=2):
        if len(cells) != len(columns):
            raise ValueError(f"{name}.csv line {number} has {len(cells)} cells; expected {len(columns)}.")
        values = {}
        for column, cell in zip(columns, cells, strict=True):
            try:
                values[column] = _value(cell, hints[column])
            except ValueError as error:
                raise ValueError(f"{name}.csv line {number}, column {column!r}: {error}") from error
        rows.append(kind(**values))
    return tuple(rows)


def _value(cell: str, kind: Any) -> Any:
    if kind is str:
        return cell
    if typing.get_origin(kind) is tuple:
        return tuple(part for part in cell.split("|") if part)
    options = typing.get_args(kind)
    if not cell:
        if type(None) in options:
            return None
        raise ValueError("empty, but every row must have it")
    return int(cell) if int in (kind, *options) else float(cell)
