# SPDX-License-Identifier: Apache-2.0
"""The sections on what it took: fitting, searching, and whether the same rows give the same labels."""

from __future__ import annotations

import json
from collections.abc import Sequence

from bigenough.report.asking import saved_usd
from bigenough.report.files import Json
from bigenough.report.markup import Html, element, join, shorten, table
from bigenough.report.numbers import (
    carbon,
    clocked,
    count,
    dollars,
    energy,
    percent,
    probability_gap,
    quantity,
)
from bigenough.report.searching import searched
from bigenough.report.view import Contender, View

__all__ = ["determinism", "fitting"]


def fitting(view: View) -> Html:
    """Time, energy and emissions of making each candidate, and what was tried."""
    rows = [_fitting_row(one) for one in view.contenders]
    taken = table(
        "What making it took",
        ["Rung", "Search", "Settings tried", "Final fit", "Energy", "CO₂e"],
        rows,
        kind="pinned",
    )
    tried = (_trials(one, view) for one in view.contenders)
    return join([taken, _asked(view), _said(view), searched(view), *tried])


def _asked(view: View) -> Html | None:
    """What stopping early saved, in requests and in money."""
    early, reference = view.verdict.get("early"), view.reference
    if not early or reference is None or early["asked"] == early["of"]:
        return None
    money = saved_usd(view.verdict, reference.files.performance)
    return element(
        "p",
        f"{reference.name} was asked about {count(early['asked'])} of {count(early['of'])} certify rows. "
        f"{count(early['of'] - early['asked'])} requests were saved, at a price of ",
        quantity(money.to_json(), dollars),
        ".",
    )


def _said(view: View) -> Html | None:
    """What encoders may suffer from, what fits gave up to keep within time and memory, and how near graphs came."""
    fits = (("record", "Said of the fits on fit alone:"), ("refit_record", "Said of the fits that are shipped:"))
    found = [_noted(view), *(_told(view, part, head) for part, head in fits)]
    return join(found) if any(found) else None


def _noted(view: View) -> Html | None:
    """What should be known of the weights that candidates stand on."""
    whose: dict[str, list[str]] = {}
    for one in view.contenders:
        if note := (one.files.candidate.get("weights") or {}).get("note"):
            whose.setdefault(str(note), []).append(one.name)
    items = [element("li", element("strong", ", ".join(names)), f": {note}.") for note, names in whose.items()]
    return join([element("p", "Said of the encoders:"), element("ul", *items)]) if items else None


def _told(view: View, part: str, head: str) -> Html | None:
    items = []
    for one in view.contenders:
        record = one.files.candidate.get(part) or {}
        told = [str(note) for note in record.get("notes") or ()]
        if export := record.get("export"):
            told.append(_parity(export))
        items += [element("li", element("strong", one.name), f": {line}.") for line in told]
    return join([element("p", head), element("ul", *items)]) if items else None


def _parity(export: Json) -> str:
    """How far a graph is from what it was held against, or why it was held against nothing."""
    if "not_compared" in export:
        return f"its graph was not compared with another implementation: {export['not_compared']}"
    return (
        f"on {count(export['texts'])} select rows its graph and {export['reference']} differ by "
        f"{probability_gap(export['max_probability_difference'])} in a probability at most, and in "
        f"{count(export['flips'])} label{'s' if export['flips'] != 1 else ''}"
    )


def _fitting_row(one: Contender) -> list[Html | str]:
    """Of a rung without a model, what its part in a search over all rungs took."""
    candidate, search = one.files.candidate, one.search or {}
    spent = candidate.get("energy") or search.get("energy") or {}
    return [
        element("strong", one.name),
        clocked(candidate.get("search_seconds", search.get("seconds"))),
        count(len(_tried(one))),
        clocked(candidate.get("fit_seconds")),
        quantity(spent.get("wh"), energy),
        quantity(spent.get("co2e_g"), carbon),
    ]


