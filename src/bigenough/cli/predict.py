# SPDX-License-Identifier: Apache-2.0
"""``bigenough predict SPECIALIST TABLE``: the winner at work, in batch."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

__all__ = ["predict_command"]


def predict_command(
    specialist: Annotated[Path, typer.Argument(help="A specialist's folder, or the study's.", show_default=False)],
    table: Annotated[
        Path, typer.Argument(help="CSV, TSV, JSONL or Parquet with a column of texts.", show_default=False)
    ],
    out: Annotated[
        Path | None, typer.Option(help="CSV, TSV, JSONL or Parquet to write; standard output as CSV when left away.")
    ] = None,
    text: Annotated[str | None, typer.Option(help="The column with the texts.", show_default=False)] = None,
    threads: Annotated[int | None, typer.Option(help="Threads to use.", show_default=False)] = None,
) -> None:
    """Write the table's columns plus ``prediction`` and ``probability``."""
    from bigenough.batch import check_output, predict_table, write_table
    from bigenough.cli.terminal import terminal_progress
    from bigenough.specialist import load

    if out is not None:
        check_output(out)
    model = load(specialist, threads=threads)
    with terminal_progress() as progress:
        predicted, decisions = predict_table(model, table, text=text, progress=progress)
    for sentence in decisions:
        typer.echo(f"· {sentence}", err=True)
    if out is None:
        predicted.write_csv(sys.stdout)
    else:
        write_table(predicted, out)
        typer.echo(f"{len(predicted):,} rows written to {out}", err=True)
