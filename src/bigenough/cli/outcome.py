# SPDX-License-Identifier: Apache-2.0
"""A study's outcome: at most fifteen lines for people, or JSON for scripts."""

from __future__ import annotations

import json
from io import StringIO
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table

from bigenough.quantity import Quantity
from bigenough.report.asking import asking_sentence, not_early_sentence
from bigenough.report.break_even import break_even
from bigenough.report.elsewhere import failures_told
from bigenough.report.files import read_study
from bigenough.report.searching import search_json
from bigenough.report.serving import per_thousand
from bigenough.report.view import view
from bigenough.rungs.candidate import Candidate
from bigenough.storage import read_json
from bigenough.study import Study
from bigenough.verdict import LeftOut

__all__ = ["outcome_json", "outcome_table"]

MOST_ROWS = 6
MOST_FAILURES = 2
MARK = {"passed": "proved", "failed": "not proved", "not tested": "not tested"}


def outcome_json(study: Study) -> str:
    """The whole outcome: the verdict, every candidate's figures, what 1,000 requests take, and where things lie."""
    seen = view(read_study(study.path))
    taken = {
        one.name: {what: figure.to_json() for what, figure in per_thousand(one, seen).items()}
        for one in seen.contenders
    }
    paid_back = break_even(seen)
    candidates = {
        name: {
            "select": each.record["select"],
            "settings": each.record["settings"],
            "evidence": _read(each, "evidence.json"),
            "performance": _read(each, "performance.json"),
            "energy": each.record["energy"],
            **({"record": each.record["record"]} if each.remote else {}),
            **_processor(each),
            "search_seconds": each.record["search_seconds"],
            "fit_seconds": each.record["fit_seconds"],
        }
        for name, each in study.candidates.items()
    }
    specialist = study.path / "specialist"
    return json.dumps(
        {
            "study": str(study.path),
            "verdict": study.verdict.to_json(),
            "asking": next(iter(_asked(study)), None),
            "search": search_json(seen),
            "candidates": candidates,
            "per_1000_requests": {name: taken[name] for name in candidates},
            "break_even": None if paid_back is None else paid_back.to_json(),
            "specialist": str(specialist) if specialist.exists() else None,
            "report": str(study.report),
        },
        indent=2,
        ensure_ascii=False,
    )


def outcome_table(study: Study) -> str:
    """The verdict's sentence, a line a candidate, and the paths."""
    verdict = study.verdict
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    for column in ("rung", f"{verdict.metric} [95 %]", "size", "ms a row", "rows/s", "verdict"):
        table.add_column(column, justify="left" if column in ("rung", "verdict") else "right", no_wrap=True)
    said = {each.candidate: MARK[each.decision] for each in verdict.comparisons}
    shown = _shown(study)
    for name in shown:
        table.add_row(name, *_figures(study.candidates[name], verdict.metric), _role(name, study, said))
    buffer = StringIO()
    console = Console(file=buffer, width=100, color_system=None)
    console.print(table)
    lines = [line.rstrip() for line in buffer.getvalue().splitlines() if line.strip()]
    specialist = study.path / "specialist"
    paths = [f"specialist  {specialist}"] if specialist.exists() else []
    if (study.path / "label-next.csv").exists():
        paths.append(f"label next  {study.path / 'label-next.csv'}")
    failed = [f"left out    {each.candidate}: {each.reason}" for each in verdict.left_out if _unseen(each, study)]
    more = len(study.candidates) - len(shown)
    notes = [*failed[:MOST_FAILURES], *([f"and {more} more rungs, in the report"] if more > 0 else [])]
    notes += [*_answered(study), *_asked(study)]
    said_at_last = f"{verdict.answer}: {verdict.sentence}"
    return "\n".join([*lines, "", *notes, said_at_last, *paths, f"report      {study.report}"])


def _asked(study: Study) -> list[str]:
    """What stopping early saved, or why it could not be done."""
    verdict, reference = study.verdict, study.candidates.get(study.verdict.reference.name or "")
    if verdict.early is None or reference is None:
        paid = reference is not None and reference.remote
        facts = read_json(study.path / "study.json")
        reason = not_early_sentence(facts, verdict.to_json(), paid=paid)
        return [] if reason is None else [reason]
    return [asking_sentence(verdict.to_json(), _read(reference, "performance.json"))]


def _answered(study: Study) -> list[str]:
    """How many replies of what runs elsewhere named no label on the certify rows, by kind."""
    told = {name: _read(each, "evidence.json") for name, each in study.candidates.items() if each.remote}
    return [
        f"{name:<11} {failures_told(evidence['answers'])}"
        for name, evidence in told.items()
        if evidence and evidence.get("answers")
    ]


def _shown(study: Study) -> list[str]:
    """The candidates with a line of their own: the winner and the reference always, then the smallest."""
    names = list(study.candidates)
    first = [name for name in (study.verdict.winner, study.verdict.reference.name) if name in study.candidates]
    kept = {*first, *[name for name in names if name not in first][: MOST_ROWS - len(set(first))]}
    return [name for name in names if name in kept]


def _unseen(left_out: LeftOut, study: Study) -> bool:
    return left_out.candidate not in study.candidates


def _figures(candidate: Candidate, metric: str) -> tuple[str, str, str, str]:
    evidence, speed = _read(candidate, "evidence.json"), _read(candidate, "performance.json")
    score = "not opened" if evidence is None else _interval(Quantity.from_json(evidence[metric]))
    size = "elsewhere" if candidate.size_bytes is None else f"{candidate.size_bytes / 1e6:.1f} MB"
    if speed is None:
        return score, size, "unknown", "unknown"
    latency, rows = Quantity.from_json(speed["latency_p50_ms"]), Quantity.from_json(speed["throughput_rows_per_s"])
    return (
        score,
        size,
        "unknown" if latency.value is None else f"{latency.value:.3g}",
        "unknown" if rows.value is None else f"{rows.value:,.0f}" if rows.value >= 10 else f"{rows.value:.2g}",
    )


def _interval(score: Quantity) -> str:
    if score.value is None:
        return "unknown"
    if score.low is None or score.high is None:
        return f"{100 * score.value:.1f} %"
    return f"{100 * score.value:.1f} % [{100 * score.low:.1f}, {100 * score.high:.1f}]"


def _role(name: str, study: Study, said: dict[str, str]) -> str:
    verdict = study.verdict
    if name == verdict.winner:
        return "winner" if name in said else "winner, the reference"
    if name == verdict.reference.name:
        return "reference"
    return said.get(name, "left out")


def _processor(candidate: Candidate) -> dict[str, Any]:
    """On which processor 8-bit variants were tried, where they were."""
    features = (candidate.record.get("record") or {}).get("processor_features")
    return {} if features is None else {"processor_features": features}


def _read(candidate: Candidate, name: str) -> Any:
    path = candidate.folder / name
    return read_json(path) if path.exists() else None
