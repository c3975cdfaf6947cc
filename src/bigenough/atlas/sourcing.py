# SPDX-License-Identifier: Apache-2.0
"""Where each cell of the atlas comes from.

A row's ``source`` speaks for its cells, except where ``data/cell_sources.csv`` names another for some of them; there a
row ``*`` stands for a whole column. Each source has a grade, which says how well it was read:

- *looked-up*: the figure was compared with the source;
- *secondary*, *Epoch*: it was read in somebody's copy, or in Epoch AI's table of notable models (CC BY);
- *recall*: it is somebody's memory of the source;
- *ours*: a classification that no source makes.

A model's row that was looked up covers its headline figures; its shape, licence and names stay recall.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import NamedTuple

from bigenough.atlas.tables import read_table

__all__ = ["GRADES", "HEADLINE", "CellSource", "Sourcing", "cell_sources", "grade_of_row", "source_of"]

GRADES = ("looked-up", "secondary", "Epoch", "recall", "ours")
"""How well a source was read."""

HEADLINE = frozenset(
    {
        "total_params", "active_params", "train_tokens", "train_flops", "accelerator_hours", "energy_mwh", "co2e_t",
        "lambada_zero_shot", "imagenet_top1", "coco_fid_zero_shot",
    }
)  # fmt: skip
"""The figures of a model that *looked-up* speaks of when its row says no more."""


@dataclass(frozen=True)
class CellSource:
    """The source of some cells that is not their row's.

    Attributes:
        table: the file, without its ending.
        row: the row's name, or ``*`` for all.
        columns: which of its cells.
        source: who published them, and where.
        evidence: how well that was read; one of ``GRADES``.
    """

    table: str
    row: str
    columns: tuple[str, ...]
    source: str
    evidence: str


class Sourcing(NamedTuple):
    """Who published a cell, and how well that was read: one of ``GRADES``, empty where its table does not say."""

    source: str
    grade: str

    def __str__(self) -> str:
        return f"{self.source}; {self.grade}" if self.grade else self.source


def cell_sources() -> tuple[CellSource, ...]:
    """The exceptions, in the file's order."""
    return read_table("cell_sources", CellSource)


@cache
def _exceptions() -> Mapping[tuple[str, str, str], Sourcing]:
    return {
        (one.table, one.row, column): Sourcing(one.source, one.evidence)
        for one in cell_sources()
        for column in one.columns
    }


def source_of(table: str, row: str, column: str, *, source: str, evidence: str) -> Sourcing:
    """The source of one cell.

    Args:
        table: the file, without its ending.
        row: the row's name.
        column: of the cell.
        source: what the row says of all its cells; empty when its table says nothing.
        evidence: the same of how well it was read.

    >>> source_of("models", "GPT-3", "energy_mwh", source="a paper", evidence="looked-up").source
    'arXiv:2104.10350 Table 4'
    >>> source_of("models", "GPT-3", "layers", source="a paper", evidence="looked-up")
    Sourcing(source='a paper', grade='recall')
    """
    known = _exceptions()
    found = known.get((table, row, column)) or known.get((table, "*", column))
    return found or Sourcing(source, grade_of_row(table, column, evidence))


def grade_of_row(table: str, column: str, evidence: str) -> str:
    """How well a cell was read when only its row says something: mixed rows name what was, so the rest is recall.

    >>> [grade_of_row("models", "co2e_t", said) for said in ("looked-up", "looked-up (hardware) + recall", "Epoch")]
    ['looked-up', 'recall', 'Epoch']
    """
    if not evidence:
        return ""
    if table == "models" and (column not in HEADLINE or "recall" in evidence):
        return "recall"
    if "Epoch" in evidence:
        return "Epoch"
    if "secondary" in evidence:
        return "secondary"
    return "looked-up" if evidence.startswith("looked-up") else "recall"
