# SPDX-License-Identifier: Apache-2.0
"""JSON lines and JSON documents, read so that a broken line costs that line only, and is named."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np

from bigenough.errors import UnreadableTable
from bigenough.task.encoding import Text
from bigenough.task.frames import from_columns, from_records
from bigenough.task.table import LeftOut, Table, count, few

__all__ = ["read_json_table"]


def read_json_table(text: Text, *, where: str, sha256: str, lines: bool = False) -> Table:
    """The table in JSON: an object a line, an array of objects, or an object of columns.

    ``lines`` says that the file calls itself JSON lines: an object on a line of its own is then a row.

    Raises:
        UnreadableTable: there is no row, more than half of the lines cannot be read, or the document has another shape.
    """
    start = _first_letters(text)
    if not start:
        raise UnreadableTable(f"{where} is empty. One JSON object a line was expected.")
    may_be_document = start.startswith("[") or not _is_object(start) or (not lines and _holds_rows(start, text))
    if may_be_document and (table := _document(text, where, sha256)) is not None:
        return table
    return _lines(text, where, sha256)


def _first_letters(text: Text) -> str:
    return next((line.strip() for line in text.lines() if line.strip()), "")


def _is_object(line: str) -> bool:
    try:
        return isinstance(json.loads(line), dict)
    except ValueError:
        return False


def _holds_rows(line: str, text: Text) -> bool:
    """Whether the only line is an object of columns or one with rows below a key, as ``json.dump`` writes it."""
    if sum(bool(each.strip()) for each in text.lines()) > 1:
        return False
    values = list(json.loads(line).values())
    columns = bool(values) and all(isinstance(value, list) for value in values)
    return columns or any(_is_rows(value) for value in values)


def _document(text: Text, where: str, sha256: str) -> Table | None:
    """The table in one JSON value; None if the text is not one value."""
    try:
        value = json.loads("".join(text.lines()))
    except ValueError:
        return None
    decisions = [f"Read as a JSON document, {text.encoding}."]
    if isinstance(value, Mapping):
        if value and all(isinstance(part, list) for part in value.values()):
            lengths = {len(part) for part in value.values()}
            if len(lengths) == 1 and not all(_is_rows(part) for part in value.values()):
                frame, duplicated, nested = from_columns(list(value), list(value.values()))
                rows = np.arange(1, len(frame) + 1)
                return Table(frame, rows, where, sha256, tuple(decisions), (), duplicated, nested)
        tables = {name: part for name, part in value.items() if _is_rows(part)}
        if len(tables) != 1:
            raise UnreadableTable(
                f"{where} holds one JSON object with the keys {few(list(value))}. "
                "An array of objects, one a row, or an object a line was expected."
            )
        name, value = tables.popitem()
        decisions.append(f"The rows are those below the key {name!r}.")
    if not isinstance(value, list):
        raise UnreadableTable(f"{where} holds one JSON {type(value).__name__}. An array of objects was expected.")
    entries = ((number, number, entry) for number, entry in enumerate(value, start=1))
    return _from_values(entries, where, sha256, decisions, "item")


def _is_rows(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(row, dict) for row in value)


def _lines(text: Text, where: str, sha256: str) -> Table:
    decisions = [f"Read as JSON lines, {text.encoding}."]
    if len(text.legacy_lines):
        decisions.append(
            f"The file mixes encodings: {count(len(text.legacy_lines), 'line')} ({few(text.legacy_lines)}), not "
            f"UTF-8 and read as {text.legacy}."
        )
    return _from_values(_parsed(text), where, sha256, decisions, "line")


def _parsed(text: Text) -> Iterator[tuple[int, int, Any]]:
    """Row number, line number and value of each line that is not blank; the error in the place of a broken one."""
    number = 0
    for line_number, line in enumerate(text.lines(), start=1):
        if not line.strip():
            continue
        number += 1
        try:
            yield number, line_number, json.loads(line)
        except ValueError as error:
            yield number, line_number, error


def _from_values(
    values: Iterable[tuple[int, int, Any]], where: str, sha256: str, decisions: list[str], unit: str
) -> Table:
    rows: list[int] = []
    broken: list[int] = []
    others: list[int] = []
    reasons: list[str] = []

    def records() -> Iterator[Mapping[str, Any]]:
        for number, place, value in values:
            if isinstance(value, dict):
                rows.append(number)
                yield value
            elif isinstance(value, ValueError):
                broken.append(number)
                reasons.append(f"{unit} {place}: {value}")
            else:
                others.append(number)
                reasons.append(f"{unit} {place} is a {type(value).__name__}")

    frame, duplicated, nested = from_records(records())
    if len(reasons) > len(rows) or not rows:
        raise UnreadableTable(
            f"{where}: {len(reasons):,} of {len(reasons) + len(rows):,} {unit} values are no JSON object "
            f"({few(reasons, 1) or 'there is none'}). "
            'One object a row was expected, such as {"text": "...", "label": "..."}.'
        )
    if reasons:
        decisions.append(f"{count(len(reasons), unit)} cannot be read as JSON objects ({few(reasons, 3)}).")
    kinds = ((f"the {unit} is not valid JSON", broken), (f"the {unit} is no JSON object", others))
    unreadable = tuple(LeftOut(reason, np.asarray(numbers, np.int64)) for reason, numbers in kinds if numbers)
    return Table(frame, np.asarray(rows, np.int64), where, sha256, tuple(decisions), unreadable, duplicated, nested)
