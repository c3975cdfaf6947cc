# SPDX-License-Identifier: Apache-2.0
"""Labels as a tree of tokens, so that what they have in common is read once: pure functions of arrays."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["TokenTrie", "token_trie"]

ROOT = -1


@dataclass(frozen=True)
class TokenTrie:
    """The beginnings of all labels, each once, parents before children.

    The end marker of a label is asked for and never read, so it is no node.

    Attributes:
        tokens: (n,) int32, the token of each node.
        depth: (n,) int32, from 0.
        labels: (n) the labels that go through a node.
        asked: (n + 1) the tokens that follow a node in some label; the last row is the root's, the end of the prompt.
        steps: for each label its way: pairs of the node that it stands on (n for the root) and the place of its next
            token in ``asked`` of that node.
    """

    tokens: NDArray[np.int32]
    depth: NDArray[np.int32]
    labels: tuple[tuple[int, ...], ...]
    asked: tuple[NDArray[np.int32], ...]
    steps: tuple[tuple[tuple[int, int], ...], ...]

    def scores(self, found: Sequence[NDArray[np.float32]]) -> NDArray[np.float64]:
        """The labels' log-probabilities, (k,): the sums along their ways of what was ``found`` for ``asked``."""
        return np.array([sum(float(found[node][place]) for node, place in way) for way in self.steps])


def token_trie(labels: Sequence[Sequence[int]]) -> TokenTrie:
    """The tree of some labels, each a sequence of tokens that ends with an end marker.

    A label that is the beginning of another differs from it by its end marker, so the two compare fairly.

    >>> trie = token_trie([[5, 6, 2], [5, 7, 2], [5, 2]])
    >>> trie.tokens.tolist(), [each.tolist() for each in trie.asked]
    ([5, 6, 7], [[6, 7, 2], [2], [2], [5]])
    >>> trie.scores([np.array(each, np.float32) for each in ([-1, -2, -3], [-4], [-5], [-6])]).tolist()
    [-11.0, -13.0, -9.0]
    """
    nodes: dict[tuple[int, ...], int] = {}
    for label in labels:
        for length in range(1, len(label)):
            nodes.setdefault(tuple(label[:length]), len(nodes))
    # By depth: within a call, positions must not fall along any sequence.
    order = sorted(nodes, key=len)
    nodes = {path: place for place, path in enumerate(order)}
    through: list[list[int]] = [[] for _ in order]
    asked: list[list[int]] = [[] for _ in range(len(order) + 1)]
    steps = []
    for number, label in enumerate(labels):
        way = []
        for length in range(len(label)):
            node = nodes[tuple(label[:length])] if length else len(order)
            if length:
                through[node].append(number)
            token = int(label[length])
            if token not in asked[node]:
                asked[node].append(token)
            way.append((node, asked[node].index(token)))
        steps.append(tuple(way))
    return TokenTrie(
        np.array([path[-1] for path in order], np.int32),
        np.array([len(path) - 1 for path in order], np.int32),
        tuple(map(tuple, through)),
        tuple(np.array(each, np.int32) for each in asked),
        tuple(steps),
    )
