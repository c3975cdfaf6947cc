# SPDX-License-Identifier: Apache-2.0
"""One study a set for both tables on trained rungs: whichever table comes first makes it, the other finds it.

All its rungs on the official train set, their smaller models, and students of the tuned encoder, whoever is best: a
table of what shrinking gives is not to depend on who wins. The official test set is certify.
"""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING

import polars as pl
import sets
from rows import Bench, Failed

if TYPE_CHECKING:
    from bigenough.study import Study

__all__ = ["FOLDER", "MINUTES", "TEACHER", "is_made", "whole_study"]

FOLDER = "whole"
"""In the cache, with a folder for each set."""
RUNGS = ("linear", "static", "tuned-static", "tuned")
TEACHER = "tuned"
MINUTES = 80.0
"""For each rung: three trainings of the encoder, of two passes each, on ten thousand rows, twice, on two cores."""


def is_made(bench: Bench, split: sets.Split) -> bool:
    """Whether the set's study is there, finished."""
    return (bench.cache / FOLDER / split.name / "made.json").exists()


def whole_study(
    bench: Bench, split: sets.Split, *, folder: str = FOLDER, unlabelled: pl.DataFrame | None = None
) -> tuple[Study, float]:
    """The finished study, and the most memory of the process that finished it, in MB. Raises ``Failed``."""
    place = bench.cache / folder / split.name
    place.mkdir(parents=True, exist_ok=True)
    train, test, out, facts = (place / name for name in ("train.csv", "test.csv", "study", "made.json"))
    split.train.write_csv(train)
    split.test.write_csv(test)
    rungs = list(bench.rungs or RUNGS)
    options = {
        "rungs": rungs, "minutes": bench.minutes, "threads": bench.threads, "offline": True,
        **({} if bench.trials is None else {"trials": bench.trials}),
        **({"shrink": "all", "teacher": TEACHER} if TEACHER in rungs else {}),
    }  # fmt: skip
    if unlabelled is not None:
        unlabelled.write_csv(pool := place / "unlabelled.csv")
        options["unlabelled"] = str(pool)
    if not facts.exists():
        print(f"{split.name}: a study of {', '.join(rungs)}", file=sys.stderr)
        said = bench.ask(
            "ours.py", "study", {"train": str(train), "test": str(test), "out": str(out), "options": options}
        )
        facts.write_text(json.dumps({"options": options, "peak_mb": said["peak_mb"]}), encoding="utf-8")
    made = json.loads(facts.read_text(encoding="utf-8"))
    if made["options"] != options:
        raise Failed(f"{out} was made with {made['options']}, and {options} are asked for: --again makes it anew")
    from bigenough.study import Study

    return Study(out), made["peak_mb"]
