# SPDX-License-Identifier: Apache-2.0
"""The landscape page: how large, whose, how open, how good by which protocol."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from bigenough.atlas.cards import compact
from bigenough.atlas.growth import Growth, growths
from bigenough.atlas.landscape import OPENNESS, concentration, openness, openness_by_year
from bigenough.atlas.records import Model
from bigenough.atlas.tiers import BORDERS_2023, Borders
from bigenough.errors import BadOption
from bigenough.report.atlas_charts import Bar, bars, stacked
from bigenough.report.charts import figure
from bigenough.report.frame import Section, framed
from bigenough.report.landscape_scores import benchmarks, conflicts
from bigenough.report.landscape_sizes import every, growth, sizes, tiers
from bigenough.report.markup import Html, element, table

__all__ = ["landscape_page"]


def landscape_page(rows: Sequence[Model], borders: Borders = BORDERS_2023) -> str:
    """The landscape of some models of the atlas as one HTML page.

    Raises:
        BadOption: there is no row to show.
    """
    if not rows:
        raise BadOption("No model meets all conditions, so there is no landscape to draw. Loosen one.")
    sized = [row for row in rows if row.total_params and not row.is_recommender]
    apart = [row for row in rows if row.is_recommender]
    grown = growths(rows)
    sections = [
        Section("sizes", "Parameters over the years", sizes(sized, apart, borders)),
        Section("growth", "How fast they double", growth(grown)),
        Section("tiers", "Four tiers, two ways", tiers(sized, borders)),
        Section("makers", "Who makes them", _makers(rows)),
        Section("openness", "How open they are", _openness(rows)),
        Section("benchmarks", "Scores, and the protocols behind them", benchmarks(rows)),
        Section("conflicts", "Where sources contradict each other", conflicts(rows)),
        Section("models", "Every model", _models(rows)),
        Section("limits", "What this page does not say", _limits()),
    ]
    return framed("The landscape", _headline(rows), _gist(rows, grown), sections)


def _headline(rows: Sequence[Model]) -> str:
    open_now = _open_share([row for row in rows if row.year >= 2023])
    open_then = _open_share([row for row in rows if row.year in (2020, 2021)])
    noun = "One model" if len(rows) == 1 else f"{len(rows)} models"
    if open_now is None or open_then is None:
        return f"{noun}, by size, maker and openness"
    return f"{noun}: of those of 2020 and 2021 {open_then:.0%} have open weights, of those since 2023 {open_now:.0%}"


def _open_share(rows: Sequence[Model]) -> float | None:
    return sum(openness(row) == "open weights" for row in rows) / len(rows) if rows else None


def _gist(rows: Sequence[Model], grown: Sequence[Growth]) -> str:
    few = concentration(rows)
    told = f"Four houses made {few.first_four.value or 0:.0f} % of them. "
    early = next((one for one in grown if "to 2021" in one.what), None)
    late = next((one for one in grown if one.what.endswith("each year")), None)
    if early and late:
        told += (
            f"The largest of each year doubled every {every(early)} months to 2021, and every {every(late)} "
            f"over {late.since} to {late.until}"
        )
        ended, began = early.doubling_months.high, late.doubling_months.low
        told += ": growth slowed." if ended is not None and began is not None and ended < began else "."
    return told


def _makers(rows: Sequence[Model]) -> list[Html | str | None]:
    few = concentration(rows)
    shown = few.makers[:12]
    shares = [Bar(name, number, f"{number}") for name, number in shown]
    chart = figure(
        lambda frame: bars(shares, frame, title="models"),
        name="makers",
        described="Models by house: " + ", ".join(f"{name} {number}" for name, number in shown) + ".",
        caption=(
            f"The {len(shown)} houses with most models, of {len(few.makers)}. Joint work counts for the first "
            "named; laboratories for their owner of 2025."
        ),
    )
    countries: defaultdict[str, int] = defaultdict(int)
    for row in rows:
        countries[row.country.split("/")[0].split(" (")[0]] += 1
    by_country = sorted(countries.items(), key=lambda pair: -pair[1])
    words = ", ".join(f"{name} {number}" for name, number in by_country)
    index = f"{few.index.value:.2f}" if few.index.value is not None else "unknown"
    told = (
        f"Four houses: {few.first_four.value or 0:.0f} % of {few.models} models; Herfindahl–Hirschman index "
        f"{index}. By country of the first developer: {words}."
    )
    return [chart, element("p", told)]


def _openness(rows: Sequence[Model]) -> list[Html | str | None]:
    years = openness_by_year(rows)
    chart = figure(
        lambda frame: stacked(years, frame),
        name="openness",
        described="; ".join(
            f"{year}: " + ", ".join(f"{counts[level]} {level}" for level in OPENNESS if counts[level])
            for year, counts in years.items()
        )
        + ".",
        caption=(
            "Models of each year by how far one can get hold of them. From below: open weights and on request "
            "(green), code only, API, closed."
        ),
    )
    head = ["Year", *OPENNESS]
    body = [
        [str(year), *(str(counts[level]) if counts[level] else "–" for level in OPENNESS)]
        for year, counts in years.items()
    ]
    return [
        chart,
        element(
            "details",
            element("summary", "The figures"),
            table("Models by year and access", head, body, kind="dense pinned"),
        ),
    ]


def _models(rows: Sequence[Model]) -> list[Html | str | None]:
    body: list[list[Html | str]] = [
        [
            element("span", row.name, element("small", f"{row.developer}, {row.country}")),
            str(row.year),
            _figure(row, "total_params"),
            _figure(row, "train_tokens"),
            openness(row),
            element("small", _sources(row)),
        ]
        for row in sorted(rows, key=lambda row: (-row.year, -(row.total_params or 0)))
    ]
    listed = table(
        "All rows",
        ["Model", "year", "parameters", "training tokens", "access", "source"],
        body,
        kind="dense cards",
        words={4, 5},
    )
    return [element("details", element("summary", f"{len(rows)} models with their sources"), listed)]


def _figure(row: Model, column: str) -> Html | str:
    value = compact(getattr(row, column))
    return element("span", value, title=str(row.source_of(column))) if value else "–"


def _sources(row: Model) -> str:
    """Who published the two figures, and how well each was read."""
    shown = [name for name in ("total_params", "train_tokens") if getattr(row, name)] or ["developer"]
    return ". ".join(dict.fromkeys(str(row.source_of(name)) for name in shown))


def _limits() -> list[Html | str | None]:
    limits = (
        "The atlas holds models that essays and papers about giants name, and small open ones beside "
        "them. Shares and trends are those of this choice.",
        "“Looked-up” figures were compared with their source; “recall” figures are known from the named paper and "
        "were not read again; “Epoch” and “secondary” ones were read in a copy.",
        "Openness is how far one can get hold of a model, not whether its licence allows your use: read the licence.",
        "Sizes are counts, not quality. Which size is enough for one task is what a study on its own rows answers.",
    )
    return [element("ul", *(element("li", limit) for limit in limits))]
