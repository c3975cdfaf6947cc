# SPDX-License-Identifier: Apache-2.0
import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from bigenough.errors import BadOption, NotEnoughLabels
from bigenough.task.splits import Shares, normalised, split_examples
from bigenough.task.task import Examples
from bigenough.task.units import content_keys, find_units


def examples_of(texts, labels, groups=None):
    n = len(texts)
    groups = None if groups is None else np.asarray(groups, np.int64)
    return Examples(list(texts), np.asarray(labels, np.int64), np.arange(1, n + 1), groups)


def texts(n):
    return [f"text number {i}" for i in range(n)]


def parts_of(splits, n):
    part = np.full(n, -1)
    for place, positions in enumerate((splits.fit, splits.select, splits.certify)):
        assert (part[positions] == -1).all()
        part[positions] = place
    assert (part >= 0).all()
    return part


@st.composite
def tables(draw, *, grouped=False, timed=False):
    """Rows with copies, uneven classes, and groups that cut across classes."""
    n = draw(st.integers(60, 160))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    n_texts = draw(st.integers(40, 200))
    written = [f"Text {i}" if rng.random() < 0.8 else f"  tExT   {i} " for i in rng.integers(0, n_texts, n)]
    labels = np.minimum(rng.geometric(0.4, n) - 1, 4)
    groups = rng.integers(0, draw(st.integers(12, 60)), n) if grouped else None
    times = rng.integers(0, draw(st.integers(3, 100)), n).astype(float) if timed else None
    assume(len({normalised(text) for text in written}) >= 20 and len(np.unique(labels)) >= 2)
    return examples_of(written, labels, groups), times


relaxed = settings(max_examples=60, suppress_health_check=[HealthCheck.filter_too_much])


@relaxed
@given(tables(), st.integers(0, 5))
def test_splits_are_a_partition_and_copies_stay_together(table, seed):
    examples, _ = table
    splits = split_examples(examples, seed=seed, n_classes=5)
    part = parts_of(splits, len(examples))
    sides = {}
    for text, side in zip(examples.texts, part, strict=True):
        sides.setdefault(normalised(text), set()).add(int(side))
    assert all(len(side) == 1 for side in sides.values())
    for positions in (splits.fit, splits.select, splits.certify):
        assert positions.dtype == np.int64
        assert (np.diff(positions) > 0).all()


@relaxed
@given(tables(grouped=True), st.integers(0, 5))
def test_groups_never_straddle(table, seed):
    examples, _ = table
    splits = split_examples(examples, seed=seed, n_classes=5)
    part = parts_of(splits, len(examples))
    for group in np.unique(examples.groups):
        assert len(np.unique(part[examples.groups == group])) == 1
    straddling = any(
        len({int(side) for text, side in zip(examples.texts, part, strict=True) if normalised(text) == one}) > 1
        for one in {normalised(text) for text in examples.texts}
    )
    assert straddling <= any("Copies of texts tie most groups together" in said for said in splits.decisions)


@relaxed
@given(tables(grouped=True, timed=True), st.sampled_from(["plain", "grouped", "timed", "official"]), st.randoms())
def test_the_order_of_the_rows_makes_no_difference(table, how, random):
    examples, times = table
    n = len(examples)
    mixed = list(range(n))
    random.shuffle(mixed)
    mixed = np.asarray(mixed)
    if how != "grouped":
        examples = Examples(examples.texts, examples.labels, examples.rows)
    official = np.arange(0, n, 4)
    moved = np.flatnonzero(np.isin(mixed, official))
    options = {
        "timed": ({"times": times}, {"times": times[mixed]}),
        "official": ({"official_test": official}, {"official_test": moved}),
    }
    here, there = options.get(how, ({}, {}))
    part = parts_of(split_examples(examples, seed=3, n_classes=5, **here), n)
    again = parts_of(split_examples(examples.take(mixed), seed=3, n_classes=5, **there), n)
    assert part[mixed].tolist() == again.tolist()


@relaxed
@given(tables(timed=True), st.integers(0, 5))
def test_nothing_outside_certify_is_later(table, seed):
    examples, times = table
    splits = split_examples(examples, seed=seed, n_classes=5, times=times)
    part = parts_of(splits, len(examples))
    assert times[part < 2].max() <= times[part == 2].min()


