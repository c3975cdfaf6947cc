# SPDX-License-Identifier: Apache-2.0
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bigenough.task.audit.duplicates import contradiction_ceiling, text_key


def test_a_copy_in_certify_is_a_leak_whatever_its_case_and_full_stop(desk):
    original = desk.rows("fit")[5]
    text, label = desk.texts[original - 1], desk.classes[desk.labels[original - 1]]
    planted = [desk.plant(copy, label, "certify") for copy in (text.upper(), f"  {text.rstrip('.')}!! ", text)]
    found = desk.find_one("leak_exact")
    assert found.severity == "problem"
    assert set(found.rows) == set(planted)
    assert {example.row for example in found.examples} == {*planted, original}


def test_a_copy_of_select_in_certify_is_a_leak_too(desk):
    original = desk.rows("select")[3]
    planted = desk.plant(desk.texts[original - 1], desk.classes[desk.labels[original - 1]], "certify")
    assert desk.find_one("leak_exact").rows == (planted,)


def test_a_copy_of_fit_in_select_is_good_to_know(desk):
    original = desk.rows("fit")[3]
    planted = desk.plant(desk.texts[original - 1], desk.classes[desk.labels[original - 1]], "select")
    found = desk.find_one("leak_select")
    assert (found.severity, found.rows) == ("info", (planted,))
    assert not desk.find("leak_exact")


def test_repeats_in_certify_weigh_more_than_in_fit(desk):
    in_fit = desk.rows("fit")[8]
    desk.plant(desk.texts[in_fit - 1], desk.classes[desk.labels[in_fit - 1]], "fit")
    assert desk.find_one("duplicates").severity == "info"
    in_certify = desk.rows("certify")[8]
    label = desk.classes[desk.labels[in_certify - 1]]
    planted = [desk.plant(desk.texts[in_certify - 1], label, "certify") for _ in range(4)]
    found = desk.find_one("duplicates")
    assert (found.severity, found.count) == ("warning", 5)
    assert set(found.rows[:4]) == set(planted)


def test_the_same_text_with_two_labels_is_found_with_all_its_rows(desk):
    first = desk.plant("Where has my parcel gone?", "delivery", "fit")
    second = desk.plant("where has my parcel gone", "billing", "fit")
    third = desk.plant("Where has my parcel gone", "delivery", "select")
    found = desk.find_one("contradictions")
    assert set(found.rows) == {first, second, third}
    assert "'billing' and 'delivery'" in found.message


def test_smileys_do_not_contradict(desk):
    desk.plant("What a day with that courier :)", "delivery")
    desk.plant("What a day with that courier :(", "billing")
    assert not desk.find("contradictions")


def test_identical_texts_with_two_labels_bound_the_accuracy(desk):
    desk.texts[:4] = ["Where is it?"] * 4
    ceiling = desk.audit().contradiction_ceiling
    assert ceiling.value == pytest.approx(1 - 3 / 800)
    assert ceiling.provenance == "measured"


@given(st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 2)), min_size=1, max_size=30))
def test_no_answer_by_text_beats_the_contradiction_ceiling(rows):
    texts, labels = [text for text, _ in rows], np.array([label for _, label in rows])
    ceiling = contradiction_ceiling(texts, labels).value
    best = max(
        np.mean([{"a": a, "b": b, "c": c}[text] == label for text, label in rows])
        for a in range(3)
        for b in range(3)
        for c in range(3)
    )
    assert ceiling == pytest.approx(best)


@given(st.text())
def test_a_key_is_stable_under_case_and_spaces(text):
    ascii_text = text.encode("ascii", "ignore").decode()
    assert text_key(ascii_text.upper()) == text_key(f" {ascii_text.lower()}\n")


def test_signs_that_carry_meaning_stay():
    assert text_key("C++") != text_key("C#")
    assert text_key("pay 10") != text_key("pay -10")
    assert text_key("?!") != text_key("...")
