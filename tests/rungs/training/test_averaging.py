# SPDX-License-Identifier: Apache-2.0
"""The mean of several trainings: how many there is time for, what a kill costs, what a failure does."""

from dataclasses import replace

import numpy as np
import pytest
from models.tiny_bert import write_model

from bigenough.errors import OutOfDisk, RungFailed
from bigenough.models.bert import read_bert
from bigenough.rungs.training.averaging import Kept, affordable, mean_of_trainings
from bigenough.rungs.training.recipe import Recipe, Trained
from bigenough.rungs.training.trained_file import encoder_arrays, encoder_of, read_trained, write_trained

RECIPE = Recipe(averaged=3, seed_offset=4)


@pytest.fixture
def body(tmp_path):
    return read_bert(write_model(tmp_path / "model"))


class Trainer:
    """Gives the encoder with all its numbers moved, and remembers what it was asked for."""

    def __init__(self, body, *, seconds=30.0, failing=None, changes=None):
        self.body, self.seconds = body, seconds
        self.failing, self.changes = failing or {}, changes or {}
        self.asked = []

    def __call__(self, recipe, minutes, number):
        self.asked.append((number, recipe.seed_offset, minutes))
        if number in self.failing:
            raise self.failing[number]
        moved = {name: array + np.float32(number - 1) for name, array in encoder_arrays(self.body).items()}
        weight = np.full((self.body.config.width, 2), number - 1, np.float32)
        record = {"steps": 5, "seconds": self.seconds, "notes": []}
        done = recipe.changed(**{"epochs": 2.0, **self.changes.get(number, {})})
        return Trained(encoder_of(vars(self.body.config), moved), weight, np.array([number - 1, -1e4]), done, record)


def same(one, other):
    found, expected = ({**encoder_arrays(each.body), "w": each.weight, "b": each.bias} for each in (one, other))
    return (
        (one.recipe, one.record) == (other.recipe, other.record)
        and found.keys() == expected.keys()
        and all(np.array_equal(found[name], expected[name]) for name in expected)
    )


def test_the_mean_is_that_of_every_array(body):
    trainer = Trainer(body)
    first, mean = mean_of_trainings(trainer, RECIPE, None)
    assert trainer.asked == [(1, 4, None), (2, 5, None), (3, 6, None)]
    start, alone, found = (encoder_arrays(each) for each in (body, first.body, mean.body))
    assert found.keys() == start.keys()
    for name, array in start.items():
        np.testing.assert_array_equal(alone[name], array)
        np.testing.assert_allclose(found[name], array + 1, rtol=1e-5, atol=1e-6)
        assert found[name].dtype == array.dtype
    np.testing.assert_allclose(mean.weight, 1)
    np.testing.assert_allclose(mean.bias, [1, -1e4])
    assert (mean.weight.dtype, mean.bias.dtype) == (np.float32, np.float64)
    assert (first.recipe.averaged, mean.recipe.averaged, mean.recipe.epochs) == (1, 3, 2.0)
    assert [one["seed_offset"] for one in mean.record["trainings"]] == [4, 5, 6]
    assert mean.record["notes"] == []


def test_one_is_that_one(body):
    trainer = Trainer(body)
    first, mean = mean_of_trainings(trainer, replace(RECIPE, averaged=1), 1.0)
    assert mean is first
    assert trainer.asked == [(1, 4, 1.0)]


def test_only_as_many_as_the_minutes_allow(body):
    """Three of 20 s are more than 85 % of a minute, and so are two once half as much again is reckoned with."""
    trainer = Trainer(body, seconds=20.0)
    mean = mean_of_trainings(trainer, RECIPE, 1.0).mean
    assert trainer.asked == [(1, 4, 1.0), (2, 5, pytest.approx(2 / 3))], "what the first one left"
    assert mean.recipe.averaged == 2
    assert mean.record["notes"] == ["the mean of 2 trainings and not the mean of 3: the minutes suffice for no more"]
    assert mean_of_trainings(Trainer(body, seconds=20.0), RECIPE, 1.0, reserve=1.5).mean.recipe.averaged == 1
    assert affordable(3, 0.0, 60.0) == 3


def test_time_around_a_training_counts(body):
    """What starts the processes, say."""
    seconds = iter([0.0, 45.0])
    trainer = Trainer(body, seconds=5.0)
    mean_of_trainings(trainer, RECIPE, 1.0, clock=lambda: next(seconds))
    assert len(trainer.asked) == 1


