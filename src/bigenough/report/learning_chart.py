# SPDX-License-Identifier: Apache-2.0
"""Learning curves, and what is foretold of them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import altair as alt

from bigenough.report.charts import FILL, POINT, Chart, Frame, Mark, as_data, drawn_as, finish, log_domain, padded
from bigenough.report.placement import spread

__all__ = ["Ahead", "Curve", "curves"]


_SERIES = (
    (Mark("circle", "var(--blue)", True), [1, 0]),
    (Mark("diamond", "var(--good)", True), [7, 3]),
    (Mark("triangle-up", "var(--bad)", True), [2, 3]),
    (Mark("square", "var(--muted)", True), [8, 3, 2, 3]),
)


class Ahead(NamedTuple):
    """A score (fraction) foretold for so many fit rows, and its interval."""

    rows: int
    score: float
    low: float
    high: float


class Curve(NamedTuple):
    """Scores (fractions) by number of fit rows, and those foretold for more rows."""

    name: str
    rows: Sequence[int]
    scores: Sequence[float]
    ahead: Sequence[Ahead] = ()


def curves(lines: Sequence[Curve], frame: Frame, *, y_title: str) -> Chart:
    """Select scores by number of fit rows, each curve named at its end; what is foretold is fainter, in its band."""
    sizes = sorted({row for line in lines for row in (*line.rows, *(one.rows for one in line.ahead[-1:]))})
    x_domain = log_domain(sizes, room=1.25)
    # Room on the right for the names, in the log axis' own terms.
    longest = max(len(line.name) for line in lines) * 0.56 * frame.font + 14
    span = math.log(x_domain[1] / x_domain[0])
    x_end = x_domain[0] * math.exp(span / max(0.4, 1 - longest / (frame.width - 60)))
    y_domain = padded(
        [100 * score for line in lines for score in (*line.scores, *(end for one in line.ahead for end in one[1:]))]
    )
    x = alt.X(
        "rows:Q",
        title="fit rows",
        scale=alt.Scale(type="log", domain=[x_domain[0], x_end]),
        axis=alt.Axis(values=sizes, format=",", grid=False, labelOverlap="greedy"),
    )
    y_scale = alt.Scale(domain=y_domain, nice=False)
    y = alt.Y("score:Q", title=f"{y_title} on select, %", scale=y_scale, axis=alt.Axis(tickCount=6))
    gap = (frame.font + 4) / (frame.height - 60) * (y_domain[1] - y_domain[0])
    heights = spread(
        [100 * (line.ahead[-1].score if line.ahead else line.scores[-1]) for line in lines], gap, y_domain[1]
    )
    layers, points, ends = [], [], []
    for place, (line, height) in enumerate(zip(lines, heights, strict=True)):
        mark, dash = _SERIES[place % len(_SERIES)]
        rows = [{"rows": row, "score": 100 * score} for row, score in zip(line.rows, line.scores, strict=True)]
        layers.append(
            alt.Chart(as_data(rows)).mark_line(color=mark.colour, strokeDash=dash, strokeWidth=2).encode(x=x, y=y)
        )
        layers += _foretold(line.ahead, mark, x, y, y_scale)
        points += [{**row, "size": 80, **drawn_as(mark)} for row in rows]
        end = line.ahead[-1].rows if line.ahead else line.rows[-1]
        ends.append({"rows": end, "score": height, "name": line.name, **drawn_as(mark)})
    layers.append(alt.Chart(as_data(points)).mark_point(opacity=1).encode(x=x, y=y, **POINT))
    names = alt.Chart(as_data(ends)).mark_text(align="left", baseline="middle", dx=9, fontWeight=600)
    layers.append(names.encode(x=x, y=y, text="name:N", **FILL))
    return finish(layers, frame)


def _foretold(ahead: Sequence[Ahead], mark: Mark, x: alt.X, y: alt.Y, scale: alt.Scale) -> list[alt.Chart]:
    if not ahead:
        return []
    rows = [{"rows": one.rows, "score": 100 * one.score, "low": 100 * one.low, "high": 100 * one.high} for one in ahead]
    base = alt.Chart(as_data(rows))
    band = base.mark_area(color=mark.colour, opacity=0.13).encode(x=x, y=alt.Y("low:Q", scale=scale), y2="high:Q")
    line = base.mark_line(color=mark.colour, strokeDash=[3, 4], strokeWidth=1.5, opacity=0.8)
    return [band, line.encode(x=x, y=y)]
