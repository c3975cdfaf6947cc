# SPDX-License-Identifier: Apache-2.0
"""The map of data against machines: where a team stands, where the giants' makers stand, and the recommended route."""

from __future__ import annotations

from bigenough.atlas.cards import compact
from bigenough.atlas.facts import models
from bigenough.atlas.whereabouts import ENOUGH_LABELS, LARGE_MEMORY_GB, NO_LABELS, Player, Standing, players, route
from bigenough.report.atlas_charts import Axis, Level, Spot, broad, scatter
from bigenough.report.charts import Mark
from bigenough.report.frame import Section, framed, sourced
from bigenough.report.markup import Html, element, table

__all__ = ["whereabouts_page"]

_TOKENS = ((1e2, "100"), (1e4, "10k"), (1e6, "1M"), (1e8, "100M"), (1e10, "10B"), (1e12, "1T"), (1e14, "100T"))
_MEMORY = ((1.0, "1"), (10.0, "10"), (1e2, "100"), (1e3, "1k"), (1e4, "10k"), (1e5, "100k"), (1e6, "1M"))
_CLEAR = 1e6
_CORNERS = (
    ("no labels", "small machine", 0, 8.0),
    ("few labels", "small machine", 500, 8.0),
    ("enough labels", "small machine", 5000, 8.0),
    ("no labels", "large machine", 0, 640.0),
    ("few labels", "large machine", 500, 640.0),
    ("enough labels", "large machine", 5000, 640.0),
)


def whereabouts_page(standing: Standing) -> str:
    """Where a team stands, as one HTML page."""
    advice = route(standing)
    steps = element(
        "div",
        element("h2", "What to do next"),
        element("ul", *(element("li", step) for step in advice.steps)),
        class_="next",
    )
    sections = [
        Section("map", "Data against machines", _map(standing)),
        Section("sizes", "What this machine and this text allow", [_sizes(standing)]),
        Section("routes", "The routes from every corner", [_routes(advice.corner)]),
    ]
    headline = advice.headline[0].upper() + advice.headline[1:]
    return framed(
        "Where you are",
        headline,
        f"{advice.corner.capitalize()}: {advice.counted}. {advice.reason}",
        sections,
        aside=steps,
    )


def _map(standing: Standing) -> list[Html | str | None]:
    others = players(models())
    named = _worth_naming(others)
    dot, you = Mark("circle", "var(--muted)", False), Mark("diamond", "var(--good)", True)
    spots = [Spot("you", max(standing.tokens, 150.0), max(standing.memory_gb, 1.2), you, 260)]
    spots += [Spot(one.name if one.name in named else "", one.tokens, one.memory_gb, dot) for one in others]
    x = Axis("tokens of text at hand, labelled or not", 1e2, 1e14, _TOKENS)
    y = Axis("memory that a model may take, GB", 1.0, 3e6, _MEMORY)
    clear = None if standing.tokens > _CLEAR / 5 else _CLEAR  # of the diamond and of the upright lines
    level = Level(LARGE_MEMORY_GB, f"large machine: {LARGE_MEMORY_GB:g} GB", clear)
    each = standing.tokens_per_text
    labels = [Level(NO_LABELS * each, f"{NO_LABELS} labels"), Level(ENOUGH_LABELS * each, f"{ENOUGH_LABELS:,} labels")]
    chart = broad(
        lambda frame: scatter(
            spots if frame.width > 400 else _fewer(spots), frame, x=x, y=y, levels=[level], rules=labels
        ),
        name="map",
        described=(
            f"You: {compact(standing.tokens) or 0} tokens and {standing.memory_gb:g} GB; {len(others)} makers "
            "of models far above and to the right."
        ),
        caption=(
            f"The diamond is you: {standing.labelled:,} labelled and {standing.unlabelled:,} unlabelled texts "
            f"of about {standing.tokens_per_text:g} tokens. "
            "Circles are published training runs: tokens seen, memory of all devices."
        ),
    )
    told = _gap(standing, others)
    borders = (
        f"Borders, as judged here: no labels below {NO_LABELS} rows, enough from {ENOUGH_LABELS:,}; a large "
        f"machine has an accelerator and {LARGE_MEMORY_GB:g} GB. "
        "The upright lines stand where so many texts of your length would."
    )
    return [chart, element("p", told), element("p", borders, class_="note")]


def _gap(standing: Standing, others: tuple[Player, ...]) -> str:
    smallest = min(others, key=lambda one: one.memory_gb)
    least = min(others, key=lambda one: one.tokens)
    memory, text = smallest.memory_gb / standing.memory_gb, least.tokens / max(standing.tokens, 1.0)
    machine = f"{memory:,.1f} times your memory" if memory > 1 else "no more memory than you have"
    return (
        f"The smallest run on the map ({smallest.name}, {smallest.memory_gb:,.0f} GB) took {machine}; the "
        "run with the least text "
        f"({least.name}, {compact(least.tokens)} tokens) saw {compact(text)} times yours. Tuning or freezing "
        "somebody’s model spares you that distance."
    )


def _fewer(spots: list[Spot]) -> list[Spot]:
    kept = {"you", *sorted((spot.name for spot in spots if spot.name), key=len)[:4]}
    return [spot if spot.name in kept else spot._replace(name="") for spot in spots]


def _worth_naming(others: tuple[Player, ...]) -> set[str]:
    by_memory = sorted(others, key=lambda one: one.memory_gb)
    by_tokens = sorted(others, key=lambda one: one.tokens)
    return {
        by_memory[0].name,
        by_memory[-1].name,
        by_tokens[0].name,
        by_tokens[-1].name,
        "GPT-3",
        "BLOOM-176B",
        "TinyLlama-1.1B",
        "PaLM 540B",
    }


def _sizes(standing: Standing) -> Html:
    body: list[list[Html | str]] = [
        [name, compact(size.value) or "none", sourced(size)] for name, size in route(standing).sizes()
    ]
    return table("In parameters, as rules of thumb", ["What", "up to", "how"], body, kind="cards", words={2})


def _routes(here: str) -> Html:
    rows, classes = [], []
    for data, machine, labelled, memory in _CORNERS:
        advice = route(Standing(labelled, memory, accelerators=8 if machine.startswith("large") else 0))
        rows.append(
            [f"{data}, {machine}" + (" (you)" if advice.corner == here else ""), advice.headline, advice.reason]
        )
        classes.append("subject" if advice.corner == here else "")
    return table("Routes", ["Where", "route", "why"], rows, kind="cards", row_classes=classes, words={1, 2})
