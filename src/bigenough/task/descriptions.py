# SPDX-License-Identifier: Apache-2.0
"""What the classes mean, in the user's own words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from bigenough.errors import InputError
from bigenough.task.reading import read_table

__all__ = ["read_descriptions"]


def read_descriptions(given: Mapping[str, str] | str | Path | None, classes: Sequence[str]) -> dict[str, str]:
    """What each class means: a mapping, or a table whose first column is the label and whose second is its meaning.

    The table may have a header or none.

    Classes without a description are left out; a label that no class has is an ``InputError``, and so is a table of one
    column.

    >>> read_descriptions({"refund": "wants money back"}, ["refund", "login"])
    {'refund': 'wants money back'}
    """
    if given is None:
        return {}
    if isinstance(given, Mapping):
        said, where = dict(given), "descriptions"
    else:
        frame, where = read_table(given).frame, str(given)
        if frame.width < 2:
            raise InputError(
                f"{where} has one column, {frame.columns[0]!r}. Expected two: the label and what it means."
            )
        rows = [row[:2] for row in frame.iter_rows() if row[0] is not None and row[1] is not None]
        if frame.columns[0] in classes:  # a table without a header
            rows.append((frame.columns[0], frame.columns[1]))
        said = {str(label): str(meaning) for label, meaning in rows}
    unknown = sorted(set(said) - set(classes))
    if unknown:
        raise InputError(
            f"{where} describes {unknown[:5]}, which no row has as its label. The labels are {sorted(classes)[:20]}."
        )
    return {label: meaning for label, meaning in said.items() if meaning.strip()}
