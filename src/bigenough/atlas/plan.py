# SPDX-License-Identifier: Apache-2.0
"""A whole plan of what serving a model takes, section by section."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from bigenough.atlas import compute, optimal, speed, tiers, users
from bigenough.atlas.bargain import bargains, cost_of_writing
from bigenough.atlas.fit import Fit, devices_needed, fit, serving_memory
from bigenough.atlas.lines import Line, Plan, Section
from bigenough.atlas.shape import parameters
from bigenough.atlas.sizing import Copy, Sized, size_pool
from bigenough.atlas.subject import Hardware, Subject
from bigenough.errors import BadOption
from bigenough.quantity.range import Range, exact

__all__ = ["Line", "Plan", "Section", "Serving", "called", "optimality", "serving_plan"]


@dataclass(frozen=True)
class Serving:
    """How a model is to be served.

    Attributes:
        how: precision of the weights.
        context: tokens of one sequence; the model's own limit up to 8,192, or 2,048 when unknown, if 0.
        sequences: written side by side.
        load: what users do, to size a pool.
        grid: a country, or ``world``.
        pue: of the room.
        borders: where tiers begin.
        device: a measured device, in place of the data sheet's.
        writing: tokens per second of one user by a probe of the runtime, in place of the roofline.
        arithmetic: operations per second measured on an encoder's products; without it no speed of encoders is told.
    """

    how: str = "bf16"
    context: int = 0
    sequences: int = 1
    load: users.Load | None = None
    grid: str = "world"
    pue: float = 1.3
    borders: tiers.Borders = tiers.BORDERS_2023
    device: speed.Device | None = None
    writing: Range | None = None
    arithmetic: Range | None = None


def serving_plan(model: Subject, on: Hardware, asked: Serving = Serving()) -> Plan:
    """What serving a model on some devices takes: memory, fit, speed, devices for users, money, energy."""
    asked = replace(asked, context=_context(model, asked.context))
    if not compute.works_on_tokens(model.architecture):
        return _by_memory(model, on, asked)
    fills = {"context": asked.context, "sequences": asked.sequences}
    parts = serving_memory(model.count, asked.how, model.shape, devices=on.devices, **fills)
    room = fit(parts, on.box)
    needed = devices_needed(model.count, asked.how, model.shape, on.memory_gb, is_host=on.box.is_host, **fills)
    holding = on.devices if room.fits else needed
    sections = [_size(model, asked), _memory(parts, room, needed, on)]
    sections += _running(model, on, asked, needed, holding)
    if asked.load is not None and not any(section.title == "Users" for section in sections):
        sections.append(Section("Users", (Line("devices", f"not planned: {_no_pool(model, asked)}"),)))
        asked = replace(asked, load=None)
    if model.tokens:
        seen = exact(model.tokens, "token", "tokens seen", model.tokens_source)
        sections.append(optimality(model.active_count, seen))
    return Plan(f"{model.name} on {called(on)}", tuple(sections), _assumptions(asked))


def _running(model: Subject, on: Hardware, asked: Serving, needed: int | None, holding: int | None) -> list[Section]:
    """Speed, users, money and energy, as far as they are known, on ``holding`` devices."""
    if (model.shape is not None and model.shape.kind == "encoder") or not compute.writes(model.architecture):
        lines = [Line("writing", "does not write: it reads what it is given once")]
        if asked.arithmetic is not None and model.shape is not None:
            rows = speed.encoding(asked.arithmetic, model.shape, asked.context)
            lines.append(Line("reading", rows, f"in batches of rows of {asked.context:,} tokens"))
        return [Section("Speed", tuple(lines))]
    if asked.writing is not None:
        told = f"short context; from {asked.writing.source}"
        return [Section("Speed", (Line("writing, one user", asked.writing, told),))]
    runs_on = asked.device or (on.device(holding) if holding else None)
    if runs_on is None or holding is None or needed is None:
        told = "unknown: the bandwidth of the device is not known; see --calibrate"
        return [Section("Speed", (Line("writing", told),))]
    sections = [_speed(Copy.of(model, asked.how, runs_on), asked.context, asked.sequences)]
    held = exact(holding, "device", "devices for one copy", "memory", provenance="modelled")
    if asked.load is not None:
        sized = size_pool(model, asked.how, on, needed, asked.load) if on.peak_tflops else None
        sections.append(_users(sized, on, needed, asked.load))
        held = sized.pool.devices if sized else held  # what is paid for is the pool, not one copy
    load = asked.load or users.Load(1)
    return [
        *sections,
        *bargains(model, on, held, load),
        cost_of_writing(model, on, held, asked.how, asked.grid, asked.pue),
    ]


def _no_pool(model: Subject, asked: Serving) -> str:
    if asked.writing is not None and compute.writes(model.architecture):
        return "the probe tells what one user gets, not what many get side by side"
    return "how fast this model writes on these devices is not known, or it does not write"


def _by_memory(model: Subject, on: Hardware, asked: Serving) -> Plan:
    """The plan of a model that no token passes through: weights and runtime, and no speed."""
    parts = serving_memory(model.count, asked.how, None, devices=on.devices)
    held = (parts[0], parts[-1])
    room = fit(held, on.box)
    each = room.room.mid / on.devices - parts[-1].mid / on.devices
    needed = math.ceil(parts[0].mid / each) if each > 0 else None
    tables = "embedding tables" in model.architecture
    tier = "set apart" if tables else str(tiers.tier_by_count(model.params, asked.borders))
    why = "tables, of which a request touches a few rows" if tables else "sizes of such models compare with no other"
    count = Line("parameters", model.count)
    sections = (
        Section("Size", (count, Line("tier by count", tier, why))),
        _memory(held, room, needed, on),
        Section("Speed", (Line("speed", f"not planned: {model.architecture} does not work through tokens"),)),
    )
    return Plan(f"{model.name} on {called(on)}", sections, ("Planned by memory alone.", "GB are 10^9 bytes."))


def _size(model: Subject, asked: Serving) -> Section:
    one = tiers.tier_by_fit(model.params, model.shape, how=asked.how, context=asked.context)
    lines = [Line("parameters", model.count)]
    if model.active != model.params:
        lines.append(Line("active for a token", model.active_count))
    if model.shape:
        shape = model.shape
        counted = parameters(shape).total
        told = (
            f"{shape.layers} layers, hidden {shape.hidden}, {shape.heads} heads "
            f"({shape.attention}), {shape.vocab:,} tokens; counted {counted:,}"
        )
        lines.append(Line("shape", told, "modelled: every matrix, bias and norm of the family"))
    told = f"{asked.how}, {asked.context:,} tokens, one sequence"
    lines.append(Line("tier by count", str(tiers.tier_by_count(model.params, asked.borders))))
    lines.append(Line("tier by fit", f"on one 80 GB accelerator: {one.answer}", told))
    return Section("Size", tuple(lines))


def _memory(parts: Sequence[Range], room: Fit, needed: int | None, on: Hardware) -> Section:
    lines = [Line(part.name, part) for part in parts]
    lines += [Line("needed", room.need), Line("there is", room.room), Line("fits", room.answer)]
    told = "none: the runtime alone fills a device" if needed is None else f"{needed:,} of {on.memory_gb:g} GB"
    lines.append(Line("fewest devices", told, "modelled"))
    return Section("Memory", tuple(lines))


def _speed(copy: Copy, context: int, sequences: int) -> Section:
    writing = copy.writing(context, sequences)
    whole = (copy.device.bandwidth * float(copy.device.devices)).to("GB/s")
    lines = [
        Line(
            "writing, one user",
            writing.each,
            f"at {context:,} tokens of context{_spread(copy)}; held up by {writing.bound_by}",
        ),
        Line("bandwidth bound", speed.bandwidth_bound(copy.weights, whole), "never faster than this"),
    ]
    if copy.device.peak is None:
        lines.append(Line("time to the first token", "unknown: the arithmetic of the device is not known"))
    else:
        prompt = min(context, 1000)
        lines.append(Line("time to the first token", copy.reading(prompt), f"prompt of {prompt:,} tokens"))
    if sequences > 1:
        lines.insert(1, Line("writing, all together", writing.together, f"{sequences} side by side"))
    return Section("Speed", tuple(lines))


def _spread(copy: Copy) -> str:
    return f"; one copy on {copy.device.devices} devices" if copy.device.devices > 1 else ""


def _users(sized: Sized | None, on: Hardware, fewest: int, load: users.Load) -> Section:
    if not on.peak_tflops:
        told = "not planned: a pool is sized by the arithmetic on a data sheet, and none is known of this device"
        return Section("Users", (Line("devices", told),))
    if sized is None:
        told = (
            f"not with {on.name}: one user alone gets fewer than {load.tokens_per_s:g} tokens a second on "
            f"up to {8 * fewest} of them, or nothing is left for a cache"
        )
        return Section("Users", (Line("devices", told),))
    pool, devices = sized.pool, sized.devices
    return Section(
        "Users",
        (
            Line("users", f"{load.users:,}", "given"),
            Line("time of a request", sized.service),
            Line("requests in flight", pool.in_flight, "95th percentile"),
            Line("side by side on one copy", f"{pool.sequences}", "modelled"),
            Line("copies", pool.replicas, f"{devices} device{'s' if devices > 1 else ''} each"),
            Line("devices", pool.devices, pool.assumption),
        ),
    )


def optimality(active: Range, tokens: Range) -> Section:
    """Whether some tokens were a good use of the budget."""
    factor = optimal.training_factor(active, tokens)
    size, best = optimal.budget_optimum(6 * active.mid * tokens.mid)
    return Section(
        "Use of the training budget",
        (
            Line("tokens over the optimum", factor, optimal.verdict(active.mid, tokens.mid)),
            Line("the same budget at its best", size),
            Line("with", best),
        ),
    )


def _assumptions(asked: Serving) -> tuple[str, ...]:
    told = [
        f"Weights {asked.how}, cache 16-bit, {asked.context:,} tokens of context, {asked.sequences} "
        f"sequence{'s' if asked.sequences > 1 else ''}.",
        "Ranges span runtimes and devices; memory counts GB of 10^9 bytes.",
    ]
    if asked.load is not None:
        told.append("Users: see the queueing assumption beside the devices.")
    return tuple(told)


def _context(model: Subject, asked: int) -> int:
    """Tokens of one sequence: as asked for, else a usual length that the model was made for."""
    limit = model.shape.context if model.shape else 0
    if limit and asked > limit:
        raise BadOption(f"{model.name} was made for {limit:,} tokens; a context of {asked:,} is beyond it.")
    return asked or (min(limit, 8192) if limit else 2048)


def called(on: Hardware) -> str:
    """Devices in words."""
    return on.name if on.devices == 1 else f"{on.devices} × {on.name}"
