# SPDX-License-Identifier: Apache-2.0
"""What the atlas says of one thing, or of several side by side, in plain text and JSON."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, fields
from typing import Any

from bigenough.atlas import facts
from bigenough.atlas.landscape import openness
from bigenough.atlas.names import nearest
from bigenough.atlas.records import UNITS, Accelerator, Grid, MachineFacts, Model
from bigenough.atlas.tiers import tier_by_count, tier_by_fit
from bigenough.errors import BadOption

__all__ = ["card", "card_json", "compact", "label", "listing", "lookup", "model_json", "side_by_side", "standing"]

Subject = Model | Accelerator | MachineFacts | Grid
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


def card(of: str) -> str:
    """All that is known of one thing, a line a fact, with sources and contradictions."""
    subject = lookup(of)
    words, figures = _words(subject), _figures(subject)
    wide = max(len(name) for name, _ in (*words, *figures))
    lines = [_title(subject), *(f"  {name:<{wide}}  {said}" for name, said in (*words, *figures))]
    if isinstance(subject, Model):
        lines += [f"  {name:<{wide}}  {said}" for name, said in standing(subject)]
        for other in subject.conflicts:
            lines.append(
                f"  {'contradicted:':<{wide}}  {label(other.column)} {other.quantity}, {other.source}; {other.note}"
            )
        for score in facts.benchmarks():
            if score.model == subject.name:
                lines.append(
                    f"  {score.benchmark:<{wide}}  {score.score:g} {score.unit}; {score.protocol}; {score.source}"
                )
        lines += [
            f"  {price.kind:<{wide}}  {price.quantity}, {price.date}, {price.source}"
            for price in facts.prices(subject.name)
        ]
    elif isinstance(subject, Accelerator | MachineFacts):
        lines += [
            f"  {price.kind:<{wide}}  {price.quantity}, {price.date}, {price.source}"
            for price in facts.prices(subject.name)
        ]
    lines.append(f"  {'source':<{wide}}  {subject.source} ({subject.evidence})")
    note = subject.notes if isinstance(subject, Model) else subject.note
    return "\n".join([*lines, *([f"  {'note':<{wide}}  {note}"] if note else [])])


def card_json(name: str) -> dict[str, Any]:
    """The same as JSON values, each figure as a quantity."""
    subject = lookup(name)
    if isinstance(subject, Model):
        return {"kind": "model", **model_json(subject)}
    kind = {Accelerator: "accelerator", MachineFacts: "machine", Grid: "grid"}[type(subject)]
    told = {name: value for name, value in asdict(subject).items() if name not in UNITS}
    figures = {field.name: subject.fact(field.name).to_json() for field in fields(subject) if field.name in UNITS}
    priced = [
        {**asdict(price), "quantity": price.quantity.to_json()} for price in facts.prices(getattr(subject, "name", ""))
    ]
    return {"kind": kind, **told, "figures": figures, "prices": priced}


def model_json(row: Model) -> dict[str, Any]:
    """A model as JSON values: words, figures as quantities, tier, contradictions."""
    told = {name: value for name, value in asdict(row).items() if name not in UNITS}
    return {
        **told,
        "openness": openness(row),
        "tier": tier_by_count(row.total_params).name if row.total_params else None,
        "figures": {field.name: row.fact(field.name).to_json() for field in fields(row) if field.name in UNITS},
        "conflicts": [{"column": one.column, "note": one.note, **one.quantity.to_json()} for one in row.conflicts],
    }


def standing(row: Model) -> list[tuple[str, str]]:
    """Both tiers of a model: by count, and by whether one 80 GB accelerator runs it."""
    if not row.total_params:
        return [("tier", "unknown: its size is not published")]
    if row.is_recommender:
        return [("tier", "set apart: a recommender's parameters are tables, of which a request touches a few rows")]
    from bigenough.atlas.architecture import shape_of

    found = tier_by_fit(row.total_params, shape_of(row))
    need = f"about {found.need.mid:,.0f} GB of 80"
    return [
        ("tier by count", str(tier_by_count(row.total_params))),
        ("tier by fit", f"one 80 GB accelerator, 16 bits, 2,048 tokens, one sequence: {found.answer} ({need})"),
    ]


def listing(rows: Sequence[Model]) -> str:
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
            _tier(row),
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
        f"{_columns([head, *body], right={3, 4, 5})}\n{len(rows)} {noun}.{apart} An empty cell is unknown. "
        "Sources: bigenough atlas show NAME"
    )


def side_by_side(rows: Sequence[Model]) -> str:
    """Models as columns, facts as lines."""
    labels = ["developer", "year", "architecture", "access", "licence"]
    lines = [("", *(row.name for row in rows))]
    lines += [(name, *(_cut(str(getattr(row, name)), 34) for row in rows)) for name in labels]
    lines.append(("tier", *(_tier(row) for row in rows)))
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


def _tier(row: Model) -> str:
    if not row.total_params or row.is_recommender:
        return "set apart" if row.is_recommender else ""
    return tier_by_count(row.total_params).name


def _title(subject: Subject) -> str:
    return subject.country if isinstance(subject, Grid) else subject.name


def _words(subject: Subject) -> list[tuple[str, str]]:
    left_out = {"name", "aliases", "source", "evidence", "notes", "note", *UNITS}
    if isinstance(subject, Grid):
        left_out.add("country")
    told = ((field.name, getattr(subject, field.name)) for field in fields(subject) if field.name not in left_out)
    return [(label(name), str(value)) for name, value in told if value not in ("", None)]


def _figures(subject: Subject) -> list[tuple[str, str]]:
    return [(label(field.name), _figure(subject, field.name)) for field in fields(subject) if field.name in UNITS]


def _figure(subject: Subject, column: str) -> str:
    fact = subject.fact(column)
    if fact.value is None or fact.value < 1e6:
        return str(fact)
    exact = f"{fact.value:,.0f} {fact.unit}"
    return f"{compact(fact.value)} ({exact})" if fact.value < 1e15 else str(fact)


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
