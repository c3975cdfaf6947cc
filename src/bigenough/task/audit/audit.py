# SPDX-License-Identifier: Apache-2.0
"""The whole audit: every check of the data desk, in one pass, before any rung is fitted."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypedDict

import numpy as np
from numpy.typing import NDArray

from bigenough.quantity import Quantity
from bigenough.quantity.quantity import QuantityJson
from bigenough.task.audit.classes import ClassSize, class_sizes, find_class_faults
from bigenough.task.audit.duplicates import contradiction_ceiling, find_duplicates, sameness
from bigenough.task.audit.findings import Finding, FindingJson
from bigenough.task.audit.label_errors import MIN_ROWS, find_label_errors, noise_ceiling
from bigenough.task.audit.languages import UNDETERMINED, find_languages
from bigenough.task.audit.lengths import Lengths, find_length_faults, measure_lengths
from bigenough.task.audit.near_duplicates import find_near_duplicates
from bigenough.task.audit.out_of_fold import MIN_CLASS_ROWS, OutOfFold, out_of_fold
from bigenough.task.audit.parts import CERTIFY, FIT, SELECT, SplitPositions, parts_of
from bigenough.task.audit.personal_data import find_personal_data, masked
from bigenough.task.task import Examples

__all__ = ["Audit", "AuditJson", "audit"]

_SEVERITY_ORDER = {"problem": 0, "warning": 1, "info": 2}

Positions = NDArray[np.int64]
Say = Callable[[str, float | None], None]


class AuditJson(TypedDict):
    """The shape of ``audit.json``."""

    findings: list[FindingJson]
    classes: list[dict[str, str | int]]
    splits: dict[str, int | list[str]]
    languages: dict[str, float]
    length: dict[str, int]
    noise_ceiling: QuantityJson | None
    contradiction_ceiling: QuantityJson
    decisions: list[str]


@dataclass(frozen=True)
class Audit:
    """What the data desk found.

    Attributes:
        findings: faults, the gravest first.
        classes: rows of each class in each split.
        splits: rows of each split.
        split_decisions: how the splits were made.
        languages: shares by ISO 639 code, "undetermined" for the rest.
        length: lengths of the texts.
        noise_ceiling: the accuracy at which wrong labels would stop a perfect model; None if it was not estimated.
        contradiction_ceiling: the accuracy that identical texts with different labels leave possible, all rows counted.
        decisions: what the audit sampled or left out.
    """

    findings: tuple[Finding, ...]
    classes: tuple[ClassSize, ...]
    splits: dict[str, int]
    split_decisions: tuple[str, ...]
    languages: dict[str, float]
    length: Lengths
    noise_ceiling: Quantity | None
    contradiction_ceiling: Quantity
    decisions: tuple[str, ...]

    def to_json(self) -> AuditJson:
        """The content of ``audit.json``."""
        return {
            "findings": [each.to_json() for each in self.findings],
            "classes": [each.to_json() for each in self.classes],
            "splits": {**self.splits, "decisions": list(self.split_decisions)},
            "languages": self.languages,
            "length": self.length.to_json(),
            "noise_ceiling": None if self.noise_ceiling is None else self.noise_ceiling.to_json(),
            "contradiction_ceiling": self.contradiction_ceiling.to_json(),
            "decisions": list(self.decisions),
        }


def audit(
    examples: Examples,
    classes: Sequence[str],
    splits: SplitPositions,
    *,
    seed: int = 0,
    decisions: Sequence[str] = (),
    guessed: OutOfFold | None = None,
    say: Say = lambda what, done: None,
) -> Audit:
    """Audit a task's examples and their splits; the same input and seed give the same audit.

    Args:
        examples: all rows as used.
        classes: the task's classes.
        splits: anything with ``fit``, ``select`` and ``certify`` positions.
        seed: for samples and folds.
        decisions: how the splits were made, for the record.
        guessed: out-of-fold probabilities of fit and select rows, if there is a better model than tf-idf with a
            linear SVM.
        say: told what is going on and how much of it is done.

    Returns:
        Findings of all checks. It changes, drops and mends nothing.
    """
    classes = [str(name) for name in classes]
    part = parts_of(len(examples), splits)
    say("comparing texts", 0.0)
    same = sameness(examples.texts)
    found = find_length_faults(examples)
    found += find_duplicates(examples, classes, part, same)
    near, near_decisions = find_near_duplicates(
        examples, part, same, seed=seed, say=lambda done: say("comparing texts", done)
    )
    sizes = class_sizes(examples.labels, part, classes)
    found += near + find_class_faults(examples, part, sizes)
    say("telling languages", None)
    mix = find_languages(examples, seed=seed)
    spoken = [language for language, rows in mix.shares.items() if language != UNDETERMINED and rows >= 0.05]
    personal = find_personal_data(
        examples, languages=spoken, seed=seed, say=lambda done: say("looking for personal data", done)
    )
    found += mix.findings + personal.findings
    open_rows = np.flatnonzero((part == FIT) | (part == SELECT)).astype(np.int64)
    if guessed is None:
        guessed = _guess(examples, len(classes), open_rows, same.codes, seed, say)
    elif not np.isin(guessed.positions, open_rows).all():
        raise ValueError("Out-of-fold probabilities must be of fit and select rows only: certify stays closed.")
    wrong, ceiling, label_decisions = _label_noise(examples, classes, open_rows, guessed)
    found += wrong
    found.sort(key=lambda each: _SEVERITY_ORDER[each.severity])
    return Audit(
        findings=tuple(masked(each, languages=spoken) for each in found),
        classes=tuple(sizes),
        splits={
            name: int((part == code).sum()) for name, code in (("fit", FIT), ("select", SELECT), ("certify", CERTIFY))
        },
        split_decisions=tuple(decisions),
        languages=mix.shares,
        length=measure_lengths(examples),
        noise_ceiling=ceiling,
        contradiction_ceiling=contradiction_ceiling(examples.texts, examples.labels),
        decisions=(*near_decisions, *mix.decisions, *personal.decisions, *label_decisions),
    )


def _guess(examples: Examples, n_classes: int, open_rows: Positions, same: Positions, seed: int, say: Say) -> OutOfFold:
    """Out-of-fold probabilities of the rows that may be looked at.

    Folds keep identical texts together, not groups. A model that knows nothing of a row's group doubts most of the
    group: on ICD-10-CM, which has no wrong label, folds by disease family doubt 15 % of the labels, folds by text
    under 3 %.
    """
    here = examples.take(open_rows)
    guessed = out_of_fold(
        here.texts,
        here.labels,
        n_classes,
        groups=same[open_rows],
        seed=seed,
        say=lambda done: say("doubting labels", done),
    )
    return OutOfFold(open_rows[guessed.positions], guessed.probability)


def _label_noise(
    examples: Examples, classes: Sequence[str], open_rows: Positions, guessed: OutOfFold
) -> tuple[list[Finding], Quantity | None, list[str]]:
    n = len(guessed.positions)
    if n < MIN_ROWS:
        few = f"it takes {MIN_ROWS} fit and select rows in classes of at least {MIN_CLASS_ROWS} rows"
        return [], None, [f"Label errors were not looked for: {few}."]
    decisions = ["Label errors: certify rows were not examined, so that certify stays closed until the verdict."]
    if examples.groups is not None:
        decisions.append(
            "Label errors: a label is judged by models that know other rows of its group; an error that a whole group "
            "shares is not seen."
        )
    if n < len(open_rows):
        decisions.append(f"Label errors: {n:,} of {len(open_rows):,} fit and select rows were examined.")
    found, _ = find_label_errors(examples, classes, guessed)
    labels = examples.labels[guessed.positions]
    hard = contradiction_ceiling([examples.texts[int(i)] for i in guessed.positions], labels)
    return found, noise_ceiling(labels, guessed.probability, hard_ceiling=hard.value or 0.0), decisions
