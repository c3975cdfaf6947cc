# SPDX-License-Identifier: Apache-2.0
"""What each shrinking step and each lesson gives: whole studies with ``shrink="all"`` on official splits.

A step is compared with the model it started from (the end of its chain, for steps on steps): bytes, label flips on
certify, accuracy with the paired interval, single-row speed in turn. A student is compared with the same rung trained
on the labels alone: how much of the gap to its teacher it closed.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import rows
import sets
from rows import Bench, Failed

if TYPE_CHECKING:
    from bigenough.rungs.candidate import Candidate

NAMES = ("banking77", "clinc150", "snips", "sms_spam", "sst2", "ag_news", "tweet_emotion", "masakhanews-pcm")
RUNGS = ("linear", "static", "frozen", "tuned")
MARGIN = 0.015
STUDENT = "-from-"
AIMS = {
    "vocabulary": "bytes at most 0.6, flips at most 0.3 %",
    "vocabulary-int8": "bytes at most 0.2, speed at least 2x, loss within the margin",
}


def run(bench: Bench, names: tuple[str, ...], done: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """One study a set, then a row for each step and each student in it that is not done yet."""
    for name in names:
        if f"{name} | study" in done and "failed" not in done[f"{name} | study"]:
            continue
        split = bench.load(name)
        try:
            study = _study(bench, split)
        except Failed as error:
            print(f"shrinking: {name}: {error}", file=sys.stderr)
            yield {f"{name} | study": {"set": name, "kind": "study", "failed": str(error)}}
            continue
        for key, made in _rows(bench, split, study, done):
            print(f"shrinking: {key}", file=sys.stderr)
            yield {key: {"set": name, **made}}
        yield {f"{name} | study": {"set": name, "kind": "study", "sentence": study.verdict.sentence}}


def _study(bench: Bench, split: sets.Split):
    folder = bench.cache / "shrinking" / split.name
    folder.mkdir(parents=True, exist_ok=True)
    train, test = folder / "train.csv", folder / "test.csv"
    split.train.write_csv(train)
    split.test.write_csv(test)
    options = {
        "rungs": list(bench.rungs or RUNGS), "minutes": bench.minutes, "threads": bench.threads, "offline": True,
        "shrink": "all", **({} if bench.trials is None else {"trials": bench.trials}),
    }  # fmt: skip
    out = folder / "study"
    bench.ask("ours.py", "study", {"train": str(train), "test": str(test), "out": str(out), "options": options})
    from bigenough.study import Study

    return Study(out)


def _rows(bench: Bench, split: sets.Split, study, done: Mapping[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    candidates: dict[str, Candidate] = study.candidates
    for name, candidate in candidates.items():
        key = f"{split.name} | {name}"
        start = _start(candidate, candidates)
        if key in done or not candidate.record.get("made_from") or start is None:
            continue
        if STUDENT in name and _is_student(name, candidate, candidates):
            yield key, student(name, candidates)
        else:
            timed = _timed(bench, split, {"start": start, "made": candidate})
            yield key, {**step(candidate, start), "speed": timed["start"]["ms"] / timed["made"]["ms"], **timed["made"]}
    for name, reason in _refused(study, bench.rungs or RUNGS):
        yield f"{split.name} | {name}", {"kind": "refused", "model": name, "reason": reason}


def _start(candidate: Candidate, candidates: Mapping[str, Candidate]) -> Candidate | None:
    """The model that a chain of steps began with: a rung's own, or a student."""
    by_folder = {each.folder.name: each for each in candidates.values()}
    parent = by_folder.get(candidate.record.get("made_from") or "")
    while parent is not None and parent.record.get("made_from") and not _is_student(parent.name, parent, candidates):
        parent = by_folder.get(parent.record["made_from"])
    return parent


def _is_student(name: str, candidate: Candidate, candidates: Mapping[str, Candidate]) -> bool:
    """Whether it was taught: its name is "rung-from-teacher", and the teacher is what it was made from."""
    teacher = candidates.get(name.partition(STUDENT)[2])
    return teacher is not None and candidate.record.get("made_from") == teacher.folder.name


def step(made: Candidate, start: Candidate) -> dict[str, Any]:
    """A smaller model beside the one it was made from, on the certify rows."""
    one, other = made.predictions("certify"), start.predictions("certify")
    gold, first, second = ([str(code) for code in each] for each in (one.gold, one.predicted, other.predicted))
    tried = made.record.get("record", {}).get("variants", [])
    return {
        "kind": "step",
        "model": made.name,
        "start": start.name,
        "step": made.name.removeprefix(start.name).strip("-"),
        "size_bytes": made.size_bytes,
        "bytes_ratio": made.size_bytes / start.size_bytes,
        "flips": float(np.mean(one.predicted != other.predicted)),
        "change": rows.difference("accuracy", gold, first, second),
        "proved": _proved(one.predicted == one.gold, other.predicted == one.gold),
        "accuracy": one.scores()["accuracy"],
        "n": len(gold),
        "tried": len(tried),
        "variants_refused": sum(each.get("refused") is not None for each in tried),
    }


