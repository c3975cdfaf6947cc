# SPDX-License-Identifier: Apache-2.0
"""``bigenough power``: how many rows a proof needs, before any work is done."""

from __future__ import annotations

import json
from typing import Annotated, Any

import typer

__all__ = ["power_command"]

MARGINS = (0.5, 1.0, 1.5, 2.0, 3.0, 5.0)
DISCORDANCES = (3.0, 5.0, 10.0, 15.0, 20.0)


def power_command(
    margin: Annotated[float, typer.Option(help="How many points worse still counts as good enough.")] = 1.5,
    discordance: Annotated[
        float, typer.Option(help="Per cent of rows on which exactly one of the two is right; 5 to 15 is usual.")
    ] = 10.0,
    rows: Annotated[
        int | None,
        typer.Option(min=1, help="Certify rows at hand: prints the chance of a proof with them.", show_default=False),
    ] = None,
    difference: Annotated[float, typer.Option(help="True difference in points, candidate minus reference.")] = 0.0,
    power: Annotated[float, typer.Option(help="Wanted chance of a proof when the candidate deserves it.")] = 0.8,
    alpha: Annotated[float, typer.Option(help="Promised chance of a false proof.")] = 0.05,
    table: Annotated[bool, typer.Option("--table", help="Print rows needed over margins and discordances.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Say how many certify rows a proof of "not worse by more than the margin" needs."""
    from bigenough.verdict.power import power as chance
    from bigenough.verdict.power import rows_needed, smallest_margin

    shape = {"alpha": alpha, "difference": difference / 100}
    needed = rows_needed(margin / 100, discordance / 100, power=power, **shape)
    facts: dict[str, Any] = {
        "margin_points": margin, "discordance_percent": discordance, "difference_points": difference,
        "alpha": alpha, "power": power, "certify_rows_needed": needed,
    }  # fmt: skip
    if rows is not None:
        facts["rows"] = rows
        facts["chance_of_proof"] = chance(rows, margin / 100, discordance / 100, **shape)
        least = smallest_margin(rows, discordance / 100, power=power, **shape)
        facts["smallest_margin_points"] = None if least is None else 100 * least
    if table:
        facts["table"] = _table(alpha, power)
    typer.echo(json.dumps(facts, indent=2) if as_json else _sentence(facts))


def _table(alpha: float, power: float) -> list[dict[str, float | None]]:
    from bigenough.verdict.power import power_table

    rows = power_table([each / 100 for each in MARGINS], [each / 100 for each in DISCORDANCES], alpha, power)
    return [
        {
            "margin_points": 100 * row.margin,
            "discordance_percent": 100 * row.discordance,
            "certify_rows_needed": row.rows,
        }
        for row in rows
    ]


def _sentence(facts: dict[str, Any]) -> str:
    needed = facts["certify_rows_needed"]
    told = "Not even ten million" if needed is None else f"{needed:,}"
    lines = [
        f"{told} certify rows give a chance of {facts['power']:.0%} to prove a candidate not worse by "
        f"{facts['margin_points']:g} points,",
        f"when one of the two alone is right on {facts['discordance_percent']:g} % of rows, the true difference is "
        f"{facts['difference_points']:g} points and α = {facts['alpha']:g}.",
    ]
    if "rows" in facts:
        lines.append(f"With {facts['rows']:,} rows that chance is {facts['chance_of_proof']:.0%}.")
        if facts["smallest_margin_points"] is not None:
            lines.append(
                f"The smallest margin they prove with a chance of {facts['power']:.0%}: "
                f"{facts['smallest_margin_points']:.2f} points."
            )
    if "table" in facts:
        lines += ["", "Certify rows needed if the two are truly equal, by margin (points) and discordance (%):"]
        lines.append("margin".ljust(8) + "".join(f"{each:>10g} %" for each in DISCORDANCES))
        for margin in MARGINS:
            cells = [each for each in facts["table"] if round(each["margin_points"], 6) == margin]
            counts = [each["certify_rows_needed"] for each in cells]
            shown = ["> 10 million" if each is None else f"{each:,}" for each in counts]
            lines.append(f"{margin:<8g}" + "".join(f"{each:>12}" for each in shown))
    return "\n".join(lines)
