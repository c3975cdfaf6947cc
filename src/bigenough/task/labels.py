# SPDX-License-Identifier: Apache-2.0
"""From a column's values to class names, refusing what is no class.

Which spellings mean "no label" is deliberately narrow: "none", "NA" and "N/A" are real classes in many
tables and are kept.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from bigenough.errors import BadOption, NotEnoughLabels
from bigenough.task.table import Table, count, few

if TYPE_CHECKING:
    import polars as pl

__all__ = ["EMPTY", "check_distinct", "class_names"]

EMPTY = ("", "nan", "NaN", "<NA>", "NULL", "null", "#N/A")
"""What stands for a missing value where other programs have written one."""

_DOUBTFUL = ("none", "na", "n/a", "unknown")
_MOST_FRACTIONS = 20


def class_names(table: Table, name: str) -> tuple[pl.Series, list[str]]:
    """The class names, missing ones as null, and what was decided about them.

    Raises:
        BadOption: the column holds lists, or a measure in place of classes.
    """
    import polars as pl

    if name in table.nested:
        raise BadOption(
            f"The label column {name!r} of {table.source} holds lists or objects. One label a row was expected; "
            "several labels a row are not supported."
        )
    column = table.frame[name]
    raw = column.cast(pl.String)
    names = raw.str.strip_chars()
    names = names.set(names.is_in(EMPTY).fill_null(False), None)
    decisions = []
    spaced = (raw != raw.str.strip_chars()).fill_null(False) & names.is_not_null()
    if spaced.any():
        decisions.append(f"Blanks around {count(int(spaced.sum()), 'label')} were taken off.")
    names, said = _whole_numbers(names, name, table)
    decisions += said
    spellings = names.drop_nulls().unique().sort().to_list()
    folded: dict[str, list[str]] = {}
    for one in spellings:
        folded.setdefault(one.casefold(), []).append(one)
    if alike := [same for same in folded.values() if len(same) > 1]:
        decisions.append(
            f"Labels that differ only in capitals are kept apart: {few([few(same) for same in alike], 5)}."
        )
    if doubtful := [one for one in spellings if one.casefold() in _DOUBTFUL]:
        decisions.append(
            f"The label {few([repr(one) for one in doubtful])} is kept as a class; leave it empty for none."
        )
    return names, decisions


def _whole_numbers(names: pl.Series, name: str, table: Table) -> tuple[pl.Series, list[str]]:
    """Labels such as 1.0 as 1; refuses a column of fractions, which is a measure and not a class."""
    import polars as pl

    known = names.drop_nulls()
    numbers = known.cast(pl.Float64, strict=False)
    if not len(known) or numbers.null_count() or not numbers.is_finite().all():
        return names, []
    if not (numbers == numbers.round()).all():
        n_distinct = numbers.n_unique()
        if n_distinct > _MOST_FRACTIONS:
            raise BadOption(
                f"The label column {name!r} of {table.source} holds {n_distinct:,} different fractional numbers (such "
                f"as {few(known.unique().sort().to_list(), 3)}): a measure, not a class. Name another column, or put "
                "the numbers into bands first."
            )
        return names, [f"The labels are {n_distinct} fractional numbers; each is taken as a class."]
    if not known.str.contains(r"[.eE]").any():
        return names, []
    whole = names.cast(pl.Float64, strict=False).cast(pl.Int64, strict=False).cast(pl.String)
    if whole.null_count() > names.null_count():
        return names, []  # beyond 64 bits: as they are
    return whole, ["The labels are whole numbers written as fractions: 1.0 is the class '1'."]


def check_distinct(names: pl.Series, column: str, table: Table) -> None:
    """Raise ``NotEnoughLabels`` where half of the labels differ or more: ids and texts, not classes."""
    n_distinct = names.n_unique()
    if len(names) >= 20 and n_distinct > len(names) / 2:
        raise NotEnoughLabels(
            f"The label column {column!r} of {table.source} has {n_distinct:,} different values in {len(names):,} "
            "rows: an id, a measure or a text rather than a class. Classes need several rows each; name another column."
        )
