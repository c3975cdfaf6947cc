# SPDX-License-Identifier: Apache-2.0
"""Whether a model runs in the memory there is.

Data sheets print GB; most devices hold that many GiB. The planner counts 10^9 bytes, which errs by 7 % to the safe
side, and calls an answer tight when the range of the need straddles the room.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from bigenough.atlas.checks import positive
from bigenough.atlas.memory import activations, framework, kv_cache, weights
from bigenough.atlas.precision import Precision, precision
from bigenough.atlas.shape import Shape
from bigenough.errors import BadOption
from bigenough.quantity.quantity import Provenance
from bigenough.quantity.range import Range, exact, total

__all__ = ["Box", "Fit", "devices_needed", "fit", "serving_memory"]


@dataclass(frozen=True)
class Box:
    """Devices that share one model.

    Attributes:
        name: as users call it.
        memory_gb: of one device, in 10^9 bytes.
        devices: how many; their memory is one pool, cut evenly.
        is_host: the devices are a computer's own memory, where an operating system lives too.
        source: who says how much memory there is; ``detected`` when this machine was asked.
    """

    name: str
    memory_gb: float
    devices: int = 1
    is_host: bool = False
    source: str = "given"

    def __post_init__(self) -> None:
        positive("memory_gb", self.memory_gb)
        if not isinstance(self.devices, int) or self.devices < 1:
            raise BadOption(f"{self.devices!r} devices: expected a whole number from 1 up.")

    @property
    def room(self) -> Range:
        """Memory of all devices."""
        how: Provenance = "measured" if self.source == "detected" else "published"
        each = exact(self.memory_gb, "GB/device", f"memory of {self.name}", self.source, provenance=how)
        return (each * exact(self.devices, "device", "devices", "given")).named(
            "memory there is", "devices × memory", "arithmetic", unit="GB"
        )


@dataclass(frozen=True)
class Fit:
    """Whether a need fits some room.

    Attributes:
        fits: whether the middle of the need does.
        tight: whether the ends of the need disagree about it.
        need, room: in GB, of all devices together.
        box: the devices.
        parts: what the need is made of.
    """

    fits: bool
    tight: bool
    need: Range
    room: Range
    box: Box
    parts: tuple[Range, ...]

    @property
    def answer(self) -> str:
        """The answer in words."""
        word = "yes" if self.fits else "no"
        return f"{word}, but tight" if self.tight else word

    def to_json(self) -> dict[str, Any]:
        """The answer as plain JSON values."""
        return {
            "fits": self.fits,
            "tight": self.tight,
            "box": self.box.name,
            "devices": self.box.devices,
            "need": self.need.to_json(),
            "room": self.room.to_json(),
            "parts": [part.to_json() for part in self.parts],
        }


def serving_memory(
    params: Range | float,
    how: str | Precision,
    shape: Shape | None,
    *,
    devices: int = 1,
    context: float = 2048,
    sequences: float = 1,
    cache_bits: float = 16,
) -> tuple[Range, ...]:
    """The parts of what serving takes: weights, cache, activations, and the runtime on every device.

    Without a shape the cache and the activations are taken as 0.2 to 5 % of 16-bit weights at 2,048 tokens, which
    spans the decoders of the atlas.
    """
    kind = how if isinstance(how, Precision) else precision(how)
    held = weights(params, kind, shape)
    runtime = (framework(devices) * float(devices)).named(
        "runtime on all devices", "devices × runtime", "usual readings", unit="GB"
    )
    if shape is None:
        scale = context * sequences / 2048
        source = (
            "0.2 to 5 % of 16-bit weights for 2,048 tokens: the decoders of the "
            "atlas, grouped queries to one cache a head"
        )
        count = params.mid if isinstance(params, Range) else params
        low, mid, high = (2e-9 * count * share * scale for share in (0.002, 0.02, 0.05))
        return held, Range(low, mid, high, "GB", name="cache and activations", source=source), runtime
    if shape.kind == "encoder":
        return held, activations(shape, context * sequences), runtime
    return held, kv_cache(shape, context, sequences, cache_bits), activations(shape, context), runtime


def fit(parts: tuple[Range, ...], box: Box) -> Fit:
    """Compare the sum of some needs with the memory of a box.

    >>> fit((weights(40e9, 16),), Box("A100 80GB", 80)).fits, fit((weights(50e9, 16),), Box("A100 80GB", 80)).fits
    (True, False)
    """
    need = total(*(part.to("GB") for part in parts)).named("memory needed", "sum of the parts", "arithmetic", unit="GB")
    room = box.room
    if box.is_host:  # the operating system and other programs keep some
        room = (
            room
            * exact(
                0.8,
                "",
                "share of a computer's memory left to a model",
                "a usual desktop at rest takes 2 to 4 of 16 GB; ours",
                provenance="modelled",
            )
        ).named("memory left to a model", "memory × share", "arithmetic", unit="GB")
    tight = need.low <= room.mid < need.high
    return Fit(need.mid <= room.mid, tight, need, room, box, parts)


def devices_needed(
    params: Range | float,
    how: str | Precision,
    shape: Shape | None,
    memory_gb: float,
    *,
    context: float = 2048,
    sequences: float = 1,
    most: int = 65536,
    is_host: bool = False,
) -> int | None:
    """The fewest devices of one memory that hold a model; ``None`` when the runtime alone fills each.

    ``is_host`` says that each is a computer, whose other programs keep some of it, as in ``Box``.
    """
    low, high = 1, 1

    def holds(devices: int) -> bool:
        parts = serving_memory(params, how, shape, devices=devices, context=context, sequences=sequences)
        return fit(parts, Box("device", memory_gb, devices, is_host)).fits

    while not holds(high):
        low, high = high + 1, high * 2
        if high > most:
            return None
    while low < high:
        middle = math.floor((low + high) / 2)
        low, high = (low, middle) if holds(middle) else (middle + 1, high)
    return low
