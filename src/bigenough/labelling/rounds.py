# SPDX-License-Identifier: Apache-2.0
"""Rounds: which checked rows certify in which study, so that no row certifies twice.

A verdict spends the rows that it is spoken on. Rows that are checked later certify the next round alone, and the spent
ones train it with the labels that people gave them.
"""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from bigenough.errors import NotEnoughLabels
from bigenough.labelling.answers import Answers
from bigenough.labelling.assignment import Assignment
from bigenough.storage import write_bytes
from bigenough.study_folder import StudyFolder
from bigenough.task.splits import normalised

if TYPE_CHECKING:
    import polars as pl

__all__ = ["Round", "begin_round", "kept_rounds"]


@dataclass(frozen=True)
class Round:
    """One study on labels of a generalist, judged by people.

    Attributes:
        folder: of the whole labelling.
        number: from 1.
        certify: the label that people had given to each row that certifies, by row, when the round began.
        by_generalist: training rows that have the generalist's label.
        by_people: training rows that have a label of people: those that certified earlier rounds.
        copies: rows that train nothing since a certify row has the same text.
    """

    folder: Path
    number: int
    certify: Mapping[int, str]
    by_generalist: int
    by_people: int
    copies: int

    @property
    def training_table(self) -> Path:
        """The rows that train and choose."""
        return self.folder / f"round-{self.number}-train.parquet"

    @property
    def certify_table(self) -> Path:
        """The rows that people checked, and that certify."""
        return self.folder / f"round-{self.number}-certify.parquet"

    @property
    def study(self) -> Path:
        """Where its study lies."""
        return self.folder / f"round-{self.number}"

    @property
    def finished(self) -> bool:
        """Whether its verdict was spoken."""
        return (self.study / "verdict.json").exists()

    def take_back(self) -> None:
        """Forget it, unless its study has begun: its rows are then free for another."""
        if not (self.study / "study.json").exists():
            (self.folder / f"round-{self.number}.json").unlink(missing_ok=True)

    def meanings(self, work: Assignment) -> dict[str, str] | None:
        """What those labels mean that occur in it."""
        import polars as pl

        there: set[str] = set(self.certify.values())
        there |= set(pl.read_parquet(self.training_table, columns=[work.label])[work.label].to_list())
        return {label: what for label, what in work.descriptions.items() if label in there} or None

    @property
    def sentence(self) -> str:
        """What trained it and what certifies it."""
        people = f" and {self.by_people:,} by people" if self.by_people else ""
        copies = f"; {self.copies:,} copies of certify texts were left out" if self.copies else ""
        return (
            f"{self.by_generalist:,} rows labelled by the generalist{people} train, {len(self.certify):,} checked by "
            f"people certify{copies}."
        )


def kept_rounds(folder: StudyFolder) -> list[Round]:
    """The rounds so far, the first first."""
    found: list[Round] = []
    while folder.has(f"round-{len(found) + 1}.json"):
        number = len(found) + 1
        kept = folder.read(f"round-{number}.json")
        certify = dict(zip(map(int, kept["rows"]), map(str, kept["labels"]), strict=True))
        counts = (int(kept[name]) for name in ("by_generalist", "by_people", "copies"))
        found.append(Round(folder.path, number, certify, *counts))
    return found


def begin_round(
    folder: StudyFolder,
    work: Assignment,
    answers: Answers,
    certify: Mapping[int, str],
    spent: Mapping[int, str],
) -> Round:
    """Settle what trains and what certifies, and write it down before anybody looks at certify.

    Args:
        folder: of the labelling.
        work: the rows.
        answers: the generalist's labels.
        certify: what people said of the rows that certify this round, by row.
        spent: what they said of rows that certified earlier rounds, by row.

    Raises:
        NotEnoughLabels: no row is left to learn from.
    """
    held = {normalised(text) for row, text in zip(work.rows.tolist(), work.texts, strict=True) if row in certify}
    training: dict[int, str] = {}
    copies = 0
    for row, text, code in zip(work.rows.tolist(), work.texts, answers.codes.tolist(), strict=True):
        label = spent.get(row) or (work.classes[code] if code >= 0 else None)
        if label is None or row in certify:
            continue
        if normalised(text) in held:
            copies += 1
            continue
        training[row] = label
    if not training:
        raise NotEnoughLabels(
            f"No row is left to learn from: {len(certify):,} certify, {copies:,} repeat their texts, and the "
            "generalist labelled no other. Let it label more rows."
        )
    people = sum(row in spent for row in training)
    begun = Round(folder.path, len(kept_rounds(folder)) + 1, certify, len(training) - people, people, copies)
    write_bytes(begun.training_table, _parquet(_table(work, training)))
    write_bytes(begun.certify_table, _parquet(_table(work, certify)))
    folder.write(
        f"round-{begun.number}.json",
        {
            "rows": list(certify), "labels": list(certify.values()),
            "by_generalist": begun.by_generalist, "by_people": begun.by_people, "copies": begun.copies,
        },
    )  # fmt: skip
    return begun


def _table(work: Assignment, labels: Mapping[int, str]) -> pl.DataFrame:
    """Texts and labels, and the number of each row in the user's table where no column is called so."""
    import polars as pl

    text_of = dict(zip(work.rows.tolist(), work.texts, strict=True))
    rows: Sequence[int] = sorted(labels)
    columns = {work.text: [text_of[row] for row in rows], work.label: [labels[row] for row in rows]}
    return pl.DataFrame({"row": rows, **columns})


def _parquet(frame: pl.DataFrame) -> bytes:
    buffer = io.BytesIO()
    frame.write_parquet(buffer)
    return buffer.getvalue()
