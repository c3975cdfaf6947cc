# SPDX-License-Identifier: Apache-2.0
"""A whole study whose reference is paid by the row: what is asked, what a kill or an empty purse costs, what shows."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np
import paid_oracle
import polars as pl
import pytest
from paid_oracle import Elsewhere, Killed, PaidRung

import bigenough
from bigenough.cli.outcome import outcome_json, outcome_table
from bigenough.errors import BadOption, RungFailed, TamperedArtefact
from bigenough.progress import Silence
from bigenough.rungs import predictors
from bigenough.storage import read_json, write_json
from bigenough.study import Study
from bigenough.verdict.anytime import asking_order
from bigenough.verification import verify

GENERALIST = {"url": "http://127.0.0.1:9/v1", "model": "paid", "stop_early": True}


@dataclass
class Notes(Silence):
    """A progress that remembers what it was told."""

    notes: list[str] = field(default_factory=list)

    def note(self, sentence: str) -> None:
        self.notes.append(sentence)


@pytest.fixture(scope="module")
def rows(diagnoses: pl.DataFrame) -> pl.DataFrame:
    return diagnoses.unique("term", maintain_order=True)


@contextmanager
def asked_elsewhere(rows: pl.DataFrame) -> Iterator[Elsewhere]:
    """A fresh endpoint that the study's generalist is asked at."""
    code = {label: place for place, label in enumerate(sorted(rows["chapter"].unique()))}
    there = Elsewhere({row["term"]: code[row["chapter"]] for row in rows.iter_rows(named=True)})
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(paid_oracle, "HERE", there)
        patch.setitem(predictors._KINDS, "paid", "paid_oracle:PaidPredictor")
        patch.setattr("bigenough.study._generalist_rung", lambda *_, **__: PaidRung())
        yield there


@pytest.fixture
def elsewhere(rows: pl.DataFrame) -> Iterator[Elsewhere]:
    with asked_elsewhere(rows) as there:
        yield there


class Whole(NamedTuple):
    """A study that nothing disturbed, what it told, and the texts that it paid for."""

    study: Study
    notes: list[str]
    paid: list[str]

    @property
    def paid_before_certify(self) -> int:
        return len(self.paid) - self.study.verdict.early.asked


@pytest.fixture(scope="module")
def whole(rows: pl.DataFrame, tmp_path_factory: pytest.TempPathFactory) -> Whole:
    progress = Notes()
    with asked_elsewhere(rows) as there:
        study = run(rows, tmp_path_factory.mktemp("early") / "study", progress=progress)
        return Whole(study, progress.notes, list(there.paid))


def run(rows: pl.DataFrame, out: Path, **options) -> Study:
    given = {"rungs": ("majority", "linear"), "shrink": "none", "trials": 1, "margin": 4.0, "generalist": GENERALIST}
    return bigenough.fit(rows, out=out, label="chapter", text="term", **{**given, **options})


def certify_texts(study: Path) -> list[str]:
    frame = pl.read_parquet(study / "examples.parquet").filter(pl.col("split") == "certify").sort("row")
    return frame["text"].to_list()


def of_certify(study: Path, paid: list[str]) -> list[str]:
    held = set(certify_texts(study))
    return [text for text in paid if text in held]


def disagreeing(study: Path) -> list[str]:
    return [check.name for check in verify(study) if not check.agree]


def test_only_the_asked_rows_are_paid(whole: Whole):
    study, verdict, early = whole.study, whole.study.verdict, whole.study.verdict.early
    texts = certify_texts(study.path)
    assert (verdict.answer, verdict.winner) == ("proved", "linear")
    assert early.stopped_because == "decided"
    assert early.of == len(texts)
    assert 50 < early.asked == verdict.n_certify < early.of
    order = asking_order(early.of, early.order_seed)[: early.asked]
    assert of_certify(study.path, whole.paid) == [texts[place] for place in order]
    assert read_json(study.path / "plan.json")["early"] == _planned(asdict(early))
    np.testing.assert_array_equal(study.candidates["generalist"].predictions("certify").positions, order)
    assert study.candidates["linear"].predictions("certify").positions is None
    assert study.specialist.predict(texts[:1])


def test_every_statistic_of_it_agrees(whole: Whole):
    checks = verify(whole.study.path)
    assert [check for check in checks if not check.agree] == []
    assert any("order of asking" in check.name for check in checks)


def test_what_was_asked_and_saved_is_said_everywhere(whole: Whole):
    study, early = whole.study, whole.study.verdict.early
    evidence = read_json(study.candidates["generalist"].folder / "evidence.json")
    assert f"n = {early.asked} rows asked of {early.of}" in evidence["accuracy"]["source"]
    # 1,000 tokens at 0.3 and 3 at 1.2 USD a million
    usd = (early.of - early.asked) * (1000 * 0.3 + 3 * 1.2) / 1e6
    saved = f"{early.of - early.asked} requests saved, about {usd:.2g} USD"
    told = outcome_table(study)
    assert saved in whole.notes[-1]
    assert saved in told
    assert f"n = {early.asked} asked of {early.of}" in told
    assert len(told.splitlines()) <= 15
    assert '"stopped_because": "decided"' in outcome_json(study)
    page = study.report.read_text("utf-8").replace("\u00a0", " ")
    assert saved in page
    assert f"was asked about {early.asked} of {early.of} certify rows" in page
    assert "may be looked at any time" in page


