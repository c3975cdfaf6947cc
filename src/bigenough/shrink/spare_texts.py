# SPDX-License-Identifier: Apache-2.0
"""Texts made of other texts, for a teacher to speak of when there are not enough real ones.

No label is kept or guessed here: the teacher says what such a text is. Words are left out, as in Tang et al. 2019
(section 4.1), or the beginning of one text is joined to the end of another, so that words meet which have not met.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

__all__ = ["spare_texts"]

_LEFT_OUT = (0.1, 0.4)
"""The share of its words that a text loses, drawn between these."""


def spare_texts(texts: Sequence[str], times: int, seed: int, *, longest: int | None = None) -> list[str]:
    """``times`` new texts for each, by turns with words left out and mixed of two; those that came out known are left.

    Words are what spaces part; a text of one word is mixed only. Of a text with more than ``longest`` characters only
    the words within them are taken.

    >>> spare_texts(["pay my bill now", "open an account"], 1, seed=0) == spare_texts(
    ...     ["pay my bill now", "open an account"], 1, seed=0)
    True
    >>> spare_texts(["pay my bill"], 0, seed=0)
    []
    """
    if not times:
        return []
    rng = np.random.default_rng(seed)
    words = [_words(text, longest) for text in texts]
    known = set(texts)
    made: dict[str, None] = {}
    for _ in range(times):
        for mine in words:
            if len(mine) > 1 and rng.random() < 0.5:
                kept = rng.random(len(mine)) >= rng.uniform(*_LEFT_OUT)
                new = [word for word, stays in zip(mine, kept, strict=True) if stays]
            else:
                other = words[int(rng.integers(len(words)))]
                new = mine[: int(rng.integers(len(mine) + 1))] + other[int(rng.integers(len(other) + 1)) :]
            made[" ".join(new)] = None
    return [text for text in made if text and text not in known]


def _words(text: str, longest: int | None) -> list[str]:
    """The words that end within the first ``longest`` characters; of a longer first one, its beginning."""
    if longest is None or len(text) <= longest:
        return text.split()
    words = text[: longest + 1].split()
    if len(words) > 1 and not text[longest].isspace():
        words.pop()  # it goes on
    return [word[:longest] for word in words]
