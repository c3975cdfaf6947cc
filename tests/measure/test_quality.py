# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import confusion_matrix, precision_recall_fscore_support

from bigenough.measure.quality import confusion_counts, per_class, top_confusions

pairs = st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=1, max_size=60)
CLASSES = ["a", "b", "c", "d"]


def split(pairs):
    return (np.array(side, dtype=np.int64) for side in zip(*pairs, strict=True))


@given(pairs)
def test_counts_and_ratios_are_those_of_scikit_learn(pairs):
    gold, predicted = split(pairs)
    table = confusion_counts(gold, predicted, 4)
    np.testing.assert_array_equal(table, confusion_matrix(gold, predicted, labels=range(4)))
    precision, recall, f1, support = precision_recall_fscore_support(gold, predicted, labels=range(4), zero_division=0)
    for k, row in enumerate(per_class(gold, predicted, CLASSES)):
        assert (row.label, row.n) == (CLASSES[k], support[k])
        assert (row.precision or 0.0) == pytest.approx(precision[k])
        assert (row.recall or 0.0) == pytest.approx(recall[k])
        assert row.f1 == pytest.approx(f1[k])
        assert (row.precision is None) == (row.claimed == 0)
        assert (row.recall is None) == (row.n == 0)


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


def test_rows_that_do_not_match_are_refused():
    with pytest.raises(ValueError, match="3 rows and predicted 2"):
        confusion_counts(np.zeros(3, dtype=np.int64), np.zeros(2, dtype=np.int64), 1)
