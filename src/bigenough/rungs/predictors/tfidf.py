# SPDX-License-Identifier: Apache-2.0
"""Sublinear tf-idf over n-gram vocabularies: ``learn`` makes the vocabularies, ``tfidf`` turns any text into a row.

The weight of an n-gram that occurs c times in a text and in d of n training texts is
(1 + ln c) · (1 + ln((1 + n) / (1 + d))), Salton & Buckley 1988 with the smoothing of scikit-learn's
``TfidfVectorizer``; the weights of one vocabulary in one text are then scaled to length 1, so that words and characters
have equal say.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from bigenough.rungs.predictors.ngrams import Ngrams, Occurrences, occurrences

__all__ = ["Counts", "Vocabulary", "count_texts", "learn", "short_prints", "tfidf", "weight_sums"]

_MIX = np.uint64(0x9E3779B97F4A7C15)
_PENDING = 1 << 22
"""N-grams whose counts may wait to be added up, or as many as are known already; bounds the memory of counting."""


@dataclass(frozen=True, eq=False)
class Vocabulary:
    """The n-grams of one kind that the model knows.

    Attributes:
        kind: which n-grams.
        prints: (f,) their fingerprints, ascending; in 32 bits as ``short_prints`` gives them.
        idf: (f,) float32 or float16, how much each tells, by how few training texts have it.
    """

    kind: Ngrams
    prints: NDArray[np.uint64] | NDArray[np.uint32]
    idf: NDArray[np.float32] | NDArray[np.float16]

    def __len__(self) -> int:
        return len(self.prints)

    def places(self, prints: NDArray[np.uint64]) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
        """Where each of these fingerprints would stand in the vocabulary, and whether it does."""
        mine = short_prints(prints) if self.prints.dtype == np.uint32 else prints
        place = np.searchsorted(self.prints, mine)
        return place, self.prints.take(place, mode="clip") == mine


@dataclass(frozen=True, eq=False)
class Counts:
    """In how many of ``n_texts`` texts each n-gram of a kind occurs; fingerprints ascending."""

    kind: Ngrams
    prints: NDArray[np.uint64]
    texts: NDArray[np.int64]
    n_texts: int

    def vocabulary(self, *, min_texts: int = 1, at_most: int | None = None) -> Vocabulary:
        """The n-grams in at least ``min_texts`` texts; the ``at_most`` most frequent of them, ties by fingerprint."""
        kept = np.flatnonzero(self.texts >= min_texts)
        if at_most is not None and len(kept) > at_most:
            kept = np.sort(kept[np.argsort(-self.texts[kept], kind="stable")[:at_most]])
        idf = 1.0 + np.log((1.0 + self.n_texts) / (1.0 + self.texts[kept]))
        return Vocabulary(self.kind, self.prints[kept], idf.astype(np.float32))


def count_texts(texts: Sequence[str], kinds: Sequence[Ngrams]) -> list[Counts]:
    """For each kind, the number of texts that have each n-gram."""
    parts: list[list[tuple[NDArray[np.uint64], NDArray[np.int64]]]] = [[] for _ in kinds]
    for start, end, found in occurrences(texts, kinds):
        for mine, occurrence in zip(parts, found, strict=True):
            mine.append(_texts_with(occurrence, end - start))
            if sum(len(prints) for prints, _ in mine[1:]) > max(_PENDING, len(mine[0][0])):
                mine[:] = [_merge(mine)]
    return [Counts(kind, *_merge(mine), len(texts)) for kind, mine in zip(kinds, parts, strict=True)]


def learn(
    texts: Sequence[str], kinds: Sequence[Ngrams], *, min_texts: int = 1, at_most: int | None = None
) -> list[Vocabulary]:
    """The vocabularies of these texts; ``at_most`` bounds each.

    >>> [len(learned) for learned in learn(["a cat", "a dog"], [Ngrams("word", 1, 2)])]
    [5]
    """
    return [counts.vocabulary(min_texts=min_texts, at_most=at_most) for counts in count_texts(texts, kinds)]


def tfidf(texts: Sequence[str], vocabularies: Sequence[Vocabulary]) -> csr_array:
    """The (n, features) float32 rows; a row depends on its text alone. Features stand vocabulary by vocabulary."""
    parts = [
        _rows(found, end - start, vocabularies)
        for start, end, found in occurrences(texts, [vocabulary.kind for vocabulary in vocabularies])
    ]
    lengths, columns, values = (
        np.concatenate([np.zeros(0, kind), *(part[i] for part in parts)])
        for i, kind in enumerate((np.int64, np.int32, np.float32))
    )
    ends = np.concatenate([[0], np.cumsum(lengths)])
    shape = (len(texts), sum(map(len, vocabularies)))
    return csr_array((values, columns, ends.astype(np.int32 if ends[-1] < 2**31 else np.int64)), shape=shape)


def weight_sums(texts: Sequence[str], vocabularies: Sequence[Vocabulary]) -> NDArray[np.float32]:
    """(features,) the columns of ``tfidf`` added up, row by row as the matrix would, which is never there as a whole.

    >>> words = learn(["a cat", "a dog"], [Ngrams("word", 1, 1)])
    >>> bool((weight_sums(["a cat", "a dog"], words) == tfidf(["a cat", "a dog"], words).sum(axis=0)).all())
    True
    """
    sums = np.zeros(sum(map(len, vocabularies)), np.float32)
    for start, end, found in occurrences(texts, [vocabulary.kind for vocabulary in vocabularies]):
        _, columns, values = _rows(found, end - start, vocabularies)
        np.add.at(sums, columns, values)
    return sums


def short_prints(prints: NDArray[np.uint64]) -> NDArray[np.uint32]:
    """Fingerprints in 32 bits, each with a say of all 64 (multiplicative hashing, Knuth 1973, section 6.4).

    An n-gram that is none of f known ones is taken for one of them with a chance of f / 2³²: of 50,000, once in 86,000.
    """
    return ((prints * _MIX) >> np.uint64(32)).astype(np.uint32)


def _rows(
    found: Sequence[Occurrences], n_texts: int, vocabularies: Sequence[Vocabulary]
) -> tuple[NDArray[np.int64], NDArray[np.int32], NDArray[np.float32]]:
    """Row lengths, columns and weights of one chunk; rows in order, columns ascending."""
    n_features = sum(map(len, vocabularies))
    keys, offset, offsets = [np.zeros(0, np.int64)], 0, []
    for occurrence, vocabulary in zip(found, vocabularies, strict=True):
        if len(vocabulary):
            place, known = vocabulary.places(occurrence.print)
            keys.append(occurrence.text[known] * n_features + (place[known] + offset))
        offsets.append(offset)
        offset += len(vocabulary)
    key, count = np.unique(np.concatenate(keys), return_counts=True)
    row, column = np.divmod(key, max(n_features, 1))
    idf = np.concatenate([vocabulary.idf for vocabulary in vocabularies])
    weight = (1.0 + np.log(count)) * idf[column]
    # Summed by bincount, one after the other: the same bits in any batch.
    part = row * len(vocabularies) + (np.searchsorted(offsets, column, side="right") - 1)
    norm = np.sqrt(np.bincount(part, weight * weight, minlength=1))
    return (
        np.bincount(row, minlength=n_texts),
        column.astype(np.int32),
        (weight / norm[part]).astype(np.float32),
    )


def _texts_with(found: Occurrences, n_texts: int) -> tuple[NDArray[np.uint64], NDArray[np.int64]]:
    prints, place = np.unique(found.print, return_inverse=True)
    pairs = np.unique(place * n_texts + found.text)
    return prints, np.bincount(pairs // n_texts, minlength=len(prints))


def _merge(
    parts: Sequence[tuple[NDArray[np.uint64], NDArray[np.int64]]],
) -> tuple[NDArray[np.uint64], NDArray[np.int64]]:
    if not parts:
        return np.zeros(0, np.uint64), np.zeros(0, np.int64)
    if len(parts) == 1:
        return parts[0]
    prints, place = np.unique(np.concatenate([prints for prints, _ in parts]), return_inverse=True)
    texts = np.bincount(place, np.concatenate([texts for _, texts in parts]), minlength=len(prints))
    return prints, texts.astype(np.int64)
