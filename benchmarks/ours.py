# SPDX-License-Identifier: Apache-2.0
"""bigenough's side of the long tables, one piece of work a process: ``python ours.py WORK JOB ANSWER``.

``study`` runs a whole study, ``rung`` fits one rung on given rows at its first settings, ``speed`` times saved models
in turn. JOB and ANSWER are JSON files.
"""

from __future__ import annotations

import importlib
import json
import sys
import time
from pathlib import Path
from typing import Any

from speed import interleaved, peak_mb

CACHE = Path("~/.cache/bigenough").expanduser()


def study(job: dict[str, Any]) -> dict[str, Any]:
    """``bigenough.fit`` as a user calls it; the figures are read from the study's folder afterwards."""
    import bigenough

    found = bigenough.fit(job["train"], "label", text="text", test=job["test"], out=job["out"], **job["options"])
    return {"sentence": found.verdict.sentence, "answer": found.verdict.answer}


def rung(job: dict[str, Any]) -> dict[str, Any]:
    """One rung, by "module:Class", fitted on the given rows and asked about the test texts."""
    import numpy as np

    from bigenough.rungs.protocol import Workbench
    from bigenough.task import Examples

    module, _, name = job["rung"].partition(":")
    made = getattr(importlib.import_module(module), name)()
    classes = job["classes"]
    bench = Workbench(seed=job["seed"], threads=job["threads"], cache=CACHE, offline=True, class_names=tuple(classes))
    labels = np.array([classes.index(label) for label in job["labels"]], dtype=np.int64)
    for library in getattr(made, "requires", ()):
        importlib.import_module(library)  # nobody's imports count
    examples = Examples(job["texts"], labels, np.arange(len(labels)))
    began = time.perf_counter()
    settings = made.first_settings(examples, len(classes))
    model = made.fit(examples, len(classes), settings, bench)
    seconds = time.perf_counter() - began
    predicted = [classes[code] for code in model.predict_proba(job["test"]).argmax(axis=1)]
    return {"predicted": predicted, "train_seconds": seconds, "settings": dict(settings)}


def speed(job: dict[str, Any]) -> dict[str, Any]:
    """Saved models by name, timed in turn on the same texts."""
    from bigenough.rungs.predictors import load_predictor

    models = {name: load_predictor(Path(path), threads=job["threads"]) for name, path in job["models"].items()}
    return interleaved({name: model.predict_proba for name, model in models.items()}, job["texts"])


WORK = {"study": study, "rung": rung, "speed": speed}


def main(work: str, job: str, answer: str) -> None:
    said = WORK[work](json.loads(Path(job).read_text(encoding="utf-8")))
    Path(answer).write_text(json.dumps({**said, "peak_mb": peak_mb()}), encoding="utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])
