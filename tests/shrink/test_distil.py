# SPDX-License-Identifier: Apache-2.0
"""A student learns from its teacher what the labels alone do not tell."""

import numpy as np
import pytest

from bigenough.errors import BadOption, RungFailed
from bigenough.rungs.calibration import fit_temperature, temper
from bigenough.rungs.linear import LinearRung
from bigenough.rungs.majority import MajorityRung
from bigenough.rungs.parent import Parent
from bigenough.rungs.predictors.softmax import softmax
from bigenough.rungs.protocol import Watched, Workbench
from bigenough.shrink.distil import DistilledRung, matching_temperature
from bigenough.shrink.spare_texts import spare_texts
from bigenough.task import Examples

WORDS = [f"w{i:03}" for i in range(120)]


class Knower:
    """Knows what each word says; sure of itself to a degree."""

    n_classes = 3
    n_parameters = 360

    def __init__(self, sureness=6.0, labels_only=False):
        said = np.random.default_rng(5).standard_normal((len(WORDS), 3))
        self.said = dict(zip(WORDS, said, strict=True))
        self.sureness, self.labels_only, self.asked = sureness, labels_only, 0

    def predict_proba(self, texts):
        self.asked += len(texts)
        scores = np.array([sum((self.said.get(w, np.zeros(3)) for w in t.split()), np.zeros(3)) for t in texts])
        scores = scores.reshape(-1, 3)
        return np.eye(3)[scores.argmax(axis=1)] if self.labels_only else softmax(self.sureness * scores)


def texts_of(n, seed):
    rng = np.random.default_rng(seed)
    return [" ".join(rng.choice(WORDS, 6)) for _ in range(n)]


def examples_of(n, seed):
    texts = texts_of(n, seed)
    return Examples(texts, Knower().predict_proba(texts).argmax(axis=1), np.arange(1, n + 1))


def hits(predictor, examples):
    return np.mean(predictor.predict_proba(examples.texts).argmax(axis=1) == examples.labels)


def taught_by(teacher, fit):
    return DistilledRung(LinearRung(), Parent("knower", "knower-1", "any", len(fit), lambda: teacher, lambda: teacher))


def test_another_recipe_of_the_student_is_another_student():
    class NewerRung(LinearRung):
        version = LinearRung.version + 1
        costly = True

    parent = Parent("knower", "knower-1", "any", 3, Knower, Knower)
    old, new = DistilledRung(LinearRung(), parent), DistilledRung(NewerRung(), parent)
    assert old.version != new.version
    assert (old.costly, new.costly) == (False, True)


def test_the_refit_has_what_the_student_tells(tmp_path):
    class TellingRung(LinearRung):
        def fit_soft_recorded(self, *given):
            return Watched(self.fit_soft(*given), given[3], {"notes": ["told"]})

    fit = examples_of(30, 0)
    rung = DistilledRung(TellingRung(), Parent("knower", "knower-1", "any", 30, Knower, Knower))
    made = rung.fit_recorded(fit, 3, rung.first_settings(fit, 3), Workbench(0, 1, tmp_path, offline=True))
    assert made.record == {"notes": ["told"], "lessons": 30, "labelled_lessons": 30}
    assert made.settings == rung.first_settings(fit, 3)


@pytest.mark.parametrize("labels_only", [False, True])
def test_half_of_the_gap_is_recovered(tmp_path, labels_only):
    """The teacher is always right; 60 labels tell little of 120 words, 1,500 unlabelled texts and a teacher much."""
    fit, watch, unseen = examples_of(60, 0), examples_of(60, 1), examples_of(300, 2)
    bench = Workbench(0, 1, tmp_path, offline=True, unlabelled=texts_of(1500, 3))
    rung = taught_by(Knower(labels_only=labels_only), fit)
    plain = hits(LinearRung().fit(fit, 3, LinearRung().first_settings(fit, 3), bench), unseen)
    seen = rung.fit_watching(fit, 3, rung.first_settings(fit, 3), bench, watch)
    assert plain < 0.7
    assert hits(seen.predictor, unseen) > plain + (1 - plain) / 2
    assert seen.record["lessons"] == 1560
    again = rung.fit(fit, 3, seen.settings, bench)
    np.testing.assert_array_equal(again.predict_proba(unseen.texts), seen.predictor.predict_proba(unseen.texts))


