# SPDX-License-Identifier: Apache-2.0
"""Loading what is whole, and refusing what is not."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from bigenough.errors import InputError, TamperedArtefact
from bigenough.rungs.linear import LinearRung
from bigenough.rungs.predictors import load_predictor
from bigenough.rungs.predictors.constant import ConstantPredictor


@pytest.fixture
def linear_folder(fit_split, bench, tmp_path: Path) -> Path:
    rung = LinearRung()
    rung.fit(fit_split, 4, rung.first_settings(fit_split, 4), bench).save(tmp_path)
    return tmp_path


def change(folder: Path, **facts: object) -> None:
    path = folder / "predictor.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **facts}))


def test_an_empty_folder_is_no_predictor(tmp_path: Path):
    with pytest.raises(InputError, match=r"holds no predictor.*predictor\.json"):
        load_predictor(tmp_path)
    with pytest.raises(InputError, match="holds no predictor"):
        load_predictor(tmp_path / "nowhere")


@pytest.mark.parametrize(
    ("text", "error", "message"),
    [
        ("{", TamperedArtefact, "not JSON"),
        ("\ud800", TamperedArtefact, "not JSON"),
        ("[]", InputError, "no 'kind'"),
        ('{"format": 1}', InputError, "no 'kind'"),
        ('{"format": 2, "kind": "linear"}', InputError, "format 2; this bigenough reads format 1"),
        ('{"format": 1, "kind": "os"}', InputError, "kind 'os', which is not installed"),
        ('{"format": 1, "kind": "constant"}', TamperedArtefact, "frequencies"),
        (
            '{"format": 1, "kind": "constant", "temperature": 1, "frequencies": [0.5, 0.1]}',
            TamperedArtefact,
            "sum to 1",
        ),
        ('{"format": 1, "kind": "constant", "temperature": 0, "frequencies": [1.0]}', InputError, "temperature"),
    ],
)
def test_foreign_and_damaged_facts_are_refused(tmp_path: Path, text: str, error: type[Exception], message: str):
    (tmp_path / "predictor.json").write_bytes(text.encode("utf-8", "surrogatepass"))
    with pytest.raises(error, match=message):
        load_predictor(tmp_path)


@pytest.mark.parametrize(
    "facts", [{"vocabularies": []}, {"vocabularies": [{"unit": "word"}]}, {"classes": "many"}, {"classes": 2}]
)
def test_facts_that_do_not_fit_the_weights_are_refused(linear_folder: Path, facts: dict[str, object]):
    change(linear_folder, **facts)
    with pytest.raises(TamperedArtefact, match="Copy the whole folder"):
        load_predictor(linear_folder)


@pytest.mark.parametrize("name", ["coefficients", "seen", "vocabulary1.idf", "vocabulary0.prints"])
def test_missing_and_short_tensors_are_refused(linear_folder: Path, name: str):
    path = linear_folder / "weights.safetensors"
    tensors = load_file(path)
    save_file({**tensors, name: tensors[name][:-1].copy()}, path)
    with pytest.raises(TamperedArtefact):
        load_predictor(linear_folder)
    save_file({other: tensor for other, tensor in tensors.items() if other != name}, path)
    with pytest.raises(TamperedArtefact, match=f"no tensor '{name}'"):
        load_predictor(linear_folder)


def test_no_training_text_is_in_the_files(linear_folder: Path, fit_split):
    content = b"".join(path.read_bytes() for path in linear_folder.iterdir())
    words = {word.lower() for text in fit_split.texts for word in text.split() if len(word) > 6}
    assert len(words) > 100
    assert [word for word in words if word.encode() in content] == []


def test_a_low_temperature_keeps_the_majority_in_sight():
    predictor = ConstantPredictor(np.array([0.6, 0.4])).with_temperature(0.05)
    assert predictor.with_temperature(0.05).predict_proba(["x"]).tolist() == [[1.0, pytest.approx(0)]]
