# SPDX-License-Identifier: Apache-2.0
"""Probabilities of classes from tokens, and the rule without them."""

from __future__ import annotations

import math

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from bigenough.chat.confidence import by_logprobs, by_rule, undecided
from bigenough.chat.replies import Token


def spelled(steps: list[dict[str, float]], taken: list[str]) -> list[Token]:
    """A reply by a model with these probabilities at each place."""
    return [
        Token(text, math.log(step[text]), tuple((other, math.log(p)) for other, p in step.items()))
        for step, text in zip(steps, taken, strict=True)
    ]


def test_ways_not_taken_count_for_the_classes_they_lead_to() -> None:
    """A model that says "card arrival" 0.42, "card lost" 0.28 and "refund" 0.3 is read back exactly."""
    steps = [{"card": 0.7, "refund": 0.3}, {" arrival": 0.6, " lost": 0.4}]
    tokens = spelled(steps, ["card", " arrival"])
    found = by_logprobs(tokens, "card arrival", 0, ("card arrival", "card lost", "refund"))
    np.testing.assert_allclose(found, [0.42, 0.28, 0.30], atol=1e-6)


def test_a_way_that_leads_to_several_is_shared() -> None:
    tokens = spelled([{"refund": 0.6, "card": 0.4}], ["refund"])
    found = by_logprobs(tokens, "refund", 2, ("card arrival", "card lost", "refund"))
    np.testing.assert_allclose(found, [0.2, 0.2, 0.6], atol=1e-6)


def test_what_stands_around_the_label_does_not_count() -> None:
    inner = {' "spam': 0.5, ' "ham': 0.25, " null": 0.25}
    tokens = [
        Token('{"label":', -0.1, (("ham", -3.0),)),
        *spelled([inner], [' "spam']),
        Token('"}', 0.0, (("x", -1.0),)),
    ]
    found = by_logprobs(tokens, "spam", 1, ("ham", "spam"))
    np.testing.assert_allclose(found, [1 / 3, 2 / 3], atol=1e-6)


def test_tokens_that_do_not_spell_the_label_say_nothing() -> None:
    assert by_logprobs([Token("???", -0.1, ())], "spam", 1, ("ham", "spam")) is None
    assert by_logprobs([], "spam", 1, ("ham", "spam")) is None
    assert by_logprobs([Token("spam", -0.1, ())], "", 1, ("ham", "spam")) is None


LOGPROB = st.floats(-1e4, 0)
WORDS = st.sampled_from(["ham", "sp", "spam", " ham", "x", '"', ""])


@given(
    st.lists(st.tuples(WORDS, LOGPROB, st.lists(st.tuples(WORDS, LOGPROB), max_size=4)), max_size=4), st.integers(0, 2)
)
def test_whatever_the_tokens_the_said_class_leads(reply: list, said: int) -> None:
    classes = ("ham", "spam", "spam and ham")
    tokens = [Token(text, logprob, tuple(others)) for text, logprob, others in reply]
    found = by_logprobs(tokens, classes[said], said, classes)
    if found is not None:
        assert np.isfinite(found).all()
        assert (found > 0).all()
        assert abs(found.sum() - 1) < 1e-9
        assert found.argmax() == said


@given(st.integers(2, 200), st.data())
def test_the_rule_is_sure_of_what_was_said(n_classes: int, data: st.DataObject) -> None:
    said = data.draw(st.integers(0, n_classes - 1))
    found = by_rule(said, n_classes)
    assert found.argmax() == said
    assert (found > 0).all()
    assert abs(found.sum() - 1) < 1e-9


def test_failed_rows_are_right_no_more_often_than_by_a_fair_share() -> None:
    """Whatever class the failed rows are of, one in k of them counts as right: here k = 4, 2,000 rows a class."""
    for gold in range(4):
        hits = [undecided(f"row {n} that is refused", 4).argmax() == gold for n in range(2000)]
        assert abs(np.mean(hits) - 0.25) < 4 * math.sqrt(0.25 * 0.75 / 2000)
    assert np.ptp(undecided("a row", 4)) < 1e-5
    np.testing.assert_array_equal(undecided("a row", 4), undecided("a row", 4))
