# SPDX-License-Identifier: Apache-2.0
"""Energy and the emissions it stands for, with the scope of each figure.

Scopes: *dynamic* (the chips at work), *with the room* (× PUE), *idle* (machines kept on), *embodied* (making them),
*development* (the runs before the last). Patterson et al. 2021 (arXiv:2104.10350, section 2); Luccioni et al. 2022
(arXiv:2211.02001, sections 4 and 5).
"""

from __future__ import annotations

import math
import statistics
from types import MappingProxyType

from bigenough.atlas.checks import positive
from bigenough.atlas.speed import REACHED_BANDWIDTH, unbatched_latency
from bigenough.errors import BadOption
from bigenough.quantity.range import Range, between, exact, total

__all__ = [
    "carbon",
    "development",
    "embodied",
    "energy",
    "energy_per_request",
    "energy_per_token",
    "equivalents_of",
    "footprint",
    "pounds",
    "power",
    "writing_energy",
]

# final run × this = the whole development; each with who counted
_DEVELOPMENT = MappingProxyType(
    {
        "OPT-175B": (2.0, "arXiv:2205.01068 section 1: about twice with baselines, ablations and downtime"),
        "OLMo 2": (1.5, "arXiv:2503.05804 section 4: development about half of the last runs"),
        "BLOOM-176B": (2.68, "arXiv:2211.02001 Table 5"),
    }
)


def power(tdp_w: float, measured_w: float | None = None) -> Range:
    """Watts of one device in training: measured where somebody did, else 70 to 105 % of its rating.

    Patterson et al. 2021, Table 3 measured 325 W of system power at a V100 rated 300 W, and 283 W at a TPU v3 rated
    450 W.
    """
    if measured_w:
        return exact(
            positive("measured power", measured_w),
            "W/device",
            "power of one device",
            "measured: arXiv:2104.10350 Table 3",
        )
    rated = positive("rated power", tdp_w)
    source = "0.7 to 1.05 of the rating: arXiv:2104.10350 Table 3; arXiv:2501.00656 Table 19"
    return between(0.7 * rated, 1.05 * rated, "W/device", "power of one device", source, mid=0.9 * rated)


def energy(device_hours: Range | float, watts: Range | float, pue: Range | float = 1.0) -> Range:
    """Device-hours × power × PUE.

    >>> round(energy(512 * 20 * 24, 310.0, 1.12).to("MWh").mid, 1)
    85.3
    """
    hours = (
        device_hours
        if isinstance(device_hours, Range)
        else exact(positive("hours", device_hours), "device*h", "device-hours", "given")
    )
    each = (
        watts
        if isinstance(watts, Range)
        else exact(positive("watts", watts), "W/device", "power of one device", "given")
    )
    room = pue if isinstance(pue, Range) else exact(_pue(pue), "", "PUE", "given")
    return (hours * each * room).named("energy", "device-hours × power × PUE", "arXiv:2104.10350 section 2", unit="MWh")


def carbon(used: Range, kg_per_kwh: Range | float) -> Range:
    """Energy × the grid's kilograms of CO2e for each kWh; not offset by certificates."""
    if not isinstance(kg_per_kwh, Range):
        if not 0 <= kg_per_kwh < 3:
            raise BadOption(
                f"{kg_per_kwh!r} kg CO2e per kWh: the dirtiest grids are near 1. Grams per kWh must be divided by 1000."
            )
        kg_per_kwh = exact(kg_per_kwh, "kgCO2e/kWh", "grid", "given")
    return (used * kg_per_kwh).named(
        "emissions", "energy × grid", "location-based; certificates not counted", unit="tCO2e"
    )


def embodied(device_hours: Range | float, devices_per_server: float = 8) -> Range:
    """Emissions of making the machines, by the hour: 150 kg a GPU, 2,500 kg a server, over six years at 85 %.

    Luccioni et al. 2022, section 4.1. The bounds are half and twice: makers publish few of these figures.

    >>> round(embodied(1_082_990).mid, 1)
    11.2
    """
    hours = (
        device_hours
        if isinstance(device_hours, Range)
        else exact(positive("hours", device_hours), "device*h", "device-hours", "given")
    )
    life_h = 6 * 8760 * 0.85
    each = (150 + 2500 / positive("devices in a server", devices_per_server)) / life_h
    source = (
        "150 kg a GPU and 2,500 kg a server over 6 years at 85 %: Luccioni et al. 2022, arXiv:2211.02001 section 4.1"
    )
    rate = between(each / 2, each * 2, "kgCO2e/device/h", "embodied emissions of a device-hour", source, mid=each)
    return (hours * rate).named("embodied emissions", "device-hours × share of making", source, unit="tCO2e")


