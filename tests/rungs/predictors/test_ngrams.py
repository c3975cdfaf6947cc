# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import unicodedata
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.feature_extraction.text import CountVectorizer

from bigenough.rungs.predictors import ngrams
from bigenough.rungs.predictors.ngrams import LONGEST_TEXT, Ngrams, normalise, occurrences

CHARACTERS, WORDS = Ngrams("character", 2, 5), Ngrams("word", 1, 2)
texts = st.lists(st.text(max_size=30), max_size=8)


def prints_of(text: str, kind: Ngrams) -> list[int]:
    """The fingerprints of one text, sorted."""
    return sorted(value for _, _, found in occurrences([text], [kind]) for value in found[0].print.tolist())


def spelled(text: str, shortest: int, longest: int) -> list[str]:
    """Character n-grams inside words, space at both borders, spelled out one by one."""
    words = [f" {word} " for word in normalise(text).split(" ") if word]
    return [
        gram
        for word in words
        for n in range(shortest, longest + 1)
        for gram in (word[start : start + n] for start in range(len(word) - n + 1))
        if gram != " "
    ]


def test_normal_form_is_one_for_what_reads_the_same():
    assert normalise("Ｓｔｒaße ﬁn\u00a0 e\u0301") == normalise("STRASSE fin \u00e9\n")
    assert normalise("\t \n") == ""
    assert len(normalise("a" * (LONGEST_TEXT + 50))) == LONGEST_TEXT


@given(st.text(max_size=60))
def test_normalising_ascii_or_not_leaves_single_spaces(text):
    clean = normalise(text)
    assert clean == " ".join(clean.split())


@given(st.text(max_size=40), st.sampled_from([(1, 3), (2, 5), (3, 4)]))
def test_character_ngrams_are_those_spelled_out(text, span):
    """The same number of n-grams, and equal fingerprints exactly where the spelling is equal."""
    expected = spelled(text, *span)
    found = prints_of(text, Ngrams("character", *span))
    assert len(found) == len(expected)
    assert sorted(Counter(found).values()) == sorted(Counter(expected).values())


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        (CHARACTERS, {"analyzer": "char_wb", "ngram_range": (2, 5)}),
        (Ngrams("word", 1, 1), {"token_pattern": r"\w+"}),
        (WORDS, {"token_pattern": r"\w+", "ngram_range": (1, 2)}),
        (Ngrams("word", 2, 2), {"token_pattern": r"\w+", "ngram_range": (2, 2)}),
    ],
)
def test_on_ascii_text_they_are_those_of_scikit_learn(diagnoses, kind, options):
    for text in diagnoses.texts[:60]:
        counts = CountVectorizer(**options).fit_transform([f"{text}, unspecified"]).data
        assert sorted(Counter(prints_of(f"{text}, unspecified", kind)).values()) == sorted(counts)


@given(texts)
def test_a_text_gives_the_same_in_any_batch(batch):
    for kind in (CHARACTERS, WORDS):
        found: dict[int, list[int]] = {place: [] for place in range(len(batch))}
        for start, _, (chunk,) in occurrences(batch, [kind]):
            for place, value in zip(chunk.text.tolist(), chunk.print.tolist(), strict=True):
                found[start + place].append(value)
        assert [sorted(found[place]) for place in range(len(batch))] == [prints_of(text, kind) for text in batch]


@given(texts)
def test_chunks_change_nothing(batch):
    whole = [len(prints_of(text, CHARACTERS)) for text in batch]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ngrams, "_CHUNK", 10)
        parts = [
            count
            for start, end, (chunk,) in occurrences(batch, [CHARACTERS])
            for count in np.bincount(chunk.text, minlength=end - start).tolist()
        ]
    assert parts == whole


def test_the_same_ngram_at_another_place_has_the_same_fingerprint():
    assert prints_of("abc", WORDS)[0] in prints_of("x " * 3000 + "abc", WORDS)
    assert prints_of("ab cd", Ngrams("word", 2, 2)) != prints_of("cd ab", Ngrams("word", 2, 2))


@pytest.mark.parametrize("text", ["ปวดหัว", "हिन्दी", "மருத்துவர்", "שָׁלוֹם", "e\u0301te\u0301"])
def test_a_word_with_marks_is_one_word(text):
    assert any(unicodedata.category(character).startswith("M") for character in unicodedata.normalize("NFD", text))
    assert len(prints_of(text, Ngrams("word", 1, 1))) == 1


def test_a_language_without_spaces_gives_ngrams_all_along():
    grams = prints_of("頭痛と発熱が三日間続いています", Ngrams("character", 1, 3))
    assert len(grams) == 15 + 16 + 15
    assert set(prints_of("発熱", Ngrams("character", 2, 2))) & set(grams)


@pytest.mark.parametrize("span", [("word", 0, 1), ("word", 1, 3), ("character", 3, 2), ("character", 1, 9)])
def test_an_impossible_span_is_refused(span):
    with pytest.raises(ValueError, match="n-grams must run"):
        Ngrams(*span)


def test_no_two_ngrams_of_real_text_share_a_fingerprint(diagnoses):
    spellings = {gram for text in diagnoses.texts for gram in spelled(text, 2, 5)}
    found = {value for text in diagnoses.texts for value in prints_of(text, CHARACTERS)}
    assert len(found) == len(spellings) > 5000
