# SPDX-License-Identifier: Apache-2.0
"""A table as it was read: its rows, where each stood, and every decision that was taken on the way."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import polars as pl

__all__ = ["LeftOut", "Table", "count", "few", "unique_names", "verb"]


@dataclass(frozen=True, eq=False)
class LeftOut:
    """Rows that are not used, and why.

    Attributes:
        reason: why, as a clause.
        rows: their data-row numbers.
    """

    reason: str
    rows: NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Table:
    """A user's table.

    Attributes:
        frame: the rows that could be read; columns of strings, whole numbers, floats, booleans, dates or times.
        rows: (n,) data-row numbers as the user counts them: 1 is the first row below the header, and rows that could
            not be read are counted.
        source: the file's path, or what kind of object it was.
        sha256: hash of the content.
        decisions: sentences, one for each thing that was decided while reading.
        unreadable: rows that could not be read.
        duplicated: names that several columns share; the second is called ``name#2`` and so on in ``frame``.
        nested: columns that held lists or objects, now JSON text.
    """

    frame: pl.DataFrame
    rows: NDArray[np.int64]
    source: str
    sha256: str
    decisions: tuple[str, ...] = ()
    unreadable: tuple[LeftOut, ...] = ()
    duplicated: tuple[str, ...] = ()
    nested: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def n_rows(self) -> int:
        """The number of data rows in the source, those included that could not be read."""
        lost = [int(part.rows.max()) for part in self.unreadable if len(part.rows)]
        return max([int(self.rows[-1]) if len(self.rows) else 0, *lost])


def count(n: int, noun: str) -> str:
    """A number with its noun.

    >>> count(1, "row"), count(1200, "row"), count(2, "class")
    ('1 row', '1,200 rows', '2 classes')
    """
    if n == 1:
        return f"1 {noun}"
    return f"{n:,} {noun}{'es' if noun.endswith('s') else 's'}"


def verb(n: int, plural: str) -> str:
    """A verb that agrees with a number.

    >>> verb(1, "have"), verb(2, "have"), verb(1, "repeat"), verb(1, "teach")
    ('has', 'have', 'repeats', 'teaches')
    """
    if n != 1:
        return plural
    return {"have": "has", "are": "is", "teach": "teaches"}.get(plural, f"{plural}s")


def few(items: Sequence[object] | NDArray[np.int64], most: int = 10) -> str:
    """The first items and how many more there are.

    >>> few([3, 5, 8], 2)
    '3, 5 and 1 more'
    """
    shown = ", ".join(_short(str(item)) for item in items[:most])
    return shown if len(items) <= most else f"{shown} and {len(items) - most:,} more"


_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")


def _short(text: str) -> str:
    # A cell must not move the cursor or colour the screen of whoever is told of it.
    text = _CONTROL.sub("\ufffd", text)
    return text if len(text) <= 60 else f"{text[:57]}..."


def unique_names(names: Sequence[str]) -> tuple[list[str], tuple[str, ...]]:
    """Names that differ, and those that were doubled; a column without a name is called after its place.

    >>> unique_names(["a", "b", "a", ""])
    (['a', 'b', 'a#2', 'column_4'], ('a',))
    """
    unique: list[str] = []
    doubled: list[str] = []
    for place, given in enumerate(names, start=1):
        base = given or f"column_{place}"
        name, copy = base, 1
        while name in unique:
            copy += 1
            name = f"{base}#{copy}"
        if copy > 1 and given and base not in doubled:
            doubled.append(base)
        unique.append(name)
    return unique, tuple(doubled)
