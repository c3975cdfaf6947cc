# SPDX-License-Identifier: Apache-2.0
"""The section on shrinking: the frontier before and after, and what each step took and gave.

A step is a candidate that was made from another one. Its change in quality is that of the two on the same certify rows;
it describes, and proves nothing: the proof is the verdict's, in its order.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from importlib.metadata import entry_points

import numpy as np

from bigenough.report import charts, shrinking_chart
from bigenough.report.files import Json
from bigenough.report.markup import Html, element, join, table
from bigenough.report.numbers import count, milliseconds, percent, points, size, times
from bigenough.report.view import Contender, View
from bigenough.rungs.registry import GROUP
from bigenough.verdict.compare import CONFIDENCE, Figures, Question, compare

__all__ = ["Shrunk", "refused", "shrunk", "steps"]

_RESAMPLES = 2000
_FAR = 0.06
"""A candidate this far below the best one would squash the chart; steps are mostly tenths of a point."""


@dataclass(frozen=True, eq=False)
class Shrunk:
    """A candidate beside the one it was made from."""

    child: Contender
    parent: Contender


def shrunk(view: View) -> list[Shrunk]:
    """Every candidate whose parent is in the study too, parent by parent, smallest last."""
    homes = {one.files.home: one for one in view.contenders if one.files.home}
    found = [
        Shrunk(one, homes[home])
        for one in view.contenders
        if (home := one.files.candidate.get("made_from")) in homes and one.size_bytes is not None
    ]
    return sorted(found, key=lambda step: (step.parent.name, -(step.child.size_bytes or 0.0), step.child.name))


def refused(view: View) -> dict[str, str]:
    """The reasons of steps that gave no candidate: what was made from a candidate is named after it.

    So may a rung be ("tuned" and "tuned-static"); the ladder's own are no steps.
    """
    ladder = entry_points(group=GROUP).names
    names = [one.name for one in view.contenders if one.role != "no result"]
    gone = {one.name: one.reason for one in view.contenders if one.role == "no result" and one.reason}
    return {
        name: reason
        for name, reason in gone.items()
        if name not in ladder
        and any(name.startswith(f"{parent}-") or name.endswith(f"-from-{parent}") for parent in names)
    }


def steps(view: View) -> Html | None:
    """The section; None when nothing was shrunk or refused."""
    made = shrunk(view)
    if not made:
        return _refusals(view)
    head = ["Step", "Size", "Latency, p50", f"{view.metric_name[:1].upper()}{view.metric_name[1:]}", "Labels changed"]
    found = table(
        "One line a step: before → after", head, [_row(step, view) for step in made], kind="cards",
        row_classes=["subject" if step.child is view.winner else "" for step in made],
    )  # fmt: skip
    note = element(
        "p",
        f"{head[3]}: points against the model it was made from, on the same certify rows, with "
        f"{100 * CONFIDENCE:.0f} % intervals; a description, not a proof. Labels changed: certify rows on which the "
        "two differ. The variants of a step were chosen on select.",
        class_="note",
    )
    return join([_frontiers(view, made), found, note, _processor(made), _refusals(view)])


def _row(step: Shrunk, view: View) -> list[Html | str]:
    child, parent = step.child, step.parent
    name = join([element("strong", child.name), element("small", f"made from {parent.name}")])
    return [name, _sizes(step), _latencies(step), _quality(step, view), _flips(step)]


def _sizes(step: Shrunk) -> Html | str:
    before, after = step.parent.size_bytes, step.child.size_bytes
    if before is None or after is None:
        return "–"
    return _change(size(before), size(after), before / after if after else None, "smaller", "larger")


def _latencies(step: Shrunk) -> Html | str:
    before, after = (one.value("latency_p50_ms") for one in (step.parent, step.child))
    if before is None or after is None:
        return "–"
    return _change(milliseconds(before), milliseconds(after), before / after if after else None, "faster", "slower")


def _change(before: str, after: str, ratio: float | None, better: str, worse: str) -> Html:
    told = None
    if ratio is not None and not 0.95 < ratio < 1.05:
        told = element("small", f"{times(ratio)} {better}" if ratio > 1 else f"{times(1 / ratio)} {worse}")
    return join([f"{before} → {after}", told], " ")


def _quality(step: Shrunk, view: View) -> Html | str:
    found = paired(step, view)
    if found is None:
        return "–"
    low, high = points(found.interval.low), points(found.interval.high)
    return join([points(found.difference), element("small", f"{low} to {high}", class_="interval")], " ")


def paired(step: Shrunk, view: View) -> Figures | None:
    """The difference child − parent on the certify rows, with its interval; None without both predictions."""
    child, parent = step.child.files.certify, step.parent.files.certify
    if child is None or parent is None or parent.positions is not None or not np.array_equal(child.gold, parent.gold):
        return None  # a parent that was asked about some rows only, in an order of their own, is not compared
    groups = view.files.groups
    codes = None if groups is None or len(groups) != len(child.gold) else np.unique(groups, return_inverse=True)[1]
    question = Question(
        gold=child.gold, metric=view.verdict["metric"], margin=float(view.verdict["margin"]),
        reference=parent.predicted, bar=0.0, groups=codes, seed=int(view.verdict.get("seed") or 0),
        n_resamples=_RESAMPLES,
    )  # fmt: skip
    return compare(question, child.predicted, float(view.verdict["alpha"]))


def _flips(step: Shrunk) -> Html | str:
    child, parent = step.child.files.certify, step.parent.files.certify
    if child is None or parent is None or parent.positions is not None or len(child.gold) != len(parent.gold):
        return "–"
    changed = int(np.sum(child.predicted != parent.predicted))
    share = percent(changed / max(1, len(child.predicted)), 2)
    return join([count(changed), element("small", share)], " ")


def _processor(made: list[Shrunk]) -> Html | None:
    """What of the processor the 8-bit products stand on; other processors may round, and label, otherwise."""
    records = [step.child.files.candidate.get("record") or {} for step in made]
    told = [record["processor_features"] for record in records if record.get("processor_features") is not None]
    if not told:
        return None
    features = ", ".join(told[0]) or "none of the known ones"
    return element(
        "p",
        f"8-bit variants were tried on this machine's processor ({features}). Labels near a tie may differ on another: "
        "run the specialist's self-check where it will serve.",
        class_="note",
    )


def _refusals(view: View) -> Html | None:
    gone = refused(view)
    variants = [line for step in shrunk(view) for line in _refused_variants(step.child)]
    if not gone and not variants:
        return None
    items = [element("li", element("strong", name), f": {reason}.") for name, reason in gone.items()]
    items += [element("li", line) for line in variants]
    return join([element("p", "Tried and refused:"), element("ul", *items)])


def _refused_variants(one: Contender) -> list[str]:
    record: Json = one.files.candidate.get("record") or {}
    told = []
    for variant in record.get("variants") or ():
        if variant.get("refused"):
            settings = ", ".join(f"{key}={value}" for key, value in (variant.get("settings") or {}).items())
            told.append(f"a variant of {one.name} ({settings or 'no settings'}): {variant['refused']}")
    return told


def _frontiers(view: View, made: list[Shrunk]) -> Html | None:
    """Quality against size, with a line from each model to what was made of it."""
    parents = {step.child.name: step.parent.name for step in made}
    dots = [
        shrinking_chart.Step(one.name, one.size_bytes / 1e6, score, parents.get(one.name))
        for one in view.contenders
        if one.size_bytes and (score := one.value(view.metric)) is not None
    ]
    best = max((dot.score for dot in dots), default=0.0)
    near = [dot for dot in dots if best - dot.score <= _FAR]
    if len(near) < 2:
        return None
    left = ", ".join(dot.name for dot in dots if dot not in near)
    before = shrinking_chart.best_at_each_size([dot for dot in near if dot.parent is None])
    after = shrinking_chart.best_at_each_size(near)
    told = f"before shrinking {_listed(before)}; after it {_listed(after)}"
    return charts.figure(
        partial(shrinking_chart.frontiers, near, y_title=view.metric_name),
        name="smaller",
        described=f"The frontier of {view.metric_name} on certify against size: {told}.",
        caption=f"Certify {view.metric_name} against size. Dashed: the frontier of the ladder's own models; solid: "
        "with what was made from them. Hollow marks were made from the model at the other end of the thin line."
        + (f" Not drawn, far below: {left}." if left else ""),
    )


def _listed(frontier: list[shrinking_chart.Step]) -> str:
    return ", ".join(f"{dot.name} {percent(dot.score)} at {dot.size_mb:.3g} MB" for dot in frontier) or "none near"
