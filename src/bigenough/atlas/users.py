# SPDX-License-Identifier: Apache-2.0
"""How many devices some users need, with the assumption about their queueing in plain sight.

Users ask, read, and ask again. Little's law (1961) turns users into requests in flight; requests that arrive
independently vary as a Poisson number, so room is kept for its 95th percentile rather than its mean.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from bigenough.atlas.checks import positive
from bigenough.quantity.range import Range, exact

__all__ = ["Load", "Pool", "in_flight", "pool"]


@dataclass(frozen=True)
class Load:
    """What users do.

    Attributes:
        users: people with the tool open.
        prompt, answer: tokens of one request.
        every_s: seconds between one user's requests, from the end of an answer.
        tokens_per_s: the slowest writing that users accept.
    """

    users: int
    prompt: int = 1000
    answer: int = 300
    every_s: float = 60.0
    tokens_per_s: float = 10.0

    def __post_init__(self) -> None:
        for name in ("users", "prompt", "answer", "every_s", "tokens_per_s"):
            positive(name, getattr(self, name))


@dataclass(frozen=True)
class Pool:
    """Devices for some load.

    Attributes:
        devices: in all, as a range.
        replicas: copies of the model.
        sequences: written side by side on one copy.
        in_flight: requests being answered at once, at the 95th percentile.
        assumption: the queueing assumption, to be shown beside the figure.
    """

    devices: Range
    replicas: Range
    sequences: int
    in_flight: Range
    assumption: str

    def to_json(self) -> dict[str, Any]:
        """The pool as plain JSON values."""
        return {
            "devices": self.devices.to_json(),
            "replicas": self.replicas.to_json(),
            "sequences": self.sequences,
            "in_flight": self.in_flight.to_json(),
            "assumption": self.assumption,
        }


def in_flight(load: Load, service_s: Range) -> Range:
    """Requests being answered at once: mean by Little's law, high by the 95th percentile of a Poisson number.

    Each user is away ``every_s`` seconds and then waits ``service_s``: users × service / (service + away).
    """
    times = service_s.to("s")
    means = [load.users * one / (one + load.every_s) for one in (times.low, times.mid, times.high)]
    crowded = [min(load.users, mean + 1.645 * math.sqrt(mean)) for mean in means]
    source = (
        "Little 1961: users × service / (service + pause), plus 1.645 √mean for the 95th percentile of a Poisson number"
    )
    return Range(
        crowded[0],
        crowded[1],
        crowded[2],
        "request",
        name="requests in flight",
        formula="users × service / (service + pause) + 1.645 √ of it",
        source=source,
        inputs=(
            exact(load.users, "user", "users", "given"),
            exact(load.every_s, "s", "pause between a user's requests", "given"),
            service_s,
        ),
    )


def pool(load: Load, service_s: Range, sequences: int, devices_per_replica: int) -> Pool:
    """Copies and devices that keep the 95th percentile of requests in flight in service."""
    positive("sequences on one copy", sequences)
    busy = in_flight(load, service_s)
    counts = [float(math.ceil(one / sequences)) for one in (busy.low, busy.mid, busy.high)]
    copies = Range(
        counts[0],
        counts[1],
        counts[2],
        "",
        name="copies of the model",
        formula="⌈requests in flight / sequences on one⌉",
        source="arithmetic",
        inputs=(busy,),
    )
    each = exact(devices_per_replica, "device", "devices for one copy", "memory", provenance="modelled")
    devices = (copies * each).named("devices", "copies × devices for one", "arithmetic", unit="device")
    assumption = (
        f"{load.users:,} users, each asking {load.every_s:g} s after the last answer ended, "
        f"{load.prompt:,} tokens in and {load.answer:,} out; "
        "requests arrive independently (Poisson); all that are in flight at the 95th "
        "percentile are served side by side, none waits; "
        "no rush hour beyond that."
    )
    return Pool(devices, copies, sequences, busy, assumption)
