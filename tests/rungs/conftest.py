# SPDX-License-Identifier: Apache-2.0
"""Real text, cut small: diagnoses of ICD-10-CM, labelled by chapter."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from bigenough.rungs.protocol import Workbench
from bigenough.task import Examples

pytest.register_assert_rewrite("rungs.contract")

CHAPTERS = ("2", "4", "6", "13")
"""Neoplasms, metabolism, nerves, bones."""
ROWS_A_CHAPTER = 100


def as_examples(texts: list[str], labels: list[int]) -> Examples:
    return Examples(texts, np.array(labels, np.int64), np.arange(1, len(texts) + 1))


@pytest.fixture(scope="session")
def diagnoses() -> Examples:
    """400 diagnoses of four chapters, chapter by turns, spread over each chapter's families."""
    import simple_icd_10_cm as icd

    found: dict[str, list[str]] = {}
    for chapter in CHAPTERS:
        codes = [code for code in icd.get_descendants(chapter) if len(code) in (3, 5)]
        every = np.linspace(0, len(codes) - 1, ROWS_A_CHAPTER).astype(int)
        found[chapter] = [icd.get_description(codes[i]) for i in every]
    texts = [found[chapter][row] for row in range(ROWS_A_CHAPTER) for chapter in CHAPTERS]
    labels = [label for _ in range(ROWS_A_CHAPTER) for label in range(len(CHAPTERS))]
    return as_examples(texts, labels)


@pytest.fixture(scope="session")
def fit_split(diagnoses: Examples) -> Examples:
    return diagnoses.take(np.flatnonzero(np.arange(len(diagnoses)) // len(CHAPTERS) % 4 > 0))


@pytest.fixture(scope="session")
def select_split(diagnoses: Examples) -> Examples:
    return diagnoses.take(np.flatnonzero(np.arange(len(diagnoses)) // len(CHAPTERS) % 4 == 0))


@pytest.fixture(scope="session")
def weights_cache() -> Path:
    """The user's own folder of prepared weights: making the token table of the static rung takes half a minute."""
    return Path(os.environ.get("BIGENOUGH_CACHE") or Path.home() / ".cache" / "bigenough")


@pytest.fixture
def bench(weights_cache: Path) -> Workbench:
    return Workbench(seed=7, threads=2, cache=weights_cache, offline=True)
