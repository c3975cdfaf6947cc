# SPDX-License-Identifier: Apache-2.0
import numpy as np
import polars as pl
import pytest

from bigenough.errors import BadOption, ColumnNotFound, NotEnoughLabels
from bigenough.task.descriptions import read_descriptions
from bigenough.task.labelled import MAX_CHARS, labelled, texts_of, with_official_test
from bigenough.task.reading import read_table
from bigenough.task.times import read_times


def table_of(texts, labels, **more):
    return read_table({"text": texts, "label": labels, **more})


def texts(n):
    return [f"text number {i}" for i in range(n)]


def test_rows_without_text_or_label_are_left_out_and_named():
    table = table_of(["a", " ", None, "d", "e", "nan"], ["x", "y", "x", None, "y", ""])
    data = labelled(table, text="text", label="label")
    assert data.examples.rows.tolist() == [1, 5]
    assert data.classes == ("x", "y")
    assert {out.reason: out.rows.tolist() for out in data.left_out} == {
        "the text is empty": [2, 3],
        "the label is empty": [4, 6],
    }
    assert any("2 rows left out, the text is empty: rows 2, 3." in said for said in data.decisions)


@pytest.mark.parametrize(
    ("labels", "classes"),
    [
        ([1, 2, 1, 2], ("1", "2")),
        ([1.0, 2.0, None, 2.0], ("1", "2")),
        (["1.0", "2.0", "10.0", "2.0"], ("1", "10", "2")),
        (["01", "1", "01", "1"], ("01", "1")),
        ([0.5, 1.0, 0.5, 1.0], ("0.5", "1.0")),
        ([True, False, True, False], ("false", "true")),
        ([" spam", "ham ", "spam", "ham"], ("ham", "spam")),
        (["None", "NA", "x", "n/a"], ("NA", "None", "n/a", "x")),
        (["É", "a", "Z", "é"], ("Z", "a", "É", "é")),
    ],
)
def test_labels_become_sorted_strings(labels, classes):
    data = labelled(table_of(texts(4), labels), text="text", label="label")
    assert data.classes == classes
    assert list(data.classes) == sorted(data.classes)
    named = [data.classes[code] for code in data.examples.labels]
    assert len(named) == sum(label is not None for label in labels)


def test_a_measure_or_an_id_or_lists_are_no_labels():
    draw = np.random.default_rng(0)
    with pytest.raises(BadOption, match=r"100 different fractional numbers .* a measure, not a class"):
        labelled(table_of(texts(100), draw.random(100).tolist()), text="text", label="label")
    with pytest.raises(NotEnoughLabels, match="100 different values in 100 rows"):
        labelled(table_of(texts(100), list(range(100))), text="text", label="label")
    with pytest.raises(BadOption, match="holds lists"):
        labelled(table_of(texts(4), [["a"], ["b"], ["a"], ["b"]]), text="text", label="label")


def test_one_class_or_none_is_refused():
    with pytest.raises(NotEnoughLabels, match=r"1 class \(only 'x'\) in 4 labelled rows"):
        labelled(table_of(texts(4), ["x"] * 4), text="text", label="label")
    with pytest.raises(NotEnoughLabels, match="0 classes"):
        labelled(table_of(texts(4), [None] * 4), text="text", label="label")


def test_long_texts_are_cut_and_named():
    data = labelled(table_of(["x" * 10_000_000, "short", "b", "c"], ["a", "b", "a", "b"]), text="text", label="label")
    assert [len(text) for text in data.examples.texts] == [MAX_CHARS, 5, 1, 1]
    assert any("1 text longer than 100,000 characters (rows 1): cut there" in said for said in data.decisions)


def test_groups_are_coded_and_a_missing_one_stands_alone():
    data = labelled(
        table_of(texts(5), list("abaab"), who=["z", None, "b", "z", None]), group="who", text="text", label="label"
    )
    assert data.examples.groups.tolist() == [1, 2, 0, 1, 3]
    assert data.group_names == ("b", "z")
    with pytest.raises(ColumnNotFound, match="no column 'whom' for the group"):
        labelled(table_of(texts(4), list("abab"), who=list("abcd")), group="whom", text="text", label="label")


