# SPDX-License-Identifier: Apache-2.0
"""Students where most texts have no label: a fifth of each train set is labelled, the rest is ``--unlabelled``.

The table of ``shrinking`` teaches where every text that there is has a label, which a teacher can hardly add to. Here
is what a team with a log of texts and some labels has. The labelled rows are drawn class by class, at least two of
each; the official test set is certify, and the labels of the others reach nobody.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from typing import Any

import polars as pl
import rows
import sets
import shrinking
from rows import Bench, Failed
from whole_study import TEACHER, whole_study

NAMES = ("banking77", "clinc150", "snips", "sst2", "ag_news", "tweet_emotion")
FOLDER = "students"
SHARE = 0.2
FEWEST = 2


def run(bench: Bench, names: tuple[str, ...], done: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """One study a set, then a row for each student in it."""
    for name in names:
        if f"{name} | study" in done and "failed" not in done[f"{name} | study"]:
            continue
        every = bench.load(name)
        labelled, rest = split_labels(every.train)
        split = sets.Split(name, labelled, every.test)
        try:
            study = whole_study(bench, split, folder=FOLDER, unlabelled=rest)[0]
        except Failed as error:
            print(f"students: {name}: {error}", file=sys.stderr)
            yield {f"{name} | study": {"set": name, "kind": "study", "failed": str(error)}}
            continue
        for student, candidate in study.candidates.items():
            if shrinking.is_student(student, candidate, study.candidates):
                print(f"students: {name} | {student}", file=sys.stderr)
                told = {"labelled": len(labelled), "unlabelled": len(rest)}
                yield {f"{name} | {student}": {"set": name, **told, **shrinking.student(student, study.candidates)}}
        yield {f"{name} | study": {"set": name, "kind": "study", "sentence": study.verdict.sentence}}


def split_labels(train: pl.DataFrame, seed: int = 0) -> tuple[pl.DataFrame, pl.DataFrame]:
    """The rows that keep their labels, a fifth of each class, and the texts of the others."""
    shuffled = train.sample(fraction=1.0, shuffle=True, seed=seed)
    place, size = pl.int_range(pl.len()).over("label"), pl.len().over("label")
    told = shuffled.with_columns(labelled=place < (SHARE * size).ceil().clip(lower_bound=FEWEST))
    return told.filter("labelled").select("text", "label"), told.filter(~pl.col("labelled")).select("text")


def table(results: dict[str, dict[str, Any]]) -> str:
    """The results as Markdown."""
    students = [each for each in results.values() if each["kind"] == "student"]
    lines = [
        f"A fifth of each train set is labelled, the other texts are `--unlabelled`; students of {TEACHER}, which has",
        "learned from the labelled ones, beside the same rung trained on the labels alone (*plain*), on the official",
        "test rows.",
        "",
        "| set | labelled | unlabelled | student | plain | taught | teacher | teacher − plain [95 %] "
        "| taught − plain [95 %] | gap closed | MB |",
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |",
        *[_line(each) for each in students],
        "",
        *shrinking.closed(list(dict.fromkeys(each["set"] for each in results.values())), students),
    ]
    failed = [f"{each['set']}: {each['failed']}" for each in results.values() if "failed" in each]
    return "\n".join([*lines, *([""] if failed else []), *failed])


def _line(each: dict[str, Any]) -> str:
    name, rest = shrinking.student_line(each).removeprefix("| ").split(" | ", 1)
    return f"| {name} | {each['labelled']:,} | {each['unlabelled']:,} | {rest} {rows.megabytes(each['size_bytes'])} |"
