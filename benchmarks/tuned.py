# SPDX-License-Identifier: Apache-2.0
"""Tuned rungs on whole official train sets, beside the peers of ``tuned_peers.py`` on the same rows in the same run.

Ours choose settings on a part of train and fit once more on all of it; peers train once on all of train, at settings
that nobody chose on these sets. Every test row is asked of every model.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import rows
import sets
from rows import Bench, Failed
from tuned_peers import PEERS, SAME_BODY, setfit_steps
from whole_study import whole_study

NAMES = ("banking77", "clinc150", "snips", "tweet_emotion", "sst2")
RUNGS = ("tuned", "tuned-static")
ENCODERS = ("tuned", "frozen")
TARGETS = {
    "banking77": ("accuracy", 94.0),
    "clinc150": ("accuracy", 96.2),
    "snips": ("accuracy", 98.3),
    "tweet_emotion": ("macro_f1", 76.5),
    "sst2": ("accuracy", 89.0),
}
MOST_STEPS = 2_000
"""Steps that setfit's own defaults may take; above, it samples one positive and one negative pair a row."""


def run(bench: Bench, names: tuple[str, ...], done: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """The rows that are not done yet, one at a time, and a comparison with the peers after each set."""
    for name in names:
        split = bench.load(name)
        peers = PEERS if bench.peers is None else bench.peers
        makers = dict.fromkeys(bench.rungs or RUNGS, _ours) | dict.fromkeys(peers, _peer)
        compared = f"{name} | comparison"
        stale = compared not in done or "failed" in done[compared]
        for row, maker in makers.items():
            key = f"{name} | {row}"
            if key in done and "failed" not in done[key]:
                continue
            try:
                made = maker(bench, split, row)
            except Failed as error:
                made = {"failed": str(error)}
            print(f"tuned: {key}: {made.get('failed', 'done')}", file=sys.stderr)
            yield {key: {"set": name, "model": row, **made}}
            stale = True
        if stale:
            yield {compared: _comparison(bench, name)}


def _ours(bench: Bench, split: sets.Split, rung: str) -> dict[str, Any]:
    """The rung in a study with others; the official test set is certify, and memory is that of the whole study."""
    study, peak_mb = whole_study(bench, split)
    if rung not in study.candidates:
        raise Failed(f"the study has no candidate {rung!r}")
    candidate = study.candidates[rung]
    record = candidate.record
    found, facts = candidate.predictions("certify"), json.loads((study.path / "study.json").read_text())
    classes = facts["task"]["classes"]
    gold, predicted = ([classes[code] for code in each] for each in (found.gold, found.predicted))
    rows.keep(_path(bench, split.name, rung), gold, predicted)
    timed = bench.ask(
        "ours.py", "speed",
        {"models": {rung: str(candidate.model)}, "texts": split.test["text"].to_list(), "threads": bench.threads},
    )[rung]  # fmt: skip
    return {
        "ours": True,
        **rows.quality(gold, predicted),
        "size_bytes": candidate.size_bytes,
        **timed,
        "train_minutes": (record["search_seconds"] + record["curve_seconds"] + record["fit_seconds"]) / 60,
        "last_fit_minutes": record["fit_seconds"] / 60,
        "peak_mb": peak_mb,
        "settings": record["settings"],
        "note": _told(record),
    }


def _told(record: Mapping[str, Any]) -> str:
    trained = len(record["refit_record"].get("trainings", ()))
    mean = f"mean of {trained} trainings, " if trained > 1 else ""
    twice = "two passes a batch, " if record["settings"].get("adversarial") else ""
    return f"{mean}{twice}{len(record['trials'])} settings tried, learning curve included"


def _peer(bench: Bench, split: sets.Split, name: str) -> dict[str, Any]:
    labels = split.train["label"].to_list()
    options = {"num_iterations": 1} if name == "setfit" and setfit_steps(labels) > MOST_STEPS else {}
    job = {
        "texts": split.train["text"].to_list(),
        "labels": labels,
        "test": split.test["text"].to_list(),
        "threads": bench.threads,
        "seed": 0,
        "body": bench.body,
        "timed": True,
        "options": options,
    }
    python = bench.pythons.get(name.split(",")[0], sys.executable)
    said = bench.ask("tuned_peers.py", name, job, python=python)
    gold, predicted = split.test["label"].to_list(), said["predicted"]
    rows.keep(_path(bench, split.name, name), gold, predicted)
    figures = {key: said[key] for key in ("size_bytes", "ms", "rows_per_s", "peak_mb", "note")}
    return {"ours": False, **rows.quality(gold, predicted), **figures, "train_minutes": said["train_seconds"] / 60}


def _comparison(bench: Bench, name: str) -> dict[str, Any]:
    """Our best encoder against the best peer with the same body, each the best on test: the hardest peer there is."""
    metric, target = TARGETS.get(name, ("accuracy", None))
    ours = _best(bench, name, metric, [rung for rung in bench.rungs or RUNGS if rung in ENCODERS])
    peer = _best(bench, name, metric, SAME_BODY)
    if ours is None or peer is None:
        return {"set": name, "failed": "no model of ours or no peer with the same body"}
    gold, predicted = rows.kept(_path(bench, name, ours))
    found = rows.difference(metric, gold, predicted, rows.kept(_path(bench, name, peer))[1])
    score = rows.quality(gold, predicted)[metric]["value"]
    return {
        "set": name, "metric": metric, "ours": ours, "peer": peer, "score": score, "target": target,
        "difference": found, "no_worse": found["high"] >= 0,
    }  # fmt: skip


def _best(bench: Bench, name: str, metric: str, models: tuple[str, ...] | list[str]) -> str | None:
    scores = {
        model: rows.quality(*rows.kept(path))[metric]["value"]
        for model in models
        if (path := _path(bench, name, model)).exists()
    }
    return max(scores, key=lambda model: scores[model]) if scores else None


def _path(bench: Bench, name: str, model: str) -> Path:
    return bench.cache / "tuned" / name / f"{rows.slug(model)}.npz"


def table(results: dict[str, dict[str, Any]]) -> str:
    """The results as Markdown."""
    lines = [
        "Training minutes of ours are all that a study spends on the rung (every setting tried, the learning curve,",
        "the last fit on all of train); in brackets the last fit alone. Memory of ours is that of the whole study of",
        "four rungs. A peer trains once, at settings not chosen on these sets. Milliseconds and rows a second",
        "are taken with one script on the test rows. Two passes a batch are docs/decisions/014; rows of **tuned**",
        "whose note does not name them learned with one.",
        "",
        "| set | model | accuracy [95 %] | macro F1 | MB | rows/s | ms | training min | peak MB | note |",
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    rest = [each for key, each in results.items() if not key.endswith("| comparison")]
    last = None
    for each in sorted(rest, key=lambda each: list(dict.fromkeys(one["set"] for one in rest)).index(each["set"])):
        about, last = ("" if each["set"] == last else each["set"]), each["set"]
        lines.append(f"| {about} | {_name(each)} | {_figures(each)} |")
    lines += ["", *_comparisons([each for key, each in results.items() if key.endswith("| comparison")])]
    return "\n".join(lines)


def _name(each: dict[str, Any]) -> str:
    return f"**{each['model']}**" if each.get("ours") else each["model"]


def _figures(each: dict[str, Any]) -> str:
    if "failed" in each:
        return f"failed: {each['failed'].replace('|', '/')} | | | | | | |"
    last_fit = f" ({each['last_fit_minutes']:.2f})" if "last_fit_minutes" in each else ""
    peak = "" if each["peak_mb"] is None else f"{each['peak_mb']:,.0f}"
    return (
        f"{rows.percent(each['accuracy'], 2)} | {100 * each['macro_f1']['value']:.1f} "
        f"| {rows.megabytes(each['size_bytes'])} | {each['rows_per_s']:,.0f} | {each['ms']:.3g} "
        f"| {each['train_minutes']:.2f}{last_fit} | {peak} | {each['note']}"
    )


def _comparisons(found: list[dict[str, Any]]) -> list[str]:
    lines = [
        "Against the best peer that starts from the same body; *no worse* unless the 95 % interval of the paired",
        "difference lies below zero.",
        "",
        "| set | metric | ours | aim | best peer with the same body | ours − peer [95 %] | no worse |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    for each in found:
        if "failed" in each:
            lines.append(f"| {each['set']} | {each['failed']} | | | | | |")
            continue
        aim = "" if each["target"] is None else f"{each['target']:.1f}"
        lines.append(
            f"| {each['set']} | {each['metric'].replace('_', ' ')} | {each['ours']} {100 * each['score']:.2f} | {aim} "
            f"| {each['peer']} | {rows.percent(each['difference'], 2)} | {'yes' if each['no_worse'] else 'no'} |"
        )
    return lines
