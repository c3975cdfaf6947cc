# SPDX-License-Identifier: Apache-2.0
"""``bigenough demo``: the whole job on real data that an installed package ships."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from bigenough.errors import MissingExtra

__all__ = ["demo_command", "diagnosis_terms"]

RUNGS = ("majority", "linear", "static", "frozen")
"""What the core install brings; tuning an encoder, or making the best smaller, would take longer than a demo may."""
CHAPTER_LEFT_OUT = "22"


def diagnosis_terms() -> dict[str, list[str]]:
    """ICD-10-CM's inclusion terms with their chapter and three-character category: about 12,500 real diagnoses.

    Chapter 22 has six terms, too few to prove anything about, and is left out.

    Raises:
        MissingExtra: the package ``simple-icd-10-cm`` is not installed.
    """
    try:
        import simple_icd_10_cm as icd
    except ImportError:
        raise MissingExtra("The demo", "simple-icd-10-cm", "pip install 'bigenough[demo]'") from None
    columns: dict[str, list[str]] = {"term": [], "chapter": [], "category": []}
    for code in icd.get_all_codes(with_dots=True):
        if not icd.is_category_or_subcategory(code):
            continue
        chapter = icd.get_ancestors(code)[-1]
        if chapter == CHAPTER_LEFT_OUT:
            continue
        for term in icd.get_inclusion_term(code):
            columns["term"].append(term)
            columns["chapter"].append(f"{int(chapter):02d} {icd.get_description(chapter).split(' (')[0]}")
            columns["category"].append(code[:3])
    return columns


def demo_command(
    out: Annotated[Path | None, typer.Option(help="The study's folder, by default studies/icd-10-cm-HASH.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the outcome as JSON.")] = False,
) -> None:
    """Which chapter of ICD-10-CM does a diagnosis belong to? Race the ladder on disease families it never saw."""
    from bigenough.cli.fit import run_and_show

    options = {
        "text": "term", "label": "chapter", "group": "category", "name": "icd-10-cm", "out": out, "rungs": RUNGS,
        "shrink": "none",
    }  # fmt: skip
    raise typer.Exit(run_and_show(diagnosis_terms(), options, as_json=as_json))
