# SPDX-License-Identifier: Apache-2.0
"""One figure with its range, unit and provenance."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, TypedDict

__all__ = ["Provenance", "Quantity", "QuantityJson", "measured", "modelled", "published", "unknown"]

Provenance = Literal["measured", "modelled", "published", "unknown"]


class QuantityJson(TypedDict):
    """How a quantity stands in a JSON file."""

    value: float | None
    low: float | None
    high: float | None
    unit: str
    provenance: Provenance
    source: str


@dataclass(frozen=True)
class Quantity:
    """A figure that a user may see.

    ``low`` and ``high`` bound the value: an interval, a spread over runs, or a modelled range; ``source`` says which.

    Example:
        >>> measured(1.25, "ms", "median of 500 calls", low=1.1, high=1.9)
        Quantity(1.25 ms [1.1, 1.9], measured: median of 500 calls)
        >>> str(unknown("Wh", "no energy counter and no model of this CPU"))
        'unknown'
    """

    value: float | None
    unit: str
    provenance: Provenance
    source: str
    low: float | None = None
    high: float | None = None

    def __post_init__(self) -> None:
        if not self.source:
            raise ValueError("A quantity needs a source: how it was measured, which formula, or who published it.")
        if (self.value is None) != (self.provenance == "unknown"):
            raise ValueError(f"Only an unknown quantity has no value. Got {self.value!r} as {self.provenance!r}.")
        for bound in (self.value, self.low, self.high):
            if bound is not None and not math.isfinite(bound):
                raise ValueError(f"A quantity is finite or unknown. Got {bound!r} {self.unit}.")
        if self.low is not None and self.high is not None and self.low > self.high:
            raise ValueError(f"low={self.low!r} is above high={self.high!r}.")

    def __str__(self) -> str:
        if self.value is None:
            return "unknown"
        text = _shorten(self.value)
        if self.low is not None and self.high is not None:
            return f"{text} {self.unit} [{_shorten(self.low)}, {_shorten(self.high)}]".replace("  ", " ")
        return f"{text} {self.unit}".strip()

    def __repr__(self) -> str:
        return f"Quantity({self}, {self.provenance}: {self.source})"

    def to_json(self) -> QuantityJson:
        """The quantity as plain JSON values."""
        return {
            "value": self.value,
            "low": self.low,
            "high": self.high,
            "unit": self.unit,
            "provenance": self.provenance,
            "source": self.source,
        }

    @classmethod
    def from_json(cls, data: QuantityJson) -> Quantity:
        """The quantity that ``to_json`` wrote."""
        return cls(data["value"], data["unit"], data["provenance"], data["source"], data["low"], data["high"])


def measured(value: float, unit: str, source: str, *, low: float | None = None, high: float | None = None) -> Quantity:
    """A figure read off this machine; ``source`` says how."""
    return Quantity(value, unit, "measured", source, low, high)


def modelled(value: float, unit: str, source: str, *, low: float | None = None, high: float | None = None) -> Quantity:
    """A figure computed by a formula; ``source`` names it."""
    return Quantity(value, unit, "modelled", source, low, high)


def published(value: float, unit: str, source: str, *, low: float | None = None, high: float | None = None) -> Quantity:
    """A figure that somebody published; ``source`` says who and where."""
    return Quantity(value, unit, "published", source, low, high)


def unknown(unit: str, source: str) -> Quantity:
    """A figure that nobody has; ``source`` says why."""
    return Quantity(None, unit, "unknown", source)


def _shorten(value: float) -> str:
    if value == 0 or 1e-3 <= abs(value) < 1e6:
        return f"{value:.4g}" if abs(value) < 1000 else f"{value:,.0f}"
    return f"{value:.3g}"
