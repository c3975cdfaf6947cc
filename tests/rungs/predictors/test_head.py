# SPDX-License-Identifier: Apache-2.0
"""The dense head."""

import numpy as np
import pytest

from bigenough.errors import BadOption
from bigenough.rungs.predictors.head import DenseHead


def head(k=4, d=6):
    rng = np.random.default_rng(0)
    return DenseHead(rng.standard_normal((d, k)).astype(np.float32), rng.standard_normal(k))


def test_a_row_is_the_softmax_of_its_scores_in_any_batch():
    features = np.random.default_rng(1).standard_normal((70, 6)).astype(np.float32)
    found = head().probabilities(features)
    expected = np.exp(features.astype(float) @ head().weight.astype(float) + head().bias)
    np.testing.assert_allclose(found, expected / expected.sum(1, keepdims=True), rtol=1e-9)
    np.testing.assert_allclose(np.concatenate([head().probabilities(row[None]) for row in features]), found, atol=1e-13)


def test_temperatures_multiply():
    features = np.ones((1, 6))
    twice = head().with_temperature(2.0).with_temperature(3.0)
    assert twice.temperature == 6.0
    np.testing.assert_allclose(twice.probabilities(features), head().with_temperature(6.0).probabilities(features))
    with pytest.raises(BadOption):
        head().with_temperature(0.0)


def test_a_class_without_rows_has_probability_zero_even_when_hot():
    bias = np.array([0.0, -1e4, 0.0])
    probability = DenseHead(np.zeros((2, 3)), bias).with_temperature(20).probabilities(np.ones((1, 2)))
    np.testing.assert_allclose(probability, [[0.5, 0.0, 0.5]], atol=1e-200)


def test_its_tensors_bring_it_back():
    again = DenseHead.from_tensors(head().tensors(), 1.5)
    np.testing.assert_array_equal(again.weight, head().weight)
    assert again.n_parameters == 4 * 6 + 4
    with pytest.raises(ValueError, match="do not fit"):
        DenseHead.from_tensors({"head.weight": np.ones((3, 2)), "head.bias": np.ones(3)}, 1.0)


def test_no_rows():
    assert head().probabilities(np.zeros((0, 6), np.float32)).shape == (0, 4)
