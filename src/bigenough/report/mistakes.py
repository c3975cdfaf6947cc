# SPDX-License-Identifier: Apache-2.0
"""The section on errors: classes, confusions with example rows, and how far stated confidence can be trusted."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import numpy as np

from bigenough.report import charts
from bigenough.report.files import Json, Scored
from bigenough.report.markup import Html, element, join, shorten, table
from bigenough.report.numbers import count, percent, with_interval
from bigenough.report.view import View
from bigenough.verdict.noninferiority import wilson_interval

__all__ = ["calibration", "classes", "confusions", "reliability_bins"]

_SHOWN = 10


def classes(view: View) -> Html:
    """Precision and recall by class, weakest first."""
    found: Sequence[Json] = (view.subject.files.evidence or {}).get("per_class", ()) if view.subject else ()
    if not found:
        return element("p", "There are no per-class figures.", class_="note")
    ordered = sorted(found, key=lambda one: (_known(one["recall"]), str(one["label"])))
    if len(ordered) <= 1.5 * _SHOWN:
        return _class_table("Classes, weakest recall first", ordered)
    first = _class_table("Classes, weakest recall first", ordered[:_SHOWN])
    rest = _class_table("The other classes", ordered[_SHOWN:])
    return join([first, element("details", element("summary", f"The other {len(ordered) - _SHOWN} classes"), rest)])


def _known(data: Json | None) -> float:
    # A class without certify rows has no recall: it stands last, not first.
    return 2.0 if data is None or data["value"] is None else float(data["value"])


def _class_table(caption: str, rows: Sequence[Json]) -> Html:
    return table(
        caption,
        ["Class", "Rows", "Recall", "Precision", "F1"],
        [
            [
                shorten(str(one["label"]), 80),
                count(one["n"]),
                with_interval(one["recall"]),
                with_interval(one["precision"]),
                element("span", percent(one["f1"]), title="measured: 2 TP / (2 TP + FP + FN) on certify"),
            ]
            for one in rows
        ],
        kind="dense",
    )


def confusions(view: View) -> Html:
    """The commonest confusions, each with rows that show it."""
    found = (view.subject.files.evidence or {}).get("confusions", ()) if view.subject else ()
    if not found:
        return element("p", "No confusion was recorded on certify.", class_="note")
    items = [_confusion(one, view) for one in found[:6]]
    return element("ol", *items, class_="confusions")


def _confusion(one: Json, view: View) -> Html:
    quotes = []
    for row in one["rows"][:3]:
        text = view.files.texts.get(int(row))
        quoted = element("q", shorten(text, 160)) if text else element("span", "text not kept", class_="unknown")
        quotes.append(element("li", element("span", f"row {count(row)}", class_="row"), " ", quoted))
    return element(
        "li",
        element(
            "p",
            element("strong", shorten(str(one["gold"]), 80)),
            " read as ",
            element("strong", shorten(str(one["predicted"]), 80)),
            element("small", f" {count(one['count'])} row{'s' if one['count'] != 1 else ''}"),
        ),
        element("ul", *quotes),
    )


def calibration(view: View) -> Html:
    """The reliability chart of the subject, with its calibration error and log loss."""
    subject = view.subject
    if subject is None or subject.files.certify is None or len(subject.files.certify.gold) < 2 * _SHOWN:
        return element("p", "There are too few scored rows for a reliability chart.", class_="note")
    bins = reliability_bins(subject.files.certify)
    told = "; ".join(f"{percent(one.right, 0)} right at {percent(one.confidence, 0)}" for one in bins)
    chart = charts.figure(
        partial(charts.reliability, bins),
        name="reliability",
        described=f"Share right against stated confidence of {subject.name} on certify. {told}.",
        caption=f"Can {subject.name}’s confidence be taken at its word? On the dashed line, yes. "
        f"{len(bins)} bins with equal numbers of certify rows, 95 % Wilson intervals.",
    )
    error, loss = subject.figure("calibration_error"), subject.figure("log_loss")
    return join(
        [
            chart,
            element(
                "p",
                "Calibration error: ",
                with_interval(error, lambda value: f"{value:.3f}"),
                ". Log loss: ",
                with_interval(loss, lambda value: f"{value:.3f}"),
                ".",
                class_="note",
            ),
        ]
    )


def reliability_bins(scored: Scored, n_bins: int = _SHOWN) -> list[charts.Bin]:
    """Rows in equal parts by confidence of the top label, with each part's share and its Wilson 95 % interval.

    >>> probability = np.array([[0.6, 0.4], [0.9, 0.1]])
    >>> scored = Scored(np.array([0, 0]), np.array([0, 0]), probability)
    >>> [(round(one.confidence, 2), one.right) for one in reliability_bins(scored, 2)]
    [(0.6, 1.0), (0.9, 1.0)]
    """
    confidence = scored.probability.max(axis=1)
    right = (scored.predicted == scored.gold).astype(np.float64)
    order = np.argsort(confidence, kind="stable")
    bins = []
    for part in np.array_split(order, min(n_bins, len(order))):
        share, n = float(right[part].mean()), len(part)
        low, high = wilson_interval(round(share * n), n)
        bins.append(charts.Bin(float(confidence[part].mean()), share, low, high))
    return bins
