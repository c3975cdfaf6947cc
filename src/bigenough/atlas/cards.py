# SPDX-License-Identifier: Apache-2.0
"""What the atlas says of one thing, or of several side by side, in plain text and JSON."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, fields
from typing import Any

from bigenough.atlas import facts
from bigenough.atlas.landscape import openness
from bigenough.atlas.names import nearest
from bigenough.atlas.records import UNITS, Accelerator, Grid, MachineFacts, Model, Price
from bigenough.atlas.tiers import BORDERS_2023, Borders, tier_by_count, tier_by_fit
from bigenough.errors import BadOption

__all__ = ["card", "card_json", "compact", "label", "listing", "lookup", "model_json", "side_by_side", "standing"]

Subject = Model | Accelerator | MachineFacts | Grid
_ABOUT = frozenset({"aliases", "source", "evidence", "note", "notes"})  # columns about the row, not facts of it
_GRADES_TOLD = (
    "The source of each fact stands beside it, and whether the fact was compared with it (looked-up), read in a copy "
    "(secondary, Epoch), remembered (recall) or classified by us (ours)."
)
_SCALES = ((1e12, "T"), (1e9, "B"), (1e6, "M"), (1e3, "k"))


def lookup(name: str) -> Subject:
    """The model, device, machine or grid of this name; ``BadOption`` with the nearest of all kinds if there is none."""
    found = facts.find_model(name) or facts.find_machine(name)
    if found is not None:
        return found
    try:
        return facts.accelerator(name)
    except BadOption as error:
        if "sold with" in str(error):
            raise
    try:
        return facts.grid(name)
    except BadOption:
        pass
    kinds = (facts.models(), facts.machines(), facts.accelerators())
    known = [row.name for rows in kinds for row in rows] + [row.country for row in facts.grids()]
    raise BadOption(f"The atlas knows no model, device, machine or country {name!r}. {nearest(name, known)}")


def card(of: str, borders: Borders = BORDERS_2023) -> str:
    """All that is known of one thing, a line a fact with its source beside it, and the contradictions."""
    subject = lookup(of)
    lines = [*_words(subject), *_figures(subject)]
    if isinstance(subject, Model):
        lines += [*standing(subject, borders), *_contradictions(subject), *_scores(subject)]
    lines += [(one.kind, f"{one.quantity}, {one.date}  ({one.source_of('usd')})") for one in _prices(subject)]
    note = subject.notes if isinstance(subject, Model) else subject.note
    lines += [("note", note)] if note else []
    wide = max(len(name) for name, _ in lines)
    told = [f"  {name:<{wide}}  {said}" for name, said in lines]
    return "\n".join([_title(subject), *told, "", _GRADES_TOLD])


def _contradictions(row: Model) -> list[tuple[str, str]]:
    return [
        ("contradicted:", f"{label(one.column)} {one.quantity}  ({one.source_of('value')}); {one.note}")
        for one in row.conflicts
    ]


def _scores(row: Model) -> list[tuple[str, str]]:
    return [
        (one.benchmark, f"{one.score:g} {one.unit}, {one.protocol}  ({one.source_of('score')})")
        for one in facts.benchmarks()
        if one.model == row.name
    ]


def _prices(subject: Subject) -> tuple[Price, ...]:
    return () if isinstance(subject, Grid) else facts.prices(subject.name)


def card_json(name: str, borders: Borders = BORDERS_2023) -> dict[str, Any]:
    """The same as JSON values, each figure as a quantity."""
    subject = lookup(name)
    if isinstance(subject, Model):
        return {"kind": "model", **model_json(subject, borders)}
    kind = {Accelerator: "accelerator", MachineFacts: "machine", Grid: "grid"}[type(subject)]
    priced = [{**asdict(price), "quantity": price.quantity.to_json()} for price in _prices(subject)]
    return {"kind": kind, **_row_json(subject), "prices": priced}


def model_json(row: Model, borders: Borders = BORDERS_2023) -> dict[str, Any]:
    """A model as JSON values: words, figures as quantities, the source of every cell, tier, contradictions."""
    tier = tier_by_count(row.total_params, borders) if row.total_params and not row.is_recommender else None
    return {
        **_row_json(row),
        "openness": openness(row),
        "tier": tier.name if tier else None,
        "tier_borders": str(borders),
        "conflicts": [{"column": one.column, "note": one.note, **one.quantity.to_json()} for one in row.conflicts],
    }


def _row_json(row: Subject) -> dict[str, Any]:
    columns = [field.name for field in fields(row)]
    told = {name: value for name, value in asdict(row).items() if name not in UNITS}
    figures = {name: row.fact(name).to_json() for name in columns if name in UNITS}
    known = [name for name in columns if name not in _ABOUT and getattr(row, name) not in ("", None, ())]
    return {**told, "figures": figures, "sources": {name: row.source_of(name)._asdict() for name in known}}


def standing(row: Model, borders: Borders = BORDERS_2023) -> list[tuple[str, str]]:
    """Both tiers of a model: by count, and by whether one 80 GB accelerator runs it."""
    if not row.total_params:
        return [("tier", "unknown: its size is not published")]
    if row.is_recommender:
        return [("tier", "set apart: a recommender's parameters are tables, of which a request touches a few rows")]
    from bigenough.atlas.architecture import shape_of

    found = tier_by_fit(row.total_params, shape_of(row))
    need = f"about {found.need.mid:,.0f} GB of 80"
    return [
        ("tier by count", str(tier_by_count(row.total_params, borders))),
        ("tier by fit", f"one 80 GB accelerator, 16 bits, 2,048 tokens, one sequence: {found.answer} ({need})"),
    ]


def listing(rows: Sequence[Model], borders: Borders = BORDERS_2023) -> str:
    """One line a model: name, year, maker, size, tokens, tier, access."""
    if not rows:
        return "No model meets all conditions. Loosen one."
    head = ("model", "year", "developer", "params", "active", "tokens", "tier", "access", "licence")
    body = [
        (
            row.name,
            str(row.year),
            _cut(row.developer, 28),
            compact(row.total_params),
            compact(row.active_params) if row.active_params != row.total_params else "",
            compact(row.train_tokens),
            _tier(row, borders),
            openness(row),
            _cut(row.licence, 26),
        )
        for row in rows
    ]
    apart = (
        " Recommenders are set apart: their parameters are tables." if any(row.is_recommender for row in rows) else ""
    )
    noun = "model" if len(rows) == 1 else "models"
    return (
        f"{_columns([head, *body], right={3, 4, 5})}\n{len(rows)} {noun}.{apart} Tiers: {borders}. "
        "An empty cell is unknown. Sources: bigenough atlas show NAME"
    )


def side_by_side(rows: Sequence[Model], borders: Borders = BORDERS_2023) -> str:
    """Models as columns, facts as lines."""
    labels = ["developer", "year", "architecture", "access", "licence"]
    lines = [("", *(row.name for row in rows))]
    lines += [(name, *(_cut(str(getattr(row, name)), 34) for row in rows)) for name in labels]
    lines.append(("tier", *(_tier(row, borders) for row in rows)))
    for field in fields(Model):
        if field.name in UNITS and any(getattr(row, field.name) is not None for row in rows):
            lines.append((label(field.name), *(_short(row, field.name) for row in rows)))
    notes = sorted({f"{row.name}: {row.notes}" for row in rows if row.notes})
    return "\n".join([_columns(lines), *notes])


def compact(value: float | None) -> str:
    """A count in few signs; empty when unknown.

    >>> compact(175e9), compact(6_738_415_616), compact(None)
    ('175B', '6.74B', '')
    """
    if value is None:
        return ""
    if value >= 1e15:
        return f"{value:.3g}"
    for size, letter in _SCALES:
        if value >= size:
            return f"{value / size:.3g}{letter}"
    return f"{value:.4g}"


def _short(row: Model, column: str) -> str:
    value = getattr(row, column)
    return "unknown" if value is None else f"{compact(value)} {UNITS[column]}"


def _tier(row: Model, borders: Borders) -> str:
    if not row.total_params or row.is_recommender:
        return "set apart" if row.is_recommender else ""
    return tier_by_count(row.total_params, borders).name


def _title(subject: Subject) -> str:
    return subject.country if isinstance(subject, Grid) else subject.name


def _words(subject: Subject) -> list[tuple[str, str]]:
    told = ((field.name, getattr(subject, field.name)) for field in fields(subject) if field.name not in UNITS)
    key = {"name", "country"} if isinstance(subject, Grid) else {"name"}
    return [
        (label(name), f"{value}  ({subject.source_of(name)})")
        for name, value in told
        if name not in {*_ABOUT, *key} and value not in ("", None)
    ]


def _figures(subject: Subject) -> list[tuple[str, str]]:
    return [(label(field.name), _figure(subject, field.name)) for field in fields(subject) if field.name in UNITS]


def _figure(subject: Subject, column: str) -> str:
    """A figure and where it comes from; what nobody published is unknown and has no source."""
    fact = subject.fact(column)
    if fact.value is None:
        return "unknown"
    if not 1e6 <= fact.value < 1e15:
        return f"{fact}  ({subject.source_of(column)})"
    return f"{compact(fact.value)}, {fact.value:,.0f} {fact.unit}  ({subject.source_of(column)})"


def label(column: str) -> str:
    """What a column is called where people read it."""
    named = {
        "total_params": "parameters",
        "active_params": "active parameters",
        "train_tokens": "training tokens",
        "train_flops": "training compute",
        "train_days": "training time",
        "accelerator_hours": "accelerator-hours",
        "energy_mwh": "energy",
        "co2e_t": "emissions",
        "lambada_zero_shot": "LAMBADA",
        "imagenet_top1": "ImageNet top-1",
        "coco_fid_zero_shot": "COCO FID",
        "memory_gb": "memory",
        "bandwidth_gb_s": "bandwidth",
        "peak_tflops_16bit": "peak, 16 bits",
        "tdp_w": "power limit",
        "measured_w": "measured power",
        "max_power_w": "largest power",
        "kg_per_kwh": "emissions",
    }
    return named.get(column, column.replace("_", " "))


def _cut(text: str, width: int) -> str:
    return text if len(text) <= width else text[: width - 1].rstrip() + "…"


def _columns(lines: Iterable[Sequence[str]], right: Iterable[int] = ()) -> str:
    rows = list(lines)
    widths = [max(len(row[place]) for row in rows) for place in range(len(rows[0]))]
    aligned = set(right)
    return "\n".join(
        "  ".join(
            cell.rjust(width) if place in aligned else cell.ljust(width)
            for place, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    )
