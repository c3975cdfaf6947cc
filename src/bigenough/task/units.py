# SPDX-License-Identifier: Apache-2.0
"""What must stay on one side of a split: copies of a text, rows of a group, and whatever these tie together."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["Units", "content_keys", "find_units", "normalised"]

_GIANT = 0.25


def normalised(text: str) -> str:
    r"""What two texts share when they count as copies: letters without case, and single blanks.

    >>> normalised("  Where IS\tmy card? ")
    'where is my card?'
    """
    return " ".join(text.casefold().split())


def content_keys(texts: Sequence[str], seed: int) -> NDArray[np.uint64]:
    """(n,) 64-bit BLAKE2b hashes of the normalised texts, in another order for each seed.

    Two of a million different texts share a key with a chance of 3 in 100 million; they would stand on one side.

    >>> bool(np.diff(content_keys(["A card", "a  CARD"], seed=0)) == 0)
    True
    """
    start = hashlib.blake2b(str(seed).encode(), digest_size=8, person=b"bigenough")

    def one(text: str) -> bytes:
        digest = start.copy()
        digest.update(normalised(text).encode("utf-8", "surrogatepass"))
        return digest.digest()

    return np.frombuffer(b"".join(map(one, texts)), dtype="<u8").astype(np.uint64)


@dataclass(frozen=True, eq=False)
class Units:
    """Rows that stay together, and the order in which chance takes them.

    Attributes:
        of: (n,) each row's unit.
        order: (n_units,) each unit's place in an order that content and seed fix, whatever the order of the rows.
        ties_texts: False where copies tie so many groups together that only the groups were kept whole.
    """

    of: NDArray[np.int64]
    order: NDArray[np.int64]
    ties_texts: bool = True

    def __len__(self) -> int:
        return len(self.order)


def find_units(keys: NDArray[np.uint64], groups: NDArray[np.int64] | None) -> Units:
    """The units of n rows.

    Args:
        keys: (n,) content keys; equal for copies.
        groups: (n,) group codes, or None.

    >>> find_units(np.array([7, 5, 7], np.uint64), None).of.tolist()
    [1, 0, 1]
    """
    _, text = np.unique(keys, return_inverse=True)
    if groups is None:
        return Units(text.astype(np.int64), _order(keys, text))
    _, group = np.unique(groups, return_inverse=True)
    tied = _connected(text, group)
    largest = np.bincount(tied).max()
    if largest > _GIANT * len(keys) and largest > 2 * np.bincount(group).max():
        # a greeting that every customer sends would chain all customers into one unit, and nothing could be split
        return Units(group.astype(np.int64), _order(keys, group), ties_texts=False)
    return Units(tied, _order(keys, tied))


def _connected(text: NDArray[np.int64], group: NDArray[np.int64]) -> NDArray[np.int64]:
    """Each row's connected component in the graph of groups and texts whose edges are the rows."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    n_groups = int(group.max()) + 1
    n_nodes = n_groups + int(text.max()) + 1
    edges = coo_array((np.ones(len(text), np.int8), (group, text + n_groups)), shape=(n_nodes, n_nodes))
    component = connected_components(edges, directed=False)[1][group]
    return np.unique(component, return_inverse=True)[1].astype(np.int64)


def _order(keys: NDArray[np.uint64], of: NDArray[np.int64]) -> NDArray[np.int64]:
    """Places by the sum of the unit's keys, then by the smallest, so that names and row order do not matter.

    The sum of uniform 64-bit keys, wrapped, is uniform for a unit of any size. The smallest key is not: a large unit's
    is smaller, and large units would all come first and certify.
    """
    n_units = int(of.max()) + 1 if len(of) else 0
    smallest = np.full(n_units, np.iinfo(np.uint64).max, np.uint64)
    np.minimum.at(smallest, of, keys)
    total = np.zeros(n_units, np.uint64)
    np.add.at(total, of, keys)
    order = np.empty(n_units, np.int64)
    order[np.lexsort((smallest, total))] = np.arange(n_units)
    return order
