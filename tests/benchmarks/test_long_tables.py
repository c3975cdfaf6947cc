# SPDX-License-Identifier: Apache-2.0
"""The long benchmark tables: what is done stays done, failures are told, and the figures reach the page."""

from __future__ import annotations

import importlib
import json
import socket
import sys
from itertools import combinations_with_replacement
from pathlib import Path
from types import ModuleType

import polars as pl
import pytest

FOLDER = Path(__file__).parents[2] / "benchmarks"
SCORE = {"value": 0.5, "low": 0.4, "high": 0.6}


@pytest.fixture
def bench_module(monkeypatch: pytest.MonkeyPatch):
    """Imports a script of the benchmarks folder as the scripts import each other, and forgets it afterwards."""
    monkeypatch.syspath_prepend(str(FOLDER))
    before = set(sys.modules)

    def imported(name: str) -> ModuleType:
        return importlib.import_module(name)

    yield imported
    for name in set(sys.modules) - before:
        if getattr(sys.modules[name], "__file__", None) and Path(sys.modules[name].__file__ or "").parent == FOLDER:
            del sys.modules[name]


@pytest.fixture
def data(tmp_path: Path) -> Path:
    for part in ("train", "test"):
        (tmp_path / "sst2").mkdir(exist_ok=True)
        rows = {"text": [f"{part} {i}" for i in range(40)], "label": ["bad", "good"] * 20}
        pl.DataFrame(rows).write_csv(tmp_path / "sst2" / f"{part}.csv")
    return tmp_path


def figures(model: str, *, ours: bool) -> dict:
    return {
        "set": "sst2", "model": model, "ours": ours, "accuracy": SCORE, "macro_f1": SCORE, "size_bytes": 12_300_000,
        "rows_per_s": 1234.0, "ms": 2.5, "train_minutes": 3.0, "peak_mb": 700.0, "note": "n",
    }  # fmt: skip


