# SPDX-License-Identifier: Apache-2.0
"""Labels as words."""

import pytest

from bigenough.rungs.class_texts import class_texts, names_say_nothing, readable_names


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["card_lost", "top-up.failed"], ["card lost", "top up failed"]),
        (["playMusic", "BookRestaurant"], ["play Music", "Book Restaurant"]),
        (["intent_play", "intent_book"], ["play", "book"]),
        (["Intent:play", "intent:book"], ["play", "book"]),
        (["bank_card_lost", "bank_card_found"], ["lost", "found"]),
        (["card", "card_lost"], ["card", "card lost"]),
        (["same_name"], ["same name"]),
        (["HTTPError", "iOS"], ["HTTP Error", "i OS"]),
        (["überweisungOffen", "naïve"], ["überweisung Offen", "naïve"]),
        (["___", "good"], ["___", "good"]),
    ],
)
def test_names_become_words(names, expected):
    assert readable_names(names) == expected


@pytest.mark.parametrize("names", [["0", "1"], ["label_0", "label_1"], ["C50.1", "J45"], ["a", "b"], ["-1", "+1"]])
def test_numbers_and_codes_say_nothing(names):
    assert names_say_nothing(names)


@pytest.mark.parametrize("names", [["0", "spam"], ["良い", "悪い"], ["да", "нет"], ["pos", "neg"]])
def test_one_word_is_something(names):
    assert not names_say_nothing(names)


def test_a_description_stands_in_for_the_name_unless_it_is_blank():
    texts = class_texts(["a_b", "c"], {"a_b": " what a is ", "c": "  "}, ("{}", "It is {}."))
    assert texts == [["what a is"], ["c", "It is c."]]


def test_braces_in_a_name_are_no_template():
    assert class_texts(["{0} x", "y"], {}, ("{}",)) == [["0 x"], ["y"]]
