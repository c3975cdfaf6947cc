# SPDX-License-Identifier: Apache-2.0
"""The texts without labels: which of them may teach.

Nothing is fitted on what it is chosen or judged by. So a text that stands in select or certify teaches nobody; where
the verdict is about groups that no model has seen, neither does one of their groups, and where it is about later
rows, neither does one as late. An empty text has nothing to teach, and a copy nothing more. It refuses to decide who
learns from the others, and which are worth labelling.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from bigenough.errors import BadOption
from bigenough.job import Job
from bigenough.task.labelled import Texts, group_values, texts_of
from bigenough.task.table import Table, verb
from bigenough.task.times import read_times
from bigenough.task.units import normalised

__all__ = ["Lessons", "lessons", "pool_texts"]


@dataclass(frozen=True)
class Lessons:
    """What may teach, and a sentence on each reason why something may not."""

    texts: tuple[str, ...] = ()
    decisions: tuple[str, ...] = ()


class _Side(NamedTuple):
    """Rows that teach nobody, and in verb and words what they are or do; without rows, words on why none are known."""

    which: NDArray[np.bool_] | None
    does: str
    why: str


def pool_texts(table: Table, job: Job) -> Texts:
    """The texts of an unlabelled table, from the column that the labelled one has them in, or a guessed one."""
    return texts_of(table, text=job.read.text if job.read.text in table.frame.columns else None)


def lessons(table: Table | None, job: Job) -> Lessons:
    """The texts of the table that no model is chosen or judged by, without the empty ones, each once.

    Raises:
        ColumnNotFound: it has no column of texts.
    """
    if table is None:
        return Lessons()
    texts = pool_texts(table, job).texts
    keys = [normalised(text) for text in texts]
    out, decisions = np.zeros(len(texts), dtype=bool), list[str]()
    for which, does, why in _out(table, job, keys):
        if which is None:
            decisions.append(why)
            continue
        if found := int((which & ~out).sum()):
            decisions.append(_said(found, len(texts), does, f"{why}, and {verb(found, 'teach')} nobody"))
        out = out | which
    places = np.flatnonzero(~out).tolist()
    first: dict[str, int] = {}
    for place in places:
        first.setdefault(keys[place], place)
    if found := len(places) - len(first):
        decisions.append(_said(found, len(texts), "repeat", "an earlier one: each teaches once"))
    return Lessons(tuple(texts[place] for place in first.values()), tuple(decisions))


def _said(found: int, count: int, does: str, what: str) -> str:
    return f"{found:,} of {count:,} unlabelled texts {verb(found, does)} {what}."


def _out(table: Table, job: Job, keys: Sequence[str]) -> Iterator[_Side]:
    """Which rows teach nobody, reason by reason: empty, known, or on certify's side."""
    yield _Side(np.array([not key for key in keys], dtype=bool), "are", "empty")
    held = {normalised(text) for rows in (job.select, job.certify) for text in rows.texts}
    yield _Side(np.array([key in held for key in keys], dtype=bool), "stand", "in select or certify too")
    yield from _told_apart(table, job)


def _told_apart(table: Table, job: Job) -> Iterator[_Side]:
    """For each column that sets certify apart, which rows are on its side by that."""
    if (column := job.read.group) is not None and (groups := job.examples.groups) is not None:
        yield _of_held_groups(table, job, column, groups)
    if (column := job.read.time) is not None and (times := job.read.times) is not None:
        yield _as_late(table, column, times[job.splits.certify].min())


def _of_held_groups(table: Table, job: Job, column: str, groups: NDArray[np.int64]) -> _Side:
    if column not in table.frame.columns:
        return _unknown(f"have no column {column!r}")
    names, given = job.read.group_names, group_values(table.frame[column])
    if not given.is_in(names).any():
        said = f"The unlabelled texts have no {column!r} that a labelled row has: all count as other groups."
        return _Side(None, "", said)
    held = [names[code] for code in np.unique(groups[[*job.splits.select, *job.splits.certify]]) if code < len(names)]
    which = given.is_in(held).fill_null(False).to_numpy().astype(bool)
    return _Side(which, "are", f"of groups ({column!r}) of select or certify")


def _as_late(table: Table, column: str, first: float) -> _Side:
    if column not in table.frame.columns:
        return _unknown(f"have no column {column!r}")
    try:
        times, _ = read_times(table.frame[column], column, table.rows)
    except BadOption as error:
        return _unknown(f"({table.source}) have no times: {str(error).rstrip('.')}")
    return _Side(times >= first, "are", f"as late ({column!r}) as certify's rows")


def _unknown(why: str) -> _Side:
    said = (
        f"The unlabelled texts {why}. Whether some are from where certify's rows are is not known, and a model that "
        "learned from them may know more of those than of others."
    )
    return _Side(None, "", said)
