# SPDX-License-Identifier: Apache-2.0
"""Texts as weighted n-grams of words and characters: the features of the linear rung, in training and in service alike.

Every n-gram is known by a 64-bit fingerprint, not by its spelling: the polynomial sum of its code points plus one,
c₀ + c₁P + c₂P² + … modulo 2⁶⁴ for a fixed odd P (Karp & Rabin 1987). All n-grams of a whole batch then come from a
handful of array operations, a vocabulary is one sorted array of 8 bytes a feature, and no text of the training data is
written to disk. Some two of m n-grams share a fingerprint with a chance of about m² / 2⁶⁵: one in ten million for two
million n-grams.

No language is assumed. Texts are put in Unicode's NFKC form and case-folded. A word is a longest run of letters,
digits, marks and underscores (marks belong to words, or Devanagari and Thai would fall to pieces). Character n-grams
run inside what stands between spaces, the border space included: a sentence without spaces is one long run and gives
n-grams all along.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

__all__ = ["LONGEST_TEXT", "Ngrams", "Occurrences", "Unit", "normalise", "occurrences"]

Unit = Literal["word", "character"]
Prints = NDArray[np.uint64]
Places = NDArray[np.int64]

LONGEST_TEXT = 100_000
"""Characters of one text that are read; the rest is left out, so that no single row can use up the memory."""

_CHUNK = 1 << 18
"""Characters worked on at once; bounds the memory of a batch."""

_BASE = 0x9E3779B97F4A7C15 | 1
_INVERSE = pow(_BASE, -1, 1 << 64)
_FIRST, _SECOND = np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)
_SPACE = ord(" ")


@dataclass(frozen=True)
class Ngrams:
    """Which n-grams are taken: of words or of characters, from ``shortest`` to ``longest`` (words: 1 to 2 at most)."""

    unit: Unit
    shortest: int
    longest: int

    def __post_init__(self) -> None:
        most = 2 if self.unit == "word" else 8
        if not 1 <= self.shortest <= self.longest <= most:
            raise ValueError(
                f"{self.unit} n-grams must run from 1 to at most {most}. Got {self.shortest} to {self.longest}."
            )


class Occurrences(NamedTuple):
    """N-grams as they occur, in no promised order: the place of the text each stands in, and its fingerprint."""

    text: Places
    print: Prints


def normalise(text: str) -> str:
    r"""The text in NFKC form, case-folded, with every run of white space as one space and none at the ends.

    >>> normalise("  Ｇｒｏßer\tTAG ")
    'grosser tag'
    """
    text = text[:LONGEST_TEXT]
    text = text.lower() if text.isascii() else unicodedata.normalize("NFKC", text).casefold()
    return " ".join(text.split())


def occurrences(texts: Sequence[str], kinds: Sequence[Ngrams]) -> Iterator[tuple[int, int, list[Occurrences]]]:
    """The n-grams of all texts, chunk by chunk: (first text, end, one ``Occurrences`` for each kind).

    Places in an ``Occurrences`` count from the chunk's first text.
    """
    start = 0
    while start < len(texts):
        end, size, clean = start, 0, []
        while end < len(texts) and (size < _CHUNK or end == start):
            clean.append(normalise(texts[end]))
            size += len(clean[-1]) + 1
            end += 1
        flat = _Flat.of(clean)
        yield start, end, [_words(flat, kind) if kind.unit == "word" else _characters(flat, kind) for kind in kinds]
        start = end


@dataclass(frozen=True)
class _Flat:
    """A batch as one row of code points: space, text, space, text, ..., space; empty texts leave nothing."""

    codes: NDArray[np.uint32]  # (c,)
    text: Places  # (c - 1,) the place of the text; a space is counted to the text it leads
    sums: Prints  # (c + 1,) sums of (code + 1) · P^position

    @classmethod
    def of(cls, clean: Sequence[str]) -> _Flat:
        filled = [(place, text) for place, text in enumerate(clean) if text]
        joined = " ".join(["", *(text for _, text in filled), ""])
        codes = np.frombuffer(joined.encode("utf-32-le", "surrogatepass"), np.uint32)
        place = np.array([place for place, _ in filled], np.int64)
        text_of = np.repeat(place, np.array([len(text) + 1 for _, text in filled], np.int64))
        sums = np.zeros(len(codes) + 1, np.uint64)
        # One more than the code, so that a NUL character counts too.
        np.cumsum((codes + np.uint64(1)) * _powers(len(codes))[0], out=sums[1:])
        return cls(codes, text_of, sums)

    def print(self, start: Places, end: Places) -> Prints:
        """The fingerprints of the stretches from ``start`` to before ``end``."""
        return (self.sums[end] - self.sums[start]) * _powers(len(self.codes))[1][start]


def _powers(length: int) -> tuple[Prints, Prints]:
    """P^i and P^-i modulo 2⁶⁴ for i from 0 to length - 1."""
    up, down = _power_table(max(12, (length - 1).bit_length()))
    return up[:length], down[:length]


@lru_cache(maxsize=4)
def _power_table(bits: int) -> tuple[Prints, Prints]:
    factors = np.ones((2, 1 << bits), np.uint64)
    factors[0, 1:], factors[1, 1:] = np.uint64(_BASE), np.uint64(_INVERSE)
    table = np.cumprod(factors, axis=1)
    return table[0], table[1]


def _characters(flat: _Flat, kind: Ngrams) -> Occurrences:
    """Every stretch of n characters with no space inside; at its ends a border space may stand."""
    spaces = np.flatnonzero(flat.codes == _SPACE)
    here = np.arange(spaces[-1])
    # The last character that an n-gram starting here may take is the first space after its start.
    reach = np.repeat(spaces[1:], np.diff(spaces)) - here
    places, prints = [], []
    for n in range(kind.shortest, kind.longest + 1):
        start = np.flatnonzero(reach >= n - 1) if n > 1 else np.flatnonzero(flat.codes != _SPACE)
        prints.append(flat.print(start, start + n))
        places.append(start)
    return Occurrences(flat.text[np.concatenate(places)], np.concatenate(prints))


def _words(flat: _Flat, kind: Ngrams) -> Occurrences:
    """Words, and pairs of neighbouring words of one text."""
    inside = _is_word(flat.codes)
    edges = np.flatnonzero(inside[1:] != inside[:-1]) + 1  # the batch begins and ends with a space
    start, end = edges[::2], edges[1::2]
    text, single = flat.text[start], flat.print(start, end)
    places, prints = [], []
    if kind.shortest == 1:
        places.append(text)
        prints.append(single)
    if kind.longest == 2:
        same = text[1:] == text[:-1]
        places.append(text[1:][same])
        prints.append((single[:-1] * _FIRST + single[1:] * _SECOND)[same])
    return Occurrences(np.concatenate(places), np.concatenate(prints))


_WORD_TABLE = np.zeros(0x110000, np.uint8)
"""What is known of each code point: 0 nothing yet, 1 not of a word, 2 of a word; filled as characters are met."""


def _is_word(codes: NDArray[np.uint32]) -> NDArray[np.bool_]:
    known = _WORD_TABLE[codes]
    if not known.all():
        for code in np.unique(codes[known == 0]).tolist():
            character = chr(code)
            belongs = character.isalnum() or character == "_" or unicodedata.category(character).startswith("M")
            _WORD_TABLE[code] = 1 + belongs
        known = _WORD_TABLE[codes]
    return known == 2  # type: ignore[no-any-return]
