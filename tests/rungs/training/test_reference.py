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
WATCH = ["help", "pay my card", "lost " * 60, "card", ""]
AGREE = {"reference": "transformers' model of the same weights", "texts": len(WATCH), "flips": 0}


@pytest.fixture
def bench(tmp_path):
    return Workbench(seed=0, threads=1, cache=tmp_path / "cache", offline=True, class_names=("card_lost", "pay_money"))


def compared(folder, bench, rung=FrozenRung, texts=WATCH):
    made = rung(str(folder))
    predictor = made.fit(EXAMPLES, 2, made.first_settings(EXAMPLES, 2), bench)
    return made.parity(predictor.with_temperature(1.7), texts, bench)


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
    export = compared(write_model(tmp_path / "model", **KINDS[kind]), bench, rung)
    assert json.loads(json.dumps(export)) == export
    assert export.pop("max_probability_difference") < 1e-5
    assert export == AGREE


@pytest.mark.parametrize("rung", [FrozenRung, LabelNamesRung])
def test_looking_changes_nothing(tmp_path, bench, rung):
    made = rung(str(write_model(tmp_path / "model")))
    predictor = made.fit(EXAMPLES, 2, made.first_settings(EXAMPLES, 2), bench)
    before = predictor.predict_proba(TEXTS)
    made.parity(predictor, WATCH, bench)
    np.testing.assert_array_equal(predictor.predict_proba(TEXTS), before)


@pytest.mark.parametrize("rung", [FrozenRung, LabelNamesRung])
def test_a_graph_of_other_weights_is_found_out(tmp_path, bench, rung):
    pytest.importorskip("transformers")
    folder = write_model(tmp_path / "model")
    made = rung(str(folder))
    predictor = made.fit(EXAMPLES, 2, made.first_settings(EXAMPLES, 2), bench)
    save_file(tiny_arrays(seed=1), folder / "model.safetensors")
    export = made.parity(predictor, TEXTS, bench)
    assert export["max_probability_difference"] > 0.1
    assert export["flips"] > 0


def test_transformers_is_asked_once_in_a_study(tmp_path, bench):
    pytest.importorskip("transformers")
    folder = write_model(tmp_path / "model")
    first = compared(folder, bench)
    (folder / "model.safetensors").unlink()
    again = compared(folder, bench)
    assert again == first
    assert again["flips"] == 0


@pytest.mark.parametrize("missing", ["torch", "transformers"])
def test_without_torch_the_reason_is_told(tmp_path, bench, monkeypatch, missing):
    pytest.importorskip("transformers")
    monkeypatch.setitem(sys.modules, missing, None)
    export = compared(write_model(tmp_path / "model"), bench)
    assert export == {"not_compared": f"{missing} is not installed (pip install 'bigenough[tune]')"}


def test_what_transformers_cannot_read_is_not_compared_and_costs_no_fit(tmp_path, bench):
    pytest.importorskip("transformers")
    folder = write_model(tmp_path / "model")
    made = FrozenRung(str(folder))
    predictor = made.fit(EXAMPLES, 2, made.first_settings(EXAMPLES, 2), bench)
    arrays = tiny_arrays()
    save_file({f"elsewhere.{name}": array for name, array in arrays.items()}, folder / "model.safetensors")
    assert made.parity(predictor, WATCH, bench)["not_compared"].startswith("transformers cannot run it (")


def test_the_world_is_left_as_it_was(tmp_path, bench):
    torch = pytest.importorskip("torch")
    from transformers.utils import logging

    before = torch.get_rng_state(), torch.get_num_threads(), logging.get_verbosity(), logging.is_progress_bar_enabled()
    compared(write_model(tmp_path / "model"), replace(bench, threads=2))
    assert (torch.get_rng_state() == before[0]).all()
    assert before[1:] == (torch.get_num_threads(), logging.get_verbosity(), logging.is_progress_bar_enabled())


def test_of_many_rows_512_are_compared(tmp_path, bench):
    pytest.importorskip("transformers")
    many = [f"card {i} lost" for i in range(600)]
    assert compared(write_model(tmp_path / "model"), bench, texts=many)["texts"] == 512


def test_their_modules_import_no_torch():
    code = """
import sys, bigenough, bigenough.rungs.frozen, bigenough.rungs.label_names
print({"torch", "transformers"} & {*sys.modules})"""
    assert in_fresh_process(code).strip() == "set()"
