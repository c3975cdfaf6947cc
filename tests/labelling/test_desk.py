# SPDX-License-Identifier: Apache-2.0
"""A labelling's folder: each step is found again, and no row certifies twice."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from labelling.stub import LABELS, gold_of, said_of, table

from bigenough.errors import NotEnoughLabels
from bigenough.labelling.answers import NO_ANSWER, Answers
from bigenough.labelling.assignment import Assignment, read_assignment
from bigenough.labelling.desk import Desk
from bigenough.labelling.summary import Summary, to_check, too_few
from bigenough.study_folder import StudyFolder
from bigenough.task.splits import normalised

N = 80


@pytest.fixture
def work() -> Assignment:
    texts = table(N)
    texts[10:14] = [texts[0], texts[0].upper(), f"  {texts[1]}", texts[2]]  # copies
    return read_assignment({"message": texts}, LABELS, text="message")


@pytest.fixture
def answers(work: Assignment) -> Answers:
    codes = np.array([LABELS.index(said_of(text)) for text in work.texts], np.int64)
    codes[7] = NO_ANSWER
    confidence = np.where(codes >= 0, 0.9, np.nan)
    return Answers(codes, confidence, {7: "refusal"})


@pytest.fixture
def desk(work: Assignment, tmp_path: Path) -> Iterator[Desk]:
    folder = StudyFolder(tmp_path / "labels")
    with folder.opened({"work": "labelling"}, {}):
        yield Desk(folder, work, seed=0)


def checked_by_people(desk: Desk, n: int | None = None) -> None:
    """The first n drawn rows get their true label."""
    sheet = desk.sheet
    texts = dict(zip(desk.work.rows.tolist(), desk.work.texts, strict=True))
    for row in sheet.rows[:n]:
        sheet = sheet.labelled(row, gold_of(texts[row].lower()))
    sheet.write()


def finish(desk: Desk) -> None:
    """As a study does once its verdict is spoken."""
    (desk.rounds[-1].study).mkdir()
    (desk.rounds[-1].study / "verdict.json").write_text("{}")


def test_the_order_is_on_disk_before_anything_else_and_stays(desk: Desk) -> None:
    desk.draw(20)
    assert desk.folder.has("order.json")
    assert Desk(desk.folder, desk.work, seed=99).order == desk.order, "another seed, or numpy, changes no draw"
    assert sorted(desk.order) == desk.work.rows.tolist()


def test_certify_is_of_people_and_training_of_the_rest(desk: Desk, answers: Answers) -> None:
    desk.draw(20)
    checked_by_people(desk)
    begun = desk.begin_round(answers, desk.checked)
    train, certify = pl.read_parquet(begun.training_table), pl.read_parquet(begun.certify_table)
    assert set(certify["row"]) == set(desk.order[:20])
    assert certify["label"].to_list() == [gold_of(text.lower()) for text in certify["message"]]
    assert train["label"].to_list() == [said_of(text) for text in train["message"]]
    assert not set(train["row"]) & set(certify["row"])
    assert 8 not in train["row"], "the generalist gave it no label"
    held = {normalised(text) for text in certify["message"]}
    assert not held & {normalised(text) for text in train["message"]}
    assert len(train) == begun.by_generalist
    assert begun.copies == sum(
        normalised(text) in held for row, text in zip(desk.work.rows, desk.work.texts, strict=True)
        if row not in begun.certify and row != 8
    )  # fmt: skip


def test_a_row_certifies_once_and_trains_the_next_round(desk: Desk, answers: Answers) -> None:
    desk.draw(10)
    checked_by_people(desk)
    first = desk.begin_round(answers, desk.checked)
    finish(desk)
    desk.draw(25)
    assert desk.checked.fresh == {}
    checked_by_people(desk)
    second = desk.begin_round(answers, desk.checked)
    assert set(second.certify) == set(desk.order[10:25])
    assert not set(first.certify) & set(second.certify)
    train = pl.read_parquet(second.training_table)
    by_people = train.filter(pl.col("row").is_in(list(first.certify)))
    assert len(by_people) == second.by_people > 0
    assert by_people["label"].to_list() == [gold_of(text.lower()) for text in by_people["message"]]
    assert [each.number for each in desk.rounds] == [1, 2]
    assert desk.rounds[0] == first


def test_a_label_changed_after_it_certified_is_told(desk: Desk, answers: Answers) -> None:
    desk.draw(10)
    checked_by_people(desk)
    desk.begin_round(answers, desk.checked)
    row = desk.order[3]
    there = desk.sheet.labels[row]
    desk.sheet.labelled(row, next(label for label in LABELS if label != there)).write()
    assert desk.checked.changed == (row,)
    assert desk.rounds[0].certify[row] == there


def test_skipped_rows_are_those_before_the_last_labelled_one(desk: Desk) -> None:
    desk.draw(10)
    order = desk.order
    desk.sheet.labelled(order[0], "login").labelled(order[4], "refund").write()
    assert set(desk.checked.skipped) == set(order[1:4])
    assert desk.checked.missing == 8


def test_suggestions_are_shown_on_demand_and_remembered(desk: Desk, answers: Answers) -> None:
    desk.draw(40)
    assert not desk.checked.led
    desk.suggest(answers)
    assert desk.checked.led
    texts = dict(zip(desk.work.rows.tolist(), desk.work.texts, strict=True))
    assert desk.sheet.suggestions == {row: said_of(texts[row]) for row in desk.order[:40] if row != 8}
    checked_by_people(desk, 5)
    summary = Summary(
        desk.folder.path, "to check", desk.work, answers, desk.checked, desk.quality(answers, desk.checked), "next"
    )
    assert any("were led by them" in line for line in summary.lines())
    assert summary.to_json()["check"]["suggestions_shown"] is True


def test_the_terminal_keeps_each_label_at_once(desk: Desk) -> None:
    """What is on disk after every answer is all that was typed."""
    desk.draw(4)
    seen: list[dict[int, str]] = []

    def ask(prompt: str) -> str | None:
        seen.append(desk.sheet.labels)
        return {0: "1", 1: "2", 2: ""}.get(len(seen) - 1)

    assert not desk.check(ask, lambda line: None)
    first, second = desk.order[:2]
    assert seen == [{}, {first: LABELS[0]}, *[{first: LABELS[0], second: LABELS[1]}] * 2]


def test_nothing_to_learn_from_is_an_error(desk: Desk) -> None:
    desk.draw(10)
    checked_by_people(desk)
    with pytest.raises(NotEnoughLabels, match="learn from"):
        desk.begin_round(Answers.none(N), desk.checked)
    assert desk.rounds == []


def test_what_to_do_next_names_numbers_that_work(desk: Desk) -> None:
    desk.draw(10)
    assert "10 rows of c.csv are not checked yet" in to_check(desk.checked, Path("c.csv"))
    checked_by_people(desk)
    said = too_few(desk.checked, N, 0.1, alpha=0.05, bar=None)
    assert "--check 29 draws 19 further ones" in said
    said = too_few(desk.checked, N, 0.05, alpha=0.05, bar=None)
    assert "--check 59 draws 49" in said
    assert "50 can still be drawn" not in said
    assert "50 can still be drawn" in too_few(desk.checked, N, 0.015, alpha=0.05, bar=None)
    assert "--margin" in too_few(desk.checked, N, 0.0, alpha=0.05, bar=None)


def test_what_is_written_into_the_sheet_meanwhile_stays(desk: Desk) -> None:
    """A colleague fills in rows while the terminal waits; one of them is the row that it asks about."""
    desk.draw(4)
    first, second, third, last = desk.order[:4]
    asked, notes = list[str](), list[str]()

    def ask(prompt: str) -> str | None:
        number = len(asked)
        asked.append(prompt)
        if number == 1:
            desk.sheet.labelled(last, LABELS[1]).labelled(second, LABELS[1]).write()
        return ["1", "1", "1"][number] if number < 3 else None

    desk.check(ask, notes.append)
    assert desk.sheet.labels == {first: LABELS[0], second: LABELS[1], third: LABELS[0], last: LABELS[1]}
    assert any(f"Row {second} was given the label {LABELS[1]}" in note for note in notes)
