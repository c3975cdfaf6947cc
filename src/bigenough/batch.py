# SPDX-License-Identifier: Apache-2.0
"""A specialist over a whole table: the user's columns, with a prediction and its probability beside them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from bigenough.errors import BadOption, InputError
from bigenough.progress import Progress, Silence, Step
from bigenough.specialist import Specialist
from bigenough.storage import write_bytes
from bigenough.task.labelled import texts_of
from bigenough.task.reading import read_table
from bigenough.task.table import few

__all__ = ["check_output", "predict_table", "write_table"]

ROWS_AT_ONCE = 4096
ADDED = ("prediction", "probability")
WRITERS: Mapping[str, Callable[[pl.DataFrame, BytesIO], object]] = {
    ".csv": lambda frame, file: frame.write_csv(file),
    ".tsv": lambda frame, file: frame.write_csv(file, separator="\t"),
    ".jsonl": lambda frame, file: frame.write_ndjson(file),
    ".parquet": lambda frame, file: frame.write_parquet(file),
}


def predict_table(
    model: Specialist, source: Any, *, text: str | None = None, progress: Progress | None = None
) -> tuple[pl.DataFrame, list[str]]:
    """The table's own columns plus ``prediction`` and ``probability``, and what was decided on the way.

    Rows without a text keep their place, with neither prediction nor probability.

    Raises:
        InputError: the table or one of its rows cannot be read, it has no column of texts, or already has one of the
            two columns.
    """
    progress = progress or Silence()
    trained_on = str(model.about.get("text_column", ""))
    table = read_table(source, named=(text or trained_on,))
    frame = table.frame
    if table.unreadable:
        told = "; ".join(f"{out.reason}: rows {few(out.rows)}" for out in table.unreadable)
        raise InputError(
            f"{table.source} has rows that cannot be read ({told}). A prediction stands beside its row, so none may be "
            "missing: mend them and run it again."
        )
    taken = [name for name in ADDED if name in frame.columns]
    if taken:
        raise InputError(
            f"{table.source} already has the columns {taken}, which would be overwritten. Rename them first."
        )
    read = texts_of(table, text=text or (trained_on if trained_on in frame.columns else None))
    texts = read.texts
    given = np.array([bool(each.strip()) for each in texts], dtype=bool)
    notes = list(read.decisions)
    if not given.all():
        notes.append("Rows without a text get no prediction.")
    label = np.full(len(texts), None, dtype=object)
    probability = np.full(len(texts), np.nan)
    positions = np.flatnonzero(given)
    progress.plan([Step("predicting", 1.0)])
    progress.start("predicting")
    for start in range(0, len(positions), ROWS_AT_ONCE):
        part = positions[start : start + ROWS_AT_ONCE]
        each = model.predict_proba([texts[i] for i in part])
        best = each.argmax(axis=1)
        label[part] = [model.classes[code] for code in best]
        probability[part] = each[np.arange(len(part)), best]
        progress.say(f"{start + len(part):,} of {len(positions):,} rows", (start + len(part)) / len(positions))
    added = pl.DataFrame(
        {"prediction": pl.Series(label.tolist(), dtype=pl.String), "probability": pl.Series(probability).fill_nan(None)}
    )
    return pl.concat([frame, added], how="horizontal"), notes


def check_output(path: Path) -> None:
    """Raise ``BadOption`` for a file name that ``write_table`` cannot serve, before any work is done."""
    if path.suffix.lower() not in WRITERS:
        raise BadOption(f"{path} ends in {path.suffix!r}. The output is written as one of {sorted(WRITERS)}.")


def write_table(frame: pl.DataFrame, path: Path) -> None:
    """Write a table, whole or not at all, in the form that the file's name asks for."""
    check_output(path)
    buffer = BytesIO()
    WRITERS[path.suffix.lower()](frame, buffer)
    write_bytes(path, buffer.getvalue())
