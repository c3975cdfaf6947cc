# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import numpy as np
import pytest

from bigenough.measure.determinism import Determinism, compare, in_process


def steady(texts):
    length = np.array([len(text) for text in texts], dtype=np.float64)
    return np.column_stack([length, length + 1]) / (2 * length + 1)[:, None]


def test_a_steady_model_passes_every_check_bit_for_bit():
    texts = ["x" * i for i in range(150)]
    first, checks = in_process(steady, texts, np.concatenate([steady([text]) for text in texts]))
    np.testing.assert_array_equal(first, steady(texts))
    assert {check.max_probability_difference for check in checks} == {0.0}
    assert Determinism(150, checks).stable(tolerance=0.0)


def test_no_number_counts_as_the_largest_difference():
    broken = compare("repeat", np.array([[0.5, 0.5]]), np.array([[np.nan, 0.5]]))
    assert broken.max_probability_difference == 1.0
    assert not Determinism(1, (broken,)).stable()


def test_answers_of_another_shape_are_refused():
    with pytest.raises(ValueError, match="restart"):
        compare("restart", np.zeros((2, 2)), np.zeros((1, 2)))
