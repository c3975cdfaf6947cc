# SPDX-License-Identifier: Apache-2.0
"""A model's reply becomes a class, or a named failure: a pure function of strings.

It reads what models wrap around a label: quotes, code fences, JSON, "Label:", another case, a sentence. It never takes
a word for the label that it resembles, and it refuses to choose where two labels are named.
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal, get_args

__all__ = ["FAILURES", "Failure", "How", "Parsed", "parse"]

Failure = Literal["empty", "refusal", "no known label", "several labels"]
How = Literal["exact", "json", "spelling", "number", "sentence"]

FAILURES: tuple[Failure, ...] = get_args(Failure)

_THOUGHT = re.compile(r"<think(?:ing)?>.*?(?:</think(?:ing)?>|\Z)", re.DOTALL | re.IGNORECASE)
"""A thought, to the end where the reply was cut off in it."""
_THOUGHT_BEFORE = re.compile(r"\A.*?</think(?:ing)?>", re.DOTALL | re.IGNORECASE)
"""A thought that the prompt's template began already."""
_FENCE = re.compile(r"\A```[\w-]*[ \t]*\n?(.*?)\n?```\Z", re.DOTALL)
_PREFIX = re.compile(r"\A(?:the\s+)?(?:label|class|category|answer|intent|topic)(?:\s+is)?\s*[:=]\s*", re.IGNORECASE)
_FIELD = re.compile(r'"(?:label|class|category|answer)"\s*:\s*("(?:[^"\\]|\\.)*"|-?\d+)', re.IGNORECASE)
_KEYS = ("label", "class", "category", "answer", "labels")
_NUMBER = re.compile(r"\A(?:#|no\.?|number|option)?\s*(\d{1,6})\s*[.):]?\Z", re.IGNORECASE)
_BULLET = re.compile(r"\A[-–]\s+")
_REFUSAL = re.compile(
    r"\A\W*(?:(?:i'?m|i am|we'?re)\s+(?:very\s+|so\s+)?(?:sorry|afraid|unable)|sorry\b"
    r"|i\s+(?:can'?t|cannot|can\s+not|won'?t|will\s+not|must\s+decline|do\s+not\s+feel|don'?t\s+feel)"
    r"|as\s+an\s+ai\b|(?:i\s+)?apolog)",
    re.IGNORECASE,
)
_DENIED = re.compile(
    r"(?:\b(?:not|no|never|neither|nor|without|except|excluding)|n't|\brather than|\binstead of)"
    r"(?:\s+(?:a|an|the|about|be|to))*\s*[\"'`*“‘«]*\Z",
    re.IGNORECASE,
)
_WRAPPING = "\"'`*_“”‘’«»()[]<>{}.,;:! \t\r\n"
"""What may stand around a label; no minus, which may be part of it."""


@dataclass(frozen=True)
class Parsed:
    """What a reply says.

    Attributes:
        code: the class, or None when it names none.
        failure: why there is none.
        how: "exact" as the prompt writes it, "json" in a field, "spelling" when case, spaces or signs between words
            differ, "number" by its place in a numbered list, "sentence" as the one label within other words.
        surface: the label's letters as they stand in the reply.
    """

    code: int | None
    failure: Failure | None = None
    how: How | None = None
    surface: str = ""


def parse(reply: str, classes: Sequence[str], *, numbered: bool = False, refused: bool = False) -> Parsed:
    r"""The class that a reply names.

    Args:
        reply: what the model said.
        classes: (k) the text by which each class is called.
        numbered: the prompt numbers the labels from 1, so that a bare number stands for one. A class that is called by
            that very number goes first.
        refused: the endpoint said that this reply is a refusal, or its filter stepped in.

    >>> classes = ("card arrival", "lost card")
    >>> parse("Lost_Card.", classes)
    Parsed(code=1, failure=None, how='spelling', surface='Lost_Card')
    >>> parse('```json\n{"label": "card arrival"}\n```', classes).code
    0
    >>> parse("lost card or card arrival", classes).failure
    'several labels'
    >>> parse("a lost cart", classes).failure, parse(" ", classes).failure, parse("I'm sorry, no.", classes).failure
    ('no known label', 'empty', 'refusal')
    """
    if refused:
        return Parsed(None, "refusal")
    text = _THOUGHT_BEFORE.sub("", _THOUGHT.sub("", reply)).strip()
    if not text:
        return Parsed(None, "empty")
    names = _names(tuple(classes))
    whole = names.named(text, numbered=numbered)
    if whole:
        return whole
    inside = _FENCE.sub(r"\1", text).strip()
    found = _in_json(inside, names, numbered) or names.named(_PREFIX.sub("", inside), numbered=numbered)
    if found:
        return found
    if _REFUSAL.match(_straight(text)):
        return Parsed(None, "refusal")
    return names.searched(inside)


