# SPDX-License-Identifier: Apache-2.0
"""Hold a stored verdict, and the scores beside it, against what the rows say."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from .asking import asking, case_of, settled_rows
from .betting import METHOD
from .distributions import binomial_tail, normal
from .rows import INVERTED, Arrays, Check, Codes, Json, Rows, same
from .size import largest_size
from .statistics import (
    Resamples,
    calibration_error,
    calibration_interval,
    clopper_pearson,
    mcnemar,
    mean_interval,
    metric_value,
    resamples,
    tango_bound,
    tango_statistic,
    wilson,
)

__all__ = ["Arrays", "Check", "recompute"]

ROUNDED = 3e-4
"""The largest size is looked for on a grid of discordances, here and in the verdict on different ones."""


def recompute(
    verdict: Json,
    gold: Codes,
    candidates: Mapping[str, Arrays],
    *,
    groups: Codes | None = None,
    evidence: Mapping[str, Json] | None = None,
    classes: Sequence[str] | None = None,
) -> list[Check]:
    """Every statistic of a verdict, and of the evidence, computed again from rows; look for ``agree`` false.

    Of the rows that a study would need only their number is, by a rougher formula; it decides nothing.

    Uses numpy and the standard library and nothing else of bigenough. Closed forms agree to 1e-9, inverted ones to
    1e-6. The bootstrap is repeated draw by draw with the verdict's seed, which needs a numpy with the same stream of
    ``Generator.multinomial``.

    Args:
        verdict: the JSON of the verdict.
        gold: (n,) gold codes of certify.
        candidates: by name: those of the comparisons, the reference, and those of the evidence.
        groups: (n,) group codes, if the verdict used groups.
        evidence: by candidate, the JSON of its scores: the five metrics, "per_class" and "confusions"; optional.
        classes: the labels in order of their codes; needed when per_class or confusions are checked.

    Example:
        >>> from bigenough.verdict import Bar, Nominee, decide
        >>> gold, said = np.zeros(300, dtype=np.int64), np.repeat([0, 1], [280, 20])
        >>> stored = decide(gold, [Nominee("linear", 1000, said)], Bar(0.9)).to_json()
        >>> all(check.agree for check in recompute(stored, gold, {"linear": Arrays(said)}))
        True
    """
    rows = Rows(gold, groups, candidates)
    asked = candidates[verdict["reference"]["name"]].positions if verdict["reference"]["kind"] == "candidate" else None
    if (asked is None) != (verdict.get("early") is None):
        return [Check("some rows asked", verdict.get("early"), None if asked is None else len(asked), False)]
    checks = [] if asked is None else [*asking(verdict, rows, asked)]
    checks += _whole(verdict, rows if asked is None else rows.at(asked))
    for comparison in verdict["comparisons"]:
        if comparison["score"] is not None:
            here = rows if asked is None else settled_rows(verdict, rows, asked, comparison["candidate"])
            checks += _comparison(verdict, comparison, here)
    checks += _decision(verdict)
    checks += _words(verdict)
    for name, scores in (evidence or {}).items():
        checks += _evidence(verdict, name, scores, rows, classes)
    return checks


def _whole(verdict: Json, rows: Rows) -> Iterator[Check]:
    yield same("certify rows", verdict["n_certify"], len(rows.gold))
    yield same("groups", verdict["n_groups"], None if rows.groups is None else len(np.unique(rows.groups)))
    reference = verdict["reference"]
    if reference["kind"] == "candidate":
        predicted = rows.candidates[reference["name"]].predicted
        found = metric_value(verdict["metric"], rows.gold, predicted)
        yield same(f"{reference['name']}: {verdict['metric']}", reference["score"], found)


class _Found(NamedTuple):
    lower: float
    upper: float
    p_value: float
    low: float
    high: float
    method: str


def _comparison(verdict: Json, stated: Json, rows: Rows) -> Iterator[Check]:
    name, reference, gold = stated["candidate"], verdict["reference"], rows.gold
    predicted = rows.candidates[name].predicted
    against = rows.candidates[reference["name"]].predicted if reference["kind"] == "candidate" else None
    score = metric_value(verdict["metric"], gold, predicted)
    other = reference["score"] if against is None else metric_value(verdict["metric"], gold, against)
    b = c = exact = None
    if against is not None:
        b = int(((predicted == gold) & (against != gold)).sum())
        c = int(((predicted != gold) & (against == gold)).sum())
        exact = mcnemar(b, c) if rows.groups is None and verdict.get("early") is None else None
    found = _bounds(verdict, stated, rows, predicted, against)
    tested = stated["decision"] != "not tested"
    yield same(f"{name}: n", stated["n"], len(gold))
    yield same(f"{name}: score", stated["score"], score)
    yield same(f"{name}: reference's score", stated["reference_score"], other)
    yield same(f"{name}: difference", stated["difference"], score - other)
    yield same(f"{name}: right only by it", stated["only_candidate_right"], b)
    yield same(f"{name}: right only by the reference", stated["only_reference_right"], c)
    yield same(f"{name}: exact McNemar p", stated["mcnemar_p"], exact)
    yield same(f"{name}: method", stated["method"], found.method)
    yield same(f"{name}: lower bound", stated["lower"], found.lower if tested else None, INVERTED)
    yield same(f"{name}: upper bound", stated["upper"], found.upper, INVERTED)
    yield same(f"{name}: interval, low end", stated["interval"]["low"], found.low, INVERTED)
    yield same(f"{name}: interval, high end", stated["interval"]["high"], found.high, INVERTED)
    yield same(f"{name}: p-value", stated["p_value"], found.p_value if tested else None, INVERTED)
    yield same(f"{name}: shown worse", stated["shown_worse"], found.upper < -verdict["margin"])
    yield from _exact_levels(verdict, stated)
    if tested:
        yield same(f"{name}: decision", stated["decision"], "passed" if found.lower > -verdict["margin"] else "failed")
        yield _smallest_margin(verdict, stated, found, b, c)
    if stated["ignores_groups"] is not None and b is not None and c is not None:
        yield from _beside(stated, b, c, len(gold), verdict["margin"])
    if stated["rows_needed"] is not None:
        yield _rows_needed(verdict, stated, rows, predicted, against)


def _exact_levels(verdict: Json, stated: Json) -> Iterator[Check]:
    """A level below the promised one must bring the size of the test down to what was promised."""
    for key, worse in (("exact_level", False), ("exact_level_worse", True)):
        level = stated.get(key)
        if level is not None:
            size = largest_size(stated["n"], verdict["margin"], level, worse=worse)
            kept = level <= stated["level"] and size <= stated["level"] + ROUNDED
            yield Check(f"{stated['candidate']}: {key.replace('_', ' ')}", stated["level"], size, kept)


def _smallest_margin(verdict: Json, stated: Json, found: _Found, b: int | None, c: int | None) -> Check:
    """Where the test has an exact level of its own for each margin: at the stated one, these very counts must pass."""
    name, margin = f"{stated['candidate']}: smallest margin", stated["smallest_provable_margin"]
    if stated.get("exact_level") is None or b is None or c is None:
        return same(name, margin, max(0.0, -found.lower), INVERTED)
    level = 1 - normal.cdf(tango_statistic(b, c, stated["n"], -margin)) if margin > 0 else stated["exact_level"]
    size = largest_size(stated["n"], margin, level)
    least = max(0.0, -tango_bound(b, c, stated["n"], stated["level"])[0])
    return Check(name, margin, least, margin >= least - INVERTED and size <= stated["level"] + ROUNDED)


def _bounds(verdict: Json, stated: Json, rows: Rows, predicted: Codes, against: Codes | None) -> _Found:
    n, margin, level = len(rows.gold), verdict["margin"], stated["level"]
    bar = verdict["reference"]["score"] if against is None else 0.0
    if verdict.get("early") is not None:
        case = case_of(verdict, rows, stated["candidate"])
        return _Found(*case.bounds(level), case.p_value(), *case.bounds(0.025), METHOD)
    if verdict["metric"] == "accuracy" and rows.groups is None:
        right = predicted == rows.gold
        if against is None:
            hits = int(right.sum())
            (lower, upper), (low, high) = clopper_pearson(hits, n, level), clopper_pearson(hits, n, 0.025)
            p = binomial_tail(hits, n, min(max(bar - margin, 0.0), 1.0))
            return _Found(lower - bar, upper - bar, p, low - bar, high - bar, "exact binomial")
        b, c = int((right & (against != rows.gold)).sum()), int((~right & (against == rows.gold)).sum())
        p = 1 - normal.cdf(tango_statistic(b, c, n, -margin))
        below, above = stated.get("exact_level") or level, stated.get("exact_level_worse") or level
        lower, upper = tango_bound(b, c, n, below)[0], tango_bound(b, c, n, above)[1]
        return _Found(lower, upper, p, *tango_bound(b, c, n, 0.025), "Tango score")
    drawn = _draw(verdict, rows, predicted, against)
    (lower, upper), (low, high) = drawn.bounds(level), drawn.bounds(0.025)
    ends = (
        max(lower - bar, -1.0),
        min(upper - bar, 1.0),
        drawn.pvalue(bar - margin),
        max(low - bar, -1.0),
        min(high - bar, 1.0),
    )
    return _Found(*ends, "BCa bootstrap with a score-type guard" + ("" if rows.groups is None else " over groups"))


def _draw(verdict: Json, rows: Rows, predicted: Codes, against: Codes | None) -> Resamples:
    models = [predicted] if against is None else [predicted, against]
    return resamples(verdict["metric"], rows.gold, models, rows.groups, verdict["seed"], verdict["n_resamples"])


def _beside(stated: Json, b: int, c: int, n: int, margin: float) -> Iterator[Check]:
    lower, upper = tango_bound(b, c, n, stated["level"])
    p = 1 - normal.cdf(tango_statistic(b, c, n, -margin))
    for key, found in (("lower", lower), ("upper", upper), ("p_value", p)):
        yield same(f"{stated['candidate']}: ignoring groups, {key}", stated["ignores_groups"][key], found, INVERTED)


def _rows_needed(verdict: Json, stated: Json, rows: Rows, predicted: Codes, against: Codes | None) -> Check:
    """Rows by the normal formula; where the verdict used an exact power the two agree within a tenth and a few rows.

    Few are 300; and where fewer than 30 of the rare rows that decide are expected, as many as hold three of them, since
    counts of them are whole and no normal formula knows it.
    """
    needed, margin, n = stated["rows_needed"], verdict["margin"], stated["n"]
    capped = against is not None and margin > 0
    difference = min(stated["difference"], 0.0) if capped else stated["difference"]
    prove = difference > -margin
    z_level, z_power = normal.inv_cdf(1 - stated["level"]), normal.inv_cdf(needed["power"])
    null, rare = None, math.inf
    if stated["method"] in ("Tango score", METHOD):
        discordance = max((stated["only_candidate_right"] + stated["only_reference_right"]) / n, abs(difference))
        spread = math.sqrt(max(discordance - difference**2, 0.0))
        rare = max(discordance, margin, 1e-9)
        null = math.sqrt(max(rare - margin**2, 0.0))
    elif stated["method"] == "exact binomial":
        spread = math.sqrt(stated["score"] * (1 - stated["score"]))
        least = min(max(verdict["reference"]["score"] - margin, 0.0), 1.0)
        rare = max(min(least, 1 - least), 1e-9)
        null = math.sqrt(least * (1 - least))
    else:
        spread = _draw(verdict, rows, predicted, against).error * math.sqrt(n)
    distance = abs(difference + margin)
    under_null = spread if null is None or not prove else null  # the test's own variance, where it proves
    rough = math.inf if distance <= 1e-9 else ((z_level * under_null + z_power * spread) / distance) ** 2
    total = needed["total"]
    name = f"{stated['candidate']}: rows needed, about"
    right_aim = needed["purpose"] == ("prove" if prove else "show worse")
    if total is None:
        return Check(name, None, round(rough) if rough < 1e15 else None, right_aim and rough > 8e6)
    few = 300 + (3 / rare if rough * rare < 30 else 0)
    close = 0.9 * rough - few <= total <= 1.1 * rough + few or total == n + 1
    return Check(name, total, round(rough), right_aim and close and needed["more"] == total - n)


def _decision(verdict: Json) -> Iterator[Check]:
    """What must follow from the comparisons, once they are right."""
    comparisons, reference, down = verdict["comparisons"], verdict["reference"], verdict["mode"] == "down"
    decisions = [c["decision"] for c in comparisons]
    stops = "failed" if down else "passed"
    turn = decisions.index(stops) + 1 if stops in decisions else len(decisions)
    legal = all((d == "not tested") == (place >= turn) for place, d in enumerate(decisions))
    yield Check("order of testing", decisions, "each in its turn" if legal else "out of turn", legal)
    share = verdict["alpha"] if down else verdict["alpha"] / max(verdict["n_planned"], 1)
    yield same("error level of each test", [c["level"] for c in comparisons], [share] * len(comparisons))
    passed = [c["candidate"] for c in comparisons if c["decision"] == "passed"]
    fallback = reference["name"] if reference["within_limits"] else None
    if passed:
        answer, winner = "proved", passed[-1] if down else passed[0]
    elif (
        all(c["shown_worse"] for c in comparisons)
        and len(comparisons) + len(verdict["left_out"]) >= verdict["n_planned"]
    ):
        answer, winner = ("proved", fallback) if fallback else ("not good enough", None)
    else:
        answer, winner = "cannot tell", None
    yield same("answer", verdict["answer"], answer)
    yield same("exit code", verdict["exit_code"], {"proved": 0, "not good enough": 3, "cannot tell": 4}[answer])
    yield same("winner", verdict["winner"], winner)
    yield same("safe choice", verdict["safe_choice"], winner or fallback)
    deciding = next((c for c in comparisons if c["candidate"] == verdict["deciding"]), None)
    if deciding is not None:
        stated = verdict["smallest_provable_margin"]
        yield same("smallest provable margin", stated, deciding["smallest_provable_margin"])


_OPENINGS = {
    "proved": ("The choice is", "is the smallest model proved"),
    "not good enough": ("No model",),
    "cannot tell": ("cannot tell",),
}


def _words(verdict: Json) -> Iterator[Check]:
    """The sentence must say the answer and name the model it is about; each score in it must be one of those above."""
    comparisons, reference = verdict["comparisons"], verdict["reference"]
    sentence, about = verdict["sentence"], {verdict["winner"]} - {None}
    if verdict["answer"] == "cannot tell":
        about = {c["candidate"] for c in comparisons if c["score"] is not None} & {verdict["deciding"]}
    said = [answer for answer, words in _OPENINGS.items() if any(each in sentence for each in words)]
    yield Check("answer in the sentence", said, [verdict["answer"]], said == [verdict["answer"]])
    yield Check("model in the sentence", sentence, sorted(about), all(name in sentence for name in about))
    scores = [reference["score"], *(c[key] for c in comparisons for key in ("score", "reference_score"))]
    known = {f"{100 * score:.1f} %" for score in scores if score is not None}
    sentences = [("sentence", verdict["sentence"]), *((f"{c['candidate']}: words", c["words"]) for c in comparisons)]
    for name, text in sentences:
        told = set(re.findall(r"\d+\.\d %", text))
        yield Check(name, sorted(told), sorted(known), told <= known)


def _evidence(verdict: Json, name: str, stated: Json, rows: Rows, classes: Sequence[str] | None) -> Iterator[Check]:
    predicted, probability, positions = rows.candidates[name]
    if positions is not None:
        rows = rows.at(positions)
    gold = rows.gold
    seed, times = verdict["seed"], verdict["n_resamples"]
    found: dict[str, tuple[float, float, float]] = {}
    for metric in ("accuracy", "balanced_accuracy", "macro_f1"):
        value = metric_value(metric, gold, predicted)
        if metric == "accuracy" and rows.groups is None:
            low, high = wilson(int((gold == predicted).sum()), len(gold), 0.95)
        else:
            drawn = resamples(metric, gold, [predicted], rows.groups, seed, times, unseen_groups=False)
            low, high = drawn.bounds(0.025)
        found[metric] = (value, max(0.0, low), min(1.0, high))
    if probability is not None:
        loss = -np.log(np.clip(probability[np.arange(len(gold)), gold], 1e-12, 1.0))
        found["log_loss"] = (float(loss.mean()), *mean_interval(loss, rows.groups, 0.025))
        ends = calibration_interval(gold, probability, rows.groups, 0.025, seed, times)
        found["calibration_error"] = (calibration_error(gold, probability), *ends)
    for metric, values in found.items():
        for part, value in zip(("value", "low", "high"), values, strict=True):
            if metric in stated:
                yield same(f"{name}: {metric}, {part}", stated[metric][part], value, INVERTED)
    yield from _per_class(name, stated, rows, predicted, classes)


def _effective(groups: Codes) -> float:
    sizes = [int((groups == each).sum()) for each in set(groups.tolist())]
    return sum(sizes) ** 2 / sum(size**2 for size in sizes)


def _per_class(name: str, stated: Json, rows: Rows, predicted: Codes, classes: Sequence[str] | None) -> Iterator[Check]:
    gold = rows.gold
    code = {label: place for place, label in enumerate(classes or [])}
    for entry in stated.get("per_class", []):
        k = code[entry["label"]]
        n, claimed, hits = (
            int((gold == k).sum()),
            int((predicted == k).sum()),
            int(((gold == k) & (predicted == k)).sum()),
        )
        title = f"{name}: class {entry['label']}"
        yield same(f"{title}, n", entry["n"], n)
        yield same(f"{title}, F1", entry["f1"], 2 * hits / max(n + claimed, 1))
        for part, whole, where in (("precision", claimed, predicted == k), ("recall", n, gold == k)):
            if whole and entry.get(part) is not None:
                worth = whole if rows.groups is None else _effective(rows.groups[where])
                low, high = wilson(worth * hits / whole, worth, 0.95)
                for end, value in (("value", hits / whole), ("low", low), ("high", high)):
                    yield same(f"{title}, {part}, {end}", entry[part][end], value, INVERTED)
    for entry in stated.get("confusions", []):
        pair = int(((gold == code[entry["gold"]]) & (predicted == code[entry["predicted"]])).sum())
        yield same(f"{name}: {entry['gold']} taken for {entry['predicted']}", entry["count"], pair)
