# SPDX-License-Identifier: Apache-2.0
"""Checking rows one at a time, with everything that a person may type."""

from __future__ import annotations

import pytest

from bigenough.labelling.interview import LONGEST_SHOWN, Question, interview

ROWS = [Question(4, "first"), Question(9, "second"), Question(2, "third")]


class Person:
    """Types these, then ends the input; sees what is shown."""

    def __init__(self, *typed: str) -> None:
        self.typed = list(typed)
        self.kept: list[tuple[int, str]] = []
        self.seen: list[str] = []

    def answers(
        self, questions: list[Question], classes: tuple[str, ...], labels: dict[int, str] | None = None
    ) -> bool:
        return interview(
            questions, classes, labels or {}, ask=self.ask, tell=self.seen.append,
            keep=lambda row, label: self.kept.append((row, label)),
        )  # fmt: skip

    def ask(self, prompt: str) -> str | None:
        self.seen.append(prompt)
        return self.typed.pop(0) if self.typed else None


def test_numbers_and_names_in_any_case() -> None:
    person = Person("2", "HAM", " spam ")
    assert person.answers(ROWS, ("ham", "spam"))
    assert person.kept == [(4, "spam"), (9, "ham"), (2, "spam")]


def test_skip_back_and_quit() -> None:
    person = Person("1", "", "b", "2", "b", "b", "2", "q")
    assert not person.answers(ROWS, ("ham", "spam"))
    assert person.kept == [(4, "ham"), (9, "spam"), (4, "spam")]


def test_back_from_the_first_row_stays_there() -> None:
    person = Person("b", "1", "1", "1")
    assert person.answers(ROWS, ("ham", "spam"))
    assert "This is the first row." in person.seen


def test_rows_that_have_a_label_are_not_asked_again() -> None:
    person = Person("1")
    assert person.answers(ROWS, ("ham", "spam"), {4: "ham", 2: "spam"})
    assert person.kept == [(9, "ham")]


@pytest.mark.parametrize("nonsense", ["3", "0", "hamm", "-1", "x y"])
def test_what_is_no_label_is_asked_again(nonsense: str) -> None:
    person = Person(nonsense, "1", "q")
    person.answers(ROWS, ("ham", "spam"))
    assert person.kept == [(4, "ham")]
    assert any(f"{nonsense!r} is no label" in line for line in person.seen)


def test_end_of_input_is_quit() -> None:
    assert not Person().answers(ROWS, ("ham", "spam"))


def test_labels_that_are_numbers_are_typed_as_such() -> None:
    """With the labels 5 and 1, "1" is the label and never the first in the list."""
    person = Person("1", "5", "2", "q")
    person.answers(ROWS, ("5", "1"))
    assert person.kept == [(4, "1"), (9, "5")]


def test_labels_that_are_keys_get_the_slash_out_of_the_way() -> None:
    person = Person("b", "/b", "q", "/q")
    assert not person.answers(ROWS, ("b", "q"))
    assert person.kept == [(4, "b"), (4, "q")]


def test_names_that_differ_in_case_only_are_not_mixed_up() -> None:
    person = Person("It", "IT", "it", "q")
    person.answers(ROWS, ("IT", "it"))
    assert person.kept == [(4, "IT"), (9, "it")]


def test_a_text_cannot_move_the_cursor_and_a_long_one_is_cut() -> None:
    person = Person("q")
    person.answers([Question(1, "\x1b[2Jred\x07 \r" + "x" * 5000)], ("ham", "spam"))
    shown = "".join(person.seen)
    assert not {"\x1b", "\x07", "\r"} & set(shown)
    assert len(shown) < LONGEST_SHOWN + 500


def test_suggestions_show_only_where_they_are_given() -> None:
    for suggestion in ("", "spam"):
        person = Person("q")
        person.answers([Question(1, "WIN", suggestion)], ("ham", "spam"))
        assert any("the generalist says" in line for line in person.seen) is bool(suggestion)


def test_what_a_class_means_cannot_move_the_cursor() -> None:
    person = Person("?", "q")
    interview(
        ROWS, ("ham", "spam"), {}, ask=person.ask, tell=person.seen.append, keep=lambda *_: None,
        descriptions={"spam": "un\x1b[2Jwanted"},
    )  # fmt: skip
    assert any("wanted" in line for line in person.seen)
    assert not any("\x1b" in line for line in person.seen)
