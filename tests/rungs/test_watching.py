# SPDX-License-Identifier: Apache-2.0
"""What a rung may do besides fitting: look at select while it fits, cost minutes, be made from another candidate."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from bigenough.errors import Refused, RungFailed
from bigenough.rungs.candidate import Budget, make_candidate
from bigenough.rungs.fit_memory import FitMemory
from bigenough.rungs.parent import Parent
from bigenough.rungs.predictors import load_predictor
from bigenough.rungs.predictors.constant import ConstantPredictor
from bigenough.rungs.protocol import Watched, Workbench
from bigenough.rungs.search import learning_curve, search
from bigenough.task import Examples, Task

CLASSES = ("no", "yes")


def rows(n: int, first: int = 1) -> Examples:
    labels = np.arange(n) % 3 == 0
    return Examples([f"text {i}" for i in range(n)], labels.astype(np.int64), np.arange(first, first + n))


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


class ShareRung:
    """Says one share for every row. Watching, it takes the share of the watched rows and says so in its settings."""

    name, version, summary, place = "share", 1, "the same share for every row, whatever it says", 5
    costly = True

    def __init__(self, clock: Clock | None = None, minutes: float = 1.0) -> None:
        self.calls: list[tuple[str, int, dict]] = []
        self.benches: list[Workbench] = []
        self.clock, self.minutes = clock, minutes

    def weights(self, bench):
        return {}

    def first_settings(self, examples, n_classes):
        return {"share": None, "luck": 0.0}

    def suggest(self, trial, examples, n_classes):
        return {"share": None, "luck": trial.suggest_float("luck", 0.0, 1.0)}

    def fit(self, examples, n_classes, settings, bench):
        self.calls.append(("fit", len(examples), dict(settings)))
        self.benches.append(bench)
        share = 0.5 if settings["share"] is None else settings["share"]
        return ConstantPredictor(np.array([1 - share, share]))

    def fit_watching(self, examples, n_classes, settings, bench, watch):
        if self.clock is not None:
            self.clock.now += 60 * self.minutes
        share = float(watch.labels.mean())
        self.calls.append(("watched", len(examples), dict(settings)))
        self.benches.append(bench)
        return Watched(ConstantPredictor(np.array([1 - share, share])), {**settings, "share": share}, {"looked": 1})


@contextmanager
def _no_meter():
    class Reading:
        def to_json(self):
            return {name: {"value": None, "unit": "", "source": "not metered"} for name in ("wh", "co2e_g")}

    yield Reading()


def made(rung, folder: Path, memory: Path | None, minutes: float = 10.0):
    return make_candidate(
        rung, folder, fit=rows(90), select=rows(30, 91), task=Task("t", CLASSES), budget=Budget(3, minutes),
        bench=Workbench(0, 1, folder), meter=_no_meter, memory=FitMemory(memory),
    )  # fmt: skip


def test_what_was_seen_on_select_goes_into_the_refit(tmp_path: Path):
    rung = ShareRung()
    candidate = made(rung, tmp_path / "candidate", tmp_path / "fits")
    assert candidate.record["settings"]["share"] == pytest.approx(1 / 3)
    assert candidate.record["record"] == {"looked": 1}
    kind, n, settings = rung.calls[-1]
    assert (kind, n) == ("fit", 120)
    assert settings["share"] == pytest.approx(1 / 3)
    assert candidate.record["trials"][0]["settings"]["share"] == pytest.approx(1 / 3)


def test_a_costly_rung_leaves_the_model_of_fit_alone_and_is_told_its_minutes(tmp_path: Path):
    rung = ShareRung()
    candidate = made(rung, tmp_path / "candidate", tmp_path / "fits")
    kept = load_predictor(candidate.on_fit)
    assert kept.predict_proba(["x"])[0, 1] == pytest.approx(1 / 3)
    *trials, refit = rung.benches
    assert all(0 < bench.fit_minutes < 5 for bench in trials)
    assert 9 < refit.fit_minutes <= 10, "all that is left"
    assert all(bench.scratch is not None for bench in rung.benches)


def test_the_refit_tells_what_it_gave_up_and_rungs_know_the_metric(tmp_path: Path):
    class TellingRung(ShareRung):
        def fit_recorded(self, examples, n_classes, settings, bench):
            predictor = self.fit(examples, n_classes, settings, bench)
            return Watched(predictor, settings, {"notes": [f"{len(examples)} rows"]})

    rung = TellingRung()
    candidate = make_candidate(
        rung, tmp_path / "candidate", fit=rows(90), select=rows(30, 91), task=Task("t", CLASSES, metric="macro_f1"),
        budget=Budget(1, 10.0), bench=Workbench(0, 1, tmp_path), meter=_no_meter, memory=FitMemory(None),
    )  # fmt: skip
    assert candidate.record["refit_record"] == {"notes": ["120 rows"]}
    assert candidate.record["record"] == {"looked": 1}
    assert {bench.metric for bench in rung.benches} == {"macro_f1"}
    assert made(ShareRung(), tmp_path / "plain", None).record["refit_record"] == {}


def test_models_of_settings_that_were_not_chosen_are_deleted_once_the_candidate_is_there(tmp_path: Path):
    """Repeated, the search still does no fit again: what each said of select is kept."""
    memory = tmp_path / "fits"
    candidate = made(ShareRung(), tmp_path / "candidate", memory)
    assert len(candidate.record["trials"]) == 3
    assert len(list(memory.glob("*.npz"))) >= 3
    (kept,) = memory.glob("*-model")
    assert load_predictor(kept).predict_proba(["x"]) == pytest.approx(
        load_predictor(candidate.on_fit).predict_proba(["x"])
    )
    again = ShareRung()
    second = made(again, tmp_path / "other", memory)
    assert [call for call in again.calls if call[0] == "watched"] == []
    assert second.record["settings"] == candidate.record["settings"]
    assert second.on_fit.is_dir()


@pytest.mark.parametrize("end", ["made", "found", "failed"])
def test_what_a_fit_keeps_for_its_own_resumption_goes_with_the_fits(end: str, tmp_path: Path):
    class KeepingRung(ShareRung):
        def fit_watching(self, examples, n_classes, settings, bench, watch):
            bench.scratch.mkdir(parents=True, exist_ok=True)
            (bench.scratch / "half").write_text("a training")
            if end == "failed":
                raise ValueError("no luck")
            return super().fit_watching(examples, n_classes, settings, bench, watch)

    memory = FitMemory(tmp_path / "fits")
    if end == "failed":
        with pytest.raises(RungFailed, match="no luck"):
            made(KeepingRung(), tmp_path / "candidate", memory.folder)
    else:
        made(KeepingRung(), tmp_path / "candidate", memory.folder)
    if end == "found":  # killed before it was cleared
        memory.checkpoints.mkdir()
        made(KeepingRung(), tmp_path / "candidate", memory.folder)
    assert not memory.checkpoints.exists()


def test_a_fit_that_was_resumed_counts_whole(tmp_path: Path):
    class ResumedRung(ShareRung):
        def fit_watching(self, examples, n_classes, settings, bench, watch):
            seen = super().fit_watching(examples, n_classes, settings, bench, watch)
            return seen._replace(record={"trainings": [{"seconds": 100.0}, {"seconds": 90.0}], "seconds": 100.0})

    found = search(
        ResumedRung(Clock()),
        rows(90),
        rows(30, 91),
        2,
        "accuracy",
        trials=3,
        minutes=7,
        bench=Workbench(0, 1, tmp_path),
    )
    assert [trial.seconds for trial in found.trials] == [190.0]


def test_watched_fits_are_found_again_with_settings_record_and_model(tmp_path: Path):
    bench, memory = Workbench(0, 1, tmp_path), FitMemory(tmp_path / "fits")
    first = search(ShareRung(), rows(90), rows(30, 91), 2, "accuracy", trials=1, minutes=9, bench=bench, memory=memory)
    again = ShareRung()
    second = search(again, rows(90), rows(30, 91), 2, "accuracy", trials=1, minutes=9, bench=bench, memory=memory)
    assert again.calls == []
    assert (second.settings, second.record, second.model) == (first.settings, first.record, first.model)
    assert second.model is not None


@pytest.mark.parametrize(("minutes", "trials"), [(1.5, 1), (5.8, 1), (6.0, 2), (7.0, 3)])
def test_a_costly_rung_keeps_time_for_its_refit(minutes, trials, tmp_path: Path):
    """Fits take a minute and the refit a third longer; none begins unless both still fit, with room to plan in."""
    clock = Clock()
    found = search(
        ShareRung(clock), rows(90), rows(30, 91), 2, "accuracy", trials=3, minutes=minutes,
        bench=Workbench(0, 1, tmp_path), clock=clock,
    )  # fmt: skip
    assert len(found.trials) == trials


def test_what_was_refused_is_not_made_again(tmp_path: Path):
    """All that a step made smaller was looked at, and the same rows say the same again; another failure may pass."""

    class RefusingRung(ShareRung):
        error = Refused("All 4 variants are refused.")

        def fit_watching(self, examples, n_classes, settings, bench, watch):
            super().fit_watching(examples, n_classes, settings, bench, watch)
            raise self.error

    class OtherRung(RefusingRung):
        error = RungFailed("There is not enough memory.")

    for kind, fits in ((RefusingRung, 1), (OtherRung, 2)):
        rung = kind()
        for _ in range(2):
            with pytest.raises(RungFailed, match=str(rung.error)[:20]):
                search(
                    rung, rows(90), rows(30, 91), 2, "accuracy", trials=1, minutes=1, bench=Workbench(0, 1, tmp_path),
                    memory=FitMemory(tmp_path / kind.__name__),
                )  # fmt: skip
        assert len(rung.calls) == fits


class BoundedRung(ShareRung):
    """Trials of these minutes each, or of as many as they are given; None fails at once."""

    def __init__(self, clock: Clock, wanted: list[float | None]) -> None:
        super().__init__(clock)
        self.wanted = iter(wanted)

    def fit_watching(self, examples, n_classes, settings, bench, watch):
        if (wanted := next(self.wanted)) is None:
            raise RungFailed("It diverged.")
        self.minutes = min(wanted, bench.fit_minutes)
        return super().fit_watching(examples, n_classes, settings, bench, watch)


@pytest.mark.parametrize(
    "wanted",
    [[1.1, 0.5, 0.5, 2.2, 0.5], [0.5, 0.5, 0.5, 0.5, 4.0], [1.0, None, 4.0, None, 4.0], [None, 0.2, 9.0]],
)
def test_a_costly_rung_keeps_its_minutes_whichever_trial_is_chosen(wanted, tmp_path: Path):
    clock = Clock()
    found = search(
        BoundedRung(clock, [*wanted, *[1.0] * 20]), rows(90), rows(30, 91), 2, "accuracy", trials=20, minutes=5.0,
        bench=replace(Workbench(0, 1, tmp_path), fit_minutes=2.25), clock=clock,
    )  # fmt: skip
    slowest = max(trial.seconds for trial in found.trials if trial.score is not None)
    assert found.seconds + 4 / 3 * slowest <= 300 + 1e-6
    # A trial is given 1.8 times what the slowest took, or none is begun.
    assert found.seconds + (1 + 1.3 * 4 / 3) * 1.8 * slowest >= 300 - 1e-6, "and does not stop long before"


def test_the_learning_curve_takes_only_the_time_that_is_left(tmp_path: Path):
    rung, bench = ShareRung(), Workbench(0, 1, tmp_path)
    settings = {"share": 0.3, "luck": 0.0}

    def points(**time):
        curve = learning_curve(
            rung, settings, rows(96), rows(30, 97), 2, "accuracy", bench=bench, full_score=0.7, **time
        )
        return [point.rows for point in curve]

    assert points() == [12, 24, 48, 96]
    assert points(seconds_left=40.0, full_seconds=100.0) == [12, 24, 96]
    assert points(seconds_left=-5.0, full_seconds=100.0) == [96]
    rung.curve = False
    assert points() == [96]


def test_a_parent_gives_the_model_that_saw_these_rows():
    parent = Parent("big", "big-0", "constant", 90, lambda: "of fit", lambda: "final")
    assert parent.of(rows(90)) == "of fit"
    assert parent.of(rows(120)) == "final"


def test_a_parents_models_are_loaded_once_until_they_are_let_go():
    loads = []
    parent = Parent("big", "big-0", "constant", 90, lambda: loads.append("fit"), lambda: loads.append("all"))
    for _ in range(3):
        parent.of(rows(90)), parent.of(rows(120))
    assert loads == ["fit", "all"]
    parent.release()
    parent.of(rows(120))
    assert loads == ["fit", "all", "all"]
