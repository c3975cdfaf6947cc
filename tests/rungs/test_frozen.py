# SPDX-License-Identifier: Apache-2.0
"""The frozen rung beyond the contract: weights of one's own, and sentence vectors that trials share."""

import numpy as np
import pytest
from models.tiny_bert import write_model

from bigenough.errors import BadOption, WeightsNotFound
from bigenough.models.encoder import Encoder
from bigenough.rungs.frozen import FrozenRung
from bigenough.rungs.protocol import Workbench
from bigenough.task import Examples

TEXTS = ["lost card", "stolen card", "pay money", "top up money", "lost card"] * 4
LABELS = np.array([0, 0, 1, 1, 0] * 4)
SETTINGS = {"C": 5.0, "balanced": False}


@pytest.fixture
def own(tmp_path):
    return FrozenRung(str(write_model(tmp_path / "model")))


@pytest.fixture
def bench(tmp_path):
    return Workbench(seed=0, threads=1, cache=tmp_path / "cache", offline=True)


@pytest.fixture
def examples():
    return Examples(TEXTS, LABELS, np.arange(1, 21))


def test_an_encoder_of_ones_own(own, bench, examples):
    predictor = own.fit(examples, 2, SETTINGS, bench)
    assert (predictor.predict_proba(TEXTS).argmax(axis=1) == LABELS).all()
    assert own.weights(bench)["source"] == "folder"


def test_each_distinct_text_is_embedded_once_in_a_study(own, bench, examples, monkeypatch):
    embedded = []
    real = Encoder.embed

    def counting(self, texts, **others):
        embedded.extend(texts)
        return real(self, texts, **others)

    monkeypatch.setattr(Encoder, "embed", counting)
    first = own.fit(examples, 2, SETTINGS, bench)
    own.fit(examples.take(np.arange(10)), 2, {"C": 1.0, "balanced": True}, bench)
    assert sorted(embedded) == sorted(set(TEXTS))
    again = own.fit(examples, 2, SETTINGS, bench)
    np.testing.assert_array_equal(again.head.weight, first.head.weight)


def test_balanced_lifts_the_rare_class(own, bench):
    labels = np.array([0] * 18 + [1, 1])
    examples = Examples(["lost card"] * 18 + ["lost card"] * 2, labels, np.arange(1, 21))
    plain = own.fit(examples, 2, {"C": 1.0, "balanced": False}, bench).predict_proba(["lost card"])
    fair = own.fit(examples, 2, {"C": 1.0, "balanced": True}, bench).predict_proba(["lost card"])
    assert plain[0, 1] == pytest.approx(0.1, abs=0.01)
    assert fair[0, 1] == pytest.approx(0.5, abs=0.01)


def test_a_penalty_must_be_above_zero(own, bench, examples):
    with pytest.raises(BadOption, match="C must be above zero"):
        own.fit(examples, 2, {"C": 0.0, "balanced": False}, bench)


def test_weights_that_nobody_has(bench, examples):
    with pytest.raises(WeightsNotFound, match="someone/absent"):
        FrozenRung("someone/absent").fit(examples, 2, SETTINGS, bench)


def test_it_says_how_far_it_is(own, bench, examples):
    said = []
    bench.say = lambda what, done: said.append((what, done))
    own.fit(examples, 2, SETTINGS, bench)
    assert said[-1] == ("embedding texts, 100%", None)
