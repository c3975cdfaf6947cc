# SPDX-License-Identifier: Apache-2.0
"""Benchmark scores with the protocols behind them, and where sources contradict each other."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from bigenough.atlas import facts
from bigenough.atlas.cards import label
from bigenough.atlas.records import Model, Score
from bigenough.report.atlas_charts import Axis, Spot, scatter
from bigenough.report.charts import Mark, figure
from bigenough.report.frame import written
from bigenough.report.landscape_sizes import COUNTS, fewer
from bigenough.report.markup import Html, element, table

__all__ = ["benchmarks", "conflicts"]


def benchmarks(rows: Sequence[Model]) -> list[Html | str | None]:
    """Scores by protocol, with the models that two protocols score differently first."""
    names = {row.name: row for row in rows}
    scores = [score for score in facts.benchmarks() if score.model in names]
    if not scores:
        return [element("p", "The atlas has no score of these models.")]
    told: list[Html | str | None] = [
        element(
            "p", "Scores of one benchmark compare only under one protocol. These pairs are one model, scored twice:"
        ),
        _pairs(scores),
    ]
    cloze = [score for score in scores if score.benchmark == "LAMBADA" and names[score.model].total_params]
    if len(cloze) >= 3:
        told.append(_cloze(cloze, names))
    for benchmark in dict.fromkeys(score.benchmark for score in scores):
        chosen = sorted(
            (one for one in scores if one.benchmark == benchmark),
            key=lambda one: one.score,
            reverse=benchmark != "COCO FID",
        )
        body = [
            [one.model, f"{one.score:g}", one.protocol, one.source + (f"; {one.note}" if one.note else "")]
            for one in chosen
        ]
        unit = "FID, lower is better" if benchmark == "COCO FID" else "%"
        listed = table(
            f"{benchmark}, {unit}", ["Model", "score", "protocol", "source"], body, kind="cards", words={2, 3}
        )
        told.append(element("details", element("summary", f"{benchmark}: {len(chosen)} scores"), listed))
    return told


def _pairs(scores: Sequence[Score]) -> Html | None:
    by_model: defaultdict[tuple[str, str], list[Score]] = defaultdict(list)
    for score in scores:
        by_model[score.model, score.benchmark].append(score)
    body: list[list[Html | str]] = [
        [
            model,
            benchmark,
            *(
                element("span", f"{one.score:g}", element("small", f"{one.protocol}; {one.source}"))
                for one in found[:2]
            ),
        ]
        for (model, benchmark), found in by_model.items()
        if len(found) > 1
    ]
    return (
        table(
            "One model, two protocols",
            ["Model", "benchmark", "one score", "another"],
            body,
            kind="cards",
            words={1, 2, 3},
        )
        if body
        else None
    )


_PROTOCOLS = (
    ("stop-word filter", Mark("square", "var(--bad)", False), "with a stop-word filter"),
    ("few-shot", Mark("diamond", "var(--bad)", True), "few-shot"),
    ("harness", Mark("circle", "var(--good)", True), "harness, zero-shot"),
    ("", Mark("triangle-up", "var(--blue)", True), "the makers’ own zero-shot"),
)


def _cloze(scores: Sequence[Score], names: dict[str, Model]) -> Html:
    def mark(score: Score) -> Mark:
        return next(mark for part, mark, _ in _PROTOCOLS if part in score.protocol)

    shown = {"GPT-3", "PaLM 540B", "GLM-130B", "Chinchilla", "BLOOM-176B", "GPT-2 XL", "GPT-J-6B", "Pythia-160M"}
    spots = [
        Spot(
            one.model if one.model in shown else "", float(names[one.model].total_params or 1), one.score, mark(one), 70
        )
        for one in scores
    ]
    sizes = [spot.x for spot in spots]
    x = Axis(
        "parameters",
        min(sizes) / 2,
        max(sizes) * 12,
        [tick for tick in COUNTS if min(sizes) / 2 <= tick[0] <= max(sizes) * 12],
    )
    low = 10 * (min(spot.y for spot in spots) // 10)
    y = Axis("LAMBADA, %", low, 95.0, [(value, f"{value:g}") for value in range(int(low), 100, 10) if value], log=False)
    words = (
        "square: with a stop-word filter; diamond: few-shot; circle: evaluation harness; triangle: the "
        "makers’ own zero-shot"
    )
    return figure(
        lambda frame: scatter(spots if frame.width > 400 else fewer(spots), frame, x=x, y=y),
        name="cloze",
        described="LAMBADA accuracy against parameters, by protocol.",
        caption=f"LAMBADA against size; the shape tells the protocol ({words}). Compare like shapes only.",
    )


def conflicts(rows: Sequence[Model]) -> list[Html | str | None]:
    """Published figures that contradict the rows."""
    body: list[list[Html | str]] = [
        [
            row.name,
            label(one.column),
            written(row.fact(one.column)),
            written(one.quantity),
            f"{one.source}: {one.note}",
        ]
        for row in rows
        for one in row.conflicts
    ]
    if not body:
        return [element("p", "None is known among these models.")]
    head = ["Model", "figure", "in the atlas", "elsewhere", "source and reason"]
    return [
        element("p", "Both figures are kept; the atlas computes with the first."),
        table("Contradictions", head, body, kind="cards", words={1, 4}),
    ]
