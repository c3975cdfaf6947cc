# SPDX-License-Identifier: Apache-2.0
"""Buying, renting or asking an endpoint, side by side, and what writing costs in energy and money."""

from __future__ import annotations

from collections.abc import Sequence

from bigenough.atlas import energy, memory, money
from bigenough.atlas.facts import grid as grid_of
from bigenough.atlas.facts import prices
from bigenough.atlas.lines import Line, Section
from bigenough.atlas.precision import precision
from bigenough.atlas.records import Price
from bigenough.atlas.subject import Hardware, Subject
from bigenough.atlas.users import Load
from bigenough.quantity.range import Range, between, exact

__all__ = ["bargains", "cost_of_writing", "rent_price"]


def bargains(model: Subject, on: Hardware, held: Range, load: Load) -> list[Section]:
    """Buying, renting and asking an endpoint side by side, as far as the atlas has dated prices.

    Args:
        model: what is served.
        on: the kind of device.
        held: how many of them are bought or rented.
        load: what one request is, to count requests.
    """
    rented = rent_price(on)
    lines = [*_buying(on, held, rented), *_asking(model, held, rented, load)]
    return [Section("Buy, rent or ask", tuple(lines))] if lines else []


def _buying(on: Hardware, held: Range, rented: Range | None) -> list[Line]:
    found = _newest(prices(item=on.chip.name, kind="buy")) if on.chip else None
    if found is None or on.chip is None:
        return []
    watts, said = on.chip.tdp_w or 400.0, _said(found)
    price = exact(found.usd, "USD/device", "price of one", said)
    own = money.Ownership(watts=watts)
    lines = [
        Line("buy", money.capital(held, price), said),
        Line("a useful hour of an owned device", money.owned_hour(price, own), "over 4 years at 60 % busy"),
    ]
    if rented is not None:
        lines.append(Line("a rented hour", rented, rented.source))
        saved = money.saved_by_owning(rented, own)
        if saved.low > 0:
            one = (price * exact(1, "device", "", "one")).named("purchase of one", "price of one", said, unit="USD")
            lines.append(Line("buying pays after", money.break_even(one, saved), "against renting always on"))
    return lines


def _asking(model: Subject, held: Range, rented: Range | None, load: Load) -> list[Line]:
    """What an endpoint asks, and how much must be asked in a year before renting devices costs less."""
    out = _newest(prices(item=model.name, kind="api-out"))
    if out is None:
        return []
    said = _said(out)
    lines = [
        Line("an endpoint, a million tokens out", exact(out.usd, "USD", "price of a million tokens", said), said),
    ]
    if rented is None:
        return lines
    yearly = _rent_of_a_year(held, rented)
    token = exact(out.usd / 1e6, "USD/token", "price of a token", said)
    equal = (yearly / token).named("tokens a year", "rent of a year / price of a token", "arithmetic", unit="token")
    lines.append(Line("renting pays from, a year", equal, "tokens out; what enters is not counted"))
    enters = [
        one for one in prices(item=model.name, kind="api-in") if (one.provider, one.date) == (out.provider, out.date)
    ]
    if enters:
        each = money.api_request(load.prompt, load.answer, enters[0].usd, out.usd, said)
        asked = (yearly / each).named(
            "requests a year", "rent of a year / price of a request", "arithmetic", unit="request"
        )
        told = f"each {load.prompt:,} tokens in and {load.answer:,} out; always on, if the devices keep up"
        lines.append(Line("the same in requests", asked, told))
    return lines


def cost_of_writing(model: Subject, on: Hardware, held: Range, how: str, grid: str, pue: float) -> Section:
    """Energy, emissions and rent of serving on so many devices."""
    lines: list[Line] = []
    if on.bandwidth_gb_s and on.chip and on.chip.tdp_w:
        size = memory.weights(model.active_count, precision(how))
        bandwidth = exact(on.bandwidth_gb_s, "GB/s", f"bandwidth of {on.name}", on.source)
        one = energy.energy_per_token(size, bandwidth, on.chip.tdp_w, pue=pue)
        facts = grid_of(grid)
        million = (exact(1e6, "token", "a million tokens", "unit") * one).named(
            "energy of a million tokens", "10^6 × one", "arithmetic", unit="kWh"
        )
        intensity = exact(facts.kg_per_kwh, "kgCO2e/kWh", f"grid of {facts.country}, {facts.year}", facts.source)
        emitted = energy.carbon(million, intensity).to("kgCO2e")
        lines += [
            Line("energy of a million tokens", million, f"1 to 64 users at once; dynamic, PUE {pue:g}"),
            Line("emissions", emitted, f"{facts.country}, {facts.year}; making the devices not counted"),
        ]
    price = rent_price(on)
    if price is None:
        lines.append(Line("rent", "unknown: no dated price of this device in the atlas; give one with --price"))
    else:
        a_year = _rent_of_a_year(held, price) / exact(1, "year", "", "one")
        told = f"{held.mid:,.0f} device{'s' if held.mid > 1 else ''}"
        yearly = a_year.named("rent of a year", "devices × hours × price", price.source, unit="USD/year")
        lines.append(Line("rent, always on", yearly, told))
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
    source = "; ".join(_said(one) for one in recent)
    return between(min(values), max(values), "USD/device/h", f"price of {on.chip.name}", source)


def _rent_of_a_year(held: Range, price: Range) -> Range:
    hours = (held * exact(8760, "h", "hours of a year", "always on")).named(
        "device-hours of a year", "devices × hours", "always on", unit="device*h"
    )
    return money.rent(hours, price)


def _newest(found: Sequence[Price]) -> Price | None:
    return max(found, key=lambda one: one.date) if found else None


def _said(price: Price) -> str:
    return f"{price.provider} {price.date}"
