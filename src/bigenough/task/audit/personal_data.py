# SPDX-License-Identifier: Apache-2.0
"""Likely personal data in the texts: which kinds, how many rows, where; never the values themselves."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from bigenough.task.audit.findings import MAX_EXCERPT_CHARS, Finding, counted, excerpt, finding, share
from bigenough.task.audit.identifiers import READ_CHARS, Identifier, find_identifiers, mask, may_hold_phone, regions_for
from bigenough.task.task import Examples

__all__ = ["PersonalData", "find_personal_data", "masked"]

MAX_PHONE_ROWS = 10_000
_SAY_EVERY = 5_000
_SHOWN = 3


class PersonalData(NamedTuple):
    """Findings, one a kind, and what was sampled."""

    findings: list[Finding]
    decisions: list[str]


def find_personal_data(
    examples: Examples,
    *,
    languages: Sequence[str] = (),
    seed: int = 0,
    say: Callable[[float], None] = lambda done: None,
) -> PersonalData:
    """One finding for each kind of personal data.

    Phone numbers are looked for in at most 10,000 of the rows that have seven digits close together, everything else in
    all rows. National phone formats are those of the US, the UK and the countries of ``languages``.
    """
    regions = regions_for(languages)
    with_phone, n_candidates = _phone_rows(examples, seed)
    rows: dict[str, dict[int, list[Identifier]]] = defaultdict(dict)
    values: Counter[str] = Counter()
    for i, text in enumerate(examples.texts):
        found = find_identifiers(text, regions=regions, phones=i in with_phone)
        for each in found:
            rows[each.kind][i] = found
            values[each.kind] += 1
        if i % _SAY_EVERY == 0:
            say(i / len(examples))
    decisions = []
    if n_candidates > len(with_phone):
        decisions.append(
            f"Phone numbers: looked for in a sample of {len(with_phone):,} of the {n_candidates:,} rows with seven "
            "digits close together; the count is a lower bound."
        )
    n_long = sum(len(text) > READ_CHARS for text in examples.texts)
    if n_long:
        decisions.append(
            f"Personal data: of {counted(n_long, 'text')} only the first {READ_CHARS:,} characters were searched."
        )
    kinds = sorted(rows, key=lambda kind: (-len(rows[kind]), kind))
    return PersonalData([_finding(examples, kind, rows[kind], values[kind]) for kind in kinds], decisions)


def masked(each: Finding, *, languages: Sequence[str] = ()) -> Finding:
    """The same finding with personal data hidden in its excerpts."""
    regions = regions_for(languages)
    examples = tuple(
        example._replace(text=mask(example.text, find_identifiers(example.text, regions=regions)))
        for example in each.examples
    )
    return replace(each, examples=examples)


def _phone_rows(examples: Examples, seed: int) -> tuple[frozenset[int], int]:
    candidates = np.array([i for i, text in enumerate(examples.texts) if may_hold_phone(text)], dtype=np.int64)
    chosen = candidates
    if len(candidates) > MAX_PHONE_ROWS:
        chosen = np.random.default_rng(seed).choice(candidates, MAX_PHONE_ROWS, replace=False)
    return frozenset(int(i) for i in chosen), len(candidates)


def _finding(examples: Examples, kind: str, rows: dict[int, list[Identifier]], n_values: int) -> Finding:
    shown = list(rows)[:_SHOWN]
    return finding(
        "personal_data",
        "warning",
        examples,
        rows,
        f"{kind[0].upper()}{kind[1:]}: {counted(n_values, 'likely find')} in {counted(len(rows), 'row')} "
        f"({share(len(rows), len(examples))}).",
        "Replace them by a placeholder before fitting, unless the task needs them: rows are kept in the study folder, "
        "frequent strings in the model, and some rows in a language model's prompt. Names and postal addresses are "
        "not looked for.",
        shown=shown,
        excerpts=[_masked_excerpt(examples.texts[i], rows[i], kind) for i in shown],
    )


def _masked_excerpt(text: str, found: Sequence[Identifier], kind: str) -> str:
    """The surroundings of the first find of this kind, with all finds hidden."""
    first = next(each for each in found if each.kind == kind)
    room = MAX_EXCERPT_CHARS // 2
    start, end = max(0, first.start - room), min(len(text), first.end + room)
    for each in found:  # never cut through a find: the part that is left would stand unmasked
        if each.start < start < each.end:
            start = each.end
        if each.start < end < each.end:
            end = each.start
    inside = [
        Identifier(each.kind, each.start - start, each.end - start)
        for each in found
        if start <= each.start and each.end <= end
    ]
    return excerpt(mask(text[start:end], inside))
