# SPDX-License-Identifier: Apache-2.0
"""``bigenough atlas``: sourced facts about models, devices, machines, prices and grids."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from bigenough.atlas.records import Model
    from bigenough.atlas.whereabouts import Standing

__all__ = ["atlas_app"]

atlas_app = typer.Typer(
    help="Look up what is published about models, devices, prices and grids; no network is asked.",
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Facts carry their sources; an empty cell is unknown. Shares and trends are those of this atlas.",
)

_JSON = typer.Option("--json", help="Print JSON.")


@atlas_app.callback(invoke_without_command=True)
def list_models(
    context: typer.Context,
    tier: Annotated[
        str | None, typer.Option(help="By count: specialised, mini, enterprise or mega.", show_default=False)
    ] = None,
    year: Annotated[str | None, typer.Option(help="2022, 2020..2023 or 2023..", show_default=False)] = None,
    developer: Annotated[
        str | None, typer.Option(help="A part of the name; laboratories count with their owner.", show_default=False)
    ] = None,
    country: Annotated[str | None, typer.Option(help="A part of the name.", show_default=False)] = None,
    modality: Annotated[str | None, typer.Option(help="text, speech, vision, code, ...", show_default=False)] = None,
    access: Annotated[
        str | None, typer.Option(help="open weights, on request, code only, API or closed.", show_default=False)
    ] = None,
    licence: Annotated[str | None, typer.Option(help="A part of the licence.", show_default=False)] = None,
    params: Annotated[str | None, typer.Option(help="7b, 1b..10b or 70b..", show_default=False)] = None,
    essay: Annotated[str | None, typer.Option(help="Named by this essay, 000 to 004.", show_default=False)] = None,
    sort: Annotated[str, typer.Option(help="A column: params, year, tokens, flops, co2e_t, name, ...")] = "params",
    compare: Annotated[
        list[str] | None, typer.Option(help="Put these side by side; give it once for each name.", show_default=False)
    ] = None,
    html: Annotated[Path | None, typer.Option(help="Write the landscape page here.", show_default=False)] = None,
    as_json: Annotated[bool, _JSON] = False,
) -> None:
    """List, filter, sort and compare the models of the atlas."""
    if context.invoked_subcommand is not None:
        return
    from bigenough.atlas.facts import model, models
    from bigenough.atlas.landscape import choose, order

    rows = choose(
        models(),
        tier=tier,
        year=year,
        developer=developer,
        country=country,
        modality=modality,
        access=access,
        licence=licence,
        params=params,
        essay=essay,
    )
    rows = tuple(model(name) for name in compare) if compare else order(rows, sort)
    if html is not None:
        from bigenough.report.landscape_page import landscape_page
        from bigenough.storage import write_text

        write_text(html, landscape_page(rows))
        typer.echo(html)
    elif as_json:
        from bigenough.atlas.cards import model_json

        typer.echo(json.dumps([model_json(row) for row in rows], indent=2, ensure_ascii=False))
    else:
        _print_side_by_side(rows) if compare else _print_list(rows)


@atlas_app.command("show")
def show(
    name: Annotated[str, typer.Argument(help="A model, device, machine or country.")],
    as_json: Annotated[bool, _JSON] = False,
) -> None:
    """Show all that is known of one model, device, machine or grid, with its sources and contradictions."""
    from bigenough.atlas.cards import card, card_json

    typer.echo(json.dumps(card_json(name), indent=2, ensure_ascii=False) if as_json else card(name))


@atlas_app.command("trends")
def trends(as_json: Annotated[bool, _JSON] = False) -> None:
    """Fit doubling times, beside the published ones, and count how few make how much."""
    from bigenough.atlas.facts import models
    from bigenough.atlas.facts import trends as published
    from bigenough.atlas.growth import growths
    from bigenough.atlas.landscape import concentration

    fitted, few = growths(models()), concentration(models())
    if as_json:
        facts = {
            "fitted": [one.to_json() for one in fitted],
            "published": [asdict(one) for one in published()],
            **few.to_json(),
        }
        typer.echo(json.dumps(facts, indent=2, ensure_ascii=False))
        return
    for one in fitted:
        months = one.doubling_months
        least = f" [{months.low:.4g} or more]" if months.low is not None and months.high is None else ""
        typer.echo(f"fitted: {one.what}, {one.since} to {one.until}: doubles in {months}{least}; {months.source}")
    for said in published():
        typer.echo(
            f"published: {said.quantity}, {said.since} to {said.until}: doubles in "
            f"{said.doubling_months:g} months; {said.source}"
        )
    typer.echo(f"four houses made {few.first_four} of the atlas ({few.models} models)")


@atlas_app.command("bill")
def bill(
    html: Annotated[Path | None, typer.Option(help="Write the page here.", show_default=False)] = None,
    as_json: Annotated[bool, _JSON] = False,
) -> None:
    """Recompute the essays' own figures and set the corrections beside them."""
    from bigenough.atlas.bill import items

    if html is not None:
        from bigenough.report.bill_page import bill_page
        from bigenough.storage import write_text

        write_text(html, bill_page())
        typer.echo(html)
    elif as_json:
        typer.echo(json.dumps([item.to_json() for item in items()], indent=2, ensure_ascii=False))
    else:
        for item in items():
            made = item.recomputed
            typer.echo(f"{item.claim} (essay {item.essay})")
            typer.echo(f"  recomputed: {made} = {item.formula} ({made.provenance}: {made.source})\n  {item.verdict}\n")


