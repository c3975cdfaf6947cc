# SPDX-License-Identifier: Apache-2.0
"""``bigenough verify STUDY``: recompute every statistic from the per-row predictions."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

__all__ = ["verify_command"]


def verify_command(
    study: Annotated[Path, typer.Argument(help="A study's folder.", show_default=False)],
    as_json: Annotated[bool, typer.Option("--json", help="Print every check as JSON.")] = False,
) -> None:
    """Recompute every statistic of a study by independent code; exit with 1 if any differs."""
    from bigenough.verification import verify

    checks = verify(study)
    differing = [each for each in checks if not each.agree]
    if as_json:
        typer.echo(json.dumps([each._asdict() for each in checks], indent=2))
    else:
        for each in differing:
            typer.echo(f"DIFFERS  {each.name}: the study says {each.stated}, the rows say {each.recomputed}")
        typer.echo(f"{len(checks) - len(differing)} of {len(checks)} checks agree")
    if differing:
        raise typer.Exit(1)
