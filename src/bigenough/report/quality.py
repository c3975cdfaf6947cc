# SPDX-License-Identifier: Apache-2.0
"""The sections on quality: the frontier, the table of rungs, and what certify could and could not prove."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from bigenough.report import charts, words
from bigenough.report.asking import asking_sentence, not_early_sentence
from bigenough.report.markup import Html, element, join, raw, table
from bigenough.report.numbers import (
    bound,
    carbon,
    count,
    duration,
    energy,
    keep_together,
    megabytes,
    milliseconds,
    percent,
    points,
    quantity,
    rate,
    size,
    with_interval,
)
from bigenough.report.view import METRICS, ROLES, Contender, View
from bigenough.report.words import deciding

__all__ = ["face_off", "frontier", "proof", "role_chip", "rungs"]

_ROOMY = 6
"""So many names find room in a chart, nearly always."""
_SHORT = 12
"""Letters of a name that still fits on the line which a proof must clear."""
_FAR = 0.25
"""A candidate this far below the next one would squash the chart; it is named below it instead."""


def role_chip(one: Contender, view: View) -> Html:
    """The part a candidate played: a shape and a word."""
    return element("span", role_icon(one.role), _part(one, view), class_="role")


def role_icon(role: str) -> Html:
    """The shape that stands for a role in the charts."""
    shapes = {
        "diamond": "M8 1 15 8 8 15 1 8Z",
        "square": "M2.5 2.5h11v11h-11Z",
        "circle": "M8 2a6 6 0 1 0 .01 0Z",
        "triangle-down": "M1.5 3h13L8 14.5Z",
        "cross": "M6 2h4v4h4v4h-4v4H6v-4H2V6h4Z",
    }
    mark = charts.MARKS[role]  # type: ignore[index]
    fill, stroke = (mark.colour, "none") if mark.filled else ("none", mark.colour)
    return raw(
        f'<svg class="mark" viewBox="0 0 16 16" aria-hidden="true">'
        f'<path d="{shapes[mark.shape]}" fill="{fill}" stroke="{stroke}" stroke-width="2"/></svg>'
    )


def face_off(view: View) -> Html | None:
    """The two models that the verdict is about, side by side."""
    settled = deciding(view)
    tested = next((one for one in view.contenders if settled and one.name == settled["candidate"]), None)
    pair = list(dict.fromkeys(one for one in (view.winner, tested, view.reference) if one is not None))[:2]
    if not pair:
        return None
    shown: list[tuple[str, str, Callable[[float], str]]] = [
        (_sentence_case(view.metric_name), view.metric, percent),
        ("Latency, p95", "latency_p95_ms", milliseconds),
        ("Memory", "memory_mb", megabytes),
    ]
    rows: list[list[Html | str]] = [
        [name, *(quantity(one.figure(figure), show) for one in pair)]
        for name, figure, show in shown
        if any(one.figure(figure) for one in pair)
    ]
    rows.insert(1, ["Size on disk", *(_bytes(one) for one in pair)])
    heads = [join([element("strong", one.name), element("small", _part(one, view))]) for one in pair]
    return table("Side by side", ["", *heads], rows, kind="face-off")


def _part(one: Contender, view: View) -> str:
    return "winner and reference" if one is view.winner and one is view.reference else ROLES[one.role]


def frontier(view: View) -> Html:
    """Quality against size and against latency."""
    panels = [
        _panel(view, "size", "files on disk, MB", _size_mb),
        _panel(view, "latency", "latency of one row, p95, ms", lambda one: one.value("latency_p95_ms")),
    ]
    drawn = [panel for panel in panels if panel is not None]
    if not drawn:
        return element("p", "No candidate has both a score and a size, so there is no frontier to draw.", class_="note")
    near = _near(view)
    roles = [role for role in ROLES if any(one.role == role and one.name in near for one in view.contenders)]
    key = element("p", *(element("span", role_icon(role), ROLES[role], class_="role") for role in roles), class_="key")
    far = [(one.name, one.value(view.metric)) for one in view.contenders if one.name not in near]
    left = "; ".join(f"{name} ({percent(score)})" for name, score in far if score is not None)
    note = element("p", f"Not drawn, far below: {left}.", class_="note") if left else None
    return join([key, element("div", *drawn, class_="pair"), note])


def _size_mb(one: Contender) -> float | None:
    return None if one.size_bytes is None else one.size_bytes / 1e6


def _near(view: View) -> list[str]:
    """The names of the candidates that share one scale: no wide gap below the next better one."""
    scored = sorted(
        ((score, one.name) for one in view.contenders if (score := one.value(view.metric)) is not None), reverse=True
    )
    near: list[str] = []
    for place, (score, name) in enumerate(scored):
        if place and scored[place - 1][0] - score > _FAR:
            break
        near.append(name)
    return near


def _panel(view: View, name: str, x_title: str, cost: Callable[[Contender], float | None]) -> Html | None:
    near, dots = set(_near(view)), []
    for one in view.contenders:
        x, score, found = cost(one), one.value(view.metric), one.figure(view.metric) or {}
        if one.name in near and x and score is not None:
            low, high = found.get("low"), found.get("high")
            ends = (score if low is None else low, score if high is None else high)
            dots.append(charts.Dot(one.name, one.role, x, score, *ends))
    if not dots:
        return None
    line, line_title = _bar_line(view)
    draw = partial(charts.frontier, dots, x_title=x_title, y_title=view.metric_name, line=line, line_title=line_title)
    told = "; ".join(f"{dot.name} {percent(dot.score)} at {dot.x:.3g} ({ROLES[dot.role]})" for dot in dots)
    return charts.figure(
        draw,
        name=f"frontier-{name}",
        described=f"{view.metric_name} on certify against {x_title}. {told}.",
        caption=f"Certify {view.metric_name} with 95 % intervals against {x_title.split(',')[0]}. "
        f"Left and high is better.{' A mark without a name had no room for it.' if len(dots) > _ROOMY else ''}",
    )


def _bar_line(view: View) -> tuple[float | None, str]:
    if view.bar is not None:
        below = f"{bound(view.verdict['margin'])} below " if view.verdict["margin"] else ""
        return view.bar - view.verdict["margin"], f"{below}the bar, {percent(view.bar)}"
    if view.reference is None or view.verdict["reference"].get("score") is None:
        return None, ""
    margin = view.verdict["margin"]
    name = view.reference.name if len(view.reference.name) <= _SHORT else "the reference"
    named = f"{bound(margin)} below {name}" if margin else f"as good as {name}"
    return view.verdict["reference"]["score"] - margin, named


def rungs(view: View) -> Html:
    """Every candidate: what it reached, what was shown of it, and what it takes."""
    classes = ["subject" if one is view.winner else "" for one in view.contenders]
    found = table(
        "Quality on certify, smallest first",
        [
            "Rung",
            "Part played",
            _sentence_case(view.metric_name),
            "Difference",
            "Least it can be",
            "Size",
            "Parameters",
        ],
        [_quality_row(one, view) for one in view.contenders],
        kind="cards",
        row_classes=classes,
        words={1},
    )
    taken = table(
        "What serving takes",
        ["Rung", "p50", "p95", "p99", "Rows/s, batch", "Start-up", "Memory", "Energy / 1,000", "CO₂e / 1,000"],
        [_serving_row(one) for one in view.contenders],
        kind="pinned",
        row_classes=classes,
    )
    target = "the bar" if view.bar is not None else (view.reference.name if view.reference else "the reference")
    note = element(
        "p",
        f"Difference: points against {target}. Least it can be: the one-sided lower bound "
        f"at the test's level; a proof needs it above {'−' if view.verdict['margin'] else ''}"
        f"{bound(view.verdict['margin'])}.",
        class_="note",
    )
    how = element(
        "p",
        "p50, p95 and p99: latency of one row. All in a fresh process on this machine, one candidate at a time.",
        class_="note",
    )
    return join([found, note, _all_scores(view), taken, how, provenance_note()])


def _all_scores(view: View) -> Html | None:
    scored = [one for one in view.contenders if one.value("accuracy") is not None]
    if not scored:
        return None
    rows = [
        [
            element("strong", one.name),
            *(with_interval(one.figure(metric)) for metric in METRICS),
            *(with_interval(one.figure(metric), "{:.3f}".format) for metric in ("log_loss", "calibration_error")),
        ]
        for one in scored
    ]
    heads = ["Rung", *map(_sentence_case, METRICS.values()), "Log loss", "Calibration error"]
    found = table("All scores on certify, with 95 % intervals", heads, rows, kind="pinned")
    return element("details", element("summary", "All scores"), found)


def provenance_note() -> Html:
    """What an unmarked figure is."""
    return element(
        "p",
        "Figures without a mark were measured in this study; ",
        element("span", "modelled", class_="tag modelled"),
        " ones come from a formula, ",
        element("span", "published", class_="tag published"),
        " ones from a source, and unknown is unknown. Point at a figure to see how it was got.",
        class_="note",
    )


def _sentence_case(text: str) -> str:
    return text[:1].upper() + text[1:]


def _name_cell(one: Contender) -> Html:
    summary = str(one.files.candidate.get("summary", ""))
    return join([element("strong", one.name), element("small", summary) if summary else None])


def _quality_row(one: Contender, view: View) -> list[Html | str]:
    compared = one.comparison or {}
    difference, least = "–", "–"
    if compared.get("difference") is not None:
        difference = points(compared["difference"])
        least = "–" if compared.get("lower") is None else points(compared["lower"], 2)
    told = f"measured: {compared.get('method', '')} on certify, level {compared.get('level', '')}"
    parameters = one.figure("n_parameters")
    if parameters is None and one.files.candidate.get("n_parameters") is not None:
        parameters = _counted(one.files.candidate["n_parameters"])
    reason = element("small", one.reason) if one.reason else None
    return [
        _name_cell(one),
        join([role_chip(one, view), reason]),
        with_interval(one.figure(view.metric)),
        difference if difference == "–" else element("span", difference, title=told),
        least if least == "–" else element("span", least, title=told),
        _bytes(one),
        quantity(parameters, count),
    ]


def _counted(value: float) -> dict[str, object]:
    return {"value": value, "provenance": "measured", "source": "counted from the saved files"}


def _bytes(one: Contender) -> Html:
    if one.size_bytes is None:
        return quantity(None, size)
    return quantity(_counted(one.size_bytes), size)


def _serving_row(one: Contender) -> list[Html | str]:
    shown: list[tuple[str, Callable[[float], str]]] = [
        ("latency_p50_ms", milliseconds),
        ("latency_p95_ms", milliseconds),
        ("latency_p99_ms", milliseconds),
        ("throughput_rows_per_s", rate),
        ("startup_s", duration),
        ("memory_mb", megabytes),
        ("serve_wh_per_1000", energy),
        ("serve_co2e_g_per_1000", carbon),
    ]
    return [element("strong", one.name), *(quantity(one.figure(figure), show) for figure, show in shown)]


def proof(view: View) -> Html:
    """What certify could and could not prove."""
    sentences = [element("li", keep_together(words.nominee_sentence(view, one))) for one in view.comparisons]
    none = "No candidate was nominated, so there was nothing to test."
    listed = element("ul", *sentences) if sentences else element("p", none)
    return join([_differences(view), _asked(view), listed, _deciding(view), _small_classes(view), _not_nominated(view)])


def _asked(view: View) -> Html | None:
    """How many rows a paid reference was asked about, where asking could stop early, or why it could not."""
    if not view.verdict.get("early"):
        paid = view.reference is not None and view.reference.remote
        told_why = not_early_sentence(view.files.study, view.verdict, paid=paid)
        return element("p", told_why) if told_why else None
    told = asking_sentence(view.verdict, view.reference.files.performance if view.reference else None)
    each = [f"{one['candidate']} by the first {count(one['n'])}" for one in view.comparisons if _settled(one)]
    settled = f" Settled: {', '.join(each)} rows; the figures here are those on these rows." if each else ""
    return element("p", keep_together(told + settled))


def _settled(comparison: Mapping[str, Any]) -> bool:
    return comparison["shown_worse"] or comparison["rows_needed"] is None


def _differences(view: View) -> Html | None:
    gaps = [
        charts.Gap(one["candidate"], one["decision"] == "passed", one["difference"], one["lower"], one["upper"])
        for one in view.comparisons
        if one["decision"] in ("passed", "failed") and one.get("lower") is not None
    ]
    if not gaps:
        return None
    near = [gap for gap in gaps if gap.upper > -view.verdict["margin"] - _FAR] or gaps
    left = ", ".join(f"{gap.name} ({points(gap.difference)})" for gap in gaps if gap not in near)
    target = "the bar" if view.bar is not None else view.verdict["reference"]["name"]
    told = "; ".join(
        f"{gap.name} {points(gap.difference)} ({points(gap.lower, 2)} to {points(gap.upper, 2)})" for gap in gaps
    )
    return charts.figure(
        partial(charts.differences, near, margin=view.verdict["margin"], target=target),
        name="differences",
        described=f"Difference to {target} in points with one-sided bounds. {told}.",
        caption="Each tested nominee with its one-sided bounds. The tick is the least the difference can be; "
        "right of the dashed line, the margin, it is a proof." + (f" Not drawn, far below: {left}." if left else ""),
    )


def _deciding(view: View) -> Html | None:
    verdict, parts = view.verdict, []
    smallest = verdict.get("smallest_provable_margin")
    settled = deciding(view)
    if smallest and settled and not settled["shown_worse"]:
        parts.append(
            f"The smallest margin these rows carry for {verdict['deciding']} is "
            f"{100 * smallest:.2f} points. Chosen after the fact, it is no proof."
        )
    needed = verdict.get("rows_needed")
    if needed:
        parts.append(str(needed["sentence"]))
    return element("p", " ".join(parts)) if parts else None


def _small_classes(view: View) -> Html | None:
    """Classes whose certify rows could not show 90 % recall even without one error: alpha^(1/n) < 0.9."""
    per_class = (view.subject.files.evidence or {}).get("per_class", ()) if view.subject else ()
    enough = math.ceil(math.log(view.verdict["alpha"]) / math.log(0.9))
    small = [one for one in per_class if one["n"] < enough]
    if not small:
        return None
    names = ", ".join(f"{one['label']} ({one['n']})" for one in sorted(small, key=lambda one: one["n"])[:8])
    more = ", …" if len(small) > 8 else ""
    return element(
        "p",
        f"{len(small)} of {len(per_class)} classes are too small to be proved anything about: below {enough} "
        f"certify rows, not even a faultless model can be shown to find 90 % of a class. They are: {names}{more}.",
    )


def _not_nominated(view: View) -> Html | None:
    if not view.left_out:
        return None
    reasons = [element("li", f"{name}: {reason}.") for name, reason in view.left_out.items()]
    return join([element("p", "Left out before certify was opened:"), element("ul", *reasons)])
