# SPDX-License-Identifier: Apache-2.0
"""Tournaments of small rungs whose scores and costs are known, by a clock that only their fits move."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bigenough.errors import BadOption, OutOfDisk, RungFailed, WeightsNotFound
from bigenough.rungs.fit_memory import FitMemory
from bigenough.rungs.halving import tournament
from bigenough.rungs.linear import LinearRung
from bigenough.rungs.majority import MajorityRung
from bigenough.rungs.protocol import Workbench
from bigenough.rungs.search import search
from bigenough.rungs.trials import is_costly
from bigenough.task import Examples

TRUTH = {"red": 0, "green": 1, "blue": 2}
FIT_ROWS = 900


def coloured(rows: int) -> Examples:
    names = list(TRUTH) * (rows // 3)
    return Examples(names, np.array([TRUTH[name] for name in names]), np.arange(1, len(names) + 1))


def rounded(value: Any) -> Any:
    """JSON values without the last digits, which depend on what a clock stood at."""
    return json.loads(json.dumps(value), parse_float=lambda digits: round(float(digits), 9))


class Clock:
    """Stands still unless a fit moves it."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


class Knowing:
    """Right on the first ``knows`` of every hundred rows."""

    kind = "knowing"
    n_parameters = 1
    n_classes = 3

    def __init__(self, knows: float) -> None:
        self.knows = knows

    def predict_proba(self, texts: list[str]) -> np.ndarray:
        told = np.array([TRUTH[text] for text in texts], np.int64)
        wrong = np.arange(len(texts)) % 100 >= round(100 * self.knows)
        probability = np.full((len(texts), 3), 0.1)
        probability[np.arange(len(texts)), np.where(wrong, (told + 1) % 3, told)] = 0.8
        return probability

    def save(self, folder: Path) -> None:
        (folder / "knows.json").write_text(json.dumps(self.knows))


class SmallRung:
    """Gains with rows up to what its settings know; a fit takes ``seconds`` for all rows, less for fewer."""

    version = 1
    summary = "for tests"

    def __init__(self, name: str, place: int, clock: Clock, *, best: float = 0.8, seconds: float = 9.0) -> None:
        self.name, self.place, self.clock, self.best, self.seconds = name, place, clock, best, seconds
        self.fits: list[tuple[float, int]] = []
        self.allowed: list[float | None] = []

    def weights(self, bench: Workbench) -> Mapping[str, str]:
        return {}

    def first_settings(self, examples: Examples, n_classes: int) -> dict[str, Any]:
        return {"off": 0.1}

    def suggest(self, trial: Any, examples: Examples, n_classes: int) -> dict[str, Any]:
        return {"off": trial.suggest_float("off", 0.0, 0.4)}

    def fit(self, examples: Examples, n_classes: int, settings: Mapping[str, Any], bench: Workbench) -> Knowing:
        self.fits.append((settings["off"], len(examples)))
        self.allowed.append(bench.fit_minutes)
        self.clock.now += self.seconds * len(examples) / FIT_ROWS
        return Knowing(self.best - settings["off"] - 0.1 * (1 - len(examples) / FIT_ROWS))

    def rows(self) -> list[int]:
        return [rows for _, rows in self.fits]


class CostlyRung(SmallRung):
    costly = True


def run(rungs: Any, bench: Workbench, clock: Clock, *, minutes: float = 60.0, trials: int = 10, **options: Any):
    return tournament(
        rungs, coloured(FIT_ROWS), coloured(300), 3, "accuracy", minutes=minutes, trials=trials, bench=bench,
        clock=clock, **options,
    )  # fmt: skip


