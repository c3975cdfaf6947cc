# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from bigenough.rungs.sample import stratified_order

some_labels = st.lists(st.integers(0, 5), min_size=1, max_size=80).map(lambda found: np.array(found, np.int64))


@given(some_labels, st.integers(0, 99))
def test_every_row_comes_once(labels, seed):
    assert sorted(stratified_order(labels, seed).tolist()) == list(range(len(labels)))


@given(some_labels, st.integers(0, 99), st.floats(0.05, 1.0))
def test_every_beginning_has_each_class_in_its_share(labels, seed, share):
    rows = max(1, round(share * len(labels)))
    found = np.bincount(labels[stratified_order(labels, seed)[:rows]], minlength=6)
    expected = rows / len(labels) * np.bincount(labels, minlength=6)
    assert (np.abs(found - expected) <= len(set(labels.tolist()))).all()
    present = len(set(labels.tolist()))
    assert (found > 0).sum() == min(rows, present) or rows > present == (found > 0).sum()


def test_another_seed_gives_another_order():
    labels = np.zeros(50, np.int64)
    assert stratified_order(labels, 1).tolist() == stratified_order(labels, 1).tolist()
    assert stratified_order(labels, 1).tolist() != stratified_order(labels, 2).tolist()