@relaxed
@given(tables(), st.integers(0, 5))
def test_classes_reach_every_split_they_can(table, seed):
    examples, _ = table
    part = parts_of(split_examples(examples, seed=seed, n_classes=5), len(examples))
    units = np.asarray([normalised(text) for text in examples.texts])
    alone = {text for text in set(units) if len(np.unique(examples.labels[units == text])) == 1}
    for label in np.unique(examples.labels):
        mine = examples.labels == label
        n_free = len(alone & set(units[mine]))
        sides = set(part[mine].tolist())
        if n_free >= 3:
            assert sides == {0, 1, 2}
        elif n_free == 2 == len(set(units[mine])):
            assert sides == {0, 2}
        elif n_free == 1 == len(set(units[mine])):
            assert sides == {0}


def test_shares_are_kept_overall_and_by_class():
    labels = np.repeat([0, 1, 2], [600, 300, 100])
    examples = examples_of(texts(1000), labels)
    splits = split_examples(examples, seed=0, n_classes=3)
    assert [len(splits.fit), len(splits.select), len(splits.certify)] == [550, 150, 300]
    assert np.bincount(labels[splits.certify]).tolist() == [180, 90, 30]
    other = split_examples(examples, seed=0, n_classes=3, shares=Shares(0.6, 0.2, 0.2))
    assert [len(other.fit), len(other.select), len(other.certify)] == [600, 200, 200]


def test_another_seed_gives_another_split():
    examples = examples_of(texts(400), np.arange(400) % 4)
    one, two = (split_examples(examples, seed=seed, n_classes=4) for seed in (0, 1))
    assert one.certify.tolist() != two.certify.tolist()
    shared = np.intersect1d(one.certify, two.certify)
    assert 15 < len(shared) < 60  # 36 expected of two independent draws of 120 from 400


def test_the_keys_are_the_same_everywhere():
    assert (
        content_keys(["Where is my card?"], seed=0).tolist() == content_keys([" where  is MY card?"], seed=0).tolist()
    )
    assert content_keys(["a", "b"], seed=7).tolist() == [15240632870687503519, 13726169642095934260]


def test_groups_of_mixed_labels_are_balanced():
    rng = np.random.default_rng(0)
    n = 3000
    groups = np.sort(rng.integers(0, 200, n))
    labels = rng.integers(0, 5, n)
    splits = split_examples(examples_of(texts(n), labels, groups), seed=0, n_classes=5)
    assert abs(len(splits.certify) / n - 0.30) < 0.02
    assert abs(len(splits.select) / n - 0.15) < 0.02
    whole = np.bincount(labels) / n
    assert np.abs(np.bincount(labels[splits.certify]) / len(splits.certify) - whole).max() < 0.03


def test_certify_gets_a_fair_draw_of_groups_of_like_size():
    n_groups = 300
    groups = np.repeat(np.arange(n_groups), 4)
    labels = np.tile([0, 1, 0, 1], n_groups)
    chosen = np.zeros(n_groups)
    for seed in range(40):
        splits = split_examples(examples_of(texts(len(groups)), labels, groups), seed=seed, n_classes=2)
        chosen[np.unique(groups[splits.certify])] += 1
    assert abs(chosen.mean() - 12) < 0.5
    assert chosen.var() < 2 * 40 * 0.3 * 0.7
    assert chosen.min() > 0


def test_a_greeting_that_everyone_sends_does_not_tie_all_groups_together():
    n = 400
    groups = np.arange(n) // 4
    said = ["Hello" if i % 4 == 0 else f"text {i}" for i in range(n)]
    splits = split_examples(examples_of(said, np.arange(n) % 2, groups), seed=0, n_classes=2)
    part = parts_of(splits, n)
    assert len(set(part.tolist())) == 3
    assert all(len(np.unique(part[groups == group])) == 1 for group in range(100))
    assert any("only groups are kept whole: 100 rows have a copy across" in line for line in splits.decisions)
    assert not find_units(content_keys(said, 0), groups).ties_texts