def test_rounds_halve_and_the_first_settings_go_all_the_way(bench):
    clock = Clock()
    rung = SmallRung("small", 1, clock)
    found = run([rung], bench, clock)
    rows = rung.rows()
    assert rows[:3] == [100, 300, 900]
    assert rung.fits[0][0] == rung.fits[2][0] == 0.1
    assert [rows.count(size) for size in (100, 300, 900)] == [10, 4, 2]  # 9 challengers, 3 of them, 1 of those
    trials = found.results["small"].trials
    assert len(trials) == 10
    assert [trial.share for trial in trials].count(1.0) == 2
    assert all(trial.stopped for trial in trials if trial.share < 1)
    assert found.results["small"].settings["off"] < 0.1
    assert found.record["rounds"] == [
        {"bracket": 1, "step": 1, "entered": 9, "went_on": 3}, {"bracket": 1, "step": 2, "entered": 3, "went_on": 1}
    ]  # fmt: skip
    assert json.loads(json.dumps(found.record))["rungs"]["small"]["entries"][0]["fits"][0]["rows"] == 100


def test_what_goes_on_is_what_was_best(bench):
    clock = Clock()
    rung = SmallRung("small", 1, clock)
    run([rung], bench, clock)
    offs = {size: [off for off, rows in rung.fits if rows == size] for size in (100, 300, 900)}
    challengers = sorted(offs[100][1:])
    assert sorted(offs[300][1:]) == challengers[:3]
    assert offs[900][1] == challengers[0]


def test_a_small_rung_is_not_measured_against_a_larger_one(bench):
    clock = Clock()
    small, large = SmallRung("small", 1, clock, best=0.6), SmallRung("large", 2, clock, best=0.95)
    dominated = SmallRung("dominated", 3, clock, best=0.5)
    run([large, dominated, small], bench, clock)
    on_all = {rung.name: rung.rows().count(300) for rung in (small, large, dominated)}
    assert on_all["small"] >= 4  # its first settings, and its share of the places
    assert on_all["large"] >= 4
    assert on_all["dominated"] == 2  # its first settings, and the best of its challengers


def test_every_rung_keeps_one_to_the_full_round_when_minutes_are_short(bench):
    clock = Clock()
    rungs = [SmallRung(name, place, clock) for place, name in enumerate(("one", "two", "three"))]
    # One rung's first settings and their refit: 1 + 3 + 9 + 12 seconds.
    found = run(rungs, bench, clock, minutes=3 * 25 / 60)
    assert set(found.results) == {"one", "two", "three"}
    assert all(len(each.trials) <= 2 for each in found.results.values())


@pytest.mark.parametrize("minutes", [0.5, 1.0, 2.0, 3.0, 7.0, 15.0])
def test_the_budget_is_kept_with_the_refits(bench, minutes):
    clock = Clock()
    rungs = [SmallRung(str(place), place, clock, seconds=4.0 + 5 * place) for place in range(3)]
    rungs.append(CostlyRung("costly", 9, clock, seconds=60.0))
    found = run(rungs, bench, clock, minutes=minutes, trials=30)
    held = sum(4 / 3 * next(r for r in rungs if r.name == name).seconds for name in found.results)
    assert clock.now + held <= 60 * minutes + 1e-9
    assert found.record["seconds"]["fits"] == pytest.approx(clock.now)
    assert found.record["seconds"]["held for refits"] == pytest.approx(held)


def test_minutes_that_were_foretold_too_short_are_used_after_all(bench):
    """The first fit on each part pays for what later ones share, so that few challengers seem to fit in at first."""
    clock = Clock()

    class Remembering(SmallRung):
        def fit(self, examples: Examples, n_classes: int, settings: Mapping[str, Any], bench: Workbench) -> Knowing:
            self.seconds = 0.1 if len(examples) in self.rows() else 9.0
            return super().fit(examples, n_classes, settings, bench)

    rung = Remembering("small", 1, clock)
    found = run([rung], bench, clock, minutes=0.8, trials=20)
    assert len(found.results["small"].trials) == 20
    assert {each["bracket"] for each in found.record["rounds"]} > {1}
    assert clock.now + 0.1 * 4 / 3 <= 48


