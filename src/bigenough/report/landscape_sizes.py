# SPDX-License-Identifier: Apache-2.0
"""How large models are, how fast they grow, and which tier they are in."""

from __future__ import annotations

from collections.abc import Sequence

from bigenough.atlas import facts
from bigenough.atlas.architecture import shape_of
from bigenough.atlas.cards import compact
from bigenough.atlas.growth import Growth, largest_of_each_year
from bigenough.atlas.landscape import openness
from bigenough.atlas.records import Model
from bigenough.atlas.tiers import Borders, tier_by_count, tier_by_fit
from bigenough.report.atlas_charts import LEVELS, Axis, Level, Spot, broad, scatter
from bigenough.report.frame import sourced
from bigenough.report.markup import Html, element, raw, table

__all__ = ["COUNTS", "every", "fewer", "growth", "sizes", "tiers"]

COUNTS = ((1e7, "10M"), (1e8, "100M"), (1e9, "1B"), (1e10, "10B"), (1e11, "100B"), (1e12, "1T"))
_NAMED = 12
_TIERS = ("specialised", "mini", "enterprise", "mega")


def every(one: Growth) -> str:
    """A doubling time with its interval, in months."""
    return f"{one.doubling_months.value:.1f} ({_bounds(one)})"


def sizes(sized: Sequence[Model], apart: Sequence[Model], borders: Borders) -> list[Html | str | None]:
    """Parameters over the years on a logarithmic axis."""
    if not sized:
        return [element("p", "No size is published for any of these models.")]
    spots = _spots(sized)
    years = sorted({row.year for row in sized})
    counts = [spot.y for spot in spots]
    x = Axis("", years[0] - 0.6, years[-1] + 1.1, [(year, str(year)) for year in years], log=False)
    short = x._replace(ticks=[(year, f"’{year % 100:02}") for year in years])
    low, high = min(counts) / 2, max(counts) * 3
    if not any(low <= count <= high for count, _ in COUNTS):  # sizes of one decade: down to where it begins
        low = max((count for count, _ in COUNTS if count < low), default=low)
    y = Axis("parameters", low, high, [tick for tick in COUNTS if low <= tick[0] <= high])
    levels = [Level(size, words) for size, words in borders.named() if y.low < size < y.high]
    described = (
        f"{len(sized)} models by year and parameters on a logarithmic axis, from {compact(min(counts))} to "
        f"{compact(max(counts))}."
    )
    chart = broad(
        lambda frame: (
            scatter(spots, frame, x=x, y=y, levels=levels)
            if frame.width > 400
            else scatter(fewer(spots), frame, x=short, y=y, levels=[_briefly(level) for level in levels])
        ),
        name="sizes",
        described=described,
        caption=(
            "One mark a model, total parameters; a mixture counts all its experts. Within a year marks are "
            f"spread to be seen. Lines: borders of the tiers, {borders.dated}."
        ),
    )
    return [_key(), chart, _set_apart(apart)]


def _briefly(level: Level) -> Level:
    return level._replace(words=level.words.replace(" from ", " "))


def _spots(sized: Sequence[Model]) -> list[Spot]:
    names = _worth_naming(sized)
    return [
        Spot(
            row.name if row.name in names else "",
            row.year + _nudge(row, sized),
            float(row.total_params or 1),
            LEVELS[openness(row)],
        )
        for row in sized
    ]


def _set_apart(apart: Sequence[Model]) -> Html | None:
    if not apart:
        return None
    named = ", ".join(f"{row.name} ({compact(row.total_params)})" for row in apart)
    why = "A recommender’s parameters are tables, of which a request touches a few rows."
    return element("p", f"Set apart: {named}. {why}", class_="note")


def fewer(spots: Sequence[Spot]) -> list[Spot]:
    """The same spots with only the names that a phone has room for."""
    named = sorted((spot for spot in spots if spot.name), key=lambda spot: -spot.y)
    kept = {spot.name for spot in named[:5]}
    return [spot if spot.name in kept else spot._replace(name="") for spot in spots]


def _worth_naming(sized: Sequence[Model]) -> set[str]:
    every_year = [row.name for row in largest_of_each_year(sized, 1)]
    essays = sorted((row for row in sized if row.essays), key=lambda row: -len(row.essays.split()))
    return {*every_year, *(row.name for row in essays[: max(0, _NAMED - len(every_year))])}


