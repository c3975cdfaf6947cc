# SPDX-License-Identifier: Apache-2.0
"""The user's table turned into a task with three splits: everything that is settled before a model is fitted."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from typing import Any

from bigenough.measure.machine import machine, package_versions
from bigenough.options import Options
from bigenough.storage import content_hash
from bigenough.task import Examples, Task
from bigenough.task.labelled import Labelled, labelled, with_official_test
from bigenough.task.reading import read_splits, read_table
from bigenough.task.splits import Splits, split_examples

__all__ = ["Job", "read_job"]

NOT_IDENTITY = ("threads", "offline")


@dataclass(frozen=True)
class Job:
    """A task, its examples and its splits."""

    task: Task
    read: Labelled
    splits: Splits
    key: str
    data: str
    test: str | None

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
        """The rows that the verdict alone opens."""
        return self.examples.take(self.splits.certify)

    @property
    def decisions(self) -> tuple[str, ...]:
        """What was decided about the data, a sentence each."""
        return (*self.read.decisions, *self.splits.decisions)

    def identity(self, options: Options) -> dict[str, Any]:
        """What makes a study this one and no other."""
        chosen = {name: value for name, value in options.to_json().items() if name not in NOT_IDENTITY}
        return {"data": self.data, "test": self.test, **chosen}

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
    """
    tables = read_splits(data)
    read = labelled(tables.table, text=options.text, label=options.label, group=options.group, time=options.time)
    held = read_table(test) if test is not None else tables.test
    positions = None
    if held is not None:
        official = with_official_test(read, held)
        read, positions = official.labelled, official.positions
    splits = split_examples(
        read.examples, seed=options.seed, times=read.times, n_classes=len(read.classes), official_test=positions
    )
    task = Task(
        name or _name_of(read.source),
        read.classes,
        metric=options.metric,
        margin=options.margin_fraction,
        alpha=options.alpha,
        limits=options.limits,
    )
    data_hash, test_hash = read.sha256, None if held is None else held.sha256
    chosen = {key: value for key, value in options.to_json().items() if key not in NOT_IDENTITY}
    return Job(task, read, splits, content_hash(data_hash, test_hash, chosen, length=8), data_hash, test_hash)


def _name_of(source: str) -> str:
    stem = Path(source).stem if source else "study"
    return re.sub(r"[^\w.-]+", "-", stem).strip("-.").lower() or "study"
