# SPDX-License-Identifier: Apache-2.0
"""Real data that a package ships, cut small, and one study of it that many tests look at."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest
from hypothesis import settings

from bigenough.cli.demo import diagnosis_terms
from bigenough.progress import Silence
from bigenough.study import Study

settings.register_profile("no clock", deadline=None)
settings.load_profile("no clock")

CHAPTERS = ("02", "07", "10", "14")
ROWS_A_CHAPTER = 200


class Told(Silence):
    """Keeps what a user would be told."""

    def __init__(self) -> None:
        self.notes: list[str] = []

    def note(self, sentence: str) -> None:
        self.notes.append(sentence)


@pytest.fixture
def told() -> Told:
    """A progress that remembers its notes."""
    return Told()


@pytest.fixture(scope="session")
def diagnoses() -> pl.DataFrame:
    """800 or so real diagnoses of four chapters, each with its disease family."""
    every = pl.DataFrame(diagnosis_terms()).filter(pl.col("chapter").str.slice(0, 2).is_in(CHAPTERS))
    return every.group_by("chapter", maintain_order=True).head(ROWS_A_CHAPTER)


@pytest.fixture(scope="session")
def diagnoses_csv(diagnoses: pl.DataFrame, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same as a file."""
    path = tmp_path_factory.mktemp("data") / "diagnoses.csv"
    diagnoses.write_csv(path)
    return path


def start_cli(*arguments: str | Path, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    """The command line in a process of its own, as a user would start it."""
    return subprocess.run(
        [sys.executable, "-m", "bigenough", *map(str, arguments)],
        capture_output=True,
        text=True,
        cwd=cwd,
        env={**os.environ, "COLUMNS": "120"},
    )


@pytest.fixture(scope="session")
def run_cli() -> Callable[..., subprocess.CompletedProcess[str]]:
    """The command line, as a function of its arguments."""
    return start_cli


@pytest.fixture(scope="session")
def study_run(diagnoses_csv: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Study, dict]:
    """A finished study of the core rungs, and what the command printed as JSON."""
    out = tmp_path_factory.mktemp("study") / "diagnoses"
    run = start_cli(
        *("fit", diagnoses_csv, "--label", "chapter", "--text", "term", "--trials", "2", "--out", out, "--json"),
        *("--rungs", "majority,linear,static,frozen", "--shrink", "none"),
    )
    assert run.returncode in (0, 3, 4), run.stderr
    return Study(out), json.loads(run.stdout)


@pytest.fixture(scope="session")
def study(study_run: tuple[Study, dict]) -> Study:
    return study_run[0]
