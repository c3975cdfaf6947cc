# SPDX-License-Identifier: Apache-2.0
"""From a verdict to things a user takes away: the specialist's folder, and the rows to label next."""

from __future__ import annotations

from collections.abc import Mapping
from io import StringIO
from typing import Any

import polars as pl

from bigenough.job import Job
from bigenough.pool import pool_texts
from bigenough.quantity import Quantity
from bigenough.report.files import labelled_by
from bigenough.rungs.candidate import Candidate
from bigenough.specialist.artefact import Judgement, pack
from bigenough.storage import write_text
from bigenough.study_folder import StudyFolder
from bigenough.task.table import Table
from bigenough.verdict import Verdict, next_rows

__all__ = ["package", "write_next_rows"]

SCORES = ("accuracy", "balanced_accuracy", "macro_f1", "log_loss", "calibration_error")
ROWS_ASKED_AGAIN = 128
"""The packed files have the judged ones' hashes; so many rows show that they also load and answer alike."""
LEARNING_ROWS = 50
PROOF_ROWS_UNKNOWN = 200


def package(folder: StudyFolder, candidates: Mapping[str, Candidate], job: Job, *, threads: int) -> None:
    """Pack the winner, or the safe choice while nothing is proved.

    When there is neither, or it runs elsewhere, nothing is packed: there is nothing here that could be shipped.
    """
    verdict = folder.read("verdict.json")
    chosen = verdict["winner"] or verdict["safe_choice"]
    if chosen is None or candidates[chosen].remote or (folder.specialist / "specialist.json").exists():
        return
    candidate = candidates[chosen]
    judged = candidate.predictions("certify")
    pack(
        folder.specialist,
        model=candidate.model,
        judgement=_judgement(folder, candidate, verdict, job, threads),
        texts=job.certify.texts,
        predicted=judged.predicted,
        probability=judged.probability,
        check_rows=ROWS_ASKED_AGAIN,
    )


def _judgement(
    folder: StudyFolder, candidate: Candidate, verdict: Mapping[str, Any], job: Job, threads: int
) -> Judgement:
    facts, record = folder.read("study.json"), candidate.record
    evidence = folder.read(f"candidates/{candidate.folder.name}/evidence.json")
    return Judgement(
        task=job.task,
        candidate=candidate.name,
        rung=candidate.rung,
        summary=record["summary"],
        settings=record["settings"],
        created=facts["created"],
        study=facts["key"],
        bigenough=facts["bigenough"],
        sentence=verdict["sentence"],
        answer=verdict["answer"],
        scores={name: Quantity.from_json(evidence[name]) for name in SCORES},
        performance=folder.read(f"candidates/{candidate.folder.name}/performance.json"),
        energy=record["energy"],
        per_class=evidence["per_class"],
        confusions=evidence["confusions"],
        machine=facts["machine"],
        packages=facts["packages"],
        splits={name: len(getattr(job.splits, name)) for name in ("fit", "select", "certify")},
        text_column=job.read.text,
        label_column=job.read.label,
        languages=folder.read("audit.json")["languages"],
        weights=record["weights"],
        lineage=[_told(one) for one in reversed(_line_of(folder, candidate))],
        source=job.read.source,
        labelled=_labelled(folder),
        limits_of_proof=[each["words"] for each in verdict["comparisons"] if each["decision"] != "passed"],
        threads=threads,
    )


def _line_of(folder: StudyFolder, candidate: Candidate) -> list[Candidate]:
    """The candidate, the one it was made of, and so on."""
    line = [candidate]
    while (parent := line[-1].record.get("made_from")) is not None:
        line.append(Candidate(folder.candidates / parent))
    return line


def _told(candidate: Candidate) -> dict[str, Any]:
    record = candidate.record
    note = (record.get("record") or {}).get("note")
    told = {"candidate": candidate.name, "summary": record["summary"], "settings": record["settings"]}
    return told if note is None else {**told, "note": note}


def _labelled(folder: StudyFolder) -> dict[str, int]:
    found = labelled_by(folder.path.absolute())
    return {} if found is None else {name: int(found[name]) for name in ("by_generalist", "by_people") if name in found}


def write_next_rows(
    folder: StudyFolder, candidates: Mapping[str, Candidate], verdict: Verdict, table: Table, job: Job, *, seed: int
) -> None:
    """Write label-next.csv: which unlabelled rows would decide the verdict, and which would teach the models most.

    An empty text is never among them; its row is counted all the same.
    """
    read = pool_texts(table, job)
    places = [place for place, text in enumerate(read.texts) if text.strip()]
    texts, rows = [read.texts[place] for place in places], read.rows[places]
    # The pool is not paid for; and who could not be asked about certify is not asked about it either.
    here = {name: each for name, each in candidates.items() if not each.remote and each.has("certify.npz")}
    learners = {name: each for name, each in here.items() if each.record["place"] > 0} or here
    if not learners or not texts:
        return
    probabilities = {name: each.predictor(None).predict_proba(texts) for name, each in learners.items()}
    needed = verdict.rows_needed
    proof = PROOF_ROWS_UNKNOWN if needed is None or needed.total is None else needed.total
    learning = min(LEARNING_ROWS, len(texts) // 4)
    chosen = next_rows(probabilities, proof=min(proof, len(texts) - learning), learning=learning, seed=seed)
    buffer = StringIO()
    pl.DataFrame(
        {
            "row": [int(rows[each.position]) for each in chosen],
            "purpose": [each.purpose for each in chosen],
            "reason": [each.reason for each in chosen],
            "text": [texts[each.position] for each in chosen],
        },
        schema={"row": pl.Int64, "purpose": pl.String, "reason": pl.String, "text": pl.String},
    ).write_csv(buffer)
    write_text(folder.path / "label-next.csv", buffer.getvalue())
