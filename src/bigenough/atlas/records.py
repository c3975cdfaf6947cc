# SPDX-License-Identifier: Apache-2.0
"""The kinds of facts that the atlas holds, one row each.

An empty cell is unknown and stays ``None``; nothing is filled in. Every other cell has a source and says how well that
was read: see ``sourcing``.
"""

from __future__ import annotations

import types
import typing
from dataclasses import dataclass, fields
from typing import ClassVar

from bigenough.atlas.sourcing import Sourcing, source_of
from bigenough.atlas.tables import read_table
from bigenough.errors import BadOption
from bigenough.quantity import Quantity, published, unknown

__all__ = [
    "UNITS",
    "Accelerator",
    "Conflict",
    "Correction",
    "Equivalent",
    "Essay",
    "Grid",
    "MachineFacts",
    "Model",
    "Price",
    "Score",
    "Trend",
]

UNITS: typing.Mapping[str, str] = types.MappingProxyType(
    {
        "total_params": "params",
        "active_params": "params",
        "layers": "layers",
        "hidden": "wide",
        "heads": "heads",
        "kv_heads": "heads",
        "head_dim": "wide",
        "ffn": "wide",
        "vocab": "tokens",
        "context": "tokens",
        "train_tokens": "tokens",
        "train_flops": "FLOP",
        "accelerators": "devices",
        "train_days": "days",
        "accelerator_hours": "h",
        "energy_mwh": "MWh",
        "co2e_t": "t CO2e",
        "lambada_zero_shot": "%",
        "imagenet_top1": "%",
        "coco_fid_zero_shot": "FID",
        "memory_gb": "GB",
        "bandwidth_gb_s": "GB/s",
        "peak_tflops_16bit": "TFLOP/s",
        "tdp_w": "W",
        "measured_w": "W",
        "max_power_w": "W",
        "kg_per_kwh": "kg CO2e/kWh",
    }
)
"""The unit of every column that holds figures."""


class _Row:
    """What all rows have in common: a table, a name in it, and a source for each cell."""

    TABLE: ClassVar[str]
    KEY: ClassVar[str] = "name"

    def source_of(self, column: str) -> Sourcing:
        """Who published one cell of the row, and how well that was read."""
        said = {name: getattr(self, name, "") for name in ("source", "evidence")}
        return source_of(self.TABLE, getattr(self, self.KEY), column, **said)


class _Figured(_Row):
    """A row with figures."""

    def fact(self, column: str) -> Quantity:
        """One figure of the row as a quantity: published with the cell's source, or unknown."""
        if column not in UNITS or not hasattr(self, column):
            known = [field.name for field in fields(self) if field.name in UNITS]  # type: ignore[arg-type]
            raise BadOption(f"{column!r} is no figure of a {type(self).__name__}. Expected one of: {', '.join(known)}.")
        value, unit, source = getattr(self, column), UNITS[column], self.source_of(column).source
        if value is None:
            return unknown(unit, f"not published, as far as {source} tells")
        return published(value, unit, source)


@dataclass(frozen=True)
class Conflict(_Row):
    """A published figure that contradicts the one in a model's row; both are kept."""

    TABLE = "conflicts"
    KEY = "model"

    model: str
    column: str
    value: float
    unit: str
    source: str
    note: str

    @property
    def quantity(self) -> Quantity:
        """The other figure."""
        return published(self.value, self.unit, self.source)


@dataclass(frozen=True)
class Model(_Figured):
    """A model as its makers, or those who measured it, describe it.

    Attributes:
        total_params, active_params: counts; active are those that one token meets.
        ffn: width of a feed-forward block, of one expert in a mixture.
        train_tokens, train_flops: of the published run.
        accelerators, train_days, accelerator_hours: of the published run; kept apart, since papers rarely give all.
        access: open weights, on request, api, hosted, code or closed.
        essays: keys of the essays that name the model.
    """

    TABLE = "models"

    name: str
    developer: str
    country: str
    year: int
    modality: str
    architecture: str
    total_params: int | None
    active_params: int | None
    layers: int | None
    hidden: int | None
    heads: int | None
    kv_heads: int | None
    head_dim: int | None
    ffn: int | None
    vocab: int | None
    context: int | None
    train_tokens: int | None
    train_flops: float | None
    hardware: str
    accelerators: int | None
    train_days: float | None
    accelerator_hours: float | None
    energy_mwh: float | None
    co2e_t: float | None
    access: str
    licence: str
    lambada_zero_shot: float | None
    imagenet_top1: float | None
    coco_fid_zero_shot: float | None
    essays: str
    evidence: str
    source: str
    notes: str

    @property
    def is_recommender(self) -> bool:
        """Whether the parameters are tables that are looked up: set apart wherever sizes are compared."""
        return self.modality == "recommendation"

    @property
    def conflicts(self) -> tuple[Conflict, ...]:
        """Published figures that contradict this row."""
        return tuple(found for found in read_table("conflicts", Conflict) if found.model == self.name)


