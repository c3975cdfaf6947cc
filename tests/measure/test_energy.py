# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import os
import subprocess
import sys
import time

import pytest

from bigenough.errors import BadOption
from bigenough.measure.energy import EnergyMeter, PowerModel, grid_factor
from bigenough.quantity import Quantity, published


def burn(seconds: float) -> None:
    end = time.process_time() + seconds
    while time.process_time() < end:
        pass


@pytest.fixture(scope="module")
def meter() -> EnergyMeter:
    meter = EnergyMeter("FRA")
    with meter.metered():  # looks the hardware up
        pass
    return meter


def test_more_work_takes_more_energy_and_the_provenance_is_told(meter):
    with meter.metered() as little:
        burn(0.05)
    with meter.metered() as much:
        burn(0.4)
    assert little.energy.wh.value < much.energy.wh.value
    assert much.energy.seconds >= 0.4
    assert much.energy.wh.provenance == ("modelled" if meter.counter is None else "measured")
    assert "codecarbon" in much.energy.wh.source
    assert much.energy.co2e_g.provenance == "modelled"
    assert "France" in much.energy.co2e_g.source
    grams = much.energy.wh.value / 1000 * meter.grid.value
    assert much.energy.co2e_g.value == pytest.approx(grams)
    assert Quantity.from_json(much.energy.to_json()["wh"]) == much.energy.wh


def test_the_model_for_serving_agrees_with_the_meter(meter):
    if meter.counter is not None or meter.power is None:
        pytest.skip("energy is read off a counter here, or codecarbon has no power for this processor")
    with meter.metered() as reading:
        cpu, wall = time.process_time(), time.perf_counter()
        burn(0.5)
        cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
    assert meter.power.energy(cpu, wall, "the same").wh.value == pytest.approx(reading.energy.wh.value, rel=0.15)


def test_energy_is_known_after_the_block_only_and_also_when_it_raises(meter):
    with pytest.raises(KeyError), meter.metered() as reading:
        with pytest.raises(RuntimeError, match="not ended"):
            _ = reading.energy
        raise KeyError("the fit failed")
    assert reading.energy.wh.value is not None


def test_a_block_within_a_block_is_unknown_and_does_not_disturb_the_outer(meter):
    with meter.metered() as outer, meter.metered() as inner:
        burn(0.05)
    assert inner.energy.wh.value is None
    assert inner.energy.co2e_g.value is None
    assert "another" in inner.energy.wh.source
    assert outer.energy.wh.value > 0


def test_nothing_is_written_printed_or_sent_whatever_the_users_settings_of_codecarbon_say(tmp_path):
    """A whole process: codecarbon reads its settings once, and would print and warn at its first use."""
    code = (
        "import socket\n"
        "def refuse(*a, **k): raise SystemExit('the network was asked')\n"
        "socket.getaddrinfo = socket.socket.connect = refuse\n"
        "from bigenough.measure.energy import EnergyMeter\n"
        "with EnergyMeter().metered() as reading: sum(range(10**6))\n"
        "assert reading.energy.wh.value > 0\n"
    )
    settings = {"SAVE_TO_FILE": "true", "SAVE_TO_API": "true", "ELECTRICITYMAPS_API_TOKEN": "x", "LOG_LEVEL": "debug"}
    environment = os.environ | {f"CODECARBON_{name}": value for name, value in settings.items()}
    answer = subprocess.run(
        [sys.executable, "-W", "default", "-c", code], cwd=tmp_path, env=environment, capture_output=True, text=True
    )
    assert (answer.returncode, answer.stdout, answer.stderr) == (0, "", "")
    assert list(tmp_path.iterdir()) == []


def test_grids_are_published_figures_of_a_named_country_or_of_the_world():
    world, germany = grid_factor(None), grid_factor("deu")
    assert world.provenance == germany.provenance == "published"
    assert "world average" in world.source
    assert "Germany" in germany.source
    assert 100 < germany.value < world.value
    with pytest.raises(BadOption, match="'Germany'"):
        EnergyMeter("Germany")


def test_the_power_model_is_the_formula_it_names():
    model = PowerModel(100.0, 4, 5.0, published(500.0, "g CO2e/kWh", "an example"), "an example")
    use = model.energy(3600.0, 1800.0, "half an hour on two threads")
    assert use.wh.value == pytest.approx(25.0 + 2.5)
    assert use.co2e_g.value == pytest.approx(27.5 * 0.5)
