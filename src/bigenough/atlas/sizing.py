# SPDX-License-Identifier: Apache-2.0
"""How one copy of a model serves, and how many copies some users need."""

from __future__ import annotations

import math
from dataclasses import dataclass

from bigenough.atlas import compute, memory, speed, users
from bigenough.atlas.fit import Box, fit, serving_memory
from bigenough.atlas.precision import precision
from bigenough.atlas.subject import Hardware, Subject
from bigenough.quantity.range import Range, exact

__all__ = ["Copy", "Sized", "size_pool"]

_SIDE_BY_SIDE = (1, 2, 4, 8, 16, 32, 64, 128, 256)


@dataclass(frozen=True)
class Copy:
    """One copy of a model on its device or devices.

    Attributes:
        model: what is served.
        device: what it runs on, all devices of the copy together.
        weights: bytes that one sequence's step reads.
        operations: for one token.
        layers: of the model; a guess from its size when the shape is not known.
    """

    model: Subject
    device: speed.Device
    weights: Range
    operations: Range
    layers: int

    @classmethod
    def of(cls, model: Subject, how: str, device: speed.Device) -> Copy:
        """A copy at some precision."""
        shape = model.shape if model.active == model.params else None
        held = memory.weights(model.active_count, precision(how), shape)
        layers = model.shape.layers if model.shape else max(12, round(20 * math.log10(model.params / 1e8)))
        return cls(model, device, held, compute.inference_flops(model.active_count), layers)

    def writing(self, context: int, sequences: int) -> speed.Decode:
        """The speed of writing with some sequences of some length side by side."""
        return speed.decode(
            self.device,
            self._read(sequences),
            self.operations,
            cache=self._cache(context, sequences),
            sequences=sequences,
            layers=self.layers,
        )

    def reading(self, tokens: int) -> Range:
        """The time to read a prompt."""
        return speed.prefill(self.device, self.weights, self.operations, tokens)

    def _cache(self, context: int, sequences: int) -> Range | None:
        shape = self.model.shape
        return memory.kv_cache(shape, context, sequences) if shape and shape.cached_layers else None

    def _read(self, sequences: int) -> Range:
        """Weights that a step reads: of experts more as more sequences meet more of them, all at most."""
        share = self.model.active / self.model.params
        met = 1 - (1 - share) ** sequences
        grown = exact(met / share, "", "times the active weights that a step meets", "1 − (1 − active/total)^sequences")
        if sequences == 1 or share == 1:
            return self.weights
        return (self.weights * grown).named(
            "weights read in a step", "active weights × times met", "independent routing", unit="GB"
        )


@dataclass(frozen=True)
class Sized:
    """A pool for a load.

    Attributes:
        pool: copies and devices.
        service: the time of a request on it.
        devices: of one copy.
    """

    pool: users.Pool
    service: Range
    devices: int


def size_pool(model: Subject, how: str, on: Hardware, fewest: int, load: users.Load) -> Sized | None:
    """The cheapest pool for a load.

    Copies of ``fewest`` devices and of two, four and eight times as many are tried, with 1 to 256 sequences side by
    side, as memory holds them and while one user's writing stays fast enough. ``None`` when nothing is.
    """
    best: Sized | None = None
    for devices in (fewest, 2 * fewest, 4 * fewest, 8 * fewest):
        device = on.device(devices)
        if device is None:
            return None
        copy, length = Copy.of(model, how, device), load.prompt + load.answer
        for side in _SIDE_BY_SIDE:
            parts = serving_memory(model.count, how, model.shape, devices=devices, context=length, sequences=side)
            each = copy.writing(length, side).each
            if each.mid < load.tokens_per_s or not fit(parts, Box(on.name, on.memory_gb, devices, on.is_host)).fits:
                break
            answer = exact(load.answer, "token", "tokens of an answer", "given") / each
            service = (answer + copy.reading(load.prompt)).named(
                "time of a request", "answer / speed + prompt", "roofline", unit="s"
            )
            pool = users.pool(load, service, side, devices)
            if best is None or pool.devices.mid < best.pool.devices.mid:
                best = Sized(pool, service, devices)
    return best
