# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import numpy as np
import pytest
from scipy.sparse import hstack
from sklearn.feature_extraction.text import TfidfVectorizer

from bigenough.rungs.predictors import tfidf as module
from bigenough.rungs.predictors.ngrams import Ngrams
from bigenough.rungs.predictors.tfidf import count_texts, learn, tfidf, weight_sums

WORDS, CHARACTERS = Ngrams("word", 1, 2), Ngrams("character", 2, 5)
PEERS = {
    WORDS: {"ngram_range": (1, 2), "token_pattern": r"\w+"},
    CHARACTERS: {"ngram_range": (2, 5), "analyzer": "char_wb"},
}


@pytest.mark.parametrize("min_texts", [1, 2, 5])
@pytest.mark.parametrize("kinds", [[WORDS], [CHARACTERS], [WORDS, CHARACTERS]])
def test_rows_have_the_products_that_scikit_learn_gives(fit_split, select_split, kinds, min_texts):
    """Columns stand in another order, so what a linear model sees is compared: all inner products of rows."""
    peers = [TfidfVectorizer(sublinear_tf=True, min_df=min_texts, **PEERS[kind]).fit(fit_split.texts) for kind in kinds]
    vocabularies = learn(fit_split.texts, kinds, min_texts=min_texts)
    assert [len(mine) for mine in vocabularies] == [len(peer.vocabulary_) for peer in peers]
    mine = tfidf(select_split.texts, vocabularies), tfidf(fit_split.texts, vocabularies)
    theirs = [hstack([peer.transform(texts) for peer in peers]) for texts in (select_split.texts, fit_split.texts)]
    np.testing.assert_allclose((mine[0] @ mine[1].T).toarray(), (theirs[0] @ theirs[1].T).toarray(), atol=1e-5)


def test_a_row_has_the_same_bits_in_any_batch(fit_split):
    vocabularies = learn(fit_split.texts, [WORDS, CHARACTERS])
    texts = [*fit_split.texts, "", "nothing known: ΨΨΨ"]
    together = tfidf(texts, vocabularies)
    for place, text in enumerate(texts):
        alone = tfidf([text], vocabularies)
        row = together[[place]]
        assert (alone.indices == row.indices).all()
        assert (alone.data == row.data).all()


def test_rows_are_canonical(fit_split):
    rows = tfidf(fit_split.texts, learn(fit_split.texts, [WORDS, CHARACTERS]))
    assert rows.has_canonical_format
    assert rows.dtype == np.float32
    np.testing.assert_allclose(rows.multiply(rows).sum(axis=1), 2.0, rtol=1e-5)


def test_counting_in_parts_gives_the_same_counts(fit_split, monkeypatch):
    (whole,) = count_texts(fit_split.texts, [CHARACTERS])
    monkeypatch.setattr("bigenough.rungs.predictors.ngrams._CHUNK", 200)
    monkeypatch.setattr(module, "_PENDING", 2000)
    (parts,) = count_texts(fit_split.texts, [CHARACTERS])
    assert (parts.prints == whole.prints).all()
    assert (parts.texts == whole.texts).all()
    assert parts.texts.max() <= parts.n_texts == len(fit_split)


@pytest.mark.parametrize("chunk", [1 << 18, 200])
def test_sums_have_the_bits_of_the_matrix(fit_split, monkeypatch, chunk):
    vocabularies = learn(fit_split.texts[::2], [WORDS, CHARACTERS])
    whole = tfidf(fit_split.texts, vocabularies).sum(axis=0)
    monkeypatch.setattr("bigenough.rungs.predictors.ngrams._CHUNK", chunk)
    np.testing.assert_array_equal(weight_sums(fit_split.texts, vocabularies), whole)
    assert weight_sums([], vocabularies).tolist() == [0.0] * len(whole)


def test_a_bounded_vocabulary_keeps_the_most_frequent(fit_split):
    (counts,) = count_texts(fit_split.texts, [WORDS])
    kept = counts.vocabulary(at_most=50)
    assert len(kept) == 50
    assert (np.diff(kept.prints.astype(object)) > 0).all()
    inside = np.isin(counts.prints, kept.prints)
    assert counts.texts[inside].min() >= counts.texts[~inside].max()


def test_no_texts_and_no_ngrams():
    (empty,) = learn([], [WORDS])
    assert len(empty) == 0
    assert tfidf(["a b"], [empty]).shape == (1, 0)
    assert tfidf([], learn(["a b"], [WORDS])).shape == (0, 3)
    assert learn(["", "   "], [CHARACTERS])[0].prints.size == 0
