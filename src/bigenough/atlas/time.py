# SPDX-License-Identifier: Apache-2.0
"""How long training takes when nobody says how well the machine is used: learned from the runs that were published.

Each run of the atlas with parameters, tokens, hours and a known chip implies a utilisation, 6 N D / (hours × peak).
The prediction for a chip is the median of its runs, drawn towards the median of all as if that counted four runs;
without runs of its own a chip gets the median of all. The range holds 80 % of the runs, each predicted from the
others. Utilisation of a run is therefore never learned from that run when it is being predicted (``leave_out``).
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache

from bigenough.atlas.checks import positive
from bigenough.errors import BadOption
from bigenough.quantity.range import Range, exact

__all__ = [
    "LeaveOneOut",
    "PublishedRun",
    "calendar_days",
    "device_hours",
    "implied_utilisation",
    "leave_one_out",
    "plausibility",
    "published_runs",
    "utilisation",
]

_PRIOR_RUNS = 4.0  # compared at 0, 2, 4 and 8, which all meet the targets; chosen with the errors in view


@dataclass(frozen=True)
class PublishedRun:
    """One run that its authors counted.

    Attributes:
        name: of the model.
        developer: of the model.
        active, tokens: parameters that a token meets, and tokens seen.
        hours: device-hours.
        peak: dense 16-bit operations per second of one device.
        hardware: the device's name.
    """

    name: str
    developer: str
    active: float
    tokens: float
    hours: float
    peak: float
    hardware: str

    @property
    def utilisation(self) -> float:
        """6 N D / (hours × peak), as a share."""
        return implied_utilisation(self.active, self.tokens, self.hours, self.peak)


@dataclass(frozen=True)
class LeaveOneOut:
    """A published run beside what the other runs predict for it."""

    run: PublishedRun
    predicted_hours: float

    @property
    def factor(self) -> float:
        """How many times too long or too short the prediction is; at least 1."""
        ratio = self.predicted_hours / self.run.hours
        return max(ratio, 1 / ratio)


def implied_utilisation(active: float, tokens: float, hours: float, peak: float) -> float:
    """The share of the peak that a run used, by 6 N D.

    >>> round(implied_utilisation(6.738e9, 1e12, 82432, 312e12), 3)
    0.437
    """
    work = 6 * positive("active parameters", active) * positive("tokens", tokens)
    return work / (positive("hours", hours) * 3600 * positive("peak", peak))


@cache
def published_runs() -> tuple[PublishedRun, ...]:
    """The runs of the atlas that say enough.

    Encoder-decoders are left out, since only half of their blocks see a token.
    """
    from bigenough.atlas.facts import find_accelerator, models

    runs = []
    for row in models():
        chip = find_accelerator(row.hardware) if row.hardware else None
        peak = chip.peak_flops if chip else None
        if (
            not (row.active_params and row.train_tokens and row.accelerator_hours and peak)
            or "enc-dec" in row.architecture
        ):
            continue
        runs.append(
            PublishedRun(
                row.name,
                row.developer,
                row.active_params,
                row.train_tokens,
                row.accelerator_hours,
                peak,
                row.hardware or "",
            )
        )
    return tuple(runs)


def utilisation(peak: float, *, runs: Sequence[PublishedRun] | None = None, leave_out: str | None = None) -> Range:
    """The share of a chip's peak that a well-run training can expect.

    Args:
        peak: dense 16-bit operations per second of one device.
        runs: what to learn from; the atlas's when ``None``.
        leave_out: the name of a run that must not be learned from.
    """
    known = [run for run in (published_runs() if runs is None else runs) if run.name != leave_out]
    if len(known) < 5:
        raise BadOption(
            f"Utilisation is learned from published runs, and {len(known)} are too few: at least 5 are needed."
        )
    middle = _centre(positive("peak", peak), known)
    errors = sorted(
        math.log(run.utilisation / _centre(run.peak, [other for other in known if other is not run])) for run in known
    )
    low, high = (middle * math.exp(_quantile(errors, share)) for share in (0.1, 0.9))
    source = f"{len(known)} published runs of the atlas, 80 % of them within, each predicted from the others"
    return Range(
        min(low, middle),
        middle,
        max(high, middle),
        "",
        name="utilisation",
        formula="median of the chip's runs, drawn to all",
        source=source,
    )


def device_hours(flops: Range, peak: float, share: Range) -> Range:
    """Device-hours of a run: operations / (peak × utilisation).

    The range is that of the utilisation, over the operations of the model: published utilisation counts 6 N D as well,
    so that recomputation is in it already.
    """
    top = exact(positive("peak", peak), "FLOP/s/device", "peak of one device", "data sheet, dense 16-bit")
    model = Range(
        flops.mid,
        flops.mid,
        flops.mid,
        flops.unit,
        name=flops.name,
        formula=flops.formula,
        source=flops.source,
        inputs=flops.inputs,
    )
    return (model / (top * share)).named(
        "device-hours", "operations / (peak × utilisation)", "arithmetic", unit="device*h"
    )


def calendar_days(hours: Range, devices: float) -> Range:
    """Days on so many devices, without waiting, restarts or failures."""
    many = exact(positive("devices", devices), "device", "devices", "given")
    return (hours / many).named(
        "time", "device-hours / devices", "arithmetic; no waiting, restarts or failures", unit="day"
    )


def leave_one_out(runs: Sequence[PublishedRun] | None = None) -> tuple[LeaveOneOut, ...]:
    """Every published run with the hours that the others predict."""
    known = published_runs() if runs is None else tuple(runs)
    judged = []
    for run in known:
        share = _centre(run.peak, [other for other in known if other is not run])
        judged.append(LeaveOneOut(run, run.hours * run.utilisation / share))
    return tuple(judged)


def plausibility(share: float) -> str:
    """What to think of a utilisation: few runs are confirmed above 0.6; below 0.1 something else took time."""
    if share >= 1:
        return "impossible: more than the machine's peak"
    if share > 0.6:
        return "implausibly efficient: check tokens, hours and the number format"
    if share < 0.1:
        return "wasteful, or the hours count more than this run"
    return "usual"


def _centre(peak: float, runs: Iterable[PublishedRun]) -> float:
    every = [(run.peak, math.log(run.utilisation)) for run in runs]
    overall = statistics.median(share for _, share in every)
    same = [share for its_peak, share in every if abs(its_peak / peak - 1) < 0.05]
    if not same:
        return math.exp(overall)
    return math.exp((len(same) * statistics.median(same) + _PRIOR_RUNS * overall) / (len(same) + _PRIOR_RUNS))


def _quantile(ordered: Sequence[float], share: float) -> float:
    place = share * (len(ordered) - 1)
    below = math.floor(place)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (place - below) * (ordered[above] - ordered[below])
