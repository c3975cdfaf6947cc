# SPDX-License-Identifier: Apache-2.0
"""Statistics and decision: pure functions of arrays, no files.

This package decides which candidate is the smallest that is proved good enough, whether none is, or whether the rows
cannot tell, and what would. It refuses to weigh quality against cost, to look at certify for any other purpose, and to
call anything proved that did not pass its test in its turn.
"""

from bigenough.verdict.decide import decide
from bigenough.verdict.intervals import ClassScores, Interval, metric_intervals, per_class_intervals
from bigenough.verdict.labelling import NextRow, next_rows
from bigenough.verdict.power import (
    PowerRow,
    bar_power,
    bar_rows_needed,
    power,
    power_table,
    rows_needed,
    smallest_margin,
)
from bigenough.verdict.recompute import Arrays, Check, recompute
from bigenough.verdict.verdict import (
    Bar,
    Comparison,
    EarlyPlan,
    EarlyStop,
    LeftOut,
    Nominee,
    PlainInterval,
    Reference,
    ReferenceScore,
    RowsNeeded,
    Verdict,
    verdict_schema,
)

__all__ = [
    "Arrays",
    "Bar",
    "Check",
    "ClassScores",
    "Comparison",
    "EarlyPlan",
    "EarlyStop",
    "Interval",
    "LeftOut",
    "NextRow",
    "Nominee",
    "PlainInterval",
    "PowerRow",
    "Reference",
    "ReferenceScore",
    "RowsNeeded",
    "Verdict",
    "bar_power",
    "bar_rows_needed",
    "decide",
    "metric_intervals",
    "next_rows",
    "per_class_intervals",
    "power",
    "power_table",
    "recompute",
    "rows_needed",
    "smallest_margin",
    "verdict_schema",
]
