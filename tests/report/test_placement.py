# SPDX-License-Identifier: Apache-2.0
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from bigenough.report.placement import Board, Box, spread


def test_a_name_moves_to_the_side_that_is_free():
    board = Board(300, 200, 12)
    assert board.beside(150, 100, "linear").align == "left"
    board = Board(300, 200, 12)
    assert board.beside(290, 100, "linear").align == "right"
    board = Board(300, 200, 12)
    board.take(Box(155, 90, 300, 110))
    assert board.beside(150, 100, "linear").align == "right"


@given(st.lists(st.tuples(st.integers(80, 220), st.integers(60, 140)), min_size=1, max_size=4))
def test_names_that_found_a_place_do_not_touch(dots):
    board = Board(300, 200, 12)
    sides = [board.beside(x, y, "abc") for x, y in dots]
    boxes = [side.box(x, y, 0.6 * 12 * 3, 7) for side, (x, y) in zip(sides, dots, strict=True)]
    assert not any(one.meets(other) for place, one in enumerate(boxes) for other in boxes[:place])


def test_words_along_a_line_keep_clear_of_what_crosses_it():
    board = Board(300, 200, 12)
    board.take(Box(30, 80, 40, 120))
    side = board.along(100, "the bar")
    assert not side.box(0, 100, 0.6 * 12 * 7, 7).meets(Box(30, 80, 40, 120))


@given(st.lists(st.floats(0, 100), min_size=1, max_size=8), st.floats(0.1, 10))
def test_spread_keeps_order_and_distance(heights, gap):
    moved = spread(heights, gap, 100.0)
    assert max(moved) <= 100.0 + 1e-9
    ordered = sorted(moved)
    assert all(above - below >= gap - 1e-6 for below, above in pairwise(ordered))
    assert [moved[place] for place in sorted(range(len(heights)), key=lambda p: heights[p])] == ordered
