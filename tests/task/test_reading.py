# SPDX-License-Identifier: Apache-2.0
import csv
import gzip
import io
import json

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bigenough.errors import UnreadableTable
from bigenough.task.reading import read_splits, read_table

RECORDS = [{"text": f"où est la carte n° {i}", "label": "carte" if i % 2 else "virement"} for i in range(12)]
TEXTS = [record["text"] for record in RECORDS]


def written(path, data):
    path.write_bytes(data if isinstance(data, bytes) else data.encode())
    return path


def as_csv(records, delimiter=","):
    out = io.StringIO()
    writer = csv.DictWriter(out, list(records[0]), delimiter=delimiter)
    writer.writeheader()
    writer.writerows(records)
    return out.getvalue()


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "latin-1", "cp1252", "utf-16", "utf-16-le", "utf-16-be"])
@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_encoding_and_delimiter_are_found(tmp_path, encoding, delimiter):
    table = read_table(written(tmp_path / "a.csv", as_csv(RECORDS, delimiter).encode(encoding)))
    assert table.frame.to_dicts() == RECORDS
    assert table.rows.tolist() == list(range(1, 13))
    assert not table.unreadable


@pytest.mark.parametrize(
    ("encoding", "line"),
    [
        ("cp1251", "Где мой заказ и когда его привезут"),
        ("shift_jis", "注文はどこですか。配送状況を教えてください"),
        ("gb18030", "我的订单在哪里？请告诉我配送情况"),
        ("cp949", "배송이 언제 오나요 주문을 확인해 주세요"),
        ("cp1250", "Zażółć gęślą jaźń, proszę"),
    ],
)
def test_other_legacy_encodings(tmp_path, encoding, line):
    records = [{"text": f"{line} {i}", "label": "ab"[i % 2]} for i in range(20)]
    table = read_table(written(tmp_path / "a.csv", as_csv(records).encode(encoding)))
    assert table.frame.to_dicts() == records
    assert any(encoding.replace("shift_jis", "cp932") in said for said in table.decisions)


def test_mixed_encodings_are_read_line_by_line_and_listed(tmp_path):
    lines = [
        b"text,label",
        "déjà vu,a".encode(),
        "déjà vu,b".encode("cp1252"),
        "“naïve”,c".encode("cp1252"),
        b"x,d",
    ]
    table = read_table(written(tmp_path / "a.csv", b"\n".join(lines)))
    assert table.frame["text"].to_list() == ["déjà vu", "déjà vu", "“naïve”", "x"]
    assert any("mixes encodings: 2 lines (in rows 2, 3)" in said for said in table.decisions)


def test_embedded_line_breaks_quotes_and_delimiters(tmp_path):
    records = [
        {"text": 'she said "no",\nthen left', "label": "a"},
        {"text": "one, two\r\n\r\nthree", "label": "b"},
        {"text": '"', "label": "a"},
    ]
    assert read_table(written(tmp_path / "a.csv", as_csv(records))).frame.to_dicts() == records


def test_rows_that_do_not_fit_are_named_and_nothing_else_is_lost(tmp_path):
    data = 'text,label\none,a\ntwo,b,surplus\n"broken" quote,a\nthree\n\nfour,b,\n"f,i,v,e",a\n'
    table = read_table(written(tmp_path / "a.csv", data))
    assert table.frame["text"].to_list() == ["one", "three", "four", "f,i,v,e"]
    assert table.rows.tolist() == [1, 4, 6, 7]
    assert {tuple(out.rows.tolist()) for out in table.unreadable} == {(2,), (3,)}
    said = " ".join(table.decisions)
    assert "1 row (4): fewer fields" in said
    assert "1 row (5): nothing in it" in said
    assert "1 row (6): more fields than the header, all empty" in said


def test_an_unclosed_quote_costs_its_own_line_only(tmp_path):
    start = "text,label\n" + "".join(f"row {i},a\n" for i in range(9))
    data = start + '"quoted, too",b\n"unclosed,b\nlast,b\n'
    table = read_table(written(tmp_path / "a.csv", data))
    assert table.frame["text"].to_list()[-1] == "last"
    assert [out.rows.tolist() for out in table.unreadable] == [[11]]
    without_quotes = read_table(written(tmp_path / "b.csv", start + '"unclosed,b\nlast,b\n'))
    assert without_quotes.frame["text"].to_list()[-2:] == ['"unclosed', "last"]


