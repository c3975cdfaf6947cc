# SPDX-License-Identifier: Apache-2.0
"""The small language model tuned within the minutes that are given, beside the same model asked with a few examples.

Both learn from the same rows of train; the tuned one also sees 500 others of train, to stop by and to choose its bits.
Both are asked about the test rows of ``language_models.py``.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from typing import Any

import rows
import sets
from language_models import RECIPES, SEED, figures_of, job_of, power, row_of, sampled
from rows import Bench, Failed

NAMES = ("snips", "banking77")
MINUTES = 30.0
SELECT_ROWS = 500
MODELS = ("tuned-mini", "mini, few-shot, corrected")
PART = "tuned_mini"


def run(bench: Bench, names: tuple[str, ...], done: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """The rows that are not done yet, and the paired difference after each set."""
    for name in names:
        split = sampled(bench, name)
        stale = f"{name} | difference" not in done
        made_of = {row: done.get(f"{name} | {row}", {"failed": "not made"}) for row in MODELS}
        for row in (row for row in MODELS if "failed" in made_of[row]):
            try:
                made = _row(bench, split, row)
            except Failed as error:
                made = {"failed": str(error)}
            print(f"{PART}: {name} | {row}: {made.get('failed', 'done')}", file=sys.stderr)
            made_of[row], stale = made, True
            yield {f"{name} | {row}": {"set": name, "model": row, **made}}
        if stale and not any("failed" in made for made in made_of.values()):
            (gold, ours), (_, few) = (rows.kept(_path(bench, name, row)) for row in MODELS)
            yield {f"{name} | difference": {"set": name, "difference": rows.difference("accuracy", gold, ours, few)}}


def _row(bench: Bench, split: sets.Split, row: str) -> dict[str, Any]:
    mixed = split.train.sample(fraction=1, shuffle=True, seed=SEED)
    n = min(SELECT_ROWS, len(mixed) // 5)
    select, fit = mixed.head(n), mixed.slice(n)
    # the classes are those of all of train: a small sample of it may lack one
    job = {**job_of(bench, sets.Split(split.name, fit, split.test)), "classes": sorted(split.train["label"].unique())}
    if row == "tuned-mini":
        watched = {"texts": select["text"].to_list(), "labels": select["label"].to_list()}
        scratch = bench.cache / PART / split.name / "scratch"
        told = {"select": watched, "minutes": bench.minutes, "scratch": str(scratch)}
        said = bench.ask("ours.py", "tuned_mini", {**job, **told})
    else:
        said = bench.ask("ours.py", "asked", {**job, "rung": RECIPES["mini"], "changes": {}})
    gold = split.test["label"].to_list()
    rows.keep(_path(bench, split.name, row), gold, said["predicted"])
    tuned = {"minutes": bench.minutes, "record": said["record"]} if "record" in said else {}
    return {**figures_of(said, gold, power()), "fit_rows": len(fit), **tuned}


def _path(bench: Bench, name: str, row: str):
    return bench.cache / PART / name / f"{rows.slug(row)}.npz"


def table(results: dict[str, dict[str, Any]]) -> str:
    """The results as Markdown."""
    tuned = [each for each in results.values() if "minutes" in each]
    minutes = ", ".join(f"{each['set']} {each['minutes']:g}" for each in tuned)
    lines = [
        f"Minutes allowed for a training: {minutes or 'none was made'}. Figures as in the table of language models.",
        "",
        "| set (fit rows) | model | accuracy [95 %] | macro F1 | ms a row | mWh a row | no label | fit s | bits |",
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for each in (each for each in results.values() if "model" in each):
        about = f"{each['set']} ({each['fit_rows']:,})" if "fit_rows" in each else each["set"]
        bits = each.get("settings", {}).get("bits", "")
        lines.append(f"| {about} | {each['model']} | {row_of(each)} | {bits} |")
    compared = [each for each in results.values() if "difference" in each]
    lines += ["", *map(_compared, compared)]
    return "\n".join(lines)


def _compared(each: Mapping[str, Any]) -> str:
    told = rows.percent(each["difference"])
    return f"- {each['set']}: tuned-mini − mini, paired difference in accuracy [95 %], in points: {told}."
