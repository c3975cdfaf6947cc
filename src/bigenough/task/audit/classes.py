# SPDX-License-Identifier: Apache-2.0
"""The classes: how many rows each has, which are too small to prove anything about, and names that look alike."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import combinations
from math import sqrt

import numpy as np
from numpy.typing import NDArray

from bigenough.task.audit.findings import Finding, counted, finding, share
from bigenough.task.audit.parts import CERTIFY, FIT, SELECT
from bigenough.task.task import Examples

__all__ = ["ClassSize", "class_sizes", "find_class_faults", "wilson_half_width"]

MIN_CERTIFY_ROWS = 30
MIN_FIT_ROWS = 8
_NAMED = 8
_IMBALANCE = 10.0
_DOMINANT = 0.8
_MAX_COMPARED = 2_000
_Z95 = 1.959963984540054


@dataclass(frozen=True)
class ClassSize:
    """A class and its rows in each split."""

    label: str
    fit: int
    select: int
    certify: int

    def to_json(self) -> dict[str, str | int]:
        """The class as plain JSON values."""
        return asdict(self)


def wilson_half_width(n: int, p: float = 0.5, z: float = _Z95) -> float:
    """Half the width of Wilson's score interval (Wilson 1927) for a share p seen on n rows; 95 % by default.

    p = 0.5 gives the widest interval, thus what n rows can tell whatever happens; n = 0 tells nothing (0.5).

    >>> wilson_half_width(10).__round__(3), wilson_half_width(100).__round__(3)
    (0.263, 0.096)
    """
    if n == 0:
        return 0.5
    return z / (1 + z * z / n) * sqrt(p * (1 - p) / n + z * z / (4 * n * n))


def class_sizes(labels: NDArray[np.int64], part: NDArray[np.int8], classes: Sequence[str]) -> list[ClassSize]:
    """Rows of each class in each split, in the task's order of classes."""
    counts = [np.bincount(labels[part == code], minlength=len(classes)) for code in (FIT, SELECT, CERTIFY)]
    return [ClassSize(name, *(int(count[i]) for count in counts)) for i, name in enumerate(classes)]


def find_class_faults(examples: Examples, part: NDArray[np.int8], sizes: Sequence[ClassSize]) -> list[Finding]:
    """Findings on classes that are missing, thin, unproven, unbalanced or named alike."""
    found = [
        _missing(examples, part, sizes),
        _thin(examples, part, sizes),
        _unproven(examples, part, sizes),
        _unbalanced(examples, part, sizes),
        _named_alike(examples, sizes),
    ]
    return [each for each in found if each is not None]


def _rows_of(examples: Examples, part: NDArray[np.int8], codes: Sequence[int]) -> NDArray[np.intp]:
    """Positions of the rows of these classes, those in certify first, then class by class."""
    places = np.flatnonzero(np.isin(examples.labels, np.asarray(codes, dtype=np.int64)) & (part >= 0))
    return places[np.lexsort((examples.labels[places], part[places] != CERTIFY))]


def _list(names: Sequence[str]) -> str:
    more = len(names) - _NAMED
    return ", ".join(names[:_NAMED]) + (f" and {more:,} more" if more > 0 else "")


def _missing(examples: Examples, part: NDArray[np.int8], sizes: Sequence[ClassSize]) -> Finding | None:
    codes = [i for i, size in enumerate(sizes) if size.fit == 0 and size.certify + size.select > 0]
    if not codes:
        return None
    lost = sum(sizes[i].certify for i in codes)
    return finding(
        "missing_classes",
        "problem",
        examples,
        _rows_of(examples, part, codes),
        f"{counted(len(codes), 'class has', 'classes have')} no row in fit: "
        f"{_list([repr(sizes[i].label) for i in codes])}. "
        f"No model can answer them, which loses {counted(lost, 'certify row')}.",
        "Label rows for these classes, merge them into others, or leave them out.",
    )


def _thin(examples: Examples, part: NDArray[np.int8], sizes: Sequence[ClassSize]) -> Finding | None:
    codes = [i for i, size in enumerate(sizes) if 0 < size.fit < MIN_FIT_ROWS]
    if not codes:
        return None
    codes.sort(key=lambda i: sizes[i].fit)
    return finding(
        "thin_classes",
        "warning",
        examples,
        _rows_of(examples, part, codes),
        f"{counted(len(codes), 'class has', 'classes have')} fewer than {MIN_FIT_ROWS} rows to learn from: "
        f"{_list([f'{sizes[i].label!r} ({sizes[i].fit})' for i in codes])}.",
        "Label more rows of these classes, or merge them.",
    )


