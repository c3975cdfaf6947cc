# SPDX-License-Identifier: Apache-2.0
"""A linear model over word and character n-grams, on numpy and scipy alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from bigenough.models.packed_rows import PACKED, PackedRows
from bigenough.rungs.predictors.artefact import WEIGHTS, damaged, read_facts, read_tensors, write_predictor
from bigenough.rungs.predictors.ngrams import Ngrams
from bigenough.rungs.predictors.softmax import checked_temperature, softmax
from bigenough.rungs.predictors.tfidf import Vocabulary, tfidf

__all__ = ["LinearPredictor"]

WINDOW = 8192
"""Texts whose features lie in memory together."""


@dataclass(frozen=True, eq=False)
class LinearPredictor:
    """Softmax of (coefficients · tf-idf + intercept) / temperature.

    Attributes:
        vocabularies: the n-grams it knows; their features stand one vocabulary after the other.
        coefficients: (features, s) float32, C-contiguous, so that the weights of an n-gram lie together; or packed.
        intercepts: (s,) float64.
        seen: (c,) the codes of the classes that had training rows. s is c; or 1 when c is 2, for a single margin
            between the two; the other classes get probability zero.
        classes: k, the width of the answer.
        temperature: what the scores are divided by.
    """

    kind: ClassVar[str] = "linear"
    vocabularies: tuple[Vocabulary, ...]
    coefficients: NDArray[np.float32] | PackedRows
    intercepts: NDArray[np.float64]
    seen: NDArray[np.int64]
    classes: int
    temperature: float = 1.0

    @property
    def n_parameters(self) -> int:
        """Coefficients, intercepts and inverse document frequencies."""
        return self.coefficients.size + self.intercepts.size + sum(map(len, self.vocabularies))

    @property
    def n_classes(self) -> int:
        """The width of ``predict_proba``."""
        return self.classes

    def predict_proba(self, texts: Sequence[str]) -> NDArray[np.float64]:
        """The (n, k) class probabilities; each row is worked out from its own text, in a fixed order of additions."""
        scores = self.scores(texts)
        if scores.shape[1] < len(self.seen):
            # Softmax of (-s/2, s/2) is the logistic function of s.
            scores = np.hstack([-scores / 2, scores / 2])
        probability = np.zeros((len(texts), self.classes))
        probability[:, self.seen] = softmax(scores, self.temperature)
        return probability

    def scores(self, texts: Sequence[str]) -> NDArray[np.float64]:
        """The (n, s) margins before the softmax, made a window of rows at a time."""
        out = np.empty((len(texts), len(self.intercepts)))
        for start in range(0, len(texts), WINDOW):
            features = tfidf(texts[start : start + WINDOW], self.vocabularies)
            if isinstance(self.coefficients, PackedRows):
                margins: NDArray[np.float32] = _times_packed(features, self.coefficients)
            else:
                margins = features @ self.coefficients
            out[start : start + len(margins)] = margins.astype(np.float64) + self.intercepts
        return out

    def with_temperature(self, temperature: float) -> Self:
        """The same model with its log-probabilities divided by the temperature."""
        return replace(self, temperature=self.temperature * checked_temperature(temperature))

    def save(self, folder: Path) -> None:
        """Write ``predictor.json`` and ``weights.safetensors``."""
        tensors: dict[str, NDArray[Any]] = {"intercepts": self.intercepts, "seen": self.seen}
        if isinstance(self.coefficients, PackedRows):
            tensors |= self.coefficients.tensors()
        else:
            tensors["coefficients"] = self.coefficients
        for name, vocabulary in zip(_names(len(self.vocabularies)), self.vocabularies, strict=True):
            tensors |= {f"{name}.prints": vocabulary.prints, f"{name}.idf": vocabulary.idf}
        kinds = [vars(vocabulary.kind) for vocabulary in self.vocabularies]
        facts: dict[str, Any] = {"temperature": self.temperature, "classes": self.classes, "vocabularies": kinds}
        if isinstance(self.coefficients, PackedRows):
            facts["packed"] = self.coefficients.facts()
        write_predictor(folder, self.kind, facts, tensors)

    @classmethod
    def load(cls, folder: Path, *, threads: int | None = None) -> Self:
        """The model that ``save`` wrote; it works in one thread whatever ``threads`` allows."""
        facts = read_facts(folder)
        kinds = [Ngrams(**kind) for kind in facts["vocabularies"]]
        names = _names(len(kinds))
        wanted = [f"{name}.{part}" for name in names for part in ("prints", "idf")]
        packed = facts.get("packed")
        numbers = ["coefficients"] if packed is None else list(PACKED)
        tensors = read_tensors(folder, [*numbers, "intercepts", "seen", *wanted])
        vocabularies = tuple(
            Vocabulary(kind, tensors[f"{name}.prints"], tensors[f"{name}.idf"])
            for name, kind in zip(names, kinds, strict=True)
        )
        coefficients = tensors["coefficients"] if packed is None else PackedRows.from_tensors(tensors, packed)
        intercepts, seen = tensors["intercepts"], tensors["seen"]
        temperature = checked_temperature(facts["temperature"])
        loaded = cls(vocabularies, coefficients, intercepts, seen, int(facts["classes"]), temperature)
        if not loaded._fits_together():
            raise damaged(folder / WEIGHTS, "its tensors do not fit one another")
        return loaded

    def _fits_together(self) -> bool:
        margins = 1 if len(self.seen) == 2 else len(self.seen)
        return (
            all(len(vocabulary.prints) == len(vocabulary.idf) for vocabulary in self.vocabularies)
            and self.coefficients.shape == (sum(map(len, self.vocabularies)), len(self.intercepts))
            and len(self.intercepts) in (margins, len(self.seen))
            and len(self.seen) > 0
            and 0 <= int(self.seen.min()) <= int(self.seen.max()) < self.classes
        )


def _times_packed(features: csr_array, packed: PackedRows) -> NDArray[np.float32]:
    """(n, s): the product, for which the rows that these texts need are unpacked, and no others."""
    columns, place = np.unique(features.indices, return_inverse=True)
    needed = csr_array((features.data, place, features.indptr), shape=(features.shape[0], len(columns)))
    product: NDArray[np.float32] = needed @ packed.take(columns)
    return product


def _names(count: int) -> list[str]:
    return [f"vocabulary{i}" for i in range(count)]
