# SPDX-License-Identifier: Apache-2.0
"""What a report is made of, and the one place that reads it from a study's folder."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bigenough.errors import InputError
from bigenough.storage import read_json

__all__ = ["CandidateFiles", "Json", "Scored", "StudyFiles", "labelled_by", "read_study"]

Json = Mapping[str, Any]
"""An object of a JSON file, as read."""


@dataclass(frozen=True, eq=False)
class Scored:
    """What one candidate said about n rows: gold (n,), predicted (n,), probability (n, k).

    ``positions`` (n,) are their places in certify, where only some rows were asked.
    """

    gold: NDArray[np.int64]
    predicted: NDArray[np.int64]
    probability: NDArray[np.float64]
    positions: NDArray[np.int64] | None = None


@dataclass(frozen=True, eq=False)
class CandidateFiles:
    """What is known of one candidate; a part that was never reached is None.

    Attributes:
        name: what plan.json and verdict.json call it.
        candidate: candidate.json.
        performance: performance.json.
        evidence: evidence.json.
        certify: certify.npz.
        home: the name of its folder, by which others say that they were made from it.
    """

    name: str
    candidate: Json
    performance: Json | None = None
    evidence: Json | None = None
    certify: Scored | None = None
    home: str = ""


@dataclass(frozen=True, eq=False)
class StudyFiles:
    """The files of one study, already read: all that ``render`` looks at.

    Attributes:
        study: study.json.
        verdict: verdict.json.
        candidates: in any order.
        plan: plan.json.
        audit: audit.json.
        search: search.json, where one budget was shared by all rungs.
        texts: the rows that the page may quote, by row number.
        next_rows: how many rows label-next.csv names, 0 if there is none.
        folder: how the page names the folder, in commands.
        groups: which group each certify row belongs to, None if rows count one by one.
        labelled: of a study on a generalist's labels, how many rows it labelled (by_generalist) and how many of the
            others people did (by_people); None where all labels were the user's.
    """

    study: Json
    verdict: Json
    candidates: tuple[CandidateFiles, ...]
    plan: Json | None = None
    audit: Json | None = None
    search: Json | None = None
    texts: Mapping[int, str] = field(default_factory=dict)
    next_rows: int = 0
    folder: str = "STUDY"
    groups: NDArray[np.generic] | None = None
    labelled: Json | None = None


def read_study(folder: Path | str) -> StudyFiles:
    """Read a study's folder.

    Only study.json and verdict.json must be there; what else is missing leaves its part of the page saying so.

    Raises:
        InputError: the folder holds no study, or its verdict has not been reached.
    """
    folder = Path(folder)
    for name, need in (("study.json", "a study"), ("verdict.json", "a finished study")):
        if not (folder / name).is_file():
            raise InputError(
                f"{folder} has no {name}, so it is not the folder of {need}. "
                "Give the folder that `bigenough fit` named, or run the same `bigenough fit` again to finish it."
            )
    verdict = read_json(folder / "verdict.json")
    homes = sorted(path.parent for path in (folder / "candidates").glob("*/candidate.json"))
    # A rung that was refitted leaves two folders under one name: the one that was judged counts.
    judged = set((_read_if_there(folder / "judged.json") or {}).values())
    homes.sort(key=lambda home: (home.name in judged, (home / "certify.npz").is_file()))
    candidates = tuple({one.name: one for one in map(_read_candidate, homes)}.values())
    return StudyFiles(
        study=read_json(folder / "study.json"),
        verdict=verdict,
        candidates=candidates,
        plan=_read_if_there(folder / "plan.json"),
        audit=_read_if_there(folder / "audit.json"),
        search=_read_search(folder / "search.json"),
        texts=_quoted_texts(folder / "examples.parquet", candidates),
        next_rows=_count_rows(folder / "label-next.csv"),
        folder=str(folder),
        groups=_certify_groups(folder / "examples.parquet"),
        labelled=labelled_by(folder.absolute()),
    )


def _read_candidate(home: Path) -> CandidateFiles:
    candidate = read_json(home / "candidate.json")
    scored = None
    if (home / "certify.npz").is_file():
        with np.load(home / "certify.npz", allow_pickle=False) as arrays:
            scored = Scored(*(arrays.get(name) for name in ("gold", "predicted", "probability", "positions")))
    return CandidateFiles(
        name=str(candidate.get("name", home.name)),
        candidate=candidate,
        performance=_read_if_there(home / "performance.json"),
        evidence=_read_if_there(home / "evidence.json"),
        certify=scored,
        home=home.name,
    )


def labelled_by(folder: Path) -> Json | None:
    """What `bigenough label` wrote beside the study of one of its rounds."""
    found = _read_if_there(folder.parent / f"{folder.name}.json")
    return found if isinstance(found, dict) and "by_generalist" in found else None


def _read_search(path: Path) -> Json | None:
    """None also for one written before searches told what they took."""
    found = _read_if_there(path)
    return found if found is not None and "energy" in found else None


def _read_if_there(path: Path) -> Json | None:
    return read_json(path) if path.is_file() else None


def _count_rows(path: Path) -> int:
    if not path.is_file():
        return 0
    with path.open(encoding="utf-8", newline="") as file:
        return max(0, sum(1 for _ in csv.reader(file)) - 1)


def _certify_groups(path: Path) -> NDArray[np.generic] | None:
    if not path.is_file():
        return None
    import polars as pl

    rows = pl.scan_parquet(path)
    columns = rows.collect_schema().names()
    name = next((name for name in ("unit", "group") if name in columns), None)
    if name is None or "split" not in columns:
        return None
    found: NDArray[np.generic] = rows.filter(pl.col("split") == "certify").sort("row").collect()[name].to_numpy()
    return found


def _quoted_texts(path: Path, candidates: tuple[CandidateFiles, ...]) -> dict[int, str]:
    wanted = {
        int(row)
        for candidate in candidates
        for confusion in (candidate.evidence or {}).get("confusions", ())
        for row in confusion["rows"][:5]
    }
    if not wanted or not path.is_file():
        return {}
    import polars as pl

    quoted = (
        pl.scan_parquet(path)
        .filter(pl.col("row").is_in(sorted(wanted)))
        .select("row", pl.col("text").str.slice(0, 2000))
        .collect()
    )
    return {int(row): str(text or "") for row, text in quoted.iter_rows()}
