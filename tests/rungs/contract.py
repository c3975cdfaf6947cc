# SPDX-License-Identifier: Apache-2.0
"""What every rung owes, whoever wrote it: subclass ``RungContract`` and give it a ``case``."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from bigenough.errors import BigEnoughError, TamperedArtefact
from bigenough.rungs.calibration import temper
from bigenough.rungs.predictors import load_predictor
from bigenough.rungs.protocol import Predictor, Rung, Workbench
from bigenough.task import Examples

TOLERANCE = 1e-6
NEVER_SERVED = ("sklearn", "torch", "optuna", "polars", "onnx", "pandas", "cleanlab", "codecarbon", "altair")
AWKWARD = [
    "",
    " ",
    "\t\n\r",
    "\x00",
    "fracture\x00of the wrist",
    "😀👩‍👩‍👧‍👦 fever 🤒",
    "כאב ראש ו-צוואר",
    "ألم في الرأس",
    "頭痛と発熱が三日間続いています",
    "ปวดหัวและมีไข้",
    "e\u0301 \ufb01 \uff21 \u202eabc",
    "\ud800 half a pair",
    "x" * 5000,
    "!!! ??? ...",
]


@dataclass(frozen=True)
class Case:
    """A rung, what it was fitted on, and what came out."""

    rung: Rung
    bench: Workbench
    fit: Examples
    unseen: Examples
    n_classes: int
    predictor: Predictor

    @classmethod
    def of(cls, rung: Rung, bench: Workbench, fit: Examples, unseen: Examples, n_classes: int) -> Case:
        predictor = rung.fit(fit, n_classes, rung.first_settings(fit, n_classes), bench)
        return cls(rung, bench, fit, unseen, n_classes, predictor)

    def fitted_on(self, texts: Sequence[str], labels: Sequence[int], n_classes: int) -> Predictor:
        examples = Examples(list(texts), np.array(labels, np.int64), np.arange(1, len(labels) + 1))
        return self.rung.fit(examples, n_classes, self.rung.first_settings(examples, n_classes), self.bench)


class RungContract:
    """The tests. ``case`` is a fixture of the subclass."""

    def test_it_says_what_it_is(self, case: Case) -> None:
        assert case.rung.name == case.rung.name.strip().lower()
        assert case.rung.version >= 1
        assert 10 < len(case.rung.summary) < 120
        assert "\n" not in case.rung.summary
        assert all(isinstance(value, str) for value in case.rung.weights(case.bench).values())

    def test_its_settings_are_json(self, case: Case) -> None:
        first = dict(case.rung.first_settings(case.fit, case.n_classes))
        assert json.loads(json.dumps(first, allow_nan=False)) == first

    def test_it_gives_probabilities(self, case: Case) -> None:
        assert_probabilities(case.predictor, case.unseen.texts, case.n_classes)

    def test_it_learns_something(self, case: Case) -> None:
        hits = np.mean(labels_of(case.predictor, case.unseen.texts) == case.unseen.labels)
        chance = np.bincount(case.unseen.labels).max() / len(case.unseen)
        if case.rung.name == "majority":
            assert hits <= chance
        else:
            assert hits >= chance + 0.25

    def test_fitting_twice_gives_the_same_model(self, case: Case) -> None:
        np.random.seed(1)  # noqa: NPY002  # a rung that uses the global state would be found out
        texts = list(case.fit.texts)
        bench = Workbench(case.bench.seed, case.bench.threads, case.bench.cache, case.bench.offline)
        again = Case.of(case.rung, bench, case.fit, case.unseen, case.n_classes).predictor
        assert_same(again.predict_proba(case.unseen.texts), case.predictor.predict_proba(case.unseen.texts))
        assert list(case.fit.texts) == texts

    def test_it_counts_itself(self, case: Case) -> None:
        assert case.predictor.n_classes == case.n_classes
        assert case.predictor.n_parameters > 0

    def test_no_texts_give_no_rows(self, case: Case) -> None:
        assert_probabilities(case.predictor, [], case.n_classes)

    def test_awkward_texts_get_an_answer(self, case: Case) -> None:
        assert_probabilities(case.predictor, AWKWARD, case.n_classes)

    def test_a_megabyte_gets_an_answer(self, case: Case) -> None:
        assert_probabilities(case.predictor, ["pain in the left arm, " * 47_000, "x" * 1_000_000], case.n_classes)

    def test_a_row_does_not_depend_on_its_neighbours(self, case: Case) -> None:
        texts = [*case.unseen.texts[:30], *AWKWARD, "a long story about a broken wrist " * 200]
        together = case.predictor.predict_proba(texts)
        alone = np.vstack([case.predictor.predict_proba([text]) for text in texts])
        assert_same(alone, together)
        order = np.random.default_rng(0).permutation(len(texts))
        assert_same(case.predictor.predict_proba([texts[i] for i in order]), together[order])
        assert_same(case.predictor.predict_proba(texts), together)

    def test_temperature_divides_the_log_probabilities(self, case: Case) -> None:
        plain = case.predictor.predict_proba(case.unseen.texts)
        for temperature in (0.4, 1.0, 3.0):
            warmed = case.predictor.with_temperature(temperature).predict_proba(case.unseen.texts)
            np.testing.assert_allclose(warmed, temper(plain, temperature), atol=TOLERANCE)
            assert (warmed.argmax(axis=1) == plain.argmax(axis=1)).all()
        assert (case.predictor.predict_proba(case.unseen.texts) == plain).all()

    @pytest.mark.parametrize("temperature", [0.0, -1.0, float("nan"), float("inf")])
    def test_an_impossible_temperature_is_refused(self, case: Case, temperature: float) -> None:
        with pytest.raises(BigEnoughError, match="temperature"):
            case.predictor.with_temperature(temperature)

    def test_saving_changes_nothing(self, case: Case, tmp_path: Path) -> None:
        predictor = case.predictor.with_temperature(1.7)
        predictor.save(tmp_path)
        loaded = load_predictor(tmp_path, threads=1)
        texts = [*case.unseen.texts, *AWKWARD]
        assert type(loaded) is type(predictor)
        assert_same(loaded.predict_proba(texts), predictor.predict_proba(texts))
        assert (loaded.n_parameters, loaded.n_classes) == (predictor.n_parameters, predictor.n_classes)

    def test_it_saves_no_code(self, case: Case, tmp_path: Path) -> None:
        case.predictor.save(tmp_path)
        files = [path for path in tmp_path.rglob("*") if path.is_file()]
        assert {path.suffix for path in files} <= {".json", ".safetensors", ".onnx", ".gguf", ".txt"}
        assert json.loads((tmp_path / "predictor.json").read_text())["kind"] == case.predictor.kind

    def test_saving_twice_gives_the_same_bytes(self, case: Case, tmp_path: Path) -> None:
        contents = []
        for name in ("one", "two"):
            (tmp_path / name).mkdir()
            case.predictor.save(tmp_path / name)
            files = sorted(path for path in (tmp_path / name).rglob("*") if path.is_file())
            contents.append({path.name: path.read_bytes() for path in files})
        assert contents[0] == contents[1]

    def test_a_missing_or_cut_file_is_noticed(self, case: Case, tmp_path: Path) -> None:
        case.predictor.save(tmp_path)
        for path in sorted(path for path in tmp_path.rglob("*") if path.is_file()):
            whole = path.read_bytes()
            path.write_bytes(whole[: len(whole) // 2])
            with pytest.raises(TamperedArtefact, match="Copy the whole folder"):
                load_predictor(tmp_path)
            path.unlink()
            with pytest.raises(BigEnoughError):
                load_predictor(tmp_path)
            path.write_bytes(whole)
        load_predictor(tmp_path)

    def test_it_serves_without_what_trained_it(self, case: Case, tmp_path: Path) -> None:
        """A fresh process loads and predicts the same, and imports no training library."""
        case.predictor.save(tmp_path)
        texts = [*case.unseen.texts[:20], "", "頭痛"]
        (tmp_path / "texts.json").write_text(json.dumps(texts))
        found = json.loads(in_fresh_process(SERVE, str(tmp_path), *NEVER_SERVED))
        assert found["imported"] == []
        assert_same(np.array(found["probability"]), case.predictor.predict_proba(texts))

    def test_classes_without_rows(self, case: Case) -> None:
        """Codes 0 and 3 of five classes have no rows; their place in the answer stays."""
        texts = list(case.fit.texts)
        predictor = case.fitted_on(texts, [(1, 2, 4)[label % 3] for label in case.fit.labels], 5)
        assert_probabilities(predictor, case.unseen.texts, 5)
        assert set(labels_of(predictor, texts)) <= {1, 2, 4}

    def test_two_classes(self, case: Case) -> None:
        two = case.fit.take(np.flatnonzero(case.fit.labels < 2))
        predictor = case.fitted_on(two.texts, two.labels.tolist(), 2)
        assert_probabilities(predictor, two.texts, 2)
        hits = np.mean(labels_of(predictor, two.texts) == two.labels)
        assert hits >= (0.5 if case.rung.name == "majority" else 0.8)

    def test_one_class_of_two(self, case: Case) -> None:
        predictor = case.fitted_on(case.fit.texts[:8], [1] * 8, 2)
        assert_probabilities(predictor, AWKWARD, 2)
        assert set(labels_of(predictor, AWKWARD)) == {1}

    def test_single_rows(self, case: Case) -> None:
        """One row a class is little to learn from, and no reason to fail."""
        first = [int(np.flatnonzero(case.fit.labels == code)[0]) for code in range(case.n_classes)]
        few = case.fit.take(np.array(first))
        assert_probabilities(case.fitted_on(few.texts, few.labels.tolist(), case.n_classes), AWKWARD, case.n_classes)
        one = case.fitted_on(case.fit.texts[:1], [0], 2)
        assert_probabilities(one, AWKWARD, 2)

    def test_one_row_against_many(self, case: Case) -> None:
        labels = np.zeros(len(case.fit), np.int64)
        labels[5] = 1
        predictor = case.fitted_on(case.fit.texts, labels.tolist(), 2)
        assert_probabilities(predictor, case.unseen.texts, 2)
        assert np.mean(labels_of(predictor, case.unseen.texts) == 0) > 0.9

    def test_texts_that_say_nothing(self, case: Case) -> None:
        predictor = case.fitted_on(["", " ", "\n", ""], [0, 1, 1, 1], 2)
        assert_probabilities(predictor, ["", "fracture"], 2)
        assert labels_of(predictor, [""])[0] == 1

    def test_awkward_texts_can_be_learned_from(self, case: Case) -> None:
        labels = [place % 2 for place in range(len(AWKWARD))]
        assert_probabilities(case.fitted_on(AWKWARD, labels, 2), AWKWARD, 2)


SERVE = """
import json, sys
from pathlib import Path
from bigenough.rungs.predictors import load_predictor
folder, *forbidden = sys.argv[1:]
texts = json.loads((Path(folder) / "texts.json").read_text())
probability = load_predictor(Path(folder), threads=1).predict_proba(texts)
imported = [name for name in forbidden if name in sys.modules]
print(json.dumps({"imported": imported, "probability": probability.tolist()}))
"""


def in_fresh_process(code: str, *arguments: str) -> str:
    run = subprocess.run(
        [sys.executable, "-c", code, *arguments],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert run.returncode == 0, run.stderr
    return run.stdout


def labels_of(predictor: Predictor, texts: Sequence[str]) -> NDArray[np.int64]:
    return predictor.predict_proba(texts).argmax(axis=1)


def assert_probabilities(predictor: Predictor, texts: Sequence[str], n_classes: int) -> None:
    probability = predictor.predict_proba(texts)
    assert probability.shape == (len(texts), n_classes)
    assert probability.dtype == np.float64
    assert np.isfinite(probability).all()
    assert (probability >= 0).all()
    np.testing.assert_allclose(probability.sum(axis=1), 1.0, atol=1e-9)


def assert_same(found: NDArray[np.float64], expected: NDArray[np.float64]) -> None:
    assert (found.argmax(axis=1) == expected.argmax(axis=1)).all()
    np.testing.assert_allclose(found, expected, atol=TOLERANCE)
