# SPDX-License-Identifier: Apache-2.0
"""What 1,000 requests of a rung take: money, energy and emissions, in one unit for all of them.

What runs here is charged for its electricity at least, and for rented cores at most:

    electricity = energy × price of a kWh
    rented = seconds × threads × price of a thread-hour

since who owns an idle machine pays the first, and who rents one the second. What runs elsewhere costs what its tokens
cost. The prices are the atlas's, dated.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bigenough.atlas.facts import price, prices
from bigenough.quantity import Quantity, modelled, unknown
from bigenough.report.files import Json
from bigenough.report.view import Contender, View

__all__ = ["REQUESTS", "as_quantity", "local_usd", "per_thousand", "prices_told", "threads_of"]

RENTED = "server CPU 256GB"
RENTED_THREADS = 32
"""Hardware threads of the machine whose hour the atlas has a price for."""
REQUESTS = 1000


def per_thousand(one: Contender, view: View) -> Mapping[str, Quantity]:
    """Money, energy and emissions of 1,000 requests: ``usd``, ``wh`` and ``co2e_g``, each known or not."""
    unmeasured = "it was not measured in this study"
    served = {
        "wh": one.figure("serve_wh_per_1000") or unknown("Wh", unmeasured).to_json(),
        "co2e_g": one.figure("serve_co2e_g_per_1000") or unknown("g CO2e", unmeasured).to_json(),
    }
    return {"usd": _usd(one, view), **{name: as_quantity(figure) for name, figure in served.items()}}


def local_usd(seconds: float, threads: int, wh: Quantity, what: str) -> Quantity:
    """What some work on this kind of machine costs: from its electricity alone to rented cores, which is the value.

    >>> from bigenough.quantity import modelled
    >>> found = local_usd(3600.0, 2, modelled(10.0, "Wh", "an example"), "an hour")
    >>> round(found.value, 3), round(found.low, 4)
    (0.089, 0.0013)
    """
    hour = price(RENTED, "rent")
    rented = seconds / 3600 * threads * hour.usd / RENTED_THREADS
    source = (
        f"{what}: {seconds:.3g} s × {threads} threads × {hour.usd / RENTED_THREADS:.3g} USD a thread-hour "
        f"({hour.source}, {hour.date})"
    )
    if wh.value is None:
        return modelled(rented, "USD", source)
    cheapest = min(prices(kind="electricity"), key=lambda each: each.usd)
    low = (wh.low if wh.low is not None else wh.value) / 1000 * cheapest.usd
    told = f"{source}; the low end is electricity alone, at {cheapest.usd:g} USD a kWh ({cheapest.source})"
    return modelled(max(rented, low), "USD", told, low=low, high=max(rented, low))


def threads_of(view: View) -> int:
    """How many threads the study ran on."""
    options = view.files.study.get("options") or {}
    machine = view.files.study.get("machine") or {}
    return int(options.get("threads") or machine.get("cores") or 1)


def prices_told() -> str:
    """Where the money of what runs here comes from."""
    hour = price(RENTED, "rent")
    return (
        f"Money of what runs here is modelled: rented cores at {hour.usd / RENTED_THREADS:.3g} USD a thread-hour "
        f"({hour.provider}, {hour.date}); with an idle machine of your own it is the electricity alone, the low end. "
        "Labels and people's time are not counted."
    )


def as_quantity(data: Json) -> Quantity:
    """A figure of a study's files, whose ends may be missing."""
    told: Any = {"low": None, "high": None, **data}
    return Quantity.from_json(told)


def _usd(one: Contender, view: View) -> Quantity:
    told = one.figure("serve_usd_per_1000")
    if told is not None:
        return as_quantity(told)
    latency, wh = one.value("latency_p50_ms"), one.figure("serve_wh_per_1000")
    if latency is None or wh is None:
        return unknown("USD", "its time or energy was not measured")
    what = "1,000 single rows, one by one"
    return local_usd(latency / 1000 * REQUESTS, threads_of(view), as_quantity(wh), what)
