# SPDX-License-Identifier: Apache-2.0
"""The tables: every row as its schema promises, every name found as users spell it, contradictions kept."""

import csv
import json
from dataclasses import fields, is_dataclass
from importlib import resources

import jsonschema
import pytest

from bigenough.atlas import facts, records
from bigenough.atlas.records import UNITS, Model
from bigenough.atlas.sourcing import GRADES, Sourcing, cell_sources, grade_of_row
from bigenough.atlas.tables import read_table
from bigenough.errors import BadOption

DATA = resources.files("bigenough.atlas").joinpath("data")
SCHEMA = json.loads(DATA.joinpath("atlas.schema.json").read_text(encoding="utf-8"))
TABLES = sorted(path.name.removesuffix(".csv") for path in DATA.iterdir() if path.name.endswith(".csv"))
OURS = [name for name in TABLES if name in SCHEMA["$defs"]]


def rows_of(table):
    def typed(value, wanted):
        kinds = SCHEMA["$defs"][wanted["$ref"].rsplit("/", 1)[-1]] if "$ref" in wanted else wanted
        kind = kinds.get("type")
        return int(value) if kind == "integer" else float(value) if kind == "number" else value

    wanted = SCHEMA["$defs"][table]["properties"]
    lines = csv.DictReader(DATA.joinpath(f"{table}.csv").read_text(encoding="utf-8").splitlines())
    return [{name: typed(cell, wanted[name]) for name, cell in line.items() if cell} for line in lines]


@pytest.mark.parametrize("table", OURS)
def test_every_row_meets_its_schema(table):
    check = jsonschema.Draft202012Validator({"$ref": f"#/$defs/{table}", "$defs": SCHEMA["$defs"]})
    found = [f"{row}: {error.message}" for row in rows_of(table) for error in check.iter_errors(row)]
    assert not found
    assert rows_of(table)
    assert set(OURS) == set(TABLES)


KINDS = {
    kind.TABLE: kind
    for kind in vars(records).values()
    if isinstance(kind, type) and is_dataclass(kind) and hasattr(kind, "TABLE")
}
ABOUT = {"aliases", "source", "evidence", "note", "notes"}  # columns about a row, not facts of it


def cells():
    """Every fact of the atlas: table, row, column."""
    for table, kind in KINDS.items():
        for row in read_table(table, kind):
            for field in fields(kind):
                if field.name not in ABOUT and field.name != kind.KEY and getattr(row, field.name) not in ("", None):
                    yield table, row, field.name


def test_every_cell_has_a_source_that_names_somebody_and_a_grade():
    check = jsonschema.Draft202012Validator({"$ref": "#/$defs/source", "$defs": SCHEMA["$defs"]})
    found = [(table, row, column, row.source_of(column)) for table, row, column in cells()]
    assert len(found) > 4000
    assert {table for table, *_ in found} == set(TABLES) - {"cell_sources"}
    assert [one for one in found if not check.is_valid(one[-1].source)] == []
    graded = [one for one in found if "evidence" in {field.name for field in fields(one[1])}]
    assert [one for one in graded if one[-1].grade not in GRADES] == []
    assert not any(check.is_valid(source) for source in ("", "papers", "unknown", "to be found"))


def test_a_cell_with_a_source_of_its_own_is_there_and_differs_from_its_row():
    rows = {(table, getattr(row, row.KEY)): row for table, row, _ in cells()}
    full = {(table, getattr(row, row.KEY), column) for table, row, column in cells()}
    seen = set()
    for one in cell_sources():
        for column in one.columns:
            assert (one.table, one.row, column) not in seen, f"{one.row}, {column}: named twice"
            seen.add((one.table, one.row, column))
            if one.row == "*":
                continue
            assert (one.table, one.row, column) in full, f"{one.table}, {one.row}, {column}: no such cell, or empty"
            row = rows[one.table, one.row]
            plain = Sourcing(row.source, grade_of_row(one.table, column, row.evidence))
            assert row.source_of(column) == Sourcing(one.source, one.evidence) != plain, (
                f"{one.row}, {column}: needless"
            )


def test_cells_of_one_row_differ_in_source_and_grade():
    row = facts.model("OPT-175B")
    assert row.source_of("lambada_zero_shot") == ("GLM-130B README (+5.5 for 80.2)", "looked-up")
    assert row.source_of("energy_mwh").source == row.fact("energy_mwh").source == "arXiv:2302.13971 Table 15"
    assert row.source_of("layers") == ("arXiv:2205.01068", "recall")
    assert facts.model("Turing-NLG").source_of("hardware").grade == "Epoch"
    assert facts.accelerator("v100-32gb").source_of("memory_gb").grade == "recall"


def test_the_schema_knows_every_table_and_refuses_a_row_without_a_source():
    assert {"models", "accelerators", "machines", "prices", "grids", "benchmarks", "corrections", "conflicts"} <= set(
        OURS
    )
    row = next(iter(rows_of("models")))
    del row["source"]
    check = jsonschema.Draft202012Validator({"$ref": "#/$defs/models", "$defs": SCHEMA["$defs"]})
    assert not check.is_valid(row)


def test_names_are_unique_and_references_hold():
    for rows in (facts.models(), facts.accelerators(), facts.machines()):
        names = [row.name for row in rows]
        assert len(names) == len(set(names))
    models = {row.name for row in facts.models()}
    assert {one.model for one in (*facts.conflicts(), *facts.benchmarks())} <= models
    assert {one.column for one in facts.conflicts()} <= set(UNITS)
    devices = {row.name for row in facts.accelerators()}
    assert {row.accelerator for row in facts.machines() if row.accelerator} <= devices
    assert {correction.essay for correction in facts.corrections()} <= set(facts.essays())


