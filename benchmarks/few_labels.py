# SPDX-License-Identifier: Apache-2.0
"""Eight labels a class: the few-label rung beside setfit's own trainer with the same body, seed by seed in turn.

Each seed draws its rows from train and is given to every method; the whole official test set is asked. Beside them the
frozen encoder with logistic regression on the same rows, and class names with the rows' texts but no label.
"""

from __future__ import annotations

import statistics
import sys
from collections.abc import Iterator, Mapping
from typing import Any

import rows
import sets
from rows import Bench, Failed
from tuned_peers import setfit_steps

NAMES = ("banking77", "ag_news", "sst2", "tweet_emotion")
LABELS = 8
OURS = {
    "few": "bigenough.rungs.few:FewRung",
    "frozen": "bigenough.rungs.frozen:FrozenRung",
    "label-names": "bigenough.rungs.label_names:LabelNamesRung",
}
METHODS = ("few", "setfit", "frozen", "label-names")
TITLES = {
    "few": "**few**",
    "setfit": "setfit",
    "frozen": "**frozen**, logistic regression",
    "label-names": "**label-names**, no labels",
}
MOST_STEPS = 2_000
PAIRS = 20
"""Where setfit's defaults take more steps: so many positive and negative pairs a row, as in its paper (Tunstall et al.
2022, R = 20) and in its releases before 1.0."""


def run(bench: Bench, names: tuple[str, ...], done: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """The rows that are not done yet: a set, a seed and a method each."""
    for name in names:
        split = bench.load(name)
        for seed in range(bench.seeds):
            # Who goes first changes with the seed, so that neither side has the quieter machine.
            methods = METHODS if seed % 2 == 0 else METHODS[::-1]
            for method in methods:
                if bench.rungs is not None and method in OURS and method not in bench.rungs:
                    continue
                key = f"{name} | {seed} | {method}"
                if key in done and "failed" not in done[key]:
                    continue
                try:
                    made = _row(bench, split, seed, method)
                except Failed as error:
                    made = {"failed": str(error)}
                print(f"few_labels: {key}: {made.get('failed', 'done')}", file=sys.stderr)
                yield {key: {"set": name, "seed": seed, "method": method, **made}}


def _row(bench: Bench, split: sets.Split, seed: int, method: str) -> dict[str, Any]:
    sample = rows.per_class(split.train, LABELS, seed=seed).sample(fraction=1, shuffle=True, seed=seed)
    labels = sample["label"].to_list()
    job = {
        "texts": sample["text"].to_list(),
        "labels": labels,
        "test": split.test["text"].to_list(),
        "threads": bench.threads,
        "seed": seed,
    }
    if method == "setfit":
        options = {"num_iterations": PAIRS} if setfit_steps(labels) > MOST_STEPS else {}
        said = bench.ask("tuned_peers.py", method, {**job, "body": bench.body, "timed": False, "options": options})
    else:
        classes = sorted(split.train["label"].unique())
        said = bench.ask("ours.py", "rung", {**job, "rung": OURS[method], "classes": classes})
    gold = split.test["label"].to_list()
    rows.keep(bench.cache / "few_labels" / split.name / f"{seed}-{method}.npz", gold, said["predicted"])
    found = rows.quality(gold, said["predicted"])
    return {
        "labels": len(labels),
        "accuracy": found["accuracy"]["value"],
        "macro_f1": found["macro_f1"]["value"],
        "seconds": said["train_seconds"],
        "wall_s": said["wall_s"],
        "peak_mb": said["peak_mb"],
        "note": said.get("note", ""),
    }


def table(results: dict[str, dict[str, Any]]) -> str:
    """The results as Markdown: mean and standard deviation over the seeds, and setfit's seconds against ours."""
    lines = [
        "Seconds are those of training, from the loaded library to the trained model; test rows are the whole official",
        "set. Where setfit's default sampling would take too many steps it gets the number of pairs of its paper.",
        "",
        "| set (labels) | method | accuracy, mean ± sd | macro F1 | training s | few / setfit s | seeds | note |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for name in dict.fromkeys(each["set"] for each in results.values()):
        about = ""
        for method in METHODS:
            tried = [each for each in results.values() if (each["set"], each["method"]) == (name, method)]
            ended = [each for each in tried if "failed" not in each]
            if not tried:
                continue
            first, about = (name if about != name else ""), name
            if not ended:
                reason = tried[0]["failed"].replace("|", "/")
                lines.append(f"| {first} | {TITLES[method]} | failed: {reason} | | | | | |")
                continue
            labelled = 0 if method == "label-names" else ended[0]["labels"]
            ratio = _ratio(results, name) if method == "few" else ""
            lines.append(
                f"| {first} ({labelled}) | {TITLES[method]} | {_spread([100 * each['accuracy'] for each in ended])} "
                f"| {_spread([100 * each['macro_f1'] for each in ended])} "
                f"| {_spread([each['seconds'] for each in ended])} | {ratio} | {len(ended)} | {ended[0]['note']} |"
            )
    return "\n".join(lines)


def _spread(values: list[float]) -> str:
    return f"{values[0]:.1f}" if len(values) == 1 else f"{statistics.mean(values):.1f} ± {statistics.stdev(values):.1f}"


def _ratio(results: dict[str, dict[str, Any]], name: str) -> str:
    """The median over seeds of our seconds against setfit's on the same rows."""
    seconds = {
        (each["seed"], each["method"]): each["seconds"]
        for each in results.values()
        if each["set"] == name and "failed" not in each
    }
    ratios = [
        value / seconds[seed, "setfit"]
        for (seed, method), value in seconds.items()
        if method == "few" and (seed, "setfit") in seconds
    ]
    return f"{statistics.median(ratios):.2f}" if ratios else ""
