# SPDX-License-Identifier: Apache-2.0
"""The story end to end, on real data: what it leaves behind, what it refuses, and that a kill costs nothing."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from importlib.resources import files
from pathlib import Path

import jsonschema
import numpy as np
import polars as pl
import pytest

import bigenough
from bigenough.cli.outcome import outcome_table
from bigenough.errors import BadOption, InputError, NotEnoughLabels, RungFailed, StudyMismatch
from bigenough.job import read_job
from bigenough.options import Options
from bigenough.storage import file_hashes, read_json
from bigenough.study import Study
from bigenough.verification import verify

FAST = {"label": "chapter", "text": "term", "trials": 1}
CORE = ("majority", "linear", "static", "frozen")


def killed(*arguments, **named):
    raise KeyboardInterrupt


def fit_small(data, out: Path | None, **options) -> Study:
    return bigenough.fit(data, out=out, **{**FAST, "rungs": ("majority", "linear"), "shrink": "none", **options})


def test_all_rungs_are_raced_and_judged(study: Study):
    assert set(study.candidates) == {"majority", "linear", "static", "frozen"}
    for candidate in study.candidates.values():
        evidence = read_json(candidate.folder / "evidence.json")
        assert 0 < evidence["accuracy"]["low"] <= evidence["accuracy"]["value"] <= evidence["accuracy"]["high"] <= 1
    scores = {
        name: read_json(each.folder / "evidence.json")["accuracy"]["value"] for name, each in study.candidates.items()
    }
    assert min(scores, key=scores.get) == "majority"
    assert max(scores.values()) > 0.75


def test_verdict_validates_against_the_published_schema(study: Study):
    schema = json.loads(files("bigenough.verdict").joinpath("verdict.schema.json").read_text())
    jsonschema.validate(read_json(study.path / "verdict.json"), schema, cls=jsonschema.Draft202012Validator)


def test_json_output_is_the_study_on_disk(study_run):
    study, printed = study_run
    assert printed["verdict"] == read_json(study.path / "verdict.json")
    assert printed["verdict"]["sentence"] == study.verdict.sentence
    assert Path(printed["report"]).read_text().startswith("<!doctype html>")


def test_plan_was_written_before_certify_was_opened(study: Study):
    planned = (study.path / "plan.json").stat().st_mtime_ns
    assert all(planned < path.stat().st_mtime_ns for path in study.path.glob("candidates/*/certify.npz"))


def test_splits_keep_families_apart(study: Study):
    frame = pl.read_parquet(study.path / "examples.parquet")
    assert set(frame["split"].unique()) == {"fit", "select", "certify"}


def test_specialist_says_what_was_judged(study: Study):
    chosen = study.verdict.winner or study.verdict.safe_choice
    judged = study.candidates[chosen].predictions("certify")
    rows = pl.read_parquet(study.path / "examples.parquet").filter(pl.col("split") == "certify")
    texts = rows["text"].to_list()
    assert study.specialist.predict(texts) == [study.specialist.classes[code] for code in judged.predicted]
    np.testing.assert_allclose(study.specialist.predict_proba(texts), judged.probability, atol=1e-6)


def test_groups_stay_in_one_split(diagnoses: pl.DataFrame, tmp_path: Path):
    study = fit_small(diagnoses, tmp_path / "study", group="category")
    frame = pl.read_parquet(study.path / "examples.parquet")
    assert frame.group_by("group").agg(pl.col("split").n_unique())["split"].max() == 1
    assert study.verdict.n_groups == frame.filter(pl.col("split") == "certify")["group"].n_unique()


def test_finished_study_is_found_again_and_not_touched(diagnoses: pl.DataFrame, tmp_path: Path):
    first = fit_small(diagnoses, tmp_path / "study")
    before = file_hashes(first.path, leave_out=("report.html",))
    again = fit_small(diagnoses, tmp_path / "study")
    assert file_hashes(again.path, leave_out=("report.html",)) == before
    assert again.verdict == first.verdict


def test_order_of_rows_does_not_change_the_verdict(diagnoses: pl.DataFrame, tmp_path: Path):
    first = fit_small(diagnoses, tmp_path / "one")
    other = fit_small(diagnoses.sample(fraction=1.0, shuffle=True, seed=5), tmp_path / "two")
    certified = [
        set(pl.read_parquet(each.path / "examples.parquet").filter(pl.col("split") == "certify")["text"])
        for each in (first, other)
    ]
    assert certified[0] == certified[1]


@pytest.mark.parametrize("change", [{"seed": 1}, {"margin": 3.0}, {"metric": "macro_f1"}])
def test_a_study_of_other_options_is_never_overwritten(study: Study, diagnoses_csv: Path, change: dict):
    before = file_hashes(study.path)
    with pytest.raises(StudyMismatch, match=f"{next(iter(change))}.*Name another folder"):
        bigenough.fit(diagnoses_csv, out=study.path, label="chapter", text="term", **{"trials": 2, **change})
    assert file_hashes(study.path) == before


@pytest.mark.parametrize("name", ["thesis.txt", ".bashrc.old", ".notes.0a1b2c3d.tmp", "sub/.config.old"])
def test_a_folder_with_other_things_is_left_alone(diagnoses: pl.DataFrame, tmp_path: Path, name: str):
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_text("mine")
    before = file_hashes(tmp_path)
    with pytest.raises(StudyMismatch, match="holds no study"):
        fit_small(diagnoses, tmp_path)
    assert file_hashes(tmp_path) == before


def test_what_a_kill_left_between_two_names_is_put_back(diagnoses: pl.DataFrame, tmp_path: Path):
    study = fit_small(diagnoses, tmp_path / "study")
    before = file_hashes(study.path, leave_out=("report.html",))
    study.path.joinpath("specialist").rename(study.path / ".specialist.0a1b2c3d.old")
    study.path.joinpath(".candidates.0a1b2c3d.tmp").write_text("half")
    again = fit_small(diagnoses, tmp_path / "study")
    assert file_hashes(again.path, leave_out=("report.html",)) == before


def test_climbing_stops_at_the_first_rung_over_the_bar(diagnoses: pl.DataFrame, tmp_path: Path):
    study = fit_small(diagnoses, tmp_path / "study", search="up", bar=0.5, rungs=CORE)
    assert study.verdict.answer == "proved"
    assert study.verdict.winner == "linear"
    assert set(study.candidates) == {"majority", "linear"}
    assert study.verdict.comparisons[0].level == pytest.approx(0.05 / 4)


def test_climbing_towards_a_rung_tests_all_below_it_and_none_above(diagnoses: pl.DataFrame, tmp_path: Path):
    """The rungs above the reference do not stand for any of those below, though one of them is shown worse."""
    study = fit_small(diagnoses, tmp_path / "study", search="up", against="static", rungs=CORE, margin=10.0)
    first, second = study.verdict.comparisons
    assert (first.candidate, first.shown_worse) == ("majority", True)
    assert second.candidate == "linear"
    assert "frozen" in {each.candidate for each in study.verdict.left_out}


def test_another_version_of_a_rung_after_a_kill_does_not_confuse_the_study(
    diagnoses: pl.DataFrame, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """Killed before the plan, resumed by another version: two folders of one name, and only one of them counts."""
    import bigenough.race
    from bigenough.rungs.linear import LinearRung

    class Killed(BaseException):
        pass

    def kill(*arguments):
        raise Killed

    with monkeypatch.context() as patched:
        patched.setattr(bigenough.race.Race, "_plan_race", kill)
        with pytest.raises(Killed):
            fit_small(diagnoses, tmp_path / "study")
    monkeypatch.setattr(LinearRung, "version", LinearRung.version + 1)
    study = fit_small(diagnoses, tmp_path / "study")
    assert len(list(study.path.glob("candidates/linear-*"))) == 2
    assert study.specialist.predict(["malignant neoplasm of colon"])
    assert all(check.agree for check in verify(study.path))


def test_after_the_plan_only_the_planned_candidates_count(
    diagnoses: pl.DataFrame, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """Killed after the plan, with a rung that cannot be fitted any more: what was fitted is judged."""
    import bigenough.race
    from bigenough.rungs.linear import LinearRung

    class Killed(BaseException):
        pass

    def kill(*arguments):
        raise Killed

    def explode(*arguments, **named):
        raise MemoryError("planted")

    with monkeypatch.context() as patched:
        patched.setattr(bigenough.race.Race, "_open", kill)
        with pytest.raises(Killed):
            fit_small(diagnoses, tmp_path / "study")
    monkeypatch.setattr(LinearRung, "fit", explode)
    monkeypatch.setattr(LinearRung, "version", LinearRung.version + 1)
    study = fit_small(diagnoses, tmp_path / "study")
    assert study.verdict.reference.name == "linear"
    assert not study.verdict.left_out


def test_copies_count_as_one_draw_when_there_are_many(diagnoses: pl.DataFrame, tmp_path: Path):
    copied = pl.concat([diagnoses, *[diagnoses.head(40)] * 6])
    study = fit_small(copied, tmp_path / "study")
    assert study.verdict.n_groups is not None
    assert study.verdict.n_groups < study.verdict.n_certify
    assert any("copies stay together" in said for said in read_json(study.path / "study.json")["source"]["decisions"])
    assert all(check.agree for check in verify(study.path))


def test_a_bar_that_nobody_reaches_is_said(diagnoses: pl.DataFrame, tmp_path: Path):
    study = fit_small(diagnoses, tmp_path / "study", bar=0.999)
    assert (study.verdict.answer, study.verdict.exit_code) == ("not good enough", 3)
    with pytest.raises(InputError, match="packaged no model"):
        _ = study.specialist


def test_limits_are_gates(diagnoses: pl.DataFrame, tmp_path: Path):
    study = fit_small(diagnoses, tmp_path / "study", limits={"size_mb": 1e-6})
    assert study.verdict.answer == "not good enough"
    assert all("size_mb" in each.reason for each in study.verdict.left_out)


def test_a_rung_that_fails_costs_only_itself(diagnoses: pl.DataFrame, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    from bigenough.rungs.linear import LinearRung

    def explode(*arguments, **named):
        raise MemoryError("planted")

    monkeypatch.setattr(LinearRung, "fit", explode)
    study = fit_small(diagnoses, tmp_path / "study")
    assert set(study.candidates) == {"majority"}
    assert "linear: could not be fitted" in outcome_table(study)
    assert any(each.candidate == "linear" and "planted" in each.reason for each in study.verdict.left_out)


def test_what_nobody_tests_cannot_end_a_study_once_certify_is_open(
    diagnoses: pl.DataFrame, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, told
):
    from bigenough import evidence

    def refuses_odd_texts(candidate, examples, *, threads):
        if candidate.name == "linear":
            raise RuntimeError("an odd text")
        return whole(candidate, examples, threads=threads)

    whole = evidence.certify
    monkeypatch.setattr(evidence, "certify", refuses_odd_texts)
    study = fit_small(diagnoses, tmp_path / "study", against="majority", progress=told)
    assert not study.verdict.comparisons
    assert any("linear has no figures on certify (RuntimeError: an odd text)" in note for note in told.notes)
    assert "not opened" in outcome_table(study)
    assert all(check.agree for check in verify(study.path))


def test_when_every_rung_fails_it_is_an_error(diagnoses: pl.DataFrame, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    from bigenough.rungs.linear import LinearRung

    def explode(*arguments, **named):
        raise MemoryError("planted")

    monkeypatch.setattr(LinearRung, "fit", explode)
    with pytest.raises(RungFailed, match=r"No rung could be fitted.*planted"):
        fit_small(diagnoses, tmp_path / "study", rungs=("linear",))


def test_labels_that_say_nothing_are_nothing_for_label_names(diagnoses: pl.DataFrame, tmp_path: Path):
    coded = diagnoses.with_columns(pl.col("chapter").str.slice(0, 2))
    rungs = ("majority", "label-names")
    study = fit_small(coded, tmp_path / "codes", rungs=rungs)
    assert set(study.candidates) == {"majority"}
    (left,) = (each for each in study.verdict.left_out if each.candidate == "label-names")
    assert "4 of 4 hold no word that sets them apart: '02', '07', '10', '14' (--descriptions" in left.reason
    meanings = {chapter[:2]: chapter for chapter in diagnoses["chapter"]}
    told = fit_small(coded, tmp_path / "told", rungs=rungs, descriptions=meanings)
    assert set(told.candidates) == {"majority", "label-names"}
    export = told.candidates["label-names"].record["refit_record"]["export"]
    assert export["flips"] == 0 if "flips" in export else "not installed" in export["not_compared"]
    assert ("select rows its graph and" in told.report.read_text()) == ("flips" in export)


def test_unlabelled_rows_are_ranked_when_the_data_cannot_tell(diagnoses: pl.DataFrame, tmp_path: Path):
    some = diagnoses.sample(160, seed=3, shuffle=True)
    terms = diagnoses["term"].tail(300).to_list()
    rest = pl.DataFrame({"term": [None, *terms[:20], " ", *terms]})
    study = fit_small(some, tmp_path / "study", unlabelled=rest, bar=0.72, trials=1)
    assert study.verdict.answer == "cannot tell", study.verdict.sentence
    advice = pl.read_csv(study.path / "label-next.csv")
    assert set(advice["purpose"]) == {"proof", "learning"}
    assert set(advice["text"]) <= set(terms)
    for row, text in advice.select("row", "text").iter_rows():
        assert rest["term"][row - 1] == text, "rows are numbered as in the table, empty ones and copies counted"


def test_texts_that_come_after_the_verdict_change_no_model_and_it_is_said(diagnoses, tmp_path: Path, told):
    some = diagnoses.sample(160, seed=3, shuffle=True)
    rest = diagnoses.select("term").tail(300)
    before = fit_small(some, tmp_path / "study", bar=0.72)
    assert not (before.path / "label-next.csv").exists()
    after = fit_small(some, tmp_path / "study", bar=0.72, unlabelled=rest, progress=told)
    assert after.verdict == before.verdict
    assert [note for note in told.notes if "made without unlabelled texts" in note and "--out" in note]
    assert set(pl.read_csv(after.path / "label-next.csv")["text"]) <= set(rest["term"])


def test_until_the_plan_stands_other_unlabelled_texts_are_the_studys_own(
    diagnoses: pl.DataFrame, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, told
):
    from bigenough.rungs.linear import LinearRung

    some, rest = diagnoses.head(600), diagnoses.select("term").tail(300)
    with monkeypatch.context() as patch:
        patch.setattr(LinearRung, "fit", killed)
        with pytest.raises(KeyboardInterrupt):
            fit_small(some, tmp_path / "study", unlabelled=rest.head(100))
    first = read_json(tmp_path / "study" / "study.json")["identity"]["unlabelled"]
    with monkeypatch.context() as patch:
        patch.setattr(LinearRung, "fit", killed)
        with pytest.raises(KeyboardInterrupt):
            fit_small(some, tmp_path / "study", unlabelled=rest)
    assert read_json(tmp_path / "study" / "study.json")["identity"]["unlabelled"] != first
    fit_small(some, tmp_path / "study", unlabelled=rest, progress=told)
    assert not [note for note in told.notes if "This study is finished" in note]


def test_what_classes_mean_makes_it_another_study(diagnoses: pl.DataFrame, tmp_path: Path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    some = diagnoses.head(600)
    label = some["chapter"][0]
    plain = fit_small(some, tmp_path / "study")
    with pytest.raises(StudyMismatch, match="descriptions"):
        fit_small(some, tmp_path / "study", descriptions={label: "of the first kind"})
    named = [fit_small(some, None, descriptions={label: text}, name="it") for text in ("one", "another", "one")]
    assert named[0].path == named[2].path != named[1].path
    assert read_json(plain.path / "study.json")["identity"].get("descriptions") is None


@pytest.mark.parametrize(
    ("options", "error", "says"),
    [
        ({"bar": 92}, BadOption, r"written 0\.92"),
        ({"metric": "f1"}, BadOption, "macro_f1"),
        ({"margin": -1}, BadOption, "points"),
        ({"search": "up"}, BadOption, "Give a bar"),
        ({"against": "frozn"}, BadOption, "frozn"),
        ({"rungs": ("lineer",)}, BadOption, "linear"),
        ({"limits": {"latency": 5}}, BadOption, "latency_p95_ms"),
        ({"marign": 2}, BadOption, "margin"),
        ({"label": "chapte"}, InputError, "chapter"),
        ({"country": "Germany"}, InputError, "ISO"),
        ({"seed": -1}, BadOption, "seed"),
        ({"minutes": float("inf")}, BadOption, "minutes"),
        ({"unlabelled": "nowhere.csv"}, InputError, "nowhere"),
    ],
)
def test_bad_options_are_named_before_any_work(diagnoses, tmp_path: Path, options, error, says):
    with pytest.raises(error, match=says):
        fit_small(diagnoses, tmp_path / "study", **options)
    assert not (tmp_path / "study").exists()


def test_a_test_set_that_is_the_table_itself_is_refused(diagnoses: pl.DataFrame, tmp_path: Path):
    with pytest.raises(BadOption, match="the very content of the table to learn from"):
        bigenough.fit(diagnoses, label="chapter", text="term", test=diagnoses.clone(), out=tmp_path / "s")
    assert not (tmp_path / "s").exists()


def test_a_time_column_beside_a_test_set_is_refused(diagnoses: pl.DataFrame, tmp_path: Path):
    dated = diagnoses.with_row_index("day")
    with pytest.raises(BadOption, match="both fix what certifies"):
        fit_small(dated.head(600), tmp_path / "study", test=dated.tail(100), time="day")
    assert not (tmp_path / "study").exists()


def test_a_folder_of_split_files_gives_the_study_its_name(tmp_path: Path):
    folder = tmp_path / "tickets"
    folder.mkdir()
    rows = [{"text": f"where is parcel {i}", "label": "ab"[i % 2]} for i in range(80)]
    pl.DataFrame(rows[:50]).write_csv(folder / "train.csv")
    pl.DataFrame(rows[50:]).write_csv(folder / "test.csv")
    assert read_job(folder, None, Options(), None).task.name == "tickets"


def test_labels_all_equal_are_refused(tmp_path: Path):
    with pytest.raises(NotEnoughLabels):
        bigenough.fit(
            {"text": ["a b", "c d"] * 40, "label": ["x"] * 80}, out=tmp_path / "s", text="text", label="label"
        )


def test_two_processes_do_not_write_into_one_study(run_cli, diagnoses_csv: Path, tmp_path: Path):
    import fcntl

    out = tmp_path / "study"
    out.mkdir()
    with (out / ".lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        run = run_cli("fit", diagnoses_csv, "--label", "chapter", "--text", "term", "--out", out)
    assert run.returncode == 2
    assert "Another process" in run.stderr


def finished_files(out: Path) -> dict[str, int]:
    """What was finished, by path, with the moment it was."""
    kept = ("*/*.npz", "*/*/*.npz", "*/*/candidate.json", "*/*/performance.json", "audit.json", "plan.json")
    return {str(path): path.stat().st_mtime_ns for pattern in kept for path in out.glob(pattern)}


def test_kill_at_any_moment_then_same_command_same_verdict(diagnoses_csv: Path, tmp_path: Path):
    """SIGKILL again and again, at moments spread over the run; finished work stays as it was and is not done again."""
    command = [
        *(sys.executable, "-m", "bigenough", "fit", str(diagnoses_csv), "--label", "chapter", "--text", "term"),
        *("--rungs", "majority,linear,static", "--trials", "3", "--bar", "0.6"),
    ]
    whole = subprocess.run([*command, "--out", str(tmp_path / "whole"), "--json"], capture_output=True, text=True)
    assert whole.returncode in (0, 3, 4), whole.stderr
    out = tmp_path / "killed"
    kept: dict[str, int] = {}
    for seconds in (1.5, 2.5, 3.0, 3.5, 4.0, 5.0):
        process = subprocess.Popen([*command, "--out", str(out)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        time.sleep(seconds)
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        now = finished_files(out)
        assert kept.items() <= now.items()
        kept = now
    last = subprocess.run([*command, "--out", str(out), "--json"], capture_output=True, text=True)
    assert last.returncode == whole.returncode, last.stderr
    assert kept.items() <= finished_files(out).items()
    assert json.loads(last.stdout)["verdict"] == json.loads(whole.stdout)["verdict"]
    assert not [path for path in out.rglob("*.tmp") if path.parent == out]
