# SPDX-License-Identifier: Apache-2.0
"""The search and the learning curve, with real rungs and with small ones whose best setting is known."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bigenough.errors import BadOption, OutOfDisk, RungFailed, WeightsNotFound
from bigenough.rungs.fit_memory import FitMemory
from bigenough.rungs.linear import LinearRung
from bigenough.rungs.majority import MajorityRung
from bigenough.rungs.predictors.constant import ConstantPredictor
from bigenough.rungs.protocol import Workbench
from bigenough.rungs.search import learning_curve, search
from bigenough.task import Examples
from bigenough.task.metrics import score

TRUTH = {"red": 0, "green": 1, "blue": 2}


def coloured(rows: int) -> Examples:
    names = list(TRUTH) * (rows // 3)
    return Examples(names, np.array([TRUTH[name] for name in names]), np.arange(1, len(names) + 1))


class Oracle:
    """Knows the truth and is believed by a share of rows, ``knows``; ``sure`` is how sure it is of itself."""

    kind = "oracle"
    n_parameters = 1
    n_classes = 3

    def __init__(self, knows: float, sure: float) -> None:
        self.knows, self.sure = knows, sure

    def predict_proba(self, texts: list[str]) -> np.ndarray:
        told = np.array([TRUTH[text] for text in texts], np.int64)
        wrong = np.arange(len(texts)) % 100 >= round(100 * self.knows)
        probability = np.full((len(texts), 3), (1 - self.sure) / 2)
        probability[np.arange(len(texts)), np.where(wrong, (told + 1) % 3, told)] = self.sure
        return probability


class OracleRung:
    name = "oracle"
    version = 1
    summary = "knows the truth as well as it is told to"
    place = 1

    def __init__(self) -> None:
        self.fits: list[tuple[dict[str, Any], int]] = []

    def weights(self, bench: Workbench) -> Mapping[str, str]:
        return {}

    def first_settings(self, examples: Examples, n_classes: int) -> dict[str, Any]:
        return {"knows": 0.5}

    def suggest(self, trial: Any, examples: Examples, n_classes: int) -> dict[str, Any]:
        return {"knows": trial.suggest_float("knows", 0.34, 0.99)}

    def fit(self, examples: Examples, n_classes: int, settings: Mapping[str, Any], bench: Workbench) -> Oracle:
        self.fits.append((dict(settings), len(examples)))
        return Oracle(settings["knows"], 0.8)


class Listed(OracleRung):
    """Tries a given list of settings, in order; ``fails`` says which of them raise what."""

    def __init__(self, *choices: float, fails: Mapping[float, Exception] | None = None) -> None:
        super().__init__()
        self.choices, self.fails = choices, fails or {}

    def first_settings(self, examples: Examples, n_classes: int) -> dict[str, Any]:
        return {"knows": self.choices[0]}

    def suggest(self, trial: Any, examples: Examples, n_classes: int) -> dict[str, Any]:
        return {"knows": trial.suggest_categorical("knows", list(self.choices))}

    def fit(self, examples: Examples, n_classes: int, settings: Mapping[str, Any], bench: Workbench) -> Oracle:
        if settings["knows"] in self.fails:
            raise self.fails[settings["knows"]]
        return super().fit(examples, n_classes, settings, bench)


def run(rung: Any, bench: Workbench, *, trials: int = 8, minutes: float = 5, **options: Any):
    return search(
        rung, coloured(60), coloured(300), 3, "accuracy", trials=trials, minutes=minutes, bench=bench, **options
    )


def test_it_finds_a_better_setting_than_the_first(bench):
    rung = OracleRung()
    found = run(rung, bench, trials=12)
    assert found.trials[0].settings == {"knows": 0.5}
    assert found.score == max(trial.score for trial in found.trials) > 0.8
    assert found.score == score("accuracy", coloured(300).labels, found.select_probability.argmax(axis=1))
    assert len(rung.fits) == len(found.trials) == 12
    assert json.loads(json.dumps([trial.to_json() for trial in found.trials]))[0]["settings"] == {"knows": 0.5}


def test_the_seed_decides(bench):
    settings = [[trial.settings for trial in run(OracleRung(), bench).trials] for _ in range(2)]
    assert settings[0] == settings[1]
    other = Workbench(bench.seed + 1, 1, bench.cache)
    assert [trial.settings for trial in run(OracleRung(), other).trials] != settings[0]


def test_it_stops_when_a_small_space_is_used_up(bench):
    rung = Listed(0.5, 0.7, 0.9)
    found = run(rung, bench, trials=10)
    assert sorted(trial.settings["knows"] for trial in found.trials) == [0.5, 0.7, 0.9]
    assert len(rung.fits) == 3
    assert found.settings == {"knows": 0.9}


def test_nothing_to_search_is_one_trial(bench):
    found = run(MajorityRung(), bench)
    assert len(found.trials) == 1
    assert found.settings == {}


def test_no_trial_begins_after_the_minutes(bench):
    ticks = iter(range(0, 10_000, 20))
    found = run(OracleRung(), bench, trials=50, minutes=1, clock=lambda: float(next(ticks)))
    assert [trial.seconds for trial in found.trials] == [20, 20, 20]
    assert found.seconds == 60


@pytest.mark.parametrize(("trials", "minutes"), [(0, 1), (1, 0), (1, -2), (1, float("nan"))])
def test_a_budget_of_nothing_is_refused(bench, trials, minutes):
    with pytest.raises(BadOption, match="at least one trial"):
        run(OracleRung(), bench, trials=trials, minutes=minutes)


def test_a_trial_that_raises_is_recorded_and_the_search_goes_on(bench):
    rung = Listed(0.5, 0.7, 0.9, fails={0.5: RuntimeError("no luck"), 0.9: MemoryError()})
    found = run(rung, bench, trials=10)
    reasons = {trial.settings["knows"]: trial.failure for trial in found.trials}
    assert reasons[0.5] == "RuntimeError: no luck"
    assert reasons[0.7] is None
    assert found.settings == {"knows": 0.7}


def test_when_all_raise_the_rung_failed(bench):
    rung = Listed(0.5, 0.9, fails={0.5: RuntimeError("no luck"), 0.9: RuntimeError("none either")})
    with pytest.raises(RungFailed, match=r"'oracle' failed with all 2 settings. First: RuntimeError: no luck"):
        run(rung, bench)


@pytest.mark.parametrize("error", [OutOfDisk("full"), WeightsNotFound("nowhere")])
def test_what_no_setting_can_help_stops_at_once(bench, error):
    rung = Listed(0.5, 0.9, fails={0.5: error})
    with pytest.raises(type(error)):
        run(rung, bench)
    assert rung.fits == []


@pytest.mark.parametrize(
    "probability",
    [np.full((300, 2), 0.5), np.full((299, 3), 1 / 3), np.full((300, 3), np.nan), np.tile([1.5, -0.5, 0.0], (300, 1))],
)
def test_what_is_no_probability_is_a_failed_trial(bench, probability):
    class Liar(Listed):
        def fit(self, *arguments: Any) -> Any:
            oracle = super().fit(*arguments)
            oracle.predict_proba = lambda texts: probability
            return oracle

    with pytest.raises(RungFailed, match="probabilities"):
        run(Liar(0.5), bench)


class AlwaysWhite(Oracle):
    def predict_proba(self, texts: list[str]) -> np.ndarray:
        return np.tile([0.0, 0.0, 1.0], (len(texts), 1))


class Twins(OracleRung):
    """Hopeless first settings, and two others: ``hits`` of 300 rows right each, one surer of its errors."""

    def __init__(self, first: tuple[int, float], second: tuple[int, float]) -> None:
        super().__init__()
        self.twins = {"a": first, "b": second}

    def first_settings(self, examples: Examples, n_classes: int) -> dict[str, Any]:
        return {"which": "hopeless"}

    def suggest(self, trial: Any, examples: Examples, n_classes: int) -> dict[str, Any]:
        return {"which": trial.suggest_categorical("which", ["hopeless", "a", "b"])}

    def fit(self, examples: Examples, n_classes: int, settings: Mapping[str, Any], bench: Workbench) -> Any:
        if settings["which"] == "hopeless":
            return AlwaysWhite(1, 1)
        hits, doubt = self.twins[settings["which"]]

        class Twin(Oracle):
            def predict_proba(self, texts: list[str]) -> np.ndarray:
                told = np.array([TRUTH[text] for text in texts])
                wrong = np.arange(len(texts)) >= hits
                sure = np.where(wrong, doubt, 0.9)
                probability = np.tile(((1 - sure) / 2)[:, None], (1, 3))
                probability[np.arange(len(texts)), np.where(wrong, (told + 1) % 3, told)] = sure
                return probability

        return Twin(1, 1)


@pytest.mark.parametrize(
    ("first", "second", "chosen"),
    [
        ((200, 0.9), (200, 0.4), "b"),  # equal scores: the one that doubts where it is wrong
        ((201, 0.9), (200, 0.4), "b"),  # one row more is no difference
        ((240, 0.9), (200, 0.4), "a"),  # forty rows more are one
        ((200, 0.4), (199, 0.9), "a"),
    ],
)
def test_scores_that_cannot_be_told_apart_are_decided_by_log_loss(bench, first, second, chosen):
    found = run(Twins(first, second), bench)
    assert found.settings == {"which": chosen}
    mine = next(trial for trial in found.trials if trial.settings == found.settings)
    assert (found.score, found.log_loss) == (mine.score, mine.log_loss)


@pytest.mark.parametrize(("metric", "chosen"), [("accuracy", "a"), ("macro_f1", "b"), ("balanced_accuracy", "b")])
def test_log_loss_counts_rows_or_classes_as_the_metric_does(bench, metric, chosen):
    """Both settings are right on the same rows; one knows when it is right on the large class, one on the small."""
    wrong = np.array([True] * 10 + [False] * 80 + [True] * 2 + [False] * 8)
    select = Examples(["red"] * 90 + ["green"] * 10, np.array([0] * 90 + [1] * 10), np.arange(1, 101))

    class Leaning(Twins):
        def fit(self, examples: Examples, n_classes: int, settings: Mapping[str, Any], bench: Workbench) -> Any:
            if settings["which"] == "hopeless":
                return AlwaysWhite(1, 1)
            knowing = "red" if settings["which"] == "a" else "green"

            class Lean(Oracle):
                def predict_proba(self, texts: list[str]) -> np.ndarray:
                    knows = np.array([text == knowing for text in texts])
                    sure = np.where(knows != wrong, 0.95, 0.6)
                    said = np.where(wrong, 1 - sure, sure)
                    red = np.where(select.labels == 0, said, 1 - said)
                    return np.column_stack([red, 1 - red, np.zeros(len(texts))])

            return Lean(1, 1)

    found = search(Leaning((1, 1), (1, 1)), coloured(60), select, 3, metric, trials=8, minutes=1, bench=bench)
    assert len({trial.score for trial in found.trials[1:]}) == 1
    assert found.settings == {"which": chosen}


@pytest.mark.parametrize(
    ("first", "second", "hold", "chosen"),
    [(200, 201, 1.0, "a"), (200, 240, 1.0, "b"), (200, 150, 1.0, "a"), (200, 240, 7.0, "a"), (200, 203, 1.0, "b")],
)
def test_first_settings_stay_unless_others_are_told_apart_from_them(bench, first, second, hold, chosen):
    class StartsWithA(Twins):
        first_settings_hold = hold

        def first_settings(self, examples: Examples, n_classes: int) -> dict[str, Any]:
            return {"which": "a"}

    assert run(StartsWithA((first, 0.9), (second, 0.4)), bench).settings == {"which": chosen}


def test_finished_fits_are_not_done_again(bench, tmp_path: Path):
    whole = run(OracleRung(), bench, trials=9)
    run(OracleRung(), bench, trials=4, memory=FitMemory(tmp_path))
    rung, memory = OracleRung(), FitMemory(tmp_path)
    resumed = run(rung, bench, trials=9, memory=memory)
    assert (len(rung.fits), memory.reused) == (5, 4)
    assert [trial.settings for trial in resumed.trials] == [trial.settings for trial in whole.trials]
    assert resumed.settings == whole.settings
    assert (resumed.select_probability == whole.select_probability).all()


def test_remembered_seconds_count_towards_the_minutes(bench, tmp_path: Path):
    for memory in (FitMemory(tmp_path), FitMemory(tmp_path)):
        ticks = iter(range(0, 10_000, 20))
        found = run(OracleRung(), bench, minutes=1, clock=lambda ticks=ticks: float(next(ticks)), memory=memory)
        assert len(found.trials) == 3


def test_a_damaged_memory_is_a_fit_done_again(bench, tmp_path: Path):
    run(OracleRung(), bench, trials=2, memory=FitMemory(tmp_path))
    for path in tmp_path.iterdir():
        path.write_bytes(path.read_bytes()[:40])
    rung = OracleRung()
    run(rung, bench, trials=2, memory=FitMemory(tmp_path))
    assert len(rung.fits) == 2


def test_the_learning_curve_grows_with_the_rows(bench, fit_split, select_split):
    rung = LinearRung()
    settings = rung.first_settings(fit_split, 4)
    full = rung.fit(fit_split, 4, settings, bench).predict_proba(select_split.texts)
    full_score = score("accuracy", select_split.labels, full.argmax(axis=1))
    options = {"bench": bench, "full_score": full_score}
    curve = learning_curve(rung, settings, fit_split, select_split, 4, "accuracy", **options)
    assert [point.rows for point in curve] == [38, 75, 150, 300]
    assert curve[-1].score == full_score
    assert curve[0].score < curve[-1].score
    assert curve == learning_curve(rung, settings, fit_split, select_split, 4, "accuracy", **options)
    assert json.dumps([point.to_json() for point in curve])


def test_the_curve_leaves_out_what_cannot_be_fitted(bench):
    class Picky(OracleRung):
        def fit(self, examples: Examples, *rest: Any) -> Oracle:
            if len(examples) < 10:
                raise RuntimeError("too few rows")
            return super().fit(examples, *rest)

    rung = Picky()
    points = learning_curve(
        rung,
        {"knows": 0.7},
        coloured(60),
        coloured(300),
        3,
        "accuracy",
        bench=bench,
        full_score=0.7,
        shares=(0.02, 0.1, 0.5),
    )
    assert [point.rows for point in points] == [30, 60]
    assert [rows for _, rows in rung.fits] == [30]


def test_optuna_keeps_its_level_of_talk(bench):
    import optuna

    before = optuna.logging.get_verbosity()
    run(OracleRung(), bench, trials=2)
    assert optuna.logging.get_verbosity() == before


def test_a_plain_predictor_of_shares(bench):
    found = search(MajorityRung(), coloured(60), coloured(30), 3, "macro_f1", trials=3, minutes=1, bench=bench)
    np.testing.assert_allclose(found.select_probability, 1 / 3)
    assert isinstance(MajorityRung().fit(coloured(60), 3, {}, bench), ConstantPredictor)


def test_a_model_that_a_kill_left_behind_gives_way_to_the_one_whose_probabilities_are_kept(tmp_path):
    memory = FitMemory(tmp_path)
    for content in ("before the kill", "after it"):
        path = memory.keep_model("a-key", Written(content))
    assert [each.read_text() for each in path.iterdir()] == ["after it"]


class Written:
    """Saves a line."""

    def __init__(self, content: str) -> None:
        self.content = content

    def save(self, folder) -> None:
        (folder / "model.txt").write_text(self.content)
