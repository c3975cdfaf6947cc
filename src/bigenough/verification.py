# SPDX-License-Identifier: Apache-2.0
"""Whether a study's figures follow from its rows: every statistic again, by other code, from per-row predictions."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from bigenough.errors import InputError, TamperedArtefact
from bigenough.rungs.candidate import Candidate
from bigenough.storage import check_files
from bigenough.study_folder import StudyFolder
from bigenough.verdict.recompute import Arrays, Check, recompute

__all__ = ["verify"]

CLOSE = 1e-9


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
    try:
        return _checks(folder)
    except (OSError, LookupError, ValueError) as error:
        raise TamperedArtefact(
            f"{folder.path} cannot be verified: a file is missing, damaged or not the study's own ({error!r})."
        ) from error


def _checks(folder: StudyFolder) -> list[Check]:
    facts = folder.read("study.json")
    rows = pl.read_parquet(folder.path / "examples.parquet").filter(pl.col("split") == "certify").sort("row")
    code = {label: place for place, label in enumerate(facts["task"]["classes"])}
    gold = np.array([code[label] for label in rows["label"]], dtype=np.int64)
    groups = next((rows[name].to_numpy() for name in ("unit", "group") if name in rows.columns), None)
    arrays, evidence, checks = {}, {}, []
    for home in folder.read("judged.json").values():
        each = Candidate(folder.candidates / home)
        if not each.has("certify.npz"):
            continue
        judged = each.predictions("certify")
        there = gold if judged.positions is None else gold[judged.positions]
        checks.append(_check(f"{each.name}: gold labels are those of the examples", np.array_equal(judged.gold, there)))
        checks.append(_check(f"{each.name}: model files have the hashes they were judged with", _unchanged(each)))
        arrays[each.name] = Arrays(judged.predicted, judged.probability, judged.positions)
        evidence[each.name] = folder.read(f"candidates/{each.folder.name}/evidence.json")
    verdict = folder.read("verdict.json")
    plan = folder.read("plan.json")
    checks += [*_as_planned(verdict, plan), *_asked_as_planned(folder, verdict, plan)]
    if folder.specialist.exists():
        checks.append(_check("specialist: files are the judged ones", _packed(folder, verdict)))
    checks += recompute(verdict, gold, arrays, groups=groups, evidence=evidence, classes=facts["task"]["classes"])
    return checks


def _as_planned(verdict: Mapping[str, Any], plan: Mapping[str, Any]) -> Iterator[Check]:
    """What was settled before certify was opened is what was then done."""
    for name in ("metric", "margin", "alpha", "mode"):
        yield Check(f"{name} as planned", verdict[name], plan[name], verdict[name] == plan[name])
    reference = verdict["reference"]
    yield Check("reference as planned", reference["name"], plan["reference"], reference["name"] == plan["reference"])
    if plan["bar"] is not None:
        yield Check("bar as planned", reference["score"], plan["bar"], reference["score"] == plan["bar"])
    tested = [each["candidate"] for each in verdict["comparisons"]]
    in_order = [name for name in plan["nominees"] if name in tested]
    complete = verdict["mode"] == "up" or tested == plan["nominees"]
    yield Check("nominees and their order as planned", tested, in_order, tested == in_order and complete)


def _asked_as_planned(folder: StudyFolder, verdict: Mapping[str, Any], plan: Mapping[str, Any]) -> Iterator[Check]:
    """Order, batches and bets were fixed before certify was opened, and the bets follow from select."""
    planned, early = plan.get("early"), verdict.get("early")
    yield Check(
        "stopping early as planned", early is not None, planned is not None, (early is None) == (planned is None)
    )
    if early is None or planned is None:
        return
    for name in ("of", "order_seed", "batch_rows", "discordance"):
        yield Check(f"asking: {name} as planned", early[name], planned[name], early[name] == planned[name])
    said = [
        Candidate(folder.candidates / plan["candidates"][name]).predictions("select")
        for name in (plan["reference"], plan["nominees"][0])
    ]
    ours, theirs = (each.predicted == each.gold for each in said)
    expected = min(max(float(np.mean(ours != theirs)), plan["margin"], 0.02), 0.5)
    agree = abs(early["discordance"] - expected) < CLOSE
    yield Check("asking: discordance as seen on select", early["discordance"], expected, agree)


def _packed(folder: StudyFolder, verdict: Mapping[str, Any]) -> bool:
    chosen = folder.read("judged.json").get(verdict["winner"] or verdict["safe_choice"])
    if chosen is None:
        return False
    try:
        check_files(folder.specialist / "model", Candidate(folder.candidates / chosen).record["files"])
    except TamperedArtefact:
        return False
    return True


def _check(name: str, agree: bool) -> Check:
    return Check(name, True, bool(agree), bool(agree))


def _unchanged(candidate: Candidate) -> bool:
    try:
        check_files(candidate.model, candidate.record["files"])
    except TamperedArtefact:
        return False
    return True