def test_a_killed_run_goes_on_and_pays_for_no_certify_row_twice(
    rows: pl.DataFrame, elsewhere: Elsewhere, whole: Whole, tmp_path: Path
):
    elsewhere.dies_at = whole.paid_before_certify + 50
    with pytest.raises(Killed):
        run(rows, tmp_path / "study")
    elsewhere.dies_at = None
    elsewhere.replies.clear()  # what the study itself has kept must do
    study = run(rows, tmp_path / "study")
    assert of_certify(study.path, elsewhere.paid) == of_certify(whole.study.path, whole.paid)
    assert study.verdict == whole.study.verdict


def test_a_purse_that_empties_ends_the_asking_and_a_fuller_one_goes_on(
    rows: pl.DataFrame, elsewhere: Elsewhere, whole: Whole, tmp_path: Path
):
    elsewhere.budget = whole.paid_before_certify + 23
    study = run(rows, tmp_path / "study")
    assert (study.verdict.early.asked, study.verdict.early.stopped_because) == (23, "budget spent")
    assert study.verdict.answer == "cannot tell"
    assert "The budget ended the asking: with more of it" in study.verdict.sentence
    assert "until the budget was spent" in study.report.read_text("utf-8")
    assert disagreeing(study.path) == []

    elsewhere.budget = None
    again = run(rows, tmp_path / "study")
    assert again.verdict == whole.study.verdict
    assert of_certify(again.path, elsewhere.paid) == of_certify(whole.study.path, whole.paid)
    there = read_json(whole.study.candidates["generalist"].folder / "evidence.json")
    assert read_json(again.candidates["generalist"].folder / "evidence.json") == there


def test_a_purse_that_is_empty_before_the_first_row_fails_the_run(
    rows: pl.DataFrame, elsewhere: Elsewhere, whole: Whole, tmp_path: Path
):
    elsewhere.budget = whole.paid_before_certify
    with pytest.raises(RungFailed, match="budget"):
        run(rows, tmp_path / "study")
    elsewhere.budget = None
    assert run(rows, tmp_path / "study").verdict == whole.study.verdict


@pytest.mark.parametrize(("name", "value"), [("discordance", 0.4), ("order_seed", 1), ("batch_rows", 10)])
def test_a_changed_plan_of_asking_is_found(whole: Whole, tmp_path: Path, name: str, value: float):
    copied = Path(shutil.copytree(whole.study.path, tmp_path / "copy"))
    early = read_json(copied / "verdict.json")["early"]
    write_json(copied / "plan.json", {**read_json(copied / "plan.json"), "early": {**_planned(early), name: value}})
    assert f"asking: {name} as planned" in disagreeing(copied)
    write_json(copied / "verdict.json", {**read_json(copied / "verdict.json"), "early": {**early, name: value}})
    assert disagreeing(copied)  # both files agree now; the rows do not


def test_hidden_early_stop_and_other_rows_are_found(whole: Whole, tmp_path: Path):
    copied = Path(shutil.copytree(whole.study.path, tmp_path / "none"))
    write_json(copied / "verdict.json", {**read_json(copied / "verdict.json"), "early": None})
    assert "stopping early as planned" in disagreeing(copied)
    copied = Path(shutil.copytree(whole.study.path, tmp_path / "rows"))
    path = next(copied.glob("candidates/generalist-*/certify.npz"))
    with np.load(path) as arrays:
        held = dict(arrays)
    np.savez_compressed(path, **{name: np.roll(array, 1, axis=0) for name, array in held.items()})
    assert "order of asking" in disagreeing(copied)


def test_rows_that_are_not_the_planned_ones_are_not_built_upon(
    rows: pl.DataFrame, elsewhere: Elsewhere, whole: Whole, tmp_path: Path
):
    elsewhere.dies_at = whole.paid_before_certify + 50
    with pytest.raises(Killed):
        run(rows, tmp_path / "study")
    elsewhere.dies_at = None
    path = next(tmp_path.glob("study/candidates/generalist-*/certify.npz"))
    with np.load(path) as arrays:
        held = dict(arrays)
    np.savez_compressed(path, **{name: array[::-1] for name, array in held.items()})
    with pytest.raises(TamperedArtefact, match="order that plan"):
        run(rows, tmp_path / "study")


def _planned(early: dict) -> dict:
    return {name: early[name] for name in ("of", "order_seed", "batch_rows", "discordance")}


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"group": "category"}, "certify rows stand in groups"),
        ({"against": "linear"}, "the reference runs here"),
        ({"limits": {"size_mb": 1e-9}}, "no smaller model was nominated"),
    ],
)
def test_where_it_cannot_stop_early_every_row_is_asked_and_the_reason_noted(
    rows: pl.DataFrame, elsewhere: Elsewhere, tmp_path: Path, options: dict, reason: str
):
    progress = Notes()
    study = run(rows, tmp_path / "study", progress=progress, **options)
    assert study.verdict.early is None
    assert any(reason in note for note in progress.notes)
    assert reason in outcome_table(study)
    assert reason in json.loads(outcome_json(study))["asking"]
    assert f"Asking could not stop early: {reason}" in study.report.read_text("utf-8")
    plays_no_part = "against" in options  # then it is not paid for
    assert of_certify(study.path, elsewhere.paid) == ([] if plays_no_part else certify_texts(study.path))


@pytest.mark.parametrize("options", [{"metric": "macro_f1"}, {"search": "up", "against": "linear"}, {"bar": 0.9}])
def test_what_can_never_stop_early_is_refused_before_anything_is_paid(
    rows: pl.DataFrame, elsewhere: Elsewhere, tmp_path: Path, options: dict
):
    with pytest.raises(BadOption, match="cannot stop early"):
        run(rows, tmp_path / "study", **options)
    assert elsewhere.paid == []
