# SPDX-License-Identifier: Apache-2.0
"""``verify`` agrees with an honest study and notices any planted change."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from bigenough.errors import InputError, TamperedArtefact
from bigenough.storage import read_json, write_json
from bigenough.study import Study
from bigenough.verification import verify


@pytest.fixture
def copied(study: Study, tmp_path: Path) -> Path:
    return Path(shutil.copytree(study.path, tmp_path / "copy"))


def differing(path: Path) -> list[str]:
    return [check.name for check in verify(path) if not check.agree]


def test_every_statistic_of_an_honest_study_agrees(study: Study):
    checks = verify(study.path)
    assert [check for check in checks if not check.agree] == []
    assert len(checks) > 40


def test_a_prettier_score_is_noticed(copied: Path):
    path = next(copied.glob("candidates/linear-*/evidence.json"))
    evidence = read_json(path)
    evidence["accuracy"]["value"] += 0.001
    write_json(path, evidence)
    assert any("linear" in name and "accuracy" in name for name in differing(copied))


def test_a_changed_prediction_is_noticed(copied: Path):
    path = next(copied.glob("candidates/linear-*/certify.npz"))
    with np.load(path) as arrays:
        held = dict(arrays)
    held["predicted"] = held["gold"]
    np.savez_compressed(path, **held)
    assert differing(copied)


def test_another_winner_is_noticed(copied: Path):
    verdict = read_json(copied / "verdict.json")
    verdict["winner"], verdict["answer"] = "majority", "proved"
    write_json(copied / "verdict.json", verdict)
    assert differing(copied)


def test_another_margin_than_planned_is_noticed(copied: Path):
    plan = read_json(copied / "plan.json")
    plan["margin"] = 0.001
    write_json(copied / "plan.json", plan)
    assert "margin as planned" in differing(copied)


def test_a_changed_specialist_is_noticed(copied: Path):
    path = next((copied / "specialist" / "model").glob("*.safetensors"))
    path.write_bytes(path.read_bytes()[:-1])
    assert "specialist: files are the judged ones" in differing(copied)


def test_a_missing_file_is_said(copied: Path):
    next(copied.glob("candidates/linear-*/evidence.json")).unlink()
    with pytest.raises(TamperedArtefact, match="cannot be verified"):
        verify(copied)


def test_a_changed_model_file_is_noticed(copied: Path):
    path = next(copied.glob("candidates/linear-*/model/*.safetensors"))
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(bytes(data))
    assert "linear: model files have the hashes they were judged with" in differing(copied)


def test_the_command_says_how_many_agree_and_fails_when_any_differs(run_cli, copied: Path):
    good = run_cli("verify", copied)
    assert good.returncode == 0
    assert "checks agree" in good.stdout
    verdict = read_json(copied / "verdict.json")
    verdict["n_certify"] += 1
    write_json(copied / "verdict.json", verdict)
    bad = run_cli("verify", copied, "--json")
    assert bad.returncode == 1
    assert any(not check["agree"] for check in json.loads(bad.stdout))


def test_a_folder_without_a_study_is_said(tmp_path: Path):
    with pytest.raises(InputError, match="no finished study"):
        verify(tmp_path)
