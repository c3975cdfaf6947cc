# SPDX-License-Identifier: Apache-2.0
"""A study that makes its best candidate smaller: the product is judged like any other, and says what it came from."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import polars as pl
import pytest
from models.tiny_bert import tiny_config, write_model

import bigenough
from bigenough import ladder
from bigenough.errors import BadOption, InputError
from bigenough.rungs.parent import Parent
from bigenough.shrink import teacher as teaching
from bigenough.shrinking import forget_answers, parent_of, steps
from bigenough.storage import read_json
from bigenough.task import Examples
from bigenough.verification import verify

FAST = {"label": "chapter", "text": "term", "trials": 1, "rungs": ("majority", "linear")}


def test_the_smaller_model_is_judged_from_its_own_files_and_says_what_it_was_made_of(
    diagnoses: pl.DataFrame, tmp_path: Path
):
    study = bigenough.fit(diagnoses, out=tmp_path / "study", margin=8, **FAST)
    assert set(study.candidates) == {"majority", "linear", "linear-few-features"}
    whole, small = study.candidates["linear"], study.candidates["linear-few-features"]
    assert small.record["made_from"] == whole.folder.name
    assert small.size_bytes < whole.size_bytes / 3
    assert small.record["record"]["variants"][small.record["record"]["kept"]]["refused"] is None
    assert small.has("certify.npz")
    assert all(check.agree for check in verify(study.path))
    assert "Smaller still" in study.report.read_text()
    assert study.verdict.winner == "linear-few-features"
    lineage = read_json(study.path / "specialist" / "specialist.json")["lineage"]
    assert [one["candidate"] for one in lineage] == ["linear", "linear-few-features"]
    assert lineage[0]["settings"] == whole.record["settings"]
    assert "step by step: `linear`, " in (study.path / "specialist" / "README.md").read_text()
    again = bigenough.fit(diagnoses, out=tmp_path / "study", margin=8, **FAST)
    assert again.verdict == study.verdict


def test_a_product_is_tempered_once(diagnoses: pl.DataFrame, tmp_path: Path):
    """Its parent's temperature must not stay in it: tempered probabilities would be tempered again."""
    study = bigenough.fit(diagnoses, out=tmp_path / "study", **FAST)
    whole, small = study.candidates["linear"], study.candidates["linear-few-features"]
    assert whole.record["temperature"] != 1
    for each in (whole, small):
        assert each.predictor(1).temperature == pytest.approx(each.record["temperature"])


def test_a_parent_is_as_fast_as_it_was_measured(diagnoses: pl.DataFrame, tmp_path: Path):
    study = bigenough.fit(diagnoses.head(900), out=tmp_path / "study", shrink="none", **FAST)
    linear = study.candidates["linear"]
    rows = Examples(["ab", "c" * 5000], np.array([0, 1]), np.arange(2))
    job = SimpleNamespace(fit=rows, select=rows)
    measured = read_json(linear.folder / "performance.json")["throughput_rows_per_s"]["value"]
    parent = parent_of(linear, None, job, None)
    assert parent.seconds_a_row == pytest.approx(1 / measured)
    assert parent.characters_a_row == (2 + 1000) / 2
    (linear.folder / "performance.json").unlink()
    assert parent_of(linear, None, job, None).seconds_a_row is None


def test_what_was_taught_is_made_smaller_too(diagnoses: pl.DataFrame, tmp_path: Path):
    rungs = ("linear", "static")
    study = bigenough.fit(
        diagnoses.head(900), out=tmp_path / "study", shrink="all", teacher="static", **{**FAST, "rungs": rungs}
    )
    taught = study.candidates["linear-from-static"]
    small = study.candidates["linear-from-static-few-features"]
    assert small.record["made_from"] == taught.folder.name
    assert small.size_bytes < taught.size_bytes
    assert all(check.agree for check in verify(study.path))


def test_what_a_teacher_said_is_kept_until_all_is_learned(diagnoses: pl.DataFrame, tmp_path: Path, monkeypatch):
    kept = []

    def forget(candidates):
        candidates = list(candidates)
        kept.extend(path.parents[1] for each in candidates for path in each.folder.glob("answers/*/*.npz"))
        forget_answers(candidates)

    monkeypatch.setattr(teaching, "_WORTH_KEEPING", 0.0)
    monkeypatch.setattr(ladder, "forget_answers", forget)
    study = bigenough.fit(
        diagnoses.head(900), out=tmp_path / "study", shrink="taught", teacher="static",
        **{**FAST, "rungs": ("linear", "static")},
    )  # fmt: skip
    assert set(kept) == {study.candidates["static"].folder / "answers"}
    assert not list(study.path.rglob("answers"))


