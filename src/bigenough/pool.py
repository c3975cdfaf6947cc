# SPDX-License-Identifier: Apache-2.0
"""The texts without labels: which of them may teach.

Nothing is fitted on what it is chosen or judged by. So a text that stands in select or certify teaches nobody; where
the verdict is about groups that no model has seen, neither does one of their groups, and where it is about later
rows, neither does one as late. It refuses to decide who learns from the others, and which are worth labelling.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bigenough.errors import BadOption
from bigenough.job import Job
from bigenough.task.labelled import Texts, group_values, texts_of
from bigenough.task.table import Table
from bigenough.task.times import read_times
from bigenough.task.units import normalised

__all__ = ["Lessons", "lessons", "pool_texts"]


@dataclass(frozen=True)
class Lessons:
    """What may teach, and a sentence on each reason why something may not."""

    texts: tuple[str, ...] = ()
    decisions: tuple[str, ...] = ()


def pool_texts(table: Table, job: Job) -> Texts:
    """The texts of an unlabelled table, from the column that the labelled one has them in, or a guessed one."""
    return texts_of(table, text=job.read.text if job.read.text in table.frame.columns else None)


def lessons(table: Table | None, job: Job) -> Lessons:
    """The texts of the table that no model is chosen or judged by.

    Raises:
        ColumnNotFound: it has no column of texts.
    """
    if table is None:
        return Lessons()
    texts = pool_texts(table, job).texts
    held = {normalised(text) for rows in (job.select, job.certify) for text in rows.texts}
    known = np.array([normalised(text) in held for text in texts], dtype=bool)
    out, decisions = known, []
    if known.any():
        decisions.append(_said(known, len(texts), "stand in select or certify too, and teach nobody"))
    for which, why in _told_apart(table, job):
        if which is None:
            decisions.append(why)
            continue
        if (which & ~out).any():
            decisions.append(_said(which & ~out, len(texts), why))
        out = out | which
    return Lessons(tuple(text for text, left in zip(texts, out, strict=True) if not left), tuple(decisions))


def _said(which: NDArray[np.bool_], count: int, why: str) -> str:
    return f"{int(which.sum()):,} of {count:,} unlabelled texts {why}."


def _told_apart(table: Table, job: Job) -> Iterator[tuple[NDArray[np.bool_] | None, str]]:
    """For each column that sets certify apart, which rows are on its side by that, and what they are.

    Where the table does not tell, None and a sentence on that.
    """
    if (column := job.read.group) is not None and (groups := job.examples.groups) is not None:
        yield _of_held_groups(table, job, column, groups)
    if (column := job.read.time) is not None and (times := job.read.times) is not None:
        yield _as_late(table, column, times[job.splits.certify].min())


def _of_held_groups(
    table: Table, job: Job, column: str, groups: NDArray[np.int64]
) -> tuple[NDArray[np.bool_] | None, str]:
    if column not in table.frame.columns:
        return None, _unknown(f"have no column {column!r}")
    names, given = job.read.group_names, group_values(table.frame[column])
    if not given.is_in(names).any():
        return None, f"The unlabelled texts have no {column!r} that a labelled row has: all count as other groups."
    held = [names[code] for code in np.unique(groups[[*job.splits.select, *job.splits.certify]]) if code < len(names)]
    which = given.is_in(held).fill_null(False).to_numpy().astype(bool)
    return which, f"are of groups ({column!r}) of select or certify, and teach nobody"


def _as_late(table: Table, column: str, first: float) -> tuple[NDArray[np.bool_] | None, str]:
    if column not in table.frame.columns:
        return None, _unknown(f"have no column {column!r}")
    try:
        times, _ = read_times(table.frame[column], column, table.rows)
    except BadOption as error:
        return None, _unknown(f"({table.source}) have no times: {str(error).rstrip('.')}")
    return times >= first, f"are as late ({column!r}) as certify's rows, and teach nobody"


def _unknown(why: str) -> str:
    return (
        f"The unlabelled texts {why}. Whether some are from where certify's rows are is not known, and a model that "
        "learned from them may know more of those than of others."
    )
