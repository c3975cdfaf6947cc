# SPDX-License-Identifier: Apache-2.0
"""Schedule, batches, budget and watching: the parts of training that are arithmetic."""

import json
from dataclasses import replace

import numpy as np
import pytest

from bigenough.errors import BadOption, RungFailed
from bigenough.rungs.training.budget import Work, fitted_to
from bigenough.rungs.training.recipe import Recipe
from bigenough.rungs.training.schedule import epoch_batches, learning_rate_at
from bigenough.rungs.training.watching import Looks
from bigenough.task.metrics import score

RNG = np.random.default_rng(5)
LENGTHS = RNG.integers(3, 60, 1000)


def test_the_learning_rate_rises_once_and_falls_once():
    rates = [learning_rate_at(x, 0.2) for x in np.linspace(0, 1, 101)]
    top = int(np.argmax(rates))
    assert (top, max(rates), rates[0], rates[-1]) == (20, 1.0, 0.0, 0.0)
    assert np.all(np.diff(rates[: top + 1]) > 0)
    assert np.all(np.diff(rates[top:]) < 0)
    assert learning_rate_at(0.0, 0.0) == 1.0


@pytest.mark.parametrize("size", [1, 7, 32, 5000])
def test_an_epoch_has_each_row_once(size):
    batches = epoch_batches(LENGTHS, size, (1, 2))
    assert sorted(np.concatenate(batches)) == list(range(1000))
    assert len(batches) == int(np.ceil(1000 / size))


def test_batches_hardly_pad_and_differ_between_epochs():
    batches = epoch_batches(LENGTHS, 32, (0, 0))
    computed = sum(len(batch) * LENGTHS[batch].max() for batch in batches)
    shuffled = np.split(np.random.default_rng(0).permutation(1000)[:992], 31)
    assert computed < 1.06 * LENGTHS.sum()
    assert sum(len(batch) * LENGTHS[batch].max() for batch in shuffled) > 1.5 * LENGTHS.sum()
    again, other = epoch_batches(LENGTHS, 32, (0, 0)), epoch_batches(LENGTHS, 32, (0, 1))
    assert all((one == two).all() for one, two in zip(batches, again, strict=True))
    assert {tuple(sorted(batch)) for batch in batches} != {tuple(sorted(batch)) for batch in other}


def work(**changes):
    facts = {"lengths": LENGTHS, "watched": LENGTHS[:100], "layers": 6, "unit_seconds": 1e-5}
    return Work(**{**facts, **changes})


def test_what_fits_is_left_as_it_is():
    recipe = Recipe(epochs=3)
    enough = 3 * work().epoch_seconds(recipe)
    assert fitted_to(recipe, work(), 1.001 * enough) == (recipe, [])


@pytest.mark.parametrize("share", [0.9, 0.5, 0.34, 0.2, 0.12, 0.06])
def test_what_does_not_fit_is_cut_until_it_does(share):
    recipe = Recipe(epochs=3)
    lengths = LENGTHS.copy()
    lengths[:30] = 256  # a few long texts hold much of the work
    seconds = share * 3 * work(lengths=lengths).epoch_seconds(recipe)
    chosen, changes = fitted_to(recipe, work(lengths=lengths), seconds)
    assert chosen.epochs * work(lengths=lengths).epoch_seconds(chosen) <= 1.001 * seconds
    assert changes
    assert chosen.max_length is not None
    assert chosen.max_length < 256
    assert chosen.frozen_layers in (0, 3, 5)


def test_epochs_go_before_layers_and_layers_before_rows():
    recipe, one = Recipe(epochs=3), work().epoch_seconds(Recipe())
    assert replace(fitted_to(recipe, work(), 1.5 * one)[0], epochs=1.5) == replace(recipe, epochs=1.5)
    assert fitted_to(recipe, work(), 1.5 * one)[0].epochs == pytest.approx(1.5)
    assert fitted_to(recipe, work(), 0.8 * one)[0].frozen_layers == 3
    last = fitted_to(recipe, work(), 0.3 * one)[0]
    assert last.frozen_layers == 5
    assert last.epochs < 1