def test_tab_separated_text_with_stray_quotes(tmp_path):
    data = 'label\ttext\nham\t"Hi there\nspam\tsay "x"\nham\tgood" one"\nham\t"quite"\n'
    table = read_table(written(tmp_path / "a.tsv", data))
    assert table.frame["text"].to_list() == ['"Hi there', 'say "x"', 'good" one"', '"quite"']


def test_quotes_after_blanks(tmp_path):
    table = read_table(written(tmp_path / "a.csv", 'text, label\n"a, b", "x, z"\nc, "y"\n'))
    assert table.frame.rows() == [("a, b", "x, z"), ("c", "y")]


def test_one_broken_quote_does_not_turn_the_other_quotes_into_letters(tmp_path):
    for header in ('"text","label"', "text,label"):
        lines = [header, *(f'"row {i}","a"' for i in range(40)), '"broken" quote,"b"']
        table = read_table(written(tmp_path / "a.csv", "\n".join(lines)))
        assert table.frame.columns == ["text", "label"]
        assert table.frame.row(0) == ("row 0", "a")
        assert [out.rows.tolist() for out in table.unreadable] == [[41]]


def test_quotes_escaped_with_a_backslash(tmp_path):
    table = read_table(written(tmp_path / "a.csv", 'text,label\n"he said \\"hi\\", twice",a\nplain,b\n'))
    assert table.frame["text"].to_list() == ['he said "hi", twice', "plain"]
    assert not table.unreadable


def test_mostly_unreadable_is_an_error(tmp_path):
    path = written(tmp_path / "a.csv", "text,label\n" + "a,b,c,d\n" * 5 + "x,y\n" * 2)
    with pytest.raises(UnreadableTable, match="5 rows of 7 cannot be split into the header's 2 columns"):
        read_table(path)


def test_a_table_without_header_keeps_its_first_row(tmp_path):
    data = "ham,are you there\nspam,win a prize\nham,see you later\nspam,call now\n"
    table = read_table(written(tmp_path / "a.csv", data))
    assert table.frame.columns == ["column_1", "column_2"]
    assert table.frame.row(0) == ("ham", "are you there")
    assert table.rows.tolist() == [1, 2, 3, 4]


def test_a_column_that_the_user_speaks_of_is_in_a_header(tmp_path):
    path = written(tmp_path / "a.csv", "tweet,toxic\nyou are bad,toxic\nnice day,clean\n")
    assert read_table(path).frame.columns == ["column_1", "column_2"]
    assert read_table(path, named=["toxic"]).frame.columns == ["tweet", "toxic"]
    assert read_splits(path, named=["toxic"]).table.rows.tolist() == [1, 2]


def test_a_header_that_comes_again_is_left_out(tmp_path):
    table = read_table(written(tmp_path / "a.csv", "q,kind\nx,a\nq,kind\ny,b\n"))
    assert table.frame["q"].to_list() == ["x", "y"]
    assert table.rows.tolist() == [1, 3]


def test_doubled_names_are_kept_apart_and_said(tmp_path):
    table = read_table(written(tmp_path / "a.csv", "text,label,text\na,x,b\n"))
    assert table.frame.columns == ["text", "label", "text#2"]
    assert table.duplicated == ("text",)


def test_excel_separator_hint_and_plain_lines(tmp_path):
    table = read_table(written(tmp_path / "a.csv", "sep=;\ntext;label\na, b;x\nc, d, e;y\n"))
    assert table.frame.to_dicts() == [{"text": "a, b", "label": "x"}, {"text": "c, d, e", "label": "y"}]
    lines = read_table(written(tmp_path / "a.txt", 'where is my card\nit "broke, again\n\nthanks\n'))
    assert lines.frame["text"].to_list() == ["where is my card", 'it "broke, again', "thanks"]
    assert lines.rows.tolist() == [1, 2, 4]


