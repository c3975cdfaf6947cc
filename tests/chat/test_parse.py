# SPDX-License-Identifier: Apache-2.0
"""Replies become classes: tolerant of wrapping, never by resemblance."""

from __future__ import annotations

import json

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from bigenough.chat.parse import FAILURES, parse

CLASSES = ("card_arrival", "lost_or_stolen_card", "lost card", "Sci/Tech", "no", "7")
WRAPPINGS = [
    "{}",
    "  {}\n",
    '"{}"',
    "'{}'",
    "**{}**",
    "`{}`",
    "{}.",
    "Label: {}",
    "label : {}",
    "The answer is: {}",
    "```\n{}\n```",
    '```json\n{{"label": "{}"}}\n```',
    '{{"label": "{}"}}',
    '{{"label":"{}","why":"because"}}',
    '{{"thing": "{}"}}',
    '["{}"]',
    '{{"label": "{}", "why": "cut of',
    "<think>it could be lost card</think>{}",
    "it could be lost card</think>\n\n{}",
]


@pytest.mark.parametrize("wrapping", WRAPPINGS)
@pytest.mark.parametrize("code", range(len(CLASSES)))
def test_a_label_is_read_through_its_wrapping(wrapping: str, code: int) -> None:
    assert parse(wrapping.format(CLASSES[code]), CLASSES).code == code


@pytest.mark.parametrize(
    ("reply", "code"),
    [
        ("CARD ARRIVAL", 0),
        ("Card-Arrival", 0),
        ("Lost Card", 2),
        ("sci / tech", 3),
        ("This text is about lost_or_stolen_card.", 1),
        ("I would say: lost card, since it is gone", 2),
        ("It is card_arrival, not lost card", 0),
        ('{"label": 7}', 5),
        ('{"label": "This is a lost card", "why": "no card_arrival"}', 2),
        ("- lost card", 2),
        ("– card_arrival.", 0),
    ],
)
def test_other_spellings_and_sentences(reply: str, code: int) -> None:
    assert parse(reply, CLASSES).code == code


def test_the_surface_is_the_label_without_its_bullet() -> None:
    assert parse("- lost card", CLASSES).surface == "lost card"


@pytest.mark.parametrize(
    ("reply", "failure"),
    [
        ("", "empty"),
        (" \n\t", "empty"),
        ("<think>lost card</think>", "empty"),
        ("I'm sorry, but I can't help with lost card.", "refusal"),
        ("I cannot classify this.", "refusal"),
        ("As an AI, I do not label texts", "refusal"),
        ("card arival", "no known label"),
        ("card", "no known label"),
        ("cards arrivals", "no known label"),
        ("4", "no known label"),
        ("It is not card_arrival.", "no known label"),
        ('{"label": null}', "no known label"),
        ('{"label": true}', "no known label"),
        ('{"label": "other", "why": "it asks about a lost card"}', "no known label"),
        ("I’m sorry, but I can’t help with lost card.", "refusal"),
        ("\"I'm sorry, but I can't help with lost card.\"", "refusal"),
        ('{"label": "I’m sorry, I can’t say lost card"}', "refusal"),
        ("This isn’t about a lost card", "no known label"),
        ('{"label": "card_arr', "no known label"),
        ("card_arrival or lost card", "several labels"),
        ('["card_arrival", "lost card"]', "several labels"),
        ('{"label": ["card_arrival", "lost card"]}', "several labels"),
        ("[" * 5000, "no known label"),
    ],
)
def test_what_names_no_class_fails_by_its_kind(reply: str, failure: str) -> None:
    found = parse(reply, CLASSES)
    assert (found.code, found.failure) == (None, failure)


def test_the_endpoints_word_on_a_refusal_goes_first() -> None:
    assert parse("lost card", CLASSES, refused=True).failure == "refusal"


def test_numbers_stand_for_labels_only_where_the_prompt_numbers_them() -> None:
    assert parse("2", ("ham", "spam")).failure == "no known label"
    assert parse("(2)", ("ham", "spam"), numbered=True).code == 1
    assert parse("3", ("ham", "spam"), numbered=True).failure == "no known label"
    assert parse("2", ("2", "1"), numbered=True).code == 0, "a class that is called so goes first"


def test_spellings_that_two_classes_share_name_neither() -> None:
    assert parse("Spam", ("spam", "Spam")).code == 1
    assert parse("SPAM", ("spam", "Spam")).code is None
    assert parse("a b", ("a_b", "a-b")).code is None
    assert parse("it is a-b", ("a_b", "a-b")).code == 1


@pytest.mark.parametrize("wrapping", ['"{}"', "{}.", "**{}**", "Label: {}.", "```\n{}\n```", "It is {}"])
@pytest.mark.parametrize("classes", [("-1", "0", "1"), ("A", "A-", "B")])
def test_a_sign_that_sets_labels_apart_is_part_of_them(classes: tuple[str, ...], wrapping: str) -> None:
    for code, name in enumerate(classes):
        assert parse(wrapping.format(name), classes).code == code


@pytest.mark.parametrize("reply", ["<think>it is ham, surely", "<thinking>\nham", "so ham</think><think>ham"])
def test_a_thought_that_was_cut_off_is_no_answer(reply: str) -> None:
    assert parse(reply, ("ham", "spam")).failure == "empty"


NAMES = st.lists(st.text(max_size=15).map(str.strip).filter(bool), min_size=2, max_size=6, unique=True)


@given(NAMES, st.data())
def test_any_label_as_written_is_that_label(names: list[str], data: st.DataObject) -> None:
    code = data.draw(st.integers(0, len(names) - 1))
    assume("think" not in names[code].lower())
    assert parse(names[code], names).code == code
    in_json = parse(json.dumps({"label": names[code]}), names)
    assert in_json.code == code or in_json.code is None


@given(NAMES, st.text(max_size=60))
def test_any_reply_has_a_class_that_it_spells_or_a_failure(names: list[str], reply: str) -> None:
    found = parse(reply, names)
    assert (found.code is None) == (found.failure in FAILURES)
    if found.code is not None:
        assert plain(names[found.code]) in plain(reply) or names[found.code] in reply


def plain(text: str) -> str:
    import unicodedata

    return "".join(each for each in unicodedata.normalize("NFKC", text).casefold() if each.isalnum())


@given(st.text(alphabet="xyz \n.,!", max_size=40))
def test_words_that_are_no_label_are_never_taken_for_one(reply: str) -> None:
    assert parse(reply, ("ham", "spam")).code is None
