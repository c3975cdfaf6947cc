# SPDX-License-Identifier: Apache-2.0
import json
import re
from pathlib import Path

import pytest
from typer.testing import CliRunner

from bigenough.atlas.calibrate import Calibration
from bigenough.atlas.precision import precision
from bigenough.atlas.probe import Probe
from bigenough.atlas.subject import subject
from bigenough.cli.app import app
from bigenough.errors import BadOption
from bigenough.quantity.range import exact

RUNNER = CliRunner()
CONFIG = {
    "model_type": "llama", "num_hidden_layers": 30, "hidden_size": 576, "num_attention_heads": 9,
    "num_key_value_heads": 3, "intermediate_size": 1536, "vocab_size": 49152, "max_position_embeddings": 8192,
    "tie_word_embeddings": True,
}  # fmt: skip


def run(*words):
    return RUNNER.invoke(app, ["plan", *words], catch_exceptions=True)


def test_plan_of_a_giant():
    told = run("gpt-3", "--on", "a100-80gb")
    assert told.exit_code == 0, told.output
    assert "349.2 GB" in told.output
    assert "fewest devices          5 of 80 GB" in told.output
    assert "undertrained" in told.output


def test_every_figure_of_the_json_says_where_it_comes_from():
    told = run("llama-3.1-70b", "--users", "200", "--context", "8k", "--json")
    plan = json.loads(told.output)
    figures = [
        line["figure"] for section in plan["sections"] for line in section["lines"] if isinstance(line["figure"], dict)
    ]
    assert len(figures) > 10
    assert all(figure["source"] and figure["provenance"] for figure in figures)
    assert any("Poisson" in line["note"] for section in plan["sections"] for line in section["lines"])


def test_every_printed_figure_says_how_it_is_known():
    told = run("llama-3.1-70b", "--on", "2xh100-80gb").output
    figures = [line for line in told.splitlines() if re.search(r"  [\d.,e+]+ [A-Za-z/%*]+( \[.*\])?(  \(|$)", line)]
    assert len(figures) > 15
    assert all(re.search(r"measured|modelled|published|given", line) for line in figures), figures


def test_a_price_given_is_the_price_used():
    assert "175,200 USD/year" in run("llama-3.1-70b", "--on", "2xh100-80gb", "--price", "10").output


def _pool(plan, *labels):
    lines = {line["label"]: line["figure"] for section in plan["sections"] for line in section["lines"]}
    return [lines[label] for label in labels]


def test_what_is_paid_for_is_the_pool_and_not_one_copy():
    asked = ("llama-3.1-70b", "--context", "8k", "--json")
    alone, many = (json.loads(run(*asked, *users).output) for users in ((), ("--users", "200")))
    fewest, rent, bought = _pool(alone, "fewest devices", "rent, always on", "buy")
    assert fewest.startswith("2 of")
    devices, pool_rent, pool_bought = _pool(many, "devices", "rent, always on", "buy")
    for end in ("value", "low", "high"):
        shares = devices[end] / 2
        assert shares >= 2
        assert pool_rent[end] == pytest.approx(shares * rent["value"])
        assert pool_bought[end] == pytest.approx(shares * bought["value"])


def test_renting_pays_from_so_many_requests():
    plan = json.loads(run("llama-3.1-70b", "--json").output)
    rent, price, requests = _pool(plan, "rent, always on", "an endpoint, a million tokens out", "the same in requests")
    each = price["value"] * (1000 + 300) / 1e6  # this endpoint asks the same for a token in and a token out
    assert requests["value"] == pytest.approx(rent["value"] / each)


def test_a_calibration_probes_a_shipped_model_or_says_that_none_was(monkeypatch, tmp_path):
    speed = exact(10, "GB/s", "bandwidth", "a test", provenance="measured")
    here = Calibration(((1e9, speed),), exact(0.1, "TFLOP/s", "peak", "a test"), speed, 1, 0.0)
    monkeypatch.setattr("bigenough.atlas.calibrate.calibrate", lambda: here)
    monkeypatch.setattr(
        "bigenough.atlas.probe.probe", lambda file: Probe(1.35e8, 9.7e7, 50.0, 1, f"{file.name}, a test")
    )
    monkeypatch.setattr("bigenough.atlas.probe.shipped_gguf", lambda: tmp_path / "small.gguf")
    assert "small.gguf, a test" in run("smollm2-135m", "--calibrate").output
    assert "little is sure" in run("llama-3.1-8b", "--calibrate").output
    monkeypatch.setattr("bigenough.atlas.probe.shipped_gguf", lambda: None)
    for words in (("--calibrate",), ("smollm2-135m", "--calibrate")):
        assert "No runtime was probed" in run(*words).output


