# SPDX-License-Identifier: Apache-2.0
"""Which column holds the text and which the label, with the reason.

Each column gets a profile from at most 20,000 rows, drawn at random but always the same. A text column is made of long,
mostly distinct strings, a label column of few values that come back; a telling name adds to the score. A guess is
stated, never silent; when several columns look alike and none has a telling name, it is refused.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from difflib import get_close_matches
from math import log10
from typing import TYPE_CHECKING

import numpy as np

from bigenough.errors import ColumnNotFound
from bigenough.task.table import Table, count, few

if TYPE_CHECKING:
    import polars as pl

__all__ = ["Columns", "find_column", "guess_columns", "guess_text"]

_SAMPLE = 20_000
_TEXT_NAMES = (
    "text", "sentence", "utterance", "message", "content", "tweet", "review", "comment", "headline", "question",
    "query", "body", "document", "post", "sms", "description", "title", "narrative", "abstract", "input", "prompt",
    "request", "complaint", "ticket", "email", "mail", "subject", "summary", "statement", "phrase", "term",
    "article", "news",
)  # fmt: skip
_LABEL_NAMES = (
    "label", "labels", "class", "category", "target", "intent", "sentiment", "emotion", "topic", "gold", "y",
    "answer", "stance", "polarity", "toxic", "spam", "genre", "section", "chapter", "department", "queue",
    "product", "type", "tag", "code", "group", "rating", "stars", "score", "priority", "output",
)  # fmt: skip
_SIDE_NAMES = {
    "id", "uuid", "guid", "index", "idx", "key", "date", "time", "timestamp", "created", "updated", "day", "month",
    "year", "url", "link", "href", "user", "username", "author", "authors", "name", "lang", "language", "locale",
    "split", "source", "fold", "version", "country", "confidence", "count", "length", "file", "filename",
    "annotator", "worker",
}  # fmt: skip
_LINK = re.compile(r"^(https?://|www\.)\S+$")
_WHEN = re.compile(r"^\d{1,4}[-/.]\d{1,2}[-/.]\d{1,4}([ T].*)?$|^\d{1,2}:\d{2}")
_ID = re.compile(r"^(?=.*\d)[\w-]{6,}$")


@dataclass(frozen=True)
class Columns:
    """The two columns that matter, and a sentence that says why."""

    text: str
    label: str
    sentence: str


@dataclass(frozen=True)
class _Profile:
    """What a column looks like.

    Attributes:
        n: values that are not empty, of those looked at.
        n_distinct: how many of them differ.
        mean_chars: their mean length.
        odd: the share of them that are numbers, dates, links or ids.
        kind: text, whole (numbers), fraction or other.
    """

    name: str
    n: int
    filled: float
    n_distinct: int
    mean_chars: float
    odd: float
    kind: str

    @property
    def distinct(self) -> float:
        return self.n_distinct / max(self.n, 1)


def find_column(table: Table, name: str, role: str) -> str:
    """The column that the user named, if there is exactly one.

    Raises:
        ColumnNotFound: no column or several columns have that name; the message lists what is there.
    """
    columns = table.frame.columns
    if name in table.duplicated:
        raise ColumnNotFound(
            f"{table.source} has several columns called {name!r}, so the {role} column is not plain. "
            f"Rename them in the table, or name the one that is meant: {_copies(columns, name)}."
        )
    if name in columns:
        return name
    folded = {column.strip().casefold(): column for column in reversed(columns)}
    close = [folded[match] for match in get_close_matches(name.strip().casefold(), list(folded), n=3, cutoff=0.6)]
    hint = f" Did you mean {few([repr(one) for one in close])}?" if close else ""
    raise ColumnNotFound(
        f"{table.source} has no column {name!r} for the {role}.{hint} Its columns are: {few(_quoted(columns), 30)}."
    )


def guess_columns(table: Table, *, text: str | None = None, label: str | None = None) -> Columns:
    """The text and label columns: those that are named, and a guess for the others.

    Raises:
        ColumnNotFound: a named column is not there, or a column cannot be guessed.

    >>> from bigenough.task.reading import read_table
    >>> rows = [{"id": i, "said": f"where is parcel {i}", "intent": "track" if i % 2 else "return"} for i in range(30)]
    >>> guess_columns(read_table(rows)).sentence
    "text: 'said' (mean 18 characters, 100 % distinct); label: 'intent' (2 values)"
    """
    named_text = None if text is None else find_column(table, text, "text")
    named_label = None if label is None else find_column(table, label, "label")
    if named_text is not None and named_text == named_label:
        raise ColumnNotFound(f"The column {named_text!r} is named for the text and for the label. Name two columns.")
    profiles = {name: _profile(table.frame, name) for name in table.frame.columns}
    others = ""
    if named_text is None:
        named_text = _best_text(table, profiles.values(), leave_out={named_label})
    if named_label is None:
        named_label, others = _best_label(table, profiles.values(), leave_out={named_text})
    words, values = profiles[named_text], profiles[named_label]
    sentence = (
        f"text: {named_text!r} (mean {words.mean_chars:.0f} characters, {100 * words.distinct:.0f} % distinct); "
        f"label: {named_label!r} ({count(values.n_distinct, 'value')}){others}"
    )
    return Columns(named_text, named_label, sentence)


def guess_text(table: Table, *, text: str | None = None) -> str:
    """The text column of a table that may have no labels.

    Raises:
        ColumnNotFound: the named column is not there, or none looks like text.
    """
    if text is not None:
        return find_column(table, text, "text")
    if table.frame.width == 1:
        return table.frame.columns[0]
    return _best_text(table, [_profile(table.frame, name) for name in table.frame.columns], leave_out=set())


def _quoted(names: Iterable[str]) -> list[str]:
    return [repr(name) for name in names]


def _copies(columns: list[str], name: str) -> str:
    return few(_quoted(column for column in columns if column == name or column.startswith(f"{name}#")))


def _profile(frame: pl.DataFrame, name: str) -> _Profile:
    import polars as pl

    column = frame[name]
    if len(column) > _SAMPLE:
        # a fixed random draw: every k-th row would see one class only where classes take turns
        column = column.gather(np.sort(np.random.default_rng(0).choice(len(column), _SAMPLE, replace=False)))
    values = column.cast(pl.String).drop_nulls().str.strip_chars()
    values = values.filter(values != "")
    n = len(values)
    mean = values.str.len_chars().mean()
    numbers = values.cast(pl.Float64, strict=False).drop_nulls()
    head = values.head(2000).to_list()
    odd = sum(1 for value in head if _LINK.match(value) or _WHEN.match(value) or _ID.match(value)) / max(len(head), 1)
    if column.dtype in (pl.Date, pl.Datetime) or not n:
        kind = "other"
    elif len(numbers) >= 0.98 * n:
        kind = "whole" if (numbers == numbers.round()).all() else "fraction"
    else:
        kind = "text"
    mean_chars = float(mean) if isinstance(mean, int | float) else 0.0
    return _Profile(name, n, n / max(len(column), 1), values.n_unique(), mean_chars, odd, kind)


def _words(name: str) -> list[str]:
    spaced = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name)
    return [word for word in re.split(r"[^a-z0-9]+", spaced.lower()) if word]


def _name_score(name: str, telling: tuple[str, ...]) -> float:
    """4 and less for a telling name, 2 and less for a telling word in it, minus 3 for a name of something else.

    Earlier names tell more; the differences only break ties.
    """
    words = _words(name)
    whole = "".join(words)
    if whole in telling:
        return 4 - telling.index(whole) / len(telling)
    side = -3.0 if set(words) & _SIDE_NAMES else 0.0
    places = [telling.index(word) for word in words if word in telling]
    return side + (2 - min(places) / len(telling) if places else 0.0)


def _best_text(table: Table, profiles: Iterable[_Profile], *, leave_out: set[str | None]) -> str:
    scores = {}
    for one in profiles:
        if one.name in leave_out or one.kind != "text" or one.odd > 0.5:
            continue
        name_score = _name_score(one.name, _TEXT_NAMES) - max(0.0, _name_score(one.name, _LABEL_NAMES)) / 2
        if one.mean_chars < 4 and name_score < 3:
            continue
        scores[one.name] = name_score + 2.5 * log10(one.mean_chars) + 3 * one.distinct + 2 * one.filled
    if not scores:
        raise ColumnNotFound(_cannot_guess(table, "text", "long and mostly distinct"))
    return _plain(table, max(scores, key=lambda name: scores[name]), "text")


def _best_label(table: Table, profiles: Iterable[_Profile], *, leave_out: set[str | None]) -> tuple[str, str]:
    """The label column, and a clause that names the runners-up."""
    scores: dict[str, float] = {}
    telling: dict[str, float] = {}
    for one in profiles:
        if one.name in leave_out or not _may_be_label(one):
            continue
        telling[one.name] = _name_score(one.name, _LABEL_NAMES)
        scores[one.name] = 2 * telling[one.name] + 2 * one.filled + (one.kind == "text") - one.distinct
    if not scores:
        raise ColumnNotFound(_cannot_guess(table, "label", "of few values that come back"))
    ranked = sorted(scores, key=lambda name: -scores[name])  # stable: the first column wins a tie
    _plain(table, ranked[0], "label")
    if telling[ranked[0]] <= 0 and len(ranked) > 1 and telling[ranked[1]] == telling[ranked[0]]:
        raise ColumnNotFound(
            f"The label column of {table.source} cannot be guessed: {few(_quoted(ranked))} could each be it. "
            "Name it (--label)."
        )
    rivals = [name for name in ranked[1:] if telling[name] > 0]
    return ranked[0], f"; {few(_quoted(rivals))} could be the label too" if rivals else ""


def _may_be_label(one: _Profile) -> bool:
    """At least two values that come back; a lone fractional or link-like column never is one."""
    if one.kind in ("fraction", "other") or one.mean_chars > 80 or one.n_distinct < 2:
        return False
    return one.n_distinct <= max(0.5 * one.n, 2) and (one.odd <= 0.5 or _name_score(one.name, _LABEL_NAMES) > 0)


def _plain(table: Table, name: str, role: str) -> str:
    """The guessed column, unless its name is doubled: passing it over would train on the next best without a word."""
    original = name if name in table.duplicated else name.rpartition("#")[0]
    return find_column(table, original, role) if original in table.duplicated else name


def _cannot_guess(table: Table, role: str, look: str) -> str:
    return (
        f"The {role} column of {table.source} cannot be guessed: no column is {look}. "
        f"Its columns are: {few(_quoted(table.frame.columns), 30)}. Name it (--{role})."
    )