def test_a_costly_rung_is_tried_small_first_and_left_out_when_its_fit_and_refit_do_not_fit(bench):
    clock = Clock()
    cheap, costly = SmallRung("cheap", 1, clock), CostlyRung("costly", 9, clock, seconds=600.0)
    found = run([cheap, costly], bench, clock, minutes=20, trials=1)
    assert costly.rows() == [100, 100], "once more: the first one may have paid for more than itself"
    assert "would have taken about 1,400 s" in found.left_out["costly"]
    assert "costly" not in found.results
    clock, costly.fits = Clock(), []
    costly.clock = cheap.clock = clock
    found = run([cheap, costly], bench, clock, minutes=30, trials=1)
    assert costly.rows() == [100, 900]
    assert set(found.results) == {"cheap", "costly"}


def test_a_costly_rung_is_told_its_minutes_a_part_in_proportion(bench):
    clock = Clock()
    costly = CostlyRung("costly", 9, clock, seconds=60.0)
    found = run([costly], bench, clock, minutes=10, trials=1)
    part, whole, middle, half = costly.allowed
    assert half == pytest.approx(whole / 2)
    assert middle == pytest.approx(whole / 3)
    assert part == pytest.approx(whole / 9)
    assert found.fit_minutes == {"costly": pytest.approx(whole)}
    assert whole * (1 / 9 + 1 + 4 / 3) == pytest.approx(10)
    assert is_costly(costly)


def test_a_costly_rung_has_a_learning_curve_too(bench):
    """First settings go from a ninth to all rows; the third between is made where a quarter of what is left pays it."""
    clock = Clock()
    costly, dear = CostlyRung("costly", 8, clock, seconds=60.0), CostlyRung("dear", 9, clock, seconds=900.0)
    found = run([costly, dear], bench, clock, minutes=50, trials=1)
    assert costly.rows() == [100, 900, 300, 450]
    assert [point.rows for point in found.points["costly"]] == [100, 300, 450]
    scores = [point.score for point in found.points["costly"]]
    assert scores[0] < scores[1] < scores[2] < found.results["costly"].score
    assert [point.rows for point in found.points["dear"]] == [100]


def test_a_costly_rungs_model_is_kept_for_the_fit_on_all_rows_only(bench, tmp_path):
    clock = Clock()
    costly = CostlyRung("costly", 9, clock)
    found = run([costly], bench, clock, trials=1, memory_of=lambda rung: FitMemory(tmp_path))
    assert [path for path in tmp_path.iterdir() if path.is_dir()] == [found.results["costly"].model]


def test_a_rung_that_says_nothing_on_parts_is_fitted_on_all_rows_only(bench):
    clock = Clock()
    rung = SmallRung("whole", 1, clock)
    rung.curve = False
    run([rung], bench, clock, trials=3)
    assert set(rung.rows()) == {900}


def test_parts_with_too_few_rows_are_left_out(bench):
    clock = Clock()
    rung = SmallRung("small", 1, clock)
    tournament(
        [rung], coloured(270), coloured(90), 3, "accuracy", minutes=9, trials=4, bench=bench, clock=clock
    )  # fmt: skip
    assert set(rung.rows()) == {90, 135, 270}


@pytest.mark.parametrize("minutes", [0.7, 1.0, 60.0])
def test_a_curve_has_what_a_forecast_from_half_of_the_rows_needs(bench, minutes):
    """Challengers leave the time for it, unless it would take more than a quarter of what is left."""
    clock = Clock()
    rung = SmallRung("small", 1, clock)
    found = run([rung], bench, clock, minutes=minutes, trials=30)
    assert [point.rows for point in found.points["small"]] == [100, 300, 450]
    chosen = found.results["small"].settings["off"]
    assert rung.fits[-1] == (chosen, 450)


