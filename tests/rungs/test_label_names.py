# SPDX-License-Identifier: Apache-2.0
"""Classes by their names alone: the contract, and that no label is ever read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import hypothesis
import numpy as np
import pytest
from hypothesis import strategies as st
from models.tiny_bert import write_model
from rungs.contract import AWKWARD, Case, RungContract, assert_probabilities, assert_same, labels_of

from bigenough.errors import BadOption, RungFailed, WeightsNotFound
from bigenough.models.prepared import prepared_encoder
from bigenough.models.resolve import resolve
from bigenough.rungs.label_names import LabelNamesRung, class_vectors, head_by_names, moved_towards, zero_shot
from bigenough.rungs.protocol import Predictor, Workbench
from bigenough.rungs.search import learning_curve
from bigenough.task import Examples

CHAPTERS = ("neoplasm", "metabolic and nutritional disease", "nervous system disease", "bones_and_joints", "other")
SETTINGS = {"templates": "sentences", "scale": 20.0, "rounds": 1, "pull": 1.0}
TEXTS = ["lost card", "stolen card", "pay money", "top up money", "my card is lost", "please pay"]
NAMES = ("card_lost", "money_transfer")


@dataclass(frozen=True)
class NamedCase(Case):
    """A case whose classes always have names."""

    def fitted_on(self, texts: Sequence[str], labels: Sequence[int], n_classes: int) -> Predictor:
        named = replace(self.bench, class_names=CHAPTERS[:n_classes])
        return replace(self, bench=named)._fitted_on(texts, labels, n_classes)

    def _fitted_on(self, texts, labels, n_classes):
        return super().fitted_on(texts, labels, n_classes)


@pytest.fixture(scope="module")
def case(weights_cache: Path, fit_split: Examples, select_split: Examples) -> Case:
    bench = Workbench(seed=7, threads=2, cache=weights_cache, offline=True, class_names=CHAPTERS[:4])
    fit, select = fit_split.take(np.arange(100)), select_split.take(np.arange(60))
    return NamedCase.of(LabelNamesRung(), bench, fit, select, 4)


class TestLabelNames(RungContract):
    """The contract; where it expects labels to be learned, that they are not."""

    def test_fitting_twice_gives_the_same_model(self, case: Case) -> None:
        bench = replace(case.bench, memo={})
        again = Case.of(case.rung, bench, case.fit, case.unseen, 4).predictor
        assert_same(again.predict_proba(case.unseen.texts), case.predictor.predict_proba(case.unseen.texts))

    def test_other_labels_give_the_same_model(self, case: Case) -> None:
        labels = np.random.default_rng(0).permutation(case.fit.labels)
        for settings in ({**SETTINGS, "rounds": rounds} for rounds in (0, 1, 3)):
            one, other, none = (
                case.rung.fit(replace(case.fit, labels=codes), 4, settings, case.bench)
                for codes in (case.fit.labels, labels, np.zeros_like(labels))
            )
            np.testing.assert_array_equal(one.head.weight, other.head.weight)
            np.testing.assert_array_equal(one.head.bias, none.head.bias)

    def test_classes_without_rows(self, case: Case) -> None:
        """Rows of a class make no difference: each class is open to every text."""
        predictor = case.fitted_on(case.fit.texts, [(1, 2, 4)[label % 3] for label in case.fit.labels], 5)
        assert_probabilities(predictor, case.unseen.texts, 5)
        assert {0, 3} <= set(labels_of(predictor, case.unseen.texts))

    def test_one_class_of_two(self, case: Case) -> None:
        predictor = case.fitted_on(case.fit.texts[:8], [1] * 8, 2)
        assert_probabilities(predictor, AWKWARD, 2)

    def test_one_row_against_many(self, case: Case) -> None:
        labels = np.zeros(len(case.fit), np.int64)
        labels[5] = 1
        predictor = case.fitted_on(case.fit.texts, labels.tolist(), 2)
        assert_probabilities(predictor, case.unseen.texts, 2)

    def test_texts_that_say_nothing(self, case: Case) -> None:
        predictor = case.fitted_on(["", " ", "\n", ""], [0, 1, 1, 1], 2)
        assert_probabilities(predictor, ["", "fracture"], 2)


def test_it_draws_no_curve_over_labels_that_it_never_reads(case: Case) -> None:
    bench = replace(case.bench, class_names=CHAPTERS[:4])
    (point,) = learning_curve(
        case.rung, SETTINGS, case.fit, case.unseen, 4, "accuracy", bench=bench, full_score=0.5
    )  # fmt: skip
    assert (point.rows, point.score) == (len(case.fit), 0.5)


@pytest.fixture
def own(tmp_path):
    return LabelNamesRung(str(write_model(tmp_path / "model")))


@pytest.fixture
def bench(tmp_path):
    return Workbench(seed=0, threads=1, cache=tmp_path / "cache", offline=True, class_names=NAMES)


@pytest.fixture
def examples():
    return Examples(TEXTS, np.array([0, 0, 1, 1, 0, 1]), np.arange(1, 7))


@pytest.fixture(scope="module")
def encoder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tiny")
    weights = resolve(str(write_model(folder / "model")), cache=folder, offline=True)
    return prepared_encoder(weights, cache=folder).start(threads=1)


def test_no_names(own, bench, examples):
    with pytest.raises(RungFailed, match=r"no names here.*labels as words"):
        own.fit(examples, 2, SETTINGS, replace(bench, class_names=()))


def test_numbers_for_names(own, bench, examples):
    numbered = replace(bench, class_names=("label_0", "label_1"))
    with pytest.raises(RungFailed, match=r"'label_0', 'label_1'.*Describe the classes"):
        own.fit(examples, 2, SETTINGS, numbered)
    described = replace(numbered, descriptions={"label_0": "lost card", "label_1": "pay money"})
    told = own.fit(examples, 2, SETTINGS, described)
    assert told.predict_proba(["lost card", "pay money"]).argmax(axis=1).tolist() == [0, 1]


def test_it_is_nothing_for_names_without_a_word(own, bench, examples):
    numbered = replace(bench, class_names=("LABEL_0", "LABEL_1"))
    assert "2 of 2 hold no word that sets them apart: 'LABEL_0', 'LABEL_1'" in own.unsuited(examples, 2, numbered)
    assert "--descriptions" in own.unsuited(examples, 2, numbered)
    half = replace(numbered, descriptions={"LABEL_0": "lost card", "LABEL_1": " "})
    assert "1 of 2 hold no word that sets them apart: 'LABEL_1' (" in own.unsuited(examples, 2, half)
    described = replace(numbered, descriptions={"LABEL_0": "lost card", "LABEL_1": "pay money"})
    assert own.unsuited(examples, 2, described) is None
    assert own.unsuited(examples, 2, bench) is None
    many = own.unsuited(examples, 9, replace(bench, class_names=tuple("abcdefghi")))
    assert "'a', 'b', 'c', 'd', 'e', … (" in many


@hypothesis.settings(suppress_health_check=[hypothesis.HealthCheck.function_scoped_fixture])
@hypothesis.given(
    st.lists(st.sampled_from(["E11.9", "b", "7", "card", "no", "冷"]), min_size=2, unique=True), st.data()
)
def test_it_is_for_names_that_have_a_word_or_a_description(examples, names, data):
    described = data.draw(st.sets(st.sampled_from(names)))
    told = Workbench(
        seed=0, threads=1, cache=Path(), class_names=tuple(names), descriptions=dict.fromkeys(described, "a card")
    )
    mute = set(names) & {"E11.9", "b", "7"} - described
    said = LabelNamesRung().unsuited(examples, len(names), told)
    assert (said is None) == (not mute or len(mute) < len(names) / 2)
    assert said is None or all(repr(name) in said for name in mute)


def test_as_many_names_as_classes(own, bench, examples):
    with pytest.raises(RungFailed, match="3 classes and 2 class names"):
        own.fit(examples, 3, SETTINGS, bench)


def test_a_description_of_nothing(own, bench, examples):
    with pytest.raises(BadOption, match="'card_lots'"):
        own.fit(examples, 2, SETTINGS, replace(bench, descriptions={"card_lots": "a typing error"}))


@pytest.mark.parametrize("wrong", [{"templates": "poem"}, {"scale": 0.0}, {"rounds": -1}, {"pull": -0.5}])
def test_settings_that_make_no_sense(own, bench, examples, wrong):
    with pytest.raises(BadOption, match=next(iter(wrong))):
        own.fit(examples, 2, {**SETTINGS, **wrong}, bench)


def test_without_rounds_the_texts_change_nothing(own, bench, examples):
    settings = {**SETTINGS, "rounds": 0}
    one = own.fit(examples, 2, settings, bench).predict_proba(TEXTS)
    other = own.fit(examples.take(np.array([2, 3])), 2, settings, bench).predict_proba(TEXTS)
    np.testing.assert_allclose(one, other, atol=1e-6)


def test_unlabelled_texts_are_read_too(own, bench, examples):
    with_more = replace(bench, unlabelled=["how to open my account", "a great film"])
    one, other = (own.fit(examples, 2, SETTINGS, each).head for each in (bench, with_more))
    assert np.abs(one.weight - other.weight).max() > 1e-3


def test_its_head_is_the_scaled_product_with_the_centred_vector():
    rng = np.random.default_rng(0)
    classes, centre, vectors = rng.normal(size=(3, 5)), rng.normal(size=5), rng.normal(size=(4, 5))
    scores = head_by_names(classes, centre, 7.0).scores(vectors)
    np.testing.assert_allclose(scores, 7.0 * (vectors - centre) @ classes.T, atol=1e-4)


def test_names_move_to_the_texts_around_them():
    """Two heaps of texts, each 60 degrees off the name that is nearest to it."""
    rng = np.random.default_rng(0)
    names, heaps = np.array([[1.0, 0.0, 0.0], [-1.0, 0.0, 0.0]]), np.array([[0.5, 0.87, 0.0], [-0.5, -0.87, 0.0]])
    texts = np.repeat(heaps, 50, axis=0) + 0.1 * rng.normal(size=(100, 3))
    moved = moved_towards(names, texts, scale=20.0, rounds=5, pull=1.0)
    assert ((moved * heaps).sum(axis=1) > 0.8).all()
    still = moved_towards(names, texts, scale=20.0, rounds=5, pull=0.0)
    np.testing.assert_allclose(still, names, atol=1e-12)


def test_few_texts_move_a_class_less_than_many():
    names, off = np.array([[1.0, 0.0], [-1.0, 0.0]]), np.array([[0.7, 0.7]])
    one, many = (moved_towards(names, np.repeat(off, n, axis=0), scale=20.0, rounds=1, pull=1.0)[0] for n in (1, 100))
    assert names[0] @ one > names[0] @ many


def test_class_vectors_average_their_texts(encoder):
    vectors = class_vectors(encoder, ["lost_card", "pay"], {"pay": "transfer money"}, ("{}", "{} please"))
    each = encoder.embed(["lost card", "lost card please", "transfer money"])
    mean = each[:2].mean(axis=0)
    np.testing.assert_allclose(vectors, [mean / np.linalg.norm(mean), each[2]], atol=1e-5)


def test_zero_shot_is_a_softmax_of_cosines(encoder):
    found = zero_shot(TEXTS, NAMES, encoder=encoder)
    cosines = encoder.embed(TEXTS) @ encoder.embed(["card lost", "money transfer"]).T
    expected = np.exp(20 * cosines) / np.exp(20 * cosines).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(found, expected, atol=1e-5)
    assert zero_shot([], NAMES, encoder=encoder).shape == (0, 2)


def test_zero_shot_by_the_folder_of_an_encoder(tmp_path, encoder):
    folder = str(write_model(tmp_path / "model"))
    found = zero_shot(TEXTS, NAMES, {"card_lost": "stolen"}, encoder=folder, cache=tmp_path / "cache", threads=1)
    np.testing.assert_allclose(found, zero_shot(TEXTS, NAMES, {"card_lost": "stolen"}, encoder=encoder), atol=1e-6)


@pytest.mark.parametrize("classes", [["one"], ["one", "one"], []])
def test_zero_shot_needs_different_classes(encoder, classes):
    with pytest.raises(BadOption, match="two or more different classes"):
        zero_shot(TEXTS, classes, encoder=encoder)


def test_zero_shot_with_codes(encoder):
    with pytest.raises(RungFailed, match="numbers or codes"):
        zero_shot(TEXTS, ["C50", "J45"], encoder=encoder)


def test_zero_shot_without_weights(tmp_path):
    with pytest.raises(WeightsNotFound, match="someone/absent"):
        zero_shot(TEXTS, NAMES, encoder="someone/absent", cache=tmp_path, offline=True)


def test_the_shipped_encoder_knows_what_names_mean(weights_cache):
    texts = ["play some jazz for me", "book a table for two tonight", "will it rain tomorrow?"]
    found = zero_shot(texts, ["PlayMusic", "BookRestaurant", "GetWeather"], cache=weights_cache, offline=True)
    assert found.argmax(axis=1).tolist() == [0, 1, 2]
