# SPDX-License-Identifier: Apache-2.0
"""The static rung: token vectors distilled from a sentence encoder, their mean, and logistic regression on it.

Each token that the examples hold may also move away from what the encoder says of it, at a price (``freedom``): the
fine-tuning of token vectors, written as one convex problem. What is left in the end is one number a token and class.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from bigenough.errors import BadOption
from bigenough.models.token_table import TokenTable, token_weights
from bigenough.rungs.dense import first_head, fit_head, regression, suggest_head
from bigenough.rungs.on_table import OnTable
from bigenough.rungs.predictors.static import StaticPredictor
from bigenough.rungs.protocol import Settings, Trial, Workbench
from bigenough.task import Examples

if TYPE_CHECKING:
    from scipy.sparse import csr_array

__all__ = ["StaticRung"]

_MOST_FREE = 1_000_000
"""Numbers of free tokens, one for each class, that are fitted at most: the most frequent tokens get them."""


class StaticRung(OnTable):
    """Static embeddings with a head; ``encoder`` names the weights that the table is distilled from."""

    name = "static"
    version = 2
    summary = "mean of static token vectors, with logistic regression on it"
    place = 20

    def first_settings(self, examples: Examples, n_classes: int) -> Settings:
        """As much say for the tokens themselves as for the encoder's vectors of them."""
        return {**first_head(n_classes), "freedom": 1.0}

    def suggest(self, trial: Trial, examples: Examples, n_classes: int) -> Settings:
        """The head's settings, and how freely tokens leave the encoder's vectors."""
        return {**suggest_head(trial), "freedom": trial.suggest_categorical("freedom", [0.0, 0.5, 1.0, 2.0])}

    def fit(self, examples: Examples, n_classes: int, settings: Settings, bench: Workbench) -> StaticPredictor:
        """Distil the table unless the cache has it, then fit; with many classes tokens keep the encoder's vectors."""
        return self._fitted(examples.texts, examples.labels, n_classes, settings, bench)

    def fit_soft(
        self,
        texts: Sequence[str],
        targets: NDArray[np.float64],
        n_classes: int,
        settings: Settings,
        bench: Workbench,
    ) -> StaticPredictor:
        """The same from (n, k) class probabilities in place of labels, such as a teacher's."""
        return self._fitted(texts, targets, n_classes, settings, bench)

    def _fitted(
        self,
        texts: Sequence[str],
        labels: NDArray[np.int64] | NDArray[np.float64],
        n_classes: int,
        settings: Settings,
        bench: Workbench,
    ) -> StaticPredictor:
        if not settings["freedom"] >= 0:
            raise BadOption(f"freedom must be zero or above. Got {settings['freedom']!r}.")
        table = self.table(bench)
        shares = table.shares(texts)
        features: NDArray[np.float64] = shares @ table.vectors.astype(np.float64)
        if n_classes >= table.vectors.shape[1]:
            return StaticPredictor(table, fit_head(features, labels, n_classes, settings))
        free, scale = _free_tokens(shares, table, n_classes, float(settings["freedom"]))
        own = shares[:, free] * scale
        fitted = regression(features, labels, n_classes, settings, own)
        by_class = table.vectors.astype(np.float64) @ fitted.weight
        by_class[free] += fitted.sparse_weight * scale[:, None]
        return StaticPredictor.by_class(TokenTable(by_class.astype(np.float32), table.tokenizer), fitted.bias)


def _free_tokens(
    shares: csr_array, table: TokenTable, n_classes: int, freedom: float
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """The tokens that may move, and the scale of each: rows of scaled shares have the mean square ``freedom``²."""
    in_texts = np.bincount(shares.indices, minlength=shares.shape[1])
    weights = token_weights(table.tokenizer)
    candidates = np.flatnonzero((in_texts > 0) & (weights > 0)) if freedom else np.zeros(0, dtype=np.int64)
    most = max(1, _MOST_FREE // n_classes)
    free = np.sort(candidates[np.argsort(-in_texts[candidates], kind="stable")[:most]])
    size = float((shares[:, free] * weights[free]).power(2).sum()) / max(1, shares.shape[0])
    return free, weights[free] * (freedom / np.sqrt(size) if size else 0.0)
