# SPDX-License-Identifier: Apache-2.0
"""The static token table: deterministic, cached, and a mean of rows."""

import numpy as np
import pytest
from models.tiny_bert import VOCABULARY, WORDS, forward, tiny_arrays, tiny_tokenizer, write_model

from bigenough.models import resolve
from bigenough.models.prepared import prepared_encoder
from bigenough.models.token_table import (
    TokenTable,
    distilled_table,
    principal_components,
    said_by_vocabulary,
    token_weights,
)


@pytest.fixture
def encoder(tmp_path):
    weights = resolve(str(write_model(tmp_path / "model")), cache=tmp_path, offline=True)
    return prepared_encoder(weights, cache=tmp_path).start(threads=1)


def words():
    return tiny_arrays()["embeddings.word_embeddings.weight"]


def test_each_token_goes_through_the_encoder_between_the_special_ones(encoder):
    said = said_by_vocabulary(encoder, lambda done: None)
    for token in (5, 40, len(VOCABULARY) - 1):
        np.testing.assert_allclose(said[token], forward(tiny_arrays(), [3, token, 4]), atol=5e-6)


def test_the_table_is_made_once_and_is_the_same_elsewhere(encoder, tmp_path):
    one = distilled_table(encoder, words, "same", cache=tmp_path / "one")
    made = tmp_path / "one" / "token-tables"
    before = [path.stat().st_mtime_ns for path in sorted(made.rglob("*.safetensors"))]
    again = distilled_table(encoder, words, "same", cache=tmp_path / "one")
    assert [path.stat().st_mtime_ns for path in sorted(made.rglob("*.safetensors"))] == before
    elsewhere = distilled_table(encoder, words, "same", cache=tmp_path / "two")
    np.testing.assert_array_equal(one.vectors, again.vectors)
    np.testing.assert_array_equal(one.vectors, elsewhere.vectors)
    assert one.vectors.dtype == np.float32


def test_special_and_reserved_tokens_say_nothing(encoder, tmp_path):
    vectors = distilled_table(encoder, words, "x", cache=tmp_path).vectors
    silent = [i for i, row in enumerate(vectors) if not row.any()]
    assert silent == [VOCABULARY.index(token) for token in ("[PAD]", "[unused0]", "[UNK]", "[CLS]", "[SEP]")]


def test_a_text_is_the_mean_of_its_tokens():
    rng = np.random.default_rng(0)
    table = TokenTable(rng.standard_normal((len(VOCABULARY), 6)).astype(np.float32), tiny_tokenizer())
    found = table.embed(["lost card", "", "pay pay money", "☃"])
    rows = [[VOCABULARY.index(token) for token in words.split()] for words in ("lost card", "pay pay money")]
    np.testing.assert_allclose(found[[0, 2]], [table.vectors[row].astype(float).mean(0) for row in rows], rtol=1e-12)
    assert not found[1].any()


def test_shares_times_the_vectors_are_the_means():
    table = TokenTable(
        np.random.default_rng(0).standard_normal((len(VOCABULARY), 6)).astype(np.float32), tiny_tokenizer()
    )
    texts = ["lost card", "", "pay pay money"]
    shares = table.shares(texts)
    np.testing.assert_allclose(shares @ table.vectors.astype(float), table.embed(texts), atol=1e-12)
    np.testing.assert_allclose(shares.sum(axis=1), [1, 0, 1])
    assert shares[[2], [VOCABULARY.index("pay")]] == pytest.approx(2 / 3)
    assert table.shares([]).shape == (0, len(VOCABULARY))


def test_frequent_tokens_count_less_and_impossible_ones_nothing():
    weights = token_weights(tiny_tokenizer())
    possible = weights[5:]
    assert not weights[:5].any()
    assert (np.diff(possible) > 0).all()


def test_principal_components_keep_distances_and_order_variance():
    rng = np.random.default_rng(1)
    points = rng.standard_normal((50, 4)) * [1, 5, 2, 3]
    found = principal_components(points, 4)
    np.testing.assert_allclose(
        np.linalg.norm(found[:, None] - found[None], axis=2), np.linalg.norm(points[:, None] - points[None], axis=2)
    )
    assert (np.diff(found.var(axis=0)) < 0).all()
    assert principal_components(points, 2).shape == (50, 2)


def test_long_texts_are_added_up_a_few_at_a_time(monkeypatch):
    rng = np.random.default_rng(0)
    texts = [" ".join(rng.choice(WORDS[:20], size)) for size in (3, 0, 9, 1, 4, 0, 0, 6)]
    vectors = rng.standard_normal((len(VOCABULARY) + 2, 6)).astype(np.float32)
    plain = TokenTable(vectors[:-2], tiny_tokenizer())
    table = TokenTable(vectors, tiny_tokenizer(), plain.pair_keys(texts)[[1, 4]])
    whole, most = table.embed(texts), []
    monkeypatch.setattr("bigenough.models.token_table.CHUNK_TOKENS", 5)
    taken = table.take
    monkeypatch.setattr(table, "take", lambda ids: most.append(len(ids)) or taken(ids))
    np.testing.assert_array_equal(table.embed(texts), whole)
    assert max(most) == 9  # one text alone, however long
