# SPDX-License-Identifier: Apache-2.0
"""The user's table turned into a task with three splits: everything that is settled before a model is fitted."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from bigenough.errors import BadOption, NotEnoughLabels
from bigenough.measure.machine import machine, package_versions
from bigenough.options import Options
from bigenough.storage import canonical_json, content_hash
from bigenough.task import Examples, Task
from bigenough.task.labelled import Labelled, labelled, with_official_test
from bigenough.task.reading import read_splits, read_table
from bigenough.task.splits import Splits, split_examples
from bigenough.task.table import Table

__all__ = ["Job", "read_job"]


@dataclass(frozen=True)
class Job:
    """A task, its examples and its splits.

    ``further`` hashes what else models are told of, by its name; ``in_memory`` says that no file was read.
    """

    task: Task
    read: Labelled
    splits: Splits
    key: str
    content: str
    data: str
    test: str | None
    further: Mapping[str, str] = field(default_factory=dict)
    in_memory: bool = False

    @property
    def examples(self) -> Examples:
        """Every usable row."""
        return self.read.examples

    @cached_property
    def fit(self) -> Examples:
        """The rows that models are fitted on."""
        return self.examples.take(self.splits.fit)

    @cached_property
    def select(self) -> Examples:
        """The rows that choose settings, order and temperature."""
        return self.examples.take(self.splits.select)

    @cached_property
    def certify(self) -> Examples:
        """The rows that the verdict alone opens; their groups are what was drawn as one."""
        rows = self.examples.take(self.splits.certify)
        units = self.splits.units
        return rows if units is None else replace(rows, groups=units[self.splits.certify])

    @property
    def decisions(self) -> tuple[str, ...]:
        """What was decided about the data, a sentence each."""
        return (*self.read.decisions, *self.splits.decisions)

    def identity(self, options: Options) -> dict[str, Any]:
        """What makes a study this one and no other."""
        read = {"data": self.data, "test": self.test, "rows and splits": self.content}
        return {**read, **self.further, **options.identity()}

    def told(self, options: Options, unlabelled: Table | None, descriptions: Mapping[str, str]) -> Job:
        """The same with texts without labels, and with what classes mean; the latter makes it another job."""
        further, key = {}, self.key
        if unlabelled is not None:
            further["unlabelled"] = unlabelled.sha256
        if descriptions:
            further["descriptions"] = content_hash(dict(descriptions))
            key = content_hash(self.content, options.identity(), further["descriptions"], length=8)
        return replace(self, further=further, key=key)

    def facts(self, options: Options) -> Mapping[str, Any]:
        """What study.json says once, when the study begins."""
        read = self.read
        return {
            "name": self.task.name,
            "key": self.key,
            "created": datetime.now(UTC).isoformat(timespec="seconds"),
            "bigenough": version("bigenough"),
            "source": {
                "path": read.source,
                "in_memory": self.in_memory,
                "rows": len(self.examples),
                "sha256": self.data,
                "text_column": read.text,
                "label_column": read.label,
                "group_column": read.group,
                "time_column": read.time,
                "decisions": list(self.decisions),
            },
            "options": options.to_json(),
            "machine": machine().to_json(),
            "packages": package_versions(),
            "task": {
                "name": self.task.name,
                "kind": "classify",
                "classes": list(self.task.classes),
                "metric": self.task.metric,
                "margin": self.task.margin,
                "alpha": self.task.alpha,
                "limits": dict(vars(self.task.limits)),
            },
        }


def read_job(data: Any, test: Any, options: Options, name: str | None) -> Job:
    """Read the table, choose its columns, split it; the same data and options give the same job anywhere.

    Raises:
        InputError: the table, the columns or the number of labels will not do.
        BadOption: a time column and an official test set are given.
    """
    named = [name for name in (options.text, options.label, options.group, options.time) if name is not None]
    tables = read_splits(data, named=named)
    read = labelled(tables.table, text=options.text, label=options.label, group=options.group, time=options.time)
    held = read_table(test, named=named) if test is not None else tables.test
    positions = None
    if held is not None and options.time is not None:
        raise BadOption(
            f"The time column {options.time!r} and the official test set {held.source} both fix what certifies. Give "
            "one of them."
        )
    if held is not None:
        _check_test(tables.table, held)
        official = with_official_test(read, held)
        read, positions = official.labelled, official.positions
    splits = split_examples(
        read.examples, seed=options.seed, times=read.times, n_classes=len(read.classes), official_test=positions
    )
    _check_groups(read.examples, splits)
    task = Task(
        name or _name_of(str(data) if isinstance(data, str | Path) else read.source),
        read.classes,
        metric=options.metric,
        margin=options.margin_fraction,
        alpha=options.alpha,
        limits=options.limits,
    )
    content = _content(read.examples, read.classes, splits)
    key = content_hash(content, options.identity(), length=8)
    return Job(
        task, read, splits, key, content, read.sha256, None if held is None else held.sha256,
        in_memory=not isinstance(data, str | Path),
    )  # fmt: skip


def _content(examples: Examples, classes: tuple[str, ...], splits: Splits) -> str:
    """A hash of every row as used and of where it stands: another version that reads or splits otherwise shows here."""
    digest = hashlib.sha256(canonical_json(list(classes)).encode())
    for text in examples.texts:
        data = text.encode("utf-8", "surrogatepass")
        digest.update(len(data).to_bytes(8, "little") + data)
    for array in (examples.labels, examples.groups, splits.fit, splits.select, splits.certify, splits.units):
        digest.update(b"-" if array is None else np.ascontiguousarray(array, dtype="<i8").tobytes())
    return digest.hexdigest()[:16]


def _check_test(train: Table, test: Table) -> None:
    if test.sha256 == train.sha256:
        raise BadOption(
            f"The test set {test.source} has the very content of the table to learn from, {train.source}: every answer "
            "would be known by heart and nothing proved. Name another test set, or leave it out: certify is then drawn."
        )


def _check_groups(examples: Examples, splits: Splits) -> None:
    if examples.groups is not None and len(np.unique(examples.groups[splits.certify])) < 2:
        raise NotEnoughLabels(
            "All certify rows belong to one group, so nothing can be said about other groups. Give rows of more "
            "groups, or leave the group column out if rows are independent."
        )


def _name_of(source: str) -> str:
    stem = Path(source).absolute().stem if source else "study"
    return re.sub(r"[^\w.-]+", "-", stem).strip("-.").lower() or "study"
