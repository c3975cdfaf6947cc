# SPDX-License-Identifier: Apache-2.0
"""By which one token each class is called: pure functions of names and of what a tokenizer makes of them.

With an answer of one token the model is asked once, at the end of the prompt, and the probabilities of the answers are
the classes': what training learns and what serving reads are the same numbers. It prefers a word of the class's own
name that few other names have. Where no word is one token, a letter or any other short word stands for the class.
"""

from __future__ import annotations

import string
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Literal

import numpy as np

from bigenough.errors import RungFailed
from bigenough.rungs.class_texts import readable_names

__all__ = ["Style", "answers_for"]

Style = Literal["words", "codes"]
"""How classes are called: "words" of their names, or "codes" that say nothing."""

Tokens = Callable[[str], Sequence[int]]
"""A tokenizer: the ids of a text."""


def answers_for(
    names: Sequence[str], n_classes: int, tokens: Tokens, words: Callable[[], Mapping[int, str]], style: Style
) -> list[str]:
    """The text that stands for each class, each one token and all different.

    Args:
        names: of the classes; empty when nobody told.
        n_classes: how many there are.
        tokens: the model's tokenizer, without the marks that begin a text.
        words: called when letters do not suffice: the model's vocabulary, its plain words by their ids.
        style: "words" takes them from the names where it can, "codes" never.

    Raises:
        RungFailed: the vocabulary has too few words.

    >>> known = {"card": 1, " lost": 2, " card": 3, " A": 4, " B": 5}
    >>> ids = lambda text: [known[text]] if text in known else [0, 0]
    >>> answers_for(["lost_card", "card"], 2, ids, dict, "words"), answers_for([], 2, ids, dict, "words")
    ([' lost', ' card'], [' A', ' B'])
    """
    chosen: dict[int, tuple[int, str]] = {}
    if style == "words" and len(names) == n_classes:
        chosen = _matched([_candidates(name, tokens) for name in readable_names(names)])
    taken = {token for token, _ in chosen.values()}
    codes = _codes(taken, tokens, words)
    answers = []
    for code in range(n_classes):
        answer = chosen[code][1] if code in chosen else next(codes, None)
        if answer is None:
            raise RungFailed(
                f"This language model's vocabulary has no {n_classes:,} words of one token to call the classes by. "
                "Name a model with a larger vocabulary."
            )
        answers.append(answer)
    return answers


def _candidates(name: str, tokens: Tokens) -> dict[int, tuple[str, str]]:
    """By token: the word it came from, and the text; earlier words first."""
    found: dict[int, tuple[str, str]] = {}
    for word in name.split():
        for text in (f" {word.lower()}", f" {word}", f" {word.capitalize()}", word.lower()):
            ids = tokens(text)
            if len(ids) == 1 and any(each.isalpha() for each in word):
                found.setdefault(ids[0], (word.lower(), text))
    return found


def _matched(candidates: Sequence[Mapping[int, tuple[str, str]]]) -> dict[int, tuple[int, str]]:
    """A token for as many classes as possible, no token twice, of all such choices the one with the rarest words.

    A linear assignment (Kuhn 1955).
    """
    from scipy.optimize import linear_sum_assignment

    columns = sorted({token for each in candidates for token in each})
    if not columns:
        return {}
    shared = Counter(word for each in candidates for word in {word for word, _ in each.values()})
    none = 1e6
    cost = np.full((len(candidates), len(columns) + len(candidates)), none)
    place = {token: column for column, token in enumerate(columns)}
    for code, each in enumerate(candidates):
        for order, (token, (word, _)) in enumerate(each.items()):
            # Short words, as "by" and "my", say little of a class.
            cost[code, place[token]] = shared[word] + 1 / len(word) + 0.01 * order
    rows, found = linear_sum_assignment(cost)
    return {
        int(code): (columns[column], candidates[code][columns[column]][1])
        for code, column in zip(rows, found, strict=True)
        if column < len(columns) and cost[code, column] < none
    }


def _codes(taken: set[int], tokens: Tokens, words: Callable[[], Mapping[int, str]]) -> Iterator[str]:
    """Letters, then the vocabulary's words in its order, which is that of how common they are; none twice."""
    used = set(taken)
    for letter in string.ascii_uppercase:
        for text in (f" {letter}", letter):
            ids = tokens(text)
            if len(ids) == 1 and ids[0] not in used:
                used.add(ids[0])
                yield text
                break
    for token, word in sorted(words().items()):
        if token not in used and list(tokens(word)) == [token]:
            used.add(token)
            yield word
