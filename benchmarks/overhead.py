# SPDX-License-Identifier: Apache-2.0
"""What a study costs beyond the bare training and prediction of its own rungs.

Bare means: the very fits that the study made (search, learning curve, refit: counted inside the study, around the calls
into the rungs) and one prediction of the certify rows by each candidate.
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path

import sets


def run(data: Path, *, threads: int) -> dict[str, float]:
    """Seconds of a whole study of banking77, and of the bare work inside it."""
    import bigenough

    split = sets.load(data, "banking77")
    texts = split.test["text"].to_list()
    with tempfile.TemporaryDirectory() as scratch:
        began = time.perf_counter()
        study = bigenough.fit(split.train, label="label", text="text", test=split.test, out=Path(scratch) / "study")
        whole = time.perf_counter() - began
        bare = sum(
            each.record["search_seconds"] + each.record["curve_seconds"] + each.record["fit_seconds"]
            for each in study.candidates.values()
        )
        for candidate in study.candidates.values():
            predictor = candidate.predictor(threads)
            began = time.perf_counter()
            predictor.predict_proba(texts)
            bare += time.perf_counter() - began
    print("overhead: done", file=sys.stderr)
    return {"study_seconds": whole, "bare_seconds": bare, "overhead": whole / bare - 1}


def table(results: dict[str, float]) -> str:
    """The results as Markdown."""
    return (
        "| banking77 | study s | bare training and prediction s | overhead |\n| --- | --- | --- | --- |\n"
        f"| all rungs | {results['study_seconds']:.0f} | {results['bare_seconds']:.0f} | {results['overhead']:.1%} |"
    )
