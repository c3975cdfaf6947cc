# SPDX-License-Identifier: Apache-2.0
"""The page's charts: drawn once by Vega-Lite as inline SVG, in the page's own colours.

Colours are CSS variables, so one drawing serves light and dark. Every chart is drawn twice, for a window and for a
phone, because type that shrinks with its picture cannot be read; the style sheet shows one of the two.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import altair as alt
import vl_convert

from bigenough.report.markup import Html, element, raw
from bigenough.report.placement import Board, Box, Side
from bigenough.report.view import Role

__all__ = [
    "FILL",
    "MARKS",
    "NUDGE",
    "POINT",
    "Bin",
    "Dot",
    "Frame",
    "Gap",
    "Mark",
    "as_data",
    "as_svg",
    "differences",
    "drawn_as",
    "figure",
    "finish",
    "frontier",
    "log_axis",
    "log_domain",
    "padded",
    "reliability",
]

Chart = alt.LayerChart


class Mark(NamedTuple):
    """How a role is drawn: shape and colour both tell it."""

    shape: str
    colour: str
    filled: bool


MARKS: Mapping[Role, Mark] = {
    "winner": Mark("diamond", "var(--good)", True),
    "reference": Mark("square", "var(--blue)", True),
    "passed": Mark("circle", "var(--good)", True),
    "failed": Mark("triangle-down", "var(--bad)", True),
    "not tested": Mark("circle", "var(--muted)", False),
    "left out": Mark("cross", "var(--muted)", True),
    "no result": Mark("cross", "var(--muted)", False),
}


_ALWAYS_NAMED: frozenset[Role] = frozenset({"winner", "reference", "passed", "failed"})
_BESIDE = Side("left", 11, 0)


class Dot(NamedTuple):
    """A candidate on the frontier: x in the axis' unit, scores as fractions."""

    name: str
    role: Role
    x: float
    score: float
    low: float
    high: float


class Gap(NamedTuple):
    """A comparison: difference and one-sided bounds, as fractions."""

    name: str
    passed: bool
    difference: float
    lower: float
    upper: float


class Bin(NamedTuple):
    """Rows of like confidence: their mean confidence, and the share that is right with an interval."""

    confidence: float
    right: float
    low: float
    high: float


class Frame(NamedTuple):
    """The room a drawing has, in CSS pixels, and the size of its type."""

    width: int
    height: int
    font: int


_FRAMES = {"wide": Frame(530, 320, 13), "narrow": Frame(346, 290, 12)}


def figure(draw: Callable[[Frame], Chart], *, name: str, described: str, caption: str) -> Html:
    """A chart in both widths with its caption. ``name`` is unique on the page."""
    drawn = [as_svg(draw(frame), f"{name}-{kind}", kind, described) for kind, frame in _FRAMES.items()]
    return element("figure", *drawn, element("figcaption", caption))


def frontier(
    dots: Sequence[Dot], frame: Frame, *, x_title: str, y_title: str, line: float | None, line_title: str
) -> Chart:
    """Quality against a cost on a log axis, with intervals and the line that a proof must clear.

    Who was tested or is compared with has a name; the others have one where there is room.
    """
    x_domain = log_domain([dot.x for dot in dots])
    scores = [value for dot in dots for value in (dot.low, dot.high)] + ([line] if line is not None else [])
    y_domain = padded([100 * value for value in scores])
    sides, line_side = _name_sides(dots, x_domain, y_domain, frame, None if line is None else (100 * line, line_title))
    x_scale, y_scale = alt.Scale(type="log", domain=x_domain), alt.Scale(domain=y_domain, nice=False)
    x = alt.X("x:Q", title=x_title, scale=x_scale, axis=log_axis(x_domain))
    y = alt.Y("score:Q", title=f"{y_title}, %", scale=y_scale, axis=alt.Axis(tickCount=6))
    base = alt.Chart(as_data(_dot_row(dot, sides.get(dot)) for dot in dots))
    layers = [
        base.mark_rule(strokeWidth=1.5, opacity=0.7).encode(
            x=x, y=alt.Y("low:Q", scale=y_scale), y2="high:Q", **_STROKE
        ),
        base.mark_point(opacity=1).encode(x=x, y=y, **POINT),
        base.mark_text(baseline="middle", color="var(--ink)", **NUDGE).encode(x=x, y=y, text="name:N"),
    ]
    if line is not None:
        level = alt.Chart(as_data([{"score": 100 * line, "x": x_domain[0], "name": line_title, **line_side._asdict()}]))
        rule = level.mark_rule(color="var(--bad)", strokeDash=[5, 3], strokeWidth=1.25).encode(y=y)
        words = level.mark_text(baseline="middle", color="var(--bad)", fontSize=frame.font - 1, **NUDGE)
        layers = [rule, words.encode(x=x, y=y, text="name:N"), *layers]
    return finish(layers, frame)


