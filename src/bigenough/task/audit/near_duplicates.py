# SPDX-License-Identifier: Apache-2.0
"""Almost the same text twice, above all in certify and in fit: the leak that an exact comparison overlooks.

Texts are compared as sets of character 4-grams of their keys (see ``duplicates``): of the first 2,000 characters, and
where there are more, of the last 2,000 too. MinHash signatures with locality-sensitive hashing (Broder 1997; Indyk &
Motwani 1998; datasketch) propose pairs, and the exact Jaccard similarity of the two sets confirms them, so that no
reported pair is a false candidate. With 18 bands of 7 hashes a pair at similarity 0.8 is proposed with probability
1 − (1 − 0.8⁷)¹⁸ = 0.985, one at 0.9 with 0.9999.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from bigenough.task.audit.duplicates import Sameness
from bigenough.task.audit.findings import Finding, counted, finding, share
from bigenough.task.audit.parts import CERTIFY
from bigenough.task.task import Examples

__all__ = ["INDEX_ROWS", "NearPairs", "find_near_duplicates", "jaccard", "near_pairs", "shingles"]

SIMILARITY = 0.8
INDEX_ROWS = 60_000
_BANDS, _BAND_HASHES = 18, 7
_SHINGLE_CHARS = 4
_MIN_CHARS = 16
_MAX_CHARS = 2_000
_CROWDED = 40
_CHUNK = 5_000
_SERIOUS_SHARE = 0.1

Codes = NDArray[np.int64]


class NearPairs(NamedTuple):
    """Confirmed pairs of near duplicates: positions, and the Jaccard similarity of each pair."""

    left: Codes
    right: Codes
    similarity: NDArray[np.float64]


def shingles(key: str) -> set[str]:
    """The set of character 4-grams of a key's first 2,000 characters.

    >>> sorted(shingles("abcde"))
    ['abcd', 'bcde']
    """
    key = key[:_MAX_CHARS]
    return {key[i : i + _SHINGLE_CHARS] for i in range(max(1, len(key) - _SHINGLE_CHARS + 1))}


def _tail(key: str) -> set[str]:
    return shingles(key[-_MAX_CHARS:])


def jaccard(left: set[str], right: set[str]) -> float:
    """The share of common members: |A ∩ B| / |A ∪ B|.

    >>> jaccard({"a", "b"}, {"b", "c"}).__round__(3)
    0.333
    """
    common = len(left & right)
    return common / (len(left) + len(right) - common) if left or right else 1.0


def near_pairs(
    keys: list[str], indexed: Codes, queried: Codes, *, say: Callable[[float], None] = lambda done: None
) -> NearPairs:
    """Near duplicates among ``indexed`` positions, and between them and ``queried`` ones.

    Keys are taken to be distinct. A row whose neighbourhood already holds 40 indexed rows is compared but not indexed,
    so that a million copies of one template cost no more than a million different texts; pairs among such rows may be
    missed.
    """
    from datasketch import MinHashLSH

    index = MinHashLSH(num_perm=_BANDS * _BAND_HASHES, params=(_BANDS, _BAND_HASHES))
    left: list[int] = []
    right: list[int] = []
    similarity: list[float] = []
    order = np.concatenate([indexed, queried])
    order = order[np.array([len(keys[i]) >= _MIN_CHARS for i in order], dtype=bool)] if len(order) else order
    to_index = np.isin(order, indexed)
    for done, (place, grams, signature) in enumerate(_signatures(keys, order)):
        candidates = sorted(index.query(signature))
        for other in candidates[:_CROWDED]:
            alike = jaccard(grams, shingles(keys[other]))
            if alike >= SIMILARITY and min(len(keys[place]), len(keys[other])) > _MAX_CHARS:
                # long texts may share a head alone, as letters and contracts do
                alike = min(alike, jaccard(_tail(keys[place]), _tail(keys[other])))
            if alike >= SIMILARITY:
                left.append(other)
                right.append(place)
                similarity.append(alike)
        if to_index[done] and len(candidates) < _CROWDED:
            index.insert(place, signature, check_duplication=False)
        if done % _CHUNK == 0:
            say(done / len(order))
    return NearPairs(np.array(left, np.int64), np.array(right, np.int64), np.array(similarity, np.float64))


def _signatures(keys: list[str], order: Codes) -> Iterator[tuple[int, set[str], object]]:
    from datasketch import MinHash

    for start in range(0, len(order), _CHUNK):
        chunk = [int(i) for i in order[start : start + _CHUNK]]
        grams = [shingles(keys[i]) for i in chunk]
        encoded = ([gram.encode("utf-8", "surrogatepass") for gram in each] for each in grams)
        signatures = MinHash.generator(encoded, num_perm=_BANDS * _BAND_HASHES, seed=1, hashfunc=zlib.crc32)
        yield from zip(chunk, grams, signatures, strict=True)


def find_near_duplicates(
    examples: Examples,
    part: NDArray[np.int8],
    same: Sameness,
    *,
    seed: int,
    say: Callable[[float], None] = lambda done: None,
) -> tuple[list[Finding], list[str]]:
    """Findings on near duplicates that are not exact ones, and what was sampled.

    Up to 60,000 distinct texts are all compared with each other. Beyond that, certify (a sample of at most 60,000 of
    its texts) is compared with itself and with everything else, since a leak into certify is what spoils a verdict.
    """
    distinct = _one_of_each(part, same)
    decisions: list[str] = []
    indexed, queried = distinct[part[distinct] != CERTIFY], distinct[part[distinct] == CERTIFY]
    if len(distinct) > INDEX_ROWS:
        indexed, queried = queried, indexed
        decisions.append(
            f"Near duplicates: of {len(distinct):,} distinct texts, those of certify were compared with all others; "
            "pairs within fit and select were not looked for."
        )
        if len(indexed) > INDEX_ROWS:
            chosen = np.random.default_rng(seed).choice(len(indexed), INDEX_ROWS, replace=False)
            decisions.append(
                f"Near duplicates: a sample of {INDEX_ROWS:,} of certify's {len(indexed):,} texts was used."
            )
            indexed = np.sort(indexed[chosen])
        pairs = near_pairs(same.keys, indexed, queried, say=say)
    else:
        pairs = near_pairs(same.keys, np.concatenate([indexed, queried]), np.zeros(0, np.int64), say=say)
    sampled = len(distinct) > INDEX_ROWS and len(indexed) == INDEX_ROWS
    n_certify = INDEX_ROWS if sampled else int((part == CERTIFY).sum())
    found = [_leak_near(examples, part, pairs, n_certify), _alike(examples, part, pairs)]
    return [each for each in found if each is not None], decisions


def _one_of_each(part: NDArray[np.int8], same: Sameness) -> Codes:
    """One position for each distinct text, in certify if it stands there alone; exact leaks are reported elsewhere."""
    used = np.flatnonzero(part >= 0)
    return used[np.unique(same.codes[used], return_index=True)[1]]


def _leak_near(examples: Examples, part: NDArray[np.int8], pairs: NearPairs, n_certify: int) -> Finding | None:
    crossing = (part[pairs.left] == CERTIFY) != (part[pairs.right] == CERTIFY)
    left, right = pairs.left[crossing], pairs.right[crossing]
    swap = part[right] == CERTIFY
    certify, other = np.where(swap, right, left), np.where(swap, left, right)
    order = np.lexsort((other, certify, -pairs.similarity[crossing]))
    best: dict[int, int] = {}
    for i in order:
        best.setdefault(int(certify[i]), int(other[i]))
    if not best:
        return None
    agree = sum(int(examples.labels[mine] == examples.labels[twin]) for mine, twin in best.items())
    return finding(
        "leak_near",
        "problem" if len(best) >= _SERIOUS_SHARE * n_certify else "warning",
        examples,
        best,
        f"{counted(len(best), 'certify row is', 'certify rows are')} almost the same as a row of fit or select "
        f"({share(len(best), n_certify)} of the {n_certify:,} looked at; {share(agree, len(best))} of them with the "
        f"same label): at least {100 * SIMILARITY:.0f} % of their character 4-grams are common.",
        "Look at the pairs. If they come from one document, customer or template, name that column with --group and "
        "split again; if users write like this, they are fair questions.",
        shown=[place for pair in list(best.items())[:3] for place in pair],
    )


def _alike(examples: Examples, part: NDArray[np.int8], pairs: NearPairs) -> Finding | None:
    crossing = (part[pairs.left] == CERTIFY) != (part[pairs.right] == CERTIFY)
    left, right = pairs.left[~crossing], pairs.right[~crossing]
    if not len(right):
        return None
    order = np.lexsort((right, -pairs.similarity[~crossing]))
    best: dict[int, int] = {}
    for i in order:
        best.setdefault(int(right[i]), int(left[i]))
    clash = sum(int(examples.labels[mine] != examples.labels[twin]) for mine, twin in best.items())
    rows = sorted(best, key=lambda i: examples.labels[i] == examples.labels[best[i]])
    return finding(
        "near_duplicates",
        "info",
        examples,
        rows,
        f"{counted(len(best), 'row is', 'rows are')} almost the same as another row on the same side of the "
        f"certify border; {clash:,} of them with another label (these come first).",
        "Check the labels of the pairs that disagree. Rows copied from one template may be thinned out.",
        shown=[place for i in rows[:3] for place in (i, best[i])],
    )