def test_what_was_measured_here_tells_how_fast_an_encoder_reads_and_no_pool(monkeypatch):
    speed = exact(10, "GB/s", "bandwidth", "a test", provenance="measured")
    arithmetic = [exact(one, "TFLOP/s", "peak", "a test", provenance="measured") for one in (1.0, 0.1)]
    here = Calibration(((1e9, speed),), *arithmetic, 1, 0.0)
    monkeypatch.setattr("bigenough.atlas.calibrate.calibrate", lambda: here)
    monkeypatch.setattr("bigenough.atlas.probe.probe", lambda file: Probe(1.35e8, 9.7e7, 50.0, 1, "a test"))
    monkeypatch.setattr("bigenough.atlas.probe.shipped_gguf", lambda: Path("small.gguf"))
    words = ("bert-base", "--calibrate", "--context", "42", "--json")
    (section,) = (one for one in json.loads(run(*words).output)["sections"] if one["title"] == "Speed")
    written, read = section["lines"]
    assert "does not write" in written["figure"]
    shape = subject("bert-base").shape
    assert read["figure"]["value"] == pytest.approx(here.encoding(shape, 42).mid)
    assert "rows of 42 tokens" in read["note"]
    told = run("smollm2-135m", "--calibrate", "--users", "5").output
    assert "what one user gets" in told
    assert "not known" not in told


def test_a_computers_own_programs_keep_some_of_its_memory():
    told = run("7b", "--on", "laptop").output
    assert re.search(r"fits +(no|tight)", told)
    assert "fewest devices          2 of 16 GB" in told


def test_training_is_planned_by_the_operations_that_utilisation_is_measured_by():
    """A model made for long texts is trained on shorter ones for most of the time."""
    given = json.loads(run("--train", "llama-3.1-8b", "--tokens", "15t", "--on", "8xh100-sxm-80gb", "--json").output)
    lines = {line["label"]: line["figure"] for section in given["sections"] for line in section["lines"]}
    work, hours, share = (lines[name]["value"] for name in ("training operations", "device-hours", "utilisation"))
    assert 1 < work * 1e18 / (6 * 8.03e9 * 15e12) < 1.5, "with attention over 8,192 tokens"
    assert hours == pytest.approx(6 * 8.03e9 * 15e12 / (989e12 * share / 100) / 3600, rel=0.05)
    assert "Sequences of 8,192 tokens." in given["assumptions"]


def test_a_device_without_a_rating_has_no_energy():
    told = run("--train", "7b", "--tokens", "140b", "--on", "64xtpuv5e").output
    assert "unknown: no power rating" in told
    assert "emissions" not in told.partition("Energy")[2].partition("\n\n")[0]


@pytest.mark.parametrize(("given", "bits"), [("2.06", 2.06), ("4.05", 4.05), ("8.0", 8), ("8-bit", 8), ("16.00", 16)])
def test_a_number_of_bits_is_that_number(given, bits):
    assert precision(given).bits == bits


def test_tiers_move_with_the_borders_given():
    assert "mini (borders of 2023)" in run("gemma-2-2b").output
    assert "enterprise (borders adjusted: mini from 500M, enterprise from 2B, mega from 30B)" in (
        run("gemma-2-2b", "--tier-borders", "500m,2b,30b").output
    )
    assert "set apart" in run("dlrm-12t", "--on", "8xa100-80gb").output


def test_explanation_prints_formulas():
    told = run("llama-3.1-8b", "--on", "h100-80gb", "--users", "50", "--explain").output
    assert "weights = parameters × bits per weight" in told
    assert "arXiv:2309.06180" in told
    for step in ("reading = bytes / bandwidth", "launching", "electricity of an hour = power × PUE × price", "PUE of"):
        assert step in told
    assert "published: given" not in told


