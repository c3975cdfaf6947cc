# SPDX-License-Identifier: Apache-2.0
"""The command line as a user meets it: exit codes, what is printed, what is written."""

from __future__ import annotations

import json
import re
from pathlib import Path

import polars as pl
import pytest

from bigenough.study import Study


def test_outcome_fits_in_fifteen_lines_and_names_the_report(run_cli, study: Study, diagnoses_csv: Path):
    run = run_cli(
        *("fit", diagnoses_csv, "--label", "chapter", "--text", "term", "--trials", "2", "--out", study.path),
        *("--rungs", "majority,linear,static,frozen", "--shrink", "none"),
    )
    lines = run.stdout.rstrip().splitlines()
    assert run.returncode == study.verdict.exit_code
    assert len(lines) <= 15
    assert str(study.report) in lines[-1]
    assert any(study.verdict.sentence in line for line in lines)
    assert run.stderr == ""


@pytest.mark.parametrize("extra", [[], ["--label", "missing"], ["--bar", "95"], ["--metric", "f1"]])
def test_bad_input_exits_with_2_and_one_message(run_cli, tmp_path: Path, extra: list[str]):
    path = tmp_path / "t.csv"
    path.write_text("text,label\nx,\n" if not extra else "text,label\nhello there,a\n")
    run = run_cli("fit", path, *extra, "--out", tmp_path / "study")
    assert run.returncode == 2
    assert run.stderr.startswith("error: ")
    assert "Traceback" not in run.stderr


def test_missing_file_exits_with_2(run_cli, tmp_path: Path):
    run = run_cli("fit", tmp_path / "nowhere.csv")
    assert run.returncode == 2
    assert "nowhere.csv" in run.stderr


@pytest.mark.parametrize("suffix", ["csv", "tsv", "jsonl", "parquet"])
def test_predict_keeps_the_columns_and_adds_two(
    run_cli, study: Study, diagnoses: pl.DataFrame, tmp_path: Path, suffix: str
):
    given = diagnoses.head(50).with_row_index("number")
    table, out = tmp_path / "new.parquet", tmp_path / f"out.{suffix}"
    given.write_parquet(table)
    run = run_cli("predict", study.path / "specialist", table, "--out", out)
    assert run.returncode == 0, run.stderr
    readers = {
        "csv": pl.read_csv,
        "tsv": lambda path: pl.read_csv(path, separator="\t"),
        "jsonl": pl.read_ndjson,
        "parquet": pl.read_parquet,
    }
    written = readers[suffix](out)
    assert written.columns == [*given.columns, "prediction", "probability"]
    assert written["prediction"].to_list() == study.specialist.predict(given["term"].to_list())
    assert written["probability"].is_between(0, 1).all()


def test_predict_to_standard_output_is_csv_only(run_cli, study: Study, tmp_path: Path):
    table = tmp_path / "new.csv"
    table.write_text("term\nmalignant neoplasm of colon\n\nacute appendicitis\n")
    run = run_cli("predict", study.path / "specialist", table)
    assert run.returncode == 0
    assert run.stdout.splitlines()[0] == "term,prediction,probability"


def test_predict_leaves_no_row_out(run_cli, study: Study, tmp_path: Path):
    table, out = tmp_path / "new.csv", tmp_path / "out.csv"
    table.write_text("term,id\nmalignant neoplasm of colon,1\nasthma, chronic,2\nulcer,3\n")
    run = run_cli("predict", study.path / "specialist", table, "--out", out)
    assert run.returncode == 2
    assert "rows 2" in run.stderr
    assert not out.exists()


def test_what_the_system_refuses_is_one_message(run_cli, study: Study, tmp_path: Path):
    table, taken = tmp_path / "new.csv", tmp_path / "taken"
    table.write_text("term\nulcer\n")
    taken.write_text("a file")
    run = run_cli("predict", study.path / "specialist", table, "--out", taken / "out.csv")
    assert run.returncode == 1
    assert run.stderr.strip().splitlines()[-1].startswith("error: ")
    assert "Traceback" not in run.stderr


def test_predict_refuses_to_overwrite_a_column(run_cli, study: Study, tmp_path: Path):
    table = tmp_path / "new.csv"
    table.write_text("term,prediction\nmalignant neoplasm of colon,mine\n")
    run = run_cli("predict", study.path / "specialist", table)
    assert run.returncode == 2
    assert "prediction" in run.stderr


def test_report_is_written_where_asked(run_cli, study: Study, tmp_path: Path):
    run = run_cli("report", study.path, "--out", tmp_path / "page.html")
    assert run.returncode == 0, run.stderr
    assert (tmp_path / "page.html").read_text().startswith("<!doctype html>")


def test_power_before_any_work(run_cli):
    run = run_cli("power", "--margin", "2", "--discordance", "10", "--rows", "1000", "--json")
    facts = json.loads(run.stdout)
    assert 1400 < facts["certify_rows_needed"] < 1700
    assert 0.5 < facts["chance_of_proof"] < 0.8
    assert facts["smallest_margin_points"] > 2


@pytest.mark.parametrize("wrong", [["--margin", "-1"], ["--discordance", "120"], ["--rows", "0"], ["--power", "1"]])
def test_power_refuses_nonsense(run_cli, wrong: list[str]):
    run = run_cli("power", *wrong)
    assert run.returncode == 2
    assert "Traceback" not in run.stderr


def test_power_says_when_no_number_of_rows_will_do(run_cli):
    run = run_cli("power", "--margin", "2", "--difference", "-2")
    assert run.returncode == 0
    assert "Not even ten million" in run.stdout


def test_power_table_holds_the_figure_of_the_sentence(run_cli):
    run = run_cli("power", "--margin", "2", "--discordance", "10", "--table")
    first, *_, row, _, _ = run.stdout.splitlines()
    assert first.split()[0] in row.split()
    assert row.split()[0] == "2"


def test_version(run_cli):
    assert run_cli("--version").stdout.startswith("bigenough ")


def test_help_shows_what_stands_in_brackets(run_cli):
    """Where a bracket begins with a letter, rich would take it for markup and leave it out."""
    shown = " ".join(re.sub(r"[│─╭╮╰╯]", " ", run_cli("fit", "-h").stdout).split())
    assert "rung's name [generalist if there is one, else best]." in shown
    assert "smaller rungs [the best here]." in shown