def _nudge(row: Model, rows: Sequence[Model]) -> float:
    same = sorted(other.name for other in rows if other.year == row.year)
    # steps of the golden section spread any number of marks evenly and in no order that a reader could take for months
    return 0.0 if len(same) == 1 else 0.64 * ((0.5 + 0.618034 * same.index(row.name)) % 1 - 0.5)


def _key() -> Html:
    shapes = {
        "circle": "M6 1a5 5 0 1 0 .01 0z",
        "triangle-up": "M6 1 11 11 1 11z",
        "triangle-down": "M1 1 11 1 6 11z",
        "square": "M1.5 1.5h9v9h-9z",
        "cross": "M4 1h4v3h3v4H8v3H4V8H1V4h3z",
        "diamond": "M6 0 12 6 6 12 0 6z",
    }
    marks = []
    for name, mark in LEVELS.items():
        fill, stroke = (mark.colour, "none") if mark.filled else ("none", mark.colour)
        path = f'<path d="{shapes[mark.shape]}" fill="{fill}" stroke="{stroke}" stroke-width="1.6"/>'
        drawing = raw(f'<svg class="mark" viewBox="0 0 12 12" aria-hidden="true">{path}</svg>')
        marks.append(element("span", drawing, name, class_="role"))
    return element("p", *marks, class_="key")


def growth(grown: Sequence[Growth]) -> list[Html | str | None]:
    """Fitted doubling times beside published ones."""
    rows: list[list[Html | str]] = [
        [
            one.what,
            f"{one.since}–{one.until}",
            f"{one.doubling_months.value:.1f} months",
            _bounds(one),
            f"×{one.spread:.1f}",
            sourced(one.doubling_months),
        ]
        for one in grown
    ]
    rows += [
        [
            said.quantity,
            f"{said.since}–{said.until}",
            f"{said.doubling_months:g} months",
            "–",
            "–",
            _published(said.source),
        ]
        for said in facts.trends()
    ]
    head = ["Doubling of", "years", "every", "95 % interval", "spread", "source"]
    told = (
        "Spread: by what factor a usual model lies above or below the line. A wide interval means that the "
        "atlas cannot tell, not that growth stands still."
    )
    return [
        table("Fitted to this atlas, and published by others", head, rows, kind="cards", words={5}),
        element("p", told, class_="note"),
    ]


def _published(source: str) -> Html:
    return element("small", element("span", "published", class_="tag"), f" {source}")


def _bounds(one: Growth) -> str:
    low, high = one.doubling_months.low, one.doubling_months.high
    # beyond the years that were seen the upper end says only that slower growth is not excluded
    seen = 12 * (one.until - one.since)
    return f"{low:.1f} or more" if high is None or high > seen else f"{low:.1f} to {high:.1f}"


def tiers(sized: Sequence[Model], borders: Borders) -> list[Html | str | None]:
    """Tiers by count, and how many of each run on one accelerator."""
    counts: dict[str, list[int]] = {name: [0, 0, 0, 0] for name in _TIERS}
    crossing = []
    for row in sized:
        size = float(row.total_params or 0)
        tier = tier_by_count(size, borders)
        shape = shape_of(row)
        fits = [tier_by_fit(size, shape, how=how).fits for how in ("bf16", "int8", "nf4")]
        for place, value in enumerate((True, *fits)):
            counts[tier.name][place] += value
        if tier.name == "mega" and fits[2]:
            crossing.append(row.name)
    rows = [[name, *(f"{number}" if number else "0" for number in counts[name])] for name in _TIERS]
    head = ["Tier by count", "models", "fit at 16 bits", "at 8 bits", "at 4 bits"]
    note = (
        f"Borders: {borders} ({borders.source}). Fit: 2,048 tokens, one sequence, weights "
        "with cache, activations and runtime."
    )
    across = f"Mega by count, and yet on one accelerator at 4 bits: {', '.join(crossing)}." if crossing else None
    return [
        table("How many models of each tier run on one accelerator of 80 GB", head, rows, kind="cards"),
        element("p", across) if across else None,
        element("p", note, class_="note"),
    ]
