# SPDX-License-Identifier: Apache-2.0
"""The charts of the atlas: models on a logarithmic axis, shares as bars, and the map of data against machines."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import altair as alt

# The report's axes, type and places for names: the same package, and one look.
from bigenough.report.charts import FILL, NUDGE, POINT, Frame, Mark, as_data, as_svg, drawn_as, finish
from bigenough.report.markup import Html, element
from bigenough.report.placement import Board, Box

__all__ = ["LEVELS", "Axis", "Bar", "Level", "Spot", "bars", "broad", "scatter", "stacked"]

Chart = alt.LayerChart

LEVELS: Mapping[str, Mark] = {
    "open weights": Mark("circle", "var(--good)", True),
    "on request": Mark("triangle-up", "var(--good)", False),
    "code only": Mark("triangle-down", "var(--muted)", False),
    "API": Mark("square", "var(--blue)", False),
    "closed": Mark("cross", "var(--bad)", True),
}
"""How far one can get hold of a model, as it is drawn: shape and colour both tell it."""


class Spot(NamedTuple):
    """Something on two axes; a name is written only where it is not empty."""

    name: str
    x: float
    y: float
    mark: Mark
    size: int = 60


class Level(NamedTuple):
    """A line at a value of an axis, with words at its beginning, or from a place on the other axis."""

    value: float
    words: str
    begins: float | None = None


class Bar(NamedTuple):
    """A named share."""

    name: str
    value: float
    words: str


class Axis(NamedTuple):
    """An axis: title, ends, values that are marked and what they are called."""

    title: str
    low: float
    high: float
    ticks: Sequence[tuple[float, str]]
    log: bool = True


def scatter(
    spots: Sequence[Spot], frame: Frame, *, x: Axis, y: Axis, levels: Sequence[Level] = (), rules: Sequence[Level] = ()
) -> Chart:
    """Spots on two axes, with named lines across and upright; names keep clear of each other."""
    across, up = _axis(alt.X, "x:Q", x), _axis(alt.Y, "y:Q", y)
    layers = _lines(levels, rules, frame, x, y)
    rows = [{"name": spot.name, "x": spot.x, "y": spot.y, "size": spot.size, **drawn_as(spot.mark)} for spot in spots]
    layers.append(alt.Chart(as_data(rows)).mark_point(opacity=0.9).encode(x=across, y=up, **POINT))
    named = _named(spots, frame, x, y, levels)
    if named:
        texts = alt.Chart(as_data(named)).mark_text(
            baseline="middle", color="var(--ink)", fontSize=frame.font - 1, **NUDGE
        )
        layers.append(texts.encode(x=across, y=up, text="name:N"))
    return finish(layers, frame)


def broad(draw: Callable[[Frame], Chart], *, name: str, described: str, caption: str, height: int = 480) -> Html:
    """A chart across the whole page, and one for a phone, with its caption; ``name`` is unique on the page."""
    wide, narrow = Frame(1060, height, 13), Frame(346, 340, 12)
    drawn = [
        as_svg(draw(wide), f"{name}-wide", "wide broad", described),
        as_svg(draw(narrow), f"{name}-narrow", "narrow", described),
    ]
    return element("figure", *drawn, element("figcaption", caption))


def _lines(levels: Sequence[Level], rules: Sequence[Level], frame: Frame, x: Axis, y: Axis) -> list[alt.Chart]:
    across, up = _axis(alt.X, "x:Q", x), _axis(alt.Y, "y:Q", y)
    drawn = []
    flat = [{"x": level.begins or x.low, "y": level.value, "name": level.words, "dx": 3, "dy": -3} for level in levels]
    upright = [  # their words stand on steps, since upright lines may be close
        {"x": rule.value, "y": y.low, "name": rule.words, "dx": 4, "dy": -4 - 15 * step}
        for step, rule in enumerate(rules)
    ]
    for rows, places in ((flat, {"y": up}), (upright, {"x": across})):
        if rows:
            base = alt.Chart(as_data(rows))
            words = base.mark_text(
                align="left",
                baseline="bottom",
                dx=alt.ExprRef("datum.dx"),
                dy=alt.ExprRef("datum.dy"),
                color="var(--muted)",
                fontSize=frame.font - 1,
            )
            drawn += [
                base.mark_rule(color="var(--muted)", strokeDash=[5, 3], strokeWidth=1).encode(**places),
                words.encode(x=across, y=up, text="name:N"),
            ]
    return drawn


def bars(shares: Sequence[Bar], frame: Frame, *, title: str) -> Chart:
    """Named bars, longest first, each with its words."""
    names = [bar.name for bar in shares]
    room = round(0.62 * frame.font * max(map(len, names)))
    axis = alt.Axis(
        labelFontSize=frame.font, labelColor="var(--ink)", ticks=False, minExtent=room, grid=False, labelLimit=400
    )
    longest = max(bar.value for bar in shares)
    x = alt.X("value:Q", title=title, scale=alt.Scale(domain=[0, 1.18 * longest]), axis=alt.Axis(tickCount=5))
    y = alt.Y("name:N", sort=names, title=None, axis=axis)
    base = alt.Chart(as_data([bar._asdict() for bar in shares])).encode(y=y)
    layers = [
        base.mark_bar(color="var(--blue)", height=max(8, frame.font - 2)).encode(x=x),
        base.mark_text(align="left", dx=5, color="var(--muted)", fontSize=frame.font - 1).encode(x=x, text="words:N"),
    ]
    return finish(layers, frame._replace(height=66 + 25 * len(shares)))


def stacked(years: Mapping[int, Mapping[str, int]], frame: Frame) -> Chart:
    """How many models of each year are how open, from the most open up."""
    rows = []
    for year, counts in years.items():
        top = 0
        for level, mark in LEVELS.items():
            if counts.get(level):
                shade = 1.0 if mark.filled else 0.45
                rows.append(
                    {
                        "year": str(year),
                        "low": top,
                        "high": top + counts[level],
                        "colour": mark.colour,
                        "shade": shade,
                        "level": level,
                    }
                )
                top += counts[level]
    base = alt.Chart(as_data(rows))
    x = alt.X("year:N", title=None, axis=alt.Axis(labelAngle=0, grid=False))
    y = alt.Y("low:Q", title="models", axis=alt.Axis(tickCount=5))
    drawn = base.mark_bar(stroke="var(--paper)", strokeWidth=1).encode(
        x=x, y=y, y2="high:Q", opacity=alt.Opacity("shade:Q", scale=None), **FILL
    )
    return finish([drawn], frame._replace(height=240))


def _axis(channel: Any, field: str, axis: Axis) -> Any:
    scale = alt.Scale(type="log" if axis.log else "linear", domain=[axis.low, axis.high], nice=False)
    # Vega's own number words would say 1G for 10^9; the ticks bring theirs.
    named = [f"abs(datum.value / {value!r} - 1) < 1e-6 ? '{words}'" for value, words in axis.ticks if value]
    label = " : ".join([*named, "''"])
    return channel(
        field, title=axis.title, scale=scale, axis=alt.Axis(values=[value for value, _ in axis.ticks], labelExpr=label)
    )


def _named(spots: Sequence[Spot], frame: Frame, x: Axis, y: Axis, levels: Sequence[Level]) -> list[dict[str, Any]]:
    wide, high = frame.width - 84.0, frame.height - 60.0

    def place(value: float, axis: Axis) -> float:
        if axis.log:
            return math.log(value / axis.low) / math.log(axis.high / axis.low)
        return (value - axis.low) / (axis.high - axis.low)

    board = Board(wide, high, frame.font)
    for spot in spots:
        left, top = place(spot.x, x) * wide, (1 - place(spot.y, y)) * high
        board.take(Box(left - 4, top - 4, left + 4, top + 4))
    for level in levels:
        top = (1 - place(level.value, y)) * high
        left = 0.0 if level.begins is None else place(level.begins, x) * wide
        board.take(Box(left, top - frame.font - 3, left + 0.6 * frame.font * len(level.words), top + 1))
    written = []
    for spot in spots:
        if spot.name:
            side = board.beside(place(spot.x, x) * wide, (1 - place(spot.y, y)) * high, spot.name)
            box = side.box(place(spot.x, x) * wide, (1 - place(spot.y, y)) * high, 0.6 * frame.font * len(spot.name), 0)
            if box.left < -6 or box.right > wide + 12:
                continue  # no side has room: a name cut by the edge says less than none
            written.append({"name": spot.name, "x": spot.x, "y": spot.y, **side._asdict()})
    return written