def test_the_teachers_temperatures_are_found_on_select(tmp_path):
    """A teacher that is far too sure is cooled down by what select says, and the student learns from that."""
    fit, watch = examples_of(60, 0), examples_of(60, 1)
    teacher = Knower(sureness=12.0)
    wrong = watch.labels.copy()
    wrong[::5] = (wrong[::5] + 1) % 3
    watch = Examples(watch.texts, wrong, watch.rows)
    rung = taught_by(teacher, fit)
    bench = Workbench(0, 1, tmp_path, offline=True, unlabelled=texts_of(300, 3))
    seen = rung.fit_watching(fit, 3, rung.first_settings(fit, 3), bench, watch)
    others = teacher.predict_proba(watch.texts)
    found = fit_temperature(others, watch.labels)
    assert found > 3
    assert seen.settings["temperature"] == found
    own = matching_temperature(teacher.predict_proba(fit.texts), temper(others, found))
    assert seen.settings["own_temperature"] == own
    sure = rung.fit(fit, 3, {**seen.settings, "temperature": 1.0, "own_temperature": 1.0}, bench)
    said = [each.predict_proba(watch.texts).max(axis=1).mean() for each in (seen.predictor, sure)]
    assert said[0] < said[1] - 0.05


def test_texts_made_of_the_labelled_ones_help_too(tmp_path):
    fit, unseen = examples_of(60, 0), examples_of(300, 2)
    bench = Workbench(0, 1, tmp_path, offline=True)
    rung = taught_by(Knower(sureness=1.0), fit)
    few, many = (
        hits(rung.fit(fit, 3, {**rung.first_settings(fit, 3), "spare": spare}, bench), unseen) for spare in (0, 10)
    )
    assert many > few + 0.05


@pytest.mark.parametrize(
    ("kind", "parameters", "rows", "spare"),
    [
        ("encoder", 22_000_000, 100, 10),
        ("encoder", 22_000_000, 20_000, 5),  # 29 characters each
        ("encoder", 340_000_000, 2_000, 3),
        ("encoder", 340_000_000, 20_000, 0),
        ("static", 8_000_000_000, 20_000, 5),
        ("tuned-mini", 135_000_000, 100, 0),
        ("endpoint", 0, 100, 0),
    ],
)
def test_slow_and_paid_teachers_are_not_asked_about_texts_that_nobody_wrote(kind, parameters, rows, spare):
    teacher = Knower()
    teacher.n_parameters = parameters
    fit = examples_of(rows, 0)
    rung = DistilledRung(LinearRung(), Parent("knower", "k", kind, rows, lambda: teacher, lambda: teacher), 10.0)
    assert rung.first_settings(fit, 3)["spare"] == spare
    assert teacher.asked == 0


@pytest.mark.parametrize(("minutes", "classes", "spare"), [(10, 3, 5), (2, 3, 1), (10, 200, 2), (10, 400, 1)])
def test_fewer_texts_are_made_in_less_time_and_where_the_student_could_not_learn_from_them(minutes, classes, spare):
    """20,000 rows of 29 characters; linear learns from 2.5 million characters of 200 classes."""
    fit, teacher = examples_of(20_000, 0), Knower()
    parent = Parent("knower", "k", "static", 20_000, lambda: teacher, lambda: teacher)
    rung = DistilledRung(LinearRung(), parent, float(minutes))
    assert rung.first_settings(fit, classes)["spare"] == spare


def test_the_more_texts_without_labels_the_fewer_are_made_of_each(tmp_path):
    fit = examples_of(60, 0)
    lessons = []
    for unlabelled in (0, 240):
        bench = Workbench(0, 1, tmp_path, offline=True, unlabelled=texts_of(unlabelled, 3))
        rung = taught_by(Knower(), fit)
        settings = {**rung.first_settings(fit, 3), "spare": 5}
        lessons.append(rung.fit_recorded(fit, 3, settings, bench).record["lessons"])
    assert 280 <= lessons[0] <= 360
    assert 540 <= lessons[1] <= 600


def test_the_teacher_is_asked_once_for_each_text(tmp_path):
    fit = examples_of(40, 0)
    bench = Workbench(0, 1, tmp_path, offline=True, unlabelled=[*texts_of(20, 3), *fit.texts[:5]])
    teacher = Knower()
    rung = taught_by(teacher, fit)
    for gold in (0.0, 0.5):
        rung.fit(fit, 3, {**rung.first_settings(fit, 3), "gold": gold}, bench)
    assert teacher.asked == 60


@pytest.mark.parametrize(
    ("kind", "parameters", "minutes", "read"),
    [
        ("encoder", 22_000_000, 0.1, 1551),  # 45,000 of 87,000 characters
        ("encoder", 92_000_000, 0.1, 387),
        ("static", 8_000_000_000, 0.01, 1551),
        ("linear", 0, 0.1, 3000),
        ("endpoint", 0, 0.1, 3000),
        ("encoder", 22_000_000, 5.0, 3000),
    ],
)
def test_a_teacher_reads_as_many_unlabelled_texts_as_there_is_time_for(tmp_path, kind, parameters, minutes, read):
    fit, watch, teacher = examples_of(60, 0), examples_of(60, 1), Knower()
    teacher.n_parameters = parameters
    pool = texts_of(3000, 3)
    bench = Workbench(0, 1, tmp_path, offline=True, unlabelled=[*pool, *pool])
    rung = DistilledRung(LinearRung(), Parent("knower", "k", kind, 60, lambda: teacher, lambda: teacher), minutes)
    settings = {**rung.first_settings(fit, 3), "spare": 0}
    seen = rung.fit_watching(fit, 3, settings, bench, watch)
    assert seen.record["lessons"] == pytest.approx(60 + read, rel=0.01)
    left = [note for note in seen.record.get("notes", []) if "of 3,000 unlabelled texts, drawn by chance" in note]
    assert len(left) == (read < 3000)
    asked = teacher.asked
    rung.fit(fit, 3, {**seen.settings, "gold": 0.5}, bench)
    assert teacher.asked == asked  # the same sample