def test_the_second_pass_goes_before_epochs_and_after_long_texts():
    recipe = Recipe(epochs=3, adversarial=0.1)
    once = replace(recipe, adversarial=0.0)
    assert work().epoch_seconds(recipe) > 1.9 * work().epoch_seconds(once)
    chosen, changes = fitted_to(recipe, work(), 4 * work().epoch_seconds(once))
    assert (chosen, changes) == (once, ["no vectors are moved for a second pass"])
    lengths = LENGTHS.copy()
    lengths[:30] = 256
    shorter = replace(recipe, max_length=int(np.quantile(lengths, 0.95, method="higher")))
    seconds = 1.001 * 3 * work(lengths=lengths).epoch_seconds(shorter)
    assert fitted_to(recipe, work(lengths=lengths), seconds)[0] == shorter


def test_a_budget_below_a_few_steps_says_how_much_is_needed():
    needed = 10 / 32 * work(unit_seconds=1.0).epoch_seconds(Recipe(frozen_layers=5)) / 60
    with pytest.raises(RungFailed, match=f"1,000 rows takes {needed:.2g} minutes".replace("+", r"\+")):
        fitted_to(Recipe(), work(unit_seconds=1.0), 30.0)
    with pytest.raises(RungFailed, match="and 0 are left"):
        fitted_to(Recipe(), work(), -5.0)


def probability(hits, labels):
    right = np.where(hits, labels, 1 - labels)
    return 0.6 * np.eye(2)[right] + 0.2


def looked(*shares):
    labels = RNG.integers(0, 2, 400)
    looks = Looks()
    for step, share in enumerate(shares, 1):
        looks.look(probability(np.arange(400) < share * 400, labels), labels, step, float(step))
    return looks


def test_a_later_state_stays_unless_it_is_clearly_worse():
    assert looked(0.8, 0.9, 0.899).kept == 3
    assert looked(0.8, 0.9, 0.85).kept == 2
    assert not looked(0.8, 0.9, 0.85).over
    assert looked(0.9, 0.85, 0.85).over
    assert looked(0.9, 0.85, 0.9, 0.85).kept == 3
    assert [seen["accuracy"] for seen in looked(0.5, 0.75).seen] == [0.5, 0.75]


def test_slow_decay_is_noticed_too():
    """Each look is held against the best one, not against the one before."""
    assert looked(0.9, 0.8985, 0.894, 0.89, 0.885).kept == 2


@pytest.mark.parametrize("metric", ["balanced_accuracy", "macro_f1"])
def test_what_is_looked_at_is_the_metric(metric):
    """The rare class is lost while the frequent one gets better: more hits, and still worse where classes count."""
    labels = (np.arange(400) >= 360).astype(np.int64)
    early, late = np.ones(400, bool), np.ones(400, bool)
    early[:36], late[360:390] = False, False
    kept = {}
    for one in ("accuracy", metric):
        looks = Looks(one)
        looks.look(probability(early, labels), labels, 1, 1.0)
        looks.look(probability(late, labels), labels, 2, 2.0)
        kept[one] = looks.kept
        assert looks.seen[1][one] == score(one, labels, np.where(late, labels, 1 - labels))
    assert kept == {"accuracy": 2, metric: 1}


def test_a_class_that_is_never_answered_has_misses_only():
    labels = np.array([0, 1, 2, 2])
    looks = Looks()
    looks.look(np.full((4, 2), 0.5), labels, 1, 1.0)
    assert looks.seen[0]["accuracy"] == 0.25
    assert looks.seen[0]["log_loss"] == pytest.approx((2 * np.log(2) + 2 * np.log(1e12)) / 4)


def test_looks_survive_a_checkpoint():
    looks = looked(0.8, 0.9, 0.85)
    again = Looks.from_json(json.loads(json.dumps(looks.to_json())), 400)
    assert (again.seen, again.kept, again.bad) == (looks.seen, looks.kept, looks.bad)
    assert (again.metric, again.best_score) == (looks.metric, looks.best_score)
    np.testing.assert_array_equal(again.best, looks.best)


@pytest.mark.parametrize(
    "wrong", [{"epochs": 0}, {"learning_rate": -1.0}, {"method": "half"}, {"batch": 0}, {"label_smoothing": 1.0}]
)
def test_settings_that_make_no_sense_are_named(wrong):
    with pytest.raises(BadOption, match=next(iter(wrong))):
        Recipe.of(wrong)


def test_unknown_settings_are_named():
    with pytest.raises(BadOption, match=r"no settings \['C'\]"):
        Recipe.of({"C": 1.0})


def test_settings_are_json():
    recipe = Recipe(max_length=64)
    assert Recipe.of(json.loads(json.dumps(recipe.as_json()))) == recipe
