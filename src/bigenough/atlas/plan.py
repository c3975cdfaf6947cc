# SPDX-License-Identifier: Apache-2.0
"""A whole plan of what serving a model takes, section by section."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from bigenough.atlas import compute, energy, memory, money, optimal, speed, tiers, users
from bigenough.atlas.facts import grid as grid_of
from bigenough.atlas.facts import prices
from bigenough.atlas.fit import Fit, devices_needed, fit, serving_memory
from bigenough.atlas.precision import precision
from bigenough.atlas.shape import parameters
from bigenough.atlas.sizing import Copy, size_pool
from bigenough.atlas.subject import Hardware, Subject
from bigenough.errors import BadOption
from bigenough.quantity.range import Range, between, exact

__all__ = ["Line", "Plan", "Section", "Serving", "called", "optimality", "rent_price", "serving_plan"]


@dataclass(frozen=True)
class Line:
    """One figure, or one answer in words, and what to know about it."""

    label: str
    figure: Range | str
    note: str = ""

    def to_json(self) -> dict[str, Any]:
        """The line as plain JSON values."""
        told = self.figure if isinstance(self.figure, str) else self.figure.to_json()
        return {"label": self.label, "figure": told, "note": self.note}


@dataclass(frozen=True)
class Section:
    """Lines that belong together."""

    title: str
    lines: tuple[Line, ...]


@dataclass(frozen=True)
class Plan:
    """What a model takes.

    Attributes:
        title: what was asked.
        sections: the figures.
        assumptions: what was taken for granted, to be read.
    """

    title: str
    sections: tuple[Section, ...]
    assumptions: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """The plan as plain JSON values."""
        sections = [{"title": one.title, "lines": [line.to_json() for line in one.lines]} for one in self.sections]
        return {"format": 1, "title": self.title, "sections": sections, "assumptions": list(self.assumptions)}


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


def serving_plan(model: Subject, on: Hardware, asked: Serving = Serving()) -> Plan:
    """What serving a model on some devices takes: memory, fit, speed, devices for users, money, energy."""
    asked = replace(asked, context=_context(model, asked.context))
    if not compute.works_on_tokens(model.architecture):
        return _by_memory(model, on, asked)
    fills = {"context": asked.context, "sequences": asked.sequences}
    parts = serving_memory(model.params, asked.how, model.shape, devices=on.devices, **fills)
    room = fit(parts, on.box)
    needed = devices_needed(model.params, asked.how, model.shape, on.memory_gb, **fills)
    holding = on.devices if room.fits else needed
    sections = [_size(model, asked), _memory(parts, room, needed, on)]
    sections += _running(model, on, asked, needed, holding)
    if asked.load is not None and not any(section.title == "Users" for section in sections):
        told = "not planned: how fast this model writes on these devices is not known, or it does not write"
        sections.append(Section("Users", (Line("devices", told),)))
        asked = replace(asked, load=None)
    if model.tokens:
        sections.append(optimality(model.active, model.tokens))
    return Plan(f"{model.name} on {called(on)}", tuple(sections), _assumptions(asked))


def _running(model: Subject, on: Hardware, asked: Serving, needed: int | None, holding: int | None) -> list[Section]:
    """Speed, users, money and energy, as far as they are known, on ``holding`` devices."""
    if (model.shape is not None and model.shape.kind == "encoder") or not compute.writes(model.architecture):
        return [Section("Speed", (Line("writing", "does not write: it reads what it is given once"),))]
    if asked.writing is not None:
        told = f"short context; from {asked.writing.source}"
        return [Section("Speed", (Line("writing, one user", asked.writing, told),))]
    runs_on = asked.device or (on.device(holding) if holding else None)
    if runs_on is None or holding is None or needed is None:
        told = "unknown: the bandwidth of the device is not known; see --calibrate"
        return [Section("Speed", (Line("writing", told),))]
    sections = [_speed(Copy.of(model, asked.how, runs_on), asked.context, asked.sequences)]
    if asked.load is not None:
        sections.append(_users(model, asked.how, on, needed, asked.load))
    return [*sections, *_bargains(model, on, holding), _cost_of_writing(model, on, holding, asked)]


def _by_memory(model: Subject, on: Hardware, asked: Serving) -> Plan:
    """The plan of a model that no token passes through: weights and runtime, and no speed."""
    parts = serving_memory(model.params, asked.how, None, devices=on.devices)
    held = (parts[0], parts[-1])
    needed = math.ceil(parts[0].mid / max(on.memory_gb - parts[-1].mid / on.devices, 1e-9))
    tables = "embedding tables" in model.architecture
    tier = "set apart" if tables else str(tiers.tier_by_count(model.params, asked.borders))
    why = "tables, of which a request touches a few rows" if tables else "sizes of such models compare with no other"
    count = Line("parameters", exact(model.params, "param", "parameters", model.source))
    sections = (
        Section("Size", (count, Line("tier by count", tier, why))),
        _memory(held, fit(held, on.box), needed if on.memory_gb > parts[-1].mid / on.devices else None, on),
        Section("Speed", (Line("speed", f"not planned: {model.architecture} does not work through tokens"),)),
    )
    return Plan(f"{model.name} on {called(on)}", sections, ("Planned by memory alone.", "GB are 10^9 bytes."))


def _size(model: Subject, asked: Serving) -> Section:
    total = exact(model.params, "param", "parameters", model.source)
    one = tiers.tier_by_fit(model.params, model.shape, how=asked.how, context=asked.context)
    lines = [Line("parameters", total)]
    if model.active != model.params:
        lines.append(Line("active for a token", exact(model.active, "param", "active parameters", model.source)))
    if model.shape:
        shape = model.shape
        counted = parameters(shape).total
        told = (
            f"{shape.layers} layers, hidden {shape.hidden}, {shape.heads} heads "
            f"({shape.attention}), {shape.vocab:,} tokens; counted {counted:,}"
        )
        lines.append(Line("shape", told))
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
        Line("writing, one user", writing.each, f"at {context:,} tokens of context; held up by {writing.bound_by}"),
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


def _users(model: Subject, how: str, on: Hardware, fewest: int, load: users.Load) -> Section:
    if not on.peak_tflops:
        return Section("Users", (Line("devices", "unknown: the arithmetic of the device is not known"),))
    sized = size_pool(model, how, on, fewest, load)
    if sized is None:
        told = (
            f"not with {on.name}: one user alone gets fewer than {load.tokens_per_s:g} tokens a second on "
            f"up to {8 * fewest} of them, or nothing is left for a cache"
        )
        return Section("Users", (Line("devices", told),))
    pool, service, devices = sized
    return Section(
        "Users",
        (
            Line("users", f"{load.users:,}", "given"),
            Line("time of a request", service),
            Line("requests in flight", pool.in_flight, "95th percentile"),
            Line("side by side on one copy", f"{pool.sequences}", "modelled"),
            Line("copies", pool.replicas, f"{devices} device{'s' if devices > 1 else ''} each"),
            Line("devices", pool.devices, pool.assumption),
        ),
    )


def _bargains(model: Subject, on: Hardware, holding: int) -> list[Section]:
    """Buying, renting and asking an endpoint side by side, as far as the atlas has dated prices."""
    lines: list[Line] = []
    rented = rent_price(on)
    bought = prices(item=on.chip.name, kind="buy") if on.chip else ()
    if bought:
        newest = max(bought, key=lambda one: one.date)
        watts = on.chip.tdp_w if on.chip and on.chip.tdp_w else 400.0
        owned = money.owned_hour(newest.usd, money.Ownership(watts=watts))
        lines.append(Line("buy", money.capital(holding, newest.usd), f"{newest.provider} {newest.date}"))
        lines.append(Line("a useful hour of an owned device", owned, "over 4 years at 60 % busy"))
        if rented is not None:
            lines.append(Line("a rented hour", rented, rented.source))
            saved = 8760 * (rented.mid - watts / 1000 * 1.3 * 0.15)
            if saved > 0:
                lines.append(
                    Line("buying pays after", money.break_even(newest.usd, saved), "against renting always on")
                )
    asked = prices(item=model.name, kind="api-out")
    if asked:
        newest = max(asked, key=lambda one: one.date)
        endpoint = exact(newest.usd / 1e6, "USD/token", "price of a token", f"{newest.provider} {newest.date}")
        lines.append(
            Line(
                "an endpoint, a million tokens out",
                exact(newest.usd, "USD", "price of a million tokens", f"{newest.provider} {newest.date}"),
                f"{newest.provider} {newest.date}",
            )
        )
        if rented is not None:
            yearly = rented * exact(holding * 8760, "device*h", "device-hours of a year", "always on")
            equal = (yearly / endpoint).named(
                "tokens a year", "rent of a year / price of a token", "arithmetic", unit="token"
            )
            lines.append(Line("renting pays from, a year", equal, "tokens out; what enters is not counted"))
    return [Section("Buy, rent or ask", tuple(lines))] if lines else []


def _cost_of_writing(model: Subject, on: Hardware, holding: int, asked: Serving) -> Section:
    held = memory.weights(model.active, precision(asked.how))
    lines: list[Line] = []
    if on.bandwidth_gb_s and on.chip and on.chip.tdp_w:
        bandwidth = exact(on.bandwidth_gb_s, "GB/s", f"bandwidth of {on.name}", on.source)
        one = energy.energy_per_token(held, bandwidth, on.chip.tdp_w, pue=asked.pue)
        facts = grid_of(asked.grid)
        million = (exact(1e6, "token", "a million tokens", "unit") * one).named(
            "energy of a million tokens", "10^6 × one", "arithmetic", unit="kWh"
        )
        intensity = exact(facts.kg_per_kwh, "kgCO2e/kWh", f"grid of {facts.country}, {facts.year}", facts.source)
        emitted = energy.carbon(million, intensity).to("kgCO2e")
        lines += [
            Line("energy of a million tokens", million, "1 to 64 users at once"),
            Line("emissions", emitted, facts.country),
        ]
    price = rent_price(on)
    if price is not None:
        yearly = money.rent(exact(holding * 8760, "device*h", "device-hours of a year", "always on"), price)
        lines.append(
            Line(
                "rent, always on",
                (yearly / exact(1, "year", "", "one")).named(
                    "rent of a year", yearly.formula, price.source, unit="USD/year"
                ),
            )
        )
    else:
        lines.append(Line("rent", "unknown: no dated price of this device in the atlas"))
    return Section("Energy and money of serving", tuple(lines))


def rent_price(on: Hardware) -> Range | None:
    """The rent of a device: as given, else what its newest prices in the atlas span; ``None`` when there is none."""
    if on.usd_per_hour is not None:
        return exact(on.usd_per_hour, "USD/device/h", "price", "given")
    if on.chip is None:
        return None
    found = [one for one in prices(item=on.chip.name, kind="rent") if one.per == "device*h"]
    if not found:
        return None
    newest = max(one.date for one in found)[:4]
    recent = [one for one in found if one.date[:4] == newest]
    values = [one.usd for one in recent]
    source = "; ".join(f"{one.provider} {one.date}" for one in recent)
    return between(min(values), max(values), "USD/device/h", f"price of {on.chip.name}", source)


def optimality(active: float, tokens: float) -> Section:
    """Whether some tokens were a good use of the budget."""
    factor = optimal.training_factor(active, tokens)
    size, best = optimal.budget_optimum(6 * active * tokens)
    return Section(
        "Use of the training budget",
        (
            Line("tokens over the optimum", factor, optimal.verdict(active, tokens)),
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
