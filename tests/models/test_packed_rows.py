# SPDX-License-Identifier: Apache-2.0
"""Rows in few bits are the rows, within half a step."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from models.tiny_bert import VOCABULARY, tiny_tokenizer

from bigenough.errors import BadOption
from bigenough.models.packed_rows import PackedRows, PackedTable
from bigenough.models.token_table import TokenTable


@given(count=st.integers(1, 40), width=st.integers(1, 70), bits=st.sampled_from([4, 8, 16]), seed=st.integers(0, 99))
@settings(max_examples=80)
def test_no_number_is_off_by_more_than_half_a_step(count, width, bits, seed):
    rng = np.random.default_rng(seed)
    rows = rng.standard_normal((count, width)) * rng.choice([0.0, 0.01, 1.0, 100.0], (count, 1))
    rows = rows.astype(np.float32)
    packed = PackedRows.of(rows, bits)
    found = packed.take(np.arange(len(rows)))
    assert found.dtype == np.float32
    largest = np.abs(rows).max()
    step = largest / (2 ** (bits - 1) - 1) if bits < 16 else largest * 2**-10
    assert np.abs(found - rows).max() <= 0.51 * step + 1e-6 * largest
    again = PackedRows.from_tensors(packed.tensors(), packed.facts())
    np.testing.assert_array_equal(again.take(np.arange(len(rows))), found)


def test_a_group_has_a_scale_of_its_own():
    """A row of small numbers keeps its digits beside a row of large ones, and half a row beside the other half."""
    rows = np.ones((2, 64), np.float32)
    rows[0] *= 1000
    rows[1, :32] *= 0.01
    rows *= np.linspace(0.5, 1, 64)
    found = PackedRows.of(rows, 8).take(np.array([0, 1]))
    np.testing.assert_allclose(found, rows, rtol=0.02)


def test_rows_of_zeros_take_no_room():
    rows = np.zeros((1000, 16), np.float32)
    rows[[3, 500]] = 1.0
    packed = PackedRows.of(rows, 8)
    assert packed.codes.shape == (2, 16)
    np.testing.assert_allclose(packed.take(np.array([500, 4, 3])), rows[[500, 4, 3]], rtol=0.01)
    assert PackedRows.of(np.zeros((5, 2), np.float32), 4).take(np.array([1])).tolist() == [[0.0, 0.0]]


@pytest.mark.parametrize(("bits", "most"), [(16, 2.0), (8, 1.07), (4, 0.57)])
def test_bytes_a_number(bits, most):
    packed = PackedRows.of(np.random.default_rng(0).standard_normal((500, 96)).astype(np.float32), bits)
    assert sum(array.nbytes for array in packed.tensors().values()) <= most * 500 * 96 + 100


def test_other_bits_are_refused():
    with pytest.raises(BadOption, match="4, 8 or 16"):
        PackedRows.of(np.ones((2, 2)), 7)


@pytest.mark.parametrize("change", [{"width": 5}, {"rows": 90}, {"bits": 4}, {"bits": 32}])
def test_arrays_that_do_not_fit_are_noticed(change):
    packed = PackedRows.of(np.ones((9, 4)), 8)
    with pytest.raises(ValueError, match=r"rows|fit"):
        PackedRows.from_tensors(packed.tensors(), {**packed.facts(), **change})


def with_pairs(seed=0, d=6):
    """A random table in which two pairs have rows."""
    rng = np.random.default_rng(seed)
    plain = TokenTable(np.zeros((len(VOCABULARY), d), np.float32), tiny_tokenizer())
    pairs = np.unique(plain.pair_keys(["not good", "lost card"]))
    vectors = rng.standard_normal((len(VOCABULARY) + len(pairs), d)).astype(np.float32)
    return TokenTable(vectors, tiny_tokenizer(), pairs)


@given(
    texts=st.lists(st.lists(st.sampled_from(["not", "good", "lost", "card", "x", "", "é"])).map(" ".join), max_size=6)
)
@settings(max_examples=60)
def test_a_table_with_pairs_adds_up_what_is_known(texts):
    """From the definition: tokens and known neighbours, borders included, over the number of tokens."""
    table = with_pairs()
    known = {int(key): len(VOCABULARY) + place for place, key in enumerate(table.pairs)}
    border = len(VOCABULARY)
    expected = np.zeros((len(texts), 6))
    for row, text in enumerate(texts):
        ids = table.tokenizer.encode(text, add_special_tokens=False).ids
        if ids:
            rows = list(ids)
            marked = [border, *ids, border]
            rows += [
                known[a * (border + 1) + b] for a, b in itertools.pairwise(marked) if a * (border + 1) + b in known
            ]
            expected[row] = table.vectors[rows].astype(float).sum(axis=0) / len(ids)
    np.testing.assert_allclose(table.embed(texts), expected, atol=1e-9)
    np.testing.assert_allclose(table.shares(texts) @ table.vectors.astype(float), expected, atol=1e-9)
    packed = PackedTable(PackedRows.of(table.vectors, 16), table.tokenizer, table.pairs)
    np.testing.assert_allclose(packed.embed(texts), expected, atol=1e-2)


def test_with_pairs_the_order_of_words_counts():
    table = with_pairs()
    assert np.abs(table.embed(["not good"]) - table.embed(["good not"])).max() > 0.1
    plain = TokenTable(table.vectors[: len(VOCABULARY)], tiny_tokenizer())
    np.testing.assert_allclose(plain.embed(["not good"]), plain.embed(["good not"]), atol=1e-12)
