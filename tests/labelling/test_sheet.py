# SPDX-License-Identifier: Apache-2.0
"""The sheet goes out, comes back from any program, and loses nothing on the way."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from bigenough.errors import BadOption, InputError
from bigenough.labelling.sheet import LEAST_LEFT, Sheet, draw_order, read_sheet

CLASSES = ("refund", "login", "späte Lieferung")
N = 60
ORDER = [int(place) + 1 for place in draw_order(N, seed=3)]
TEXTS = {row: f'text "{row}", with a comma\nand a line' for row in ORDER}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "check.csv"


def drawn(path: Path, n: int = 10) -> Sheet:
    sheet = read_sheet(path, ORDER, CLASSES).drawn(ORDER, TEXTS, n)
    sheet.write()
    return sheet


def filled(path: Path, labels: dict[int, str], *, delimiter: str = ",", encoding: str = "utf-8", **more: str) -> None:
    """What a person's spreadsheet makes of it."""
    with path.open(encoding="utf-8-sig", newline="") as file:
        lines = [
            {**line, "label": labels.get(int(line["row"]), line["label"]), **more} for line in csv.DictReader(file)
        ]
    with path.open("w", encoding=encoding, newline="") as file:
        writer = csv.DictWriter(file, lines[0], delimiter=delimiter, lineterminator="\r\n")
        writer.writeheader()
        writer.writerows(lines)


def test_the_draw_is_random_and_its_own(path: Path) -> None:
    assert draw_order(N, 3).tolist() == draw_order(N, 3).tolist() != draw_order(N, 4).tolist()
    assert drawn(path).rows == ORDER[:10] != sorted(ORDER)[:10]


def test_it_has_three_columns_and_no_suggestion(path: Path) -> None:
    drawn(path)
    with path.open(newline="") as file:
        lines = list(csv.DictReader(file))
    assert list(lines[0]) == ["row", "text", "label"]
    assert [line["text"] for line in lines] == [TEXTS[row] for row in ORDER[:10]]
    assert {line["label"] for line in lines} == {""}


@pytest.mark.parametrize(
    ("delimiter", "encoding"), [(",", "utf-8"), (";", "cp1252"), ("\t", "utf-16"), (",", "utf-8-sig")]
)
def test_it_comes_back_from_other_programs(path: Path, delimiter: str, encoding: str) -> None:
    drawn(path)
    said = {ORDER[0]: "login", ORDER[4]: "späte Lieferung"}
    filled(path, said, delimiter=delimiter, encoding=encoding)
    assert read_sheet(path, ORDER, CLASSES).labels == said


def test_further_rows_are_others_and_what_was_typed_stays(path: Path) -> None:
    drawn(path)
    filled(path, {ORDER[2]: " refund "}, note="mine")
    more = drawn(path, 15)
    assert more.rows == ORDER[:15]
    again = read_sheet(path, ORDER, CLASSES)
    assert again.labels == {ORDER[2]: "refund"}
    assert again.lines[2]["note"] == "mine"
    assert drawn(path, 5).rows == ORDER[:15], "fewer are never fewer"


def test_labels_that_are_numbers_outlive_a_spreadsheet(path: Path) -> None:
    sheet = Sheet(path).drawn(ORDER, TEXTS, 6)
    sheet.write()
    filled(path, {row: "1.0" if row % 2 else "2.0" for row in ORDER[:6]})
    assert set(read_sheet(path, ORDER, ("1", "2")).labels.values()) <= {"1", "2"}


def test_unknown_labels_are_told_by_row_and_nothing_is_lost(path: Path) -> None:
    drawn(path)
    filled(path, {ORDER[0]: "refnd", ORDER[1]: "login", ORDER[3]: "???"})
    before = path.read_bytes()
    with pytest.raises(InputError) as caught:
        read_sheet(path, ORDER, CLASSES)
    assert f"row {ORDER[0]} has 'refnd' (did you mean 'refund'?)" in str(caught.value)
    assert f"row {ORDER[3]} has '???'" in str(caught.value)
    assert f"row {ORDER[1]} " not in str(caught.value)
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("row,text,label\n999,x,login\n3,y,\n", "not drawn from this table: 999"),
        ("row,text,label\nx,x,login\n3,y,\n", "not drawn from this table: x"),
        ("row,text,label\n3,x,login\n3,y,refund\n", "more than once"),
        ("number,text,label\n3,x,login\n4,y,\n", "called 'row'"),
        ("row,text\n3,x\n4,y\n", "called 'label'"),
    ],
)
def test_a_broken_sheet_is_refused(path: Path, text: str, told: str) -> None:
    path.write_text(text)
    with pytest.raises(InputError, match=told):
        read_sheet(path, ORDER, CLASSES)
    assert path.read_text() == text


@pytest.mark.parametrize("n", [0, -1, N - LEAST_LEFT + 1])
def test_numbers_of_rows_that_make_no_sense_are_refused(path: Path, n: int) -> None:
    with pytest.raises(BadOption, match="--check"):
        read_sheet(path, ORDER, CLASSES).drawn(ORDER, TEXTS, n)
    assert not path.exists()


@settings(max_examples=40)
@example(texts=["", "\r", 'a\rb,"c'], data=None)
@given(texts=st.lists(st.text(), min_size=2, max_size=6), data=st.data())
def test_any_text_goes_out_and_its_label_comes_back(
    tmp_path_factory: pytest.TempPathFactory, texts: list[str], data: st.DataObject | None
) -> None:
    path = tmp_path_factory.mktemp("sheet") / "check.csv"
    order = list(range(1, len(texts) + 1 + LEAST_LEFT))
    sheet = Sheet(path).drawn(order, dict(enumerate([*texts, *["x"] * LEAST_LEFT], start=1)), len(texts))
    labels = {row: data.draw(st.sampled_from(["", *CLASSES])) if data else CLASSES[0] for row in sheet.rows}
    for row, label in labels.items():
        sheet = sheet.labelled(row, label)
    sheet.write()
    assert read_sheet(path, order, CLASSES).labels == {row: label for row, label in labels.items() if label}
