# SPDX-License-Identifier: Apache-2.0
"""The sheet of rows that people check: a CSV that is written here, filled in anywhere, and read back with care.

What somebody typed is never thrown away: a label that is none of the task's is an error that names its row, and the
file stays as it is. Columns that were added are kept.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bigenough.errors import BadOption, InputError
from bigenough.storage import write_text
from bigenough.task.labels import class_names
from bigenough.task.reading import read_table
from bigenough.task.table import few

__all__ = ["LEAST_LEFT", "Sheet", "draw_order", "read_sheet"]

LEAST_LEFT = 20
"""Rows that must be left to learn from when so many are checked."""
_COLUMNS = ("row", "text", "label")
_SUGGESTION = "suggestion"
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]")


def draw_order(n: int, seed: int) -> NDArray[np.int64]:
    """In which order rows are drawn for checking: their places, shuffled; a function of the seed alone.

    >>> sorted(draw_order(5, seed=0).tolist())
    [0, 1, 2, 3, 4]
    """
    return np.random.default_rng((seed, 0x1ABE1)).permutation(n).astype(np.int64)


@dataclass(frozen=True)
class Sheet:
    """Rows that were drawn, in the order of the draw.

    Attributes:
        path: where it lies.
        lines: one for each row, by column.
    """

    path: Path
    lines: tuple[Mapping[str, str], ...] = ()

    @property
    def rows(self) -> list[int]:
        """Their data-row numbers."""
        return [int(line["row"]) for line in self.lines]

    @property
    def labels(self) -> dict[int, str]:
        """The label of each row that was checked."""
        return {int(line["row"]): line["label"] for line in self.lines if line["label"]}

    @property
    def suggestions(self) -> dict[int, str]:
        """What the generalist says of each row, where it stands beside."""
        return {int(line["row"]): line[_SUGGESTION] for line in self.lines if line.get(_SUGGESTION)}

    def drawn(self, order: Sequence[int], texts: Mapping[int, str], n: int) -> Sheet:
        """The sheet with the first n rows of the order in it, whatever else it holds.

        Raises:
            BadOption: too few rows would be left to learn from.
        """
        if n < 1:
            raise BadOption(f"At least one row must be checked. Got --check {n}.")
        if n > len(order) - LEAST_LEFT:
            raise BadOption(
                f"--check {n:,} of {len(order):,} rows with a text leaves fewer than {LEAST_LEFT} to learn from. "
                f"At most {max(0, len(order) - LEAST_LEFT):,} can be checked. Bring more rows, or label all by hand."
            )
        there = {int(line["row"]): line for line in self.lines}
        new = {row: {"row": str(row), "text": texts[row], "label": ""} for row in order[:n] if row not in there}
        place = {row: number for number, row in enumerate(order)}
        lines = sorted([*there.values(), *new.values()], key=lambda line: place[int(line["row"])])
        return Sheet(self.path, tuple(lines))

    def suggested(self, suggestions: Mapping[int, str]) -> Sheet:
        """The sheet with what the generalist says beside each row."""
        lines = tuple({**line, _SUGGESTION: suggestions.get(int(line["row"]), "")} for line in self.lines)
        return Sheet(self.path, lines)

    def labelled(self, row: int, label: str) -> Sheet:
        """The sheet with one more label."""
        lines = (({**line, "label": label} if int(line["row"]) == row else line) for line in self.lines)
        return Sheet(self.path, tuple(lines))

    def write(self) -> None:
        """Put it in place at once."""
        columns = list(dict.fromkeys([*_COLUMNS, *(column for line in self.lines for column in line)]))
        buffer = io.StringIO()
        writer = csv.DictWriter(buffer, columns, restval="", lineterminator="\n")
        writer.writeheader()
        writer.writerows({column: _plain(value) for column, value in line.items()} for line in self.lines)
        text = buffer.getvalue()
        write_text(self.path, text if text.isascii() else f"\ufeff{text}")  # without the mark Excel garbles letters


def read_sheet(path: Path, order: Sequence[int], classes: Sequence[str]) -> Sheet:
    """The sheet as people left it; an empty one where there is no file.

    Args:
        path: the file.
        order: every row number of the assignment, in the order of the draw.
        classes: the labels that it may hold.

    Raises:
        InputError: columns are gone, rows are none of the assignment's or stand there twice, or a label is unknown; the
            message names the rows, and the file is left as it is.
    """
    import polars as pl

    if not path.exists():
        return Sheet(path)
    table = read_table(path)
    missing = [name for name in ("row", "label") if name not in table.frame.columns]
    if missing or table.duplicated:
        raise InputError(
            f"{path} has the columns {few(table.frame.columns)}. Expected one called 'row' and one called 'label', as "
            "they were written. Name them so again; nothing in the file was changed."
        )
    if table.unreadable:
        raise InputError(f"{path} has lines that cannot be read: {few(table.unreadable[0].rows)}. Mend them.")
    names, _ = class_names(table, "label")
    columns = {name: table.frame[name].cast(pl.String).fill_null("").to_list() for name in table.frame.columns}
    columns["row"] = [_whole(one) for one in columns["row"]]
    typed = [one.strip() for one in columns["label"]]
    columns["label"] = [one if one in classes else name or "" for one, name in zip(typed, names, strict=True)]
    _check_rows(path, columns["row"], set(order))
    _check_labels(path, columns["row"], columns["label"], classes)
    lines = [dict(zip(columns, line, strict=True)) for line in zip(*columns.values(), strict=True)]
    place = {row: number for number, row in enumerate(order)}
    return Sheet(path, tuple(sorted(lines, key=lambda line: place[int(line["row"])])))


def _check_rows(path: Path, rows: Sequence[str], known: set[int]) -> None:
    strange = [row or "(empty)" for row in rows if not row.isdecimal() or int(row) not in known]
    if strange:
        raise InputError(
            f"{path} has rows that were not drawn from this table: {few(strange)}. The column 'row' must stay as it "
            "was written. Put these rows right, or take them out; nothing in the file was changed."
        )
    twice = sorted({int(row) for row in rows if rows.count(row) > 1}) if len(set(rows)) < len(rows) else []
    if twice:
        raise InputError(f"{path} has the rows {few(twice)} more than once. Keep one line of each.")


def _check_labels(path: Path, rows: Sequence[str], labels: Sequence[str], classes: Sequence[str]) -> None:
    wrong = [(row, label) for row, label in zip(rows, labels, strict=True) if label and label not in classes]
    if not wrong:
        return
    folded = {name.casefold(): name for name in classes}
    told = []
    for row, label in wrong:
        close = get_close_matches(label.casefold(), list(folded), n=1, cutoff=0.6)
        told.append(f"row {row} has {label!r}" + (f" (did you mean {folded[close[0]]!r}?)" if close else ""))
    there = few([repr(name) for name in classes], 30)
    raise InputError(
        f"{path} has labels that are none of the task's: {few(told)}. The labels are {there}. "
        "Mend these rows, or leave their label empty, and run the same command again; nothing in the file was changed."
    )


def _whole(number: str) -> str:
    """A row's number as it was written, where a spreadsheet made 17.0 of 17."""
    return number.strip().removesuffix(".0")


def _plain(text: str) -> str:
    """A text that any program can read back from a CSV: Python's writer leaves a lone carriage return unquoted."""
    whole = _CONTROL.sub(" ", text.replace("\r\n", "\n").replace("\r", "\n"))
    return whole.encode("utf-8", "replace").decode("utf-8")