def _straight(text: str) -> str:
    """With typewriter's apostrophes."""
    return text.replace("’", "'")


def _plain(text: str) -> str:
    return unicodedata.normalize("NFKC", text).casefold()


def _words(text: str) -> str:
    """Letters, marks and digits alone, one space between words."""
    kept = "".join(each if unicodedata.category(each)[0] in "LMN" else " " for each in _plain(text))
    return " ".join(kept.split())


_SPELLINGS: tuple[tuple[How, Callable[[str], str]], ...] = (("exact", str), ("spelling", _plain), ("spelling", _words))


@dataclass(frozen=True, eq=False)
class _Names:
    """The classes by each of the spellings under which a reply may name them."""

    classes: tuple[str, ...]
    tables: tuple[tuple[How, Callable[[str], str], dict[str, int]], ...]
    search: tuple[tuple[re.Pattern[str], int], ...]

    def named(self, text: str, *, numbered: bool = False, how: How | None = None) -> Parsed | None:
        """The class that the whole of a text names, if it names one."""
        stripped = _BULLET.sub("", text.strip(_WRAPPING))
        for given in (text, stripped):
            for spelling, spelled, table in self.tables:
                code = table.get(spelled(given))
                if code is not None:
                    surface = stripped if table.get(spelled(stripped)) == code else given
                    return Parsed(code, how=how or spelling, surface=surface)
        number = _NUMBER.match(stripped) if numbered else None
        if number and 1 <= int(number[1]) <= len(self.classes):
            return Parsed(int(number[1]) - 1, how="number", surface=number[1])
        return None

    def searched(self, text: str) -> Parsed:
        """The one class whose name stands, whole, among other words; longer names first, denied ones left out."""
        found: dict[int, str] = {}
        taken: list[tuple[int, int]] = []
        for pattern, code in self.search:
            for match in pattern.finditer(text):
                start, end = match.span()
                if any(start < other_end and other_start < end for other_start, other_end in taken):
                    continue
                taken.append((start, end))
                if not _DENIED.search(_straight(text[:start])):
                    found.setdefault(code, match[0])
        if len(found) == 1:
            ((code, surface),) = found.items()
            return Parsed(code, how="sentence", surface=surface)
        return Parsed(None, "several labels" if found else "no known label")


@lru_cache(maxsize=64)
def _names(classes: tuple[str, ...]) -> _Names:
    tables = []
    for how, spelled in _SPELLINGS:
        table: dict[str, int] = {}
        for code, name in enumerate(classes):
            key = spelled(name)
            # two classes with one spelling: that spelling names neither
            table[key] = -1 if key in table else code
        tables.append((how, spelled, {key: code for key, code in table.items() if code >= 0 and key}))
    longest = sorted(range(len(classes)), key=lambda code: (-len(classes[code]), code))
    apart = set(tables[-1][2].values())
    search = [(_pattern(classes[code], exact=code not in apart), code) for code in longest]
    return _Names(classes, tuple(tables), tuple(search))


def _pattern(name: str, *, exact: bool) -> re.Pattern[str]:
    """The name as words of their own; in any case and with any signs between its words, unless that is another's."""
    words = _words(name).split()
    if exact or not words:
        return re.compile(rf"(?<!\w){re.escape(name)}(?!\w)")
    return re.compile(r"(?<![^\W_])" + r"[\W_]{1,3}".join(map(re.escape, words)) + r"(?![^\W_])", re.IGNORECASE)


def _in_json(text: str, names: _Names, numbered: bool) -> Parsed | None:
    """What the field of a JSON reply names, if only among other words; None when the reply is no JSON with a field."""
    try:
        said = list(_values(json.loads(text)))
    except (ValueError, RecursionError):
        field = _FIELD.search(text)
        try:
            said = [str(json.loads(field[1]))] if field else []
        except ValueError:
            said = []
    found = {parsed.code: parsed for one in said if (parsed := names.named(one, numbered=numbered, how="json"))}
    if len(found) > 1:
        return Parsed(None, "several labels")
    if said and not found:  # what stands beside the field explains, and may name others
        told = "\n".join(said)
        return Parsed(None, "refusal") if _REFUSAL.match(_straight(told)) else names.searched(told)
    return next(iter(found.values()), None)


def _values(data: Any) -> Iterator[str]:
    """The texts and whole numbers that stand for a label: of the field called so, or of the only field."""
    if isinstance(data, dict):
        fields = [data[key] for key in _KEYS if key in data] or (list(data.values()) if len(data) == 1 else [])
        for field in fields:
            yield from _values(field)
    elif isinstance(data, list):
        for each in data:
            yield from _values(each)
    elif isinstance(data, str):
        yield data
    elif isinstance(data, int) and not isinstance(data, bool):
        yield str(data)
