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


@pytest.mark.parametrize(
    "wrong",
    [
        {"steps": -1}, {"rows": 1}, {"per_class": 1}, {"learning_rate": 0.0}, {"temperature": float("nan")},
        {"dropout": 1.0}, {"warm_up": -0.1}, {"max_length": 2}, {"weight_decay": -1.0}, {"seed_offset": -1},
    ],
)  # fmt: skip
def test_settings_that_make_no_sense(wrong):
    with pytest.raises(BadOption, match=next(iter(wrong))):
        Contrast.of(wrong)
