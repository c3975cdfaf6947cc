# SPDX-License-Identifier: Apache-2.0
"""What work takes in electricity and what that emits, by codecarbon: off a counter where there is one, else modelled.

Without a counter codecarbon's model for one process is, with W the CPU's thermal design power and n its hardware
threads, ``energy = W × CPU seconds / n + memory watts × seconds``, without the rest of the machine and its cooling.
Emissions are energy times the yearly average of a country's grid, or of the world's when no country is named.
"""

from __future__ import annotations

import json
import logging
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property, lru_cache
from importlib import metadata
from pathlib import Path
from typing import Any

from bigenough.errors import BadOption
from bigenough.quantity import Quantity, measured, modelled, published, unknown
from bigenough.quantity.quantity import QuantityJson

__all__ = ["EnergyMeter", "EnergyUse", "PowerModel", "Reading", "grid_factor"]

_ONE_AT_A_TIME = threading.Lock()


@dataclass(frozen=True)
class EnergyUse:
    """What one piece of work took.

    Attributes:
        wh: electricity.
        co2e_g: the emissions of making it; modelled even when the electricity was measured.
        seconds: how long the work lasted.
    """

    wh: Quantity
    co2e_g: Quantity
    seconds: float

    def to_json(self) -> dict[str, QuantityJson]:
        """The two quantities as plain JSON values."""
        return {"wh": self.wh.to_json(), "co2e_g": self.co2e_g.to_json()}


@dataclass(frozen=True)
class PowerModel:
    """The model for machines, or pieces of work, that no counter can tell.

    Attributes:
        cpu_watts: what the CPU draws with all its hardware threads at work.
        hardware_threads: how many it has.
        memory_watts: what the memory draws.
        grid: g CO2e/kWh.
        source: where the watts come from.
    """

    cpu_watts: float
    hardware_threads: int
    memory_watts: float
    grid: Quantity
    source: str

    def energy(self, cpu_s: float, wall_s: float, work: str) -> EnergyUse:
        """What ``cpu_s`` seconds of CPU time within ``wall_s`` seconds take; ``work`` says what they did.

        >>> grid = published(500.0, "g CO2e/kWh", "an example")
        >>> PowerModel(90.0, 2, 10.0, grid, "an example").energy(72.0, 36.0, "a run").wh
        Quantity(1 Wh, modelled: a run: CPU time x 90 W / 2 threads + time x 10 W of memory; an example)
        """
        wh = (self.cpu_watts * cpu_s / self.hardware_threads + self.memory_watts * wall_s) / 3600
        source = (
            f"{work}: CPU time x {self.cpu_watts:g} W / {self.hardware_threads} threads "
            f"+ time x {self.memory_watts:g} W of memory; {self.source}"
        )
        return _use(modelled(wh, "Wh", source), self.grid, wall_s)


class Reading:
    """Filled when its ``metered`` block ends."""

    def __init__(self) -> None:
        self._energy: EnergyUse | None = None

    @property
    def energy(self) -> EnergyUse:
        """What the block took; ask after it."""
        if self._energy is None:
            raise RuntimeError("The metered block has not ended yet.")
        return self._energy

    def to_json(self) -> dict[str, QuantityJson]:
        """The two quantities as plain JSON values; ask after the block."""
        return self.energy.to_json()


class EnergyMeter:
    """Meters pieces of work of this process, one at a time.

    The first use in a process looks the hardware up, which takes about a second and a half; later ones cost
    milliseconds. Nothing is written to disk and nobody outside is asked. When codecarbon fails, the energy is unknown
    and the work goes on.

    Args:
        country: whose grid, as an ISO 3166 code of three letters; None for the world's average.

    Raises:
        BadOption: no such country in codecarbon's table.

    Example:
        >>> meter = EnergyMeter("FRA")                              # doctest: +SKIP
        >>> with meter.metered() as reading:                        # doctest: +SKIP
        ...     sum(range(10_000_000))
        >>> reading.energy.wh                                       # doctest: +SKIP
        Quantity(0.0011 Wh, modelled: ...)
    """

    def __init__(self, country: str | None = None) -> None:
        self.country = country
        self.grid = grid_factor(country)

    @cached_property
    def counter(self) -> str | None:
        """The hardware counter that is read, or None when energy is modelled."""
        try:
            return _hardware_counter()
        except Exception:  # codecarbon's probing may fail in as many ways as there are machines
            return None

    @cached_property
    def power(self) -> PowerModel | None:
        """The model for work that is not metered here, such as serving; None when codecarbon has none for this CPU."""
        try:
            return _power_model(self.grid)
        except Exception:
            return None

    @contextmanager
    def metered(self) -> Iterator[Reading]:
        """Meter the block; also when it raises."""
        reading = Reading()
        alone = _ONE_AT_A_TIME.acquire(blocking=False)
        tracker, problem = _start() if alone else (None, "another metered block was under way")
        started = time.perf_counter()
        try:
            yield reading
        finally:
            seconds = time.perf_counter() - started
            reading._energy = self._unknown(problem, seconds) if tracker is None else self._read(tracker, seconds)
            if alone:
                _ONE_AT_A_TIME.release()

    def _read(self, tracker: Any, seconds: float) -> EnergyUse:
        try:
            data = tracker.stop_task()
            wh = 1000 * float(data.cpu_energy + data.ram_energy)  # no rung works on a GPU; one would be others' work
            memory = f"{float(data.ram_power):g} W of memory modelled by its size"
            if self.counter is not None:
                source = f"{_codecarbon()}: {self.counter} counter of the whole CPU, {memory}"
                return _use(measured(wh, "Wh", source), self.grid, seconds)
            power = self.power
            cpu = "CPU" if power is None else f"CPU time x {power.cpu_watts:g} W / {power.hardware_threads} threads"
            source = f"{_codecarbon()}, no hardware counter: {cpu} + time x {memory}"
            return _use(modelled(wh, "Wh", source), self.grid, seconds)
        except Exception as error:
            return self._unknown(f"{_codecarbon()} failed: {error!r}", seconds)

    def _unknown(self, why: str, seconds: float) -> EnergyUse:
        return _use(unknown("Wh", why), self.grid, seconds)


