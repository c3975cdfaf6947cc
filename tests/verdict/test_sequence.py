# SPDX-License-Identifier: Apache-2.0
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bigenough.verdict.sequence import climb_up, walk_down


@given(st.lists(st.booleans(), max_size=8))
def test_walking_down_opens_nothing_after_the_first_failure(outcomes):
    opened = []

    def test(place, level):
        opened.append((place, level))
        return outcomes[place]

    steps = walk_down(len(outcomes), test, 0.05)
    first = outcomes.index(False) + 1 if False in outcomes else len(outcomes)
    assert opened == [(place, 0.05) for place in range(first)]
    assert [step.passed for step in steps] == outcomes[:first] + [None] * (len(outcomes) - first)


@given(st.lists(st.booleans(), min_size=1, max_size=8))
def test_climbing_up_opens_nothing_after_the_first_pass_and_splits_alpha(outcomes):
    opened = []

    def test(place, level):
        opened.append(place)
        return outcomes[place]

    steps = climb_up(len(outcomes), test, 0.05)
    first = outcomes.index(True) + 1 if True in outcomes else len(outcomes)
    assert opened == list(range(first))
    assert sum(step.level for step in steps) == pytest.approx(0.05)


def test_planned_nominees_take_their_share_of_alpha_before_they_are_there():
    assert climb_up(1, lambda place, level: False, 0.05, n_planned=4)[0].level == 0.0125
    assert climb_up(0, lambda place, level: False, 0.05) == []
