# SPDX-License-Identifier: Apache-2.0
"""A linear model with fewer n-grams and shorter numbers.

Most n-grams of a linear model hardly move a score. Those that move them least on the training texts go first, and the
coefficients of the others are written in 8 or 4 bits, their fingerprints in 32. It decides how far that can go without
changing labels; whether the model is good enough is the verdict's affair.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from bigenough.errors import RungFailed
from bigenough.models.packed_rows import PackedRows
from bigenough.rungs.predictors.linear import LinearPredictor
from bigenough.rungs.predictors.tfidf import Vocabulary, short_prints, weight_sums
from bigenough.rungs.protocol import Settings, Watched, Workbench
from bigenough.shrink.flips import Variant, kept_variant, variants_record
from bigenough.shrink.step import ShrinkStep
from bigenough.shrink.variants import looked_at
from bigenough.task import Examples

__all__ = ["FeaturesRung", "importance", "with_features"]

_KEPT = (1.0, 0.6, 0.4, 0.25, 0.15, 0.1, 0.06, 0.03)
_BITS = (8, 4)


class FeaturesRung(ShrinkStep):
    """A linear model with the n-grams that matter; ``allowed_flips`` is the largest share of labels that may change."""

    step = "few-features"
    summary = "linear model with its telling n-grams only, coefficients in few bits"
    place = 9

    def first_settings(self, examples: Examples, n_classes: int) -> Settings:
        """Every n-gram in eight bits; what select makes of it is kept in the settings."""
        return {"kept": 1.0, "bits": 8}

    def fit(self, examples: Examples, n_classes: int, settings: Settings, bench: Workbench) -> LinearPredictor:
        """The parent that saw these rows, made small as the settings say. Raises ``RungFailed`` unless it is linear."""
        parent = self._parent(examples)
        return _made(parent, importance(parent, examples), settings)

    def fit_watching(
        self, examples: Examples, n_classes: int, settings: Settings, bench: Workbench, watch: Examples
    ) -> Watched:
        """Fewer and fewer n-grams, in eight bits and in four, until too many labels change.

        Fitting the n-grams that are left anew was tried too: on two public sets it led to no smaller model. The
        smallest model that changes no more labels of the watched rows than allowed is kept; ``RungFailed`` when there
        is none.
        """
        parent = self._parent(examples)
        order = importance(parent, examples)
        variants: list[Variant] = []
        for bits in _BITS:
            for kept_share in _KEPT:
                one = {"kept": kept_share, "bits": bits}
                made = _made(parent, order, one)
                variants.append(looked_at(parent, one, made, watch, self.allowed_flips, bench.metric))
                if variants[-1].refused is not None:
                    break
        kept = kept_variant(self.name, variants)
        chosen = variants[kept].settings
        return Watched(_made(parent, order, chosen), chosen, variants_record(variants, kept))

    def _parent(self, examples: Examples) -> LinearPredictor:
        parent = self.parent.of(examples)
        if not isinstance(parent, LinearPredictor):
            raise RungFailed(f"{self.name} needs a linear model. {self.parent.name} is of the kind {parent.kind!r}.")
        return parent


def importance(predictor: LinearPredictor, examples: Examples) -> NDArray[np.float64]:
    """(features,) how much each n-gram moves scores apart on these texts: its coefficients' spread × its weight there.

    The spread is the standard deviation over the classes, of a single margin the absolute value; the weight is the sum
    of the n-gram's tf-idf over the texts.
    """
    coefficients = _coefficients(predictor)
    spread = np.abs(coefficients[:, 0]) if coefficients.shape[1] == 1 else coefficients.std(axis=1)
    weight = weight_sums(examples.texts, predictor.vocabularies).astype(np.float64)
    return np.asarray(spread * weight, np.float64)


def with_features(predictor: LinearPredictor, chosen: NDArray[np.int64]) -> LinearPredictor:
    """The model with these features only (ascending numbers); fingerprints in 32 bits where no two become one.

    A text's weights are scaled to length 1 over the n-grams that are left, so that what stays counts for more.
    """
    vocabularies, order, start = [], [np.zeros(0, np.int64)], 0
    for vocabulary in predictor.vocabularies:
        mine = chosen[(chosen >= start) & (chosen < start + len(vocabulary))] - start
        prints, idf = vocabulary.prints[mine], vocabulary.idf[mine]
        short = short_prints(prints.astype(np.uint64)) if prints.dtype == np.uint64 else prints
        if len(np.unique(short)) == len(short):
            by_print = np.argsort(short)
            mine, prints, idf = mine[by_print], short[by_print], idf[by_print].astype(np.float16)
        vocabularies.append(Vocabulary(vocabulary.kind, prints, idf))
        order.append(mine + start)
        start += len(vocabulary)
    coefficients = _coefficients(predictor)[np.concatenate(order)]
    return replace(predictor, vocabularies=tuple(vocabularies), coefficients=coefficients)


def _made(parent: LinearPredictor, order: NDArray[np.float64], settings: Settings) -> LinearPredictor:
    count = max(1, round(float(settings["kept"]) * len(order)))
    chosen = np.sort(np.argsort(-order, kind="stable")[:count])
    made = with_features(parent, chosen)
    return replace(made, coefficients=PackedRows.of(_coefficients(made), int(settings["bits"])))


def _coefficients(predictor: LinearPredictor) -> NDArray[np.float32]:
    found = predictor.coefficients
    return found.take(np.arange(found.shape[0])) if isinstance(found, PackedRows) else found