def grid_factor(country: str | None) -> Quantity:
    """The average emissions of a country's electricity in g CO2e/kWh, from the tables that codecarbon carries.

    >>> grid_factor(None).value
    475.0

    Raises:
        BadOption: no such country in the table.
    """
    from codecarbon.input import DataSource

    tables = DataSource()  # type: ignore[no-untyped-call]
    if country is None:
        world = json.loads(Path(tables.carbon_intensity_per_source_path).read_text(encoding="utf-8"))
        source = f"world average, since no country was named ({world['world_average_source']}, by {_codecarbon()})"
        return published(float(world["world_average"]), "g CO2e/kWh", source)
    mixes = json.loads(Path(tables.global_energy_mix_data_path).read_text(encoding="utf-8"))
    mix = mixes.get(country.upper())
    if mix is None or mix.get("carbon_intensity") is None:
        raise BadOption(
            f"There is no electricity grid for the country {country!r}. "
            "Give a three-letter ISO 3166 code such as DEU, FRA or USA, or none for the world's average."
        )
    source = f"yearly average of {mix['country_name']}, {mix['year']}, from the table in {_codecarbon()}"
    return published(float(mix["carbon_intensity"]), "g CO2e/kWh", source)


def _use(wh: Quantity, grid: Quantity, seconds: float) -> EnergyUse:
    if wh.value is None or grid.value is None:
        return EnergyUse(wh, unknown("g CO2e", f"the energy is unknown: {wh.source}"), seconds)
    grams = wh.value * grid.value / 1000
    return EnergyUse(wh, modelled(grams, "g CO2e", f"energy x {grid.value:g} g CO2e/kWh, {grid.source}"), seconds)


def _codecarbon() -> str:
    return f"codecarbon {metadata.version('codecarbon')}"


@lru_cache(maxsize=1)
def _tracker() -> Any:
    """One tracker for the whole process: the second would look the hardware up again and track the same work."""
    logging.getLogger("codecarbon").setLevel(logging.CRITICAL)
    from codecarbon import OfflineEmissionsTracker

    logging.getLogger("codecarbon").setLevel(logging.CRITICAL)  # its import sets the level too
    return OfflineEmissionsTracker(
        tracking_mode="process",
        allow_multiple_runs=True,  # else a lock file lets a second study of the same user go unmetered
        output_methods=[],
        emissions_endpoint=None,
        force_carbon_intensity_g_co2e_kwh=0.0,  # the grid is ours to apply; else a token in its settings goes online
        pue=1.0,
        log_level="critical",
    )


def _start() -> tuple[Any, str]:
    """The tracker at work on a new task, or None and the reason."""
    try:
        tracker = _tracker()
        tracker.start_task()
    except Exception as error:
        return None, f"{_codecarbon()} failed: {error!r}"
    return tracker, ""


def _hardware_counter() -> str | None:
    # elsewhere codecarbon may ask a privileged helper or fall back in silence: called modelled to be on the safe side
    if sys.platform.startswith("linux"):
        from codecarbon.core.cpu import is_rapl_available

        return "RAPL" if is_rapl_available() else None
    return None


def _power_model(grid: Quantity) -> PowerModel | None:
    hardware = _tracker().get_detected_hardware()
    from codecarbon.core import cpu
    from codecarbon.core.cpu import DEFAULT_POWER_PER_CORE
    from codecarbon.core.hardware_cache import get_cached_tdp
    from codecarbon.external.ram import RAM

    tdp = get_cached_tdp(cpu)  # type: ignore[no-untyped-call]
    if tdp.tdp is None:
        return None
    threads = int(hardware["cpu_count"])
    guessed = float(tdp.tdp) == threads * DEFAULT_POWER_PER_CORE
    basis = f"its default of {DEFAULT_POWER_PER_CORE} W a thread" if guessed else "its table of thermal design power"
    return PowerModel(
        cpu_watts=float(tdp.tdp) * int(hardware["cpu_physical_count"]),
        hardware_threads=threads,
        memory_watts=float(RAM(tracking_mode="process").total_power().W),
        grid=grid,
        source=f"{_codecarbon()}, {basis} for {tdp.model}; memory by its size",
    )
