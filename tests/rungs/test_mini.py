# SPDX-License-Identifier: Apache-2.0
"""A language model asked for labels: the contract on a tiny decoder, corrections with known truth, the real weights."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
from llama.tiny_llama import NEEDS_LLAMA, NEEDS_SMOLLM, write_tiny
from rungs.contract import AWKWARD, Case, RungContract, assert_probabilities, assert_same, labels_of

from bigenough.errors import BadOption, RungFailed, WeightsNotFound
from bigenough.llama.constrained import Answer
from bigenough.rungs.label_priors import fitted_head, plain_head, prior_head
from bigenough.rungs.mini import SCORINGS, MiniRung
from bigenough.rungs.predictors.mini import spread
from bigenough.rungs.predictors.softmax import softmax
from bigenough.rungs.protocol import Predictor, Workbench
from bigenough.task import Examples

pytestmark = NEEDS_LLAMA

CHAPTERS = ("neoplasm", "metabolic_disease", "nerves", "bones_and_joints", "other")
SETTINGS = {"shots": 2, "layout": "turns", "names": "words", "scoring": "vector", "rows": 30, "text_tokens": 60}
TEXTS = ["lost card", "stolen card", "pay money", "top up money", "my card is lost", "please pay"]


@dataclass(frozen=True)
class NamedCase(Case):
    """A case whose classes always have names."""

    def fitted_on(self, texts: Sequence[str], labels: Sequence[int], n_classes: int) -> Predictor:
        examples = Examples(list(texts), np.array(labels, np.int64), np.arange(1, len(labels) + 1))
        named = replace(self.bench, class_names=CHAPTERS[:n_classes])
        return self.rung.fit(examples, n_classes, SETTINGS, named)


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> MiniRung:
    return MiniRung(str(write_tiny(tmp_path_factory.mktemp("gguf") / "tiny.gguf")))


@pytest.fixture(scope="module")
def case(tiny: MiniRung, weights_cache: Path, fit_split: Examples, select_split: Examples) -> Case:
    bench = Workbench(seed=7, threads=1, cache=weights_cache, offline=True, class_names=CHAPTERS[:4])
    fit, select = fit_split.take(np.arange(60)), select_split.take(np.arange(20))
    predictor = tiny.fit(fit, 4, SETTINGS, bench)
    return NamedCase(tiny, bench, fit, select, 4, predictor)


class TestMini(RungContract):
    """The contract; random weights know nothing of diseases, so what is learned is asked of the real ones."""

    def test_it_learns_something(self, case: Case) -> None:
        """That classes are told apart at all."""
        shares = np.bincount(labels_of(case.predictor, case.fit.texts), minlength=4) / len(case.fit)
        assert (shares < 1).all()

    def test_fitting_twice_gives_the_same_model(self, case: Case) -> None:
        np.random.seed(1)  # noqa: NPY002
        again = case.rung.fit(case.fit, 4, SETTINGS, replace(case.bench, memo={}))
        assert_same(again.predict_proba(case.unseen.texts), case.predictor.predict_proba(case.unseen.texts))

    def test_two_classes(self, case: Case) -> None:
        two = case.fit.take(np.flatnonzero(case.fit.labels < 2))
        assert_probabilities(case.fitted_on(two.texts, two.labels.tolist(), 2), two.texts, 2)


@pytest.fixture
def bench(tmp_path):
    return Workbench(seed=0, threads=1, cache=tmp_path, offline=True, class_names=("card_lost", "money_transfer"))


@pytest.fixture
def examples():
    return Examples(TEXTS, np.array([0, 0, 1, 1, 0, 1]), np.arange(1, 7))


@pytest.mark.parametrize("scoring", SCORINGS)
def test_every_scoring_gives_probabilities_and_survives_a_saving(tiny, bench, examples, scoring, tmp_path):
    predictor = tiny.fit(examples, 2, {**SETTINGS, "scoring": scoring}, bench)
    assert_probabilities(predictor, [*TEXTS, *AWKWARD[:6]], 2)
    folder = tmp_path / "model"
    folder.mkdir()
    predictor.save(folder)
    loaded = type(predictor).load(folder, threads=1)
    assert_same(loaded.predict_proba(TEXTS), predictor.predict_proba(TEXTS))
    assert (loaded.prompt, loaded.mode, loaded.sha256) == (predictor.prompt, predictor.mode, predictor.sha256)


@pytest.mark.parametrize("scoring", ["answer", "plain", "content-free", "texts"])
def test_these_read_no_label_when_no_example_is_shown(tiny, bench, examples, scoring):
    settings = {**SETTINGS, "scoring": scoring, "shots": 0}
    other = replace(examples, labels=1 - examples.labels)
    one, two = (tiny.fit(each, 2, settings, bench).predict_proba(TEXTS) for each in (examples, other))
    np.testing.assert_array_equal(one, two)


def test_what_is_shown_is_not_what_the_correction_is_fitted_on(tiny, bench, examples):
    read = []
    predictor = tiny.fit(examples, 2, SETTINGS, bench)
    reader = predictor.reader
    read = set(reader._kept)
    shown = {text for text, _ in predictor.prompt.examples}
    assert len(shown) == 2
    assert {code for _, code in predictor.prompt.examples} == {0, 1}
    assert not shown & read
    assert len(read) == 4


def test_the_minutes_bound_what_is_read_and_a_refit_does_the_same(tiny, bench, examples):
    hurried = replace(bench, fit_minutes=1e-9)
    watched = tiny.fit_watching(examples, 2, SETTINGS, hurried, examples)
    assert watched.settings["rows"] == watched.record["rows_read"] == 1
    again = tiny.fit(examples, 2, watched.settings, replace(bench, memo={}))
    np.testing.assert_array_equal(again.predict_proba(TEXTS), watched.predictor.predict_proba(TEXTS))


def test_without_a_correction_no_row_is_read(tiny, bench, examples):
    watched = tiny.fit_watching(examples, 2, {**SETTINGS, "scoring": "plain"}, bench, examples)
    assert watched.record == {"rows_read": 0}
    assert watched.settings["rows"] == SETTINGS["rows"]
    assert not watched.predictor.reader._kept


def test_the_original_file_is_not_linked(tiny, bench, examples, tmp_path):
    predictor = tiny.fit(examples, 2, SETTINGS, bench)
    predictor.save(tmp_path)
    assert not (tmp_path / "model.gguf").samefile(predictor.model)


def test_names_and_descriptions_reach_the_prompt(tiny, bench, examples):
    told = replace(bench, descriptions={"card_lost": "a card is gone"})
    predictor = tiny.fit(examples, 2, SETTINGS, told)
    assert predictor.prompt.classes == ("card lost", "money transfer")
    assert predictor.prompt.descriptions == ("a card is gone", "")
    given = tiny.fit(examples, 2, {**SETTINGS, "names": "given"}, told)
    assert given.prompt.classes == ("card_lost", "money_transfer")


def test_names_that_become_the_same_words_stay_as_given(tiny, bench, examples):
    alike = replace(bench, class_names=("card-lost", "card_lost"))
    assert tiny.fit(examples, 2, SETTINGS, alike).prompt.classes == ("card-lost", "card_lost")


def test_no_names(tiny, bench, examples):
    with pytest.raises(RungFailed, match=r"0 class names for 2 classes.*labels as words"):
        tiny.fit(examples, 2, SETTINGS, replace(bench, class_names=()))


def test_no_weights(bench, examples):
    with pytest.raises(WeightsNotFound):
        MiniRung("/no/such.gguf").fit(examples, 2, SETTINGS, bench)


@pytest.mark.parametrize("wrong", [{"scoring": "magic"}, {"names": "none"}, {"shots": -1}, {"rows": 0}])
def test_settings_that_make_no_sense(tiny, bench, examples, wrong):
    with pytest.raises(BadOption, match=next(iter(wrong))):
        tiny.fit(examples, 2, {**SETTINGS, **wrong}, bench)


def test_the_first_settings_mix_classes_only_where_rows_suffice(tiny):
    many = Examples(["x"] * 400, np.zeros(400, np.int64), np.arange(400))
    assert tiny.first_settings(many, 4)["scoring"] == "matrix"
    assert tiny.first_settings(many, 77)["scoring"] == "vector"


class TestCorrections:
    """A model whose scores are true log-probabilities, shifted and stretched by what the correction should undo."""

    def scores(self, n, shift, stretch, seed=0):
        rng = np.random.default_rng(seed)
        true = softmax(2 * rng.normal(size=(n, len(shift))))
        labels = np.array([rng.choice(len(shift), p=row) for row in true])
        return true, np.log(softmax(np.log(true) / stretch + shift)), labels

    @pytest.mark.parametrize("kind", ["bias", "vector", "matrix"])
    def test_a_liking_for_some_labels_is_found(self, kind):
        true, scores, labels = self.scores(4000, np.array([2.0, 0.0, -2.0]), 1.0)
        head = fitted_head(scores, labels, np.arange(3), kind)
        before = np.abs(np.exp(scores) - true).mean()
        after = np.abs(head.probabilities(scores) - true).mean()
        assert after < before / 5

    def test_only_a_vector_finds_a_stretch(self):
        true, scores, labels = self.scores(4000, np.zeros(3), np.array([3.0, 3.0, 3.0]))
        error = {
            kind: np.abs(fitted_head(scores, labels, np.arange(3), kind).probabilities(scores) - true).mean()
            for kind in ("bias", "vector")
        }
        assert error["vector"] < error["bias"] / 3

    def test_a_prior_is_what_texts_without_content_say(self):
        shift = np.array([2.0, 0.0, -2.0])
        true, scores, _ = self.scores(500, shift, 1.0)
        empty = np.log(softmax(shift[None]))
        np.testing.assert_allclose(prior_head(empty).probabilities(scores), true, atol=1e-6)

    def test_few_rows_change_little(self):
        scores = np.log(softmax(np.random.default_rng(1).normal(size=(2, 20))))
        head = fitted_head(scores, np.array([3, 4]), np.arange(20), "vector")
        assert np.abs(np.diag(head.weight) - 1).max() < 2
        assert np.abs(head.bias).max() < 6

    def test_no_rows_change_nothing(self):
        head = fitted_head(np.zeros((0, 3)), np.zeros(0, np.int64), np.arange(3), "vector")
        np.testing.assert_array_equal(head.weight, plain_head(3).weight)
        np.testing.assert_array_equal(head.bias, np.zeros(3))

    def test_a_class_without_examples_is_never_named(self):
        scores = np.log(softmax(np.random.default_rng(1).normal(size=(30, 4))))
        labels = np.array([0, 1, 3] * 10)
        for kind in ("bias", "vector", "matrix"):
            said = fitted_head(scores, labels, np.array([0, 1, 3]), kind).probabilities(scores)
            assert said[:, 2].max() == 0

    def test_a_matrix_without_a_row_of_each_class_is_a_vector(self):
        scores, labels = np.log(softmax(np.random.default_rng(1).normal(size=(9, 3)))), np.array([0, 1, 0] * 3)
        matrix, vector = (fitted_head(scores, labels, np.arange(3), kind) for kind in ("matrix", "vector"))
        np.testing.assert_array_equal(matrix.weight, vector.weight)

    def test_an_unknown_kind(self):
        with pytest.raises(BadOption, match="magic"):
            fitted_head(np.zeros((1, 2)), np.array([0]), np.arange(2), "magic")


@pytest.mark.parametrize("probability", [0.0, 0.2, 0.9, 1.0])
def test_an_answer_is_the_most_probable_class(probability):
    said = np.exp(spread(Answer(2, probability), 5))
    assert said.argmax() == 2
    assert said.sum() == pytest.approx(1)
    assert said.min() > 0


@pytest.mark.slow
@NEEDS_SMOLLM
def test_the_shipped_model_knows_what_labels_mean(tmp_path, fit_split, select_split):
    """Real weights on real diagnoses: better than chance by far, once a correction is fitted."""
    bench = Workbench(
        seed=0, threads=1, cache=tmp_path, offline=True,
        class_names=("tumours", "hormones and metabolism", "nerves and brain", "bones, joints and muscles"),
    )  # fmt: skip
    rung = MiniRung()
    predictor = rung.fit(fit_split, 4, {**rung.first_settings(fit_split, 4), "rows": 120}, bench)
    hits = np.mean(labels_of(predictor, select_split.texts) == select_split.labels)
    assert hits >= 0.5
