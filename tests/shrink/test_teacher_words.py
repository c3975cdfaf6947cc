# SPDX-License-Identifier: Apache-2.0
"""What a teacher knows of words that no text holds reaches its students."""

from dataclasses import replace

import numpy as np
import pytest
from models.tiny_bert import VOCABULARY, tiny_tokenizer
from shrink.tiny_parent import tiny_parent, topic_examples

from bigenough.models.token_table import token_weights
from bigenough.rungs.frozen import FrozenRung
from bigenough.rungs.linear import LinearRung
from bigenough.rungs.static import StaticRung
from bigenough.shrink import distil
from bigenough.shrink.distil import DistilledRung
from bigenough.shrink.int8 import Int8Rung
from bigenough.shrink.teacher_words import teacher_table, tokenizer_of, vocabulary_words

UNSEEN = "refund"


@pytest.fixture
def parent(tmp_path):
    return tiny_parent(tmp_path)


def rows_without(word, n=200):
    every = topic_examples(n, 0)
    return every.take(np.flatnonzero([word not in text.split() for text in every.texts]))


def teach(parent, student, words, rows):
    rung = DistilledRung(student, parent)
    settings = {**rung.first_settings(rows, 4), "spare": 0, "words": words}
    return rung.fit_recorded(rows, 4, settings, parent.bench)


def test_words_are_the_tokens_that_are_words_wherever_they_stand():
    words = vocabulary_words(tiny_tokenizer())
    assert words == [token for token in VOCABULARY if token.isalpha()]
    assert {"refund", "a"} <= {*words}


def test_a_student_that_begins_with_nothing_hears_of_words_that_no_text_holds(parent):
    rows = rows_without(UNSEEN)
    teacher = parent.of(rows).predict_proba([UNSEEN])
    with_words, without = (teach(parent, LinearRung(), words, rows) for words in (True, False))
    in_texts = {*rows.texts}
    assert with_words.record["lessons"] == len(rows) + sum(word not in in_texts for word in vocabulary_words(
        tiny_tokenizer()))  # fmt: skip
    assert without.record["lessons"] == len(rows)
    told, untold = (abs(each.predictor.predict_proba([UNSEEN]) - teacher).sum() for each in (with_words, without))
    assert told < untold / 2


def test_a_student_on_token_vectors_begins_with_its_teachers(parent):
    rows = rows_without(UNSEEN)
    student = StaticRung(parent.frozen.encoder)
    before = student.fit(rows, 4, student.first_settings(rows, 4), parent.bench).predict_proba(rows.texts)
    asked = []
    given = StaticRung.on_table

    class Watching(StaticRung):
        def on_table(self, table):
            asked.append(table)
            return given(self, table)

    with_words, without = (teach(parent, Watching(parent.frozen.encoder), words, rows) for words in (True, False))
    assert len(asked) == 1
    np.testing.assert_allclose(asked[0].vectors, teacher_table(parent.of(rows), 1, lambda done: None).vectors)
    assert with_words.record["lessons"] == without.record["lessons"] == len(rows)
    # The rung itself still stands on the plain encoder's, in the same study.
    after = student.fit(rows, 4, student.first_settings(rows, 4), parent.bench).predict_proba(rows.texts)
    np.testing.assert_array_equal(after, before)


def test_another_encoder_gives_other_token_vectors_and_silence_for_special_ones(parent, tmp_path):
    rows = rows_without(UNSEEN)
    other = tiny_parent(tmp_path / "other", hidden_act="relu")
    one, two = (teacher_table(each.of(rows), 1, lambda done: None).vectors for each in (parent, other))
    assert one.shape == two.shape
    assert abs(one - two).max() > 0.01
    silent = token_weights(tiny_tokenizer()) == 0
    assert not one[silent].any()


def test_a_teacher_in_eight_bits_gives_no_table_but_speaks_of_words(parent):
    """Its graph gives no arrays away."""
    rows = rows_without(UNSEEN)
    small = Int8Rung(parent, allowed_flips=1.0)
    made = small.fit(rows, 4, small.first_settings(rows, 4), parent.bench)
    assert teacher_table(made, 1, lambda done: None) is None
    assert vocabulary_words(tokenizer_of(made)) == vocabulary_words(tiny_tokenizer())
    in_eight_bits = replace(parent, rung=small)
    static, linear = (
        teach(in_eight_bits, student, True, rows) for student in (StaticRung(parent.frozen.encoder), LinearRung())
    )
    assert static.settings["words"] is False, "the settings say what was carried out"
    assert linear.settings["words"] is True


@pytest.mark.parametrize(
    ("kind", "student", "minutes", "words"),
    [
        ("encoder", LinearRung(), 5.0, True),
        ("encoder", StaticRung(), 5.0, True),
        ("encoder", FrozenRung(), 5.0, False),
        ("encoder", LinearRung(), 0.002, False),
        ("linear", LinearRung(), 5.0, False),
        ("endpoint", LinearRung(), 5.0, False),
    ],
)
def test_who_is_told_of_words(parent, kind, student, minutes, words):
    rows = topic_examples(40, 0)
    rung = DistilledRung(student, replace(parent, kind=kind), minutes)
    assert rung.first_settings(rows, 4)["words"] is words


def test_a_vocabulary_of_many_languages_takes_too_long(parent, monkeypatch):
    rows = topic_examples(40, 0)
    rung = DistilledRung(LinearRung(), parent)
    assert rung.first_settings(rows, 4)["words"] is True
    monkeypatch.setattr(distil, "n_ids", lambda tokenizer: 250_000)
    assert rung.first_settings(rows, 4)["words"] is False