def test_an_encoder_with_fewer_layers_is_coded_too(diagnoses: pl.DataFrame, tmp_path: Path):
    """Cutting may cost half of the margin, since coding comes after it."""
    folder = write_model(tmp_path / "model", tiny_config())
    study = bigenough.fit(
        diagnoses, out=tmp_path / "study", shrink="all", margin=30, encoder=str(folder), threads=1,
        **{**FAST, "rungs": ("majority", "frozen")},
    )  # fmt: skip
    made = {name: each.record["made_from"] for name, each in study.candidates.items() if each.record["made_from"]}
    folders = {each.folder.name: name for name, each in study.candidates.items()}
    parents = {name: folders[folder] for name, folder in made.items()}
    for cut in ("frozen-layers", "frozen-structure"):
        assert parents[cut] == "frozen"
        assert parents[f"{cut}-vocabulary"] == cut
        assert parents[f"{cut}-vocabulary-int8"] == f"{cut}-vocabulary"
    assert study.candidates["frozen-layers-vocabulary-int8"].size_bytes < study.candidates["frozen-layers"].size_bytes
    assert "frozen-layers-vocabulary-int8" in study.report.read_text()
    parent = Parent("frozen", "", "encoder", 1, lambda: None, lambda: None)
    plan = steps(study.candidates, ["frozen"], [], allowed_flips=0.3, lessons=False, layers=True)
    allowed = {step.name: step.make(parent, 1.0).allowed_flips for step in plan}
    assert set(parents) == set(allowed)
    assert {name for name, share in allowed.items() if share == 0.15} == {"frozen-layers", "frozen-structure"}
    assert set(allowed.values()) == {0.15, 0.3}
    assert all(check.agree for check in verify(study.path))


def test_a_teacher_that_was_named_is_made_smaller_whoever_is_best(diagnoses: pl.DataFrame, tmp_path: Path):
    """By latency the better static rung is the smaller one too, so that linear stands no chance by itself."""
    options = {**FAST, "rungs": ("linear", "static"), "order_by": "latency"}
    best = bigenough.fit(diagnoses, out=tmp_path / "fast", **options)
    assert "linear-few-features" not in best.candidates
    study = bigenough.fit(diagnoses, out=tmp_path / "taught", shrink="taught", teacher="linear", **options)
    assert {"linear-few-features", "static-small-table"} <= set(study.candidates)
    assert all(check.agree for check in verify(study.path))
    with pytest.raises(BadOption, match="'taught' or 'all'"):
        bigenough.fit(diagnoses, out=tmp_path / "other", teacher="linear", **options)


def test_a_teacher_without_a_model_costs_nothing_but_its_lessons(diagnoses: pl.DataFrame, tmp_path: Path, told):
    """Its folder lacks all files: the other rungs are raced, and who teaches instead is said."""
    (tmp_path / "no-model").mkdir()
    study = bigenough.fit(
        diagnoses, out=tmp_path / "study", shrink="taught", teacher="static", encoder=str(tmp_path / "no-model"),
        progress=told, **{**FAST, "rungs": ("majority", "linear", "static")},
    )  # fmt: skip
    assert "The teacher static has no model: the best on select teaches instead." in told.notes
    assert set(study.candidates) == {"majority", "linear", "linear-few-features"}
    left_out = {each["candidate"]: each["reason"] for each in read_json(study.path / "plan.json")["left_out"]}
    assert "no-model" in left_out["static"]


@pytest.mark.parametrize(("shrink", "hinted"), [("fast", True), ("taught", False)])
def test_texts_that_no_student_learns_from_are_told_of(
    diagnoses: pl.DataFrame, tmp_path: Path, shrink: str, hinted: bool, told
):
    some, pool = diagnoses.head(900), diagnoses.tail(300).select("term")
    bigenough.fit(some, out=tmp_path / "study", unlabelled=pool, shrink=shrink, progress=told, **FAST)
    hints = [note for note in told.notes if note.startswith("No student learns from the ")]
    assert len(hints) == hinted, told.notes


def test_one_budget_serves_all_rungs(diagnoses: pl.DataFrame, tmp_path: Path):
    study = bigenough.fit(diagnoses, out=tmp_path / "study", budget_minutes=0.5, shrink="none", **FAST)
    searched = read_json(study.path / "search.json")
    assert searched["seconds"]["fits"] + searched["seconds"]["held for refits"] <= 30
    assert set(searched["rungs"]) == {"majority", "linear"}
    assert set(study.candidates) == {"majority", "linear"}


def test_what_makes_no_sense_is_refused_before_any_work(diagnoses: pl.DataFrame, tmp_path: Path):
    with pytest.raises(BadOption, match="shrink must be one of"):
        bigenough.fit(diagnoses, out=tmp_path / "study", **{**FAST, "shrink": "most"})
    with pytest.raises(BadOption, match=r"Climbing .* makes nothing smaller"):
        bigenough.fit(diagnoses, out=tmp_path / "study", search="up", bar=0.5, shrink="all", **FAST)
    with pytest.raises(BadOption, match="budget"):
        bigenough.fit(diagnoses, out=tmp_path / "study", budget_minutes=0, **FAST)
    with pytest.raises(InputError, match="no row has as its label"):
        bigenough.fit(diagnoses, out=tmp_path / "study", descriptions={"no such chapter": "x"}, **FAST)
    assert not (tmp_path / "study").exists()
