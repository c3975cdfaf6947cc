# SPDX-License-Identifier: Apache-2.0
"""What a study costs beyond the bare training and prediction of its own rungs.

Bare is a process of its own that reads the same table and calls the same rungs: every setting that the study tried,
fitted on the same fit rows and asked about the same select rows, the learning curve, the refit, and the answers to the
test rows. No audit, no measuring, no intervals, no verdict, no package, no page. Both run in turn, several times.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import sets

BARE = """
import json, sys
from pathlib import Path
import numpy as np
from bigenough.job import read_job
from bigenough.options import Options
from bigenough.rungs.predictors import load_predictor
from bigenough.rungs.protocol import Workbench
from bigenough.rungs.registry import find_rungs
from bigenough.rungs.sample import stratified_order
from bigenough.task import Examples

train, test, tried, threads, cache = sys.argv[1:]
job = read_job(train, test, Options(text="text", label="label"), None)
bench = Workbench(seed=0, threads=int(threads), cache=Path(cache), offline=True)
fit, select, k = job.fit, job.select, len(job.task.classes)
rows = np.arange(len(fit) + len(select))
both = Examples([*fit.texts, *select.texts], np.concatenate([fit.labels, select.labels]), rows)
for rung in find_rungs(list(json.loads(tried))):
    record = json.loads(tried)[rung.name]
    for settings in record["trials"]:
        rung.fit(fit, k, settings, bench).predict_proba(select.texts)
    order = stratified_order(fit.labels, 0)
    for rows in record["curve"]:
        rung.fit(fit.take(np.sort(order[:rows])), k, record["settings"], bench).predict_proba(select.texts)
    rung.fit(both, k, record["settings"], bench).predict_proba(job.certify.texts)
"""


def run(data: Path, *, threads: int, rounds: int = 3) -> dict[str, float]:
    """Median seconds of whole studies of banking77 and of the bare work in them, in turn."""
    from bigenough.study import Study

    split = sets.load(data, "banking77")
    whole, bare = [], []
    with tempfile.TemporaryDirectory() as scratch:
        train, test = Path(scratch) / "train.csv", Path(scratch) / "test.csv"
        split.train.write_csv(train)
        split.test.write_csv(test)
        columns = ("--label", "label", "--text", "text", "--threads", str(threads))
        for number in range(rounds):
            out = Path(scratch) / f"study{number}"
            command = [sys.executable, "-m", "bigenough", "fit", str(train), "--test", str(test), *columns, *sets.CORE]
            began = time.perf_counter()
            subprocess.run([*command, "--out", str(out)], stdout=subprocess.DEVNULL, check=False)
            whole.append(time.perf_counter() - began)
            tried = {
                name: {
                    "settings": each.record["settings"],
                    "trials": [trial["settings"] for trial in each.record["trials"]],
                    "curve": [point["rows"] for point in each.record["learning_curve"][:-1]],
                }
                for name, each in Study(out).candidates.items()
            }
            cache = str(Path("~/.cache/bigenough").expanduser())
            began = time.perf_counter()
            subprocess.run(
                [sys.executable, "-c", BARE, str(train), str(test), json.dumps(tried), str(threads), cache], check=True
            )
            bare.append(time.perf_counter() - began)
    print("overhead: done", file=sys.stderr)
    ratios = [one / other for one, other in zip(whole, bare, strict=True)]
    return {
        "study_seconds": statistics.median(whole),
        "bare_seconds": statistics.median(bare),
        "overhead": statistics.median(ratios) - 1,
        "overhead_low": min(ratios) - 1,
        "overhead_high": max(ratios) - 1,
    }


def table(results: dict[str, float]) -> str:
    """The results as Markdown."""
    return (
        "| banking77, all rungs | study s | bare training and prediction s | overhead, median pair [min, max] |\n"
        "| --- | --- | --- | --- |\n"
        f"| medians | {results['study_seconds']:.0f} | {results['bare_seconds']:.0f} | {results['overhead']:.1%} "
        f"[{results['overhead_low']:.1%}, {results['overhead_high']:.1%}] |"
    )
