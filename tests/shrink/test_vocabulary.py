# SPDX-License-Identifier: Apache-2.0
"""Pruned word vectors: who keeps a row, who borrows one, and what is told of it."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from models.tiny_bert import VOCABULARY, WIDTH, tiny_tokenizer
from shrink.tiny_parent import FittedParent, tiny_parent, topic_examples

from bigenough.errors import RungFailed
from bigenough.shrink.flips import Variant
from bigenough.shrink.vocabulary import (
    FirstTokens,
    VocabularyRung,
    first_tokens,
    nearest_rows,
    pruned,
    smallest_faithful,
)

FIT, WATCH = topic_examples(120, 0), topic_examples(60, 1)
WORDS = np.random.default_rng(0).standard_normal((len(VOCABULARY), WIDTH)).astype(np.float32)


def ids(*tokens):
    return [VOCABULARY.index(token) for token in tokens]


def test_special_tokens_come_first_then_the_frequent_ones():
    first, often = first_tokens(tiny_tokenizer(), ["card card lost", "card lost pay", "card"], 40)
    first = first.tolist()
    assert set(first[:4]) == set(ids("[PAD]", "[UNK]", "[CLS]", "[SEP]"))
    assert first[4:7] == ids("card", "lost", "pay")
    assert often == 6
    assert set(ids(*"abc.?")) <= set(first[7:])
    assert VOCABULARY.index("film") not in first


@given(st.floats(0.01, 0.3), st.integers(2, 40), st.integers(1, 40))
def test_the_bytes_are_kept_and_every_id_has_a_row(share, seen, often):
    first = np.arange(seen)[::-1].copy()
    table, dropped = pruned(WORDS, tiny_tokenizer(), FirstTokens(first, min(seen, often)), share)
    size = sum(part.nbytes for part in (table.fine, table.fine_scale, table.coarse, table.coarse_scale))
    assert size <= max(share * WORDS.nbytes, WIDTH + 4)
    assert len(table.fine) + len(table.coarse) + dropped.sum() == len(VOCABULARY)
    assert table.decoded().shape == WORDS.shape
    assert not dropped[first[0]]
    kept = first[~dropped[first]]
    np.testing.assert_array_equal(kept, first[: len(kept)], "who comes first keeps a row first")
    np.testing.assert_array_equal(table.place[kept], np.arange(len(kept)))
    assert dropped[np.setdiff1d([VOCABULARY.index("[unused0]")], first)].all()


def test_bytes_that_are_left_make_rows_finer():
    first = FirstTokens(np.array(ids("card", "lost")), 1)
    assert [len(pruned(WORDS, tiny_tokenizer(), first, share).table.fine) for share in (0.1, 0.2, 0.3)] == [1, 29, 67]


def test_tokens_of_other_scripts_come_last():
    first = FirstTokens(np.array(ids("card", "lost")), 1)
    dropped = pruned(WORDS, tiny_tokenizer(), first, 0.03).dropped
    assert dropped[ids("?", "b", "film", "help")].all()
    assert not dropped[ids("a", "s", "t")].any()


def test_who_has_no_row_takes_the_nearest():
    first = np.array(ids("card", "lost"))
    table, dropped = pruned(WORDS, tiny_tokenizer(), FirstTokens(first, 2), 2 * (WIDTH + 4) / WORDS.nbytes)
    gone = np.flatnonzero(dropped)
    assert len(gone) == len(VOCABULARY) - 2
    found, near = table.decoded(), nearest_rows(WORDS, gone, first)
    np.testing.assert_array_equal(found[gone], found[near])
    np.testing.assert_allclose(found[first], WORDS[first], atol=np.abs(WORDS).max() / 250)


def test_what_is_told(tmp_path):
    parent = tiny_parent(tmp_path)
    rung = VocabularyRung(parent, allowed_flips=1.0)
    watched = rung.fit_watching(FIT, 4, rung.first_settings(FIT, 4), parent.bench, WATCH)
    record = watched.record
    assert record["fine_rows"] + record["coarse_rows"] + record["dropped_ids"] == record["ids"] == len(VOCABULARY)
    assert 0 <= record["watched_tokens_dropped"] <= 1
    assert record["variants"][record["kept"]]["settings"] == watched.settings
    assert record["variants"][record["kept"]]["size_bytes"] < record["parent_bytes"]
    assert watched.predictor.n_parameters < parent.of(FIT).n_parameters
    with pytest.raises(RungFailed, match="pruned already"):
        twice = FittedParent("a", "a", "encoder", 1, lambda: None, lambda: None, parent.frozen, parent.bench, rung)
        VocabularyRung(twice).fit(FIT, 4, watched.settings, parent.bench)


def variant(flips, size, refused=None, difference=0.1):
    return Variant({}, flips, difference, 0.9, 0.9, size, None, refused)


def test_the_smallest_that_changes_next_to_nothing_is_kept():
    assert smallest_faithful("x", [variant(0.01, 1), variant(0.002, 2), variant(0.0, 3)], 1000) == 1
    assert smallest_faithful("x", [variant(0.01, 1), variant(0.006, 2, difference=0.05), variant(0.005, 3)], 1000) == 1
    assert (
        smallest_faithful(
            "x", [variant(0.0, 1, difference=0.2), variant(0.002, 2), variant(0.0, 3, difference=0.15)], 100
        )
        == 1
    )
    with pytest.raises(RungFailed, match=r"x: all 1 sizes are refused. The largest: bad"):
        smallest_faithful("x", [variant(0.5, 1, "bad")], 1000)
