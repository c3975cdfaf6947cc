# SPDX-License-Identifier: Apache-2.0
"""What the data desk found: one fault, how many rows have it, which, and what to do."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple, TypedDict, get_args

from bigenough.task.audit.identifiers import find_identifiers, mask
from bigenough.task.task import Examples

__all__ = [
    "MAX_EXCERPT_CHARS",
    "MAX_ROWS",
    "ExampleRow",
    "Finding",
    "FindingJson",
    "Severity",
    "counted",
    "excerpt",
    "finding",
    "share",
]

Severity = Literal["info", "warning", "problem"]
"""info: good to know; warning: look before you trust the verdict; problem: mend it, the verdict may be wrong."""

MAX_ROWS = 50
MAX_EXCERPT_CHARS = 160
_MAX_EXAMPLES = 6


class ExampleRow(NamedTuple):
    """A row as an illustration: its number in the user's table and an excerpt of its text."""

    row: int
    text: str


class FindingJson(TypedDict):
    """How a finding stands in ``audit.json``."""

    kind: str
    severity: Severity
    count: int
    rows: list[int]
    message: str
    advice: str
    examples: list[dict[str, int | str]]


@dataclass(frozen=True)
class Finding:
    """One kind of fault in the data.

    Attributes:
        kind: a stable name, such as ``leak_exact``.
        severity: how much it threatens the verdict.
        count: how many rows have it; for a fault of classes, the rows of those classes.
        rows: the first 50 of those rows, numbered from 1 as in the user's table.
        message: what was found, with figures.
        advice: what to do about it.
        examples: a few rows with excerpts.
    """

    kind: str
    severity: Severity
    count: int
    rows: tuple[int, ...]
    message: str
    advice: str
    examples: tuple[ExampleRow, ...] = ()

    def __post_init__(self) -> None:
        if self.severity not in get_args(Severity):
            raise ValueError(f"A severity is one of {list(get_args(Severity))}. Got {self.severity!r}.")
        if len(self.rows) > MAX_ROWS:
            raise ValueError(f"A finding names at most {MAX_ROWS} rows. Got {len(self.rows)}.")

    def to_json(self) -> FindingJson:
        """The finding as plain JSON values."""
        return {
            "kind": self.kind,
            "severity": self.severity,
            "count": self.count,
            "rows": list(self.rows),
            "message": self.message,
            "advice": self.advice,
            "examples": [{"row": example.row, "text": example.text} for example in self.examples],
        }


def finding(
    kind: str,
    severity: Severity,
    examples: Examples,
    positions: Iterable[int],
    message: str,
    advice: str,
    *,
    shown: Sequence[int] | None = None,
    excerpts: Sequence[str] | None = None,
) -> Finding:
    """A finding about the examples at these positions.

    Args:
        kind: the fault's stable name.
        severity: how much it threatens the verdict.
        examples: all examples.
        positions: places of the rows that have the fault, the ones to look at first leading.
        message: what was found.
        advice: what to do.
        shown: places to quote, when they are not the first few of ``positions``.
        excerpts: what to quote for each of ``shown``, when that is not the beginning of the text.
    """
    places = [int(i) for i in positions]
    quoted = [int(i) for i in (places if shown is None else shown)][:_MAX_EXAMPLES]
    texts = [excerpt(hidden(examples.texts[i])) for i in quoted] if excerpts is None else excerpts
    return Finding(
        kind=kind,
        severity=severity,
        count=len(places),
        rows=tuple(int(examples.rows[i]) for i in places[:MAX_ROWS]),
        message=message,
        advice=advice,
        examples=tuple(ExampleRow(int(examples.rows[i]), text) for i, text in zip(quoted, texts, strict=False)),
    )


def hidden(text: str) -> str:
    """The beginning of a text without what identifies a person, to be cut afterwards: half of it tells too much."""
    head = text[: 4 * MAX_EXCERPT_CHARS]
    return mask(head, find_identifiers(head))


def excerpt(text: str) -> str:
    """The beginning of a text on one line, at most 160 characters.

    >>> excerpt("a  long   story")
    'a long story'
    """
    flat = " ".join(text[: 4 * MAX_EXCERPT_CHARS].split())
    return flat if len(flat) <= MAX_EXCERPT_CHARS else flat[: MAX_EXCERPT_CHARS - 1] + "…"


def counted(n: int, noun: str, plural: str | None = None) -> str:
    """A number with its noun.

    >>> counted(1, "row"), counted(1200, "row"), counted(2, "class", "classes")
    ('1 row', '1,200 rows', '2 classes')
    """
    return f"{n:,} {noun if n == 1 else plural or noun + 's'}"


def share(part: float, whole: float) -> str:
    """A share as a percentage, never rounded to 0 % when there is something.

    >>> share(1, 8), share(1, 100_000), share(0, 5)
    ('12.5 %', '< 0.1 %', '0 %')
    """
    percent = 100 * part / whole if whole else 0.0
    if percent == 0:
        return "0 %"
    return "< 0.1 %" if percent < 0.1 else f"{percent:.3g} %"
