# SPDX-License-Identifier: Apache-2.0
"""Smaller token tables: rows of 16, 8 or 4 bits, and none for tokens that say next to nothing.

It decides how a fitted static model is written down, and never what it has learned: no training happens here. Which
variant is kept, the labels of rows that nobody has fitted on decide.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from bigenough.errors import RungFailed
from bigenough.models.encoder import token_rows
from bigenough.models.packed_rows import PackedRows, PackedTable
from bigenough.models.token_table import MAX_LENGTH, TokenTable
from bigenough.rungs.predictors.static import StaticPredictor
from bigenough.rungs.protocol import Settings, Watched, Workbench
from bigenough.shrink.step import ShrinkStep
from bigenough.shrink.variants import watched
from bigenough.task import Examples

__all__ = ["TablesRung", "packed_tables"]

_BITS = (16, 8, 4)
_DROPPED = (0.0, 0.5, 0.9)
"""Shares of the tokens that no training text holds, those that say least first."""


class TablesRung(ShrinkStep):
    """A static model in fewer bits; ``allowed_flips`` is the largest share of labels that may change."""

    step = "small-table"
    summary = "static token table in fewer bits, without the tokens that say least"
    place = 19

    def first_settings(self, examples: Examples, n_classes: int) -> Settings:
        """Eight bits and every row; what select makes of it is kept in the settings."""
        return {"bits": 8, "dropped": 0.0}

    def fit(self, examples: Examples, n_classes: int, settings: Settings, bench: Workbench) -> StaticPredictor:
        """The parent that saw these rows, packed as the settings say. Raises ``RungFailed`` unless it is static."""
        return packed_tables(self._parent(examples), examples.texts, [settings])[0]

    def fit_watching(
        self, examples: Examples, n_classes: int, settings: Settings, bench: Workbench, watch: Examples
    ) -> Watched:
        """Every variant; the smallest of those that change no more labels of the watched rows than allowed is kept.

        Raises ``RungFailed`` when there is none.
        """
        parent = self._parent(examples)
        tried = [{"bits": bits, "dropped": dropped} for bits in _BITS for dropped in _DROPPED]
        made = packed_tables(parent, examples.texts, tried)
        return watched(self.name, parent, zip(tried, made, strict=True), watch, self.allowed_flips, bench.metric)

    def _parent(self, examples: Examples) -> StaticPredictor:
        parent = self.parent.of(examples)
        if not isinstance(parent, StaticPredictor):
            raise RungFailed(f"{self.name} needs a static model. {self.parent.name} is of the kind {parent.kind!r}.")
        return parent


def packed_tables(
    predictor: StaticPredictor, texts: Sequence[str], settings: Sequence[Settings]
) -> list[StaticPredictor]:
    """The predictor with its table packed, once for each of the settings ``bits`` and ``dropped``.

    Args:
        predictor: its table is read, not changed.
        texts: what it was fitted on; tokens that occur in them are never dropped, nor are pairs.
        settings: ``bits`` 4, 8 or 16; ``dropped``, the share of all other tokens that go, by how little they tell
            classes apart: the spread of the token's scores over the classes.
    """
    vectors = centred(predictor)
    scores = vectors @ predictor.head.weight.astype(np.float32)
    tells = np.ptp(scores, axis=1) if scores.shape[1] else np.zeros(len(scores))
    seen = np.arange(len(vectors)) >= predictor.table.vocabulary
    for ids in token_rows(predictor.table.tokenizer, texts, MAX_LENGTH, special=False):
        seen[ids] = True
    unseen = np.flatnonzero(~seen)
    unseen = unseen[np.argsort(tells[unseen], kind="stable")]
    made = []
    for one in settings:
        kept = vectors.copy()
        kept[unseen[: int(float(one["dropped"]) * len(unseen))]] = 0.0
        packed = PackedRows.of(kept, int(one["bits"]))
        table: TokenTable = PackedTable(packed, predictor.table.tokenizer, predictor.table.pairs)
        made.append(replace(predictor, table=table))
    return made


def centred(predictor: StaticPredictor) -> NDArray[np.float32]:
    """The table's rows; of a table by class less their means, which no softmax can tell from none."""
    vectors = predictor.table.take(np.arange(predictor.table.shape[0]))
    return vectors - vectors.mean(axis=1, keepdims=True) if predictor.is_by_class else vectors
