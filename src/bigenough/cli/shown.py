# SPDX-License-Identifier: Apache-2.0
"""What ``bigenough atlas`` and ``bigenough plan`` have in common: JSON, pages, and where tiers begin."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bigenough.errors import BadOption

if TYPE_CHECKING:
    from bigenough.atlas.tiers import Borders

__all__ = ["AsJson", "Page", "TierBorders", "borders_from", "print_json", "write_page"]

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Page = Annotated[Path | None, typer.Option("--html", help="Write the page here.", show_default=False)]
TierBorders = Annotated[
    str | None,
    typer.Option(
        help="Where mini, enterprise and mega begin, in parameters; 1b,7b,50b as of 2023 when left out.",
        show_default=False,
    ),
]


def borders_from(text: str | None) -> Borders:
    """The borders that a user gave, else those of 2023."""
    from bigenough.atlas.tiers import BORDERS_2023, borders_of

    return BORDERS_2023 if text is None else borders_of(text)


def print_json(value: Any) -> None:
    """Print plain values as JSON."""
    typer.echo(json.dumps(value, indent=2, ensure_ascii=False))


def write_page(target: Path, page: str) -> None:
    """Write a page and say where it went."""
    from bigenough.storage import write_text

    try:
        write_text(target, page)
    except OSError as error:
        raise BadOption(f"--html {target}: the page cannot be written there ({error}). Name another file.") from None
    typer.echo(target)
