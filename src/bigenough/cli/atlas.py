# SPDX-License-Identifier: Apache-2.0
"""``bigenough atlas``: sourced facts about models, devices, machines, prices and grids."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bigenough.cli.shown import AsJson, Page, TierBorders, borders_from, print_json, write_page
from bigenough.errors import BadOption

if TYPE_CHECKING:
    from bigenough.atlas.records import Model
    from bigenough.atlas.tiers import Borders
    from bigenough.atlas.whereabouts import Standing

__all__ = ["atlas_app"]

atlas_app = typer.Typer(
    help="Look up what is published about models, devices, prices and grids; no network is asked.",
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Facts carry their sources; an empty cell is unknown. Shares and trends are those of this atlas.",
)


def _condition(told: str) -> Any:
    return typer.Option(help=told, show_default=False)


_Tier = Annotated[str | None, _condition("By count: specialised, mini, enterprise or mega.")]
_Year = Annotated[str | None, _condition("2022, 2020..2023 or 2023..")]
_Developer = Annotated[str | None, _condition("A part of the name; laboratories count with their owner.")]
_Country = Annotated[str | None, _condition("A part of the name.")]
_Modality = Annotated[str | None, _condition("text, speech, vision, code, ...")]
_Access = Annotated[str | None, _condition("open weights, on request, code only, API or closed.")]
_Licence = Annotated[str | None, _condition("A part of the licence.")]
_Params = Annotated[str | None, _condition("7b, 1b..10b or 70b..")]
_Essay = Annotated[str | None, _condition("Named by this essay, 000 to 004.")]
_Sort = Annotated[str, typer.Option(help="A column: params, year, tokens, flops, co2e_t, name, ...")]
_Compare = Annotated[list[str] | None, _condition("Put these side by side; give it once for each name.")]


@atlas_app.callback(invoke_without_command=True)
def list_models(
    context: typer.Context,
    tier: _Tier = None,
    year: _Year = None,
    developer: _Developer = None,
    country: _Country = None,
    modality: _Modality = None,
    access: _Access = None,
    licence: _Licence = None,
    params: _Params = None,
    essay: _Essay = None,
    sort: _Sort = "params",
    compare: _Compare = None,
    tier_borders: TierBorders = None,
    html: Page = None,
    as_json: AsJson = False,
) -> None:
    """List, filter, sort and compare the models of the atlas."""
    if context.invoked_subcommand is not None:
        return
    from bigenough.atlas.facts import model, models
    from bigenough.atlas.landscape import choose, order

    borders = borders_from(tier_borders)
    words = {"developer": developer, "country": country, "modality": modality, "licence": licence}
    spans = {"tier": tier, "year": year, "params": params, "access": access, "essay": essay}
    if compare:
        _refuse_conditions({**words, **spans})
        _show_rows(tuple(model(name) for name in compare), borders, html, as_json, beside=True)
        return
    chosen = choose(models(), **words, **spans, borders=borders)
    _show_rows(order(chosen, sort), borders, html, as_json, beside=False)


def _refuse_conditions(conditions: dict[str, str | None]) -> None:
    given = [f"--{name}" for name, value in conditions.items() if value is not None]
    if given:
        raise BadOption(f"--compare names its models, so {given[0]} chooses nothing. Leave one of the two out.")


def _show_rows(rows: tuple[Model, ...], borders: Borders, html: Path | None, as_json: bool, *, beside: bool) -> None:
    from bigenough.atlas.cards import listing, model_json, side_by_side

    if html is not None:
        from bigenough.report.landscape_page import landscape_page

        write_page(html, landscape_page(rows, borders))
    elif as_json:
        print_json([model_json(row, borders) for row in rows])
    else:
        typer.echo(side_by_side(rows, borders) if beside else listing(rows, borders))


@atlas_app.command("show")
def show(
    name: Annotated[str, typer.Argument(help="A model, device, machine or country.")],
    tier_borders: TierBorders = None,
    as_json: AsJson = False,
) -> None:
    """Show all that is known of one model, device, machine or grid, each fact with its source, and contradictions."""
    from bigenough.atlas.cards import card, card_json

    borders = borders_from(tier_borders)
    if as_json:
        print_json(card_json(name, borders))
    else:
        typer.echo(card(name, borders))


@atlas_app.command("trends")
def trends(as_json: AsJson = False) -> None:
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
        print_json(facts)
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
    html: Page = None,
    as_json: AsJson = False,
) -> None:
    """Recompute the essays' own figures and set the corrections beside them."""
    from bigenough.atlas.bill import items

    if html is not None:
        from bigenough.report.bill_page import bill_page

        write_page(html, bill_page())
    elif as_json:
        print_json([item.to_json() for item in items()])
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
    html: Page = None,
    as_json: AsJson = False,
) -> None:
    """Say where you stand between data and machines, and which route that recommends."""
    from bigenough.atlas.whereabouts import route

    standing = _standing(rows, study, memory_gb, accelerators, unlabelled)
    advice = route(standing)
    if html is not None:
        from bigenough.report.whereabouts_page import whereabouts_page

        write_page(html, whereabouts_page(standing))
    elif as_json:
        print_json(advice.to_json())
    else:
        typer.echo(advice.text())


def _standing(
    rows: int | None, study: Path | None, memory_gb: float | None, accelerators: int, unlabelled: int
) -> Standing:
    from bigenough.atlas.whereabouts import Standing, standing_of

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
    try:
        found = read_json(audit)
    except ValueError as error:
        raise BadOption(f"{audit} is no JSON ({error}): the study is damaged. Fit it again, or say --rows N.") from None
    return standing_of(found, memory_gb=memory_gb, accelerators=accelerators, unlabelled=unlabelled)
