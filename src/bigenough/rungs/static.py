# SPDX-License-Identifier: Apache-2.0
"""The static rung: token vectors distilled from a sentence encoder, their mean, and logistic regression on it."""

from __future__ import annotations

from collections.abc import Mapping

from bigenough.models import DEFAULT_ENCODER, resolve
from bigenough.models.prepared import prepared_encoder
from bigenough.models.token_table import TokenTable, distilled_table
from bigenough.rungs.dense import first_head, fit_head, suggest_head
from bigenough.rungs.predictors.static import StaticPredictor
from bigenough.rungs.protocol import Settings, Trial, Workbench
from bigenough.task import Examples

__all__ = ["StaticRung"]


class StaticRung:
    """Static embeddings with a head; ``encoder`` names the weights that the table is distilled from."""

    name = "static"
    version = 1
    summary = "mean of static token vectors, with logistic regression on it"
    place = 20

    def __init__(self, encoder: str = DEFAULT_ENCODER) -> None:
        self.encoder = encoder

    def weights(self, bench: Workbench) -> Mapping[str, str]:
        """The weights of the encoder that the token vectors are distilled from."""
        return resolve(self.encoder, cache=bench.cache, offline=bench.offline).as_json()

    def first_settings(self, examples: Examples, n_classes: int) -> Settings:
        """The head's, by the number of classes."""
        return first_head(n_classes)

    def suggest(self, trial: Trial, examples: Examples, n_classes: int) -> Settings:
        """The head's settings."""
        return suggest_head(trial)

    def fit(self, examples: Examples, n_classes: int, settings: Settings, bench: Workbench) -> StaticPredictor:
        """Distil the table unless the cache has it, fit the head, and put the head into the table."""
        table = self._table(bench)
        head = fit_head(table.embed(examples.texts), examples.labels, n_classes, settings)
        return StaticPredictor(table, head).folded()

    def _table(self, bench: Workbench) -> TokenTable:
        key = ("token table", self.encoder)
        if key not in bench.memo:
            weights = resolve(self.encoder, cache=bench.cache, offline=bench.offline)
            prepared = prepared_encoder(weights, cache=bench.cache)
            encoder = prepared.start(threads=bench.threads)
            bench.memo[key] = distilled_table(
                encoder,
                weights.identity,
                cache=bench.cache,
                say=lambda done: bench.say("distilling token vectors", done),
            )
        table: TokenTable = bench.memo[key]
        return table
