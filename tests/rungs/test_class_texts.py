# SPDX-License-Identifier: Apache-2.0
"""Labels as words."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bigenough.rungs.class_texts import class_texts, readable_names, undescribed, wordless_names

SMALL_LETTERS = st.characters(categories=["Ll", "Lo"])


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
        (["ดีมาก", "हाँ_जी"], ["ดีมาก", "हाँ जी"]),
        (["e\u0301te\u0301", "❤\ufe0f"], ["été", "❤\ufe0f"]),
    ],
)
def test_names_become_words(names, expected):
    assert readable_names(names) == expected


@pytest.mark.parametrize(
    "names",
    [
        *(["0", "1"], ["label_0", "label_1"], ["C50.1", "J45"], ["a", "b"], ["-1", "+1"]),
        *(["class1", "class2"], ["А", "Б"], ["α", "β"], ["AB12", "XY7"], ["👍", "👎"], ["", "!"]),
    ],
)
def test_numbers_and_codes_say_nothing(names):
    assert wordless_names(names) == names


@pytest.mark.parametrize("names", [["0", "spam"], ["良い", "悪い"], ["да", "нет"], ["no", "ok"]])
def test_one_word_is_something(names):
    assert wordless_names(names) != names


def test_a_description_stands_in_for_the_name_unless_it_is_blank():
    texts = class_texts(["a_b", "c"], {"a_b": " what a is ", "c": "  "}, ("{}", "It is {}."))
    assert texts == [["what a is"], ["c", "It is c."]]


def test_a_code_is_described_by_words_and_not_by_blanks():
    assert undescribed(["C50", "J45", "I10", "other"], {"J45": "asthma", "I10": " "}) == ["C50", "I10"]


def test_braces_in_a_name_are_no_template():
    assert class_texts(["{0} x", "y"], {}, ("{}",)) == [["0 x"], ["y"]]


@pytest.mark.parametrize(
    "name", ["yes", "A1: skin", "covid19", "冷", "예", "ดี", "हाँ", "1 star", "e11.9_diabetes", "COVID"]
)
def test_a_word_in_any_script_is_something(name):
    assert wordless_names([name, "else"]) == []


@given(st.text(SMALL_LETTERS, min_size=2), st.text("0123456789 .:/()_-"))
def test_two_letters_in_a_row_are_a_word_whatever_stands_around(word, around):
    assert wordless_names([f"{around} {word} {around} x", "else"]) == []


@given(st.from_regex(r"[A-Za-z]?[0-9]{0,3}(\.[0-9]{1,2})?", fullmatch=True))
def test_letters_alone_and_numbers_are_none(code):
    assert wordless_names([code, "else"]) == [code]


@given(
    st.lists(st.integers(0, 999), min_size=2, unique=True), st.sampled_from(["LABEL_", "class", "Topic ", "группа-"])
)
def test_names_that_a_number_sets_apart_say_nothing(numbers, stem):
    names = [f"{stem}{number}" for number in numbers]
    assert wordless_names([*names, "other"]) == wordless_names(names) == names


def test_many_digits_take_no_time():
    """A pattern that tries every way to cut them would take days."""
    assert wordless_names(["7" * 5000 + " card", "pay " + "1 " * 5000 + "x", "else"]) == []
