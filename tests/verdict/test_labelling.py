# SPDX-License-Identifier: Apache-2.0
import numpy as np
import pytest

from bigenough.errors import BadOption
from bigenough.verdict import next_rows


def _probabilities(n=400, k=4, seed=0):
    rng = np.random.default_rng(seed)
    return {name: rng.dirichlet(np.full(k, 0.5), n) for name in ("linear", "frozen")}


def test_rows_for_proof_do_not_depend_on_what_candidates_think():
    first = next_rows(_probabilities(seed=1), proof=50, learning=0, seed=7)
    second = next_rows(_probabilities(seed=2), proof=50, learning=0, seed=7)
    assert first == second
    assert len({row.position for row in first}) == 50


def test_no_row_is_given_twice_and_proof_comes_first():
    rows = next_rows(_probabilities(), proof=150, learning=100)
    assert len({row.position for row in rows}) == 250
    assert [row.purpose for row in rows] == ["proof"] * 150 + ["learning"] * 100


def test_rows_for_learning_are_those_in_dispute_and_of_many_classes():
    n = 300
    agree = np.tile([0.97, 0.01, 0.01, 0.01], (n, 1))
    dissent = agree.copy()
    dissent[40:60] = [0.01, 0.97, 0.01, 0.01]
    dissent[100:120] = [0.01, 0.01, 0.97, 0.01]
    rows = next_rows({"linear": agree, "frozen": dissent}, proof=0, learning=40)
    assert {row.position for row in rows} == {*range(40, 60), *range(100, 120)}
    assert all("disagree" in row.reason for row in rows)


def test_one_candidate_still_gives_advice():
    torn = np.tile([0.9, 0.1], (50, 1))
    torn[13] = [0.51, 0.49]
    (row,) = next_rows({"linear": torn}, proof=0, learning=1)
    assert row.position == 13
    assert "waver" in row.reason


def test_asking_for_more_rows_than_there_are_gives_what_there_is():
    assert len(next_rows(_probabilities(n=10), proof=8, learning=50)) == 10


def test_unequal_shapes_and_negative_numbers_are_refused():
    with pytest.raises(BadOption, match="shapes"):
        next_rows({"a": np.ones((3, 2)) / 2, "b": np.ones((4, 2)) / 2}, proof=1, learning=1)
    with pytest.raises(BadOption, match="negative"):
        next_rows(_probabilities(), proof=-1, learning=1)