def test_a_text_of_ten_megabytes_is_read(tmp_path):
    data = "text,label\n" + "x" * 10_000_000 + ",a\nshort,b\n"
    limit = csv.field_size_limit()
    assert len(read_table(written(tmp_path / "a.csv", data)).frame["text"][0]) == 10_000_000
    assert csv.field_size_limit() == limit


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(
        st.tuples(
            *[st.text(st.characters(exclude_categories=["Cs", "Cc"], include_characters="\n\r\t"), min_size=1)] * 3
        ),
        min_size=1,
        max_size=8,
    )
)
def test_whatever_the_csv_module_writes_is_read_back(tmp_path, cells):
    out = io.StringIO()
    csv.writer(out, quoting=csv.QUOTE_ALL).writerows([("text", "label", "note"), *cells])
    table = read_table(written(tmp_path / "a.csv", out.getvalue()))
    expected = [row for row in cells if row != ("text", "label", "note")]
    assert table.frame.rows() == expected


def test_json_lines_name_broken_lines(tmp_path):
    lines = [json.dumps(record) for record in RECORDS]
    lines[3] = lines[3][:-4]
    lines[5] = "[1, 2]"
    table = read_table(written(tmp_path / "a.jsonl", "\n".join(lines)))
    assert table.rows.tolist() == [1, 2, 3, 5, 7, 8, 9, 10, 11, 12]
    assert [out.rows.tolist() for out in table.unreadable] == [[4], [6]]
    assert any("line 4" in said for said in table.decisions)
    with pytest.raises(UnreadableTable, match=r"2 of 3 line values are no JSON object \(line 1"):
        read_table(written(tmp_path / "b.jsonl", '{"a"\n{"b"\n{"text": "c"}\n'))


@pytest.mark.parametrize(
    "value",
    [RECORDS, {"data": RECORDS, "version": 1}, {"text": TEXTS, "label": [record["label"] for record in RECORDS]}],
)
@pytest.mark.parametrize("indent", [1, None])
def test_json_documents(tmp_path, value, indent):
    table = read_table(written(tmp_path / "a.json", json.dumps(value, indent=indent)))
    assert table.frame.to_dicts() == RECORDS


def test_one_line_of_json_with_a_list_in_it_is_a_row(tmp_path):
    for name, tags in (("a.jsonl", ["one", "two"]), ("a.json", ["one", "two"]), ("b.jsonl", [{"one": 1}])):
        row = {"text": "a b", "label": "x", "tags": tags}
        table = read_table(written(tmp_path / name, json.dumps(row)))
        assert table.frame.to_dicts() == [{**row, "tags": json.dumps(tags)}]


@pytest.mark.parametrize("dtype", [pl.UInt64, pl.Decimal(38, 0)])
def test_ids_beyond_64_bits_stay_what_they_are(tmp_path, dtype):
    ids = [1, 2**63 + 5, 2**63 + 6]
    pl.DataFrame({"text": ["a", "b", "c"], "id": pl.Series(ids, dtype=pl.UInt64).cast(dtype)}).write_parquet(
        tmp_path / "a.parquet"
    )
    assert read_table(tmp_path / "a.parquet").frame["id"].to_list() == [str(one) for one in ids]
    assert read_table({"text": ["a", "b", "c"], "id": ids}).frame["id"].to_list() == [str(one) for one in ids]
    small = pl.DataFrame({"id": pl.Series([1, None, 3]).cast(dtype)})
    assert read_table(small).frame["id"].to_list() == [1, None, 3]


def test_half_of_a_surrogate_pair_in_json_costs_no_more_than_its_place(tmp_path):
    path = tmp_path / "rows.jsonl"
    path.write_text('{"text": "a \\ud83d b", "label": "x"}\n{"text": "\\ud83d\\ude00", "label": 1}\n')
    frame = read_table(path).frame
    assert frame["text"].to_list() == ["a \ufffd b", "\U0001f600"]
    path.write_text('{"text": "one", "l\\ud83d": 1}\n')
    assert read_table(path).frame.columns == ["text", "l\ufffd"]
    assert frame["label"].to_list() == ["x", "1"]


