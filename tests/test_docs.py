# SPDX-License-Identifier: Apache-2.0
"""What the pages say is what the program does: their code runs, their options exist, their links lead somewhere."""

from __future__ import annotations

import re
from pathlib import Path

import polars as pl
import pytest

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
README = (ROOT / "README.md").read_text()


def test_the_python_of_the_readme_runs(diagnoses: pl.DataFrame, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    tickets = diagnoses.rename({"term": "message", "chapter": "intent"}).select("message", "intent")
    tickets.write_csv(tmp_path / "tickets.csv")
    monkeypatch.chdir(tmp_path)
    (code,) = re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL)
    first, second = code.split("specialist = ", 1)
    exec(first.replace("margin=1.5", 'margin=1.5, rungs=("majority", "linear"), trials=1'), scope := {})
    path = next((tmp_path / "studies").glob("tickets-*/specialist")).relative_to(tmp_path)
    exec("specialist = " + re.sub(r'"studies/[^"]*"', repr(str(path)), second), scope)
    assert scope["specialist"].predict(["malignant neoplasm of the colon"])[0] in scope["study"].specialist.classes


@pytest.fixture(scope="module")
def known(run_cli) -> str:
    names = ("fit", "label", "report", "verify", "predict", "power", "demo", "plan", "atlas")
    commands: list[tuple[str, ...]] = [(name,) for name in names]
    commands += [("atlas", part) for part in ("show", "trends", "bill", "where")]
    return "".join(run_cli(*command, "--help").stdout for command in commands)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_option_on_a_page_exists(known: str, page: Path):
    text = re.sub(r"```sh\npython3 -m venv.*?```|command -v.*?```", "", page.read_text(), flags=re.DOTALL)
    text = re.sub(r'BIGENOUGH_LAUNCH="[^"]*"', "", text)  # another program's
    ours = {option for option in re.findall(r"(?<![\w-])--[a-z][\w-]+", text) if option not in NOT_OURS}
    assert {option for option in ours if option not in known} == set()


NOT_OURS = {"--no-deps", "--nproc_per_node", "--quiet"}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_leads_somewhere(page: Path):
    for target in re.findall(r"\]\((?!https?:)([^)#]+)", page.read_text()):
        assert (page.parent / target).exists(), f"{page.name} links to {target}"


def test_version_is_the_same_everywhere():
    import tomllib
    from importlib.metadata import version

    import bigenough

    declared = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    assert declared == bigenough.__version__ == version("bigenough")
