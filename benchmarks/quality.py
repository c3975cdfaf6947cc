# SPDX-License-Identifier: Apache-2.0
"""Whole studies on official splits, beside the same recipes written directly: quality, verdict, time, peak memory."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import peers
import rows
import sets

CHILD = """
import resource, subprocess, sys, json, time
began = time.perf_counter()
run = subprocess.run(sys.argv[1:], stdout=subprocess.PIPE, text=True)
peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024
seconds = time.perf_counter() - began
print(json.dumps({"code": run.returncode, "seconds": seconds, "peak_bytes": peak, "out": run.stdout}))
"""


def study(split: sets.Split, folder: Path) -> dict:
    """One study by the command line in a process of its own, with the official test set as certify."""
    train, test = folder / "train.csv", folder / "test.csv"
    split.train.write_csv(train)
    split.test.write_csv(test)
    command = [
        sys.executable, "-m", "bigenough", "fit", str(train), "--test", str(test), "--label", "label", "--text", "text",
        "--name", split.name, "--out", str(folder / "study"), "--json", *sets.CORE,
    ]  # fmt: skip
    run = subprocess.run([sys.executable, "-c", CHILD, *command], stdout=subprocess.PIPE, text=True, check=True)
    measured = json.loads(run.stdout.splitlines()[-1])
    if measured["code"] not in (0, 3, 4):
        raise SystemExit(f"{split.name}: the study ended with code {measured['code']}")
    outcome = json.loads(measured.pop("out"))
    rungs = {
        name: {
            "accuracy": each["evidence"]["accuracy"],
            "macro_f1": each["evidence"]["macro_f1"],
            "size_mb": each["performance"]["size_mb"]["value"],
            "latency_p50_ms": each["performance"]["latency_p50_ms"]["value"],
            "rows_per_s": each["performance"]["throughput_rows_per_s"]["value"],
            "train_seconds": each["search_seconds"] + each["fit_seconds"],
            "settings": each["settings"],
        }
        for name, each in outcome["candidates"].items()
    }
    verdict = outcome["verdict"]
    return {
        "rungs": rungs,
        "answer": verdict["answer"],
        "winner": verdict["winner"],
        "sentence": verdict["sentence"],
        "seconds": measured["seconds"],
        "peak_mb": measured["peak_bytes"] / 1e6,
        "test_rows": len(split.test),
        "train_rows": len(split.train),
        "classes": split.train["label"].n_unique(),
    }


def run(data: Path, name: str, *, threads: int) -> dict[str, dict]:
    """One set: the study first, then its peers on the same rows."""
    split = sets.load(data, name)
    with tempfile.TemporaryDirectory() as scratch:
        began = time.perf_counter()
        result = study(split, Path(scratch))
        model = next((Path(scratch) / "study" / "candidates").glob("frozen-*/model"))
        frozen = peers.frozen(split, model / "model.onnx", model / "tokenizer.json", threads=threads)
        result["peers"] = {
            rung: _beside(Path(scratch) / "study", rung, outcome)
            for rung, outcome in (("linear", peers.linear(split)), ("frozen", frozen))
        }
    print(f"{name}: {result['answer']}, {time.perf_counter() - began:.0f} s", file=sys.stderr)
    return {name: result}


def _beside(study: Path, rung: str, peer: peers.Outcome) -> dict:
    """A peer's figures, and ours minus its own on the same rows with Tango's paired interval."""
    from bigenough.study import Study

    classes = json.loads((study / "study.json").read_text())["task"]["classes"]
    found = Study(study).candidates[rung].predictions("certify")
    gold, ours = ([classes[code] for code in codes] for codes in (found.gold, found.predicted))
    figures = {name: value for name, value in peer._asdict().items() if name != "predicted"}
    right, theirs = (np.array([a == b for a, b in zip(gold, said, strict=True)]) for said in (ours, peer.predicted))
    counts = {"only_ours": int((right & ~theirs).sum()), "only_peer": int((~right & theirs).sum()), "rows": len(gold)}
    return {**figures, "difference": {**rows.difference("accuracy", gold, ours, peer.predicted), **counts}}


def table(results: dict[str, dict]) -> str:
    """The results as Markdown."""
    lines = [
        "*Ours − peer*: the paired difference on the same rows with Tango's 95 % interval, in points.",
        "",
        "| set (train, test, k) | rung | accuracy [95 %] | macro F1 | peer | ours − peer "
        "| ms p50 | rows/s | MB | train s |",
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for name, result in results.items():
        about = f"{name} ({result['train_rows']:,}, {result['test_rows']:,}, {result['classes']})"
        for rung, each in result["rungs"].items():
            value, low, high = (100 * each["accuracy"][part] for part in ("value", "low", "high"))
            peer = result["peers"].get(rung)
            beside = "" if peer is None else f"{100 * peer['accuracy']:.2f}"
            less = "" if peer is None else rows.percent(peer["difference"], 2)
            lines.append(
                f"| {about} | {rung} | {value:.2f} [{low:.1f}, {high:.1f}] "
                f"| {100 * each['macro_f1']['value']:.1f} | {beside} | {less} "
                f"| {each['latency_p50_ms']:.3g} | {each['rows_per_s']:,.0f} | {each['size_mb']:.1f} "
                f"| {each['train_seconds']:.0f} |"
            )
            about = ""
    lines += ["", "| set | verdict | study s | peak MB |", "| --- | --- | --- | --- |"]
    for name, result in results.items():
        lines.append(f"| {name} | {result['sentence']} | {result['seconds']:.0f} | {result['peak_mb']:,.0f} |")
    lines += ["", *_compared(results)]
    return "\n".join(lines)


def _compared(results: dict[str, dict]) -> list[str]:
    """How often a rung is above, beside or below its peer, each set by itself and all comparisons together."""
    found = {
        rung: [result["peers"][rung]["difference"] for result in results.values()] for rung in ("linear", "frozen")
    }
    tests = sum(map(len, found.values()))
    lines = []
    for rung, each in found.items():
        ahead = sum(one["value"] >= 0 for one in each)
        worse = sum(one["high"] < 0 for one in each)
        together = sum(_interval(one, tests)[1] < 0 for one in each)
        lines.append(
            f"- {rung} against its peer on {len(each)} sets: at or above it on {ahead}; shown worse on {worse} at 95 % "
            f"each by itself, on {together} with one error of 5 % for all {tests} comparisons (Bonferroni)."
        )
    return lines


def _interval(one: dict, tests: int) -> tuple[float, float]:
    from bigenough.verdict.noninferiority import tango_interval

    return tango_interval(one["only_ours"], one["only_peer"], one["rows"], 1 - 0.05 / tests)
