# SPDX-License-Identifier: Apache-2.0
"""Which rows meet in a contrastive step."""

import numpy as np
import pytest

from bigenough.errors import BadOption
from bigenough.rungs.training.pairs import Contrast, class_batches

LABELS = np.repeat(np.arange(20), 8)


def batches(labels, rows, per_class, seed=0):
    return class_batches(np.asarray(labels), rows, per_class, np.random.default_rng(seed))


def test_every_row_comes_once():
    found = batches(LABELS, 32, 4)
    assert sorted(np.concatenate(found).tolist()) == list(range(len(LABELS)))
    assert [len(batch) for batch in found] == [32] * 5


def test_rows_meet_others_of_their_class_and_of_other_classes():
    for batch in batches(LABELS, 32, 4):
        counts = np.bincount(LABELS[batch])
        assert (counts[counts > 0] >= 4).all()
        assert (counts > 0).sum() > 1


def test_all_rows_are_one_step_when_they_fit():
    assert len(batches([0] * 8 + [1] * 8, 64, 4)) == 1


@pytest.mark.parametrize("sizes", [(1, 1, 1), (1, 9), (5, 3, 2), (7,)])
def test_no_row_stands_alone(sizes):
    labels = np.repeat(np.arange(len(sizes)), sizes)
    found = batches(labels, 4, 4)
    assert set(np.concatenate(found).tolist()) == set(range(len(labels)))
    for batch in found:
        counts = np.bincount(labels[batch])
        assert (counts[counts > 0] >= 2).all()


def test_the_generator_decides_the_order():
    one, same, other = ([b.tolist() for b in batches(LABELS, 32, 4, seed)] for seed in (1, 1, 2))
    assert one == same
    assert one != other


def test_fewer_rows_are_gone_over_as_often():
    recipe = Contrast(steps=40, rows=64, for_rows=256)
    for rows, steps in ((256, 40), (128, 20), (64, 10), (12, 10), (320, 40)):
        found = recipe.on(rows)
        assert (found.steps, found.for_rows) == (steps, rows)
        assert found.on(rows) == found, "what a fit says it did can be done again"


@pytest.mark.parametrize("rows", [5, 40, 100, 300, 616])
def test_no_part_of_the_rows_costs_more_than_its_share(rows):
    """But for the rounding of steps: texts that go through the encoder, against those of all rows."""
    recipe = Contrast(steps=96, for_rows=616)

    def texts(n):
        labels = np.arange(n) % 2
        found = batches(labels, recipe.rows, recipe.per_class)
        return recipe.on(n).steps * len(labels) / len(found)

    assert texts(rows) <= 1.1 * rows / 616 * texts(616)


def test_a_recipe_for_nobody_knows_how_many_rows_is_taken_as_it_is():
    assert Contrast(steps=40).on(8).steps == 40


@pytest.mark.parametrize(("steps", "left"), [(200, 3), (2, 2), (0, 0)])
def test_a_few_steps_are_left_unless_fewer_were_asked_for(steps, left):
    assert Contrast(steps=steps, for_rows=64 * 100).on(60).steps == left


@pytest.mark.parametrize(
    "wrong",
    [
        {"steps": -1}, {"rows": 1}, {"per_class": 1}, {"learning_rate": 0.0}, {"temperature": float("nan")},
        {"dropout": 1.0}, {"warm_up": -0.1}, {"max_length": 2}, {"weight_decay": -1.0}, {"seed_offset": -1},
        {"for_rows": -1},
    ],
)  # fmt: skip
def test_settings_that_make_no_sense(wrong):
    with pytest.raises(BadOption, match=next(iter(wrong))):
        Contrast.of(wrong)