def _tried(one: Contender) -> Sequence[Json]:
    """Its trials; of a rung without a model, those that a search over all rungs made before it was left out."""
    trials: Sequence[Json] = one.files.candidate.get("trials") or (one.search or {}).get("entries") or ()
    return trials


def _trials(one: Contender, view: View) -> Html | None:
    trials = _tried(one)
    if not trials:
        return None
    parts = any(trial.get("rows") is not None for trial in trials)
    rows = [_trial_row(place, trial, parts=parts) for place, trial in enumerate(trials, start=1)]
    heads = ["Trial", "Settings", "Select score", "Time"]
    found = table(
        f"Settings tried for {one.name}", [*heads, "Fit rows", "Went no further because"] if parts else heads, rows,
        kind="dense", words={1, 5},
    )  # fmt: skip
    summary = (
        f"{one.name}: {len(trials)} setting{'s' if len(trials) != 1 else ''} tried on select, by {view.metric_name}"
    )
    return element("details", element("summary", summary), _chosen(one), found)


def _chosen(one: Contender) -> Html | None:
    """The settings it was made with; without a model the best that were tried, None where every fit failed."""
    if one.files.candidate:
        return element("p", "Chosen: ", element("code", _settings(one.files.candidate.get("settings"))), class_="note")
    best = (one.search or {}).get("best")
    return None if best is None else element("p", "Best: ", element("code", _settings(best["settings"])), class_="note")


def _trial_row(place: int, trial: Json, *, parts: bool) -> list[Html | str]:
    row: list[Html | str] = [
        str(place),
        element("code", _settings(trial.get("settings"))),
        _failed(trial) if trial.get("score") is None else percent(trial["score"]),
        clocked(trial.get("seconds")),
    ]
    if parts:
        row += [count(trial.get("rows") or 0), shorten(str(trial.get("stopped") or "–"), 120)]
    return row


def _failed(trial: Json) -> str:
    return f"failed: {shorten(str(trial['failure']), 160)}" if trial.get("failure") else "failed"


def _settings(settings: Json | None) -> str:
    if not settings:
        return "none"
    return ", ".join(f"{key}={shorten(json.dumps(value, ensure_ascii=False), 60)}" for key, value in settings.items())


def determinism(view: View) -> Html:
    """Whether labels stay the same under repeats, batch sizes, order, threads and a restart."""
    checked = [(one, (one.files.performance or {}).get("determinism")) for one in view.contenders]
    found = [(one, checks) for one, checks in checked if checks and checks.get("checks")]
    notes = [
        element("p", f"{one.name} was not checked further: {checks['note']}", class_="note")
        for one, checks in checked
        if checks and checks.get("note")
    ]
    if not found:
        return join([element("p", "Determinism was not checked in this study.", class_="note"), *notes])
    flips = sum(check["label_flips"] for _, checks in found for check in checks["checks"])
    told = (
        "No label changed in any check."
        if not flips
        else f"{count(flips)} labels changed: see below before relying on it."
    )
    again = [element("p", _asked_again(one, checks)) for one, checks in found if one.remote]
    return join([element("p", told), *again, *notes, _all_checks(found)])


def _all_checks(found: Sequence[tuple[Contender, Json]]) -> Html:
    rows = [
        [
            element("strong", one.name),
            str(check["check"]),
            count(checks["rows"]),
            count(check["label_flips"]),
            probability_gap(check["max_probability_difference"]),
        ]
        for one, checks in found
        for check in checks["checks"]
    ]
    detail = table(
        "The same rows again: in fresh processes what runs here, by further requests what runs elsewhere",
        ["Rung", "Check", "Rows", "Labels changed", "Largest change of a probability"],
        rows,
        kind="dense",
        words={1},
    )
    return element("details", element("summary", f"All {len(rows)} checks"), detail)


def _asked_again(one: Contender, checks: Json) -> str:
    """What came of asking again what runs elsewhere, in one line."""
    each = [f"{check['check']}, {count(check['label_flips'])}" for check in checks["checks"]]
    return f"Labels of {one.name} that changed, of {count(checks['rows'])} rows: {'; '.join(each)}."
