# SPDX-License-Identifier: Apache-2.0
"""What a teacher has read is found again after a kill, and no text is read twice."""

import numpy as np
import pytest
from shrink.test_distil import Knower, examples_of, texts_of

from bigenough.rungs.linear import LinearRung
from bigenough.rungs.parent import Parent
from bigenough.rungs.protocol import Workbench
from bigenough.shrink import teacher as teaching
from bigenough.shrink.answers import Answers
from bigenough.shrink.distil import DistilledRung

SAID = np.array([[0.1, 0.9], [1 / 3, 2 / 3]])


def lesson(tmp_path, seed):
    """One run of a study that begins with an empty memory: how many texts its teacher read, and what was learned."""
    fit, watch, knower = examples_of(60, 0), examples_of(40, 1), Knower()
    parent = Parent("knower", "k", "encoder", 60, lambda: knower, lambda: knower, answers=tmp_path / "answers")
    rung = DistilledRung(LinearRung(), parent)
    bench = Workbench(0, 1, tmp_path, offline=True, unlabelled=texts_of(50, seed))
    seen = rung.fit_watching(fit, 3, {**rung.first_settings(fit, 3), "spare": 0}, bench, watch)
    return knower.asked, seen.predictor.predict_proba(watch.texts)


def test_a_reading_that_took_long_is_found_after_a_kill(tmp_path, monkeypatch):
    monkeypatch.setattr(teaching, "_WORTH_KEEPING", 0.0)
    first, again, other = (lesson(tmp_path, seed) for seed in (3, 3, 4))
    assert [first[0], again[0], other[0]] == [150, 0, 50]
    np.testing.assert_array_equal(first[1], again[1])


def test_a_short_reading_is_not_kept(tmp_path, monkeypatch):
    monkeypatch.setattr(teaching, "_WORTH_KEEPING", 1e9)
    assert [lesson(tmp_path, 3)[0] for _ in range(2)] == [150, 150]
    assert not (tmp_path / "answers").exists()


def test_what_one_model_said_is_not_taken_for_the_others(tmp_path, monkeypatch):
    """The final model saw select too."""
    monkeypatch.setattr(teaching, "_WORTH_KEEPING", 0.0)
    fit, more = examples_of(60, 0), examples_of(90, 0)
    on_fit, final = Knower(), Knower(sureness=1.0)
    parent = Parent("knower", "k", "encoder", 60, lambda: on_fit, lambda: final, answers=tmp_path / "answers")
    teacher = teaching.Teacher(parent, 5.0)
    for _ in range(2):
        bench = Workbench(0, 1, tmp_path, offline=True)
        for rows, knower in ((fit, on_fit), (more, final)):
            said = teacher.said(fit.texts, rows, 3, bench)
            np.testing.assert_array_equal(said, knower.predict_proba(fit.texts))
    assert (on_fit.asked, final.asked) == (60 * 3, 60 * 3)  # once for the lesson, twice by this test


def test_answers_are_kept_to_the_last_bit(tmp_path):
    Answers(tmp_path, 2).put(["a", "\ud800"], SAID, keep=True)
    found = Answers(tmp_path, 2)
    assert found.missing(["b", "a", "b"]) == ["b"]
    np.testing.assert_array_equal(found.of(["\ud800", "a"]), SAID[::-1])


@pytest.mark.parametrize("damage", [b"", b"PK\x03\x04 torn"])
def test_what_cannot_be_read_is_asked_again(tmp_path, damage):
    Answers(tmp_path, 2).put(["a", "b"], SAID, keep=True)
    next(tmp_path.glob("*.npz")).write_bytes(damage)
    assert Answers(tmp_path, 2).missing(["a", "b"]) == ["a", "b"]


def test_answers_about_other_classes_are_none(tmp_path):
    Answers(tmp_path, 2).put(["a", "b"], SAID, keep=True)
    assert Answers(tmp_path, 3).missing(["a"]) == ["a"]
