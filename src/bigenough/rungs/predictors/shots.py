# SPDX-License-Identifier: Apache-2.0
"""Labelled examples that a prompt shows: the nearest to a row, or the same for all rows, with no class in excess."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal, Self, get_args

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csc_array

from bigenough.errors import BadOption
from bigenough.rungs.predictors.artefact import damaged
from bigenough.rungs.predictors.ngrams import Ngrams
from bigenough.rungs.predictors.tfidf import Vocabulary, learn, tfidf
from bigenough.storage import read_json, write_json

__all__ = ["CHOICES", "FILE", "LONGEST_SHOT", "Choice", "Shots"]

Choice = Literal["nearest", "fixed"]
CHOICES: tuple[Choice, ...] = get_args(Choice)

FILE = "shots.json"
LONGEST_SHOT = 600
"""Characters of an example that are shown: a prompt has many, and one long one must not drive out the rest."""
_KINDS = (Ngrams("word", 1, 1), Ngrams("character", 3, 5))
_ROWS_AT_ONCE = 256


@dataclass(frozen=True, eq=False)
class Shots:
    """Examples to choose from.

    Nearness is the cosine of tf-idf rows of words and of three to five characters. Of k examples at most
    ⌈k / min(classes, max(1, k / 2))⌉ are of one class, so that a prompt always shows several classes where there are
    several; they stand in rising nearness, the nearest last, beside the question.

    Attributes:
        texts: (m) the examples' texts, as they are shown.
        labels: (m,) their codes.
        n_classes: how many classes the task has.

    Example:
        >>> shots = Shots(["WIN a prize", "see you at six", "call me"], np.array([1, 0, 0]), 2)
        >>> shots.for_rows(["see you at eight", ""], 1)
        [[('see you at six', 0)], [('WIN a prize', 1)]]
    """

    texts: Sequence[str]
    labels: NDArray[np.int64]
    n_classes: int

    def for_rows(self, rows: Sequence[str], k: int, choice: Choice = "nearest") -> list[list[tuple[str, int]]]:
        """For each row the k examples that its prompt shows; a function of each row alone."""
        if choice not in CHOICES:
            raise BadOption(f"Examples are chosen as one of {list(CHOICES)}. Got {choice!r}.")
        if k == 0 or not len(self.texts):
            return [[] for _ in rows]
        if choice == "fixed":
            fixed = self._balanced(k)
            return [list(fixed) for _ in rows]
        found: list[list[tuple[str, int]]] = []
        for start in range(0, len(rows), _ROWS_AT_ONCE):
            some = rows[start : start + _ROWS_AT_ONCE]
            near = (tfidf(some, self._vocabularies) @ self._features).toarray()
            found += [self._nearest(row, k) for row in near]
        return found

    def save(self, folder: Path) -> None:
        """Write ``shots.json``."""
        write_json(folder / FILE, {"texts": list(self.texts), "labels": self.labels.tolist()})

    @classmethod
    def load(cls, folder: Path, n_classes: int) -> Self:
        """The examples that ``save`` wrote. Raises ``TamperedArtefact``."""
        path = folder / FILE
        if not path.is_file():
            raise damaged(path, "it is missing")
        try:
            facts = read_json(path)
            texts, labels = [str(text) for text in facts["texts"]], np.array(facts["labels"], np.int64)
        except (KeyError, TypeError, ValueError) as error:
            raise damaged(path, f"it holds no examples ({type(error).__name__})") from error
        if labels.shape != (len(texts),) or not ((labels >= 0) & (labels < n_classes)).all():
            raise damaged(path, "its labels do not fit its texts")
        return cls(texts, labels, n_classes)

    @classmethod
    def of(cls, texts: Sequence[str], labels: NDArray[np.int64], n_classes: int, *, most: int) -> Self:
        """About ``most`` of these examples at most, spread evenly over each class; each text cut, and once only."""
        cut = [text.encode("utf-8", "replace").decode()[:LONGEST_SHOT] for text in texts]
        once = list({text: place for place, text in reversed(list(enumerate(cut)))}.values())
        kept = np.sort([place for place in once if cut[place].strip()]).astype(np.int64)
        if most < 1:
            kept = kept[:0]
        elif len(kept) > most:
            mine = [kept[labels[kept] == code] for code in np.unique(labels[kept])]
            parts = [max(1, round(most * len(each) / len(kept))) for each in mine]
            spread = [
                each[np.linspace(0, len(each) - 1, n).astype(np.int64)] for each, n in zip(mine, parts, strict=True)
            ]
            kept = np.sort(np.concatenate(spread))
        return cls([cut[place] for place in kept], labels[kept], n_classes)

    @cached_property
    def _vocabularies(self) -> list[Vocabulary]:
        return learn(self.texts, _KINDS)

    @cached_property
    def _features(self) -> csc_array:
        return tfidf(self.texts, self._vocabularies).T.tocsc()

    def _cap(self, k: int) -> int:
        present = len(np.unique(self.labels))
        return int(np.ceil(k / min(present, max(1, k // 2))))

    def _nearest(self, near: NDArray[np.float32], k: int) -> list[tuple[str, int]]:
        order = np.lexsort((np.arange(len(near)), -near))
        cap, taken, counts = self._cap(k), [], np.zeros(self.n_classes, np.int64)
        for place in order.tolist():
            code = int(self.labels[place])
            if counts[code] < cap:
                counts[code] += 1
                taken.append(place)
                if len(taken) == k:
                    break
        return [(self.texts[place], int(self.labels[place])) for place in reversed(taken)]

    def _balanced(self, k: int) -> list[tuple[str, int]]:
        """The first examples of each class in turn."""
        turn = np.empty(len(self.labels), np.int64)
        for code in np.unique(self.labels):
            mine = np.flatnonzero(self.labels == code)
            turn[mine] = np.arange(len(mine))
        order = np.lexsort((self.labels, turn))[:k]
        return [(self.texts[place], int(self.labels[place])) for place in order.tolist()]
