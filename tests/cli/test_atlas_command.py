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


def test_each_figure_shown_has_its_source_beside_it(run_cli):
    told = run_cli("atlas", "show", "gpt-3").stdout
    assert "1,287 MWh  (arXiv:2104.10350 Table 4; looked-up)" in told
    assert "96 layers  (arXiv:2005.14165 Tables 2.1, 3.2 and D.1; recall)" in told
    sources = json.loads(run_cli("atlas", "show", "gpt-3", "--json").stdout)["sources"]
    assert sources["co2e_t"] == {"source": "arXiv:2104.10350 Table 4", "grade": "looked-up"}
    assert "imagenet_top1" not in sources


def test_tiers_follow_the_borders_given(run_cli):
    told = run_cli("atlas", "--tier", "mega", "--tier-borders", "500m,5b,300b").stdout
    assert "adjusted: mini from 500M, enterprise from 5B, mega from 300B" in told
    assert "PaLM 540B" in told
    assert "GPT-3" not in told


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


def test_where_reads_the_rows_of_a_study(run_cli, diagnoses_csv, tmp_path):
    study = tmp_path / "study"
    made = run_cli("fit", diagnoses_csv, "--label", "chapter", "--text", "term", "--rungs", "majority", "--out", study)
    assert made.returncode in (0, 3, 4), made.stderr
    splits = json.loads((study / "audit.json").read_text(encoding="utf-8"))["splits"]
    rows = sum(splits[name] for name in ("fit", "select", "certify"))
    run = run_cli("atlas", "where", "--study", study, "--memory-gb", "16")
    assert run.returncode == 0, run.stderr
    assert f"{rows:,} labelled texts" in run.stdout
    assert "bigenough report STUDY" in run.stdout
    assert "bigenough fit TABLE" not in run.stdout
    page = tmp_path / "map.html"
    assert run_cli("atlas", "where", "--study", study, "--html", page).returncode == 0
    assert f"{rows:,} labelled" in page.read_text(encoding="utf-8")


@pytest.mark.parametrize("audit", ["{", "[]", "{}", '{"splits": {"fit": "many"}}', '{"splits": [1]}', '{"splits": {}}'])
def test_where_tells_a_damaged_study(run_cli, tmp_path, audit):
    (tmp_path / "audit.json").write_text(audit, encoding="utf-8")
    run = run_cli("atlas", "where", "--study", tmp_path)
    assert run.returncode == 2
    assert "Traceback" not in run.stderr


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["show", "gpt-7"], "Did you mean"),
        (["--tier", "huge"], "Expected one of"),
        (["--compare", "nonsuch"], "no model 'nonsuch'"),
        (["--tier-borders", "1b"], "expected three sizes"),
        (["--compare", "gpt-3", "--tier", "mega"], "--tier chooses nothing"),
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