def test_explanation_derives_each_figure_once():
    lines = [line.strip() for line in run("llama-3.1-8b", "--users", "50", "--explain").output.splitlines()]
    derived = [line for line in lines if " = " in line and " per second of one user = " in line]
    assert len([line for line in derived if not line.endswith("as above")]) == len(
        {line for line in derived if not line.endswith("as above")}
    )
    assert any(line.endswith(", as above") for line in lines)


def test_a_size_that_was_counted_is_not_called_published(tmp_path):
    (tmp_path / "config.json").write_text(json.dumps(CONFIG), encoding="utf-8")
    told = run(str(tmp_path), "--on", "laptop", "--explain").output
    assert "parameters = 1.35e+08 param (modelled: counted from config.json)" in told
    assert "bandwidth of laptop 16GB" in told


def test_training_plan():
    told = run("--train", "7b", "--tokens", "140b", "--on", "64xh100-80gb")
    assert told.exit_code == 0, told.output
    for word in ("device-hours", "utilisation", "tCO2e", "published runs", "about optimal"):
        assert word in told.output


def test_buying_renting_and_asking_stand_side_by_side():
    told = run("llama-3.1-70b", "--on", "2xh100-80gb").output
    for words in ("buying pays after", "a rented hour", "renting pays from", "an endpoint"):
        assert words in told


def test_serving_counts_when_it_is_told():
    told = run("--train", "llama-3.1-70b", "--tokens", "1.4t", "--served", "10t", "--on", "64xh100-80gb").output
    assert "best size for the same loss" in told
    assert "10T token  (given)" in told
    assert "operations saved" in told


def test_comparison_names_both():
    told = run("gpt-3", "llama-3.1-8b", "--compare", "--on", "8xa100-80gb")
    assert "GPT-3" in told.output
    assert "Llama 3.1 8B" in told.output


def test_recommender_is_planned_by_memory_only():
    told = run("dlrm-12t", "--on", "8xa100-80gb")
    assert "not planned" in told.output
    assert "token/s" not in told.output


def test_encoder_does_not_write():
    for name in ("bert-base", "clip", "vit-g/14", "perceiver"):
        told = run(name).output
        assert "does not write" in told
        assert "token/s" not in told
    assert "not planned" in run("bert-base", "--users", "5").output


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("gpt-7",), "Did you mean"),
        ((), "Name a model"),
        (("gpt-3", "7b"), "--compare"),
        (("7b", "--precision", "int9"), "int8"),
        (("7b", "--users", "0"), "above zero"),
        (("7b", "--sequences", "-1"), "above zero"),
        (("llama-3.1-8b", "--context", "500k"), "beyond"),
        (("7b", "--grid", "atlantis"), "atlantis"),
        (("--train", "7b"), "how many tokens"),
        (("--train", "7b", "--tokens", "140", "--on", "64xh100"), "less than a page. Did you mean 140b"),
        (("--train", "7b", "--tokens", "1b", "--on", "laptop"), "accelerators"),
        (("--train", "dlrm-12t", "--tokens", "1t"), "6 N D does not describe"),
        (("7b", "--probe", "x.gguf"), "--calibrate"),
        (("7b", "--tokens", "1b"), "--train"),
        (("7b", "--calibrate", "--on", "h100"), "measures this machine, and --on h100 is another"),
        (("7b", "--calibrate", "--on", "laptop"), "Leave --on out"),
        (("--train", "7b", "--tokens", "1b", "--calibrate"), "training is planned on accelerators"),
        (("--train", "7b", "--tokens", "1b", "--tier-borders", "1b,2b,3b"), "about serving"),
        (("7b", "--tier-borders", "1b,7b"), "expected three sizes"),
        (("7b", "--tier-borders", "7b,1b,50b"), "must rise"),
        (("7b", "--tier-borders", "0,1b,50b"), "more than zero"),
        (("7b", "--price", "-1"), "above zero"),
        (("--train", "7b", "--tokens", "1b", "--users", "3"), "about serving"),
        (("--train", "7b", "--tokens", "1b", "--zero", "7"), "0 to 3"),
        (("7b", "--on", "80"), "GiB"),
        (("7b", "--on", "80Gb"), "not bits"),
        (("7b", "--html", "/dev/null/page.html"), "cannot be written there"),
        (("./no/such/folder",), "config.json"),
    ],
)
def test_bad_input_is_refused(words, told):
    result = run(*words)
    assert isinstance(result.exception, BadOption), result.output
    assert told in str(result.exception)
