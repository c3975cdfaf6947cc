# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pytest

from bigenough.errors import InputError, RungFailed
from bigenough.measure.energy import PowerModel
from bigenough.measure.performance import measure_performance
from bigenough.quantity import Quantity, published
from bigenough.rungs.predictors.constant import ConstantPredictor

LOADER = "planted_model:load"
POWER = PowerModel(8.0, 2, 10.0, published(475.0, "g CO2e/kWh", "an example"), "an example")
FIGURES = {
    *("startup_s", "load_s", "latency_p50_ms", "latency_p95_ms", "latency_p99_ms", "throughput_rows_per_s"),
    *("memory_mb", "size_mb", "n_parameters", "serve_wh_per_1000", "serve_co2e_g_per_1000"),
}


def measure(folder, texts, **options):
    return measure_performance(folder, texts, loader=LOADER, seconds=0.05, **options)


def test_every_figure_has_a_value_a_unit_and_a_source(planted, texts):
    model = planted()
    result = measure(model, texts, threads=2, power=POWER)
    assert set(result.figures) == FIGURES
    for name, figure in result.figures.items():
        assert figure.value is not None, name
        assert figure.value > 0 or name == "memory_mb", name
    assert result.figures["n_parameters"].value == 42
    assert result.figures["size_mb"].value == (model / "predictor.json").stat().st_size / 1e6
    percentiles = [result.figures[f"latency_p{p}_ms"].value for p in (50, 95, 99)]
    assert percentiles == sorted(percentiles)
    assert result.figures["serve_wh_per_1000"].provenance == "modelled"
    assert result.figures["latency_p50_ms"].provenance == "measured"
    assert result.figures["startup_s"].value > result.figures["load_s"].value
    assert result.determinism.stable()
    names = [check.check for check in result.determinism.checks]
    wanted = ["repeat", "batch size 1", "batch size 7", "batch size 64", "shuffled order", "restart", "1 thread"]
    assert names == [*wanted, "default threads"]


def test_the_json_is_plain_and_reads_back(planted, texts):
    data = measure(planted(), texts).to_json()
    again = json.loads(json.dumps(data, allow_nan=False))
    assert set(again) == FIGURES | {"determinism"}
    assert Quantity.from_json(again["serve_wh_per_1000"]).value is None, "no power model was given"
    assert again["determinism"]["rows"] == 90
    assert set(again["determinism"]["checks"][0]) == {"check", "label_flips", "max_probability_difference"}


@pytest.mark.parametrize(
    ("fault", "caught_by", "spared"),
    [
        ("noise", {"repeat", "batch size 1", "batch size 7", "shuffled order", "restart", "1 thread"}, set()),
        ("batch", {"batch size 1", "batch size 7"}, {"repeat", "restart", "shuffled order"}),
        ("order", {"batch size 1", "shuffled order"}, {"repeat", "restart", "1 thread"}),
        ("process", {"restart"}, {"repeat", "batch size 1", "batch size 64", "shuffled order"}),
        ("threads", {"1 thread"}, {"repeat", "batch size 1", "restart"}),
    ],
)
def test_a_planted_unsteadiness_is_caught_by_the_checks_made_for_it(planted, texts, fault, caught_by, spared):
    result = measure(planted(fault), texts).determinism
    assert not result.stable()
    caught = {check.check for check in result.checks if check.max_probability_difference > 1e-6}
    assert caught_by <= caught
    assert not spared & caught
    flipped = {check.check for check in result.checks if check.label_flips}
    assert flipped or fault not in ("noise", "threads")


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ("raise", "ZeroDivisionError: nothing to divide by"),
        ("no load", r"weights\.bin has the wrong shape"),
        ("killed", "exit code -9"),
    ],
)
def test_a_failing_process_ends_in_its_own_last_lines(planted, texts, fault, message):
    with pytest.raises(RungFailed, match=message):
        measure(planted(fault), texts)


def test_a_hanging_model_is_given_up(planted, texts):
    with pytest.raises(RungFailed, match="given up after 1 s"):
        measure(planted("hang"), texts, timeout_s=1.0)


def test_a_loader_that_is_not_there_is_named(planted, texts):
    with pytest.raises(RungFailed, match="no_such_module"):
        measure_performance(planted(), texts, loader="no_such_module:load", seconds=0.05)


def test_a_model_that_prints_does_not_disturb_the_answer(planted, texts):
    assert measure(planted("chatty"), texts).determinism.stable()


def test_memory_is_the_models_own_and_not_its_parents(planted, texts):
    ballast = b"x" * 150_000_000  # what getrusage would inherit
    small, big = measure(planted(), texts).figures["memory_mb"], measure(planted("big"), texts).figures["memory_mb"]
    assert small.value < 40
    assert 60 <= big.value < 120
    assert big.low >= 60
    assert len(ballast)


def test_a_model_of_bigenough_needs_no_loader(tmp_path, texts):
    ConstantPredictor(np.array([0.25, 0.75])).save(tmp_path)
    result = measure_performance(tmp_path, texts, seconds=0.05)
    assert result.figures["n_parameters"].value == 2
    assert result.determinism.stable(tolerance=0.0)


def test_odd_texts_and_few_rows(planted):
    result = measure(planted(), ["\ud800 half a pair", "näïve\n\x00", "x" * 100_000])
    assert result.determinism.rows == 3
    assert result.determinism.stable()
    with pytest.raises(InputError, match="at least one text"):
        measure(planted("raise"), [])


def test_before_the_first_prediction_nothing_heavy_is_imported():
    heavy = ("psutil", "scipy", "sklearn", "subprocess", "codecarbon", "polars", "onnxruntime")
    code = f"import sys, bigenough.measure.probe; print([name for name in {heavy} if name in sys.modules])"
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == "[]"