def test_an_official_test_set_certifies_whole():
    said = [*texts(90), "Text number 3", *(f"new {i}" for i in range(9))]
    official = np.arange(90, 100)
    splits = split_examples(examples_of(said, np.arange(100) % 2), seed=0, n_classes=2, official_test=official)
    assert splits.certify.tolist() == official.tolist()
    assert len(splits.fit) + len(splits.select) == 90
    assert 12 <= len(splits.select) <= 15
    assert any("1 certify row (91) also stands" in line for line in splits.decisions)


def test_groups_in_time_stay_whole_and_the_price_is_said():
    n = 120
    groups = np.arange(n) % 30
    splits = split_examples(
        examples_of(texts(n), np.arange(n) % 2, groups), seed=0, n_classes=2, times=np.arange(n, dtype=float)
    )
    part = parts_of(splits, n)
    assert all(len(np.unique(part[groups == group])) == 1 for group in range(30))
    assert part[n - 1] == 2
    assert any("older than the newest row outside" in line for line in splits.decisions)


def test_small_classes_and_small_tables_are_spoken_of():
    labels = np.r_[np.arange(97) % 2, 2, 3, 3]
    splits = split_examples(examples_of(texts(100), labels), seed=0, n_classes=4)
    part = parts_of(splits, 100)
    assert part[97] == 0
    assert sorted(part[98:]) == [0, 2]
    said = " ".join(splits.decisions)
    assert "certify gets 40 %" in said
    assert "1 class has no row in certify (rows 98)" in said
    assert "2 classes have no row in select (rows 98, 99, 100)" in said


def test_too_little_is_refused():
    with pytest.raises(NotEnoughLabels, match="There are 19 labelled rows with 19 different texts"):
        split_examples(examples_of(texts(19), np.arange(19) % 2), seed=0, n_classes=2)
    with pytest.raises(NotEnoughLabels, match="50 labelled rows with 1 different text"):
        split_examples(examples_of(["same", "Same"] * 25, np.arange(50) % 2), seed=0, n_classes=2)
    with pytest.raises(NotEnoughLabels, match="There are 2 groups"):
        split_examples(examples_of(texts(50), np.arange(50) % 2, np.arange(50) // 25), seed=0, n_classes=2)
    with pytest.raises(NotEnoughLabels, match="Certify has 4 rows"):
        split_examples(examples_of(texts(50), np.arange(50) % 2), seed=0, n_classes=2, official_test=np.arange(4))
    with pytest.raises(NotEnoughLabels, match="Outside certify there are 70 rows of 1 class"):
        split_examples(examples_of(texts(100), np.arange(100) >= 70), seed=0, n_classes=2, times=np.arange(100.0))
    with pytest.raises(BadOption, match="Give one of them"):
        split_examples(
            examples_of(texts(50), np.arange(50) % 2),
            seed=0,
            n_classes=2,
            official_test=np.arange(9),
            times=np.zeros(50),
        )
    with pytest.raises(BadOption, match="above zero"):
        split_examples(examples_of(texts(50), np.arange(50) % 2), seed=0, n_classes=2, shares=Shares(1.0, 0.0, 0.3))


def test_certify_draws_groups_of_every_size_alike():
    """A large group must not be likelier to certify than a small one, or certify is no sample of what will come."""
    sizes = np.concatenate([np.full(160, 2), np.full(40, 30)])
    groups = np.repeat(np.arange(200), sizes)
    labels = groups % 2
    texts = [f"group {group} row {row}" for row, group in enumerate(groups)]
    examples = Examples(texts, labels, np.arange(1, len(texts) + 1), groups)
    large = []
    for seed in range(60):
        certify = split_examples(examples, seed=seed, n_classes=2).certify
        drawn = np.unique(groups[certify])
        large.append(np.mean(sizes[drawn] == 30))
    assert abs(np.mean(large) - 0.2) < 0.03


def test_many_copies_make_certify_a_sample_of_texts():
    texts = [f"text {i}" for i in range(400)] + [f"text {i % 20}" for i in range(300)]
    labels = np.arange(len(texts)) % 2
    splits = split_examples(Examples(texts, labels, np.arange(1, 701)), seed=0, n_classes=2)
    assert splits.units is not None
    assert splits.units[0] == splits.units[400]
    few = Examples(texts[:403], labels[:403], np.arange(1, 404))
    assert split_examples(few, seed=0, n_classes=2).units is None
