# SPDX-License-Identifier: Apache-2.0
"""The long benchmark tables: what is done stays done, failures are told, and the figures reach the page."""

from __future__ import annotations

import importlib
import json
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


def test_shrinking_counts_the_sets_that_keep_an_aim_and_shows_refusals(bench_module) -> None:
    step = {
        "kind": "step", "set": "sst2", "model": "frozen-vocabulary", "start": "frozen", "step": "vocabulary",
        "size_bytes": 5e7, "bytes_ratio": 0.55, "flips": 0.002, "proved": True, "speed": 1.0,
        "change": {"value": 0.0, "low": -0.01, "high": 0.01},
    }  # fmt: skip
    page = bench_module("shrinking").table(
        {
            "sst2 | frozen-vocabulary": step,
            "snips | frozen-vocabulary": {**step, "set": "snips", "flips": 0.004},
            "ag | x": {"kind": "refused", "set": "ag", "model": "frozen-vocabulary", "reason": "flips | 2 %"},
            "ag | y": {
                "kind": "student", "set": "ag", "model": "static-from-frozen", "plain_accuracy": 0.8, "accuracy": 0.86,
                "teacher_accuracy": 0.9, "recovered": 0.6,
            },
        }
    )  # fmt: skip
    assert "1 of 3 sets, refused on 1" in page
    assert "| ag | frozen-vocabulary | refused: flips / 2 % |" in page
    assert "| ag | static-from-frozen | 80.00 | 86.00 | 90.00 | 60 % |" in page


def test_the_page_is_built_from_stored_figures_alone(bench_module, tmp_path: Path) -> None:
    run = bench_module("run")
    run.write_figures(tmp_path / "tuned.json", {"sst2 | tuned": figures("tuned", ours=True)})
    run.write_page(tmp_path, tmp_path / "page.md")
    page = (tmp_path / "page.md").read_text()
    assert "## Tuned rungs beside peers" in page
    assert "**tuned**" in page
    assert json.loads((tmp_path / "tuned.json").read_text())["machine"]["cores"] >= 1