def test_it_goes_the_same_way_after_a_kill(bench, tmp_path):
    def rungs(clock):
        made = [SmallRung("a", 1, clock), SmallRung("b", 2, clock, best=0.9), CostlyRung("c", 3, clock, seconds=50)]
        return made, lambda rung: FitMemory(tmp_path / rung.name)

    clock = Clock()
    made, memory_of = rungs(clock)
    whole = run(made, bench, clock, minutes=4, memory_of=lambda rung: FitMemory(tmp_path / "whole" / rung.name))

    class Killed(BaseException):
        pass

    clock = Clock()
    made, memory_of = rungs(clock)
    fit, done = SmallRung.fit, []

    def dies(self, *arguments):
        done.append(1)
        if len(done) > 12:
            raise Killed
        return fit(self, *arguments)

    for rung in made:
        rung.fit = dies.__get__(rung)
    with pytest.raises(Killed):
        run(made, bench, clock, minutes=4, memory_of=memory_of)
    clock = Clock()
    made, memory_of = rungs(clock)
    again = run(made, bench, clock, minutes=4, memory_of=memory_of)
    assert rounded(again.record) == rounded(whole.record)
    assert sum(len(rung.fits) for rung in made) + 12 == sum(
        len(entry["fits"]) for each in whole.record["rungs"].values() for entry in each["entries"]
    )


def test_failures_cost_their_own_rung_only(bench):
    clock = Clock()

    class Broken(SmallRung):
        def fit(self, *arguments: Any) -> Any:
            raise RuntimeError("no luck")

    class Weightless(SmallRung):
        def fit(self, *arguments: Any) -> Any:
            raise WeightsNotFound("nowhere")

    found = run([Broken("broken", 0, clock), Weightless("bare", 1, clock), SmallRung("good", 2, clock)], bench, clock)
    assert set(found.results) == {"good"}
    assert "RuntimeError: no luck" in found.left_out["broken"]
    assert "WeightsNotFound: nowhere" in found.left_out["bare"]
    alone = run([Broken("broken", 0, clock)], bench, clock)
    assert not alone.results
    assert "RuntimeError: no luck" in alone.left_out["broken"]


@pytest.mark.parametrize("when", ["first", "later"])
def test_a_rung_whose_settings_cannot_be_made_costs_no_other(bench, when):
    clock = Clock()

    class Confused(SmallRung):
        def suggest(self, trial: Any, examples: Examples, n_classes: int) -> dict[str, Any]:
            if when == "first" or self.fits:
                raise ZeroDivisionError("of rows")
            return super().suggest(trial, examples, n_classes)

    found = run([Confused("confused", 0, clock), SmallRung("good", 2, clock)], bench, clock, trials=4)
    assert len(found.results["good"].trials) == 4
    if when == "first":
        assert "ZeroDivisionError" in found.left_out["confused"]
    else:
        assert len(found.results["confused"].trials) == 1


def test_a_costly_rung_has_time_for_its_refit_whichever_settings_it_ends_with(bench):
    """The challengers take a tenth of the time, and are worse."""
    clock = Clock()

    class Uneven(CostlyRung):
        def fit(self, examples: Examples, n_classes: int, settings: Mapping[str, Any], bench: Workbench) -> Knowing:
            self.seconds = 90.0 if settings["off"] == 0.1 else 9.0
            found = super().fit(examples, n_classes, settings, bench)
            return found if settings["off"] == 0.1 else Knowing(0.4)

    found = run([Uneven("uneven", 9, clock)], bench, clock, minutes=6, trials=12)
    assert found.results["uneven"].settings == {"off": 0.1}
    assert len(found.results["uneven"].trials) > 1
    assert found.record["seconds"]["held for refits"] == pytest.approx(4 / 3 * 90)
    assert clock.now + 4 / 3 * 90 <= 360 + 1e-9


def test_settings_that_came_to_all_rows_have_not_failed_where_one_more_point_did(bench):
    clock = Clock()

    class Halfhearted(CostlyRung):
        def fit(self, examples: Examples, *others: Any) -> Knowing:
            if 100 < len(examples) < FIT_ROWS:
                raise RuntimeError("not on a part")
            return super().fit(examples, *others)

    found = run([Halfhearted("half", 9, clock, seconds=30.0)], bench, clock, trials=1)
    (trial,) = found.results["half"].trials
    assert (trial.failure, trial.stopped, trial.share) == (None, None, 1.0)
    stages = {stage["rows"]: stage["failed"] for stage in found.record["rungs"]["half"]["stages"]}
    assert stages == {100: 0, 300: 1, 450: 1, 900: 0}