@pytest.mark.parametrize(
    ("kind", "seconds", "characters", "read"),
    [
        ("tuned-mini", 0.01, 29.0, 180),  # 1.8 seconds of a lesson of six
        ("tuned-mini", 0.01, 58.0, 180),  # half as long: prompt and labels are read for a short text too
        ("tuned-mini", 0.01, 14.5, 90),
        ("encoder", 0.01, 29.0, 180),
        ("encoder", 0.01, 58.0, 360),
        ("linear", 0.01, 29.0, 180),
        ("encoder", 1e-7, 29.0, 3000),
        ("endpoint", 0.01, 29.0, 3000),
    ],
)
def test_how_fast_a_teacher_was_seen_to_read_says_how_many_there_is_time_for(tmp_path, kind, seconds, characters, read):
    fit, teacher = examples_of(60, 0), Knower()
    bench = Workbench(0, 1, tmp_path, offline=True, unlabelled=texts_of(3000, 3))  # 29 characters each
    parent = Parent(
        "knower", "k", kind, 60, lambda: teacher, lambda: teacher, seconds_a_row=seconds, characters_a_row=characters
    )
    rung = DistilledRung(LinearRung(), parent, 0.1)
    made = rung.fit_recorded(fit, 3, {**rung.first_settings(fit, 3), "spare": 0}, bench)
    assert made.record["lessons"] == pytest.approx(60 + read, abs=1)


@pytest.mark.parametrize("seconds", [None, 1e-9])
def test_a_very_fast_teacher_does_not_keep_its_student_longer(tmp_path, seconds):
    fit, teacher = examples_of(60, 0), Knower()
    bench = Workbench(0, 1, tmp_path, offline=True, unlabelled=texts_of(3000, 3))
    parent = Parent(
        "knower", "k", "static", 60, lambda: teacher, lambda: teacher, seconds_a_row=seconds, characters_a_row=29.0
    )
    rung = DistilledRung(LinearRung(), parent, 0.01)
    made = rung.fit_recorded(fit, 3, {**rung.first_settings(fit, 3), "spare": 0}, bench)
    assert made.record["lessons"] == 60 + 1551  # 45,000 characters


class RememberingRung(LinearRung):
    """Keeps what it was taught with."""

    most = 10**9

    def most_characters(self, n_classes):
        return self.most

    def fit_soft(self, texts, targets, *given):
        self.texts, self.targets = texts, targets
        return super().fit_soft(texts, targets, *given)


def lesson_of(tmp_path, teacher, fit, watch, seconds, *, kind="tuned-mini", student=None):
    """A lesson of six seconds, by a teacher that takes as many for a row."""
    student = student or RememberingRung()
    parent = Parent(
        "knower", "k", kind, len(fit), lambda: teacher, lambda: teacher, seconds_a_row=seconds, characters_a_row=29.0
    )
    rung = DistilledRung(student, parent, 0.1)
    bench = Workbench(0, 1, tmp_path, offline=True)
    return student, rung.fit_watching(fit, 3, {**rung.first_settings(fit, 3), "gold": 0.0, "spare": 0}, bench, watch)


def test_rows_that_a_slow_teacher_has_no_time_for_teach_by_their_labels(tmp_path):
    fit, watch, teacher = examples_of(600, 0), examples_of(150, 1), Knower(sureness=1.0)
    student, seen = lesson_of(tmp_path, teacher, fit, watch, 0.0099)  # 2.4 of six seconds, and 0.6 for select
    counts = {name: seen.record[name] for name in ("lessons", "labelled_lessons", "compared_rows")}
    assert counts == {"lessons": 600, "labelled_lessons": 242, "compared_rows": 60}
    assert teacher.asked == 242 + 60
    told = "242 of 600 labelled rows, drawn by class, are asked about in the time there is; 358 others teach by "
    assert seen.record["notes"] == [told + "their labels alone"]
    label_of = dict(zip(fit.texts, fit.labels, strict=True))
    labels = np.array([label_of[text] for text in student.texts])
    assert set(student.texts) == set(fit.texts)
    np.testing.assert_array_equal(student.targets[242:], np.eye(3)[labels[242:]])
    assert student.targets[:242].max(axis=1).mean() < 0.9
    shares = np.bincount(labels[:242]) / 242
    np.testing.assert_allclose(shares, np.bincount(fit.labels) / 600, atol=0.01)


