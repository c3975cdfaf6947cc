# SPDX-License-Identifier: Apache-2.0
"""The forecast of a learning curve, tested backwards: the score at 100 % of the rows, predicted from at most 50 %.

Each rung, at its first settings, is fitted on nested stratified parts of the official train rows and scored on the
official test rows. The forecast sees the scores up to a half; the last one is what came true. What is stored are the
scores; the forecasts of the table are made from them.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

import numpy as np
import sets

SHARES = (1 / 16, 1 / 8, 1 / 4, 1 / 2, 1.0)
RUNGS = ("static", "linear", "frozen")
NAMES = ("sms_spam", "tweet_emotion", "masakhanews-pcm", "snips", "sst2", "banking77")
"""None of them was looked at while the method was made."""


def scores(split: sets.Split, name: str, *, threads: int) -> list[dict[str, float]]:
    """The accuracy on test after fitting one rung on each share of train."""
    from bigenough.rungs.protocol import Workbench
    from bigenough.rungs.registry import find_rungs
    from bigenough.rungs.sample import stratified_order
    from bigenough.task import Examples

    (rung,) = find_rungs([name])
    classes = sorted(set(split.train["label"]))
    labels = np.array([classes.index(label) for label in split.train["label"]], np.int64)
    train = Examples(split.train["text"].to_list(), labels, np.arange(1, len(labels) + 1))
    gold = np.array([classes.index(label) for label in split.test["label"]], np.int64)
    cache = Path("~/.cache/bigenough").expanduser()
    bench = Workbench(seed=0, threads=threads, cache=cache, offline=True)
    settings = rung.first_settings(train, len(classes))
    order, found = stratified_order(labels, 0), []
    for share in SHARES:
        rows = round(share * len(train))
        if rows < 2 * len(classes):
            continue
        part = train.take(np.sort(order[:rows]))
        model = rung.fit(part, len(classes), settings, bench)
        predicted = model.predict_proba(split.test["text"].to_list()).argmax(axis=1)
        found.append({"rows": rows, "score": float(np.mean(predicted == gold))})
    return found


def run(data: Path, name: str, *, threads: int) -> dict[str, dict]:
    """One set, every rung."""
    split = sets.load(data, name)
    began = time.perf_counter()
    curves = {rung: scores(split, rung, threads=threads) for rung in RUNGS}
    print(f"{name}: learning curves, {time.perf_counter() - began:.0f} s", file=sys.stderr)
    return {name: {"test_rows": len(split.test), "curves": curves}}


def table(results: dict[str, dict]) -> str:
    """Predicted and observed as Markdown, with the median error and how often the interval held."""
    from bigenough.rungs.extrapolation import LEVEL, NoLaw, extrapolate

    lines = [
        f"| set (test rows) | rung | fit rows | at 50 % | predicted [{100 * LEVEL:.0f} %] | observed | error |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    errors, unchanged, held = [], [], []
    for name, result in results.items():
        about = f"{name} ({result['test_rows']:,})"
        for rung, points in result["curves"].items():
            *seen, last = points
            half, observed = 100 * seen[-1]["score"], 100 * last["score"]
            law = extrapolate([one["rows"] for one in seen], [one["score"] for one in seen], result["test_rows"])
            if isinstance(law, NoLaw):
                told = f"none: {law.reason} | {observed:.1f} | "
            else:
                found = law.at(last["rows"])
                score, low, high = (100 * value for value in (found.score, found.low, found.high))
                told = f"{score:.1f} [{low:.1f}, {high:.1f}] | {observed:.1f} | {score - observed:+.1f}"
                errors.append(abs(score - observed))
                unchanged.append(abs(half - observed))
                held.append(low <= observed <= high)
            lines.append(f"| {about} | {rung} | {last['rows']:,} | {half:.1f} | {told} |")
            about = ""
    if errors:
        lines += [
            "",
            f"Median absolute error: {np.median(errors):.2f} points over {len(errors)} curves "
            f"({np.median(unchanged):.2f} for the guess that nothing changes after the half). "
            f"{sum(held)} of {len(held)} intervals hold what came true.",
        ]
    return "\n".join(lines)