def test_every_rung_says_what_it_tried_and_what_that_took(bench):
    """Those without a result too: one that no time was left for, and one that fails after some fits."""
    clock = Clock()

    class Forgetful(SmallRung):
        def fit(self, examples: Examples, *others: Any) -> Any:
            found = super().fit(examples, *others)
            if len(examples) > 300:
                raise MemoryError("too many rows")
            return found

    rungs = [SmallRung("small", 1, clock), Forgetful("forgetful", 2, clock), CostlyRung("dear", 9, clock, seconds=900)]
    found = run(rungs, bench, clock, minutes=20, trials=4)
    record = json.loads(json.dumps(found.record))
    assert set(found.results) == {"small"}
    small, forgetful, dear = (record["rungs"][rung.name] for rung in rungs)

    assert (small["trials"], small["left_out"]) == (4, None)
    assert [stage["rows"] for stage in small["stages"]] == [100, 300, 450, 900]
    assert [stage["fits"] for stage in small["stages"]] == [rungs[0].rows().count(n) for n in (100, 300, 450, 900)]
    assert small["best"]["share"] == 1
    assert small["best"]["score"] == max(
        fit["score"] for entry in small["entries"] for fit in entry["fits"] if fit["share"] == 1
    )

    assert forgetful["stages"][-1] == {"share": 1, "rows": 900, "fits": 1, "failed": 1, "seconds": pytest.approx(9)}
    assert "MemoryError: too many rows" in forgetful["left_out"]
    assert forgetful["best"] == {
        "share": pytest.approx(1 / 3), "rows": 300, "score": pytest.approx(0.63, abs=0.01),
        "log_loss": forgetful["entries"][0]["log_loss"], "settings": {"off": 0.1},
    }  # fmt: skip
    assert forgetful["seconds"] == pytest.approx(1 + 3 + 9)

    assert (dear["trials"], dear["seconds"]) == (1, pytest.approx(200)), "once more, to be sure"
    assert [(stage["rows"], stage["fits"], stage["failed"]) for stage in dear["stages"]] == [(100, 2, 0)]
    assert "would have taken about" in dear["left_out"]
    assert dear["best"]["settings"] == {"off": 0.1}
    assert sum(each["seconds"] for each in record["rungs"].values()) == pytest.approx(clock.now)


def test_a_rung_that_no_time_was_left_for_tried_nothing(bench):
    clock = Clock()
    rungs = [
        SmallRung("fast", 1, clock, seconds=1),
        CostlyRung("dear", 8, clock, seconds=900),
        CostlyRung("late", 9, clock),
    ]
    found = run(rungs, bench, clock, minutes=0.5)
    late = found.record["rungs"]["late"]
    assert (late["trials"], late["stages"], late["best"], late["seconds"]) == (0, [], None, 0)
    assert late["left_out"] == "no time was left"


def test_a_failing_challenger_is_written_down_and_passed_over(bench):
    clock = Clock()

    class Touchy(SmallRung):
        def fit(self, examples: Examples, n_classes: int, settings: Mapping[str, Any], bench: Workbench) -> Knowing:
            if settings["off"] > 0.1:
                raise ValueError("too far off")
            return super().fit(examples, n_classes, settings, bench)

    found = run([Touchy("touchy", 0, clock)], bench, clock, trials=8)
    failed = [trial for trial in found.results["touchy"].trials if trial.failure]
    assert failed
    assert {(trial.failure, trial.score, trial.stopped) for trial in failed} == {
        ("ValueError: too far off", None, "failed on 100 rows")
    }


class SlowStart(SmallRung):
    """Pays once for what all its fits share."""

    once = 12.0

    def fit(self, examples: Examples, *arguments: Any) -> Knowing:
        self.clock.now += 0.0 if self.fits else self.once
        return super().fit(examples, *arguments)


