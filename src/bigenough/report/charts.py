# SPDX-License-Identifier: Apache-2.0
"""The page's charts: drawn once by Vega-Lite as inline SVG, in the page's own colours.

Colours are CSS variables, so one drawing serves light and dark. Every chart is drawn twice, for a window and for a
phone, because type that shrinks with its picture cannot be read; the style sheet shows one of the two.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Literal, NamedTuple

import altair as alt
import vl_convert

from bigenough.report.markup import Html, element, raw
from bigenough.report.view import Role

__all__ = ["MARKS", "Bin", "Curve", "Dot", "Frame", "Gap", "Mark", "curves", "differences", "figure", "frontier", "reliability"]

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


class Curve(NamedTuple):
    """Scores (fractions) by number of fit rows."""

    name: str
    rows: Sequence[int]
    scores: Sequence[float]


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
    drawn = [_svg(draw(frame), f"{name}-{kind}", kind, described) for kind, frame in _FRAMES.items()]
    return element("figure", *drawn, element("figcaption", caption))


def frontier(
    dots: Sequence[Dot], frame: Frame, *, x_title: str, y_title: str, line: float | None, line_title: str
) -> Chart:
    """Quality against a cost on a log axis, with intervals and the line that a proof must clear."""
    x_domain = _log_domain([dot.x for dot in dots])
    scores = [value for dot in dots for value in (dot.low, dot.high)] + ([line] if line is not None else [])
    y_domain = _padded([100 * value for value in scores])
    x = alt.X("x:Q", title=x_title, scale=alt.Scale(type="log", domain=x_domain), axis=_log_axis(x_domain))
    y = alt.Y("score:Q", title=f"{y_title}, %", scale=alt.Scale(domain=y_domain, nice=False), axis=alt.Axis(tickCount=6))
    low = alt.Y("low:Q", scale=alt.Scale(domain=y_domain, nice=False))
    place, free = _places(dots, x_domain, y_domain, frame, line_title if line is not None else "", 100 * (line or 0.0))
    layers: list[alt.Chart] = []
    if line is not None:
        layers += _level(100 * line, line_title, x_domain, y_domain, frame, free)
    for dot in dots:
        mark = MARKS[dot.role]
        base = alt.Chart(_data([{"x": dot.x, "score": 100 * dot.score, "low": 100 * dot.low, "high": 100 * dot.high}]))
        layers.append(base.mark_rule(color=mark.colour, strokeWidth=1.5, opacity=0.7).encode(x=x, y=low, y2="high:Q"))
        layers.append(_point(base, mark, size=210 if dot.role == "winner" else 150).encode(x=x, y=y))
        layers.append(
            base.mark_text(color="var(--ink)", fontWeight=600 if dot.role == "winner" else 400, **place[dot.name]).encode(
                x=x, y=y, text=alt.value(dot.name)
            )
        )
    return _finish(layers, frame)


def differences(gaps: Sequence[Gap], frame: Frame, *, margin: float, target: str) -> Chart:
    """Each tested difference with its one-sided bounds, against the line that a proof must clear."""
    ends = [100 * value for gap in gaps for value in (gap.lower, gap.upper)] + [0.0, -100 * margin]
    domain = _padded(ends, 0.12)
    x = alt.X("difference:Q", title=f"points against {target}", scale=alt.Scale(domain=domain, nice=False))
    names = [gap.name for gap in gaps]
    y = alt.Y("name:N", sort=names, title=None, axis=alt.Axis(labelFontSize=frame.font, labelColor="var(--ink)", ticks=False))
    edge = alt.Chart(_data([{"difference": -100 * margin, "left": domain[0]}]))
    layers = [
        edge.mark_rect(color="var(--bad)", opacity=0.09).encode(x=alt.X("left:Q"), x2="difference:Q"),
        edge.mark_rule(color="var(--bad)", strokeDash=[5, 3], strokeWidth=1.5).encode(x=x),
        alt.Chart(_data([{"difference": 0.0}])).mark_rule(color="var(--muted)").encode(x=x),
    ]
    for gap in gaps:
        mark = MARKS["passed" if gap.passed else "failed"]
        values = {"name": gap.name, "difference": gap.difference, "lower": gap.lower, "upper": gap.upper}
        row = {key: value if isinstance(value, str) else 100 * value for key, value in values.items()}
        base = alt.Chart(_data([row])).encode(y=y)
        layers.append(base.mark_rule(color=mark.colour, strokeWidth=2.5).encode(x="lower:Q", x2="upper:Q"))
        layers.append(base.mark_tick(color=mark.colour, thickness=2.5, size=14).encode(x="lower:Q"))
        layers.append(_point(base, mark, size=100).encode(x=x))
    return _finish(layers, frame._replace(height=92 + 44 * len(gaps)))


def curves(lines: Sequence[Curve], frame: Frame, *, y_title: str) -> Chart:
    """Select scores by number of fit rows, each curve named at its end."""
    rows = [row for line in lines for row in line.rows]
    x_domain = _log_domain(rows, room=1.25)
    # Room on the right for the names, in the log axis' own terms.
    longest = max(len(line.name) for line in lines) * 0.56 * frame.font + 14
    span = math.log(x_domain[1] / x_domain[0])
    x_end = x_domain[0] * math.exp(span / max(0.4, 1 - longest / (frame.width - 60)))
    y_domain = _padded([100 * score for line in lines for score in line.scores])
    ticks = sorted(set(rows))
    x = alt.X(
        "rows:Q",
        title="fit rows",
        scale=alt.Scale(type="log", domain=[x_domain[0], x_end]),
        axis=alt.Axis(values=ticks, format=",", grid=False, labelOverlap="greedy"),
    )
    y = alt.Y("score:Q", title=f"{y_title} on select, %", scale=alt.Scale(domain=y_domain, nice=False), axis=alt.Axis(tickCount=6))
    heights = _spread([100 * line.scores[-1] for line in lines], y_domain, frame)
    layers = []
    for place, (line, height) in enumerate(zip(lines, heights, strict=True)):
        colour, dash, shape = _SERIES[place % len(_SERIES)]
        points = [{"rows": row, "score": 100 * score} for row, score in zip(line.rows, line.scores, strict=True)]
        base = alt.Chart(_data(points)).encode(x=x, y=y)
        layers.append(base.mark_line(color=colour, strokeDash=dash, strokeWidth=2))
        layers.append(_point(base, Mark(shape, colour, True), size=80))
        end = alt.Chart(_data([{"rows": line.rows[-1], "score": height}]))
        layers.append(
            end.mark_text(align="left", baseline="middle", dx=9, color=colour, fontWeight=600).encode(
                x=x, y=y, text=alt.value(line.name)
            )
        )
    return _finish(layers, frame)


def reliability(bins: Sequence[Bin], frame: Frame) -> Chart:
    """What share is right among rows of like confidence; on the diagonal, confidence can be taken at its word."""
    low = max(0.0, math.floor(10 * min(min(one.confidence, one.low) for one in bins)) / 10)
    domain = [100 * low, 100.0]
    axis = alt.Axis(tickCount=5)
    x = alt.X("confidence:Q", title="stated confidence, %", scale=alt.Scale(domain=domain), axis=axis)
    y = alt.Y("right:Q", title="share that is right, %", scale=alt.Scale(domain=domain), axis=axis)
    ends = _data([{"confidence": value, "right": value} for value in domain])
    base = alt.Chart(_data([{key: 100 * value for key, value in one._asdict().items()} for one in bins]))
    layers = [
        alt.Chart(ends).mark_line(color="var(--muted)", strokeDash=[5, 3], strokeWidth=1.5).encode(x=x, y=y),
        base.mark_rule(color="var(--blue)", strokeWidth=1.5, opacity=0.7).encode(
            x=x, y=alt.Y("low:Q", scale=alt.Scale(domain=domain)), y2="high:Q"
        ),
        base.mark_line(color="var(--blue)", strokeWidth=1.5).encode(x=x, y=y),
        _point(base, Mark("circle", "var(--blue)", True), size=60).encode(x=x, y=y),
    ]
    return _finish(layers, frame)


_SERIES = [
    ("var(--blue)", [1, 0], "circle"),
    ("var(--good)", [7, 3], "diamond"),
    ("var(--bad)", [2, 3], "triangle-up"),
    ("var(--muted)", [8, 3, 2, 3], "square"),
]


def _data(rows: Iterable[Mapping[str, Any]]) -> alt.InlineData:
    return alt.InlineData(values=[dict(row) for row in rows])


def _point(base: alt.Chart, mark: Mark, *, size: int) -> alt.Chart:
    if mark.filled:
        return base.mark_point(shape=mark.shape, size=size, filled=True, color=mark.colour, opacity=1, stroke="var(--paper)", strokeWidth=1)
    return base.mark_point(
        shape=mark.shape, size=size, filled=True, color="var(--paper)", opacity=1, stroke=mark.colour, strokeWidth=2
    )


def _level(
    at: float, words: str, x_domain: Sequence[float], y_domain: Sequence[float], frame: Frame, side: _Side
) -> list[alt.Chart]:
    base = alt.Chart(_data([{"level": at, "x": x_domain[0]}]))
    x = alt.X("x:Q", scale=alt.Scale(type="log", domain=list(x_domain)))
    y = alt.Y("level:Q", scale=alt.Scale(domain=list(y_domain), nice=False))
    return [
        base.mark_rule(color="var(--bad)", strokeDash=[5, 3], strokeWidth=1.25).encode(y=y),
        base.mark_text(
            align=side.align, baseline="middle", dx=side.dx, dy=side.dy, color="var(--bad)", fontSize=frame.font - 1
        ).encode(x=x, y=y, text=alt.value(words)),
    ]


class _Side(NamedTuple):
    """Where words stand, seen from what they name."""

    align: Literal["left", "right"]
    dx: int
    dy: int

    def box(self, x: float, y: float, length: float, half: float) -> tuple[float, float, float, float]:
        left = x + self.dx - (length if self.align == "right" else 0)
        return left, y + self.dy - half, left + length, y + self.dy + half


_DOT_SIDES = [
    _Side("left", 11, 0), _Side("right", -11, 0), _Side("left", 9, -13), _Side("left", 9, 14), _Side("right", -9, -13),
    _Side("right", -9, 14), _Side("left", 9, -28), _Side("right", -9, -28), _Side("left", 9, 28), _Side("right", -9, 28),
]  # fmt: skip
_ALONG = (0.015, 0.62, 0.45, 0.3, 0.15, 0.75)
"""Where along a line its words may begin, as shares of the width."""


def _places(
    dots: Sequence[Dot], x_domain: Sequence[float], y_domain: Sequence[float], frame: Frame, words: str, level: float
) -> tuple[dict[str, dict[str, Any]], _Side]:
    """Where each name goes, and the line's words: the first side where they hit neither the edge nor anything else."""
    wide, high = frame.width - 64.0, frame.height - 60.0
    half = frame.font / 2 + 1

    def down(score: float) -> float:
        return (y_domain[1] - score) / (y_domain[1] - y_domain[0]) * high

    def across(x: float) -> float:
        return math.log(x / x_domain[0]) / math.log(x_domain[1] / x_domain[0]) * wide

    taken = []
    for dot in dots:
        x = across(dot.x)
        taken.append((x - 7, down(100 * dot.score) - 7, x + 7, down(100 * dot.score) + 7))
        taken.append((x - 2, down(100 * dot.high), x + 2, down(100 * dot.low)))

    def choose(sides: Sequence[_Side], x: float, y: float, length: float) -> _Side:
        def fits(box: tuple[float, ...]) -> bool:
            inside = box[0] >= 0 and box[2] <= wide and box[1] >= 0 and box[3] <= high
            return inside and not any(_meet(box, other) for other in taken)

        side = next((one for one in sides if fits(one.box(x, y, length, half))), sides[0])
        taken.append(side.box(x, y, length, half))
        return side

    line = _Side("left", 0, 0)
    if words:
        along = [_Side("left", round(share * wide), dy) for share in _ALONG for dy in (11, -9)]
        line = choose(along, 0.0, down(level), 0.56 * frame.font * len(words))
        taken.append((0.0, down(level) - 1, wide, down(level) + 1))
    places: dict[str, dict[str, Any]] = {}
    for dot in dots:
        side = choose(_DOT_SIDES, across(dot.x), down(100 * dot.score), 0.62 * frame.font * len(dot.name))
        places[dot.name] = {"baseline": "middle", **side._asdict()}
    return places, line


