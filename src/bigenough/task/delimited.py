# SPDX-License-Identifier: Apache-2.0
"""CSV, TSV and their like, read so that no row is lost without a word.

Python's own ``csv`` reads the records, for every file: it is strict where asked, tells a broken record from a good one
and reads a million rows in a few seconds. (polars is ten times faster, but fills short rows and renames doubled columns
without saying so, and cannot name the rows that it could not read.)
"""

from __future__ import annotations

import csv
import sys
from array import array
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import islice
from math import inf
from typing import TYPE_CHECKING, NamedTuple, Self

import numpy as np

from bigenough.errors import UnreadableTable
from bigenough.task.encoding import Text
from bigenough.task.table import LeftOut, Table, count, few, unique_names, verb

if TYPE_CHECKING:
    import polars as pl

__all__ = ["read_delimited"]

_CHUNK = 50_000
_NO_DELIMITER = "\x1f"
_NAMES = {"\t": "tab", ",": "comma", ";": "semicolon", "|": "bar", _NO_DELIMITER: "none"}
_HEADER_WORDS = {"text", "label", "labels", "id", "sentence", "category", "class", "sentiment", "intent", "message"}


class _Dialect(NamedTuple):
    """How the fields of a line are told apart."""

    delimiter: str
    quoted: bool = True
    backslash: bool = False
    skip_blanks: bool = False

    @property
    def mark(self) -> str:
        """What messages call the delimiter."""
        return _NAMES.get(self.delimiter, self.delimiter)

    def reader(self, lines: Iterable[str], *, strict: bool = True) -> Iterator[list[str]]:
        escape = "\\" if self.backslash else None
        return csv.reader(
            lines,
            delimiter=self.delimiter,
            quoting=csv.QUOTE_MINIMAL if self.quoted else csv.QUOTE_NONE,
            escapechar=escape,
            skipinitialspace=self.skip_blanks,
            strict=strict,
        )


@dataclass(eq=False)
class _Parsed:
    """What one dialect makes of a file; row numbers count from the first record, the header."""

    dialect: _Dialect
    header: list[str] = field(default_factory=list)
    frames: list[pl.DataFrame] = field(default_factory=list)
    rows: array[int] = field(default_factory=lambda: array("q"))
    first_lines: array[int] = field(default_factory=lambda: array("q"))
    broken: list[int] = field(default_factory=list)
    long: list[int] = field(default_factory=list)
    short: list[int] = field(default_factory=list)
    trimmed: list[int] = field(default_factory=list)
    blank: list[int] = field(default_factory=list)
    n_multiline: int = 0
    n_in_quotes: int = 0

    @property
    def faults(self) -> float:
        """How badly the dialect fits.

        In tab-separated files line breaks within quotes are suspect too; without quoting, cells that stand in quotes
        are, and a quoted header rules it out.
        """
        swallowed = self.n_multiline if self.dialect.delimiter == "\t" else 0
        quoted_header = any(map(_in_quotes, self.header)) and not self.dialect.quoted
        lost = len(self.broken) + len(self.long) + len(self.short)
        return inf if quoted_header else lost + swallowed + 0.1 * self.n_in_quotes


class _Feed:
    """Lines that can be handed out again when a record turns out broken."""

    def __init__(self, lines: Iterable[str]) -> None:
        self._lines = iter(lines)
        self._again: list[str] = []
        self.taken: list[str] = []

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> str:
        line = self._again.pop() if self._again else next(self._lines)
        self.taken.append(line)
        return line

    def hand_back_all_but_the_first(self) -> None:
        self._again.extend(reversed(self.taken[1:]))


def read_delimited(text: Text, *, where: str, suffix: str, sha256: str, named: Collection[str] = ()) -> Table:
    """The table in a delimited file.

    Args:
        text: the file's text.
        where: the file's name, for messages.
        suffix: ``.csv``, ``.tsv``, ``.txt``: what the file claims to be; its content decides.
        sha256: the content's hash, carried along.
        named: columns that the user speaks of: a first line with one of them is a header, whatever stands below it.

    Raises:
        UnreadableTable: the file is empty, or more than half of its rows cannot be read.
    """
    with _any_field_size():
        dialect = _dialect(text, suffix)
        if suffix == ".txt" and dialect.delimiter == _NO_DELIMITER:
            return _plain_lines(text, where, sha256)
        parsed = _parse(text, dialect)
        if parsed.faults:
            others = (
                dialect._replace(backslash=True),
                dialect._replace(skip_blanks=True),
                dialect._replace(quoted=False),
            )
            parsed = min([parsed, *(_parse(text, other) for other in others)], key=lambda one: one.faults)
    if not parsed.header:
        raise UnreadableTable(f"{where} is empty. A table with a header and at least one row was expected.")
    return _table(parsed, text, where, sha256, named)


