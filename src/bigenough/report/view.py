# SPDX-License-Identifier: Apache-2.0
"""A study as the page looks at it: candidates in order of cost, each with a short name and the part it played."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from bigenough.report.files import CandidateFiles, Json, StudyFiles

__all__ = ["METRICS", "ROLES", "Contender", "Role", "View", "view"]

Role = Literal["winner", "reference", "passed", "failed", "not tested", "left out", "no result"]

ROLES: Mapping[Role, str] = {
    "winner": "winner",
    "reference": "reference",
    "passed": "proved, but not the smallest",
    "failed": "tested, not proved",
    "not tested": "nominated, not reached",
    "left out": "left out before the test",
    "no result": "could not be fitted",
}

METRICS: Mapping[str, str] = {
    "accuracy": "accuracy",
    "balanced_accuracy": "balanced accuracy",
    "macro_f1": "macro F1",
}


@dataclass(frozen=True, eq=False)
class Contender:
    """One candidate with the part it played.

    Attributes:
        role: the part it played; a winner that is also the reference is the winner.
        comparison: its entry in verdict.json, None if it has none.
        reason: why it was left out or has no result.
        search: its entry in search.json, None if it took part in no search over all rungs.
    """

    files: CandidateFiles
    role: Role
    comparison: Json | None
    reason: str | None
    search: Json | None = None

    @property
    def name(self) -> str:
        """The candidate's full name."""
        return self.files.name

    @property
    def remote(self) -> bool:
        """Whether it runs elsewhere, behind an endpoint."""
        return bool(self.files.candidate.get("remote"))

    @property
    def size_bytes(self) -> float | None:
        """What its files take on disk."""
        value = self.files.candidate.get("size_bytes")
        return None if value is None else float(value)

    def figure(self, name: str) -> Json | None:
        """A figure of evidence.json or performance.json, as a quantity."""
        found: Json | None = {**(self.files.performance or {}), **(self.files.evidence or {})}.get(name)
        return found

    def value(self, name: str) -> float | None:
        """The bare value of a figure, None if it is unknown."""
        found = self.figure(name)
        return None if found is None or found["value"] is None else float(found["value"])


@dataclass(frozen=True, eq=False)
class View:
    """A study, arranged.

    Attributes:
        contenders: smallest first; those without a size last.
        left_out: why a candidate was not nominated, by name.
        winner: None unless the answer is "proved".
        reference: None against a bar.
        safe: what may be used today, None if nothing may.
        subject: whose errors the page shows: the winner, else the safe choice, the reference, the best scored.
    """

    files: StudyFiles
    contenders: tuple[Contender, ...]
    left_out: Mapping[str, str]
    winner: Contender | None
    reference: Contender | None
    safe: Contender | None
    subject: Contender | None

    @property
    def verdict(self) -> Json:
        """verdict.json."""
        return self.files.verdict

    @property
    def metric(self) -> str:
        """The verdict's metric, as its key."""
        return str(self.verdict["metric"])

    @property
    def metric_name(self) -> str:
        """The verdict's metric, in words."""
        return METRICS.get(self.metric, self.metric.replace("_", " "))

    @property
    def bar(self) -> float | None:
        """The absolute bar, None if the reference is a candidate."""
        reference = self.verdict["reference"]
        return float(reference["score"]) if reference["kind"] == "bar" else None

    @property
    def comparisons(self) -> list[Mapping[str, Any]]:
        """The verdict's comparisons, in the order of testing."""
        return list(self.verdict["comparisons"])


def view(files: StudyFiles) -> View:
    """Arrange a study's files."""
    verdict = files.verdict
    left_out = {
        str(one["candidate"]): str(one["reason"])
        for one in [*((files.plan or {}).get("left_out") or ()), *(verdict.get("left_out") or ())]
    }
    known = {candidate.name for candidate in files.candidates}
    # A rung that could not be fitted has no folder, only a reason.
    unfitted = [CandidateFiles(name, {}) for name in left_out if name not in known]
    contenders = tuple(
        sorted(
            (_contender(one, files, left_out, fitted=one.name in known) for one in [*files.candidates, *unfitted]),
            key=lambda one: (one.size_bytes is None, one.size_bytes or 0.0, one.name),
        )
    )
    by_name = {one.name: one for one in contenders}
    winner = by_name.get(verdict["winner"])
    reference = by_name.get(verdict["reference"]["name"])
    safe = by_name.get(verdict["safe_choice"])
    subject = winner or safe or reference or _best(contenders, verdict["metric"])
    return View(files, contenders, left_out, winner, reference, safe, subject)


def _best(contenders: tuple[Contender, ...], metric: str) -> Contender | None:
    scored = [one for one in contenders if one.value(metric) is not None]
    return max(scored, key=lambda one: one.value(metric) or 0.0, default=None)


def _contender(candidate: CandidateFiles, files: StudyFiles, left_out: Mapping[str, str], *, fitted: bool) -> Contender:
    verdict = files.verdict
    search = (files.search or {}).get("rungs", {}).get(candidate.name)
    comparison = next((one for one in verdict["comparisons"] if one["candidate"] == candidate.name), None)
    role = _role(candidate.name, verdict, comparison) if fitted else "no result"
    return Contender(candidate, role, comparison, left_out.get(candidate.name), search)


def _role(name: str, verdict: Json, comparison: Json | None) -> Role:
    if name == verdict["winner"]:
        return "winner"
    if name == verdict["reference"]["name"]:
        return "reference"
    if comparison is None:
        return "left out"
    decisions: dict[str, Role] = {"passed": "passed", "failed": "failed"}
    return decisions.get(comparison["decision"], "not tested")