def student(name: str, candidates: Mapping[str, Candidate]) -> dict[str, Any]:
    """A taught model beside the same rung without a teacher, and the share of the gap between them that it closed."""
    rung, _, teacher = name.partition(STUDENT)
    scores = {
        each: candidates[each].predictions("certify").scores()["accuracy"]
        for each in (rung, teacher, name)
        if each in candidates
    }
    plain, best, taught = scores.get(rung), scores[teacher], scores[name]
    gap = None if plain is None else best - plain
    return {
        "kind": "student",
        "model": name,
        "rung": rung,
        "teacher": teacher,
        "plain_accuracy": plain,
        "teacher_accuracy": best,
        "accuracy": taught,
        "recovered": None if plain is None or gap is None or gap <= 0 else (taught - plain) / gap,
        "size_bytes": candidates[name].size_bytes,
    }


def _proved(right: np.ndarray, start_right: np.ndarray) -> bool:
    """Non-inferior at 5 % within the study's default margin."""
    from bigenough.verdict.noninferiority import paired_counts, tango_lower

    b, c = paired_counts(right, start_right)
    return bool(tango_lower(b, c, len(right), 0.05) > -MARGIN)


def _timed(bench: Bench, split: sets.Split, models: Mapping[str, Candidate]) -> dict[str, dict[str, float]]:
    paths = {name: str(Path(each.model).resolve()) for name, each in models.items()}
    texts = split.test["text"].to_list()
    return bench.ask("ours.py", "speed", {"models": paths, "texts": texts, "threads": bench.threads})


def _refused(study, rungs: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Steps that ended without a model, with the reason that the study wrote down before certify was opened."""
    from bigenough.study_folder import StudyFolder

    for each in StudyFolder(study.path).read("plan.json")["left_out"]:
        if each["candidate"] not in study.candidates and each["candidate"] not in rungs:
            yield each["candidate"], each["reason"]


def table(results: dict[str, dict[str, Any]]) -> str:
    """The results as Markdown: the steps, the students, and how many sets keep what was aimed at."""
    kinds = {kind: [each for each in results.values() if each.get("kind") == kind] for kind in ("step", "student")}
    refused = [each for each in results.values() if each.get("kind") == "refused"]
    lines = [
        "Each row against the model that its chain of steps started from, on the official test rows. *Proved*: not",
        f"worse by {100 * MARGIN:g} points or more, at 5 %; *seen*: the observed change is within them. A refused step",
        "gave no model.",
        "",
        "| set | start | step | MB | bytes | flips | accuracy change [95 %] | within margin | single-row speed |",
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for name in dict.fromkeys(each["set"] for each in results.values()):
        lines += [_step_line(each) for each in kinds["step"] if each["set"] == name]
        lines += [
            f"| {name} | {each['model']} | refused: {each['reason'].replace('|', '/')} | | | | | | |"
            for each in refused
            if each["set"] == name
        ]
    lines += ["", *_counted(kinds["step"], refused), ""]
    lines += [
        "Students: the share of the gap between the rung trained on labels alone and its teacher that teaching closes.",
        "",
        "| set | student | plain | taught | teacher | gap closed |",
        "| --- | --- | --- | --- | --- | --- |",
        *[_student_line(each) for each in kinds["student"]],
    ]
    failed = [f"{each['set']}: {each['failed']}" for each in results.values() if "failed" in each]
    return "\n".join([*lines, *([""] if failed else []), *failed])


def _step_line(each: dict[str, Any]) -> str:
    return (
        f"| {each['set']} | {each['start']} | {each['step']} | {rows.megabytes(each['size_bytes'])} "
        f"| {each['bytes_ratio']:.2f}x | {100 * each['flips']:.2f} % | {rows.percent(each['change'], 2)} "
        f"| {_within(each)} | {each['speed']:.2f}x |"
    )


def _within(each: dict[str, Any]) -> str:
    if each["proved"]:
        return "proved"
    return "seen" if each["change"]["value"] >= -MARGIN else "no"


def _student_line(each: dict[str, Any]) -> str:
    plain = "" if each["plain_accuracy"] is None else f"{100 * each['plain_accuracy']:.2f}"
    closed = "no gap" if each["recovered"] is None else f"{100 * each['recovered']:.0f} %"
    return (
        f"| {each['set']} | {each['model']} | {plain} | {100 * each['accuracy']:.2f} "
        f"| {100 * each['teacher_accuracy']:.2f} | {closed} |"
    )


def _counted(steps: list[dict[str, Any]], refused: list[dict[str, Any]]) -> list[str]:
    lines = []
    for start in dict.fromkeys(each["start"] for each in steps):
        for name, aim in AIMS.items():
            found = [each for each in steps if (each["start"], each["step"]) == (start, name)]
            gone = sum(each["model"] == f"{start}-{name}" for each in refused)
            if not found:
                continue
            kept = sum(_keeps(name, each) for each in found)
            lines.append(f"- {start}, {name} ({aim}): {kept} of {len(found) + gone} sets, refused on {gone}.")
    return lines


def _keeps(name: str, each: dict[str, Any]) -> bool:
    if name == "vocabulary":
        return each["bytes_ratio"] <= 0.6 and each["flips"] <= 0.003
    return each["bytes_ratio"] <= 0.2 and each["speed"] >= 2 and _within(each) != "no"
