# SPDX-License-Identifier: Apache-2.0
"""The mean of several trainings: how many there is time for, what a kill costs, what a failure does."""

from dataclasses import replace

import numpy as np
import pytest
from models.tiny_bert import write_model

from bigenough.errors import RungFailed
from bigenough.models.bert import read_bert
from bigenough.rungs.training.averaging import Kept, affordable, averaged
from bigenough.rungs.training.recipe import Recipe, Trained
from bigenough.rungs.training.trained_file import encoder_arrays, read_trained, write_trained

RECIPE = Recipe(averaged=3, seed_offset=4)


@pytest.fixture
def body(tmp_path):
    return read_bert(write_model(tmp_path / "model"))


class Trainer:
    """Gives the encoder with its vectors moved, and remembers what it was asked for."""

    def __init__(self, body, *, seconds=10.0, failing=(), dying=()):
        self.body, self.seconds, self.failing, self.dying = body, seconds, failing, dying
        self.asked = []

    def __call__(self, recipe, minutes, place):
        self.asked.append((recipe.seed_offset, minutes, place))
        if place in self.failing:
            raise RungFailed("The loss diverged twice.")
        if place in self.dying:
            raise KeyboardInterrupt
        moved = replace(
            self.body, words=self.body.words + np.float32(place), norm=(self.body.norm[0] + place, self.body.norm[1])
        )
        weight = np.full((self.body.config.width, 2), place, np.float32)
        record = {"steps": 5, "seconds": self.seconds, "notes": []}
        return Trained(moved, weight, np.array([place, -1e4]), recipe.changed(epochs=2.0), record)


def test_the_mean_is_that_of_every_array(body):
    trainer = Trainer(body)
    first, mean = averaged(trainer, RECIPE, None)
    assert trainer.asked == [(4, None, 0), (5, None, 1), (6, None, 2)]
    np.testing.assert_array_equal(first.body.words, body.words)
    np.testing.assert_allclose(mean.body.words, body.words + 1, rtol=1e-6)
    np.testing.assert_allclose(mean.body.norm[0], body.norm[0] + 1, rtol=1e-6)
    np.testing.assert_array_equal(mean.body.layers[1].qkv, body.layers[1].qkv)
    np.testing.assert_allclose(mean.weight, 1)
    np.testing.assert_allclose(mean.bias, [1, -1e4])
    assert {array.dtype for array in encoder_arrays(mean.body).values()} == {np.dtype(np.float32)}
    assert (mean.weight.dtype, mean.bias.dtype) == (np.float32, np.float64)
    assert (first.recipe.averaged, mean.recipe.averaged) == (1, 3)
    assert mean.recipe.epochs == 2.0
    assert mean.record["notes"] == []


def test_one_is_that_one(body):
    trainer = Trainer(body)
    first, mean = averaged(trainer, replace(RECIPE, averaged=1), 1.0)
    assert mean is first
    assert trainer.asked == [(4, 1.0, 0)]


def test_only_as_many_as_the_minutes_allow(body):
    """Three of 20 s are more than 85 % of a minute; later on, for a third more rows, so are two of 20 s in 60 s."""
    trainer = Trainer(body, seconds=20.0)
    mean = averaged(trainer, RECIPE, 1.0).mean
    assert trainer.asked == [(4, 1.0, 0), (5, 0.5, 1)]
    assert mean.recipe.averaged == 2
    assert mean.record["notes"] == ["the mean of 2 trainings and not the mean of 3: the minutes suffice for no more"]
    assert averaged(Trainer(body, seconds=20.0), RECIPE, 1.0, later_rows=4 / 3).mean.recipe.averaged == 1
    assert affordable(3, 0.0, 60.0) == 3


@pytest.mark.parametrize(("dying", "again"), [(0, [0, 1, 2]), (1, [1, 2]), (2, [2])])
def test_a_kill_costs_one_of_them(body, tmp_path, dying, again):
    kept = Kept.of(tmp_path / "scratch", "key")
    with pytest.raises(KeyboardInterrupt):
        averaged(Trainer(body, dying=(dying,)), RECIPE, 2.0, kept=kept)
    trainer = Trainer(body)
    resumed = averaged(trainer, RECIPE, 2.0, kept=kept)
    assert [place for _, _, place in trainer.asked] == again
    whole = averaged(Trainer(body), RECIPE, 2.0)
    for one, other in zip(resumed, whole, strict=True):
        assert one.recipe == other.recipe
        assert one.record == other.record
        np.testing.assert_array_equal(one.weight, other.weight)
        found, expected = encoder_arrays(one.body), encoder_arrays(other.body)
        assert all((found[name] == expected[name]).all() for name in expected)
    kept.remove()
    assert list((tmp_path / "scratch").iterdir()) == []


def test_one_that_fails_is_left_out(body):
    trainer = Trainer(body, failing=(1,))
    first, mean = averaged(trainer, RECIPE, None)
    assert len(trainer.asked) == 2
    assert mean.recipe.averaged == 1
    np.testing.assert_array_equal(mean.body.words, first.body.words)
    assert mean.record["notes"] == [
        "one training and not the mean of 3: the next one failed (The loss diverged twice.)"
    ]
    with pytest.raises(RungFailed):
        averaged(Trainer(body, failing=(0,)), RECIPE, None)


def test_a_file_that_cannot_be_read_is_none(body, tmp_path):
    path = tmp_path / "trained.safetensors"
    assert read_trained(path) is None
    write_trained(path, Trainer(body)(RECIPE, None, 0))
    assert read_trained(path).recipe.seed_offset == 4
    whole = path.read_bytes()
    for damaged in (b"", whole[:50], whole[:-4], b"\xff" * 100):
        path.write_bytes(damaged)
        assert read_trained(path) is None
