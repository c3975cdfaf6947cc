# SPDX-License-Identifier: Apache-2.0
"""The command on the page makes the very study again: read by the real command line, it gives the same options."""

from __future__ import annotations

import html
import json
import re
import subprocess
from dataclasses import fields, replace

import pytest
from typer.testing import CliRunner

import bigenough.study
from bigenough.cli.app import app
from bigenough.generalist import Generalist
from bigenough.options import Options
from bigenough.report.again import fit_command, unnamed_inputs
from bigenough.report.page import render
from bigenough.task import Limits

WITHOUT_FLAG = ()
"""Options that no flag sets: a new one needs a flag on the page, or its reason here."""
GENERALIST = Generalist(
    "https://models.example/v1", "a large one", usd=2.5, tokens=90_000, price_in=0.15, price_out=0.6,
    key_variable="THEIR_KEY", reply_tokens=512, stop_early=True,
)  # fmt: skip
UNUSUAL = {
    "text": "what they said", "label": "it's", "group": "customer", "time": "day", "metric": "accuracy",
    "margin": 2.25, "alpha": 0.01, "against": "linear", "limits": Limits(5.5, 300.0, 20.0), "search": "down",
    "order_by": "latency", "rungs": ("majority", "linear", "frozen"), "shrink": "all", "teacher": "frozen",
    "generalist": GENERALIST, "encoder": "/models/my encoder", "llm": "/models/$HOME.gguf", "trials": 3, "minutes": 1.5,
    "budget_minutes": 90.0, "seed": 7, "threads": 1, "offline": True, "country": "DEU",
}  # fmt: skip
ELSEWHERE = {  # what cannot stand beside the others
    "metric": {"metric": "macro_f1"}, "bar": {"bar": 0.9}, "search": {"search": "up", "bar": 0.9},
}  # fmt: skip


def recorded(options: Options, **others):
    """A study.json that a study with these options would write, as it is read."""
    return json.loads(json.dumps({"source": {"path": "my tickets.csv"}, "options": options.to_json(), **others}))


def as_a_shell_reads(command: str) -> list[str]:
    words = subprocess.run(["sh", "-c", f"printf '%s\\0' {command}"], capture_output=True, text=True, check=True).stdout
    return words.split("\0")[:-1]


@pytest.fixture
def read_again(monkeypatch):
    """What the command line makes of a command: the table and the options, no work begun."""

    def understood(command: str):
        caught = []

        def stop(data, test, options, name):
            caught.append((data, options))
            raise KeyboardInterrupt

        monkeypatch.setattr(bigenough.study, "read_job", stop)
        monkeypatch.setattr(bigenough.study, "find_rungs", lambda *args, **kwargs: [])
        monkeypatch.setattr(bigenough.study, "_check_reference", lambda options, rungs: None)
        program, *words = as_a_shell_reads(command)
        done = CliRunner().invoke(app, words)
        assert program == "bigenough"
        assert caught, done.output
        return caught[0]

    return understood


@pytest.mark.parametrize(
    "options",
    [
        Options(),
        Options(**UNUSUAL),
        *(Options(**one) for one in ELSEWHERE.values()),
        Options(shrink="all", budget_minutes=120.0, teacher="frozen", encoder="all-MiniLM-L6-v2"),
        Options(generalist=Generalist("http://127.0.0.1:8080/v1", "local")),
        Options(budget_minutes=0.15),
        Options(budget_minutes=1 / 3),
    ],
)
def test_the_command_gives_the_same_options(options, read_again):
    table, again = read_again(fit_command(recorded(options)))
    assert str(table) == "my tickets.csv"
    assert again == options


def test_every_option_is_printed_or_excused():
    for field in fields(Options):
        chosen = UNUSUAL | ELSEWHERE.get(field.name, {})
        if field.name in ELSEWHERE:
            chosen = {field.name: ELSEWHERE[field.name][field.name]}
            before = Options(**{name: value for name, value in ELSEWHERE[field.name].items() if name != field.name})
            after = Options(**ELSEWHERE[field.name])
        else:
            before = Options(shrink="taught") if field.name == "teacher" else Options()
            after = replace(before, **{field.name: chosen[field.name]})
        assert before != after, field.name
        printed = fit_command(recorded(after)) != fit_command(recorded(before))
        assert printed != (field.name in WITHOUT_FLAG), field.name


@pytest.mark.parametrize("whole", [GENERALIST, Limits(5.5, 300.0, 20.0)])
def test_every_field_of_the_generalist_and_of_the_limits_is_printed(whole):
    name = "generalist" if whole is GENERALIST else "limits"
    study = recorded(Options(**{name: whole}))
    for field in fields(whole):
        without = json.loads(json.dumps(study))
        del without["options"][name][field.name]
        assert fit_command(without) != fit_command(study), field.name


def test_only_what_differs_from_the_default_is_printed():
    assert fit_command(recorded(Options())) == "bigenough fit 'my tickets.csv'"


def test_a_budget_is_written_as_people_write_it():
    assert "--budget 2h" in fit_command(recorded(Options(budget_minutes=120)))
    assert "--budget 20m" in fit_command(recorded(Options(budget_minutes=20)))


def test_inputs_whose_paths_are_not_known_are_named_beside_the_command(study):
    assert unnamed_inputs(recorded(Options())) is None
    assert unnamed_inputs(recorded(Options(), identity={"test": None})) is None
    given = {"test": "7e57" * 16, "unlabelled": "a11" * 5, "descriptions": "de5c" * 4}
    told = unnamed_inputs(recorded(Options(), identity=given))
    for flag in ("--test", "--unlabelled", "--descriptions"):
        assert flag in told
    assert "makes another study" in told
    page = render(replace(study, study={**study.study, "identity": given}))
    shown = html.unescape(page[page.index('id="reproduce"') :])
    assert told in shown
    for content in given.values():
        assert content in shown


def test_a_generalists_key_is_named_by_its_variable_only(study, monkeypatch):
    monkeypatch.setenv("THEIR_KEY", "sk-never-on-a-page")
    options = Options(generalist=GENERALIST).to_json()
    page = html.unescape(render(replace(study, study={**study.study, "options": options})))
    assert re.search(r"--generalist https://models\.example/v1 \\\n", page)
    assert "is read from THEIR_KEY" in page
    assert "sk-never-on-a-page" not in page
