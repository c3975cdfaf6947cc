# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from bigenough.errors import BadOption
from bigenough.rungs.calibration import COLDEST, HOTTEST, fit_temperature, temper
from bigenough.rungs.predictors.softmax import softmax
from bigenough.task.metrics import log_loss

scores = arrays(np.float64, st.tuples(st.integers(1, 30), st.integers(2, 5)), elements=st.floats(-8, 8))


def drawn(probability, seed):
    """Gold labels that truly follow these probabilities."""
    rng = np.random.default_rng(seed)
    return np.array([rng.choice(probability.shape[1], p=row) for row in probability])


@pytest.mark.parametrize("truth", [0.3, 1.0, 4.0])
def test_it_finds_the_temperature_that_was_undone(truth):
    honest = softmax(np.random.default_rng(0).normal(0, 2, (6000, 4)))
    gold = drawn(honest, 1)
    assert fit_temperature(temper(honest, 1 / truth), gold) == pytest.approx(truth, rel=0.08)


@given(scores, st.integers(0, 999))
def test_it_never_makes_the_log_loss_worse(values, seed):
    probability = softmax(values)
    gold = np.random.default_rng(seed).integers(0, values.shape[1], len(values))
    temperature = fit_temperature(probability, gold)
    assert COLDEST <= temperature <= HOTTEST
    assert log_loss(gold, temper(probability, temperature)) <= log_loss(gold, probability) + 1e-9


@given(scores, st.integers(0, 999))
def test_no_other_temperature_is_better(values, seed):
    probability = softmax(values)
    gold = np.random.default_rng(seed).integers(0, values.shape[1], len(values))
    best = log_loss(gold, temper(probability, fit_temperature(probability, gold)))
    for temperature in np.geomspace(COLDEST, HOTTEST, 25):
        assert best <= log_loss(gold, temper(probability, temperature)) + 1e-4


@given(scores, st.floats(0.05, 20))
def test_tempering_keeps_the_order_of_classes(values, temperature):
    probability = softmax(values)
    tempered = temper(probability, temperature)
    np.testing.assert_allclose(tempered.sum(axis=1), 1)
    for before, after in zip(probability, tempered, strict=True):
        order = np.argsort(before)
        assert (np.diff(after[order]) >= -1e-12).all()


def test_all_right_turns_cold_and_all_wrong_hot():
    sure = np.array([[0.9, 0.1]] * 20)
    assert COLDEST <= fit_temperature(sure, np.zeros(20, np.int64)) < 0.2
    assert fit_temperature(sure, np.ones(20, np.int64)) == pytest.approx(HOTTEST, rel=0.01)


def test_what_says_nothing_stays_as_it_is():
    assert fit_temperature(np.full((9, 3), 1 / 3), np.zeros(9, np.int64)) == 1.0
    assert fit_temperature(np.ones((9, 1)), np.zeros(9, np.int64)) == 1.0
    assert fit_temperature(np.zeros((0, 3)), np.zeros(0, np.int64)) == 1.0


def test_a_class_that_was_never_seen_keeps_its_zero():
    probability = np.array([[0.7, 0.3, 0.0]] * 10)
    assert temper(probability, 20.0)[0, 2] == 0.0
    gold = np.array([0, 0, 0, 0, 0, 0, 0, 1, 1, 2])
    assert np.isfinite(fit_temperature(probability, gold))


def test_rows_and_labels_must_match():
    with pytest.raises(BadOption, match="3 labels"):
        fit_temperature(np.full((2, 2), 0.5), np.zeros(3, np.int64))
