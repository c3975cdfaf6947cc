# SPDX-License-Identifier: Apache-2.0
"""A tokenizer and the weights beside it: one that gives more ids is refused, one that gives fewer works everywhere."""

import json
from importlib.util import find_spec

import numpy as np
import pytest
from models.tiny_bert import VOCABULARY, WIDTH, tiny_arrays, tiny_config, tiny_tokenizer, write_model
from shrink.tiny_parent import FittedParent, topic_examples

from bigenough.errors import UnsupportedModel
from bigenough.models import resolve
from bigenough.models.prepared import prepared_encoder
from bigenough.models.token_table import token_weights
from bigenough.models.tokenizer_file import n_ids
from bigenough.rungs.frozen import FrozenRung
from bigenough.rungs.protocol import Workbench
from bigenough.rungs.static import StaticRung
from bigenough.rungs.tuned_static import TunedStaticRung
from bigenough.shrink.vocabulary import VocabularyRung

NEEDS_TORCH = pytest.mark.skipif(find_spec("torch") is None, reason="pip install 'bigenough[tune]'")
RUNGS = [FrozenRung, StaticRung, pytest.param(TunedStaticRung, marks=NEEDS_TORCH)]
ROWS = topic_examples(60, 0)
WORDS = "embeddings.word_embeddings.weight"


def model_with(folder, n_words):
    """The tiny encoder with so many word vectors."""
    arrays = tiny_arrays(scale=0.25)
    words = np.random.default_rng(1).standard_normal((n_words, WIDTH)).astype(np.float32)
    known = min(n_words, len(VOCABULARY))
    words[:known] = arrays[WORDS][:known]
    return write_model(folder, tiny_config(vocab_size=n_words), {**arrays, WORDS: words})


def bench(folder):
    return Workbench(seed=3, threads=1, cache=folder / "cache", offline=True)


@pytest.mark.parametrize("rung", RUNGS)
def test_a_tokenizer_with_more_ids_than_word_vectors_is_refused(tmp_path, rung):
    made = rung(str(model_with(tmp_path / "model", 60)))
    with pytest.raises(UnsupportedModel, match="token ids up to 67; its weights have vectors for 60 tokens"):
        made.fit(ROWS, 4, made.first_settings(ROWS, 4), bench(tmp_path))


@pytest.mark.parametrize("rung", RUNGS)
def test_word_vectors_behind_the_last_token_change_nothing(tmp_path, rung):
    """Vocabularies are filled up to a multiple of 64 or so."""
    found = []
    for n_words in (len(VOCABULARY), 128):
        made = rung(str(model_with(tmp_path / f"model{n_words}", n_words)))
        found.append(made.fit(ROWS, 4, made.first_settings(ROWS, 4), bench(tmp_path)).predict_proba(ROWS.texts))
    np.testing.assert_allclose(found[1], found[0], atol=1e-6)


def test_word_vectors_behind_the_last_token_are_the_first_to_go(tmp_path):
    made = FrozenRung(str(model_with(tmp_path / "model", 128)))
    parent = FittedParent(
        "frozen", "frozen-abc", "encoder", 10**9, lambda: None, lambda: None, made, bench(tmp_path)
    )  # fmt: skip
    rung = VocabularyRung(parent, allowed_flips=1.0)
    seen = rung.fit_watching(ROWS, 4, rung.first_settings(ROWS, 4), parent.bench, topic_examples(40, 1))
    assert seen.record["dropped_ids"] >= 128 - len(VOCABULARY)


def test_a_file_that_is_no_tokenizer(tmp_path):
    folder = write_model(tmp_path / "model")
    (folder / "tokenizer.json").write_text("{}")
    weights = resolve(str(folder), cache=tmp_path, offline=True)
    with pytest.raises(UnsupportedModel, match=r"tokenizer\.json is not a tokenizer that can be read"):
        prepared_encoder(weights, cache=tmp_path)


def test_ids_that_stand_for_nothing(tmp_path):
    """A vocabulary with a hole in it: as many word vectors as ids are needed, and the hole weighs nothing."""
    told = json.loads(tiny_tokenizer().to_str())
    told["model"]["vocab"]["card"] = 90
    made = type(tiny_tokenizer()).from_str(json.dumps(told))
    assert n_ids(made) == 91
    weights = token_weights(made)
    hole = VOCABULARY.index("card")
    assert weights[hole] == 0
    assert weights[90] > 0
    folder = model_with(tmp_path / "model", 96)
    made.save(str(folder / "tokenizer.json"))
    rung = StaticRung(str(folder))
    fitted = rung.fit(ROWS, 4, rung.first_settings(ROWS, 4), bench(tmp_path))
    saved = tmp_path / "saved"
    saved.mkdir()
    fitted.save(saved)
    again = type(fitted).load(saved, threads=1)
    np.testing.assert_allclose(again.predict_proba(ROWS.texts), fitted.predict_proba(ROWS.texts), atol=1e-6)