@atlas_app.command("where")
def where(
    rows: Annotated[int | None, typer.Option(min=0, help="Labelled examples at hand.", show_default=False)] = None,
    study: Annotated[
        Path | None, typer.Option(help="Take the data from this study's audit.", show_default=False)
    ] = None,
    memory_gb: Annotated[
        float | None, typer.Option(help="Memory that a model may take; detected when left out.", show_default=False)
    ] = None,
    unlabelled: Annotated[int, typer.Option(min=0, help="Texts without labels at hand.")] = 0,
    accelerators: Annotated[int, typer.Option(min=0, help="Accelerators at hand.")] = 0,
    html: Annotated[Path | None, typer.Option(help="Write the map here.", show_default=False)] = None,
    as_json: Annotated[bool, _JSON] = False,
) -> None:
    """Say where you stand between data and machines, and which route that recommends."""
    from bigenough.atlas.whereabouts import route

    standing = _standing(rows, study, memory_gb, accelerators, unlabelled)
    advice = route(standing)
    if html is not None:
        from bigenough.report.whereabouts_page import whereabouts_page
        from bigenough.storage import write_text

        write_text(html, whereabouts_page(standing))
        typer.echo(html)
    elif as_json:
        typer.echo(json.dumps(advice.to_json(), indent=2, ensure_ascii=False))
    else:
        typer.echo(advice.text())


def _standing(
    rows: int | None, study: Path | None, memory_gb: float | None, accelerators: int, unlabelled: int
) -> Standing:
    from bigenough.atlas.whereabouts import Standing, standing_of
    from bigenough.errors import BadOption

    if (rows is None) == (study is None):
        raise BadOption("Say how much data there is: either --rows N or --study FOLDER.")
    if memory_gb is None:
        from bigenough.measure.machine import machine

        memory_gb = machine().memory_gb
    if study is None:
        return Standing(rows or 0, memory_gb, accelerators=accelerators, unlabelled=unlabelled)
    from bigenough.storage import read_json

    audit = study / "audit.json"
    if not audit.is_file():
        raise BadOption(
            f"{study} holds no audit.json, so it is no study's folder. Give the folder that bigenough fit wrote."
        )
    return standing_of(read_json(audit), memory_gb=memory_gb, accelerators=accelerators, unlabelled=unlabelled)


def _print_list(rows: tuple[Model, ...]) -> None:
    from bigenough.atlas.cards import listing

    typer.echo(listing(rows))


def _print_side_by_side(rows: tuple[Model, ...]) -> None:
    from bigenough.atlas.cards import side_by_side

    typer.echo(side_by_side(rows))