def test_missing_keys_mixed_types_and_lists_in_json(tmp_path):
    rows = [{"text": "a", "n": 1}, {"text": "b", "n": "two", "tags": ["x"]}, {"text": None, "n": float("nan")}]
    table = read_table(written(tmp_path / "a.jsonl", "\n".join(map(json.dumps, rows))))
    assert table.frame["n"].to_list() == ["1", "two", None]
    assert table.frame["text"].to_list() == ["a", "b", None]
    assert table.frame["tags"].to_list() == [None, '["x"]', None]
    assert table.nested == ("tags",)


@pytest.mark.parametrize("form", ["parquet", "ipc", "ipc_stream"])
def test_columnar_files(tmp_path, form):
    frame = pl.DataFrame(RECORDS).with_columns(pl.col("label").cast(pl.Categorical), n=pl.lit(1, pl.UInt8))
    path = tmp_path / "a.bin"
    getattr(frame, f"write_{form}")(path)
    table = read_table(path)
    assert table.frame.select("text", "label").to_dicts() == RECORDS
    assert table.frame.schema["n"] == pl.Int64
    with pytest.raises(UnreadableTable, match="damaged or not whole"):
        read_table(written(tmp_path / "half.bin", path.read_bytes()[: path.stat().st_size // 2]))


def test_gzip(tmp_path):
    assert read_table(written(tmp_path / "a.tsv.gz", gzip.compress(as_csv(RECORDS, "\t").encode()))).frame.height == 12
    path = written(tmp_path / "a.jsonl.gz", gzip.compress("\n".join(map(json.dumps, RECORDS)).encode()))
    assert read_table(path).frame.to_dicts() == RECORDS
    with pytest.raises(UnreadableTable, match="not a whole gzip file"):
        read_table(written(tmp_path / "b.csv.gz", path.read_bytes()[:-9]))


def test_objects_in_memory_give_the_same_table():
    sources = [
        RECORDS,
        {"text": TEXTS, "label": [record["label"] for record in RECORDS]},
        pl.DataFrame(RECORDS),
        pl.LazyFrame(RECORDS),
        pd.DataFrame(RECORDS, index=range(100, 112)),
        pa.Table.from_pylist(RECORDS),
    ]
    tables = [read_table(source) for source in sources]
    assert all(table.frame.to_dicts() == RECORDS for table in tables)
    assert len({table.sha256 for table in tables}) == 1
    assert read_table(RECORDS[::-1]).sha256 != tables[0].sha256


def test_pandas_missing_values_categories_and_doubled_columns():
    frame = pd.DataFrame(
        {
            "text": ["a", None, "c"],
            "n": [1.0, np.nan, 3.0],
            "kind": pd.Categorical(["x", None, "y"]),
            "nullable": pd.array([1, None, 3], dtype="Int64"),
            "when": pd.to_datetime(["2024-01-01", None, "2024-01-03"]),
        }
    )
    read = read_table(frame).frame
    assert read["text"].to_list() == ["a", None, "c"]
    assert read["n"].to_list() == [1.0, None, 3.0]
    assert read["kind"].to_list() == ["x", None, "y"]
    assert read["nullable"].to_list() == [1, None, 3]
    assert read["when"].null_count() == 1
    doubled = frame[["text", "n"]].set_axis(["text", "text"], axis=1)
    assert read_table(doubled).duplicated == ("text",)


def saved_like_datasets(folder, records, names=None):
    """The layout that ``datasets.Dataset.save_to_disk`` writes, in two shards."""
    folder.mkdir(parents=True)
    frame = pl.DataFrame(records)
    half = len(records) // 2
    files = []
    for i, part in enumerate([frame[:half], frame[half:]]):
        name = f"data-{i:05d}-of-00002.arrow"
        part.write_ipc_stream(folder / name)
        files.append({"filename": name})
    (folder / "state.json").write_text(json.dumps({"_data_files": files, "_split": folder.name}))
    features = {"text": {"dtype": "string", "_type": "Value"}}
    if names:
        features["label"] = {"names": names, "_type": "ClassLabel"}
    (folder / "dataset_info.json").write_text(json.dumps({"features": features}))


def test_hugging_face_folder_with_class_names(tmp_path):
    coded = [{"text": f"t{i}", "label": [0, 1, -1][i % 3]} for i in range(9)]
    saved_like_datasets(tmp_path / "set", coded, ["ham", "spam"])
    table = read_table(tmp_path / "set")
    assert table.frame["label"].to_list() == ["ham", "spam", None] * 3
    assert table.frame["text"].to_list() == [f"t{i}" for i in range(9)]


def test_hugging_face_splits(tmp_path):
    folder = tmp_path / "dict"
    for split, n in (("train", 8), ("validation", 4), ("test", 6)):
        saved_like_datasets(folder / split, [{"text": f"{split} {i}", "label": i % 2} for i in range(n)], ["a", "b"])
    (folder / "dataset_dict.json").write_text(json.dumps({"splits": ["train", "validation", "test"]}))
    tables = read_splits(folder)
    assert len(tables.table) == 12
    assert tables.table.rows.tolist() == list(range(1, 13))
    assert tables.test is not None
    assert tables.test.frame["text"][0] == "test 0"
    assert any("6 rows of the test split" in said for said in read_table(folder).decisions)
    (folder / "train" / "data-00000-of-00002.arrow").unlink()
    with pytest.raises(UnreadableTable, match="not there"):
        read_table(folder)


def test_folder_of_split_files(tmp_path):
    written(tmp_path / "train.csv", as_csv(RECORDS))
    written(tmp_path / "test.csv", as_csv(RECORDS[:3]))
    written(tmp_path / "notes.csv", "a,b\n1,2\n")
    tables = read_splits(tmp_path)
    assert (len(tables.table), len(tables.test)) == (12, 3)
    assert any("notes" in said for said in tables.table.decisions)
    written(tmp_path / "train.jsonl", "{}")
    with pytest.raises(UnreadableTable, match="not plain which to read"):
        read_table(tmp_path)


def test_class_names_in_parquet_metadata(tmp_path):
    info = {"info": {"features": {"label": {"names": ["no", "yes"], "_type": "ClassLabel"}}}}
    frame = pl.DataFrame({"text": ["a", "b"], "label": [1, 0]})
    frame.write_parquet(tmp_path / "a.parquet", metadata={"huggingface": json.dumps(info)})
    assert read_table(tmp_path / "a.parquet").frame["label"].to_list() == ["yes", "no"]


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        ("a.csv", b"", "is empty"),
        ("a.csv", b"text,label\n", "has a header .* and no rows"),
        ("a.jsonl", b"\n\n", "is empty"),
        ("a.json", b"3", "no JSON object|one JSON int"),
        ("a.csv", bytes(range(256)) * 9, "is a binary file"),
        ("a.csv", "text,label\nä,b\n".encode("utf-16") + b"x", "starts as utf-16 but is damaged"),
        ("a.xlsx", b"PK\x03\x04...", "Excel workbook.* Save it as CSV"),
        ("a.json", b'{"a": {"b": 1},\n "c": 2}', "one JSON object with the keys a, c"),
    ],
)
def test_files_that_are_no_table(tmp_path, name, data, message):
    with pytest.raises(UnreadableTable, match=message):
        read_table(written(tmp_path / name, data))


def test_a_missing_file_suggests_its_neighbour(tmp_path):
    written(tmp_path / "tickets.csv", as_csv(RECORDS))
    with pytest.raises(UnreadableTable, match=r"no file .*ticket\.csv\. Did you mean tickets\.csv"):
        read_table(tmp_path / "ticket.csv")
    with pytest.raises(UnreadableTable, match="no training table"):
        (tmp_path / "empty").mkdir()
        read_table(tmp_path / "empty")
    for odd in (3, [1, 2], {"a": [1], "b": [1, 2]}, pl.DataFrame()):
        with pytest.raises(UnreadableTable):
            read_table(odd)
