# SPDX-License-Identifier: Apache-2.0
"""What it costs: a run, a project, buying, renting, asking somebody's API, and when one of them pays.

A project is more than its last run: Sharir et al. 2020 (arXiv:2004.08900, section 1) count twenty runs, two
configurations tried ten times; BLOOM's last run was 37 % of its project's energy (arXiv:2211.02001, Table 5).
"""

from __future__ import annotations

from dataclasses import dataclass

from bigenough.atlas.checks import positive
from bigenough.errors import BadOption
from bigenough.quantity.range import Range, between, exact

__all__ = [
    "Ownership",
    "api_cost",
    "api_request",
    "break_even",
    "break_even_requests",
    "capital",
    "hourly",
    "owned_hour",
    "project",
    "rent",
    "saved_by_owning",
]

_HOURS_A_YEAR = 8760.0


def rent(device_hours: Range | float, usd_per_hour: Range | float) -> Range:
    """Device-hours × the price of one.

    >>> rent(2.788e6, 2.0).mid
    5576000.0
    """
    hours = _as(device_hours, "device*h", "device-hours")
    price = _as(usd_per_hour, "USD/device/h", "price of a device-hour")
    return (hours * price).named("rent", "device-hours × price", "arithmetic", unit="USD")


def capital(devices: Range | float, usd_each: Range | float) -> Range:
    """The purchase of some devices; not the cost of a run on them."""
    many = _as(devices, "device", "devices")
    price = _as(usd_each, "USD/device", "price of one")
    return (many * price).named("purchase", "devices × price", "arithmetic", unit="USD")


def hourly(usd_per_year: float) -> Range:
    """The price of an hour that a yearly price implies, always on: / 8,760 h."""
    yearly = exact(positive("price of a year", usd_per_year), "USD/year", "price of a year", "given")
    return yearly.named("price of an hour", "price of a year / 8760", "always on", unit="USD/h")


def project(one_run: Range) -> Range:
    """From one run to a whole project of twenty: two configurations, ten runs each (Sharir et al. 2020)."""
    runs = between(
        1, 20, "", "runs", "one, to two configurations × ten runs: Sharir et al. 2020, arXiv:2004.08900 section 1"
    )
    return (one_run * runs).named("cost, one run to a whole project", "one run × 1 to 20", "arXiv:2004.08900 section 1")


@dataclass(frozen=True)
class Ownership:
    """What owning costs beside the purchase.

    Attributes:
        years: until a device is written off.
        busy: share of the time that it works.
        watts: of one device at work with its share of the computer.
        pue: of the room.
        usd_per_kwh: price of electricity.
        extra: yearly upkeep, space and people as a share of the purchase.
    """

    years: float = 4.0
    busy: float = 0.6
    watts: float = 700.0
    pue: float = 1.3
    usd_per_kwh: float = 0.15
    extra: float = 0.1

    def __post_init__(self) -> None:
        for name in ("years", "busy", "watts", "usd_per_kwh"):
            positive(name, getattr(self, name))
        if self.busy > 1:
            raise BadOption(f"busy={self.busy!r}: a share of the time is at most 1.")
        if self.pue < 1:
            raise BadOption(f"pue={self.pue!r}: a room cannot use less than the machines in it; expected 1 or more.")


def owned_hour(usd_each: Range | float, ownership: Ownership | None = None) -> Range:
    """The cost of a useful hour of a device that is owned: write-off and upkeep over busy hours, plus electricity."""
    own = ownership or Ownership()
    price = _as(usd_each, "USD/device", "price of one")
    told = f"write-off over {own.years:g} years, {own.extra:.0%} a year of upkeep, {own.busy:.0%} of hours busy"
    share = (1 / own.years + own.extra) / (_HOURS_A_YEAR * own.busy)
    spread = Range(
        0.7 * share, share, 1.5 * share, "1/h", name="share of the price that a busy hour bears", source=told
    )
    return ((price * spread).to("USD/device/h") + _electricity(own)).named(
        "cost of an owned hour", "price × share of a busy hour + electricity", told, unit="USD/device/h"
    )


def saved_by_owning(rented: Range, ownership: Ownership) -> Range:
    """What a year saves of a device that is owned instead of rented, always on: rent less electricity."""
    hours = exact(_HOURS_A_YEAR, "h/year", "hours of a year", "always on")
    one = exact(1, "device", "", "one")
    return ((rented - _electricity(ownership)) * hours * one).named(
        "saved a year", "(rent − electricity) × hours", "arithmetic; no upkeep", unit="USD/year"
    )


def _electricity(own: Ownership) -> Range:
    watts = exact(own.watts, "W/device", "power of one device", "data sheet: its limit")
    room = exact(own.pue, "", "PUE of the room", "a usual server room; ours", provenance="modelled")
    price = exact(
        own.usd_per_kwh,
        "USD/kWh",
        "price of electricity",
        "of firms, 0.08 to 0.25 by country; ours",
        provenance="modelled",
    )
    return (watts * room * price).named(
        "electricity of an hour", "power × PUE × price", "arithmetic", unit="USD/device/h"
    )


def api_cost(
    requests: float, prompt: float, answer: float, usd_per_million_in: float, usd_per_million_out: float
) -> Range:
    """The price of requests at an endpoint that charges by the token."""
    for name, value in (("requests", requests), ("prompt tokens", prompt), ("answer tokens", answer)):
        positive(name, value)
    if min(usd_per_million_in, usd_per_million_out) < 0:
        raise BadOption("A price is not negative.")
    cost = requests * (prompt * usd_per_million_in + answer * usd_per_million_out) / 1e6
    return exact(
        cost,
        "USD",
        "price of the endpoint",
        "requests × (tokens in × price + tokens out × price)",
        provenance="modelled",
    )


def api_request(prompt: int, answer: int, usd_per_million_in: float, usd_per_million_out: float, source: str) -> Range:
    """The price of one request at an endpoint that charges by the token, in USD a request.

    >>> round(api_request(1000, 300, 0.5, 1.5, "a price list").mid, 6)
    0.00095
    """
    enter = exact(positive("prompt tokens", prompt), "token/request", "tokens in", "given")
    leave = exact(positive("answer tokens", answer), "token/request", "tokens out", "given")
    price_in = exact(usd_per_million_in / 1e6, "USD/token", "price of a token in", source)
    price_out = exact(usd_per_million_out / 1e6, "USD/token", "price of a token out", source)
    return (enter * price_in + leave * price_out).named(
        "price of a request", "tokens in × price + tokens out × price", "arithmetic", unit="USD/request"
    )


def break_even(purchase_usd: Range | float, saved_usd_per_year: Range | float) -> Range:
    """Years until a purchase is paid by what it saves.

    >>> round(break_even(400_000, 87_000).mid, 1)
    4.6
    """
    price = _as(purchase_usd, "USD", "purchase")
    saved = _as(saved_usd_per_year, "USD/year", "saving a year")
    return (price / saved).named("break-even", "purchase / saving a year", "no interest", unit="year")


def break_even_requests(fixed: Range | float, each: Range | float, unit: str = "USD") -> Range:
    """Requests after which a fixed cost equals what requests cost, in any unit: money, or energy.

    >>> round(break_even_requests(59257, 1e-4, "kWh").mid)
    592570000
    """
    whole, one = _as(fixed, unit, "fixed cost"), _as(each, f"{unit}/request", "cost of one request")
    return (whole / one).named("break-even", "fixed / cost of one", "arithmetic", unit="request")


def _as(value: Range | float, unit: str, name: str) -> Range:
    return value if isinstance(value, Range) else exact(positive(name, value), unit, name, "given")
