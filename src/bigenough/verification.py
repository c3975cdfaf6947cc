# SPDX-License-Identifier: Apache-2.0
"""Whether a study's figures follow from its rows: every statistic again, by other code, from per-row predictions."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl

from bigenough.errors import InputError, TamperedArtefact
from bigenough.rungs.candidate import Candidate
from bigenough.storage import check_files
from bigenough.study_folder import StudyFolder
from bigenough.verdict.recompute import Arrays, Check, recompute

__all__ = ["verify"]


def verify(study: str | Path) -> list[Check]:
    """Recompute every statistic of a study from its per-row predictions, and check every model file's hash.

    Only the reading of the files is shared with the code that made the study; the statistics are computed by
    ``bigenough.verdict.recompute``, which needs nothing but numpy and the standard library.

    Raises:
        InputError: the folder holds no finished study.
        TamperedArtefact: a study's file is missing or cannot be read.
    """
    folder = StudyFolder(Path(study))
    if not folder.has("verdict.json"):
        raise InputError(f"{folder.path} holds no finished study (no verdict.json). Name a study's folder.")
    facts = folder.read("study.json")
    rows = pl.read_parquet(folder.path / "examples.parquet").filter(pl.col("split") == "certify").sort("row")
    code = {label: place for place, label in enumerate(facts["task"]["classes"])}
    gold = np.array([code[label] for label in rows["label"]], dtype=np.int64)
    groups = rows["group"].to_numpy() if "group" in rows.columns else None
    candidates = [Candidate(each.parent) for each in sorted(folder.candidates.glob("*/certify.npz"))]
    arrays, evidence, checks = {}, {}, []
    for each in candidates:
        judged = each.predictions("certify")
        checks.append(_check(f"{each.name}: gold labels are those of the examples", np.array_equal(judged.gold, gold)))
        checks.append(_check(f"{each.name}: model files have the hashes they were judged with", _unchanged(each)))
        arrays[each.name] = Arrays(judged.predicted, judged.probability)
        evidence[each.name] = folder.read(f"candidates/{each.folder.name}/evidence.json")
    verdict = folder.read("verdict.json")
    checks += recompute(verdict, gold, arrays, groups=groups, evidence=evidence, classes=facts["task"]["classes"])
    return checks


def _check(name: str, agree: bool) -> Check:
    return Check(name, True, bool(agree), bool(agree))


def _unchanged(candidate: Candidate) -> bool:
    try:
        check_files(candidate.model, candidate.record["files"])
    except TamperedArtefact:
        return False
    return True
