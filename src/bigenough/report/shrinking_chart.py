# SPDX-License-Identifier: Apache-2.0
"""The frontier of quality against size, before and after shrinking."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

import altair as alt

from bigenough.report.charts import (
    NUDGE,
    POINT,
    Chart,
    Frame,
    Mark,
    as_data,
    drawn_as,
    finish,
    log_axis,
    log_domain,
    padded,
)
from bigenough.report.placement import Board, Box, Side

__all__ = ["Step", "best_at_each_size", "frontiers"]

_OWN, _MADE = Mark("circle", "var(--blue)", True), Mark("circle", "var(--good)", False)


class Step(NamedTuple):
    """A candidate: its bytes in MB, its score as a fraction, and the name of the one it was made from, if any."""

    name: str
    size_mb: float
    score: float
    parent: str | None

    @property
    def label(self) -> str:
        """The step alone where the name begins with the parent's, to which a line leads; else the name."""
        return self.name.removeprefix(f"{self.parent}-")


def best_at_each_size(dots: Sequence[Step]) -> list[Step]:
    """The frontier: those that score higher than every smaller one, smallest first.

    >>> small, poor, large = Step("a", 1, 0.8, None), Step("b", 2, 0.7, None), Step("c", 3, 0.9, None)
    >>> [dot.name for dot in best_at_each_size([large, poor, small])]
    ['a', 'c']
    """
    kept: list[Step] = []
    for dot in sorted(dots, key=lambda dot: (dot.size_mb, -dot.score)):
        if not kept or dot.score > kept[-1].score:
            kept.append(dot)
    return kept


def frontiers(dots: Sequence[Step], frame: Frame, *, y_title: str) -> Chart:
    """Every candidate, a thin line from each to what was made of it, and both frontiers as steps."""
    x_domain = log_domain([dot.size_mb for dot in dots])
    x_domain[1] *= 2.5  # room for the names of the largest
    y_domain = padded([100 * dot.score for dot in dots], 0.18)
    x = alt.X(
        "size:Q", title="files on disk, MB", scale=alt.Scale(type="log", domain=x_domain), axis=log_axis(x_domain)
    )
    y = alt.Y(
        "score:Q", title=f"{y_title}, %", scale=alt.Scale(domain=y_domain, nice=False), axis=alt.Axis(tickCount=6)
    )
    own, every = best_at_each_size([dot for dot in dots if dot.parent is None]), best_at_each_size(dots)
    stairs = [(own, "var(--muted)", [5, 3]), (every, "var(--good)", [1, 0])]
    layers = [_stairs(each, x_domain[1], colour, dash).encode(x=x, y=y) for each, colour, dash in stairs if each]
    by_name = {dot.name: dot for dot in dots}
    pairs = [(by_name[dot.parent], dot) for dot in dots if dot.parent in by_name]
    for pair in pairs:
        ends = [{"size": dot.size_mb, "score": 100 * dot.score} for dot in pair]
        line = alt.Chart(as_data(ends)).mark_line(color="var(--muted)", strokeWidth=1, opacity=0.7)
        layers.append(line.encode(x=x, y=y))
    sides = _sides(dots, [own, every], pairs, x_domain, y_domain, frame)
    rows = [
        {"name": dot.label, "size": dot.size_mb, "score": 100 * dot.score, "area": 110,
         **drawn_as(_OWN if dot.parent is None else _MADE), **side._asdict()}
        for dot, side in zip(dots, sides, strict=True)
    ]  # fmt: skip
    base = alt.Chart(as_data(rows))
    layers.append(base.mark_point(opacity=1).encode(x=x, y=y, **{**POINT, "size": alt.Size("area:Q", scale=None)}))
    names = base.mark_text(baseline="middle", color="var(--ink)", **NUDGE)
    return finish([*layers, names.encode(x=x, y=y, text="name:N")], frame)


def _stairs(frontier: Sequence[Step], end: float, colour: str, dash: list[int]) -> alt.Chart:
    """What a budget of so many bytes buys: level until the next better model."""
    rows = [{"size": dot.size_mb, "score": 100 * dot.score} for dot in frontier]
    rows += [{**row, "size": end} for row in rows[-1:]]
    chart: alt.Chart = alt.Chart(as_data(rows)).mark_line(
        color=colour, strokeDash=dash, strokeWidth=1.75, interpolate="step-after", opacity=0.85
    )
    return chart


def _sides(
    dots: Sequence[Step],
    stairs: Sequence[Sequence[Step]],
    pairs: Sequence[tuple[Step, Step]],
    x_domain: Sequence[float],
    y_domain: Sequence[float],
    frame: Frame,
) -> list[Side]:
    wide, high = frame.width - 64.0, frame.height - 60.0  # what the axes leave
    board = Board(wide, high, frame.font)

    def place(dot: Step) -> tuple[float, float]:
        across = math.log(dot.size_mb / x_domain[0]) / math.log(x_domain[1] / x_domain[0]) * wide
        return across, (y_domain[1] - 100 * dot.score) / (y_domain[1] - y_domain[0]) * high

    for dot in dots:
        across, down = place(dot)
        board.take(Box(across - 7, down - 7, across + 7, down + 7))
    for frontier in filter(None, stairs):
        for (left, level), (right, after) in pairwise([*map(place, frontier), (wide, place(frontier[-1])[1])]):
            board.take(Box(left, level - 1, right, level + 1))
            board.take(Box(right - 1, min(level, after), right + 1, max(level, after)))
    for one, other in pairs:
        (left, up), (right, below) = place(one), place(other)
        for share in (0.15, 0.3, 0.45, 0.6, 0.75, 0.9):
            across, down = left + share * (right - left), up + share * (below - up)
            board.take(Box(across - 4, down - 2, across + 4, down + 2))
    return [board.beside(*place(dot), dot.label) for dot in dots]
