# SPDX-License-Identifier: Apache-2.0
"""``bigenough report STUDY``: write the study's page again."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

__all__ = ["report_command"]


def report_command(
    study: Annotated[Path, typer.Argument(help="A study's folder.", show_default=False)],
    out: Annotated[Path | None, typer.Option(help="Where to write the page; by default STUDY/report.html.")] = None,
) -> None:
    """Write one self-contained HTML page of a study, and print its path."""
    from bigenough.report.page import write_report

    typer.echo(write_report(study, out))
