# SPDX-License-Identifier: Apache-2.0
"""Hold how a paid reference was asked against the order, the bets and the stopping rule that were fixed beforehand."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from .betting import Case, enough
from .rows import Check, Codes, Json, Rows, same

__all__ = ["asking", "case_of", "settled_rows"]


def case_of(verdict: Json, rows: Rows, name: str) -> Case:
    """A nominee against the reference on these rows."""
    gold, against = rows.gold, rows.candidates[verdict["reference"]["name"]].predicted
    d = (rows.candidates[name].predicted == gold).astype(np.int64) - (against == gold)
    return Case(d, verdict["margin"], verdict["early"]["discordance"])


def asking(verdict: Json, rows: Rows, asked: Codes) -> Iterator[Check]:
    """That the asked rows are the first of the order that was drawn, and that asking ended when and why it says."""
    early, n = verdict["early"], len(asked)
    yield same("certify rows that could be asked", early["of"], len(rows.gold))
    yield same("rows asked", early["asked"], n)
    drawn = np.random.default_rng(early["order_seed"]).permutation(len(rows.gold))[:n]
    yield Check("order of asking", asked[:5].tolist(), drawn[:5].tolist(), np.array_equal(asked, drawn))
    here = rows.at(asked)
    row = enough([case_of(verdict, here, c["candidate"]).settled(verdict["alpha"]) for c in verdict["comparisons"]])
    because = "all rows asked" if n == len(rows.gold) else "budget spent" if row is None else "decided"
    yield same("why asking ended", early["stopped_because"], because)
    last = n if row is None else -(-row // early["batch_rows"]) * early["batch_rows"]
    yield Check("rows asked after it was settled", n, row, n <= last)


def settled_rows(verdict: Json, rows: Rows, asked: Codes, name: str) -> Rows:
    """The asked rows up to the one that settled a nominee's case; all of them while it is open."""
    return rows.at(asked[: case_of(verdict, rows.at(asked), name).settled(verdict["alpha"]).row])