def test_there_are_140_models_and_active_parameters_never_exceed_all():
    assert len(facts.models()) == 140
    for row in facts.models():
        assert row.active_params is None or row.active_params <= row.total_params, row.name


def test_an_empty_cell_stays_unknown_and_a_full_one_carries_its_source():
    size = facts.model("GPT-4").fact("total_params")
    assert size.value is None
    assert size.provenance == "unknown"
    energy = facts.model("GPT-3").fact("energy_mwh")
    assert (energy.value, energy.unit, energy.provenance) == (1287, "MWh", "published")
    assert "2104.10350" in energy.source


def test_every_figure_of_every_model_is_a_quantity():
    columns = [field.name for field in fields(Model) if field.name in UNITS]
    assert len(columns) == 20
    assert all(row.fact(column).source for row in facts.models() for column in columns)
    with pytest.raises(BadOption, match="no figure of a Model"):
        facts.model("GPT-3").fact("licence")


def test_a_benchmark_cell_of_a_model_is_among_its_scores():
    scores = {(one.model, one.benchmark, one.score) for one in facts.benchmarks()}
    for row in facts.models():
        for column, name in (
            ("lambada_zero_shot", "LAMBADA"),
            ("imagenet_top1", "ImageNet top-1"),
            ("coco_fid_zero_shot", "COCO FID"),
        ):
            if getattr(row, column) is not None:
                assert (row.name, name, getattr(row, column)) in scores


@pytest.mark.parametrize(
    ("model", "column", "other"), [("DALL-E", "coco_fid_zero_shot", 17.89), ("GPT-2 XL", "lambada_zero_shot", 51.21)]
)
def test_contradictions_are_kept_beside_the_row(model, column, other):
    row = facts.model(model)
    assert [one.value for one in row.conflicts if one.column == column] == [other]
    assert getattr(row, column) != other


@pytest.mark.parametrize(
    ("spelled", "name"),
    [
        ("gpt-3", "GPT-3"), ("GPT3", "GPT-3"), ("llama-3.1-70b", "Llama 3.1 70B"),
        ("meta-llama/Llama-3.1-8B", "Llama 3.1 8B"),
        ("bloom", "BLOOM-176B"), ("switch transformer", "Switch Transformer (Switch-C)"),
    ],
)  # fmt: skip
def test_models_are_found_as_users_spell_them(spelled, name):
    assert facts.model(spelled).name == name


@pytest.mark.parametrize(
    ("spelled", "name"),
    [
        ("a100-80gb", "A100 SXM 80GB"), ("NVIDIA A100 40GB", "A100 SXM 40GB"), ("h100", "H100 SXM 80GB"),
        ("rtx 3090", "RTX 3090 24GB"),
        ("A100 PCIe 40GB", "A100 PCIe 40GB"), ("m2 ultra", "Apple M2 Ultra"), ("tpu v3", "TPU v3"),
    ],
)  # fmt: skip
def test_accelerators_are_found_as_users_spell_them(spelled, name):
    assert facts.accelerator(spelled).name == name


def test_an_unknown_or_open_name_is_refused_with_what_was_meant():
    with pytest.raises(BadOption, match=r"no model 'lama 3\.1 8b'.*Llama 3\.1 8B"):
        facts.model("lama 3.1 8b")
    with pytest.raises(BadOption, match="say which of 'a100-40gb', 'a100-80gb'"):
        facts.accelerator("a100")
    with pytest.raises(BadOption, match=r"no electricity grid 'Frnce'.*France"):
        facts.grid("Frnce")
    with pytest.raises(BadOption, match="no machine 'dgx-3'"):
        facts.machine("dgx-3")


@pytest.mark.parametrize(
    ("hardware", "name"),
    [
        ("TPU v2 (4 Cloud TPUs)", "TPU v2"),
        ("V100", "V100 SXM2 16GB"),
        ("TPU v3/v4", None),
        ("V100 + Ascend 910", None),
        ("GPU (ZionEX)", None),
    ],
)
def test_the_hardware_of_a_record_is_read_leniently_but_never_guessed(hardware, name):
    found = facts.find_accelerator(hardware)
    assert (found.name if found else None) == name


def test_a_price_is_the_newest_of_its_day():
    assert facts.price("GPT-3", "api-in", on="2021-01-01").usd == 60
    assert facts.price("gpt-3", "api-in").usd == 20
    with pytest.raises(BadOption, match="on or before 2019-01-01"):
        facts.price("GPT-3", "api-in", on="2019-01-01")


def test_grids_differ_by_country():
    assert facts.grid("france").kg_per_kwh == pytest.approx(0.056, abs=0.001)
    assert facts.grid("us").iso == "USA"
    assert facts.grid("world").kg_per_kwh == pytest.approx(0.481)


def test_a_broken_cell_is_named_by_file_line_and_column(monkeypatch, tmp_path):
    folder = tmp_path / "data"
    folder.mkdir()
    folder.joinpath("essays.csv").write_text("key,about,year\n000,something,long ago\n", encoding="utf-8")
    monkeypatch.setattr("bigenough.atlas.tables.resources.files", lambda _: tmp_path)
    read_table.cache_clear()
    with pytest.raises(ValueError, match=r"essays.csv line 2, column 'year'"):
        facts.essays()
    monkeypatch.undo()
    read_table.cache_clear()