def _meet(one: tuple[float, ...], other: tuple[float, ...]) -> bool:
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]


def _spread(heights: Sequence[float], domain: Sequence[float], frame: Frame) -> list[float]:
    """Heights pushed apart until names written there do not touch, in the order they came."""
    gap = (frame.font + 4) / (frame.height - 60) * (domain[1] - domain[0])
    order = sorted(range(len(heights)), key=lambda place: heights[place])
    moved = list(heights)
    for before, place in zip(order, order[1:], strict=False):
        moved[place] = max(moved[place], moved[before] + gap)
    over = max(0.0, max(moved) - domain[1])
    return [height - over for height in moved]


def _padded(values: Sequence[float], share: float = 0.08) -> list[float]:
    low, high = min(values), max(values)
    room = share * (high - low) or 1.0
    return [low - room, high + room]


def _log_domain(values: Sequence[float], room: float = 1.8) -> list[float]:
    return [min(values) / room, max(values) * room]


def _log_axis(domain: Sequence[float]) -> alt.Axis:
    decades = range(math.floor(math.log10(domain[0])), math.ceil(math.log10(domain[1])) + 1)
    for steps in ((1,), (1, 3), (1, 2, 5)):
        values = [step * 10.0**power for power in decades for step in steps]
        shown = [value for value in values if domain[0] <= value <= domain[1]]
        if len(shown) >= 3:
            break
    return alt.Axis(values=shown, format="~g")


def _finish(layers: Sequence[alt.Chart], frame: Frame) -> Chart:
    chart = alt.layer(*layers).properties(
        width=frame.width, height=frame.height, autosize=alt.AutoSizeParams(type="fit", contains="padding"), padding=4
    )
    finished: Chart = (
        chart.configure(aria=False, background="transparent", font="sans-serif")
        .configure_axis(
            domain=False, grid=True, gridColor="var(--line)", tickColor="var(--line)", labelColor="var(--muted)",
            labelFontSize=frame.font - 1, labelPadding=5, titleColor="var(--muted)", titleFontSize=frame.font,
            titleFontWeight="normal", titlePadding=8,
        )
        .configure_text(fontSize=frame.font)
        .configure_view(stroke=None)
    )  # fmt: skip
    return finished


def _svg(chart: Chart, name: str, kind: str, described: str) -> Html:
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