class CostlySlowStart(SlowStart, CostlyRung):
    pass


@pytest.mark.parametrize(("kind", "part"), [(SlowStart, 133), (CostlySlowStart, 100)])
def test_what_a_rung_pays_once_is_not_foretold_by_rows(bench, tmp_path, kind, part):
    """Its fits take a second for all rows; the first one took twelve more."""
    rows = 400 if kind is SlowStart else FIT_ROWS
    lost = []
    for _ in range(2):
        clock = Clock()
        rung = kind("big", 20, clock, seconds=1.0)
        found = tournament(
            [rung], coloured(rows), coloured(rows // 3), 3, "accuracy", minutes=1.5, trials=1, bench=bench,
            clock=clock, memory_of=lambda rung: FitMemory(tmp_path / rung.name),
        )  # fmt: skip
        assert found.left_out == {}
        sizes = [point.rows for point in found.points["big"]]
        assert sizes == sorted(set(sizes)), "a part is one point, however often it was fitted"
        lost.append((rung.rows(), rounded(found.record["rungs"])))
    assert lost[0][0][:2] == [part, part]
    assert lost[1] == ([], lost[0][1]), "the same, from memory"


class Diverging(SmallRung):
    """Fails at its first settings, as a rate may be too high for a task."""

    def fit(self, examples: Examples, n_classes: int, settings: Mapping[str, Any], bench: Workbench) -> Knowing:
        found = super().fit(examples, n_classes, settings, bench)
        if settings["off"] == 0.1:
            raise RungFailed("It diverged. Take a lower rate.")
        return found


def test_a_cheap_rung_whose_first_settings_fail_begins_with_the_next(bench):
    clock = Clock()
    found = run([Diverging("small", 10, clock), SmallRung("other", 20, clock)], bench, clock, trials=4)
    assert found.left_out == {}
    first, *others = found.record["rungs"]["small"]["entries"]
    assert "It diverged" in first["failure"]
    assert any(entry["share"] == 1.0 for entry in others)
    only = run([Diverging("small", 10, clock), SmallRung("other", 20, clock)], bench, clock, trials=1)
    assert "It diverged" in only.left_out["small"]


def test_a_full_disk_ends_it(bench):
    clock = Clock()

    class Full(SmallRung):
        def fit(self, *arguments: Any) -> Any:
            raise OutOfDisk("full")

    with pytest.raises(OutOfDisk):
        run([Full("full", 0, clock)], bench, clock)


@pytest.mark.parametrize(("minutes", "trials"), [(0, 1), (-1, 1), (float("nan"), 1), (float("inf"), 1), (1, 0)])
def test_no_budget_is_refused(bench, minutes, trials):
    with pytest.raises(BadOption, match="at least one trial and some time"):
        run([], bench, Clock(), minutes=minutes, trials=trials)


def test_with_one_trial_real_rungs_end_as_in_the_search(bench, fit_split, select_split):
    rungs = [MajorityRung(), LinearRung()]
    found = tournament(rungs, fit_split, select_split, 4, "accuracy", minutes=5, trials=1, bench=bench)
    for rung in rungs:
        alone = search(rung, fit_split, select_split, 4, "accuracy", trials=1, minutes=5, bench=bench)
        mine = found.results[rung.name]
        assert (mine.settings, mine.score, mine.log_loss) == (alone.settings, alone.score, alone.log_loss)
        assert np.array_equal(mine.select_probability, alone.select_probability)
        assert mine.trials[-1].rows == len(fit_split)


def test_real_rungs_keep_a_budget_of_seconds(bench, fit_split, select_split):
    found = tournament(
        [MajorityRung(), LinearRung()], fit_split, select_split, 4, "accuracy", minutes=0.1, trials=5000, bench=bench
    )
    assert found.record["seconds"]["fits"] + found.record["seconds"]["held for refits"] <= 6.5
    assert set(found.results) == {"majority", "linear"}
    assert 1 < len(found.results["linear"].trials) < 5000
