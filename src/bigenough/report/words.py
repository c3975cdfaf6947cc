# SPDX-License-Identifier: Apache-2.0
"""The verdict in sentences: first for whoever decides, then for whoever must act."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from bigenough.report.files import Json
from bigenough.report.markup import shorten
from bigenough.report.numbers import bound, count, percent, points, size, times
from bigenough.report.view import Contender, View

__all__ = ["deciding", "gist", "headline", "limits_of_the_claim", "next_steps", "nominee_sentence", "promise", "title"]

_ANSWERS = {"proved": "Proved", "not good enough": "Not good enough", "cannot tell": "Cannot tell yet"}


def title(view: View) -> str:
    """The answer in a word or three."""
    return _ANSWERS[view.verdict["answer"]]


def headline(view: View) -> str:
    """The verdict in one sentence that needs no statistics."""
    return {"proved": _proved, "not good enough": _not_good_enough, "cannot tell": _cannot_tell}[
        view.verdict["answer"]
    ](view)


def _named(one: Contender) -> str:
    return one.name if one.size_bytes is None else f"{one.name} ({size(one.size_bytes)})"


def _target(view: View) -> str:
    if view.bar is not None:
        return f"the bar of {percent(view.bar)} {view.metric_name}"
    return _named(view.reference) if view.reference else str(view.verdict["reference"]["name"])


def _good(view: View) -> str:
    """What a proof would say of a model."""
    margin = view.verdict["margin"]
    if view.bar is not None:
        return f"reaches {_target(view)}" + (f", less {bound(margin)}" if margin else "")
    if not margin:
        return f"does this job better than {_target(view)}"
    return f"does this job as well as {_target(view)}, within {bound(margin)} of {view.metric_name}"


def _proved(view: View) -> str:
    winner = view.winner
    if winner is None:
        return str(view.verdict["sentence"])
    if winner is not view.reference:
        if view.bar is not None:
            return f"The smallest model proved good enough is {_named(winner)}: it {_good(view)}."
        return f"The smaller model is big enough: {_named(winner)} {_good(view)}."
    if view.comparisons:
        return f"No smaller model here will do: this job needs {_named(winner)}."
    larger = math.inf if winner.remote else winner.size_bytes or 0
    if any(one is not winner and one.size_bytes and one.size_bytes < larger for one in view.contenders):
        return f"Use {_named(winner)}: no smaller model could be put to the test."
    return f"The smallest model is also the best: use {_named(winner)}."


def _not_good_enough(view: View) -> str:
    if not view.comparisons:
        return (
            f"No model could be put to the test: none that is within your limits is known to be one that {_good(view)}."
        )
    return f"None of the models that were put to the test {_good(view)}."


def _cannot_tell(view: View) -> str:
    which = "any of these models" if view.bar is not None else "a smaller model"
    return f"Your data cannot tell yet whether {which} {_good(view)}."


def gist(view: View) -> str:
    """The figures behind the headline, in a sentence or two."""
    told = next((one for one in (_compared(view.winner), deciding(view)) if one and one.get("score") is not None), None)
    if told is not None and view.winner is not None and told["candidate"] == view.winner.name:
        return f"{_against(view, told)} {_saving(view)}".strip()
    if told is not None and view.winner is not None:
        rows = count(told["n"])
        return (
            f"It reached {percent(told['reference_score'])} {view.metric_name}; {told['candidate']}, which is smaller, "
            f"{percent(told['score'])}, on {rows} rows that no model had seen."
        )
    if told is not None:
        return f"{told['candidate']} reached {_against(view, told)}"
    score = view.subject.value(view.metric) if view.subject else None
    if score is None:
        return ""
    rows = count(view.verdict["n_certify"])
    return f"It reached {percent(score)} {view.metric_name} on {rows} rows that no model had seen."


def _compared(one: Contender | None) -> Mapping[str, Any] | None:
    return one.comparison if one else None


def deciding(view: View) -> Mapping[str, Any] | None:
    """The comparison that settled the answer, or left it open."""
    return next((one for one in view.comparisons if one["candidate"] == view.verdict.get("deciding")), None)


def _against(view: View, comparison: Mapping[str, Any]) -> str:
    other = "with the bar at" if view.bar is not None else f"against {percent(comparison['reference_score'])} for"
    target = percent(view.bar) if view.bar is not None else _short_target(view)
    return (
        f"{percent(comparison['score'])} {view.metric_name} {other} {target}, "
        f"on {count(comparison['n'])} rows that no model had seen."
    )


def _saving(view: View) -> str:
    """How much less the winner takes than the reference."""
    winner, reference = view.winner, view.reference
    if winner is None or reference is None or winner is reference:
        return ""
    parts = []
    if winner.size_bytes and reference.size_bytes and reference.size_bytes >= 1.2 * winner.size_bytes:
        parts.append(f"{times(reference.size_bytes / winner.size_bytes)} smaller")
    fast, slow = winner.value("latency_p95_ms"), reference.value("latency_p95_ms")
    if fast and slow and slow >= 1.2 * fast:
        parts.append(f"{times(slow / fast)} faster at the 95th percentile")
    return f"It is {' and '.join(parts)}." if parts else ""


def next_steps(view: View) -> list[str]:
    """What the answer means for the reader; at most three steps."""
    answer = view.verdict["answer"]
    if answer == "proved":
        steps = [_ship(view)]
        steps += [_expect(view), _watch(view)]
    elif answer == "cannot tell":
        steps = [_label_more(view), _meanwhile(view), _wider_margin(view)]
    else:
        steps = [
            _keep(view),
            _still_learning(view),
            "Read the errors below: labels that contradict each other cap every model.",
        ]
    return [step for step in steps if step][:3]


def _ship(view: View) -> str:
    if view.winner is not None and view.winner.remote:
        return f"Use {view.winner.name} at its endpoint; nothing is packed, since it does not run here."
    return f"Ship {view.winner.name if view.winner else 'the winner'}: it is packed and ready in specialist/."


def _expect(view: View) -> str:
    found = view.winner.figure("accuracy") if view.winner else None
    if found is None or found["value"] is None:
        return ""
    wrong = f"about {_in_hundred(found['value'])} wrong answers in 100"
    if found.get("low") is not None and found.get("high") is not None:
        wrong += f" (between {_in_hundred(found['high'])} and {_in_hundred(found['low'])})"
    return f"Expect {wrong} on rows like these."


def _in_hundred(right: float) -> str:
    wrong = 100 * (1 - right)
    return f"{wrong:.1f}" if wrong < 9.95 else f"{wrong:.0f}"


def _watch(view: View) -> str:
    confusions = (view.subject.files.evidence or {}).get("confusions", ()) if view.subject else ()
    if not confusions:
        return "Label a few hundred rows of live traffic now and then, and run this study again."
    worst = confusions[0]
    gold, predicted = shorten(str(worst["gold"]), 60), shorten(str(worst["predicted"]), 60)
    return f"Watch its commonest error: “{gold}” read as “{predicted}”, {count(worst['count'])} rows here."


def _label_more(view: View) -> str:
    needed = view.verdict.get("rows_needed")
    first = f" Start with the {count(view.files.next_rows)} rows in label-next.csv." if view.files.next_rows else ""
    if not needed:
        return f"Label more rows and run again; how many would decide it cannot be said.{first}"
    return f"{needed['sentence']}{first}"


def _meanwhile(view: View) -> str:
    if view.safe is None:
        return "Until then, no model here is safe to ship under your limits."
    where = "at its endpoint; nothing is packed" if view.safe.remote else "packed in specialist/"
    return f"Until then, use {_named(view.safe)}: it is the safe choice, {where}."


def _wider_margin(view: View) -> str:
    margin = view.verdict.get("smallest_provable_margin")
    if margin is None or margin <= view.verdict["margin"]:
        return ""
    return (
        f"These rows could carry a margin of {bound(np.ceil(margin * 1000) / 1000)}, "
        f"not {bound(view.verdict['margin'])}. "
        "If that would do for your job, say so before the next rows are opened."
    )


def _keep(view: View) -> str:
    best = max(view.contenders, key=lambda one: one.value(view.metric) or 0.0, default=None)
    score = best.value(view.metric) if best else None
    if best is None or score is None:
        return "Keep what you use today."
    return f"Keep what you use today; the best model here, {best.name}, reaches {percent(score)}."


def _still_learning(view: View) -> str:
    """What the learning curves say of more labels; nothing where none was drawn."""
    curves: list[tuple[Contender, Sequence[Json]]] = [
        (one, curve)
        for one in reversed(view.contenders)
        if len(curve := one.files.candidate.get("learning_curve") or ()) >= 2
    ]
    for one, curve in curves:
        if (gain := curve[-1]["score"] - curve[-2]["score"]) > 0.01:
            return (
                f"More labels would help: from {count(curve[-2]['rows'])} to {count(curve[-1]['rows'])} rows "
                f"{one.name} still gained {100 * gain:.1f} points."
            )
    return "The learning curves have flattened: try a larger rung before more labels." if curves else ""


def promise(view: View) -> str:
    """What the verdict promises, in one line."""
    verdict = view.verdict
    worse = f"below {percent(view.bar)}" if view.bar is not None else f"more than {bound(verdict['margin'])} worse"
    if view.bar is not None and verdict["margin"]:
        worse = f"more than {bound(verdict['margin'])} below {percent(view.bar)}"
    groups = f" in {count(verdict['n_groups'])} groups" if verdict.get("n_groups") else ""
    rows = f"{count(verdict['n_certify'])} certify rows{groups}, opened once"
    if early := verdict.get("early"):
        rows = f"{count(early['asked'])} of {count(early['of'])} certify rows, by a test that may be looked at any time"
    return (
        f"The promise: a model that is in truth {worse} is crowned in at most "
        f"{100 * verdict['alpha']:.4g} % of studies like this one "
        f"(α = {verdict['alpha']:g}, one-sided; {rows})."
    )


def nominee_sentence(view: View, comparison: Mapping[str, Any]) -> str:
    """What was shown of one nominee."""
    name, margin = comparison["candidate"], bound(view.verdict["margin"])
    ended = "an earlier nominee had failed" if view.verdict["mode"] == "down" else "a smaller one had passed"
    if comparison.get("difference") is None:
        return f"{name} was nominated and not tested: {ended}, which ends the sequence."
    target = _short_target(view)
    found = f"{points(comparison['difference'])} points against {target}"
    if comparison["decision"] == "not tested":
        return f"{name} was nominated and not tested: {ended}, which ends the sequence. For the record: {found}."
    found += (
        f", and with {100 * (1 - comparison['level']):.4g} % confidence no less than {points(comparison['lower'], 2)}"
    )
    if comparison["decision"] == "passed":
        return f"{name} is proved good enough: {found}; {_allowed(view, margin)}."
    if comparison["shown_worse"]:
        return (
            f"{name} is shown not to be good enough: {points(comparison['difference'])} points against {target}, "
            f"and at best {points(comparison['upper'], 2)}."
        )
    return f"{name} could be good enough or not: {found}; {_allowed(view, margin)}."


def _allowed(view: View, margin: str) -> str:
    if view.bar is not None and not view.verdict["margin"]:
        return "a proof needs more than 0"
    return f"the margin allows {margin} less"


def _short_target(view: View) -> str:
    return "the bar" if view.bar is not None else view.verdict["reference"]["name"]


def _labelled(view: View) -> list[str]:
    """Whose labels taught and whose judged, where a generalist labelled."""
    found = view.files.labelled
    if found is None:
        return []
    people = f", {count(found['by_people'])} that of people" if found.get("by_people") else ""
    return [
        f"Of the rows of fit and select {count(found['by_generalist'])} have the label of a generalist{people}. So "
        "which model counts as the best was chosen by its labels; whether a smaller one is as good was decided on "
        "certify, where every label is one of people's. The generalist itself is not in this race: `bigenough label` "
        "says what its labels are worth."
    ]


def limits_of_the_claim(view: View) -> list[str]:
    """What the page does not say."""
    source = view.files.study.get("source", {})
    early = view.verdict.get("early")
    limits = [
        "It speaks of rows drawn like these. On other sources, languages or times, quality can differ.",
        f"It speaks of {view.metric_name} over all rows. A single class can be worse; "
        "small classes are proved nothing about.",
        "Gold labels decide what counts as right. Where they are wrong, so is the score.",
        *_labelled(view),
        f"The margin of {bound(view.verdict['margin'])} is your choice. Choosing another one after seeing this page, "
        "on the same certify rows, voids the promise.",
        "Latency, memory and energy belong to this machine and its load; modelled figures come from a formula, "
        "not a meter.",
    ]
    if early and early["asked"] < early["of"]:
        limits.insert(
            1,
            "A score at the moment a test stops is somewhat too bold, for the candidate or against it. "
            "The bounds are not: they hold whenever it stops.",
        )
    if source.get("group_column"):
        limits.insert(
            1, f"Rows of one “{source['group_column']}” were kept together: the claim is about groups never seen."
        )
    if source.get("time_column"):
        limits.insert(
            1, f"Certify holds the latest rows by “{source['time_column']}”: one period, not every future one."
        )
    return limits
