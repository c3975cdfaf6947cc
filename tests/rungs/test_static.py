# SPDX-License-Identifier: Apache-2.0
"""The static rung beyond the contract: folding changes the size, not the answers."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from models.tiny_bert import VOCABULARY, tiny_tokenizer, write_model

from bigenough.errors import TamperedArtefact
from bigenough.models.token_table import TokenTable
from bigenough.rungs.predictors import load_predictor
from bigenough.rungs.predictors.head import DenseHead
from bigenough.rungs.predictors.static import StaticPredictor
from bigenough.rungs.protocol import Workbench
from bigenough.rungs.static import StaticRung
from bigenough.task import Examples


def unfolded(k, d=8, seed=0):
    rng = np.random.default_rng(seed)
    table = TokenTable(rng.standard_normal((len(VOCABULARY), d)).astype(np.float32), tiny_tokenizer())
    return StaticPredictor(table, DenseHead(rng.standard_normal((d, k)).astype(np.float32), rng.standard_normal(k)))


@given(text=st.text(alphabet="abc lost card !é", max_size=40), k=st.integers(2, 7), temperature=st.floats(0.2, 5))
@settings(max_examples=60, deadline=None)
def test_folding_changes_no_probability(text, k, temperature):
    plain = unfolded(k).with_temperature(temperature)
    np.testing.assert_allclose(plain.folded().predict_proba([text]), plain.predict_proba([text]), atol=1e-5)


def test_folding_makes_it_smaller_and_happens_only_then():
    few, many = unfolded(3), unfolded(9)
    assert few.folded().n_parameters == 3 * len(VOCABULARY) + 3
    assert few.folded().folded() is not few
    assert few.folded().folded().n_parameters == few.folded().n_parameters
    assert many.folded() is many


def test_many_classes_are_saved_unfolded(tmp_path):
    many = unfolded(9)
    many.save(tmp_path)
    np.testing.assert_array_equal(
        load_predictor(tmp_path).predict_proba(["lost card"]), many.predict_proba(["lost card"])
    )


def test_a_table_that_does_not_fit_its_tokenizer_is_noticed(tmp_path):
    predictor = unfolded(3)
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
    predictor = unfolded(3).folded()
    np.testing.assert_allclose(
        predictor.predict_proba(["card lost"]), predictor.predict_proba(["lost card"]), atol=1e-12
    )
