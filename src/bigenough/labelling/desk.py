# SPDX-License-Identifier: Apache-2.0
"""The desk where one table is labelled: a folder in which each finished step is found again.

====================  ==================================================================================
``study.json``        what makes this labelling itself: data, labels, generalist, seed
``order.json``        in which order rows are asked about and drawn for checking; written first
``check.csv``         the rows to check, and what people said of them
``labels.csv``        what the generalist said; lines are only ever added
``replies.sqlite``    replies of an endpoint on this machine, paid with its time
``round-1.json``      which rows certify the first study, with the tables beside it; ``round-1/`` is that study
====================  ==================================================================================
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bigenough.chat.terms import Terms
from bigenough.errors import RungFailed
from bigenough.generalist import Generalist
from bigenough.labelling.answers import Answers, Asked, ask_rows, zero_shot
from bigenough.labelling.assignment import Assignment
from bigenough.labelling.interview import Question, interview
from bigenough.labelling.quality import Quality, quality
from bigenough.labelling.rounds import Round, begin_round, kept_rounds
from bigenough.labelling.sheet import Sheet, draw_order, read_sheet
from bigenough.progress import Progress
from bigenough.study_folder import StudyFolder

__all__ = ["USUAL_CHECK", "Checked", "Desk"]

USUAL_CHECK = 200


@dataclass(frozen=True)
class Checked:
    """How far the checking is.

    Attributes:
        drawn: rows that were drawn.
        labels: what people said, by row.
        fresh: the part of it that certified nothing so far.
        skipped: unlabelled rows that were drawn before the last labelled one.
        changed: rows whose label was changed after they had certified.
        led: whether people saw the generalist's labels.
    """

    drawn: int
    labels: Mapping[int, str]
    fresh: Mapping[int, str]
    skipped: tuple[int, ...]
    changed: tuple[int, ...]
    led: bool

    @property
    def missing(self) -> int:
        """Drawn rows without a label."""
        return self.drawn - len(self.labels)

    def to_json(self) -> dict[str, Any]:
        """The counts as JSON values."""
        return {
            "drawn": self.drawn,
            "checked": len(self.labels),
            "certified_nothing_yet": len(self.fresh),
            "skipped_rows": list(self.skipped),
            "changed_after_certifying": list(self.changed),
            "suggestions_shown": self.led,
        }


@dataclass(frozen=True, eq=False)
class Desk:
    """One labelling; use it while its folder is opened."""

    folder: StudyFolder
    work: Assignment
    seed: int

    @cached_property
    def order(self) -> list[int]:
        """Every row's number, in the order of the draw; on disk before anything is asked."""
        if not self.folder.has("order.json"):
            places = draw_order(len(self.work), self.seed)
            self.folder.write("order.json", {"rows": self.work.rows[places].tolist()})
        return [int(row) for row in self.folder.read("order.json")["rows"]]

    @property
    def sheet(self) -> Sheet:
        """The sheet as it lies there. Raises ``InputError`` for what people cannot have meant."""
        return read_sheet(self.folder.path / "check.csv", self.order, self.work.classes)

    @property
    def answers(self) -> Answers:
        """What the generalist said so far."""
        return Answers.read(self.folder.path / "labels.csv", self.work)

    def draw(self, n: int | None = None) -> Sheet:
        """Put the first n rows of the order on the sheet; rows and labels that are there stay.

        None draws nothing where there is a sheet, else ``USUAL_CHECK`` rows, or half of a small table.
        """
        found = self.sheet
        if n is None:
            n = len(found.lines) or min(USUAL_CHECK, max(1, len(self.work) // 2))
        drawn = found.drawn(self.order, self._text_of, n)
        if drawn != found:
            drawn.write()
        return drawn

    def ask(self, generalist: Generalist, terms: Terms, progress: Progress, *, offline: bool) -> Asked:
        """Let the generalist label what has no answer yet, and keep what came, whatever ended it."""
        known = self.answers
        if known.asked.all():
            return Asked(known, None)
        try:
            predictor = zero_shot(self.work, generalist, terms, offline=offline, seed=self.seed)
        except RungFailed as error:
            return Asked(known, error)
        asked = ask_rows(predictor, terms, self.work.texts, self._places(self.order), known, progress)
        asked.answers.write(self.folder.path / "labels.csv", self.work)
        return asked

    def suggest(self, answers: Answers) -> None:
        """Show the generalist's labels to those who check; it cannot be taken back, and is remembered."""
        found = self.sheet
        codes = answers.codes[self._places(found.rows)].tolist()
        shown = {row: self.work.classes[code] for row, code in zip(found.rows, codes, strict=True) if code >= 0}
        self.folder.write("suggestions-shown.json", {"rows": sorted(shown)})
        suggested = found.suggested(shown)
        if suggested != found:
            suggested.write()

    def check(self, ask: Callable[[str], str | None], tell: Callable[[str], None]) -> bool:
        """Ask a person about each drawn row without a label; whether the end was reached."""
        sheet = self.sheet
        questions = [Question(row, self._text_of[row], sheet.suggestions.get(row, "")) for row in sheet.rows]
        labels = sheet.labels
        mine = dict(labels)

        def keep(row: int, label: str) -> None:
            now = self.sheet  # others may have written into the file while this one waited
            there = now.labels.get(row)
            if there not in (None, mine.get(row), label):
                tell(f"Row {row} was given the label {there} in {now.path} meanwhile: that one stays.")
                return
            mine[row] = label
            now.labelled(row, label).write()

        return interview(
            questions, self.work.classes, labels, ask=ask, tell=tell, keep=keep, descriptions=self.work.descriptions
        )

    @property
    def checked(self) -> Checked:
        """How far the checking is."""
        sheet = self.sheet
        labels, spent = sheet.labels, self.spent
        rows = sheet.rows
        last = max((place for place, row in enumerate(rows) if row in labels), default=0)
        return Checked(
            drawn=len(rows),
            labels=labels,
            fresh={row: label for row, label in labels.items() if row not in spent},
            skipped=tuple(row for row in rows[:last] if row not in labels),
            changed=tuple(sorted(row for row, label in labels.items() if spent.get(row, label) != label)),
            led=self.folder.has("suggestions-shown.json"),
        )

    def quality(self, answers: Answers, checked: Checked) -> Quality:
        """What the generalist's labels are worth. Raises ``NotEnoughLabels`` where no checked row was labelled."""
        code_of = {name: code for code, name in enumerate(self.work.classes)}
        by_row = {row: checked.labels[row] for row in checked.labels}
        places = self._places(list(by_row))
        gold = np.array([code_of[label] for label in by_row.values()], np.int64)
        asked = answers.asked[places]
        others = answers.asked.copy()
        others[places] = False
        passed_over = int(answers.answered[self._places(list(checked.skipped))].sum())
        return quality(
            gold[asked], answers.codes[places][asked], answers.confidence[places][asked],
            answers.codes[others], answers.confidence[others], self.work.classes, skipped=passed_over,
        )  # fmt: skip

    @property
    def rounds(self) -> list[Round]:
        """The rounds so far."""
        return kept_rounds(self.folder)

    @property
    def spent(self) -> dict[int, str]:
        """The rows that certified, with the labels that they had then."""
        return {row: label for each in self.rounds for row, label in each.certify.items()}

    def begin_round(self, answers: Answers, checked: Checked) -> Round:
        """A round on the rows that certified nothing so far; those that did train it, labelled as people say now."""
        spent = {row: checked.labels.get(row, label) for row, label in self.spent.items()}
        return begin_round(self.folder, self.work, answers, checked.fresh, spent)

    @cached_property
    def _text_of(self) -> dict[int, str]:
        return dict(zip(self.work.rows.tolist(), self.work.texts, strict=True))

    @cached_property
    def _place_of(self) -> dict[int, int]:
        return {row: place for place, row in enumerate(self.work.rows.tolist())}

    def _places(self, rows: list[int]) -> NDArray[np.int64]:
        return np.array([self._place_of[row] for row in rows], np.int64)
