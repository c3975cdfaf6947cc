# SPDX-License-Identifier: Apache-2.0
"""What is to be labelled: the rows of a table that have a text, and the labels that they may get."""

from __future__ import annotations

import csv
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bigenough.errors import BadOption, NotEnoughLabels
from bigenough.generalist import Generalist
from bigenough.storage import content_hash
from bigenough.task.descriptions import read_descriptions
from bigenough.task.labelled import texts_of
from bigenough.task.labels import EMPTY
from bigenough.task.reading import read_table
from bigenough.task.table import Table, few

__all__ = ["Assignment", "parse_labels", "read_assignment"]


@dataclass(frozen=True, eq=False)
class Assignment:
    """Rows to label.

    Attributes:
        table: the user's table.
        text: its column with the texts.
        label: what the column of labels will be called.
        classes: (k) the labels, in the user's order; a code is a place here.
        descriptions: what a label means, where the user said so.
        rows: (n,) data-row numbers of the rows that have a text.
        texts: (n) their texts.
        decisions: what was decided while reading, a sentence each.
    """

    table: Table
    text: str
    label: str
    classes: tuple[str, ...]
    descriptions: Mapping[str, str]
    rows: NDArray[np.int64]
    texts: Sequence[str]
    decisions: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.rows)

    def identity(self, generalist: Generalist, seed: int) -> dict[str, Any]:
        """What makes a labelling this one and no other; money, prices and how many rows are checked do not."""
        return {
            "work": "labelling",
            "data": self.table.sha256,
            "text": self.text,
            "label": self.label,
            "labels": list(self.classes),
            "descriptions": dict(self.descriptions),
            "generalist": generalist.url,
            "model": generalist.model,
            "reply_tokens": generalist.reply_tokens,
            "seed": seed,
        }

    @property
    def name(self) -> str:
        """What to call it: the file's name."""
        return re.sub(r"[^\w.-]+", "-", Path(self.table.source).stem).strip("-.").lower() or "table"

    def default_folder(self, identity: Mapping[str, Any]) -> Path:
        """Where it is kept unless the user says otherwise."""
        return Path("studies") / f"{self.name}-labels-{content_hash(dict(identity), length=8)}"


def parse_labels(given: str) -> tuple[str, ...]:
    """The labels in a list with commas; one that has a comma itself stands in double quotes.

    Raises:
        BadOption: a label is empty, stands there twice, or means "no label" in a table.
        NotEnoughLabels: there are fewer than two.

    >>> parse_labels('refund, "lost, stolen", login')
    ('refund', 'lost, stolen', 'login')
    """
    names = tuple(name.strip() for name in next(csv.reader([given], skipinitialspace=True), []))
    unusable = [name for name in names if name in EMPTY or not name.isprintable()]
    if names and unusable:
        raise BadOption(
            f"--labels has {few([repr(name) for name in unusable])}, which is no label that a table can hold: "
            "empty, a word for nothing, or with signs that cannot be shown. Expected names as in --labels refund,login."
        )
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise BadOption(f"--labels names {few([repr(name) for name in twice])} more than once. Name each label once.")
    if len(names) < 2:
        raise NotEnoughLabels(
            f"--labels names {len(names)} label{'' if len(names) == 1 else 's'}: {given!r}. At least two are needed, "
            "with commas between them, as in --labels refund,login."
        )
    return names


def read_assignment(
    data: Any,
    labels: Sequence[str],
    *,
    text: str | None = None,
    label: str = "label",
    descriptions: Mapping[str, str] | str | Path | None = None,
) -> Assignment:
    """The assignment in a table that has texts and no labels.

    Args:
        data: whatever ``read_table`` takes.
        labels: the labels that rows may get.
        text: the column with the texts; guessed, and the guess stated, when None.
        label: what the new column is called.
        descriptions: what each label means, by its label, or a table of two columns.

    Raises:
        InputError: the table or the descriptions cannot be used.
        BadOption: the table has a column of that name already.

    >>> work = read_assignment({"text": ["WIN a prize", "", "see you at six"]}, ("ham", "spam"))
    >>> work.rows.tolist(), work.text
    ([1, 3], 'text')
    """
    table = read_table(data, named=() if text is None else (text,))
    columns = table.frame.columns
    if label in columns:
        raise BadOption(
            f"{table.source} has a column {label!r} already. If it holds the labels, no generalist is needed: "
            "bigenough fit takes them as they are. If not, name the new column otherwise (--label NAME)."
        )
    found = texts_of(table, text=text)
    has_text = np.array([bool(one.strip()) for one in found.texts], dtype=bool)
    decisions = list(found.decisions)
    if not has_text.all():
        decisions.append(f"{int((~has_text).sum()):,} rows without a text are left out.")
    return Assignment(
        table, found.column, label, tuple(labels), read_descriptions(descriptions, labels),
        found.rows[has_text], [one for one, kept in zip(found.texts, has_text, strict=True) if kept], tuple(decisions),
    )  # fmt: skip
