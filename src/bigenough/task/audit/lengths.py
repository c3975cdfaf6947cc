# SPDX-License-Identifier: Apache-2.0
"""How long the texts are, and which hold nothing to read."""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import NDArray

from bigenough.task.audit.findings import Finding, counted, finding, share
from bigenough.task.task import Examples

__all__ = ["LONG_CHARS", "SHORT_LETTERS", "Lengths", "find_length_faults", "measure_lengths"]

SHORT_LETTERS = 3
LONG_CHARS = 4_000
_LETTER = re.compile(r"[^\W\d_]")


@dataclass(frozen=True)
class Lengths:
    """The lengths of the texts, in characters."""

    median_chars: int
    p95_chars: int
    max_chars: int

    def to_json(self) -> dict[str, int]:
        """The lengths as plain JSON values."""
        return asdict(self)


def measure_lengths(examples: Examples) -> Lengths:
    """Median, 95th percentile and largest length."""
    chars = np.array([len(text) for text in examples.texts] or [0])
    median, p95 = np.quantile(chars, [0.5, 0.95], method="inverted_cdf")
    return Lengths(int(median), int(p95), int(chars.max()))


def find_length_faults(examples: Examples) -> list[Finding]:
    """Findings on texts that are empty, without letters, very short or very long. A text counts once."""
    kinds = np.array([_kind(text) for text in examples.texts], dtype="U12")
    found = [
        _empty(examples, np.flatnonzero(kinds == "empty")),
        _no_letters(examples, np.flatnonzero(kinds == "no_letters")),
        _short(examples, np.flatnonzero(kinds == "short")),
        _long(examples, np.flatnonzero(kinds == "long")),
    ]
    return [each for each in found if each is not None]


def _kind(text: str) -> str:
    if not text or text.isspace():
        return "empty"
    if len(text) > LONG_CHARS:
        return "long"
    if _LETTER.search(text) is None:
        return "no_letters"
    return "short" if len(text) < 8 and len(_LETTER.findall(text)) < SHORT_LETTERS and text.isascii() else ""


def _empty(examples: Examples, places: NDArray[np.intp]) -> Finding | None:
    if not len(places):
        return None
    return finding(
        "empty_texts",
        "problem" if len(places) >= 0.01 * len(examples) else "warning",
        examples,
        places,
        f"{counted(len(places), 'text is', 'texts are')} empty ({share(len(places), len(examples))}).",
        "Fill in or delete these rows: every model answers them with its favourite class.",
    )


def _no_letters(examples: Examples, places: NDArray[np.intp]) -> Finding | None:
    if not len(places):
        return None
    return finding(
        "no_letters",
        "warning",
        examples,
        places,
        f"{counted(len(places), 'text has', 'texts have')} no letter ({share(len(places), len(examples))}): only "
        "digits, signs or emoji.",
        "Check that these rows hold text at all, and not a number or a placeholder for a missing value.",
    )


def _short(examples: Examples, places: NDArray[np.intp]) -> Finding | None:
    if not len(places):
        return None
    return finding(
        "very_short",
        "info",
        examples,
        places,
        f"{counted(len(places), 'text has', 'texts have')} one or two letters ({share(len(places), len(examples))}).",
        "Check that they were not cut off and can be labelled at all.",
    )


def _long(examples: Examples, places: NDArray[np.intp]) -> Finding | None:
    if not len(places):
        return None
    order = sorted((int(i) for i in places), key=lambda i: -len(examples.texts[i]))
    return finding(
        "very_long",
        "info",
        examples,
        order,
        f"{counted(len(places), 'text has', 'texts have')} more than {LONG_CHARS:,} characters "
        f"({share(len(places), len(examples))}), the longest {len(examples.texts[order[0]]):,} "
        f"(row {examples.rows[order[0]]}).",
        "Encoders read only the first few hundred words; the linear rung reads all. Split such texts if what matters "
        "stands late.",
    )
