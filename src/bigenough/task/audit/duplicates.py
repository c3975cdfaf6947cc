# SPDX-License-Identifier: Apache-2.0
"""The same text twice: within a split, across splits, and with two labels.

Two texts are the same when they are equal after Unicode compatibility normalisation (NFKC), case folding, and leaving
out sentence punctuation, quotation marks and surplus spaces. Brackets, digits and signs count: "C++" is not "C#".
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from bigenough.quantity import Quantity, measured
from bigenough.task.audit.findings import Finding, counted, finding, share
from bigenough.task.audit.parts import CERTIFY, FIT, SELECT
from bigenough.task.task import Examples

__all__ = ["Sameness", "contradiction_ceiling", "find_duplicates", "sameness", "text_key"]

_LEFT_OUT = str.maketrans(dict.fromkeys(".,;!?…\"“”„«»'‘’`´¿¡。、，！？", " "))
_SERIOUS_SHARE = 0.01

Codes = NDArray[np.int64]


class Sameness(NamedTuple):
    """Which texts are the same.

    Attributes:
        keys: (n,) each text's key.
        codes: (n,) numbers such that equal keys have equal numbers.
        first: (n_keys,) the first position of each key.
    """

    keys: list[str]
    codes: Codes
    first: Codes


def text_key(text: str) -> str:
    """What two texts must share to count as the same; the text itself where nothing else is left.

    >>> text_key("  Where is my card?") == text_key("where is MY card")
    True
    >>> text_key("great :)") == text_key("great :(")
    False
    """
    plain = text if text.isascii() else unicodedata.normalize("NFKC", text)
    key = " ".join(plain.casefold().translate(_LEFT_OUT).split())
    return key or text.strip()


def sameness(texts: Sequence[str]) -> Sameness:
    """The keys of these texts and which of them are equal."""
    keys = [text_key(text) for text in texts]
    numbers: dict[str, int] = {}
    codes = np.fromiter((numbers.setdefault(key, len(numbers)) for key in keys), dtype=np.int64, count=len(keys))
    first = np.unique(codes, return_index=True)[1].astype(np.int64)
    return Sameness(keys, codes, first)


def contradiction_ceiling(texts: Sequence[str], labels: Codes) -> Quantity:
    """The accuracy on these rows that no model of the text can pass: identical texts get one answer.

    Within each set of character-for-character identical texts at most the rows of its commonest label can be right.
    It counts; it assumes only that the model sees nothing but the text.

    >>> contradiction_ceiling(["a", "a", "a", "b"], np.array([0, 0, 1, 1])).value
    0.75
    """
    numbers: dict[str, int] = {}
    same = np.fromiter((numbers.setdefault(text, len(numbers)) for text in texts), dtype=np.int64, count=len(texts))
    pairs, sizes = np.unique(same * (int(labels.max(initial=0)) + 1) + labels, return_counts=True)
    best = np.zeros(len(numbers), dtype=np.int64)
    np.maximum.at(best, pairs // (int(labels.max(initial=0)) + 1), sizes)
    ceiling = float(best.sum() / len(texts)) if len(texts) else 1.0
    return measured(
        ceiling, "accuracy", "counted: of identical texts with different labels only one label can be right"
    )


def find_duplicates(
    examples: Examples, classes: Sequence[str], part: NDArray[np.int8], same: Sameness
) -> list[Finding]:
    """Findings on exact duplicates: leaks into certify and select, repeats within a split, contradictions."""
    found = [
        _contradictions(examples, classes, part, same),
        _leak(examples, part, same, into=CERTIFY, seen=(FIT, SELECT)),
        _leak(examples, part, same, into=SELECT, seen=(FIT,)),
        _repeats(examples, part, same),
    ]
    return [each for each in found if each is not None]


def _contradictions(
    examples: Examples, classes: Sequence[str], part: NDArray[np.int8], same: Sameness
) -> Finding | None:
    used = np.flatnonzero((part >= 0) & np.array([bool(key) for key in same.keys], dtype=bool))
    codes, labels = same.codes[used], examples.labels[used]
    pairs = np.unique(np.stack([codes, labels]), axis=1)
    n_labels = np.bincount(pairs[0], minlength=len(same.first))
    in_conflict = used[n_labels[codes] > 1]
    if not len(in_conflict):
        return None
    order = in_conflict[np.argsort(same.codes[in_conflict], kind="stable")]
    n_texts = int((n_labels > 1).sum())
    one = order[same.codes[order] == same.codes[order[0]]]
    names = " and ".join(repr(classes[int(code)]) for code in np.unique(examples.labels[one])[:3])
    return finding(
        "contradictions",
        "problem" if len(order) >= _SERIOUS_SHARE * len(used) else "warning",
        examples,
        order,
        f"{counted(n_texts, 'text stands', 'texts stand')} with different labels, in {counted(len(order), 'row')} "
        f"({share(len(order), len(used))}). Row {examples.rows[order[0]]} is one: its text is labelled {names}.",
        "Decide on one label for each text, or delete the rows, or add the column that tells them apart to the text. "
        "Until then no model can be right on all of them.",
    )


def _leak(
    examples: Examples, part: NDArray[np.int8], same: Sameness, *, into: int, seen: tuple[int, ...]
) -> Finding | None:
    trained_on = np.isin(part, seen)
    known = np.zeros(len(same.first), dtype=bool)
    known[same.codes[trained_on]] = True
    target = part == into
    leaked = np.flatnonzero(target & known[same.codes])
    if not len(leaked):
        return None
    twins = [int(np.flatnonzero(trained_on & (same.codes == same.codes[i]))[0]) for i in leaked[:3]]
    shown = [place for pair in zip(leaked[:3], twins, strict=True) for place in pair]
    n_target = int(target.sum())
    certify = into == CERTIFY
    serious = len(leaked) >= _SERIOUS_SHARE * n_target
    return finding(
        "leak_exact" if certify else "leak_select",
        ("problem" if serious else "warning") if certify else "info",
        examples,
        leaked,
        f"{counted(len(leaked), 'row')} of the {n_target:,} in {'certify' if certify else 'select'} "
        f"({share(len(leaked), n_target)}) {'stands' if len(leaked) == 1 else 'stand'} word for word in "
        f"{'fit or select' if certify else 'fit'} too.",
        "Delete the copies, or name the column that ties them together with --group and split again: "
        + (
            "a model that learns by heart looks better on them than it is."
            if certify
            else "settings that memorise win."
        ),
        shown=shown,
    )


def _repeats(examples: Examples, part: NDArray[np.int8], same: Sameness) -> Finding | None:
    used = np.flatnonzero(part >= 0)
    key = same.codes[used] * 3 + part[used]
    first = np.unique(key, return_index=True)[1]
    again = np.ones(len(used), dtype=bool)
    again[first] = False
    repeats = used[again]
    if not len(repeats):
        return None
    in_certify = int((part[repeats] == CERTIFY).sum())
    n_certify = int((part == CERTIFY).sum())
    serious = in_certify >= _SERIOUS_SHARE * n_certify and in_certify > 0
    order = repeats[np.argsort(part[repeats] != CERTIFY, kind="stable")]
    shown = [place for i in order[:3] for place in (int(same.first[same.codes[i]]), int(i))]
    return finding(
        "duplicates",
        "warning" if serious else "info",
        examples,
        order,
        f"{counted(len(repeats), 'row repeats', 'rows repeat')} an earlier row of the same split "
        f"({share(len(repeats), len(used))}); {in_certify:,} of them in certify.",
        "Keep them if users really send the same text again and again; otherwise delete them: a repeated certify row "
        "counts as new evidence and makes intervals too narrow.",
        shown=shown,
    )
