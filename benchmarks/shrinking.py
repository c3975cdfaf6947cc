# SPDX-License-Identifier: Apache-2.0
"""What each shrinking step and each lesson gives, in whole studies on official splits.

A step is compared with the model it started from (the end of its chain, for steps on steps): bytes, label flips on
certify, accuracy with the paired interval, single-row speed in turn. A student is compared with the same rung trained
on the labels alone: how much of the gap to its teacher it closed. Where the teacher is not shown to be better than
that (95 %, paired), there is no gap to close, and the set does not count.

What a second thread is worth to one row is the host's choice and changes within the hour (docs/decisions/013), so the
tuned encoder's steps are timed in several turns of all sets. Their speed is the median, beside the least and the most.
"""

from __future__ import annotations

import statistics
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import rows
import sets
from rows import Bench, Failed
from whole_study import RUNGS, TEACHER, is_made, whole_study

if TYPE_CHECKING:
    from bigenough.rungs.candidate import Candidate

NAMES = ("banking77", "clinc150", "snips", "sms_spam", "sst2", "ag_news", "tweet_emotion", "masakhanews-pcm")
MARGIN = 0.015
STUDENT = "-from-"


def run(bench: Bench, names: tuple[str, ...], done: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """One study a set, then a row for each step and each student in it that is not done yet."""
    for name in names:
        if f"{name} | study" in done and "failed" not in done[f"{name} | study"]:
            continue
        split = bench.load(name)
        try:
            study = whole_study(bench, split)[0]
            for key, made in _rows(bench, split, study, done):
                print(f"shrinking: {key}", file=sys.stderr)
                yield {key: {"set": name, **made}}
        except Failed as error:
            print(f"shrinking: {name}: {error}", file=sys.stderr)
            yield {f"{name} | study": {"set": name, "kind": "study", "failed": str(error)}}
            continue
        yield {f"{name} | study": {"set": name, "kind": "study", "sentence": study.verdict.sentence}}
    for turn in range(1, bench.turns):
        for name in names:
            yield from _timed_again(bench, name, turn, done)


def _timed_again(bench: Bench, name: str, turn: int, done: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """The set's steps of the tuned encoder that were timed in no more turns than this, timed once more."""
    due = {
        key: each
        for key, each in done.items()
        if (each["set"], each.get("start")) == (name, TEACHER) and len(each["timings"]) <= turn
    }
    if not due:
        return
    split = bench.load(name)
    if not is_made(bench, split):
        print(f"shrinking: {name}: timed no more, its study is not in {bench.cache}", file=sys.stderr)
        return
    candidates = whole_study(bench, split)[0].candidates
    models = {TEACHER: candidates[TEACHER], **{each["model"]: candidates[each["model"]] for each in due.values()}}
    timed = _timed(bench, split, models)
    for key, each in due.items():
        print(f"shrinking: {key}, turn {turn + 1} of {bench.turns}", file=sys.stderr)
        timings = [*each["timings"], [timed[TEACHER]["ms"], timed[each["model"]]["ms"]]]
        yield {key: {**each, **speed(timings)}}


def speed(timings: Sequence[Sequence[float]]) -> dict[str, Any]:
    """What turns say together; each is the milliseconds of a row of the model before and of the one made of it."""
    ratios = [before / after for before, after in timings]
    start_ms, ms = (statistics.median(each) for each in zip(*timings, strict=True))
    return {
        "timings": [list(each) for each in timings], "start_ms": start_ms, "ms": ms,
        "speed": statistics.median(ratios), "speed_low": min(ratios), "speed_high": max(ratios),
    }  # fmt: skip


def _rows(bench: Bench, split: sets.Split, study, done: Mapping[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    candidates: dict[str, Candidate] = study.candidates
    for name, candidate in candidates.items():
        key = f"{split.name} | {name}"
        start = _start(candidate, candidates)
        if key in done or not candidate.record.get("made_from") or start is None:
            continue
        if STUDENT in name and is_student(name, candidate, candidates):
            yield key, student(name, candidates)
        else:
            timed = _timed(bench, split, {"start": start, "made": candidate})
            rows_per_s = timed["made"]["rows_per_s"]
            ratio = speed([[timed["start"]["ms"], timed["made"]["ms"]]])
            yield key, {**step(candidate, start), "rows_per_s": rows_per_s, **ratio}
    for name, reason in _left_out(study):
        kind = "not fitted" if name in (bench.rungs or RUNGS) else "refused"
        yield f"{split.name} | {name}", {"kind": kind, "model": name, "reason": reason}


def _start(candidate: Candidate, candidates: Mapping[str, Candidate]) -> Candidate | None:
    """The model that a chain of steps began with: a rung's own, or a student."""
    by_folder = {each.folder.name: each for each in candidates.values()}
    parent = by_folder.get(candidate.record.get("made_from") or "")
    while parent is not None and parent.record.get("made_from") and not is_student(parent.name, parent, candidates):
        parent = by_folder.get(parent.record["made_from"])
    return parent


def is_student(name: str, candidate: Candidate, candidates: Mapping[str, Candidate]) -> bool:
    """Whether it was taught: its name is "rung-from-teacher", and the teacher is what it was made from."""
    teacher = candidates.get(name.partition(STUDENT)[2])
    return teacher is not None and candidate.record.get("made_from") == teacher.folder.name


def step(made: Candidate, start: Candidate) -> dict[str, Any]:
    """A smaller model beside the one it was made from, on the certify rows."""
    one, other = made.predictions("certify"), start.predictions("certify")
    gold, first, second = ([str(code) for code in each] for each in (one.gold, one.predicted, other.predicted))
    record = made.record.get("record", {})
    tried = record.get("variants", [])
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
        "processor_features": record.get("processor_features"),
    }


def student(name: str, candidates: Mapping[str, Candidate]) -> dict[str, Any]:
    """A taught model beside the same rung without a teacher, and the share of the gap between them that it closed."""
    rung, _, teacher = name.partition(STUDENT)
    found = {each: candidates[each].predictions("certify") for each in (rung, teacher, name)}
    gold = [str(code) for code in found[name].gold]
    said = {each: [str(code) for code in one.predicted] for each, one in found.items()}
    gap, gained = (rows.difference("accuracy", gold, said[each], said[rung]) for each in (teacher, name))
    return {
        "kind": "student",
        "model": name,
        "rung": rung,
        "teacher": teacher,
        **{f"{part}accuracy": found[each].scores()["accuracy"] for part, each in
           (("plain_", rung), ("teacher_", teacher), ("", name))},
        "gap": gap,
        "gained": gained,
        "recovered": gained["value"] / gap["value"] if gap["low"] > 0 else None,
        "size_bytes": candidates[name].size_bytes,
    }  # fmt: skip


def _proved(right: np.ndarray, start_right: np.ndarray) -> bool:
    """Non-inferior at 5 % within the study's default margin."""
    from bigenough.verdict.noninferiority import paired_counts, tango_lower

    b, c = paired_counts(right, start_right)
    return bool(tango_lower(b, c, len(right), 0.05) > -MARGIN)


def _timed(bench: Bench, split: sets.Split, models: Mapping[str, Candidate]) -> dict[str, dict[str, float]]:
    paths = {name: str(Path(each.model).resolve()) for name, each in models.items()}
    texts = split.test["text"].to_list()
    return bench.ask("ours.py", "speed", {"models": paths, "texts": texts, "threads": bench.threads})


def _left_out(study) -> Iterator[tuple[str, str]]:
    """Who ended without a model, with the reason that the study wrote down before certify was opened."""
    from bigenough.study_folder import StudyFolder

    for each in StudyFolder(study.path).read("plan.json")["left_out"]:
        if each["candidate"] not in study.candidates:
            yield each["candidate"], each["reason"]


def table(results: dict[str, dict[str, Any]]) -> str:
    """The results as Markdown: the steps, the students, and how many sets keep what was aimed at."""
    kinds: dict[str, list[dict[str, Any]]] = {}
    for each in results.values():
        kinds.setdefault(each["kind"], []).append(each)
    steps, students, refused = (kinds.get(kind, []) for kind in ("step", "student", "refused"))
    names = list(dict.fromkeys(each["set"] for each in results.values()))
    lines = [
        "Each row against the model that its chain of steps started from, on the official test rows. *Proved*: not",
        f"worse by {100 * MARGIN:g} points or more, at 5 %; *seen*: the observed change is within them. A refused step",
        "gave no model. Speed with a range is the median of several turns of all sets, with the least and the most.",
        "",
        "| set | start | step | MB | bytes | flips | accuracy change [95 %] | within margin | single-row speed |",
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for name in names:
        lines += [_step_line(each) for each in steps if each["set"] == name]
        lines += [
            f"| {name} | {each['model']} | refused: {each['reason'].replace('|', '/')} | | | | | | |"
            for each in refused
            if each["set"] == name
        ]
    lines += ["", *_counted(names, steps, refused), ""]
    lines += [
        f"Students of {TEACHER}, beside the same rung trained on the labels alone (*plain*).",
        "",
        "| set | student | plain | taught | teacher | teacher − plain [95 %] | taught − plain [95 %] | gap closed |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
        *[student_line(each) for each in students],
        "",
        *closed(names, students),
    ]
    failed = [f"{each['set']}: {each['failed']}" for each in results.values() if "failed" in each]
    failed += [f"{each['set']}: {each['model']}: {each['reason']}" for each in kinds.get("not fitted", [])]
    return "\n".join([*lines, *([""] if failed else []), *failed])


def _step_line(each: dict[str, Any]) -> str:
    flips = f"{round(each['flips'] * each['n']):,} of {each['n']:,}, {100 * each['flips']:.2f} %"
    return (
        f"| {each['set']} | {each['start']} | {each['step']} | {rows.megabytes(each['size_bytes'])} "
        f"| {each['bytes_ratio']:.3f}x | {flips} | {rows.percent(each['change'], 2)} "
        f"| {_within(each)} | {_speed(each)} |"
    )


def _speed(each: dict[str, Any]) -> str:
    spread = f" [{each['speed_low']:.2f}, {each['speed_high']:.2f}]" if len(each["timings"]) > 1 else ""
    return f"{each['speed']:.2f}x{spread}"


def _within(each: dict[str, Any]) -> str:
    if each["proved"]:
        return "proved"
    return "seen" if each["change"]["value"] >= -MARGIN else "no"


def student_line(each: dict[str, Any]) -> str:
    closed = "no shown gap" if each["recovered"] is None else f"{100 * each['recovered']:.0f} %"
    plain, taught, teacher = (f"{100 * each[f'{part}accuracy']:.2f}" for part in ("plain_", "", "teacher_"))
    return (
        f"| {each['set']} | {each['model']} | {plain} | {taught} | {teacher} | {rows.percent(each['gap'], 2)} "
        f"| {rows.percent(each['gained'], 2)} | {closed} |"
    )


def closed(names: Sequence[str], students: list[dict[str, Any]]) -> Iterator[str]:
    """In how many sets some student closes half of a gap that is shown."""
    best: dict[str, float] = {}
    for each in students:
        if each["teacher"] == TEACHER and each["recovered"] is not None:
            best[each["set"]] = max(best.get(each["set"], -1.0), each["recovered"])
    yield (
        f"A student closes at least half of its gap in {sum(share >= 0.5 for share in best.values())} of the "
        f"{len(best)} sets in which a gap is shown, of {len(names)}."
    )


def _counted(names: Sequence[str], steps: list[dict[str, Any]], refused: list[dict[str, Any]]) -> Iterator[str]:
    """In how many sets the tuned encoder's smaller models reach the aims, and what was missed in the others."""
    for kind, (aim, products, checks) in AIMS.items():
        kept, missed = 0, []
        for name in names:
            made = {each["step"]: each for each in steps if (each["set"], each["start"]) == (name, TEACHER)}
            found = sorted((made[one] for one in products if one in made), key=lambda each: each["size_bytes"])
            short = [what for what, holds in checks.items() if found and not holds(found[0])]
            if found and not short:
                kept += 1
                continue
            gone = {each["model"].removeprefix(f"{TEACHER}-") for each in refused if each["set"] == name}
            missed.append(f"{name} ({', '.join(short) or ('refused' if gone & set(products) else 'not made')})")
        told = f"; not on {', '.join(missed)}" if missed else ""
        yield f"- {TEACHER}, {kind} ({aim}): {kept} of {len(names)} sets{told}."


_SMALL: Mapping[str, Callable[[dict[str, Any]], bool]] = {
    "bytes": lambda each: each["bytes_ratio"] <= 0.2,
    "speed": lambda each: each["speed"] >= 2,
    "loss": lambda each: _within(each) != "no",
}
_SMALL_AIM = "bytes at most 0.2, speed at least 2x, observed loss within the margin"
_EIGHT_BITS = ("vocabulary-int8", "int8")
"""The second is there where the vocabulary was refused."""
AIMS: Mapping[str, tuple[str, Sequence[str], Mapping[str, Callable[[dict[str, Any]], bool]]]] = {
    "vocabulary": (
        "bytes at most 0.6, flips at most 0.3 %",
        ("vocabulary",),
        {"bytes": lambda each: each["bytes_ratio"] <= 0.6, "flips": lambda each: each["flips"] <= 0.003},
    ),
    "vocabulary-int8": (_SMALL_AIM, _EIGHT_BITS, _SMALL),
    "the smallest in 8 bits": (
        _SMALL_AIM,
        [*_EIGHT_BITS, *(f"{cut}-{coded}" for cut in ("layers", "structure") for coded in _EIGHT_BITS)],
        _SMALL,
    ),
}
"""By what is counted: the aim in words, the products, of which the smallest has to keep it, and what that means."""