def test_unreadable_rows_count_as_left_out(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("text,label\n" + "one,a\ntwo,b,c\nthree,b\n")
    data = labelled(read_table(path), text="text", label="label")
    assert data.examples.rows.tolist() == [1, 3]
    assert data.n_rows == 3
    assert any("1 row left out, the row has more fields than the header: rows 2." in said for said in data.decisions)


@pytest.mark.parametrize(
    "values",
    [
        ["2024-01-02", "2023-12-31", "2024-02-01"],
        ["2024-01-02T10:00:00Z", "2024-01-02T09:59:59Z", "2024-01-02T10:00:01Z"],
        ["2024-01-02T10:00:00+02:00", "2024-01-02T10:00:00+03:00", "2024-01-02T10:00:00+00:00"],
        ["2024-01-02 10:00", "2024-01-01 23:59", "2024-01-03 00:00"],
        ["31.12.2023", "30.12.2023", "01.02.2024"],
        ["12/30/2023", "12/29/2023", "01/31/2024"],
        ["20240102", "20231231", "20240201"],
        ["9", "8.5", "10"],
        [2, 1, 3],
    ],
)
def test_times_are_ordered(values):
    times, _ = read_times(pl.Series(values), "when", np.arange(1, 4))
    assert times.argsort().tolist() == [1, 0, 2]


def test_times_that_cannot_be_read_are_refused():
    rows = np.array([4, 9])
    with pytest.raises(BadOption, match="day and month cannot be told apart"):
        read_times(pl.Series(["01/02/2023", "03/04/2023"]), "when", rows)
    with pytest.raises(BadOption, match="such as 'yesterday' in row 9"):
        read_times(pl.Series(["2023-01-01", "yesterday"]), "when", rows)
    with pytest.raises(BadOption, match="is empty"):
        read_times(pl.Series(["", None]), "when", rows)
    times, said = read_times(pl.Series(["2023-01-01", None]), "when", rows)
    assert np.isneginf(times[1])
    assert any("rows 9) count as the earliest" in line for line in said)


def test_official_test_rows_follow_with_the_union_of_classes():
    train = labelled(table_of(texts(6), list("ababab")), text="text", label="label")
    test = table_of(["t1", "t2", None, "t4"], ["b", "new", "a", "0"])
    whole, positions = with_official_test(train, test)
    assert positions.tolist() == [6, 7, 8]
    assert whole.classes == ("0", "a", "b", "new")
    assert [whole.classes[code] for code in whole.examples.labels] == [*"ababab", "b", "new", "0"]
    assert whole.examples.rows.tolist() == [1, 2, 3, 4, 5, 6, 7, 8, 10]
    assert whole.left_out[-1].rows.tolist() == [9]
    assert any(
        "2 classes of the test set (0, new) have no training row: 2 rows stay" in said for said in whole.decisions
    )
    with pytest.raises(NotEnoughLabels, match="no row with a text and a label"):
        with_official_test(train, table_of(["x"], [None]))


def test_a_test_set_may_hold_one_row_a_class():
    names = [f"class {i}" for i in range(30)]
    train = labelled(table_of(texts(90), 3 * names), text="text", label="label")
    whole, positions = with_official_test(train, table_of([f"t{i}" for i in range(30)], names))
    assert (len(whole.classes), len(positions)) == (30, 30)
    with pytest.raises(NotEnoughLabels, match="rather than a class"):
        labelled(table_of(texts(30), names), text="text", label="label")


def test_rows_that_cannot_be_read_are_told_of_where_only_texts_are_asked_for(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text('text,id\none,1\ntwo, three,2\nfour,3\n"bad" q,4\n')
    found = texts_of(read_table(path), text="text")
    assert found.rows.tolist() == [1, 3, 4]
    assert any("1 row left out" in said and "rows 2" in said for said in found.decisions)


def test_official_test_shares_group_names():
    train = labelled(
        table_of(texts(4), list("abab"), who=["z", "b", None, "z"]), text="text", label="label", group="who"
    )
    whole, _ = with_official_test(train, table_of(["t1", "t2", "t3"], list("aba"), who=["a", "z", None]))
    assert whole.group_names == ("a", "b", "z")
    assert whole.examples.groups.tolist() == [2, 1, 3, 2, 0, 2, 4]
    bare, _ = with_official_test(train, table_of(["t1", "t2"], list("ab")))
    assert len(set(bare.examples.groups[-2:].tolist()) | set(bare.examples.groups[:4].tolist())) == 5


def test_texts_for_prediction_keep_every_row():
    found = texts_of(read_table({"id": [1, 2, 3], "said": ["one text here", None, "y" * (MAX_CHARS + 1)]}), text="said")
    assert [len(text) for text in found.texts] == [13, 0, MAX_CHARS]
    assert found.rows.tolist() == [1, 2, 3]
    assert any("1 row with no text (rows 2)" in said for said in found.decisions)


def test_no_cell_reaches_the_screen_with_its_escapes():
    table = table_of(["a", "b", "c", "d"], ["\x1b]0;x\x07Spam", "\x1b]0;x\x07spam", "ham", "ham"])
    data = labelled(table, text="text", label="label")
    assert any("Spam" in said for said in data.decisions)
    assert not any("\x1b" in said for said in data.decisions)


def test_descriptions_may_have_no_header(tmp_path):
    path = tmp_path / "meanings.csv"
    path.write_text("refund,wants money back\nlogin,cannot sign in\n")
    meant = {"refund": "wants money back", "login": "cannot sign in"}
    assert read_descriptions(path, ["login", "refund"]) == meant
    path.write_text("label,meaning\nrefund,wants money back\nlogin,cannot sign in\n")
    assert read_descriptions(path, ["login", "refund"]) == meant