@dataclass(frozen=True)
class Accelerator(_Figured):
    """A device that models run on.

    Attributes:
        memory_gb: as its maker counts it.
        peak_tflops_16bit: dense 16-bit matrix arithmetic, without sparsity; consumer cards accumulating in 32 bits.
        tdp_w: the maker's limit. measured_w: what a large run drew by device, with its share of the system.
    """

    TABLE = "accelerators"

    name: str
    aliases: tuple[str, ...]
    kind: str
    maker: str
    year: int
    memory_gb: float
    bandwidth_gb_s: float | None
    peak_tflops_16bit: float | None
    tdp_w: float | None
    measured_w: float | None
    source: str
    evidence: str
    note: str

    @property
    def peak_flops(self) -> float | None:
        """Dense 16-bit operations per second."""
        return None if self.peak_tflops_16bit is None else self.peak_tflops_16bit * 1e12


@dataclass(frozen=True)
class MachineFacts(_Figured):
    """A computer that is bought or rented whole.

    Attributes:
        accelerator, count: what is in it; empty and 0 for a computer without one.
        memory_gb, bandwidth_gb_s: of the computer itself, where a model lives when there is no accelerator.
    """

    TABLE = "machines"

    name: str
    aliases: tuple[str, ...]
    kind: str
    accelerator: str
    count: int
    memory_gb: float
    bandwidth_gb_s: float | None
    peak_tflops_16bit: float | None
    max_power_w: float | None
    source: str
    evidence: str
    note: str


@dataclass(frozen=True)
class Grid(_Figured):
    """A country's electricity: kilograms of CO2e for each kWh, averaged over a year."""

    TABLE = "grids"
    KEY = "country"

    country: str
    iso: str
    kg_per_kwh: float
    year: int
    source: str
    evidence: str
    note: str


@dataclass(frozen=True)
class Price(_Row):
    """What somebody asked for something on a day.

    Attributes:
        item: an accelerator, machine or model of the atlas, or what else is paid for.
        kind: buy, rent, api-in, api-out or electricity.
        per: device, machine, device*h, machine*h, Mtoken, kWh or year.
        date: ISO day from which the price is known.
    """

    TABLE = "prices"
    KEY = "item"

    item: str
    kind: str
    usd: float
    per: str
    date: str
    provider: str
    source: str
    evidence: str
    note: str

    @property
    def quantity(self) -> Quantity:
        """The price as a published quantity."""
        return published(self.usd, f"USD/{self.per}", f"{self.source}, {self.date}")


@dataclass(frozen=True)
class Equivalent(_Row):
    """Something that a reader knows, to set a figure beside; never a measurement of the model."""

    TABLE = "equivalents"

    name: str
    unit: str
    value: float
    per: str
    source: str
    evidence: str
    note: str


@dataclass(frozen=True)
class Correction(_Row):
    """A figure of an essay that misleads, and what is known."""

    TABLE = "corrections"
    KEY = "essay"

    essay: str
    says: str
    fact: str
    source: str


@dataclass(frozen=True)
class Essay(_Row):
    """One of the five essays that this project answers."""

    TABLE = "essays"
    KEY = "key"

    key: str
    about: str
    year: int


@dataclass(frozen=True)
class Score(_Row):
    """A model's score on a benchmark, under a protocol: scores of two protocols do not compare."""

    TABLE = "benchmarks"
    KEY = "model"

    model: str
    benchmark: str
    score: float
    unit: str
    protocol: str
    source: str
    note: str


@dataclass(frozen=True)
class Trend(_Row):
    """A doubling time that somebody published for a span of years."""

    TABLE = "trends"
    KEY = "quantity"

    quantity: str
    since: int
    until: int
    doubling_months: float
    source: str
    evidence: str
    note: str