@pytest.mark.parametrize(("dying", "again"), [(1, [1, 2, 3]), (2, [2, 3]), (3, [3]), (None, [])])
def test_a_kill_costs_one_of_them(body, tmp_path, dying, again):
    def kept():
        return Kept.of(tmp_path, "key")

    if dying is None:
        mean_of_trainings(Trainer(body), RECIPE, 4.0, kept=kept())
    else:
        with pytest.raises(KeyboardInterrupt):
            mean_of_trainings(Trainer(body, failing={dying: KeyboardInterrupt()}), RECIPE, 4.0, kept=kept())
    trainer = Trainer(body, seconds=31.0)  # another machine, or a busier one
    resumed = mean_of_trainings(trainer, RECIPE, 4.0, kept=kept())
    assert [number for number, _, _ in trainer.asked] == again
    whole = mean_of_trainings(Trainer(body), RECIPE, 4.0)
    for one, other in zip(resumed, whole, strict=True):
        without = [replace(each, record={**each.record, "seconds": 0, "trainings": 0}) for each in (one, other)]
        assert same(*without)


def test_a_finished_training_is_kept_where_there_is_time_for_no_other(body, tmp_path):
    """Between it and the fit's own file its graph is written, and all select rows are looked at."""
    for recipe in (RECIPE, replace(RECIPE, averaged=1)):
        made = mean_of_trainings(Trainer(body, seconds=70.0), recipe, 2.0, kept=Kept.of(tmp_path, str(recipe.averaged)))
        trainer = Trainer(body, seconds=70.0)
        again = mean_of_trainings(trainer, recipe, 2.0, kept=Kept.of(tmp_path, str(recipe.averaged)))
        assert trainer.asked == []
        assert same(again.mean, made.mean)


def test_rows_of_one_class_leave_the_recipe_as_it_was_wanted(body):
    """More rows may have more classes: what is trained on them is to be what was tried."""
    recipe = replace(RECIPE, epochs=7.0)

    def train(wanted, minutes, number):
        return replace(Trainer(body)(wanted, minutes, number), recipe=wanted, record={"steps": 0, "notes": []})

    assert mean_of_trainings(train, recipe, 4.0).mean.recipe == recipe


def test_short_trainings_and_those_of_another_fit_are_not_kept(body, tmp_path):
    mean_of_trainings(Trainer(body, seconds=5.0), RECIPE, None, kept=Kept.of(tmp_path, "short"))
    assert not list(tmp_path.glob("averaged-*"))
    mean_of_trainings(Trainer(body), RECIPE, None, kept=Kept.of(tmp_path, "long"))
    assert len(list(tmp_path.glob("averaged-long-*"))) == 2
    Kept.of(tmp_path, "next")
    assert not list(tmp_path.glob("averaged-*"))


@pytest.mark.parametrize(
    ("trouble", "reason"),
    [
        ({"failing": {2: RungFailed("It diverged.")}}, "the next one failed (RungFailed: It diverged.)"),
        ({"failing": {2: RuntimeError("CUDA")}}, "the next one failed (RuntimeError: CUDA)"),
        ({"changes": {2: {"frozen_layers": 1}}}, "the next one could not be carried out as the first was"),
        ({"changes": {2: {"epochs": 1.5}}}, "the next one could not be carried out as the first was"),
    ],
)
def test_one_that_fails_or_is_cut_is_left_out(body, trouble, reason):
    trainer = Trainer(body, **trouble)
    first, mean = mean_of_trainings(trainer, RECIPE, None)
    assert len(trainer.asked) == 2
    assert mean.recipe.averaged == 1
    np.testing.assert_array_equal(mean.body.words, first.body.words)
    assert mean.record["notes"] == [f"one training and not the mean of 3: {reason}"]


def test_the_first_must_not_fail_and_a_full_disk_is_said(body):
    with pytest.raises(RungFailed):
        mean_of_trainings(Trainer(body, failing={1: RungFailed("It diverged.")}), RECIPE, None)
    with pytest.raises(OutOfDisk):
        mean_of_trainings(Trainer(body, failing={2: OutOfDisk("The disk is full.")}), RECIPE, None)


def test_a_file_that_cannot_be_read_is_none(body, tmp_path):
    path = tmp_path / "trained.safetensors"
    assert read_trained(path) is None
    trained = Trainer(body)(RECIPE, None, 1)
    write_trained(path, trained)
    assert same(read_trained(path), trained)
    whole = path.read_bytes()
    for damaged in (b"", whole[:50], whole[:-4], b"\xff" * 100):
        path.write_bytes(damaged)
        assert read_trained(path) is None
