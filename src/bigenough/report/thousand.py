# SPDX-License-Identifier: Apache-2.0
"""The section on 1,000 requests: money, energy and emissions of every rung in one unit, and when one has paid back.

What runs here is charged for its electricity at least, and for rented cores at most:

    electricity = energy × price of a kWh
    rented = seconds × threads × price of a thread-hour

since who owns an idle machine pays the first, and who rents one the second. What runs elsewhere costs what its tokens
cost. The prices are the atlas's, dated; nothing here decides anything.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bigenough.atlas.facts import price, prices
from bigenough.atlas.records import Price
from bigenough.measure.payback import payback
from bigenough.quantity import Quantity, modelled, unknown
from bigenough.report.markup import Html, element, join, table
from bigenough.report.numbers import carbon, energy, keep_together, quantity
from bigenough.report.view import Contender, View

__all__ = ["dollars", "local_usd", "thousand"]

RENTED = "server CPU 256GB"
RENTED_THREADS = 32
"""Hardware threads of the machine whose hour the atlas has a price for."""
REQUESTS = 1000


def thousand(view: View) -> Html:
    """A line for each candidate, and what it takes until the chosen one has paid back its making."""
    shown = [one for one in view.contenders if one.files.performance]
    if not shown:
        return element("p", "Nothing was measured in this study.", class_="note")
    rows = [
        [
            element("strong", one.name),
            quantity(_usd(one, view).to_json(), dollars),
            quantity(one.figure("serve_wh_per_1000"), energy),
            quantity(one.figure("serve_co2e_g_per_1000"), carbon),
        ]
        for one in shown
    ]
    taken = table("Money, energy and emissions", ["Rung", "Money", "Energy", "CO₂e"], rows, kind="pinned")
    return join([taken, _pays_back(view), element("p", _prices_told(), class_="note")])


def dollars(usd: float) -> str:
    """An amount of money with few digits.

    >>> dollars(1.5e-7), dollars(0.000412), dollars(0.41), dollars(12.5), dollars(4200.0)
    ('below 0.0001 USD', '0.00041 USD', '0.41 USD', '12.50 USD', '4,200 USD')
    """
    if 0 < usd < 1e-4:
        return "below 0.0001 USD"
    if usd >= 1000:
        return f"{usd:,.0f} USD"
    return f"{usd:.2f} USD" if usd >= 1 else f"{usd:.2g} USD"


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
    cheapest = min(_electricity(), key=lambda each: each.usd)
    low = (wh.low if wh.low is not None else wh.value) / 1000 * cheapest.usd
    told = f"{source}; the low end is electricity alone, at {cheapest.usd:g} USD a kWh ({cheapest.source})"
    return modelled(max(rented, low), "USD", told, low=low, high=max(rented, low))


def _electricity() -> tuple[Price, ...]:
    return prices(kind="electricity")


def _usd(one: Contender, view: View) -> Quantity:
    told = one.figure("serve_usd_per_1000")
    if told is not None:
        return Quantity.from_json(_as_quantity(told))
    latency, wh = one.value("latency_p50_ms"), one.figure("serve_wh_per_1000")
    if latency is None or wh is None:
        return unknown("USD", "its time or energy was not measured")
    return local_usd(
        latency / 1000 * REQUESTS, _threads(view), Quantity.from_json(_as_quantity(wh)), "1,000 single rows, one by one"
    )


def _threads(view: View) -> int:
    options = view.files.study.get("options") or {}
    machine = view.files.study.get("machine") or {}
    return int(options.get("threads") or machine.get("cores") or 1)


def _pays_back(view: View) -> Html | None:
    """Against what runs elsewhere: requests until making and serving the chosen one is cheaper than asking it."""
    remote = next((one for one in view.contenders if one.files.candidate.get("remote")), None)
    chosen = view.winner or view.safe
    if remote is None or chosen is None or chosen is remote:
        return None
    line = _line_of(chosen, view)
    if not all(one.files.candidate.get("energy") for one in line):
        return None
    made = {f"making {one.name}": _making_usd(one, view) for one in line}
    money = payback(made, _usd(chosen, view), _usd(remote, view))
    served = [one.figure("serve_co2e_g_per_1000") for one in (chosen, remote)]
    sentences = [f"In money: {money.sentence}"]
    if all(each is not None for each in served):
        mine, theirs = (Quantity.from_json(_as_quantity(each)) for each in served if each is not None)
        spent = {f"making {one.name}": _spent(one, "co2e_g") for one in line}
        sentences.append(f"In CO₂e: {payback(spent, mine, theirs).sentence}")
    head = element("p", f"{chosen.name} against {remote.name}, request by request:")
    return join([head, element("ul", *(element("li", keep_together(each)) for each in sentences))])


def _line_of(one: Contender, view: View) -> list[Contender]:
    """A candidate and those it was made from: what was spent on them was spent for it."""
    by_home = {each.files.home: each for each in view.contenders if each.files.home}
    line = [one]
    while (parent := by_home.get(line[-1].files.candidate.get("made_from") or "")) is not None and parent not in line:
        line.append(parent)
    return [each for each in line if not each.files.candidate.get("remote")]


def _making_usd(one: Contender, view: View) -> Quantity:
    record = one.files.candidate
    seconds = sum(float(record.get(f"{part}_seconds") or 0.0) for part in ("search", "curve", "fit"))
    return local_usd(seconds, _threads(view), _spent(one, "wh"), "search, learning curve and last fit")


def _spent(one: Contender, what: str) -> Quantity:
    return Quantity.from_json(_as_quantity(one.files.candidate["energy"][what]))


def _as_quantity(data: Mapping[str, Any]) -> Any:
    return {"low": None, "high": None, **data}


def _prices_told() -> str:
    hour = price(RENTED, "rent")
    return (
        f"Money of what runs here is modelled: rented cores at {hour.usd / RENTED_THREADS:.3g} USD a thread-hour "
        f"({hour.provider}, {hour.date}); with an idle machine of your own it is the electricity alone, told in each "
        "figure's title. Labels and people's time are not counted."
    )
