# SPDX-License-Identifier: Apache-2.0
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bigenough.task.audit import near_duplicates
from bigenough.task.audit.near_duplicates import jaccard, near_pairs, shingles


def slip(text: str, at: int) -> str:
    """The text with the first letter from that place on doubled."""
    at += next(i for i, sign in enumerate(text[at:]) if sign.isalpha())
    return text[:at] + text[at] + text[at:]


def test_a_slip_does_not_hide_a_leak(desk):
    originals = desk.rows("fit")[:10]
    planted = [
        desk.plant(slip(desk.texts[row - 1], 20), desk.classes[desk.labels[row - 1]], "certify") for row in originals
    ]
    found = desk.find_one("leak_near")
    assert set(found.rows) == set(planted)
    assert "100 % of them with the same label" in found.message
    pairs = [example.row for example in found.examples]
    assert [originals[planted.index(mine)] for mine in pairs[::2]] == pairs[1::2]


def test_near_duplicates_with_another_label_come_first(desk):
    rows = desk.rows("fit")[:3]
    agreeing = [desk.plant(slip(desk.texts[row - 1], 30), desk.classes[desk.labels[row - 1]]) for row in rows[:2]]
    other = desk.classes[(desk.labels[rows[2] - 1] + 1) % 4]
    clashing = desk.plant(slip(desk.texts[rows[2] - 1], 30), other)
    found = desk.find_one("near_duplicates")
    assert found.rows[0] == clashing
    assert set(found.rows) == {clashing, *agreeing}
    assert "1 of them with another label" in found.message


def test_large_data_still_find_leaks_into_certify_and_say_what_was_left_out(desk, monkeypatch):
    monkeypatch.setattr(near_duplicates, "INDEX_ROWS", 300)
    row = desk.rows("fit")[4]
    planted = desk.plant(slip(desk.texts[row - 1], 20), desk.classes[desk.labels[row - 1]], "certify")
    result = desk.audit()
    (found,) = [each for each in result.findings if each.kind == "leak_near"]
    assert found.rows == (planted,)
    assert any("pairs within fit and select were not looked for" in decision for decision in result.decisions)


def test_a_sampled_certify_is_declared(desk, monkeypatch):
    monkeypatch.setattr(near_duplicates, "INDEX_ROWS", 100)
    assert any("a sample of 100 of certify's 200 texts" in decision for decision in desk.audit().decisions)


def test_pairs_agree_with_comparing_every_pair():
    rng = np.random.default_rng(0)
    base = ["".join(rng.choice(list("abcdefghij "), 60)) for _ in range(60)]
    keys = base + [slip(text, int(rng.integers(5, 50))) for text in base]
    found = near_pairs(keys, np.arange(len(keys)), np.zeros(0, np.int64))
    true = {
        (i, j)
        for i in range(len(keys))
        for j in range(i + 1, len(keys))
        if jaccard(shingles(keys[i]), shingles(keys[j])) >= near_duplicates.SIMILARITY
    }
    assert len(true) == 60
    assert set(zip(found.left.tolist(), found.right.tolist(), strict=True)) == true


def test_rows_that_are_only_queried_are_not_compared_with_each_other():
    keys = ["the parcel came late again today", "the parcel came late again todayy", "quite another story, told by me"]
    none = near_pairs(keys, np.array([2]), np.array([0, 1]))
    assert len(none.left) == 0
    one = near_pairs(keys, np.array([0]), np.array([1, 2]))
    assert (one.left.tolist(), one.right.tolist()) == ([0], [1])
    assert one.similarity[0] == pytest.approx(jaccard(shingles(keys[0]), shingles(keys[1])))


def test_a_thousand_copies_of_a_template_stay_cheap_and_are_found():
    keys = [
        f"your order number {i:04d} has left our warehouse in the north and will be with you soon" for i in range(1000)
    ]
    found = near_pairs(keys, np.arange(1000), np.zeros(0, np.int64))
    assert len(set(found.right.tolist())) == 999
    assert len(found.right) <= 1000 * near_duplicates._CROWDED


@given(st.sets(st.text(max_size=2)), st.sets(st.text(max_size=2)))
def test_jaccard_is_a_symmetric_share(left, right):
    assert 0 <= jaccard(left, right) <= 1
    assert jaccard(left, right) == jaccard(right, left)
    assert jaccard(left, left) == 1


def test_long_texts_that_share_a_head_alone_are_not_alike():
    rng = np.random.default_rng(0)
    head, *tails = (" ".join(rng.choice([f"word{i}" for i in range(500)], 600)) for _ in range(3))
    keys = [f"{head} {tails[0]}", f"{head} {tails[1]}", f"{head} {tails[0]} x"]
    assert len(head) > 2000
    found = near_pairs(keys, np.arange(3), np.zeros(0, np.int64))
    assert list(zip(found.left, found.right, strict=True)) == [(0, 2)]