def _plain_lines(text: Text, where: str, sha256: str) -> Table:
    """A text a line, as where rows to be predicted come from a log."""
    import polars as pl

    lines = [line.rstrip("\r\n") for line in text.lines()]
    first = 1 if lines and lines[0].strip().lower() in _HEADER_WORDS else 0
    rows = np.asarray([place for place, line in enumerate(lines) if place >= first and line.strip()], np.int64)
    name = lines[0].strip() if first else "text"
    frame = pl.DataFrame({name: pl.Series([lines[place] for place in rows], dtype=pl.String)})
    decisions = [f"Read as {text.encoding}, one text a line."]
    if n_blank := len(lines) - first - len(rows):
        decisions.append(f"{count(n_blank, 'blank line')} left out.")
    return Table(frame, rows + 1 - first, where, sha256, tuple(decisions))


@contextmanager
def _any_field_size() -> Iterator[None]:
    before = csv.field_size_limit(sys.maxsize)
    try:
        yield
    finally:
        csv.field_size_limit(before)


def _dialect(text: Text, suffix: str) -> _Dialect:
    """The delimiter that splits the first records most evenly; the name's promise wins a tie."""
    first = next(iter(text.lines()), "")
    if first.lower().startswith("sep=") and len(first.rstrip("\r\n")) == 5:
        return _Dialect(first[4])  # Excel's own way of saying it
    sample = list(islice(text.lines(), 2000))
    order = ["\t", ",", ";", "|"] if suffix == ".tsv" else [",", "\t", ";", "|"]
    # running text has commas too: only in a .txt file is it likely that no character separates columns
    best, best_share = _NO_DELIMITER, 0.7 if suffix == ".txt" else 0.2
    for delimiter in order:
        try:
            widths = [len(fields) for fields in _Dialect(delimiter).reader(sample, strict=False) if fields]
        except csv.Error:
            continue
        if not widths or widths[0] < 2:
            continue
        share = widths.count(widths[0]) / len(widths)
        if share > best_share:
            best, best_share = delimiter, share
    return _Dialect(best)


def _records(text: Text, dialect: _Dialect) -> Iterator[tuple[int, int, list[str] | None]]:
    """First line number, number of lines and fields of each record; a broken one (None) costs its first line only."""
    feed = _Feed(text.lines())
    reader = dialect.reader(feed)
    line = 1
    while True:
        feed.taken.clear()
        try:
            fields = next(reader)
        except StopIteration:
            return
        except csv.Error:
            feed.hand_back_all_but_the_first()
            yield line, 1, None
            line += 1
            continue
        yield line, len(feed.taken), fields
        line += len(feed.taken)


def _parse(text: Text, dialect: _Dialect) -> _Parsed:
    parsed = _Parsed(dialect)
    chunk: list[list[str]] = []
    number = -1  # the header is record 0, so that the first row below it is 1
    for line, n_lines, fields in _records(text, dialect):
        if number < 0:
            if fields and not _is_excel_hint(line, fields):
                parsed.header, number = [name.strip() for name in fields], 0
            continue
        number += 1
        parsed.n_multiline += n_lines > 1
        if fields is None:
            parsed.broken.append(number)
            continue
        if len(fields) != len(parsed.header) and not _fits(fields, number, parsed):
            continue
        if not dialect.quoted:
            parsed.n_in_quotes += any(map(_in_quotes, fields))
        chunk.append(fields)
        parsed.rows.append(number)
        parsed.first_lines.append(line)
        if len(chunk) == _CHUNK:
            parsed.frames.append(_frame(chunk, len(parsed.header)))
            chunk.clear()
    parsed.frames.append(_frame(chunk, len(parsed.header)))
    return parsed


def _in_quotes(cell: str) -> bool:
    return len(cell) > 1 and cell[0] == cell[-1] == '"'


def _is_excel_hint(line: int, fields: list[str]) -> bool:
    return line == 1 and "".join(fields).lower() in {"sep=", "sep=,", "sep=;"}


def _fits(fields: list[str], number: int, parsed: _Parsed) -> bool:
    """Bring a row of another width into the header's, or say that it cannot be."""
    width = len(parsed.header)
    if not fields:
        parsed.blank.append(number)
        return False
    if len(fields) < width:
        parsed.short.append(number)
        fields.extend([""] * (width - len(fields)))
        return True
    if any(field.strip() for field in fields[width:]):
        parsed.long.append(number)
        return False
    parsed.trimmed.append(number)
    del fields[width:]
    return True


def _frame(chunk: list[list[str]], width: int) -> pl.DataFrame:
    import polars as pl

    columns = list(zip(*chunk, strict=True)) if chunk else [()] * width
    return pl.DataFrame([pl.Series(str(i), column, dtype=pl.String) for i, column in enumerate(columns)])


