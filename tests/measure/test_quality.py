# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from bigenough.measure.quality import top_confusions

pairs = st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=1, max_size=60)
CLASSES = ["a", "b", "c", "d"]


def split(pairs):
    return (np.array(side, dtype=np.int64) for side in zip(*pairs, strict=True))


@given(pairs)
def test_confusions_name_every_wrong_row_once_and_the_frequent_first(pairs):
    gold, predicted = split(pairs)
    rows = np.arange(len(gold)) * 2 + 5
    found = top_confusions(gold, predicted, rows, CLASSES, limit=12, rows_each=60)
    assert sorted(row for confusion in found for row in confusion.rows) == rows[gold != predicted].tolist()
    assert [c.count for c in found] == sorted((c.count for c in found), reverse=True)
    for confusion in found:
        assert confusion.count == len(confusion.rows)
        for row in confusion.rows:
            place = (row - 5) // 2
            assert (confusion.gold, confusion.predicted) == (CLASSES[gold[place]], CLASSES[predicted[place]])


def test_limits_keep_the_first_rows_and_the_count_whole():
    gold, predicted = np.zeros(5, dtype=np.int64), np.ones(5, dtype=np.int64)
    (only,) = top_confusions(gold, predicted, np.arange(5), ["x", "y"], rows_each=2)
    assert only.to_json() == {"gold": "x", "predicted": "y", "count": 5, "rows": [0, 1]}
