# SPDX-License-Identifier: Apache-2.0
import numpy as np
import pytest

from bigenough.task import Examples
from bigenough.task.audit.lengths import LONG_CHARS, find_length_faults, measure_lengths


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        ("empty_texts", ""),
        ("empty_texts", " \n\t "),
        ("empty_texts", "\n" * 2 * LONG_CHARS),
        ("no_letters", "12345 -- 99 %"),
        ("no_letters", "🙂🙂"),
        ("very_short", "ok"),
        ("very_short", "U 2."),
        ("very_long", "a long story " * 400),
    ],
)
def test_a_planted_text_is_found_at_its_row(desk, kind, text):
    row = desk.plant(text, "billing")
    found = desk.find_one(kind)
    assert (found.count, found.rows) == (1, (row,))


@pytest.mark.parametrize("text", ["help", "不可以", "да", "1 day", "x" * LONG_CHARS])
def test_a_short_but_readable_text_is_left_alone(text):
    examples = Examples([text], np.zeros(1, np.int64), np.ones(1, np.int64))
    assert find_length_faults(examples) == []


def test_many_empty_texts_are_a_problem_one_is_a_warning(desk):
    desk.plant("")
    assert desk.find_one("empty_texts").severity == "warning"
    for _ in range(20):
        desk.plant("")
    assert desk.find_one("empty_texts").severity == "problem"


def test_lengths_are_those_of_some_text():
    texts = ["a" * n for n in range(1, 101)]
    lengths = measure_lengths(Examples(texts, np.zeros(100, np.int64), np.arange(1, 101)))
    assert (lengths.median_chars, lengths.p95_chars, lengths.max_chars) == (50, 95, 100)
