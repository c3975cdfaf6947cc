# SPDX-License-Identifier: Apache-2.0
"""From a table to labelled examples, with a sentence for every row that is left out or changed.

Rows keep the numbers that they have in the user's table.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from bigenough.errors import NotEnoughLabels
from bigenough.task.columns import find_column, guess_columns, guess_text
from bigenough.task.labels import EMPTY, check_distinct, class_names
from bigenough.task.table import LeftOut, Table, count, few, verb
from bigenough.task.task import Examples
from bigenough.task.times import read_times

if TYPE_CHECKING:
    import polars as pl

__all__ = ["MAX_CHARS", "Labelled", "OfficialTest", "Texts", "labelled", "texts_of", "with_official_test"]

MAX_CHARS = 100_000
"""Longer texts are cut here: no rung reads further, and one of them would slow every measurement."""


@dataclass(frozen=True, eq=False)
class Labelled:
    """Examples as used, and all that was decided on the way from the user's table.

    Attributes:
        examples: texts, label codes, data-row numbers, group codes.
        classes: class names, sorted; a label's code is its place here.
        times: (n,) seconds or the column's own numbers, later is larger, −inf for no time; None without a time column.
        decisions: sentences, those of reading included.
        left_out: rows that are not used, those that could not be read included.
        source, sha256: of the table.
        text, label, group, time: the columns' names.
        n_rows: data rows in the source, used or not.
        group_names: sorted; a group's code is its place here, and rows without a group have the codes from there on.
    """

    examples: Examples
    classes: tuple[str, ...]
    times: NDArray[np.float64] | None
    decisions: tuple[str, ...]
    left_out: tuple[LeftOut, ...]
    source: str
    sha256: str
    text: str
    label: str
    group: str | None
    time: str | None
    n_rows: int
    group_names: tuple[str, ...] = ()


class OfficialTest(NamedTuple):
    """Training and test examples together, and where the test examples stand among them."""

    labelled: Labelled
    positions: NDArray[np.int64]


class Texts(NamedTuple):
    """Texts without labels, one for every row that could be read."""

    texts: list[str]
    rows: NDArray[np.int64]
    column: str
    decisions: tuple[str, ...]


def labelled(
    table: Table,
    *,
    text: str | None = None,
    label: str | None = None,
    group: str | None = None,
    time: str | None = None,
) -> Labelled:
    """The table's labelled examples.

    Args:
        table: what ``read_table`` gave.
        text: the column of texts; guessed, and the guess stated, when None.
        label: the column of labels, likewise.
        group: the column whose rows must stay together, if any.
        time: the column that orders rows in time, if any.

    Raises:
        ColumnNotFound: a column is missing, doubled or cannot be guessed.
        BadOption: the label column holds a measure or lists, or the time column no times.
        NotEnoughLabels: no labelled row is left, or there are fewer than two classes.

    >>> from bigenough.task.reading import read_table
    >>> table = read_table({"text": ["a b", "c d", "e f"], "label": [1.0, 2.0, None]})
    >>> data = labelled(table, text="text", label="label")
    >>> data.classes, data.examples.rows.tolist()
    (('1', '2'), [1, 2])
    """
    found = _labelled(table, text, label, group, time, trains=True)
    if len(found.classes) < 2:
        only = f" (only {found.classes[0]!r})" if found.classes else ""
        raise NotEnoughLabels(
            f"The column {found.label!r} of {found.source} has {count(len(found.classes), 'class')}{only} in "
            f"{count(len(found.examples), 'labelled row')}. At least two classes are needed. "
            "Check that this is the label column, or label rows of another class."
        )
    return found


def _labelled(
    table: Table, text: str | None, label: str | None, group: str | None, time: str | None, *, trains: bool
) -> Labelled:
    columns = guess_columns(table, text=text, label=label)
    for name, role in ((group, "group"), (time, "time")):
        if name is not None:
            find_column(table, name, role)
    decisions = [*table.decisions, f"{columns.sentence}."]
    if unused := [name for name in table.duplicated if name not in (columns.text, columns.label)]:
        decisions.append(f"Several columns are called {few(unused)}: they are not used.")
    texts, said_of_texts = _texts(table, columns.text)
    names, said_of_names = class_names(table, columns.label)
    left_out = _left_out(table, texts, names)
    decisions += [*said_of_texts, *said_of_names]
    decisions += [_said_of(out) for out in left_out]
    keep = texts.is_not_null() & names.is_not_null()
    frame, rows, names = table.frame.filter(keep), table.rows[keep.to_numpy()], names.filter(keep)
    if trains:  # a test set need not hold many rows of a class
        check_distinct(names, columns.label, table)
    classes = tuple(names.unique().sort().to_list())
    groups, group_names, times = None, tuple[str, ...](), None
    if group is not None:
        groups, group_names, said = _groups(frame[group], group)
        decisions += said
    if time is not None and len(rows):
        times, said = read_times(frame[time], time, rows)
        decisions += said
    examples = Examples(texts.filter(keep).to_list(), _codes(names, classes), rows, groups)
    return Labelled(
        examples, classes, times, tuple(decisions), left_out, table.source, table.sha256,
        columns.text, columns.label, group, time, table.n_rows, group_names,
    )  # fmt: skip


def _left_out(table: Table, texts: pl.Series, names: pl.Series) -> tuple[LeftOut, ...]:
    no_text, no_label = texts.is_null(), names.is_null()
    found = (("the text is empty", no_text & ~no_label), ("the label is empty", no_label))
    return (*table.unreadable, *(LeftOut(why, table.rows[which.to_numpy()]) for why, which in found if which.any()))


def _said_of(out: LeftOut) -> str:
    return f"{count(len(out.rows), 'row')} left out, {out.reason}: rows {few(out.rows)}."


def _codes(names: pl.Series, classes: tuple[str, ...]) -> NDArray[np.int64]:
    import polars as pl

    places = pl.Series(range(len(classes)), dtype=pl.Int64)
    codes = names.replace_strict(pl.Series(classes, dtype=pl.String), places, return_dtype=pl.Int64)
    return codes.to_numpy().astype(np.int64)


def texts_of(table: Table, *, text: str | None = None) -> Texts:
    """Every row's text, for prediction: an empty one stays, as an empty string.

    Raises:
        ColumnNotFound: the column is missing or cannot be guessed.
    """
    column = guess_text(table, text=text)
    texts, decisions = _texts(table, column)
    n_empty = texts.null_count()
    said = [f"text: {column!r}.", *decisions, *(_said_of(out) for out in table.unreadable)]
    if n_empty:
        rows = table.rows[texts.is_null().to_numpy()]
        said.append(f"{count(n_empty, 'row')} with no text (rows {few(rows)}).")
    return Texts(texts.fill_null("").to_list(), table.rows, column, (*table.decisions, *said))


def with_official_test(train: Labelled, test: Table) -> OfficialTest:
    """The examples followed by those of an official test table, whose rows are numbered on from the training table's.

    A test row whose class has no training row stays: users meet such rows, so each counts as an error.

    Raises:
        ColumnNotFound: the test table has no text or label column.
        NotEnoughLabels: it has no labelled row.
    """
    columns = test.frame.columns
    more = _labelled(
        test,
        train.text if train.text in columns else None,
        train.label if train.label in columns else None,
        train.group if train.group in columns else None,
        None,
        trains=False,
    )
    n, m = len(train.examples), len(more.examples)
    if not m:
        raise NotEnoughLabels(
            f"{test.source} has no row with a text and a label, so it cannot certify anything. "
            f"Rows of the form {train.text!r}, {train.label!r} were expected."
        )
    classes = tuple(sorted({*train.classes, *more.classes}))
    start = train.n_rows
    groups, group_names = _joined_groups(train, more)
    examples = Examples(
        [*train.examples.texts, *more.examples.texts],
        np.concatenate([_recode(train, classes), _recode(more, classes)]),
        np.concatenate([train.examples.rows, more.examples.rows + start]),
        groups,
    )
    moved = tuple(LeftOut(f"test set: {out.reason}", out.rows + start) for out in more.left_out)
    whole = replace(
        train,
        examples=examples,
        classes=classes,
        times=None,
        decisions=(*train.decisions, *_said_of_test(train, more)),
        left_out=(*train.left_out, *moved),
        n_rows=start + more.n_rows,
        group_names=group_names,
    )
    return OfficialTest(whole, np.arange(n, n + m, dtype=np.int64))


def _said_of_test(train: Labelled, more: Labelled) -> list[str]:
    decisions = [
        f"{more.source} is the official test set: its {len(more.examples):,} rows certify. They are numbered on "
        f"from the training table's last row: row {train.n_rows + 1:,} is its row 1.",
        *(f"Test set: {line}" for line in more.decisions),
    ]
    if train.group is not None and more.group is None:
        decisions.append(f"The test set has no column {train.group!r}: each of its rows is a group of its own.")
    unseen = sorted(set(more.classes) - set(train.classes))
    if unseen:
        n_unseen = int(np.isin(more.examples.labels, [more.classes.index(name) for name in unseen]).sum())
        decisions.append(
            f"{count(len(unseen), 'class')} of the test set ({few(unseen)}) {verb(len(unseen), 'have')} no training "
            f"row: {count(n_unseen, 'row')} {verb(n_unseen, 'stay')}, and any prediction there counts as an error."
        )
    return decisions


def _recode(data: Labelled, classes: tuple[str, ...]) -> NDArray[np.int64]:
    place = {name: code for code, name in enumerate(classes)}
    return np.asarray([place[name] for name in data.classes], np.int64)[data.examples.labels]


def _joined_groups(train: Labelled, more: Labelled) -> tuple[NDArray[np.int64] | None, tuple[str, ...]]:
    """Group codes of both tables and their names; without the group column each test row is a group of its own."""
    if train.examples.groups is None:
        return None, ()
    names = tuple(sorted({*train.group_names, *more.group_names}))
    place = {name: code for code, name in enumerate(names)}
    codes = []
    free = len(names)
    for part in (train, more):
        own = part.examples.groups
        if own is None:
            own = np.arange(len(part.examples), dtype=np.int64)
        n_single = int(own.max()) + 1 - len(part.group_names)
        known = [place[name] for name in part.group_names]
        codes.append(np.asarray([*known, *range(free, free + n_single)], np.int64)[own])
        free += n_single
    return np.concatenate(codes), names


def _texts(table: Table, name: str) -> tuple[pl.Series, list[str]]:
    """The texts, missing ones as null, long ones cut."""
    import polars as pl

    texts = table.frame[name].cast(pl.String)
    stripped = texts.str.strip_chars()
    texts = texts.set(stripped.is_in(EMPTY).fill_null(False), None)
    long = (texts.str.len_chars() > MAX_CHARS).fill_null(False)
    if not long.any():
        return texts, []
    rows = table.rows[long.to_numpy()]
    said = f"{count(len(rows), 'text')} longer than {MAX_CHARS:,} characters (rows {few(rows)}): cut there."
    return texts.str.slice(0, MAX_CHARS), [said]


def group_values(column: pl.Series) -> pl.Series:
    """A column of groups as text, the same for 2, 2.0, "2" and " 2": tables of one source may differ in that.

    >>> import polars as pl
    >>> group_values(pl.Series([2.0, None])).to_list(), group_values(pl.Series([" 2", "b", " "])).to_list()
    (['2', None], ['2', 'b', None])
    """
    import polars as pl

    found = column.cast(pl.String).str.strip_chars().str.replace(r"^(-?\d+)\.0+$", "$1")
    return found.set((found == "").fill_null(False), None)


def _groups(column: pl.Series, name: str) -> tuple[NDArray[np.int64], tuple[str, ...], list[str]]:
    """Codes by sorted name; a row without a group is a group of its own."""
    import polars as pl

    column = group_values(column)
    known = column.drop_nulls().unique().sort()
    codes = column.rank("dense").cast(pl.Int64) - 1
    missing = column.is_null().to_numpy()
    out = codes.fill_null(0).to_numpy().astype(np.int64, copy=True)
    out[missing] = len(known) + np.arange(int(missing.sum()))
    decisions = [f"Rows are kept together by {name!r} ({count(len(known), 'group')})."]
    if missing.any():
        decisions.append(f"{count(int(missing.sum()), 'row')} without {name!r}: each is a group of its own.")
    return out, tuple(known.to_list()), decisions