def _table(parsed: _Parsed, text: Text, where: str, sha256: str, named: Collection[str]) -> Table:
    import polars as pl

    frame = pl.concat(parsed.frames, rechunk=True)
    rows = np.asarray(parsed.rows, np.int64)
    n_lost = len(parsed.broken) + len(parsed.long)
    if n_lost > len(rows):
        raise UnreadableTable(
            f"{where}: {count(n_lost, 'row')} of {n_lost + len(rows):,} cannot be split into the header's "
            f"{count(len(parsed.header), 'column')} ({few(parsed.header)}) at each {parsed.dialect.mark}: "
            f"rows {few(sorted(parsed.broken + parsed.long))}. Quote the fields that hold the delimiter, "
            "or save the table as Parquet or JSON lines."
        )
    decisions = _dialect_decisions(parsed, text) + _row_decisions(parsed)
    header, shift = parsed.header, 0
    again = _header_again(frame, header)
    if again is not None and again.any():
        decisions.append(f"The header stands again in {count(int(again.sum()), 'row')} ({few(rows[again])}): left out.")
        frame, rows = frame.filter(pl.Series(~again)), rows[~again]
    elif not set(named) & set(header) and _no_header(frame, header):
        first = pl.DataFrame([pl.Series(str(i), [cell], dtype=pl.String) for i, cell in enumerate(header)])
        frame, shift = pl.concat([first, frame]), 1
        rows = np.concatenate([[1], rows + 1])
        decisions.append(
            f"The first line ({few(header, 3)}) repeats values of its columns, so it is read as a row: the table "
            "has no header and its columns are called column_1, column_2 and so on."
        )
        header = [f"column_{i + 1}" for i in range(len(header))]
    names, duplicated = unique_names(header)
    frame.columns = names
    decisions += _mixed_decision(parsed, text, shift)
    unreadable = tuple(
        LeftOut(reason, np.asarray(numbers, np.int64) + shift)
        for reason, numbers in (
            ("the row's quotes do not close or are followed by more text", parsed.broken),
            ("the row has more fields than the header", parsed.long),
        )
        if numbers
    )
    return Table(frame, rows, where, sha256, tuple(decisions), unreadable, duplicated)


def _header_again(frame: pl.DataFrame, header: list[str]) -> np.ndarray | None:
    """Which rows are the header once more, as where files were joined end to end."""
    import polars as pl

    if len(header) < 2:
        return None
    same = [pl.col(column) == name for column, name in zip(frame.columns, header, strict=True)]
    return frame.select(pl.all_horizontal(same)).to_series().to_numpy()


def _no_header(frame: pl.DataFrame, header: list[str]) -> bool:
    """A name that recurs as a value in its own column is a value."""
    if {name.lower() for name in header} & _HEADER_WORDS:
        return False
    head = frame.head(1000)
    return any(name and name in set(head[:, i].to_list()) for i, name in enumerate(header))


def _dialect_decisions(parsed: _Parsed, text: Text) -> list[str]:
    one_column = parsed.dialect.delimiter == _NO_DELIMITER
    said = [f"Read as {text.encoding}, {'one column' if one_column else f'delimiter {parsed.dialect.mark}'}."]
    if text.legacy is not None and not len(text.legacy_lines):
        said.append(
            f"The file is not UTF-8; {text.legacy} suits its letters best. If some look wrong, save the file as UTF-8."
        )
    if not parsed.dialect.quoted:
        said.append("Quotes are read as letters: every line splits evenly only that way.")
    if parsed.dialect.skip_blanks:
        said.append("Blanks after a delimiter are skipped, since quotes follow them.")
    if parsed.dialect.backslash:
        said.append("Quotes within fields are written with a backslash.")
    return said


def _row_decisions(parsed: _Parsed) -> list[str]:
    kinds = (
        (parsed.short, "fewer fields than the header: the missing ones count as empty."),
        (parsed.trimmed, "more fields than the header, all empty: cut off."),
        (parsed.blank, "nothing in it: left out."),
    )
    return [f"{count(len(rows), 'row')} ({few(rows)}): {what}" for rows, what in kinds if rows]


def _mixed_decision(parsed: _Parsed, text: Text, shift: int) -> list[str]:
    if not len(text.legacy_lines):
        return []
    places = np.searchsorted(np.asarray(parsed.first_lines), text.legacy_lines, side="right") - 1
    rows = np.unique(np.asarray(parsed.rows, np.int64)[places[places >= 0]]) + shift
    return [
        f"The file mixes encodings: {count(len(text.legacy_lines), 'line')} (in rows {few(rows)}), not UTF-8, "
        f"{verb(len(text.legacy_lines), 'are')} read as {text.legacy}."
    ]
