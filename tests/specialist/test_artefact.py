# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from bigenough.errors import RungFailed
from bigenough.rungs.predictors.constant import ConstantPredictor
from bigenough.specialist import load
from bigenough.storage import file_hashes


def test_the_models_files_are_copied_byte_for_byte(packed, judged):
    assert file_hashes(packed / "model") == file_hashes(judged.model)


def test_no_text_of_the_users_rows_is_shipped_beside_the_model(packed, judged):
    shipped = "".join((packed / name).read_text() for name in ("specialist.json", "canary.json", "README.md"))
    assert not [text for text in judged.texts if text in shipped]


def test_the_description_holds_what_the_study_knows(packed, judgement):
    about = json.loads((packed / "specialist.json").read_text())
    assert about["format"] == 1
    assert about["classes"] == list(judgement.task.classes)
    assert about["verdict"]["sentence"] == judgement.sentence
    assert about["task"] == {"metric": "accuracy", "margin": 0.015, "alpha": 0.05, "limits": {"size_mb": 5.0}}
    assert about["confusions"] == [{"gold": "card | lost", "predicted": "refund", "count": 3}]
    assert about["size_bytes"] == sum(facts["bytes"] for facts in file_hashes(packed / "model").values())
    assert set(about["files"]) == {
        "README.md", "canary.json", "model/predictor.json", "model/weights.safetensors",
    }  # fmt: skip


def test_sha256sum_reads_the_seal(packed):
    answer = subprocess.run(["sha256sum", "-c", "specialist.json.sha256"], cwd=packed, capture_output=True, text=True)
    assert answer.stdout.strip() == "specialist.json: OK"


def test_packing_again_replaces_the_whole_folder(packed, repack, judgement):
    (packed / "left over").write_text("x")
    repack(packed, judgement=replace(judgement, sentence="Another verdict."))
    assert not (packed / "left over").exists()
    assert load(packed).about["verdict"]["sentence"] == "Another verdict."
    assert [path.name for path in packed.parent.iterdir()] == ["specialist"]


@pytest.mark.parametrize("fault", ["label", "probability", "no number"])
def test_a_model_that_answers_otherwise_than_the_judged_one_is_not_shipped(packed, repack, judged, fault):
    predicted, probability = judged.predicted.copy(), judged.probability.copy()
    if fault == "label":
        predicted[699] = (predicted[699] + 1) % 3
    if fault == "probability":
        probability[350] += [2e-6, -2e-6, 0]
    if fault == "no number":
        probability[0, 0] = np.nan
    before = file_hashes(packed)
    with pytest.raises(RungFailed, match="is not the one that was judged"):
        repack(packed, predicted=predicted, probability=probability, check_rows=None)
    assert file_hashes(packed) == before
    assert [path.name for path in packed.parent.iterdir()] == ["specialist"]


def test_a_difference_below_the_tolerance_passes(tmp_path, repack, judged):
    off = judged.probability + np.array([5e-7, -5e-7, 0])
    load(repack(tmp_path / "s", probability=off))


def test_a_model_that_does_not_repeat_itself_is_not_shipped(tmp_path, repack, judged):
    class Dice:
        n_classes, n_parameters, rng = 3, 0, np.random.default_rng(0)

        def predict_proba(self, texts):
            if len(texts) == len(judged.texts):
                return judged.probability
            return self.rng.dirichlet([1, 1, 1], len(texts))

    with pytest.raises(RungFailed, match="twice alike"):
        repack(tmp_path / "s", check_rows=None, loader=lambda folder, *, threads=None: Dice())


def test_rows_that_do_not_match_are_refused(tmp_path, repack, judged):
    with pytest.raises(ValueError, match="do not match"):
        repack(tmp_path / "s", texts=judged.texts[:-1])


def test_thousands_of_classes_keep_the_canary_small(tmp_path, repack, judgement):
    k = 3000
    model = tmp_path / "model"
    model.mkdir()
    ConstantPredictor(np.full(k, 1 / k)).save(model)
    classes = tuple(f"{i:04d}" for i in range(k))
    many = replace(judgement, task=replace(judgement.task, classes=classes), per_class=(), confusions=())
    probability = np.full((2, k), 1 / k)
    best = probability.argmax(axis=1)
    facts = {"model": model, "judgement": many, "texts": ["a", "b"], "predicted": best, "probability": probability}
    folder = repack(tmp_path / "s", **facts)
    assert (folder / "canary.json").stat().st_size < 2_000_000
    assert load(folder).self_check().rows >= 1


KILLED = """
import sys, time, numpy as np
from pathlib import Path
sys.path.insert(0, sys.argv[1])
import bigenough.specialist.artefact as artefact
from bigenough.specialist.artefact import Judgement, pack
from bigenough.task import Task
def slowly(about):
    print("half way", flush=True)
    time.sleep(30)
artefact.model_card = slowly
study = Path(sys.argv[1])
judgement = Judgement(task=Task("t", ("a", "b")), candidate="c", rung="constant", summary="s", settings={}, created="",
    study="", bigenough="", sentence="", answer="proved", scores={}, splits={}, text_column="", label_column="")
half = np.full((1, 2), 0.5)
pack(study / "specialist", model=study / "model", judgement=judgement, texts=["x"], predicted=half.argmax(1),
    probability=half)
"""


def test_a_kill_half_way_leaves_the_older_specialist_as_it_was(packed, tmp_path: Path):
    study = packed.parent
    (study / "model").mkdir()
    ConstantPredictor(np.array([0.5, 0.5])).save(study / "model")
    before = file_hashes(packed)
    child = subprocess.Popen([sys.executable, "-c", KILLED, str(study)], stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None
    assert child.stdout.readline() == "half way\n"
    os.kill(child.pid, signal.SIGKILL)
    child.wait()
    assert file_hashes(packed) == before
    assert load(study).about["name"] == "tickets"
