# SPDX-License-Identifier: Apache-2.0
"""The bill of the giants: the essays' own figures, computed again from the atlas.

Each item keeps what was said, what follows from published facts, by which formula, and what to make of it. Nothing
here is measured by us.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

from bigenough.atlas.facts import accelerator as device
from bigenough.atlas.facts import equivalent, machine, model, price
from bigenough.atlas.records import Equivalent, MachineFacts
from bigenough.quantity import Quantity, modelled, published, unknown

__all__ = ["BillItem", "in_equivalent", "items"]

POUND_KG = 0.45359237
HOURS_A_YEAR = 8760


@dataclass(frozen=True)
class BillItem:
    """A figure of an essay, computed again.

    Attributes:
        essay: its key.
        claim: what the essay says.
        said: the figure it gives.
        recomputed: what follows from published facts.
        formula: how, with the numbers in it.
        verdict: what to make of it.
        holds: whether the figure stands as the essay uses it; ``None`` where it is only half of the matter.
    """

    essay: str
    claim: str
    said: Quantity
    recomputed: Quantity
    formula: str
    verdict: str
    holds: bool | None

    def to_json(self) -> dict[str, Any]:
        """The item as plain JSON values."""
        told = {field.name: getattr(self, field.name) for field in fields(self)}
        return told | {"said": self.said.to_json(), "recomputed": self.recomputed.to_json()}


def items() -> tuple[BillItem, ...]:
    """Every item of the bill, what serving takes first."""
    return (
        _compressed_bloom(),
        _gpt3_in_a_box(),
        _gpt3_on_an_instance(),
        _a_year_of_gpt3(),
        _years_to_buy(),
        *_training(),
        *_carbon(),
        _orders(),
    )


def in_equivalent(name: str, one: Equivalent) -> Quantity:
    """The published energy or emissions of a model's training in something that a reader knows: an equivalent, no more.

    >>> round(in_equivalent("GPT-3", equivalent("car")).value, 1)
    9.7
    """
    row = model(name)
    spent = row.fact("co2e_t") if one.unit == "kg CO2e" else row.fact("energy_mwh")
    if spent.value is None:
        return unknown("times", spent.source)
    amount = spent.value * 1000  # kg or kWh
    each = one.value * HOURS_A_YEAR / 1000 if one.unit == "W" else one.value
    what = f"{spent} of {row.name}'s training / {one.value:,.0f} {one.unit}"
    years = one.unit == "W"
    source = f"{what}{' for a year' if years else ''}: {spent.source}; {one.source}"
    return modelled(amount / each, "years" if years else "times", source)


def _essay(key: str) -> str:
    return f"essay {key}"


def _params(name: str) -> float:
    known = model(name).total_params
    if known is None:
        raise ValueError(f"The atlas gives no size of {name}.")
    return float(known)


def _weights_gb(name: str) -> float:
    """A model's weights at 16 bits."""
    return _params(name) * 2 / 1e9


def _room_gb(box: MachineFacts) -> float:
    """The memory of all accelerators of a machine."""
    return box.count * device(box.accelerator).memory_gb


def _compressed_bloom() -> BillItem:
    size, count = 227e9, _params("BLOOM-176B")
    bits = size * 8 / count
    return BillItem(
        "001",
        "Compressed, BLOOM takes 227 GB.",
        published(227, "GB", _essay("001")),
        modelled(bits, "bits/param", "size × 8 / parameters"),
        f"227 GB × 8 / {count / 1e9:.1f}B parameters; 16 bits are {_weights_gb('BLOOM-176B'):.1f} GB, 8 bits "
        f"{count / 1e9:.1f} GB",
        "Neither 16 nor 8 bits: no usual format gives this size, so it stays a claim.",
        False,
    )


def _gpt3_in_a_box() -> BillItem:
    box = machine("DGX-2")
    room, weights = _room_gb(box), _weights_gb("GPT-3")
    row = model("GPT-3")
    cache = 2 * 2 * (row.layers or 0) * (row.hidden or 0) * 2048 / 1e9
    return BillItem(
        "001",
        "GPT-3 needs a machine of the class of a DGX-2.",
        published(room, "GB", box.source_of("accelerator").source),
        modelled(weights, "GB", "parameters × 2 bytes"),
        f"{weights:.0f} GB of 16-bit weights and {cache:.1f} GB of cache for each 2,048 tokens, in {room:.0f} GB",
        f"Holds at 16 bits, with room for about {int((room - weights) * 0.9 / cache)} sequences of 2,048 tokens.",
        True,
    )


def _gpt3_on_an_instance() -> BillItem:
    box = machine("AWS p3dn.24xlarge")
    room, weights = _room_gb(box), _weights_gb("GPT-3")
    return BillItem(
        "001",
        "GPT-3 runs on a single AWS instance.",
        published(room, "GB", box.source_of("accelerator").source),
        modelled(weights, "GB", "parameters × 2 bytes"),
        f"{weights:.0f} GB of 16-bit weights against {room:.0f} GB in the largest V100 instance; 8 bits "
        f"would take {weights / 2:.0f} GB",
        "Does not fit at 16 bits; at 8 bits it does. The annual minimum presumes a larger box or a smaller format.",
        False,
    )