@pytest.mark.parametrize(("kind", "seconds"), [("tuned-mini", 0.0039), ("encoder", 0.0039), ("endpoint", 10.0)])
def test_all_rows_are_asked_about_where_there_is_time_and_of_an_endpoint(tmp_path, kind, seconds):
    fit, watch, teacher = examples_of(600, 0), examples_of(150, 1), Knower()
    student, seen = lesson_of(tmp_path, teacher, fit, watch, seconds, kind=kind)
    assert teacher.asked == 750
    assert student.texts == fit.texts
    assert (seen.record["labelled_lessons"], seen.record["compared_rows"]) == (600, 150)
    assert "notes" not in seen.record


def test_a_teacher_too_slow_for_anything_is_asked_about_one_row_of_each_class(tmp_path):
    fit, watch, teacher = examples_of(60, 0), examples_of(60, 1), Knower()
    student, _ = lesson_of(tmp_path, teacher, fit, watch, 100.0)
    assert teacher.asked == 6
    assert sorted(Knower().predict_proba(student.texts[:3]).argmax(axis=1)) == [0, 1, 2]


@pytest.mark.parametrize(("most", "asked", "lessons"), [(29 * 400, 242, 400), (29 * 100, 100, 100)])
def test_what_the_student_could_not_learn_from_is_not_read_in_vain(tmp_path, most, asked, lessons):
    fit, watch, teacher = examples_of(600, 0), examples_of(150, 1), Knower()
    student = RememberingRung()
    student.most = most
    _, seen = lesson_of(tmp_path, teacher, fit, watch, 0.0099, student=student)
    assert (seen.record["labelled_lessons"], seen.record["lessons"]) == (asked, lessons)
    assert teacher.asked == asked + 60
    assert f"{600 - lessons:,} labelled rows are left out" in seen.record["notes"][-1]


def test_its_own_rows_are_warmed_to_the_doubt_it_has_of_others():
    rng = np.random.default_rng(0)
    honest = softmax(rng.standard_normal((500, 4)))
    assert matching_temperature(temper(honest, 0.25), honest) == pytest.approx(4.0, rel=1e-3)
    assert matching_temperature(np.eye(3), np.eye(3)) == 1.0


def test_what_cannot_learn_from_probabilities_is_no_student():
    with pytest.raises(BadOption, match="no fit_soft"):
        DistilledRung(MajorityRung(), Parent("knower", "k", "any", 1, Knower, Knower))


def test_a_teacher_of_other_classes_is_noticed(tmp_path):
    fit = examples_of(20, 0)
    rung = taught_by(Knower(), fit)
    with pytest.raises(RungFailed, match="3 classes apart, the task has 4"):
        rung.fit(fit, 4, rung.first_settings(fit, 4), Workbench(0, 1, tmp_path, offline=True))


@pytest.mark.parametrize("change", [{"warmth": 0.0}, {"gold": 1.5}, {"spare": -1}])
def test_settings_that_make_no_sense(tmp_path, change):
    fit = examples_of(10, 0)
    rung = taught_by(Knower(), fit)
    with pytest.raises(BadOption, match="warmth above 0"):
        rung.fit(fit, 3, {**rung.first_settings(fit, 3), **change}, Workbench(0, 1, tmp_path, offline=True))


def test_spare_texts_are_new_and_of_known_words():
    texts = ["one two three", "four five", "six", ""]
    made = spare_texts(texts, 20, seed=0)
    assert not {*made} & {*texts}
    assert len({*made}) == len(made) > 10
    assert {word for text in made for word in text.split()} <= {"one", "two", "three", "four", "five", "six"}


class Uncut(str):
    """A text that must not be taken apart whole."""

    def split(self, *arguments):
        raise AssertionError("taken apart")


def test_where_no_texts_are_made_none_is_taken_apart():
    assert spare_texts([Uncut("one two three")] * 3, 0, seed=0) == []


def test_texts_are_made_of_the_words_that_are_read():
    """Nothing beyond the longest length is taken apart or used, and no half of a word."""
    texts = ["one two three four", Uncut("five six " + "seven " * 1000), Uncut("x" * 1000)]
    made = spare_texts(texts, 50, seed=0, longest=12)
    assert {word for text in made for word in text.split()} == {"one", "two", "five", "six", "x" * 12}
    assert spare_texts(["five six se"], 9, seed=0, longest=11) == spare_texts(["five six se"], 9, seed=0)
    assert "three" in " ".join(spare_texts(["one two three four"], 9, seed=0, longest=13))
