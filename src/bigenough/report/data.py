# SPDX-License-Identifier: Apache-2.0
"""The sections on data: what more labels would bring, and what the audit found."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from bigenough.report import charts, learning_chart
from bigenough.report.ahead import forecasts, told_ahead
from bigenough.report.files import Json
from bigenough.report.markup import Html, element, facts, join, shorten, table
from bigenough.report.numbers import count, percent, with_interval
from bigenough.report.view import View

__all__ = ["audit", "learning"]

_FAR = 0.25
_SIGNS = {"problem": "✕", "warning": "!", "info": "i"}


def learning(view: View) -> Html:
    """Select scores by number of fit rows, and how far more rows would carry each rung."""
    known = forecasts(view)
    lines = [
        learning_chart.Curve(one.name, one.rows, one.scores, [learning_chart.Ahead(*step) for step in one.ahead])
        for one in known
        if len(one.rows) >= 2
    ]
    if not lines:
        return element("p", "No learning curve was drawn in this study.", class_="note")
    lines.sort(key=lambda line: -line.scores[-1])
    drawn = [lines[0]]
    for line in lines[1:]:
        if min(drawn[-1].scores) - max(line.scores) > _FAR:
            break
        drawn.append(line)
    told = "; ".join(
        f"{line.name} from {percent(line.scores[0])} with {count(line.rows[0])} rows "
        f"to {percent(line.scores[-1])} with {count(line.rows[-1])}"
        for line in drawn
    )
    left = ", ".join(line.name for line in lines[len(drawn) :])
    drawing = charts.figure(
        partial(learning_chart.curves, drawn, y_title=view.metric_name),
        name="learning",
        described=f"{view.metric_name} on select by number of fit rows. {told}.",
        caption="Each rung fitted on part of the fit rows and scored on select, which also chose its settings: "
        "read the slope, not the height. Faint, in its band: what a power law through the points foretells."
        + (f" Not drawn, far below: {left}." if left else ""),
    )
    return join([drawing, told_ahead(known)])


def audit(view: View) -> Html:
    """What the audit found, and what the data look like."""
    found = view.files.audit
    if found is None:
        return element("p", "The data were not audited in this study.", class_="note")
    findings = found.get("findings", ())
    listed = (
        element("ul", *(_finding(one) for one in findings), class_="findings")
        if findings
        else element("p", "The audit found nothing to report.")
    )
    return join([listed, _profile(found), _looked_at(found), _class_sizes(found.get("classes", ()))])


def _looked_at(found: Json) -> Html | None:
    """What the audit sampled, left out or could not see."""
    said = found.get("decisions", ())
    if not said:
        return None
    lines = element("ul", *[element("li", str(sentence)) for sentence in said])
    return element("details", element("summary", "What the audit looked at, and what not"), lines)


def _finding(one: Json) -> Html:
    severity = str(one["severity"])
    head = element(
        "p",
        element("span", _SIGNS.get(severity, "i"), class_="sign", aria_hidden="true"),
        element("span", f"{severity}: ", class_="hidden"),
        element("strong", str(one["message"])),
    )
    parts: list[Html] = [head, element("p", str(one["advice"]), class_="advice")]
    rows: Sequence[int] = one.get("rows", ())
    quotes = [
        element(
            "li",
            element("span", f"row {count(row['row'])}", class_="row"),
            " ",
            element("q", shorten(str(row["text"]), 160)),
        )
        for row in one.get("examples", ())[:5]
    ]
    if rows or quotes:
        numbers = ", ".join(str(row) for row in rows[:50])
        more = f" and {count(one['count'] - len(rows))} more" if one["count"] > len(rows) else ""
        told = element("p", f"Rows {numbers}{more}.", class_="rows") if rows else None
        parts.append(
            element("details", element("summary", "Show the rows"), told, element("ul", *quotes) if quotes else None)
        )
    return element("li", *parts, class_=severity if severity in _SIGNS else "info")


def _profile(found: Json) -> Html:
    splits, length = found.get("splits", {}), found.get("length", {})
    languages = sorted(found.get("languages", {}).items(), key=lambda pair: -pair[1])
    shares = ", ".join(f"{code} {percent(share)}" for code, share in languages[:6])
    more = f" and {len(languages) - 6} more" if len(languages) > 6 else ""
    pairs: list[tuple[str, Html | str]] = [
        (
            "Splits",
            ", ".join(f"{name} {count(splits[name])}" for name in ("fit", "select", "certify") if name in splits),
        ),
        ("Languages", (shares + more) or "unknown"),
        ("Length", _length(length)),
        ("Ceiling set by label noise", with_interval(found.get("noise_ceiling"))),
    ]
    if found.get("contradiction_ceiling"):
        pairs.append(("Ceiling set by contradictions", with_interval(found["contradiction_ceiling"])))
    return facts(pairs)


def _length(length: Json) -> str:
    if not length:
        return "unknown"
    return (
        f"{count(length['median_chars'])} characters (median), {count(length['p95_chars'])} (95th percentile), "
        f"{count(length['max_chars'])} (longest)"
    )


def _class_sizes(classes: Sequence[Json]) -> Html | None:
    if not classes:
        return None
    ordered = sorted(classes, key=lambda one: -sum(one.get(split, 0) for split in ("fit", "select", "certify")))
    rows = [
        [shorten(str(one["label"]), 80), *(count(one.get(split, 0)) for split in ("fit", "select", "certify"))]
        for one in ordered
    ]
    sizes = table("Rows by class and split, largest first", ["Class", "fit", "select", "certify"], rows, kind="dense")
    return element("details", element("summary", f"Sizes of the {count(len(rows))} classes"), sizes)