def test_setfit_steps_are_those_of_its_sampler(bench_module) -> None:
    labels = list("aaabbcdd")
    pairs = list(combinations_with_replacement(labels, 2))
    positive = sum(one == other for one, other in pairs)
    expected = -(-2 * max(positive, len(pairs) - positive) // 16)
    assert bench_module("tuned_peers").setfit_steps(labels) == expected


def test_the_tuned_table_has_every_row_and_the_comparison(bench_module) -> None:
    tuned = bench_module("tuned")
    page = tuned.table(
        {
            "sst2 | tuned": {**figures("tuned", ours=True), "last_fit_minutes": 1.0},
            "sst2 | transformers": figures("transformers", ours=False),
            "sst2 | setfit": {"set": "sst2", "model": "setfit", "failed": "out | of memory"},
            "sst2 | comparison": {
                "set": "sst2", "metric": "accuracy", "ours": "tuned", "peer": "transformers", "score": 0.9,
                "target": 89.0, "difference": {"value": -0.02, "low": -0.03, "high": -0.01}, "no_worse": False,
            },
        }
    )  # fmt: skip
    assert "| sst2 | **tuned** | 50.00 [40.0, 60.0] | 50.0 | 12.3 | 1,234 | 2.5 | 3.00 (1.00) | 700 | n |" in page
    assert "|  | transformers |" in page
    assert "failed: out / of memory" in page
    assert "| sst2 | accuracy | tuned 90.00 | 89.0 | transformers | -2.00 [-3.0, -1.0] | no |" in page
    assert {line.count("|") for line in page.splitlines() if line.startswith("|")} == {11, 8}


def test_finished_rows_are_not_made_again_and_failed_ones_are(bench_module, data: Path, tmp_path: Path) -> None:
    rows, few = bench_module("rows"), bench_module("few_labels")
    bench = rows.Bench(data, tmp_path / "cache", seeds=1, rungs=("few",), pythons={})
    done = {f"sst2 | 0 | {method}": {"set": "sst2"} for method in ("few", "setfit")}
    assert list(few.run(bench, ("sst2",), done)) == []
    done["sst2 | 0 | few"]["failed"] = "killed"
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(few.OURS, "few", "nowhere:Nothing")
        (again,) = few.run(bench, ("sst2",), done)
    assert "nowhere" in again["sst2 | 0 | few"]["failed"]


def test_a_few_labels_row_says_mean_spread_and_the_ratio_of_times(bench_module) -> None:
    row = {"set": "sst2", "labels": 16, "macro_f1": 0.5, "note": ""}
    made = {
        f"sst2 | {seed} | {method}": {
            **row, "seed": seed, "method": method, "accuracy": 0.6 + 0.1 * seed, "seconds": seconds,
        }
        for seed in (0, 1)
        for method, seconds in (("few", 5.0), ("setfit", 20.0))
    }  # fmt: skip
    page = bench_module("few_labels").table(made)
    assert "| sst2 (16) | **few** | 65.0 ± 7.1 | 50.0 ± 0.0 | 5.0 ± 0.0 | 0.25 | 2 |" in page


def test_samples_have_each_class_alike_and_differ_by_seed(bench_module) -> None:
    frame = pl.DataFrame({"text": [str(i) for i in range(90)], "label": ["a", "b", "c"] * 30})
    per_class = bench_module("rows").per_class
    one, other = (per_class(frame, 8, seed=seed) for seed in (0, 1))
    assert one["label"].value_counts()["count"].to_list() == [8, 8, 8]
    assert one.equals(per_class(frame, 8, seed=0))
    assert not one.equals(other)


def test_shrinking_counts_the_sets_that_keep_an_aim_and_says_what_others_missed(bench_module) -> None:
    step = {
        "kind": "step", "set": "sst2", "model": "tuned-vocabulary", "start": "tuned", "step": "vocabulary",
        "size_bytes": 5e7, "bytes_ratio": 0.55, "flips": 0.002, "n": 1000, "proved": True,
        **bench_module("shrinking").speed([[2.0, 2.0]]), "change": {"value": 0.0, "low": -0.01, "high": 0.01},
    }  # fmt: skip
    small = {**step, "step": "vocabulary-int8", "bytes_ratio": 0.19, "speed": 2.5, "proved": False}
    student = {
        "kind": "student", "set": "ag", "model": "static-from-tuned", "teacher": "tuned", "plain_accuracy": 0.8,
        "accuracy": 0.86, "teacher_accuracy": 0.9, "recovered": 0.6, "gap": {"value": 0.1, "low": 0.05, "high": 0.15},
        "gained": {"value": 0.06, "low": 0.01, "high": 0.11},
    }  # fmt: skip
    page = bench_module("shrinking").table(
        {
            "sst2 | tuned-vocabulary": step,
            "sst2 | tuned-vocabulary-int8": small,
            "snips | tuned-vocabulary": {**step, "set": "snips", "flips": 0.004},
            "snips | tuned-vocabulary-int8": {**small, "set": "snips", "speed": 1.9, "bytes_ratio": 0.21},
            "ag | x": {"kind": "refused", "set": "ag", "model": "tuned-vocabulary", "reason": "flips | 2 %"},
            "ag | y": student,
            "sst2 | y": {**student, "set": "sst2", "recovered": None},
            "snips | y": {**student, "set": "snips", "recovered": 0.4},
            "spam | tuned": {"kind": "not fitted", "set": "spam", "model": "tuned", "reason": "no memory"},
        }
    )  # fmt: skip
    assert "1 of 4 sets; not on snips (flips), ag (refused), spam (not made)." in page
    assert "1 of 4 sets; not on snips (bytes, speed), ag (not made), spam (not made)." in page
    assert (
        "| sst2 | tuned | vocabulary | 50.0 | 0.550x | 2 of 1,000, 0.20 % | 0.00 [-1.0, 1.0] | proved | 1.00x |" in page
    )
    assert "| ag | tuned-vocabulary | refused: flips / 2 % |" in page
    closed = "| ag | static-from-tuned | 80.00 | 86.00 | 90.00 | 10.00 [5.0, 15.0] | 6.00 [1.0, 11.0] | 60 % |"
    assert closed in page
    assert "at least half of its gap in 1 of the 2 sets in which a gap is shown, of 4." in page
    assert page.endswith("spam: tuned: no memory")


def test_the_speed_of_a_step_is_the_median_of_its_turns(bench_module, data: Path, tmp_path: Path, capsys) -> None:
    shrinking = bench_module("shrinking")
    turns = shrinking.speed([[4.0, 2.0], [9.0, 3.0], [5.0, 5.0]])
    assert [turns[part] for part in ("speed", "speed_low", "speed_high", "start_ms", "ms")] == [2.0, 1.0, 3.0, 5.0, 3.0]
    step = {
        "kind": "step", "set": "sst2", "model": "tuned-int8", "start": "tuned", "step": "int8", "size_bytes": 5e7,
        "bytes_ratio": 0.3, "flips": 0.0, "n": 10, "proved": False, "change": {"value": 0.0, "low": 0.0, "high": 0.0},
        **turns,
    }  # fmt: skip
    done = {"sst2 | tuned-int8": step, "sst2 | study": {"set": "sst2", "kind": "study", "sentence": ""}}
    assert "| seen | 2.00x [1.00, 3.00] |" in shrinking.table(done)
    # Two turns are due, and no study is there to take them.
    bench = bench_module("rows").Bench(data, tmp_path / "cache", turns=5)
    assert list(shrinking.run(bench, ("sst2",), done)) == []
    assert "its study is not in" in capsys.readouterr().err
    assert list(shrinking.run(bench_module("rows").Bench(data, tmp_path, turns=3), ("sst2",), done)) == []
    assert "its study" not in capsys.readouterr().err


def test_the_page_is_built_from_stored_figures_alone(bench_module, tmp_path: Path) -> None:
    run = bench_module("run")
    rows = run.stamped({"sst2 | tuned": figures("tuned", ours=True)})
    elsewhere = {**figures("tuned", ours=True), "set": "snips", "stamp": {**rows["sst2 | tuned"]["stamp"]}}
    elsewhere["stamp"]["machine"] = {**elsewhere["stamp"]["machine"], "cpu": "another"}
    run.write_figures(tmp_path / "tuned.json", {**rows, "snips | tuned": elsewhere})
    run.write_page(tmp_path, tmp_path / "page.md")
    page = (tmp_path / "page.md").read_text()
    assert "## Tuned rungs beside peers" in page
    assert "**tuned**" in page
    stored = json.loads((tmp_path / "tuned.json").read_text())
    assert stored["machine"]["cores"] >= 1
    told = [line for line in page.splitlines() if line.startswith(f"Measured {stored['measured']}: ")]
    assert [(stored["machine"]["cpu"] in line, line.rsplit(": ")[-1]) for line in told] == [
        (True, "sst2."), (False, "snips.")
    ]  # fmt: skip


def asked(model: str, size_bytes: int | None) -> dict:
    return {
        "set": "sst2", "model": model, "accuracy": SCORE, "macro_f1": SCORE, "rows": 200, "ms": 2.5, "mwh": 0.0123,
        "energy": "4 W a thread", "timed_rows": 200, "unnamed": 3, "fit_s": None if size_bytes is None else 1.0,
        "size_bytes": size_bytes, "settings": {},
    }  # fmt: skip


def test_language_models_are_compared_by_what_they_said(bench_module, data: Path, tmp_path: Path) -> None:
    rows, models = bench_module("rows"), bench_module("language_models")
    bench, gold = rows.Bench(data, tmp_path / "cache"), ["a", "b"] * 100
    wrong = {"mini, zero-shot": 100, "mini, few-shot": 60, "mini, few-shot, corrected": 40, "endpoint, few-shot": 50}
    done = {}
    for place, model in enumerate(models.MODELS):
        said = ["c" if row < wrong.get(model, 5) else label for row, label in enumerate(gold)]
        rows.keep(models._path(bench, "sst2", model), gold, said)
        done[f"sst2 | {model}"] = asked(model, None if model.startswith("endpoint") else 1000 * (place + 1))
    # everything is done, so that no process is started: only what is computed from the rows is made
    (made,) = models.run(bench, ("sst2",), done)
    page = models.table(done | made)
    assert "| sst2 | linear | 50.0 [40.0, 60.0] | 50.0 | 2.5 | 0.0123 | 3 | 1.0 | 49 % (50 %) |" in page
    assert "|  | endpoint, few-shot | 50.0 [40.0, 60.0] | 50.0 | 2.5 | 0.0123 | 3 |  | 38 % (50 %) |" in page
    assert "*mini, few-shot* − *mini, zero-shot*: shown better on 1 and worse on 0 of 1 sets (sst2 20.0 [" in page
    assert "*endpoint, few-shot* − *endpoint, zero-shot*: shown better on 0 and worse on 1 of 1 sets" in page
    assert "*mini, few-shot, corrected* − *mini, few-shot, generated*: shown better on 0 and worse on 1" in page
    assert "| sst2 | endpoint, few-shot | linear (1.0 kB) is the smallest model proved as good as" in page
    assert list(models.run(bench, ("sst2",), done | made)) == []


def test_a_row_of_a_language_model_that_failed_is_told_and_compared_with_nothing(
    bench_module, data: Path, tmp_path: Path
) -> None:
    rows, models = bench_module("rows"), bench_module("language_models")
    bench = rows.Bench(data, tmp_path / "cache", rungs=("linear",))
    done = {"sst2 | mini, few-shot": {"set": "sst2", "model": "mini, few-shot", "failed": "out | of memory"}}
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(models.RECIPES, "linear", "nowhere:Nothing")
        failed, compared = models.run(bench, ("sst2",), done)
    assert "nowhere" in failed["sst2 | linear"]["failed"]
    assert compared["sst2 | verdicts"]["verdicts"] == compared["sst2 | differences"]["differences"] == []
    page = models.table(done | failed | compared)
    assert "failed: out / of memory" in page
    assert "not measured" in page
    assert {line.count("|") for line in page.splitlines() if line.startswith("|")} == {10, 4}


def test_a_port_that_is_taken_fails_the_row_and_not_the_run(bench_module) -> None:
    server, rows = bench_module("model_server"), bench_module("rows")
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        with pytest.raises(rows.Failed, match="is taken"), server.served(threads=1, port=other.getsockname()[1]):
            pass


def test_the_tuned_language_model_stands_beside_the_same_one_asked(bench_module) -> None:
    tuned = bench_module("tuned_mini")
    few = "mini, few-shot, corrected"
    page = tuned.table(
        {
            "sst2 | tuned-mini": {
                **asked("tuned-mini", 1), "minutes": 30.0, "fit_rows": 1500, "settings": {"bits": 4},
            },
            f"sst2 | {few}": {**asked(few, 1), "fit_rows": 1500},
            "sst2 | difference": {"set": "sst2", "difference": {"value": 0.1, "low": 0.05, "high": 0.15}},
        }
    )  # fmt: skip
    assert "Minutes allowed for a training: sst2 30." in page
    assert "| sst2 (1,500) | tuned-mini | 50.0 [40.0, 60.0] | 50.0 | 2.5 | 0.0123 | 3 | 1.0 | 4 |" in page
    assert "in points: 10.0 [5.0, 15.0]." in page


def test_every_part_has_a_title_a_place_on_the_page_and_a_table(bench_module, tmp_path: Path) -> None:
    run = bench_module("run")
    assert set(run.ORDER) == set(run.TITLES) == set(run.MODULES) == {*run.PARTS, *run.LONG, *run.NAMED}
    assert all(callable(module.table) for module in run.MODULES.values())
    truth = {"discordance": 0.1, "difference": 0.0, "rows_asked": 900.0, "worse": 0.01, "fixed_worse": 0.02}
    truths = [{**truth, "certify_rows": 1500 * n, "not_worse": 0.8, "fixed_not_worse": 0.9} for n in (1, 2, 4)]
    edge = {"discordance": 0.1, "certify_rows": 6000, "studies": 2000, "not_worse": 0.041, "worse": 0.03}
    run.write_figures(tmp_path / "sequential.json", {"truths": truths, "edge": [edge]})
    run.write_page(tmp_path, tmp_path / "page.md")
    page = (tmp_path / "page.md").read_text()
    assert "## Rows asked when stopping early" in page
    assert "of 2,000 studies each" in page
    assert "discordance 10%: 4.1% and 3.0%." in page
    assert "| 10% | 1,500 | +0 | 900 | 900 | 900 | 80% (90%) | 80% (90%) | 80% (90%) |" in page


def test_a_fifth_of_each_class_keeps_its_labels_and_no_other_label_is_passed_on(bench_module) -> None:
    students = bench_module("students")
    rows = {"text": [f"t{i}" for i in range(63)], "label": ["a"] * 50 + ["b"] * 10 + ["c"] * 3}
    labelled, rest = students.split_labels(pl.DataFrame(rows))
    assert dict(labelled["label"].value_counts().iter_rows()) == {"a": 10, "b": 2, "c": 2}
    assert rest.columns == ["text"]
    assert sorted([*labelled["text"], *rest["text"]]) == sorted(rows["text"])


def test_the_table_of_students_counts_the_sets_with_a_gap(bench_module) -> None:
    students = bench_module("students")
    row = {
        "kind": "student", "rung": "linear", "teacher": "tuned", "model": "linear-from-tuned", "labelled": 1384,
        "unlabelled": 5536, "plain_accuracy": 0.75, "accuracy": 0.8, "teacher_accuracy": 0.85, "size_bytes": 1_200_000,
        "gap": {"value": 0.1, "low": 0.05, "high": 0.15}, "gained": {"value": 0.05, "low": 0.02, "high": 0.08},
    }  # fmt: skip
    made = {
        "sst2 | linear-from-tuned": {"set": "sst2", **row, "recovered": 0.5},
        "sst2 | study": {"set": "sst2", "kind": "study", "sentence": "s"},
        "snips | linear-from-tuned": {"set": "snips", **row, "recovered": None},
        "snips | study": {"set": "snips", "kind": "study", "sentence": "s"},
    }
    page = students.table(made)
    assert "| sst2 | 1,384 | 5,536 | linear-from-tuned | 75.00 | 80.00 | 85.00 |" in page
    assert "| 50 % | 1.2 |" in page
    assert "in 1 of the 1 sets in which a gap is shown, of 2." in page