def footprint(dynamic: Range, idle: Range, making: Range) -> Range:
    """The whole process: chips at work, machines kept on, and making them."""
    return total(dynamic, idle, making).named(
        "emissions of the whole process", "dynamic + idle + embodied", "arXiv:2211.02001 Table 3"
    )


def development(final_run: Range, *, leave_out: str | None = None) -> Range:
    """The energy of a whole project from that of its last run.

    The factor is the geometric mean of the published ones with an 80 % prediction interval (Student, logarithms); few
    projects told.
    """
    known = {name: value for name, (value, _) in _DEVELOPMENT.items() if name != leave_out}
    logs = [math.log(value) for value in known.values()]
    middle, spread = statistics.fmean(logs), statistics.stdev(logs)
    student = {1: 3.078, 2: 1.886}[len(logs) - 1]  # 90th percentile of Student's t
    reach = student * spread * math.sqrt(1 + 1 / len(logs))
    factor = Range(
        max(1.0, math.exp(middle - reach)),
        math.exp(middle),
        math.exp(middle + reach),
        "",
        name="development factor",
        source="; ".join(
            f"{name}: {value:g} ({who})" for name, (value, who) in _DEVELOPMENT.items() if name != leave_out
        ),
    )
    return (final_run * factor).named(
        "energy of the whole project", "last run × development factor", "published projects", unit="MWh"
    )


def energy_per_token(
    size: Range, bandwidth: Range, tdp_w: float, *, batch: Range | None = None, pue: float = 1.0
) -> Range:
    """Energy of writing one token: the devices' time for a step × their power / sequences written side by side.

    Holding a model on more devices shortens the step as it adds power, so their number cancels. Decoding draws 50 to
    85 % of the rating (Patel et al. 2023, arXiv:2308.12908); how many sequences share a step decides most and is often
    unknown: 1 to 64.
    """
    together = batch or between(1, 64, "token", "sequences side by side", "not known: from none to a busy server")
    share = between(0.5, 0.85, "", "share of the rated power while decoding", "arXiv:2308.12908 section 4", mid=0.65)
    reached = Range(
        *REACHED_BANDWIDTH, "", name="share of bandwidth reached", source="0.45 to 0.9 of data sheets at batch 1"
    )
    rated = exact(positive("rated power", tdp_w), "W", "rated power of one device", "data sheet")
    step = size / (bandwidth * reached)
    source = "bytes / bandwidth × power × PUE / sequences: roofline, arXiv:2211.05102"
    room = exact(_pue(pue), "", "PUE of the room", "a usual server room; ours", provenance="modelled")
    return (step * rated * share * room / together).named(
        "energy of a token", "step × power × PUE / sequences", source, unit="J/token"
    )


def writing_energy(pages: float, per_token: Range) -> Range:
    """Energy of some pages of text: 500 words a page, 4/3 tokens a word."""
    tokens = exact(
        positive("pages", pages) * 500 * 4 / 3,
        "token",
        "tokens",
        "500 words a page, 4/3 tokens a word (arXiv:2005.14165 s2)",
    )
    return (tokens * per_token).named("energy of the pages", "tokens × energy of a token", "arithmetic", unit="kWh")


def energy_per_request(layers: int, tdp_w: float, host_w: Range | None = None) -> Range:
    """Energy of one unbatched request to an encoder: its latency × what device and host draw meanwhile."""
    host = host_w or between(100, 250, "W", "share of the host", "a two-socket server at low load, by its devices")
    device = between(
        0.3, 0.6, "", "share of the rated power", "small kernels leave most of a device idle: arXiv:2302.06117"
    )
    drawn = exact(positive("rated power", tdp_w), "W", "rated power", "data sheet") * device + host
    one = exact(1, "request", "a request", "one")
    return (unbatched_latency(layers) * drawn / one).named(
        "energy of a request", "latency × power", "arXiv:2302.06117", unit="Wh/request"
    )


def equivalents_of(emitted: Range, each: Range) -> Range:
    """How many of something emit as much: an equivalent, no measurement."""
    return (emitted / each).named("equivalent", "emissions / emissions of one", "an equivalent for scale", unit="x")


def pounds(value: float) -> Range:
    """Pounds of CO2e as a figure that converts to tonnes: 0.45359237 kg.

    >>> round(pounds(626_155).to("tCO2e").mid, 1)
    284.0
    """
    return exact(positive("pounds", value), "lbCO2e", "emissions", "given")


def _pue(value: float) -> float:
    if not 1 <= value < 5:
        raise BadOption(f"PUE={value!r}: a room uses 1 to 3 times what its machines do.")
    return value
