# SPDX-License-Identifier: Apache-2.0
"""The promise of stopping early, held against worlds whose truth is known."""

import importlib
import sys
from pathlib import Path

import numpy as np
import pytest

from bigenough.verdict.anytime import SequentialWalk, log_e_value

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
ALPHA = 0.05
STUDIES = 2000


def _ceiling(studies):
    return ALPHA + 2 * np.sqrt(ALPHA * (1 - ALPHA) / studies)


@pytest.fixture
def sequential(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    yield importlib.import_module("sequential")
    del sys.modules["sequential"]


@pytest.mark.parametrize(
    ("n", "margin", "discordance", "expected"),
    [
        (3000, 0.02, 0.05, 0.05),
        (3000, 0.02, 0.10, 0.10),
        (3000, 0.02, 0.20, 0.10),
        (1500, 0.05, 0.30, 0.02),
        (2000, 0.015, 0.015, 0.1),  # the candidate is never right alone
        (1500, 0.005, 0.01, 0.005),
    ],
)
def test_neither_finding_is_false_more_often_than_alpha(sequential, n, margin, discordance, expected):
    """The true difference is -margin, the edge of both hypotheses; 5,000 studies, looked at after every row."""
    rng, studies = np.random.default_rng(1), 5000
    good, bad = sequential.crossings(rng, n, -margin, discordance, studies, expected=expected, margin=margin)
    assert np.mean((good <= n) & (good < bad)) <= _ceiling(studies)
    assert np.mean((bad <= n) & (bad < good)) <= _ceiling(studies)


@pytest.mark.parametrize("batch", [40, 240])
@pytest.mark.parametrize("n_worthy", [0, 1])
def test_walk_crowns_no_unworthy_size_more_often_than_alpha(batch, n_worthy):
    """Three nominees that find the same rows hard; the unworthy ones stand at the edge; asking stops when decided."""
    rng, n, margin, hard, skill = np.random.default_rng(2), 960, 0.03, 0.2, 0.6
    skills = [skill + 0.1] * n_worthy + [skill - margin / hard] * (3 - n_worthy)
    crowned = first_worse = some_passed = 0
    for _ in range(STUDIES):
        is_hard, common = rng.random(n) < hard, rng.random(n)

        def right(skill, is_hard=is_hard, common=common):
            luck = np.where(rng.random(n) < 0.7, common, rng.random(n))
            return ~is_hard | (luck < skill)

        reference, candidates = right(skill), np.stack([right(each) for each in skills], axis=1)
        walk = SequentialWalk(margin, ALPHA, ["a", "b", "c"], rows=n)
        for start in range(0, n, batch):
            walk.update(candidates[start : start + batch], reference[start : start + batch])
            if walk.decided:
                break
        crowned += len(walk.passed) > n_worthy
        some_passed += bool(walk.passed)
        first_worse += walk.standings[n_worthy].finding == "worse"
    assert crowned / STUDIES <= _ceiling(STUDIES)
    assert first_worse / STUDIES <= _ceiling(STUDIES)
    if n_worthy:
        assert some_passed / STUDIES > 0.5


def test_walk_over_groups_crowns_no_unworthy_size_more_often_than_alpha():
    """Groups of 2 to 12 rows that a model masters or fails as a whole; as single rows they would be far too sure."""
    rng, margin, base, share = np.random.default_rng(3), 0.04, 0.25, 0.9
    false = naive = 0
    for _ in range(STUDIES):
        groups = np.repeat(np.arange(150), rng.integers(2, 13, 150))
        wrong = []
        for error in (base, base + margin):
            failing = rng.random(150) < error / share
            wrong.append(failing[groups] & (rng.random(len(groups)) < share))
        found = []
        for largest in (12, 1):
            walk = SequentialWalk(margin, ALPHA, ["a"], discordance=0.35, largest_group=largest)
            walk.update(~wrong[1][:, None], ~wrong[0], groups if largest > 1 else None)
            found.append(bool(walk.passed))
        false, naive = false + found[0], naive + found[1]
    assert false / STUDIES <= _ceiling(STUDIES)
    assert naive / STUDIES > 1.5 * ALPHA  # else this world tests nothing


def test_benchmarks_recursion_is_the_stake_of_the_counts(sequential):
    n, studies = 700, 60
    firsts = sequential.crossings(np.random.default_rng(4), n, 0.0, 0.1, studies, expected=0.1)
    rng, going, differences = np.random.default_rng(4), np.arange(studies), np.zeros((n, studies), dtype=int)
    for row in range(n):  # the same draws, for the studies that still ask
        luck = rng.random(len(going))
        differences[row, going] = (luck < 0.05).astype(int) - (luck > 0.95)
        going = going[firsts.min(axis=0)[going] > row + 1]
    b, c = (differences > 0).cumsum(axis=0), (differences < 0).cumsum(axis=0)
    stakes = [
        log_e_value(b, c, np.arange(1, n + 1)[:, None], sequential.MARGIN, worse=worse) for worse in (False, True)
    ]
    reached = np.array([stake >= -np.log(sequential.ALPHA) for stake in stakes]).any(axis=0)
    found = np.where(reached.any(axis=0), reached.argmax(axis=0) + 1, n + 1)
    assert found.tolist() == firsts.min(axis=0).tolist()
    assert np.mean(found <= n) > 0.1


def test_the_tables_of_the_page_are_what_the_benchmark_prints(sequential):
    page = (ROOT / "docs" / "statistics.md").read_text("utf-8")
    assert sequential.table(sequential.run()) in page
    assert sequential.rivals() in page
