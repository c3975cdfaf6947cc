# SPDX-License-Identifier: Apache-2.0
"""``bigenough atlas`` as a user meets it."""

import json

import pytest


def test_a_list_is_filtered_and_says_where_sources_are(run_cli):
    run = run_cli("atlas", "--tier", "mega", "--year", "2020", "--sort", "tokens")
    assert run.returncode == 0
    assert "GPT-3" in run.stdout
    assert "Gopher" not in run.stdout
    assert "bigenough atlas show NAME" in run.stdout


def test_json_holds_quantities(run_cli):
    rows = json.loads(run_cli("atlas", "--developer", "tii", "--json").stdout)
    assert [row["name"] for row in rows] == ["Falcon-180B"]
    figure = rows[0]["figures"]["total_params"]
    assert figure["provenance"] == "published"
    assert "2311.16867" in figure["source"]


@pytest.mark.parametrize(
    ("name", "said"), [("gpt-3", "mega"), ("a100-80gb", "2,039 GB/s"), ("dgx-2", "V100"), ("france", "kg CO2e/kWh")]
)
def test_show_finds_all_kinds(run_cli, name, said):
    run = run_cli("atlas", "show", name)
    assert said in run.stdout
    assert "source" in run.stdout


def test_side_by_side_bill_trends_and_where(run_cli):
    assert "unknown" in run_cli("atlas", "--compare", "gpt-3", "--compare", "gpt-4").stdout
    assert "10.3 bits/param" in run_cli("atlas", "bill").stdout
    assert json.loads(run_cli("atlas", "trends", "--json").stdout)["published"][1]["doubling_months"] == 6
    advice = json.loads(run_cli("atlas", "where", "--rows", "10000", "--memory-gb", "16", "--json").stdout)
    assert advice["corner"] == "enough labels, small machine"


def test_pages_are_written_where_asked(run_cli, tmp_path):
    for command in (
        ["atlas", "--tier", "mini"],
        ["atlas", "bill"],
        ["atlas", "where", "--rows", "100", "--memory-gb", "8"],
    ):
        page = tmp_path / f"{'-'.join(command[:2])}.html"
        assert run_cli(*command, "--html", page).returncode == 0
        assert page.read_text(encoding="utf-8").startswith("<!doctype html>")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["show", "gpt-7"], "Did you mean"),
        (["--tier", "huge"], "Expected one of"),
        (["--compare", "nonsuch"], "no model 'nonsuch'"),
        (["where"], "either --rows N or --study FOLDER"),
        (["where", "--rows", "5", "--memory-gb", "-1"], "memory_gb=-1"),
    ],
)
def test_bad_input_exits_with_2_and_one_message(run_cli, words, message):
    run = run_cli("atlas", *words)
    assert run.returncode == 2
    assert run.stderr.startswith("error: ")
    assert message in run.stderr
    assert "Traceback" not in run.stderr
