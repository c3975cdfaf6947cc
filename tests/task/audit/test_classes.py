# SPDX-License-Identifier: Apache-2.0
import pytest
from statsmodels.stats.proportion import proportion_confint

from bigenough.task.audit.classes import wilson_half_width


def add_class(desk, name, fit=0, select=0, certify=0):
    desk.classes.append(name)
    places = [("fit", fit), ("select", select), ("certify", certify)]
    return [
        desk.plant(f"{name} row {part} {'abcdefghijklmnopqrstuvwxyz'[i % 26] * 9} {i // 26}", name, part)
        for part, n in places
        for i in range(n)
    ]


@pytest.mark.parametrize(("hits", "n"), [(5, 10), (20, 40), (99, 100), (0, 7)])
def test_wilson_half_width_agrees_with_statsmodels(hits, n):
    low, high = proportion_confint(hits, n, method="wilson")
    assert wilson_half_width(n, hits / n) == pytest.approx((high - low) / 2, abs=1e-6)


def test_no_rows_tell_nothing():
    assert wilson_half_width(0) == 0.5


def test_a_class_that_certify_cannot_judge_says_how_little_it_tells(desk):
    rows = add_class(desk, "complaint", fit=40, select=10, certify=10)
    found = desk.find_one("small_classes")
    assert found.count == 60
    assert found.rows[:10] == tuple(rows[-10:])
    assert "1 class has fewer than 30" in found.message
    assert "'complaint' (10 rows: ±26 points)" in found.message


def test_a_class_with_too_little_to_learn_from_is_found(desk):
    rows = add_class(desk, "complaint", fit=3, certify=40)
    found = desk.find_one("thin_classes")
    assert set(found.rows) == set(rows)
    assert "'complaint' (3)" in found.message


def test_a_class_without_fit_rows_cannot_be_answered(desk):
    rows = add_class(desk, "complaint", certify=40)
    found = desk.find_one("missing_classes")
    assert (found.severity, found.count, set(found.rows)) == ("problem", 40, set(rows))
    assert "loses 40 certify rows" in found.message


def test_a_dominant_class_is_a_warning_and_points_to_the_rarest(desk):
    keep = [i for i, label in enumerate(desk.labels) if label == 0 or i < 160]
    for name in ("texts", "labels", "part"):
        setattr(desk, name, [getattr(desk, name)[i] for i in keep])
    assert not desk.find("imbalance")  # 200 of 320, and 5 to 1
    keep = [i for i, label in enumerate(desk.labels) if label == 0 or i < 16]
    for name in ("texts", "labels", "part"):
        setattr(desk, name, [getattr(desk, name)[i] for i in keep])
    found = desk.find_one("imbalance")
    assert found.severity == "warning"
    assert "'billing'" in found.message
    assert "--metric macro_f1" in found.advice
    assert {desk.labels[row - 1] for row in found.rows} == {1}


@pytest.mark.parametrize("name", ["Billing", "billing ", "billings", "bil-ling", "Bill_ing"])
def test_a_class_spelled_twice_is_found_with_the_rows_of_the_rarer(desk, name):
    rows = add_class(desk, name, fit=30, certify=30)
    found = desk.find_one("similar_class_names")
    assert set(found.rows) <= set(rows)
    assert f"'billing' (200) and {name!r} (60)" in found.message


def test_a_rare_slip_of_the_pen_is_found_but_an_established_neighbour_is_not(desk):
    add_class(desk, "delivrey", fit=6, certify=2)
    assert "'delivery' (200) and 'delivrey' (8)" in desk.find_one("similar_class_names").message
    desk.classes[-1] = "deliverys1"
    assert not desk.find("similar_class_names")


def test_classes_that_differ_by_a_number_are_not_alike(desk):
    desk.classes = ["level 1", "level 2", "chapter_11", "chapter_12"]
    add_class(desk, "level 3", fit=4, certify=2)
    assert not desk.find("similar_class_names")


@pytest.mark.parametrize("names", [("-1", "1"), ("C", "C++"), ("C#", "C"), ("A", "A-"), ("<5", ">5"), ("1.5", "15")])
def test_classes_that_a_sign_sets_apart_are_not_alike(desk, names):
    desk.classes = [*names, "delivery", "refund"]
    assert not desk.find("similar_class_names")