def _unproven(examples: Examples, part: NDArray[np.int8], sizes: Sequence[ClassSize]) -> Finding | None:
    total = [size.fit + size.select + size.certify for size in sizes]
    codes = [i for i, size in enumerate(sizes) if size.certify < MIN_CERTIFY_ROWS and total[i] > 0]
    if not codes:
        return None
    codes.sort(key=lambda i: sizes[i].certify)
    described = [
        f"{size.label!r} ({counted(size.certify, 'row')}: ±{100 * wilson_half_width(size.certify):.0f} points)"
        for size in (sizes[i] for i in codes)
    ]
    return finding(
        "small_classes",
        "warning",
        examples,
        _rows_of(examples, part, codes),
        f"{counted(len(codes), 'class has', 'classes have')} fewer than {MIN_CERTIFY_ROWS} certify rows; all that "
        f"can be said of such a class is its recall within these 95 % half-widths: {_list(described)}.",
        "Read the figures of these classes as hints. To say more, label more rows: 100 certify rows give ±10 points, "
        "400 give ±5. The verdict on the whole task does not suffer.",
    )


def _unbalanced(examples: Examples, part: NDArray[np.int8], sizes: Sequence[ClassSize]) -> Finding | None:
    total = np.array([size.fit + size.select + size.certify for size in sizes])
    present = np.flatnonzero(total)
    if len(present) < 2:
        return None
    largest, smallest = int(present[total[present].argmax()]), int(present[total[present].argmin()])
    ratio, top = total[largest] / total[smallest], float(total[largest] / total.sum())
    common, rare = sizes[largest].label, sizes[smallest].label
    if ratio < _IMBALANCE and top < _DOMINANT:
        return None
    return finding(
        "imbalance",
        "warning" if top >= _DOMINANT else "info",
        examples,
        _rows_of(examples, part, [smallest]),
        f"The largest class, {common!r}, has {counted(int(total[largest]), 'row')}, {ratio:.0f} times the smallest, "
        f"{rare!r} ({total[smallest]:,}). Always answering {common!r} is right on {share(top, 1)} of the rows.",
        "If small classes matter as much as large ones, judge by --metric macro_f1 or balanced_accuracy.",
    )


def _named_alike(examples: Examples, sizes: Sequence[ClassSize]) -> Finding | None:
    total = [size.fit + size.select + size.certify for size in sizes]
    pairs = list(_alike_pairs([size.label for size in sizes], total))
    if not pairs:
        return None
    rarer = [min(pair, key=lambda i: total[i]) for pair in pairs]
    quoted = [f"{sizes[a].label!r} ({total[a]:,}) and {sizes[b].label!r} ({total[b]:,})" for a, b in pairs]
    rows = np.flatnonzero(np.isin(examples.labels, np.array(sorted(set(rarer)), dtype=np.int64)))
    return finding(
        "similar_class_names",
        "warning",
        examples,
        rows,
        f"{counted(len(pairs), 'pair')} of class names look like one name spelled twice: {_list(quoted)}.",
        "If they mean the same, give them one spelling and run again; the rows listed carry the rarer one.",
    )


def _alike_pairs(names: Sequence[str], total: Sequence[int]) -> Iterator[tuple[int, int]]:
    """Pairs equal but for case, separators and a plural s, or one slip apart with one of them ten times rarer."""
    by_stem: dict[str, list[int]] = {}
    for i, name in enumerate(names):
        by_stem.setdefault(_stem(name), []).append(i)
    for alike in by_stem.values():
        yield from combinations(alike, 2)
    stems = [(stem, members[0]) for stem, members in by_stem.items() if len(stem) > 5][:_MAX_COMPARED]
    for (one, a), (other, b) in combinations(stems, 2):
        few, many = sorted((total[a], total[b]))
        if 10 * few <= many and abs(len(one) - len(other)) <= 1 and _one_slip(one, other):
            yield a, b


def _stem(name: str) -> str:
    # A sign may be all that sets two classes apart (-1 and 1, C and C++); between letters it is a way of writing.
    bare = re.sub(r"[\s_]+|(?<=[^\W\d_])[-./]+(?=[^\W\d_])", "", name.casefold()).strip(".,:;\"'")
    if not bare:
        return name
    return bare[:-1] if len(bare) > 3 and bare.endswith("s") and not bare.endswith("ss") else bare


def _one_slip(one: str, other: str) -> bool:
    """Whether one letter was changed, left out, added or swapped with its neighbour; digits tell classes apart."""
    start = 0
    while start < min(len(one), len(other)) and one[start] == other[start]:
        start += 1
    end = 0
    while end < min(len(one), len(other)) - start and one[-1 - end] == other[-1 - end]:
        end += 1
    left, right = one[start : len(one) - end], other[start : len(other) - end]
    if any(c.isdigit() for c in left + right):
        return False
    return max(len(left), len(right)) <= 1 or (len(left) == 2 and left == right[::-1])
