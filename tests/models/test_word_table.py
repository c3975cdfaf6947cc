# SPDX-License-Identifier: Apache-2.0
"""Coded rows are near what they code."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from bigenough.models.word_table import BLOCK, WordTable

ROWS = 6


def table_of(seed, size, zeros):
    """Rows of very different lengths, some numbers of them zero."""
    rng = np.random.default_rng(seed)
    words = rng.standard_normal((ROWS, 2 * BLOCK)) * size ** rng.uniform(-1, 1, (ROWS, 1))
    return (words * (rng.random(words.shape) >= zeros)).astype(np.float32)


TABLES = st.builds(table_of, st.integers(0, 2**32), st.floats(1, 30), st.sampled_from([0.0, 0.5, 1.0]))


@given(TABLES, st.integers(1, ROWS - 1))
def test_no_number_is_off_by_more_than_half_a_step(words, fine):
    ids = np.arange(ROWS)
    found = WordTable.of(words, ids[:fine], ids[fine:], ids).decoded()
    off = np.abs(found - words)
    row = np.abs(words[:fine]).max(axis=1, keepdims=True)
    assert (off[:fine] <= row / 254 * 1.001 + 1e-6).all()
    block = np.repeat(np.abs(words[fine:].reshape(-1, 2, BLOCK)).max(axis=2), BLOCK, axis=1)
    assert (off[fine:] <= block / 14 * 1.01 + 1e-6).all()


@given(TABLES)
def test_an_id_without_a_row_has_that_of_another(words):
    instead = np.array([0, 1, 0, 3, 1, 3])
    table = WordTable.of(words, np.array([3, 0]), np.array([1]), instead)
    found = table.decoded()
    np.testing.assert_array_equal(found, found[instead])
    assert table.n_parameters == 3 * 2 * BLOCK
