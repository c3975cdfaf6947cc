# SPDX-License-Identifier: Apache-2.0
"""Checking rows in a terminal, one at a time: pure but for the three functions that it is given.

Every label is kept before the next question is asked.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches

__all__ = ["Question", "interview"]

LONGEST_SHOWN = 2_000
MOST_IN_ONE_LINE = 12
_UNSEEN = re.compile(r"[^\S\n\t ]|[\x00-\x08\x0b-\x1f\x7f-\x9f]")


@dataclass(frozen=True)
class Question:
    """A row to check.

    Attributes:
        row: its data-row number.
        text: what is to be labelled.
        suggestion: what the generalist says, where that is to be shown.
    """

    row: int
    text: str
    suggestion: str = ""


@dataclass(frozen=True)
class _Keys:
    """What may be typed: a label's number or name; s, b, q and ?, behind a slash where a label is called so.

    Where a label is itself a number, numbers are names.
    """

    classes: tuple[str, ...]

    @property
    def slash(self) -> str:
        return "/" if {name.casefold() for name in self.classes} & {"s", "b", "q", "?"} else ""

    @property
    def numbered(self) -> bool:
        return not any(name.isdecimal() for name in self.classes)

    def command(self, typed: str) -> str | None:
        """Which of s, b, q and ? it is."""
        if not typed:
            return "s"
        inner = typed.removeprefix(self.slash).casefold() if typed.startswith(self.slash) else ""
        return inner if inner in ("s", "b", "q", "?") else None

    def label(self, typed: str) -> str | None:
        """The label that it names, if it names one."""
        if typed in self.classes:
            return typed
        if self.numbered and typed.isdecimal():
            return self.classes[int(typed) - 1] if 1 <= int(typed) <= len(self.classes) else None
        alike = [name for name in self.classes if name.casefold() == typed.casefold()]
        return alike[0] if len(alike) == 1 else None

    def menu(self, descriptions: Mapping[str, str]) -> list[str]:
        """Every label, one a line."""
        lines = []
        for number, name in enumerate(self.classes, start=1):
            meaning = f": {_UNSEEN.sub(' ', descriptions[name])}" if name in descriptions else ""
            lines.append(f"  {number:>3} {name}{meaning}" if self.numbered else f"  {name}{meaning}")
        return lines

    @property
    def prompt(self) -> str:
        """The question after each row."""
        slash = self.slash
        keys = f"Enter skips, {slash}b goes back, {slash}q stops, {slash}? lists the labels"
        if len(self.classes) > MOST_IN_ONE_LINE:
            return f"label ({keys}): "
        told = [f"{n} {name}" if self.numbered else name for n, name in enumerate(self.classes, start=1)]
        return f"{'  '.join(told)}   ({keys}): "


def interview(
    questions: Sequence[Question],
    classes: Sequence[str],
    labels: Mapping[int, str],
    *,
    ask: Callable[[str], str | None],
    tell: Callable[[str], None],
    keep: Callable[[int, str], None],
    descriptions: Mapping[str, str] | None = None,
) -> bool:
    """Ask about each row that has no label, from the first; going back reaches those that have one, too.

    Args:
        questions: the rows, in the order of the draw.
        classes: the labels.
        labels: what was said before, by row.
        ask: shows a prompt and gives what was typed; None at the end of the input.
        tell: shows a line.
        keep: called at once with each row and its label.
        descriptions: what labels mean.

    Returns:
        Whether the end was reached, skipped rows and all.

    >>> typed, kept = iter(["2", "", "q"]), {}
    >>> rows = [Question(7, "WIN"), Question(9, "hello"), Question(4, "six?")]
    >>> interview(rows, ("ham", "spam"), {}, ask=lambda prompt: next(typed), tell=lambda line: None,
    ...           keep=kept.__setitem__), kept
    (False, {7: 'spam'})
    """
    keys, said = _Keys(tuple(classes)), dict(labels)
    back: list[int] = []
    at = _unlabelled(questions, said, 0)
    if at is not None:
        for line in keys.menu(descriptions or {}):
            tell(line)
    while at is not None:
        question = questions[at]
        _show(question, at, len(questions), said.get(question.row), tell)
        while True:
            typed = ask(keys.prompt)
            if typed is None or keys.command(typed.strip()) == "q":
                return False
            command, label = keys.command(typed.strip()), keys.label(typed.strip())
            if command is None and label is None:
                tell(_not_understood(typed.strip(), keys))
            elif command == "?":
                for line in keys.menu(descriptions or {}):
                    tell(line)
            elif command == "b" and not back:
                tell("This is the first row.")
            else:
                break
        if command == "b":
            at = back.pop()
            continue
        if label is not None and command is None:
            keep(question.row, label)
            said[question.row] = label
        back.append(at)
        at = _unlabelled(questions, said, at + 1)
    return True


def _unlabelled(questions: Sequence[Question], said: Mapping[int, str], start: int) -> int | None:
    return next((place for place in range(start, len(questions)) if questions[place].row not in said), None)


def _show(question: Question, at: int, n: int, label: str | None, tell: Callable[[str], None]) -> None:
    text = _UNSEEN.sub(" ", question.text)  # a text must not move the cursor or colour the screen
    cut = f" … ({len(text):,} characters in all)" if len(text) > LONGEST_SHOWN else ""
    tell("")
    tell(f"[{at + 1:,} of {n:,}, row {question.row:,}]" + (f"  labelled {label} before" if label else ""))
    tell(text[:LONGEST_SHOWN] + cut)
    if question.suggestion:
        tell(f"the generalist says: {question.suggestion}")


def _not_understood(typed: str, keys: _Keys) -> str:
    close = get_close_matches(typed.casefold(), [name.casefold() for name in keys.classes], n=1, cutoff=0.6)
    names = {name.casefold(): name for name in keys.classes}
    hint = f" Did you mean {names[close[0]]!r}?" if close else ""
    return f"{typed!r} is no label and no key.{hint} {keys.slash}? lists the labels."