def _dot_row(dot: Dot, side: Side | None) -> dict[str, Any]:
    scores = {"score": 100 * dot.score, "low": 100 * dot.low, "high": 100 * dot.high}
    size = 210 if dot.role == "winner" else 150
    name, placed = ("", _BESIDE) if side is None else (dot.name, side)
    return {"name": name, "x": dot.x, "size": size, **scores, **drawn_as(MARKS[dot.role]), **placed._asdict()}


def _name_sides(
    dots: Sequence[Dot],
    x_domain: Sequence[float],
    y_domain: Sequence[float],
    frame: Frame,
    line: tuple[float, str] | None,
) -> tuple[dict[Dot, Side], Side]:
    wide, high = frame.width - 64.0, frame.height - 60.0  # what the axes leave

    def across(x: float) -> float:
        return math.log(x / x_domain[0]) / math.log(x_domain[1] / x_domain[0]) * wide

    def down(score: float) -> float:
        return (y_domain[1] - score) / (y_domain[1] - y_domain[0]) * high

    board = Board(wide, high, frame.font)
    for dot in dots:
        x, y = across(dot.x), down(100 * dot.score)
        board.take(Box(x - 7, y - 7, x + 7, y + 7))
        board.take_if_room(Box(x - 2, down(100 * dot.high), x + 2, down(100 * dot.low)))
    line_side = Side("left", 6, 11)
    if line is not None:
        line_side = board.along(down(line[0]), line[1])
        board.take(Box(0.0, down(line[0]) - 1, wide, down(line[0]) + 1))
    sides = {}
    for dot in sorted(dots, key=lambda dot: list(MARKS).index(dot.role)):
        place = board.beside if dot.role in _ALWAYS_NAMED else board.if_free
        if (side := place(across(dot.x), down(100 * dot.score), dot.name)) is not None:
            sides[dot] = side
    return sides, line_side


def differences(gaps: Sequence[Gap], frame: Frame, *, margin: float, target: str) -> Chart:
    """Each tested difference with its one-sided bounds, against the line that a proof must clear."""
    ends = [100 * value for gap in gaps for value in (gap.lower, gap.upper)] + [0.0, -100 * margin]
    domain = padded(ends, 0.12)
    x = alt.X(
        "difference:Q",
        title=f"points against {target}",
        scale=alt.Scale(domain=domain, nice=False),
        axis=alt.Axis(tickCount=6),
    )
    names = [gap.name for gap in gaps]
    # Room for the names in the reader's own font, which may be wider than the one that measured them here.
    room = round(0.64 * frame.font * max(map(len, names)))
    axis = alt.Axis(labelFontSize=frame.font, labelColor="var(--ink)", ticks=False, minExtent=room)
    y = alt.Y("name:N", sort=names, title=None, axis=axis)
    edge = alt.Chart(as_data([{"difference": -100 * margin, "left": domain[0]}]))
    layers = [
        edge.mark_rect(color="var(--bad)", opacity=0.09).encode(x=alt.X("left:Q"), x2="difference:Q"),
        edge.mark_rule(color="var(--bad)", strokeDash=[5, 3], strokeWidth=1.5).encode(x=x),
        alt.Chart(as_data([{"difference": 0.0}])).mark_rule(color="var(--muted)").encode(x=x),
    ]
    rows = [
        {
            "name": gap.name, "difference": 100 * gap.difference, "lower": 100 * gap.lower, "upper": 100 * gap.upper,
            "size": 100, **drawn_as(MARKS["passed" if gap.passed else "failed"]),
        }
        for gap in gaps
    ]  # fmt: skip
    base = alt.Chart(as_data(rows)).encode(y=y)
    layers += [
        base.mark_rule(strokeWidth=2.5).encode(x=alt.X("lower:Q"), x2="upper:Q", **_STROKE),
        base.mark_tick(thickness=2.5, size=14).encode(x="lower:Q", **FILL),
        base.mark_point(opacity=1).encode(x=x, **POINT),
    ]
    return finish(layers, frame._replace(height=92 + 44 * len(gaps)))


def reliability(bins: Sequence[Bin], frame: Frame) -> Chart:
    """What share is right among rows of like confidence; on the diagonal, confidence can be taken at its word."""
    low = max(0.0, math.floor(10 * min(min(one.confidence, one.low) for one in bins)) / 10)
    domain = [100 * low, 100.0]
    axis = alt.Axis(tickCount=5)
    x = alt.X("confidence:Q", title="stated confidence, %", scale=alt.Scale(domain=domain), axis=axis)
    y = alt.Y("right:Q", title="share that is right, %", scale=alt.Scale(domain=domain), axis=axis)
    ends = as_data([{"confidence": value, "right": value} for value in domain])
    rows = [{key: 100 * value for key, value in one._asdict().items()} for one in bins]
    look = {"size": 60, **drawn_as(Mark("circle", "var(--blue)", True))}
    base = alt.Chart(as_data({**row, **look} for row in rows))
    layers = [
        alt.Chart(ends).mark_line(color="var(--muted)", strokeDash=[5, 3], strokeWidth=1.5).encode(x=x, y=y),
        base.mark_rule(color="var(--blue)", strokeWidth=1.5, opacity=0.7).encode(
            x=x, y=alt.Y("low:Q", scale=alt.Scale(domain=domain)), y2="high:Q"
        ),
        base.mark_line(color="var(--blue)", strokeWidth=1.5).encode(x=x, y=y),
        base.mark_point(opacity=1).encode(x=x, y=y, **POINT),
    ]
    return finish(layers, frame)


