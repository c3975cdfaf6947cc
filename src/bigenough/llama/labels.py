# SPDX-License-Identifier: Apache-2.0
"""The log-probabilities of all labels after one reading of a text.

What all rows share is read once and kept. A row's own tokens and the labels' tree follow in one go: every token of the
tree belongs to the sequences of the labels that go through it, and sees what comes before it in those alone. The
reading is then forgotten, so a row's scores depend on that row.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from bigenough.errors import RungFailed
from bigenough.llama.context import MOST_SEQUENCES, Context, log_softmax_at
from bigenough.llama.talk import Talk
from bigenough.llama.trie import TokenTrie, token_trie

__all__ = ["TEXT_TOKENS", "LabelScorer"]

TEXT_TOKENS = 512
"""Tokens that a text is cut to."""
LEAST_TEXT = 16
"""Tokens that must be left for a text, or the prompt is too long for the model."""


class _Group(NamedTuple):
    """Labels that share a cache: at most ``MOST_SEQUENCES``."""

    first: int
    last: int
    trie: TokenTrie


class LabelScorer:
    """Scores k labels after any text. Its methods may be called from several threads; they take turns.

    Args:
        talk: the prompt around every text.
        labels: (k) what the model would have to answer.
        text_tokens: what a text is cut to; less where the model has not so much room.

    Raises:
        RungFailed: the prompt and the labels leave no room for a text.
    """

    def __init__(self, talk: Talk, labels: Sequence[str], *, text_tokens: int = TEXT_TOKENS) -> None:
        self.talk, self.labels = talk, tuple(labels)
        answers = [talk.answer(label) for label in labels]
        self._groups = [
            _Group(first, min(first + MOST_SEQUENCES, len(answers)), token_trie(
                [each.tolist() for each in answers[first : first + MOST_SEQUENCES]]
            ))
            for first in range(0, len(answers), MOST_SEQUENCES)
        ]  # fmt: skip
        deepest = max(len(group.trie.tokens) for group in self._groups)
        longest = max(len(answer) for answer in answers)
        fixed = len(talk.before) + len(talk.after)
        left = talk.model.longest - fixed - longest
        if left < LEAST_TEXT:
            raise RungFailed(
                f"The prompt (instructions, {len(labels)} labels, examples) takes {fixed} tokens, and the model reads "
                f"{talk.model.longest}: no room is left for a text. Show fewer examples, or shorten the descriptions."
            )
        self.text_tokens = min(text_tokens, left)
        self.sequences = min(len(answers), MOST_SEQUENCES)
        self._context = talk.model.context(fixed + self.text_tokens + deepest, sequences=self.sequences)
        self._read = False
        self._turn = threading.Lock()

    def log_probabilities(self, text: str) -> NDArray[np.float64]:
        """(k,) ln P(label and its ending | prompt with this text), in nats."""
        row = np.concatenate([self.talk.row(text, self.text_tokens), self.talk.after])
        with self._turn:
            self._start()
            scores = [self._scored(group, row, new=number == 0) for number, group in enumerate(self._groups)]
        return np.concatenate(scores)

    def prompt_tokens(self, text: str) -> NDArray[np.int32]:
        """All tokens that come before an answer about this text."""
        return np.concatenate([self.talk.before, self.talk.row(text, self.text_tokens), self.talk.after])

    def _start(self) -> None:
        """Read what all rows share, or forget what came after it."""
        shared = self.talk.before
        if self._read:
            self._context.forget(len(shared))
            return
        self._context.forget(0)
        everyone = [tuple(range(self.sequences))] * len(shared)
        nothing = np.zeros(len(shared), np.bool_)
        for _ in self._context.read(shared, np.arange(len(shared), dtype=np.int32), everyone, nothing):
            pass
        self._read = True

    def _scored(self, group: _Group, row: NDArray[np.int32], *, new: bool) -> NDArray[np.float64]:
        """The scores of one group; ``new`` when the row was not read for another group before."""
        trie, begin = group.trie, len(self.talk.before)
        if not new:
            # The last token of the row is read again: its scores are what the labels begin with.
            self._context.forget(begin + len(row) - 1)
            begin, row = begin + len(row) - 1, row[-1:]
        n = len(row)
        tokens = np.concatenate([row, trie.tokens])
        positions = begin + np.concatenate([np.arange(n), n + trie.depth]).astype(np.int32)
        sequences = [tuple(range(self.sequences))] * n + list(trie.labels)
        wanted = np.arange(len(tokens)) >= n - 1
        found: list[NDArray[np.float32]] = [np.zeros(0, np.float32)] * len(trie.asked)
        for place, logits in self._context.read(tokens, positions, sequences, wanted):
            # The row's last token is the root, which stands behind the nodes.
            node = place - n if place >= n else len(trie.asked) - 1
            found[node] = log_softmax_at(logits, trie.asked[node])
        return trie.scores(found)


def read_once(context: Context, tokens: NDArray[np.int32]) -> NDArray[np.float32]:
    """Read a prompt from nothing and give the (vocabulary,) scores of what comes next: what any answer costs."""
    context.forget(0)
    wanted = np.arange(len(tokens)) == len(tokens) - 1
    positions = np.arange(len(tokens), dtype=np.int32)
    (last,) = [scores.copy() for _, scores in context.read(tokens, positions, [(0,)] * len(tokens), wanted)]
    return last
