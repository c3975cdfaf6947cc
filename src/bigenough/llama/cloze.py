# SPDX-License-Identifier: Apache-2.0
"""The last word of a passage, guessed from all that comes before it (Paperno et al. 2016, LAMBADA)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bigenough.errors import InputError
from bigenough.llama.context import BATCH, Context, log_softmax_at
from bigenough.llama.model import LlamaModel

__all__ = ["CONTEXT_TOKENS", "Guess", "cloze", "last_word"]

CONTEXT_TOKENS = 1024
"""Tokens of a passage that are read: the last ones, when there are more."""


@dataclass(frozen=True)
class Guess:
    """What a model made of one passage.

    Attributes:
        word: the last word, as it is in the passage.
        right: whether at every token of the word, given the tokens before it, that token was the most probable one:
            whether greedy generation writes the word.
        log_probability: ln P(word | what comes before), in nats: the sum over the word's tokens.
        tokens: how many tokens the word has.
    """

    word: str
    right: bool
    log_probability: float
    tokens: int


def last_word(passage: str) -> tuple[str, str]:
    """A passage before its last word, and that word with the space in front of it.

    What is not a letter or digit at the very end (a full stop, a quotation mark) is taken off first.

    Raises:
        InputError: there are not two words.

    >>> last_word("He opened the door. ")
    ('He opened the', ' door')
    """
    end = len(passage)
    while end and not passage[end - 1].isalnum():
        end -= 1
    kept = passage[:end]
    before, _, word = kept.rpartition(" ")
    if not before.strip() or not word:
        raise InputError(f"A passage needs two words at least, a space between them. Got {passage[:60]!r}.")
    return before.rstrip(), " " + word


def cloze(model: LlamaModel, passages: Sequence[str]) -> Iterator[Guess]:
    """For each passage in turn, whether the model guesses its last word, and the probability it gives it.

    Passages are read as plain text, without a chat template, after the model's begin token if it wants one. A guess
    depends on its own passage alone.

    Raises:
        InputError: a passage has fewer than two words.
    """
    if not passages:
        return
    pairs = [last_word(passage) for passage in passages]
    room = min(CONTEXT_TOKENS, model.longest)
    context = model.context(room + BATCH)
    for before, word in pairs:
        yield _guess(model, context, before, word, room)


def _guess(model: LlamaModel, context: Context, before: str, word: str, room: int) -> Guess:
    asked = model.tokens(word.strip() if model.spaces_by_itself else word)
    start = model.tokens(before)
    begin = np.array([] if model.begin is None else [model.begin], np.int32)
    start = np.concatenate([begin, start[-max(1, room - len(asked) - len(begin)) :]])
    tokens = np.concatenate([start, asked])[:-1]
    context.forget(0)
    positions = np.arange(len(tokens), dtype=np.int32)
    wanted = positions >= len(start) - 1
    right, total = True, 0.0
    for place, logits in context.read(tokens, positions, [(0,)] * len(tokens), wanted):
        token: NDArray[np.int32] = asked[place - len(start) + 1 : place - len(start) + 2]
        total += float(log_softmax_at(logits, token)[0])
        right = right and int(logits.argmax()) == int(token[0])
    return Guess(word.strip(), right, total, len(asked))
