# SPDX-License-Identifier: Apache-2.0
"""A study whose rungs share one budget: what each tried and took is kept and told, whatever became of it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import polars as pl
import pytest

import bigenough
from bigenough.cli.outcome import outcome_json
from bigenough.errors import RungFailed
from bigenough.quantity import Quantity
from bigenough.rungs.linear import LinearRung
from bigenough.rungs.static import StaticRung
from bigenough.storage import read_json
from bigenough.study import Study
from bigenough.verification import verify

SHARED: dict[str, Any] = {
    "label": "chapter", "text": "term", "trials": 4, "shrink": "none", "budget_minutes": 3.0,
    "rungs": ("majority", "linear"),
}  # fmt: skip


class Killed(BaseException):
    """Ends a run at once, as a kill does."""


def kill(*_: Any, **__: Any) -> None:
    raise Killed


def wh(rung: dict[str, Any]) -> float:
    value = Quantity.from_json(rung["energy"]["wh"]).value
    assert value is not None
    return value


def test_a_rung_that_fails_says_what_it_cost(diagnoses: pl.DataFrame, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def fails_on_all(self: StaticRung, examples: Any, *others: Any) -> Any:
        if len(examples) > 300:
            raise RuntimeError("no luck <on> many rows")
        return whole(self, examples, *others)

    whole = StaticRung.fit
    monkeypatch.setattr(StaticRung, "fit", fails_on_all)
    study = bigenough.fit(diagnoses, out=tmp_path / "study", **{**SHARED, "rungs": ("majority", "linear", "static")})
    record = read_json(study.path / "search.json")
    static, linear = record["rungs"]["static"], record["rungs"]["linear"]
    assert "no luck" in static["left_out"]
    assert static["trials"] == 1
    assert static["seconds"] > 0
    assert wh(static) / wh(linear) == pytest.approx(static["seconds"] / linear["seconds"])
    assert sum(wh(rung) for rung in record["rungs"].values()) == pytest.approx(record["energy"]["wh"]["value"])
    assert sum(rung["seconds"] for rung in record["rungs"].values()) == pytest.approx(record["seconds"]["fits"])

    page = study.report.read_text()
    assert "static: 1 setting tried on select" in page
    assert "no luck &lt;on&gt; many rows" in page
    printed = json.loads(outcome_json(study))["search"]
    assert set(printed["rungs"]) == {"majority", "linear", "static"}
    assert printed["rungs"]["static"]["best"] == static["best"]
    assert "no luck" in printed["rungs"]["static"]["left_out"]


def test_where_no_rung_can_begin_its_reasons_are_told(diagnoses: pl.DataFrame, tmp_path: Path, monkeypatch):
    monkeypatch.setattr(LinearRung, "unsuited", lambda *_: "is nothing for these rows", raising=False)
    with pytest.raises(RungFailed, match=r"No rung could be fitted: linear is nothing for these rows\.$"):
        bigenough.fit(diagnoses, out=tmp_path / "study", **{**SHARED, "rungs": ("linear",)})


def test_without_a_budget_nothing_is_said_of_a_search(study: Study, study_run: tuple[Study, dict[str, Any]]):
    assert study_run[1]["search"] is None
    assert "The search" not in study.report.read_text()


def test_a_study_killed_after_its_search_tells_of_it_as_if_it_had_not_been(
    diagnoses: pl.DataFrame, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    out = tmp_path / "study"
    with monkeypatch.context() as patched, pytest.raises(Killed):
        patched.setattr("bigenough.ladder.make_candidate", kill)
        bigenough.fit(diagnoses, out=out, **SHARED)
    before = read_json(out / "search.json")
    study = bigenough.fit(diagnoses, out=out, **SHARED)
    assert read_json(out / "search.json") == before
    assert wh(study.candidates["linear"].record) >= wh(before["rungs"]["linear"])
    assert "The search" in study.report.read_text()
    assert json.loads(outcome_json(study))["search"]["seconds"] == before["seconds"]
    assert all(check.agree for check in verify(study.path))


def test_a_search_that_was_killed_counts_the_seconds_of_both_runs_and_says_whose_energy_is_missing(
    diagnoses: pl.DataFrame, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    out, fit, done = tmp_path / "study", LinearRung.fit, []

    def dies_at_the_fourth(self: LinearRung, *arguments: Any) -> Any:
        if len(done) == 3:
            raise Killed
        done.append(1)
        return fit(self, *arguments)

    with monkeypatch.context() as patched, pytest.raises(Killed):
        patched.setattr(LinearRung, "fit", dies_at_the_fourth)
        bigenough.fit(diagnoses, out=out, **SHARED)
    assert not (out / "search.json").exists()
    study = bigenough.fit(diagnoses, out=out, **SHARED)
    linear = read_json(out / "search.json")["rungs"]["linear"]
    assert linear["unmetered_fits"] == 3
    assert "without 3 fits that an earlier run" in linear["energy"]["wh"]["source"]
    assert "without 3 fits that an earlier run" in study.candidates["linear"].record["energy"]["wh"]["source"]
    fits = [tried for entry in linear["entries"] for tried in entry["fits"]]
    assert len(fits) > 3
    assert linear["seconds"] == pytest.approx(sum(tried["seconds"] for tried in fits))
    assert "made by a run that was stopped, only the time was kept" in study.report.read_text()
