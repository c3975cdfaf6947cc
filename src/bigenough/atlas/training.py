# SPDX-License-Identifier: Apache-2.0
"""A whole plan of what training a model takes, section by section."""

from __future__ import annotations

import math
import statistics

from bigenough.atlas import compute, energy, memory, money, optimal, time
from bigenough.atlas.bargain import rent_price
from bigenough.atlas.facts import grid as grid_of
from bigenough.atlas.lines import Line, Plan, Section
from bigenough.atlas.plan import called, optimality
from bigenough.atlas.subject import Hardware, Subject
from bigenough.errors import BadOption
from bigenough.quantity.range import Range, exact

__all__ = ["training_plan"]

USUAL_CONTEXT = 8192
"""Tokens of a training sequence at most; models are made for longer ones in a short last stage."""


def training_plan(
    model: Subject,
    tokens: float,
    on: Hardware,
    *,
    method: memory.Method = "full",
    zero: int = 3,
    flops: float | None = None,
    grid: str = "world",
    pue: float = 1.1,
    served: float | None = None,
) -> Plan:
    """What training a model on some tokens takes, and whether that is a good use of them."""
    context = min(model.shape.context or 2048, USUAL_CONTEXT) if model.shape else 0
    if flops is None:
        how = model.architecture
        work = compute.training_flops(model.active_count, tokens, shape=model.shape, context=context, architecture=how)
        counted = compute.training_flops(model.active_count, tokens, architecture=how)  # as utilisation is
    else:
        work = counted = exact(flops, "FLOP", "training operations C", "given").to("EFLOP")
    if on.chip is None or not on.chip.peak_flops:
        raise BadOption(f"{on.name}: training is planned on accelerators whose peak is known, such as 8xh100-sxm-80gb.")
    held = memory.training_memory(
        model.count,
        method,
        shape=model.shape,
        zero=zero if on.devices > 1 else 0,
        devices=on.devices,
        tokens=context,
    )
    share = time.utilisation(on.chip.peak_flops)
    hours = time.device_hours(counted, on.chip.peak_flops, share)
    sections = [
        _work(work),
        _training_memory(held, on, method, zero, model.shape is not None),
        _training_time(share, hours, on),
        _training_money(hours, on),
        _training_energy(hours, on, grid, pue),
        optimality(model.active_count, exact(tokens, "token", "tokens seen", "given")),
    ]
    if served is not None:
        sections.append(_lifetime(model.active, tokens, served))
    assumptions = (
        *([f"Sequences of {context:,} tokens."] if context else ()),
        "One run that goes well: no restarts, no failed starts; the project lines say what a whole project takes.",
        _accuracy(),
        "Emissions are location-based: certificates are not counted.",
    )
    return Plan(f"Training {model.name} on {tokens:.3g} tokens on {called(on)}", tuple(sections), assumptions)


def _work(work: Range) -> Section:
    return Section(
        "Work",
        (
            Line("training operations", work, "active parameters; high end with recomputation"),
            Line("petaflop/s-days", f"{compute.petaflop_days(work):,.4g}", "modelled; the same work"),
        ),
    )


def _training_time(share: Range, hours: Range, on: Hardware) -> Section:
    percent = (share * exact(1, "", "", "1")).named("utilisation", share.formula, share.source, unit="%")
    days = Line("days", time.calendar_days(hours, on.devices), f"on {on.devices}")
    return Section("Time", (Line("utilisation", percent), Line("device-hours", hours), days))


def _training_memory(held: Range, on: Hardware, method: str, zero: int, shaped: bool) -> Section:
    how = f"{method}{f', ZeRO-{zero}' if on.devices > 1 and method == 'full' else ''}"
    unseen = "" if shaped else "; activations not counted, since a bare size has no shape"
    room = exact(on.memory_gb, "GB", f"memory of {on.name}", on.source)
    answer = "yes" if held.high <= on.memory_gb else "no" if held.low > on.memory_gb else "tight"
    return Section(
        "Memory of one device",
        (Line("needed", held, how + unseen), Line("there is", room), Line("fits", answer)),
    )


def _training_energy(hours: Range, on: Hardware, grid: str, pue: float) -> Section:
    watts, measured = (on.chip.tdp_w, on.chip.measured_w) if on.chip else (None, None)
    known = measured or watts
    if known is None:
        return Section("Energy", (Line("electricity", f"unknown: no power rating of {on.name} is known"),))
    used = energy.energy(hours, energy.power(watts or known, measured), pue)
    facts = grid_of(grid)
    intensity = exact(facts.kg_per_kwh, "kgCO2e/kWh", f"grid of {facts.country}, {facts.year}", facts.source)
    return Section(
        "Energy",
        (
            Line("dynamic, with the room", used, f"PUE {pue:g}"),
            Line("emissions", energy.carbon(used, intensity), f"{facts.country}, {facts.year}"),
            Line("embodied, apart", energy.embodied(hours), "not in the emissions above"),
            Line("whole project", energy.development(used), "last run × what other projects took"),
        ),
    )


def _lifetime(active: float, tokens: float, served: float) -> Section:
    size, needed, saved = optimal.lifetime_optimum(active, tokens, served)
    return Section(
        "Over the lifetime",
        (
            Line("tokens served", exact(served, "token", "tokens served", "given")),
            Line("best size for the same loss", size),
            Line("trained on", needed),
            Line("operations saved", saved.to("%")),
        ),
    )


def _training_money(hours: Range, on: Hardware) -> Section:
    price = rent_price(on)
    if price is None:
        return Section(
            "Money", (Line("rent", "unknown: no dated price of this device in the atlas; give one with --price"),)
        )
    one = money.rent(hours, price)
    return Section(
        "Money",
        (Line("one run, rented", one, price.source), Line("a whole project", money.project(one), "1 to 20 runs")),
    )


def _accuracy() -> str:
    judged = sorted(one.factor for one in time.leave_one_out())
    middle, ninth = statistics.median(judged), judged[min(len(judged) - 1, math.ceil(0.9 * len(judged)) - 1)]
    return (
        f"Utilisation is learned from {len(judged)} published runs. Each predicted from the "
        f"others is off by a factor of {middle:.2f} in the "
        f"middle and of {ninth:.2f} for nine in ten."
    )
