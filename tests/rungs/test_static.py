# SPDX-License-Identifier: Apache-2.0
"""The static rung beyond the contract: a table by class, tokens that move, many classes."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from models.tiny_bert import VOCABULARY, tiny_tokenizer, write_model

from bigenough.errors import BadOption, TamperedArtefact
from bigenough.models.token_table import TokenTable
from bigenough.rungs.predictors import load_predictor
from bigenough.rungs.predictors.head import DenseHead
from bigenough.rungs.predictors.static import StaticPredictor
from bigenough.rungs.protocol import Workbench
from bigenough.rungs.static import StaticRung
from bigenough.task import Examples
from bigenough.task.metrics import log_loss


def by_dimension(k, d=8, seed=0):
    rng = np.random.default_rng(seed)
    table = TokenTable(rng.standard_normal((len(VOCABULARY), d)).astype(np.float32), tiny_tokenizer())
    return StaticPredictor(table, DenseHead(rng.standard_normal((d, k)).astype(np.float32), rng.standard_normal(k)))


def by_class(predictor):
    scores = (predictor.table.vectors.astype(float) @ predictor.head.weight).astype(np.float32)
    return StaticPredictor.by_class(TokenTable(scores, tiny_tokenizer()), predictor.head.bias)


@given(text=st.text(alphabet="abc lost card !é", max_size=40), k=st.integers(2, 7), temperature=st.floats(0.2, 5))
@settings(max_examples=60)
def test_a_table_by_class_changes_no_probability(text, k, temperature):
    plain = by_dimension(k)
    folded = by_class(plain).with_temperature(temperature)
    plain = plain.with_temperature(temperature)
    np.testing.assert_allclose(folded.predict_proba([text]), plain.predict_proba([text]), atol=1e-5)
    assert folded.n_parameters == k * len(VOCABULARY) + k


@pytest.mark.parametrize("form", [by_dimension, lambda k: by_class(by_dimension(k))])
def test_both_forms_are_saved(tmp_path, form):
    predictor = form(9).with_temperature(1.7)
    predictor.save(tmp_path)
    loaded = load_predictor(tmp_path)
    np.testing.assert_array_equal(loaded.predict_proba(["lost card"]), predictor.predict_proba(["lost card"]))
    assert loaded.n_parameters == predictor.n_parameters


def test_a_table_that_does_not_fit_its_tokenizer_is_noticed(tmp_path):
    predictor = by_dimension(3)
    short = TokenTable(predictor.table.vectors[:-1], tiny_tokenizer())
    replace(predictor, table=short).save(tmp_path)
    with pytest.raises(TamperedArtefact, match="table has the shape"):
        load_predictor(tmp_path)


def test_an_encoder_of_ones_own(tmp_path):
    rung = StaticRung(str(write_model(tmp_path / "model")))
    bench = Workbench(seed=0, threads=1, cache=tmp_path / "cache", offline=True)
    said = []
    bench.say = lambda what, done: said.append((what, done))
    texts = ["lost card", "stolen card", "pay money", "top up money"] * 4
    examples = Examples(texts, np.array([0, 0, 1, 1] * 4), np.arange(1, 17))
    predictor = rung.fit(examples, 2, rung.first_settings(examples, 2), bench)
    assert predictor.predict_proba(texts).argmax(axis=1).tolist() == examples.labels.tolist()
    assert said[-1] == ("distilling token vectors", 1.0)
    assert rung.weights(bench)["name"] == "model"


def test_words_in_another_order_are_the_same_text():
    predictor = by_class(by_dimension(3))
    np.testing.assert_allclose(
        predictor.predict_proba(["card lost"]), predictor.predict_proba(["lost card"]), atol=1e-12
    )


@pytest.fixture
def own(tmp_path):
    return StaticRung(str(write_model(tmp_path / "model"))), Workbench(0, 1, tmp_path / "cache", offline=True)


def test_freedom_lets_a_token_say_what_the_encoder_does_not_know(own):
    """The labels hang on single tokens drawn at random, which vectors of few dimensions cannot follow."""
    rung, bench = own
    rng = np.random.default_rng(0)
    tokens = [token for token in VOCABULARY[5:] if not token.startswith("##")]
    side = dict(zip(tokens, rng.integers(0, 2, len(tokens)), strict=True))
    texts = [" ".join(rng.choice(tokens, 3)) for _ in range(300)]
    examples = Examples(texts, np.array([side[text.split()[0]] * 1 for text in texts]), np.arange(1, 301))
    losses = []
    for freedom in (0.0, 2.0):
        settings = {"C": 2.0, "balanced": False, "freedom": freedom}
        probability = rung.fit(examples, 2, settings, bench).predict_proba(texts)
        losses.append(log_loss(examples.labels, probability))
    assert losses[1] < losses[0]


def test_more_classes_than_dimensions_keep_the_vectors(own):
    rung, bench = own
    words = [f"{a} {b}" for a in "abcdefghijkl" for b in "mnopqr"]
    examples = Examples(words, np.arange(72), np.arange(1, 73))
    predictor = rung.fit(examples, 72, rung.first_settings(examples, 72), bench)
    assert not predictor.is_by_class
    assert predictor.n_classes == 72


def test_freedom_is_not_negative(own):
    rung, bench = own
    with pytest.raises(BadOption, match="freedom"):
        rung.fit(Examples(["a"], np.array([0]), np.array([1])), 1, {"C": 1.0, "balanced": False, "freedom": -1}, bench)
