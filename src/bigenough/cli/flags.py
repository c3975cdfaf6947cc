# SPDX-License-Identifier: Apache-2.0
"""Options that several commands take, each declared once: what it is called, what the help says, and where.

A command gives its own default. Where it also gives its own type, as for a generalist that one command must have and
another may, the alias takes it: ``GeneralistModel[str | None]``.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, TypeVar

import typer

__all__ = [
    "COLUMNS",
    "GENERALIST",
    "VERDICT",
    "WORK",
    "AsJson",
    "Bar",
    "Budget",
    "Descriptions",
    "GeneralistModel",
    "GeneralistTokens",
    "GeneralistUsd",
    "KeyVariable",
    "Margin",
    "Metric",
    "Minutes",
    "Offline",
    "PriceIn",
    "PriceOut",
    "ReplyTokens",
    "Rungs",
    "Seed",
    "Shrink",
    "Text",
    "Threads",
    "Trials",
    "budget_minutes",
    "rung_names",
]

COLUMNS = "Columns"
VERDICT = "Verdict"
GENERALIST = "Generalist"
WORK = "Work"

T = TypeVar("T")

Text = Annotated[str | None, typer.Option(help="Column with the texts; guessed.", rich_help_panel=COLUMNS)]
Descriptions = Annotated[Path | None, typer.Option(help="Table of labels and what they mean.", rich_help_panel=COLUMNS)]

GeneralistModel = Annotated[
    T, typer.Option(help="The model's name there.", rich_help_panel=GENERALIST, show_default=False)
]
GeneralistUsd = Annotated[
    float | None, typer.Option(help="The most to spend on it, in US dollars.", rich_help_panel=GENERALIST)
]
GeneralistTokens = Annotated[
    int | None, typer.Option(help="The most tokens, read and written.", rich_help_panel=GENERALIST)
]
PriceIn = Annotated[
    float | None, typer.Option(help="US dollars per million tokens read; looked up.", rich_help_panel=GENERALIST)
]
PriceOut = Annotated[float | None, typer.Option(help="The same, of tokens written.", rich_help_panel=GENERALIST)]
KeyVariable = Annotated[str | None, typer.Option(help="Environment variable with the key.", rich_help_panel=GENERALIST)]
ReplyTokens = Annotated[
    int | None,
    typer.Option(help="Tokens of a reply beside its label; more if it thinks aloud.", rich_help_panel=GENERALIST),
]

Metric = Annotated[str, typer.Option(help="accuracy, balanced_accuracy or macro_f1.", rich_help_panel=VERDICT)]
Margin = Annotated[
    float | None,
    typer.Option(help="Points below the reference that are good enough [1.5; 0 with --bar].", rich_help_panel=VERDICT),
]
Bar = Annotated[float | None, typer.Option(help="An absolute reference, as in 0.92.", rich_help_panel=VERDICT)]

Rungs = Annotated[
    str | None,
    typer.Option(
        help="Rungs to race, as in majority,linear \\[all that are installed, but no mini ones].", rich_help_panel=WORK
    ),
]
Shrink = Annotated[str, typer.Option(help="Make the best smaller: none, fast, taught or all.", rich_help_panel=WORK)]
Trials = Annotated[int, typer.Option(help="Settings tried per rung.", rich_help_panel=WORK)]
Minutes = Annotated[float, typer.Option(help="Minutes of search per rung.", rich_help_panel=WORK)]
Budget = Annotated[
    str | None, typer.Option(help="Time for the fits of all rungs together, as in 20m.", rich_help_panel=WORK)
]
Seed = Annotated[int, typer.Option(help="Seed of everything random.", rich_help_panel=WORK)]
Threads = Annotated[int | None, typer.Option(help="Threads; by default all cores.", rich_help_panel=WORK)]
Offline = Annotated[bool, typer.Option(help="Never touch the network.", rich_help_panel=WORK)]
AsJson = Annotated[bool, typer.Option("--json", help="Print the outcome as JSON.", rich_help_panel=WORK)]


def rung_names(given: str | None) -> tuple[str, ...] | None:
    """The rungs that ``Rungs`` names.

    >>> rung_names("majority, linear")
    ('majority', 'linear')
    """
    return None if given is None else tuple(each.strip() for each in given.split(","))


def budget_minutes(given: str | None) -> float | None:
    """The minutes that ``Budget`` gives. Raises ``BadOption`` for what is no duration.

    >>> budget_minutes("1h")
    60.0
    """
    from bigenough.duration import duration_seconds

    return None if given is None else duration_seconds(given) / 60