def _a_year_of_gpt3() -> BillItem:
    year = price("GPT-3 on one cloud instance", "rent")
    listed = price("AWS p3dn.24xlarge", "rent")
    hourly = year.usd / HOURS_A_YEAR
    return BillItem(
        "001",
        "It costs at least 87,000 USD a year.",
        year.quantity,
        modelled(hourly, "USD/h", "a year's price / 8,760 h"),
        f"87,000 USD / 8,760 h, always on; the list price of the largest V100 instance is {listed.usd:.2f} "
        f"USD/h ({listed.source})",
        f"{hourly / listed.usd:.0%} of the list price: a long reservation of that instance or a smaller "
        "one, not the price of a month.",
        None,
    )


def _years_to_buy() -> BillItem:
    bought, rented = price("DGX-2", "buy"), price("GPT-3 on one cloud instance", "rent")
    power = machine("DGX-2").max_power_w or 0.0
    current = price("electricity, United States, commercial", "electricity").usd
    paid = power / 1000 * HOURS_A_YEAR * current
    years = bought.usd / (rented.usd - paid)
    return BillItem(
        "001",
        "A DGX-2 costs 400,000 USD.",
        bought.quantity,
        modelled(
            bought.usd / rented.usd,
            "years",
            "purchase / rent of a year; high: electricity paid too",
            low=bought.usd / rented.usd,
            high=years,
        ),
        f"{bought.usd:,.0f} USD / {rented.usd:,.0f} USD a year; with {power / 1000:.0f} kW at {current} "
        f"USD/kWh ({paid:,.0f} USD a year) it is longer",
        "Renting for less than about five years is cheaper, before staff and repairs; the box is old by then.",
        None,
    )


def _training() -> tuple[BillItem, ...]:
    cards, hourly = price("A100 SXM 80GB", "buy", on="2022-12-31"), price("A100 SXM 80GB", "rent").usd
    bloom, bought = model("BLOOM-176B"), 384 * cards.usd
    rented = (bloom.accelerator_hours or 0) * hourly
    return (
        BillItem(
            "001",
            "Training a model of 1.5B parameters costs up to 1.6M USD.",
            published(1.6e6, "USD", "arXiv:2004.08900 section 1"),
            published(80_000, "USD", "arXiv:2004.08900 section 1, one run", low=80_000, high=1.6e6),
            "80,000 USD a run; two configurations × ten runs = 20 runs = 1.6M USD",
            "The top of a range: the whole search. One run is a twentieth of it.",
            None,
        ),
        BillItem(
            "001",
            "BLOOM's hardware: 384 A100 at 32,000 USD.",
            published(bought, "USD", _essay("001")),
            modelled(rented, "USD", "published device-hours × a rental price of 2024"),
            f"384 × {cards.usd:,.0f} = {bought:,.0f} USD to buy; {bloom.accelerator_hours:,.0f} device-hours at "
            f"{hourly} USD/h = {rented:,.0f} USD to rent",
            "The price of owning the cluster, not of the run, which took under four months of it.",
            None,
        ),
    )


def _carbon() -> tuple[BillItem, ...]:
    car = equivalent("car")
    search_lb, run_lb = 626_155.0, 192.0
    tonnes = search_lb * POUND_KG / 1000
    brain = equivalent("human brain").value
    energy = model("GPT-3").energy_mwh or 0.0
    years = in_equivalent("GPT-3", equivalent("human brain")).value or 0.0
    return (
        BillItem(
            "001",
            "Training a single large model emits 626,000 lb of CO2e, five cars.",
            published(search_lb, "lb CO2e", "arXiv:1906.02243 Table 3"),
            modelled(run_lb * POUND_KG, "kg CO2e", "192 lb, one run of Transformer (big)"),
            f"{search_lb:,.0f} lb × {POUND_KG:.4f} = {tonnes:.0f} t = {tonnes * 1000 / car.value:.1f} car "
            f"lifetimes of {car.value:,.0f} kg, "
            f"for an architecture search; one run: {run_lb:.0f} lb, {search_lb / run_lb:,.0f} times less",
            "A search, not a training run; and the search itself was later put at 3.2 t, 88 times less "
            "(arXiv:2104.10350 section 4.1).",
            False,
        ),
        BillItem(
            "002",
            "A brain works at 40 W.",
            published(40, "W", _essay("002")),
            modelled(years, "brain years", "energy of GPT-3's training / 20 W"),
            f"{energy:,.0f} MWh (arXiv:2104.10350) / {brain:g} W / 8,760 h; at 40 W half as many",
            "The author's figure; commonly about 20 W. An equivalent, not a comparison of what each can do.",
            None,
        ),
    )


def _orders() -> BillItem:
    small, large = price("Llama 3.1 8B", "api-in"), price("Llama 3.1 405B", "api-in")
    giant = _params("GPT-3")
    low, high = large.usd / small.usd, giant / 1e9
    return BillItem(
        "004",
        "A narrow model is one to two orders of magnitude cheaper than a mega model.",
        published(10, "times", _essay("004"), low=10, high=100),
        modelled(
            giant / 7e9,
            "times",
            "ratio of operations, 7B against 175B; low: ratio of list prices; high: 1B against 175B",
            low=low,
            high=high,
        ),
        f"prices of one seller on one day: {large.usd} / {small.usd} USD per million tokens = {low:.0f} "
        "times (405B against 8B); "
        f"operations for one token go with active parameters: 175B / 7B = {giant / 7e9:.0f} times, 175B / "
        f"1B = {high:.0f} times",
        "Holds at equal use. It says nothing of quality: that is what a study on your own rows is for.",
        True,
    )