# Colours, shapes and places stand in the data as they are drawn, so that one layer draws all rows of a kind.
FILL: dict[str, Any] = {"fill": alt.Fill("colour:N", scale=None)}
_STROKE: dict[str, Any] = {"stroke": alt.Stroke("colour:N", scale=None)}
POINT: dict[str, Any] = {
    "fill": alt.Fill("fill:N", scale=None),
    "stroke": alt.Stroke("stroke:N", scale=None),
    "strokeWidth": alt.StrokeWidth("edge:Q", scale=None),
    "shape": alt.Shape("shape:N", scale=None),
    "size": alt.Size("size:Q", scale=None),
}
NUDGE: dict[str, Any] = {name: alt.ExprRef(f"datum.{name}") for name in ("align", "dx", "dy")}


def drawn_as(mark: Mark) -> dict[str, Any]:
    """The columns that tell a row's mark."""
    fill, stroke = (mark.colour, "var(--paper)") if mark.filled else ("var(--paper)", mark.colour)
    return {"shape": mark.shape, "colour": mark.colour, "fill": fill, "stroke": stroke, "edge": 1 if mark.filled else 2}


def as_data(rows: Iterable[Mapping[str, Any]]) -> alt.InlineData:
    """Rows as they stand in a chart."""
    return alt.InlineData(values=[dict(row) for row in rows])


def padded(values: Sequence[float], share: float = 0.08) -> list[float]:
    """A domain that holds the values with some room on both sides."""
    low, high = min(values), max(values)
    room = share * (high - low) or 1.0
    return [low - room, high + room]


def log_domain(values: Sequence[float], room: float = 1.8) -> list[float]:
    """A domain that holds the values with as many times their size to spare."""
    return [min(values) / room, max(values) * room]


def log_axis(domain: Sequence[float]) -> alt.Axis:
    """Round values on a log axis, three at least where there are any."""
    decades = range(math.floor(math.log10(domain[0])), math.ceil(math.log10(domain[1])) + 1)
    for steps in ((1,), (1, 3), (1, 2, 5)):
        values = [step * 10.0**power for power in decades for step in steps]
        shown = [value for value in values if domain[0] <= value <= domain[1]]
        if len(shown) >= 3:
            break
    return alt.Axis(values=shown, format="~g")


def finish(layers: Sequence[alt.Chart], frame: Frame) -> Chart:
    """Layers as one chart in the report's look."""
    axis = {
        "domain": False, "grid": True, "gridColor": "var(--line)", "tickColor": "var(--line)", "labelPadding": 5,
        "labelColor": "var(--muted)", "labelFontSize": frame.font - 1, "titleColor": "var(--muted)",
        "titleFontSize": frame.font, "titleFontWeight": "normal", "titlePadding": 8,
    }  # fmt: skip
    look = {
        "aria": False,
        "font": "sans-serif",
        "axis": axis,
        "text": {"fontSize": frame.font},
        "view": {"stroke": None},
    }
    return alt.LayerChart(
        layer=list(layers),
        width=frame.width,
        height=frame.height,
        autosize={"type": "fit", "contains": "padding"},
        padding=4,
        background="transparent",
        config=look,
    )


def as_svg(chart: Chart, name: str, kind: str, described: str) -> Html:
    """A chart as inline SVG; ``name`` keeps its clip paths apart from those of other pictures."""
    svg = vl_convert.vegalite_to_svg(chart.to_dict(validate=False))
    # Inside one picture the words count once, and clip paths of several pictures need names of their own.
    svg = re.sub(r' (?:aria-[a-z]+|role|font-family|xmlns:xlink|version|pointer-events)="[^"]*"', "", svg)
    svg = re.sub(r'(id="|url\(#)([a-z_]+\d+)', rf"\g<1>{name}-\g<2>", svg)
    opening = re.match(r'<svg [^>]*viewBox="([^"]+)"[^>]*>', svg)
    if opening is None:
        raise ValueError("The chart library returned no SVG.")
    words = element("title", described)
    start = element(
        "svg",
        xmlns="http://www.w3.org/2000/svg",
        viewBox=opening[1],
        class_=f"chart {kind}",
        role="img",
        aria_label=described,
    ).removesuffix("</svg>")
    return raw(start + words + svg[opening.end() :])
