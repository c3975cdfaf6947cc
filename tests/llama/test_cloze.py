# SPDX-License-Identifier: Apache-2.0
"""The last word of a passage."""

import numpy as np
import pytest
from llama.tiny_llama import NEEDS_LLAMA

from bigenough.errors import InputError
from bigenough.llama.cloze import CONTEXT_TOKENS, cloze, last_word
from bigenough.llama.context import log_softmax_at
from bigenough.llama.labels import read_once

pytestmark = NEEDS_LLAMA


@pytest.mark.parametrize(
    ("passage", "before", "word"),
    [
        ("one two", "one", " two"),
        ("He said: “Open the door.”", "He said: “Open the", " door"),
        ("it was  hers \n", "it was", " hers"),
        ("a mother-in-law!", "a", " mother-in-law"),
    ],
)
def test_what_counts_as_the_last_word(passage, before, word):
    assert last_word(passage) == (before, word)


@pytest.mark.parametrize("passage", ["", "word", " word.", "... !"])
def test_passages_of_less_than_two_words(passage):
    with pytest.raises(InputError, match="two words"):
        last_word(passage)


def test_it_is_the_probability_of_the_word_after_the_rest(model):
    passages = ["where is the card", "the card is in the end", "a long story " * 200 + "end"]
    context = model.context(4096)
    for passage, guess in zip(passages, cloze(model, passages), strict=True):
        before, word = last_word(passage)
        asked = model.tokens(word)
        tokens, total, right = model.tokens(before)[-(CONTEXT_TOKENS - len(asked)) :], 0.0, True
        for token in asked:
            logits = read_once(context, tokens)
            total += float(log_softmax_at(logits, np.array([token], np.int32))[0])
            right = right and int(logits.argmax()) == token
            tokens = np.append(tokens, token).astype(np.int32)
        assert guess.log_probability == pytest.approx(total, abs=2e-3)
        assert (guess.word, guess.right, guess.tokens) == (word.strip(), right, len(asked))


def test_of_all_words_of_one_letter_the_most_probable_is_right(model):
    """A letter after a space is one token here or two; among those of two, the best of the second is decided by it."""
    before = "where is the card"
    words = [letter for letter in "abdefghijklmnopqrsuvwxyz" if len(model.tokens(" " + letter)) == 2]
    guesses = list(cloze(model, [f"{before} {word}" for word in words]))
    after = read_once(model.context(512), model.tokens(before + " "))
    space = read_once(model.context(512), model.tokens(before))
    for word, guess in zip(words, guesses, strict=True):
        writes_space = int(space.argmax()) == int(model.tokens(" ")[0])
        assert guess.right == (writes_space and int(after.argmax()) == int(model.tokens(word)[0]))


def test_nothing_to_guess(model):
    assert list(cloze(model, [])) == []
