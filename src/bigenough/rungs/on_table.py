# SPDX-License-Identifier: Apache-2.0
"""What the rungs that stand on token vectors share: the table that they begin with."""

from __future__ import annotations

import copy
from typing import Self

from bigenough.models import resolve
from bigenough.models.bert import read_bert
from bigenough.models.prepared import prepared_encoder
from bigenough.models.token_table import TokenTable, distilled_table
from bigenough.rungs.on_encoder import OnEncoder
from bigenough.rungs.protocol import Workbench

__all__ = ["OnTable"]


class OnTable(OnEncoder):
    """A rung on the token vectors distilled from its encoder, or on a table that it is given."""

    _given: TokenTable | None = None

    def on_table(self, table: TokenTable) -> Self:
        """The same rung on this table, such as one that is distilled from a teacher."""
        other = copy.copy(self)
        other._given = table
        return other

    def table(self, bench: Workbench) -> TokenTable:
        """The table: the one given, or the encoder's, from the study's memory, the user's cache, or made now."""
        if self._given is not None:
            return self._given
        key = ("token table", self.encoder)
        if key not in bench.memo:
            weights = resolve(self.encoder, cache=bench.cache, offline=bench.offline)
            started = prepared_encoder(weights, cache=bench.cache).start(threads=bench.threads)
            bench.memo[key] = distilled_table(
                started,
                lambda: read_bert(weights.folder).words,
                weights.identity,
                cache=bench.cache,
                say=lambda done: bench.say("distilling token vectors", done),
            )
        table: TokenTable = bench.memo[key]
        return table
