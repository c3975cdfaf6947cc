# SPDX-License-Identifier: Apache-2.0
"""An answer that a grammar holds to the labels: llama.cpp's own grammar sampler picks among what it allows."""

from __future__ import annotations

import ctypes
import threading
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from bigenough.errors import RungFailed
from bigenough.llama.context import Context
from bigenough.llama.labels import LEAST_TEXT, TEXT_TOKENS
from bigenough.llama.layout import TokenDataArray
from bigenough.llama.talk import Talk

__all__ = ["Answer", "ConstrainedAnswerer", "label_grammar"]

_DATA = np.dtype([("id", np.int32), ("logit", np.float32), ("p", np.float32)])


class Answer(NamedTuple):
    """The label that was generated, and the product of the probabilities of its tokens among the allowed ones."""

    label: int
    probability: float


def label_grammar(labels: Sequence[str]) -> str:
    r"""The GBNF grammar whose sentences are the labels.

    >>> label_grammar(["a", 'say "b"\n'])
    'root ::= "a" | "say \\"b\\"\\n"'
    """
    quoted = [
        '"' + label.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n").replace("\r", "\\r") + '"'
        for label in labels
    ]
    return "root ::= " + " | ".join(quoted)


class ConstrainedAnswerer:
    """Generates the most probable allowed token, one after the other, until the label is whole.

    Args, errors and threads as for ``LabelScorer``.
    """

    def __init__(self, talk: Talk, labels: Sequence[str], *, text_tokens: int = TEXT_TOKENS) -> None:
        self.talk, self.labels = talk, tuple(talk.lead + label for label in labels)
        self._grammar = label_grammar(self.labels)
        self._longest = max(len(label.encode()) for label in self.labels) + 1
        fixed = len(talk.before) + len(talk.after)
        left = talk.model.longest - fixed - self._longest
        if left < LEAST_TEXT:
            raise RungFailed(
                f"The prompt takes {fixed} tokens and the model reads {talk.model.longest}: no room is left for a "
                "text. Show fewer examples, or shorten the descriptions."
            )
        self.text_tokens = min(text_tokens, left)
        self._context: Context = talk.model.context(fixed + self.text_tokens + self._longest)
        self._read = False
        self._turn = threading.Lock()

    def answer(self, text: str) -> Answer:
        """The label that the model says of this text, greedily."""
        row = np.concatenate([self.talk.row(text, self.text_tokens), self.talk.after])
        with self._turn:
            self._start()
            sampler = self.talk.model.grammar(self._grammar)
            try:
                return self._generated(row, sampler)
            finally:
                self.talk.model.library.llama_sampler_free(sampler)

    def _start(self) -> None:
        shared = self.talk.before
        self._context.forget(len(shared) if self._read else 0)
        if not self._read:
            self._next(shared, 0)
            self._read = True

    def _generated(self, row: NDArray[np.int32], sampler: int) -> Answer:
        model, said, log_probability = self.talk.model, "", 0.0
        place = len(self.talk.before)
        logits = self._next(row, place)
        place += len(row)
        tokens: list[int] = []
        for _ in range(self._longest):
            token, share = _most_probable(model.library, sampler, logits)
            log_probability += share
            if model.ends(token):
                break
            model.library.llama_sampler_accept(sampler, token)
            tokens.append(token)
            said = model.text(tokens)
            if said in self.labels and not any(each.startswith(said) and each != said for each in self.labels):
                break
            logits = self._next(np.array([token], np.int32), place)
            place += 1
        return Answer(self._label(said), float(np.exp(log_probability)))

    def _label(self, said: str) -> int:
        if said in self.labels:
            return self.labels.index(said)
        raise RungFailed(f"llama.cpp answered {said!r} although its grammar allows only the labels.")

    def _next(self, tokens: NDArray[np.int32], place: int) -> NDArray[np.float32]:
        positions = np.arange(place, place + len(tokens), dtype=np.int32)
        wanted = np.arange(len(tokens)) == len(tokens) - 1
        (last,) = [each.copy() for _, each in self._context.read(tokens, positions, [(0,)] * len(tokens), wanted)]
        return last


def _most_probable(library: object, sampler: int, logits: NDArray[np.float32]) -> tuple[int, float]:
    """The most probable of the tokens that the grammar allows next, and ln of its share among them."""
    data = np.zeros(len(logits), _DATA)
    data["id"], data["logit"] = np.arange(len(logits)), logits
    array = TokenDataArray(data.ctypes.data, len(data), -1, False)
    library.llama_sampler_apply(sampler, ctypes.byref(array))  # type: ignore[attr-defined]
    kept = data[: array.size]
    allowed = kept[np.isfinite(kept["logit"])]
    if not len(allowed):
        raise RungFailed("llama.cpp's grammar allows no token at all where an answer should go on.")
    scores = allowed["logit"].astype(np.float64)
    best = int(scores.argmax())
    return int(allowed["id"][best]), float(scores[best] - scores.max() - np.log(np.exp(scores - scores.max()).sum()))
