# SPDX-License-Identifier: Apache-2.0
"""Where a labelling stands, in lines for people and as JSON for scripts."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from bigenough.labelling.answers import Answers
from bigenough.labelling.assignment import Assignment
from bigenough.labelling.desk import Checked
from bigenough.labelling.proof import USUAL_DISCORDANCE, least_rows, usual_rows
from bigenough.labelling.quality import Quality
from bigenough.labelling.rounds import Round
from bigenough.labelling.sheet import LEAST_LEFT
from bigenough.quantity import Quantity
from bigenough.task.table import count
from bigenough.verdict import Verdict

__all__ = ["State", "Summary", "after_verdict", "to_check", "too_few"]

State = Literal["to check", "too few checked", "verdict"]
MOST_CLASSES, MOST_CONFUSED = 8, 3


@dataclass(frozen=True, eq=False)
class Summary:
    """All that a run of ``bigenough label`` has to say, the study's own outcome aside.

    Attributes:
        folder: of the labelling.
        state: what it came to.
        work, answers, checked: how far it is.
        quality: what the labels are worth; None while no checked row has a label of the generalist.
        next_step: what to do next; empty when nothing is left to do.
        notes: what a reader of the figures has to know.
        round: the round whose verdict is shown.
    """

    folder: Path
    state: State
    work: Assignment
    answers: Answers
    checked: Checked
    quality: Quality | None
    next_step: str
    notes: tuple[str, ...] = ()
    round: Round | None = None

    def to_json(self) -> dict[str, Any]:
        """The summary as JSON values."""
        answers = self.answers
        return {
            "labelling": str(self.folder),
            "state": self.state,
            "rows": {
                "with_text": len(self.work),
                "asked": int(answers.asked.sum()),
                "labelled": int(answers.answered.sum()),
                "failures": answers.tally,
            },
            "check": {"file": str(self.folder / "check.csv"), **self.checked.to_json()},
            "quality": None if self.quality is None else self.quality.to_json(),
            "round": None if self.round is None else self.round.number,
            "notes": [*self.notes, *self._cautions],
            "next": self.next_step or None,
        }

    def lines(self) -> list[str]:
        """What a person reads."""
        answers, checked = self.answers, self.checked
        failed = ", ".join(f"{n:,} {kind}" for kind, n in answers.tally.items() if n)
        not_asked = len(self.work) - int(answers.asked.sum())
        rest = [f"without one: {failed}" if failed else "", f"not asked yet: {not_asked:,}" if not_asked else ""]
        said = "; ".join(each for each in rest if each)
        lines = [
            f"labels      {int(answers.answered.sum()):,} of {count(len(self.work), 'row')} by the generalist"
            + (f"; {said}" if said else ""),
            f"checked     {len(checked.labels):,} of {checked.drawn:,} rows drawn at random",
        ]
        if self.quality is not None:
            lines += _quality_lines(self.quality)
        if self.round is not None:
            lines.append(f"round {self.round.number}     {self.round.sentence}")
        lines += [f"note        {note}" for note in (*self.notes, *self._cautions)]
        return lines

    @property
    def _cautions(self) -> list[str]:
        """What makes the figures other than they seem."""
        checked, said = self.checked, []
        if self.round is not None:
            said.append(
                "The generalist is not in this race: its labels taught the models, and what they are worth is the "
                "share of right ones that people found. How often a model agrees with it is no quality."
            )
        if checked.led and checked.labels:
            said.append(
                "Those who checked saw the generalist's labels and were led by them: its labels are likely worse than "
                "the figure, and so is every model that learned them."
            )
        if checked.skipped and self.quality is not None:
            worst = self.quality.if_skipped_wrong
            bound = f"; if the generalist is wrong on each, {_interval(worst)} are right" if worst is not None else ""
            said.append(f"{count(len(checked.skipped), 'row')} passed over are perhaps the harder ones{bound}.")
        if checked.changed:
            rows = ", ".join(map(str, checked.changed[:10]))
            said.append(f"Rows that had certified have other labels since ({rows}): their verdict stands as it was.")
        return said


def to_check(checked: Checked, path: Path) -> str:
    """What is left to check, and where."""
    now = f" --now goes on with the {len(checked.fresh):,} that are." if checked.fresh else ""
    return (
        f"{count(checked.missing, 'row')} of {path} {'is' if checked.missing == 1 else 'are'} not checked yet: fill in "
        f"the column 'label' and run the same command again, or check them in a terminal.{now}"
    )


def too_few(checked: Checked, n_rows: int, margin: float, *, alpha: float, bar: float | None) -> str:
    """How many more rows it takes until anything could be proved."""
    n, least = len(checked.fresh), least_rows(margin, alpha=alpha, bar=bar)
    if least is None:
        return (
            f"No number of rows proves a model not worse by {100 * margin:g} points. Allow a margin, as in "
            "--margin 1.5, or name a bar."
        )
    usual = None if bar is not None else usual_rows(margin, alpha=alpha)
    typical = f"; about {usual:,} where equal models disagree on {100 * USUAL_DISCORDANCE:g} % of rows" if usual else ""
    draw = _draw(checked, least - n, n_rows)
    return (
        f"With {count(n, 'checked row')} nothing can be proved, however good a model is, so they were not opened. It "
        f"takes {least:,} at the least{typical}. {draw} --now gives the verdict without them."
    )


def after_verdict(verdict: Verdict, checked: Checked, n_rows: int) -> str:
    """How to come to a decision where the rows could not tell; empty where they could."""
    needed = verdict.rows_needed
    if verdict.answer != "cannot tell" or needed is None or needed.total is None:
        return ""
    draw = _draw(checked, needed.total, n_rows)
    return (
        f"About {needed.total:,} fresh checked rows would decide. {draw} Those checked so far then train, with the "
        "labels that people gave them."
    )


def _draw(checked: Checked, more: int, n_rows: int) -> str:
    """How to draw further rows, as far as the table has some."""
    left = max(0, n_rows - LEAST_LEFT - checked.drawn)
    if more > left:
        return f"{left:,} can still be drawn from this table: bring more rows, or allow a larger margin."
    return f"--check {checked.drawn + more} draws {more:,} further ones."


def _quality_lines(quality: Quality) -> list[str]:
    lines = [
        f"right       {_interval(quality.right)} of the generalist's labels",
        f"            {quality.right.source.partition('; ')[2]}",
    ]
    order = np.argsort([-(share.value or 0.0) for share in quality.shares], kind="stable").tolist()
    for code in order[:MOST_CLASSES]:
        n, right = int(quality.confusion[code].sum()), int(quality.confusion[code, code])
        share = _interval(quality.shares[code])
        lines.append(f"  {quality.classes[code]}: {share} of rows; {right:,} of {n:,} checked ones right")
    if len(order) > MOST_CLASSES:
        lines.append(f"  and {len(order) - MOST_CLASSES:,} more labels (--json has them)")
    confused = [f"{each.gold} called {each.said} ({each.n:,})" for each in quality.most_confused[:MOST_CONFUSED]]
    return [*lines, *([f"confused    {', '.join(confused)}"] if confused else [])]


def _interval(share: Quantity) -> str:
    return f"{share.value or 0:.1f} % [{share.low or 0:.1f}, {share.high or 0:.1f}]"
