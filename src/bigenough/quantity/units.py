# SPDX-License-Identifier: Apache-2.0
"""The units that the planner knows, and what it refuses to add.

A unit is a product and quotient of the names below: ``GB/s``, ``FLOP/param/token``, ``device*h``. Two kinds of thing
are kept apart even where physics would not: a GB (10^9 bytes) is not a GiB (2^30), a token is not a parameter.
"""

from __future__ import annotations

from functools import lru_cache
from types import MappingProxyType
from typing import NamedTuple

__all__ = ["Unit", "UnitMismatch", "UnknownUnit", "canonical", "unit"]


class UnitMismatch(ValueError):
    """Two figures cannot be added, compared or converted: they measure different things."""


class UnknownUnit(ValueError):
    """A unit is not one of those that the planner knows."""


class Unit(NamedTuple):
    """A size in base units, and the power of each base unit, sorted by name."""

    size: float
    powers: tuple[tuple[str, int], ...]


_Powers = tuple[tuple[str, int], ...]

_BYTE, _FLOP, _SECOND, _JOULE, _CARBON = (("B", 1),), (("FLOP", 1),), (("s", 1),), (("J", 1),), (("kgCO2e", 1),)
_WATT: _Powers = (("J", 1), ("s", -1))

_UNITS: MappingProxyType[str, tuple[float, _Powers]] = MappingProxyType(
    {
        "": (1.0, ()), "x": (1.0, ()), "%": (0.01, ()),
        "bit": (0.125, _BYTE), "B": (1.0, _BYTE),
        "kB": (1e3, _BYTE), "MB": (1e6, _BYTE), "GB": (1e9, _BYTE), "TB": (1e12, _BYTE), "PB": (1e15, _BYTE),
        "KiB": (2.0**10, _BYTE), "MiB": (2.0**20, _BYTE), "GiB": (2.0**30, _BYTE), "TiB": (2.0**40, _BYTE),
        "FLOP": (1.0, _FLOP), "MFLOP": (1e6, _FLOP), "GFLOP": (1e9, _FLOP), "TFLOP": (1e12, _FLOP),
        "PFLOP": (1e15, _FLOP), "EFLOP": (1e18, _FLOP),
        "us": (1e-6, _SECOND), "ms": (1e-3, _SECOND), "s": (1.0, _SECOND), "min": (60.0, _SECOND),
        "h": (3600.0, _SECOND), "day": (86_400.0, _SECOND), "year": (8760 * 3600.0, _SECOND),
        "J": (1.0, _JOULE), "kJ": (1e3, _JOULE), "Wh": (3.6e3, _JOULE), "kWh": (3.6e6, _JOULE), "MWh": (3.6e9, _JOULE),
        "W": (1.0, _WATT), "kW": (1e3, _WATT), "MW": (1e6, _WATT),
        "gCO2e": (1e-3, _CARBON), "kgCO2e": (1.0, _CARBON), "tCO2e": (1e3, _CARBON), "lbCO2e": (0.45359237, _CARBON),
        "USD": (1.0, (("USD", 1),)),
        "param": (1.0, (("param", 1),)), "token": (1.0, (("token", 1),)), "request": (1.0, (("request", 1),)),
        "user": (1.0, (("user", 1),)), "device": (1.0, (("device", 1),)), "row": (1.0, (("row", 1),)),
        "page": (1.0, (("page", 1),)),
    }
)  # fmt: skip
_PLURALS = MappingProxyType(
    {f"{name}s": name for name in ("param", "token", "request", "user", "device", "row", "page", "bit", "day", "year")}
)


@lru_cache(maxsize=512)
def unit(text: str) -> Unit:
    """The unit that a text names; raises ``UnknownUnit``.

    >>> unit("GB/s").powers
    (('B', 1), ('s', -1))
    >>> unit("kWh").size / unit("MWh").size
    0.001
    """
    size, powers = 1.0, dict[str, int]()
    for position, part in enumerate(text.split("/")):
        sign = 1 if position == 0 else -1
        for name in part.split("*"):
            symbol = _PLURALS.get(name, name)
            if symbol == "1":
                continue
            if symbol not in _UNITS:
                known = ", ".join(name for name in _UNITS if name)
                raise UnknownUnit(f"{name!r} in {text!r} is not a unit that the planner knows. It knows: {known}.")
            its_size, its_powers = _UNITS[symbol]
            size *= its_size**sign
            for base, power in its_powers:
                powers[base] = powers.get(base, 0) + sign * power
    return Unit(size, tuple(sorted((base, power) for base, power in powers.items() if power)))


@lru_cache(maxsize=512)
def canonical(powers: _Powers) -> str:
    """The text of a unit in base units: ``B/s``, ``FLOP``."""
    above = "*".join(base for base, power in powers for _ in range(power))
    below = "".join(f"/{base}" for base, power in powers for _ in range(-power))
    return (above or ("1" if below else "")) + below
