# SPDX-License-Identifier: Apache-2.0
"""Encoders that nobody tuned, held against transformers: that they agree, and that a wrong graph is found out."""

from __future__ import annotations

import json
import sys
from dataclasses import replace

import numpy as np
import pytest
from models.tiny_bert import DISTILBERT_CONFIG, as_distilbert, tiny_arrays, tiny_config, write_model
from rungs.contract import in_fresh_process
from safetensors.numpy import save_file

from bigenough.rungs.frozen import FrozenRung
from bigenough.rungs.label_names import LabelNamesRung
from bigenough.rungs.protocol import Workbench
from bigenough.task import Examples

TEXTS = ["lost card", "stolen card", "pay money please", "top up money", "my card is lost", "please pay", ""] * 3
EXAMPLES = Examples(TEXTS, np.array([0, 0, 1, 1, 0, 1, 0] * 3), np.arange(1, 22))
WATCH = Examples(["help", "pay my card", "lost " * 60, "card", ""], np.array([0, 1, 0, 0, 1]), np.arange(30, 35))
AGREE = {"reference": "transformers' model of the same weights", "texts": len(WATCH), "flips": 0}


@pytest.fixture
def bench(tmp_path):
    return Workbench(seed=0, threads=1, cache=tmp_path / "cache", offline=True, class_names=("card_lost", "pay_money"))


def watched(folder, bench, rung=FrozenRung, watch=WATCH):
    made = rung(str(folder))
    return made.fit_watching(EXAMPLES, 2, made.first_settings(EXAMPLES, 2), bench, watch)


ROBERTA = tiny_config(model_type="roberta", pad_token_id=1, layer_norm_eps=1e-5)
KINDS = {
    "mean": {},
    "cls": {"pooling": "cls"},
    "of any length": {"normalise": False},
    "gelu by tanh": {"config": tiny_config(hidden_act="gelu_new")},
    "distilbert": {"config": DISTILBERT_CONFIG, "arrays": as_distilbert(tiny_arrays())},
    "roberta": {"config": ROBERTA, "arrays": {f"roberta.{name}": array for name, array in tiny_arrays().items()}},
    "16 bits": {"arrays": {f"bert.{name}": array.astype(np.float16) for name, array in tiny_arrays().items()}},
}


@pytest.mark.parametrize("rung", [FrozenRung, LabelNamesRung])
@pytest.mark.parametrize("kind", KINDS)
def test_graph_and_transformers_say_the_same(tmp_path, bench, rung, kind):
    pytest.importorskip("transformers")
    seen = watched(write_model(tmp_path / "model", **KINDS[kind]), bench, rung)
    export = dict(seen.record["export"])
    assert export.pop("max_probability_difference") < 1e-5
    assert export == AGREE
    assert json.loads(json.dumps(seen.record)) == seen.record


@pytest.mark.parametrize("rung", [FrozenRung, LabelNamesRung])
def test_looking_changes_nothing(tmp_path, bench, rung):
    made = rung(str(write_model(tmp_path / "model")))
    settings = made.first_settings(EXAMPLES, 2)
    seen = made.fit_watching(EXAMPLES, 2, settings, bench, WATCH)
    plain = made.fit(EXAMPLES, 2, settings, bench)
    assert seen.settings == settings
    np.testing.assert_array_equal(seen.predictor.predict_proba(TEXTS), plain.predict_proba(TEXTS))


@pytest.mark.parametrize("rung", [FrozenRung, LabelNamesRung])
def test_a_graph_of_other_weights_is_found_out(tmp_path, bench, rung):
    pytest.importorskip("transformers")
    folder = write_model(tmp_path / "model")
    made = rung(str(folder))
    made.fit(EXAMPLES, 2, made.first_settings(EXAMPLES, 2), bench)
    save_file(tiny_arrays(seed=1), folder / "model.safetensors")
    export = made.fit_watching(EXAMPLES, 2, made.first_settings(EXAMPLES, 2), bench, EXAMPLES).record["export"]
    assert export["max_probability_difference"] > 0.1
    assert export["flips"] > 0


def test_transformers_is_asked_once_in_a_study(tmp_path, bench):
    pytest.importorskip("transformers")
    folder = write_model(tmp_path / "model")
    first = watched(folder, bench).record["export"]
    (folder / "model.safetensors").unlink()
    again = FrozenRung(str(folder)).fit_watching(EXAMPLES, 2, {"C": 50.0, "balanced": True}, bench, WATCH)
    assert again.record["export"].keys() == first.keys()
    assert again.record["export"]["flips"] == 0


@pytest.mark.parametrize("missing", ["torch", "transformers"])
def test_without_torch_the_reason_is_told(tmp_path, bench, monkeypatch, missing):
    pytest.importorskip("transformers")
    monkeypatch.setitem(sys.modules, missing, None)
    seen = watched(write_model(tmp_path / "model"), bench)
    assert seen.record["export"] == {"not_compared": f"{missing} is not installed (pip install 'bigenough[tune]')"}
    assert seen.predictor.predict_proba(TEXTS).shape == (21, 2)


def test_what_transformers_cannot_read_is_not_compared_and_costs_no_fit(tmp_path, bench):
    pytest.importorskip("transformers")
    folder = write_model(tmp_path / "model")
    made = FrozenRung(str(folder))
    made.fit(EXAMPLES, 2, made.first_settings(EXAMPLES, 2), bench)
    arrays = tiny_arrays()
    save_file({f"elsewhere.{name}": array for name, array in arrays.items()}, folder / "model.safetensors")
    seen = made.fit_watching(EXAMPLES, 2, made.first_settings(EXAMPLES, 2), bench, WATCH)
    assert seen.record["export"]["not_compared"].startswith("transformers cannot run it (")
    assert (seen.predictor.predict_proba(TEXTS).argmax(axis=1) == EXAMPLES.labels).mean() > 0.8


def test_the_world_is_left_as_it_was(tmp_path, bench):
    torch = pytest.importorskip("torch")
    from transformers.utils import logging

    before = torch.get_rng_state(), torch.get_num_threads(), logging.get_verbosity(), logging.is_progress_bar_enabled()
    watched(write_model(tmp_path / "model"), replace(bench, threads=2))
    assert (torch.get_rng_state() == before[0]).all()
    assert before[1:] == (torch.get_num_threads(), logging.get_verbosity(), logging.is_progress_bar_enabled())


def test_of_many_rows_512_are_compared(tmp_path, bench):
    pytest.importorskip("transformers")
    many = Examples([f"card {i} lost" for i in range(600)], np.zeros(600, np.int64), np.arange(600))
    assert watched(write_model(tmp_path / "model"), bench, watch=many).record["export"]["texts"] == 512


def test_their_modules_import_no_torch():
    code = """
import sys, bigenough, bigenough.rungs.frozen, bigenough.rungs.label_names
print({"torch", "transformers"} & {*sys.modules})"""
    assert in_fresh_process(code).strip() == "set()"
