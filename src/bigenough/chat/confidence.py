# SPDX-License-Identifier: Apache-2.0
"""How sure a reply is: class probabilities from its tokens' log-probabilities, or by a stated rule without them.

With log-probabilities the classes form a tree of spellings, and the reply walks one way down it. At every token of the
label, the likeliest other tokens are the ways not taken: the probability of having come so far times that of such a
token goes to the classes whose names go on with it, in equal parts. What goes on with no class's name is left out, and
the rest is scaled to 1.

Without them the said class gets ``SAID`` and the others share the rest. How right that is, the temperature that is
fitted on select decides.

The class that was said is always the most probable one: a probability never changes an answer. A reply that names no
class gets the same probability for all, but for a hair (``HAIR``) that a hash of the row's own text puts on one of
them: such a row counts as right with a chance of 1 / k, whatever the row is about, and so never by more than a fair
share.
"""

from __future__ import annotations

import hashlib
import unicodedata
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from bigenough.chat.replies import Token

__all__ = ["HAIR", "SAID", "by_logprobs", "by_rule", "undecided"]

SAID = 0.9
HAIR = 1e-6
_LEAST = 1e-4
"""The probability of a class of which the reply's tokens say nothing, before scaling."""
_OPENING = " \t\r\n\"'`*“‘«([{_"


def by_rule(said: int, n_classes: int) -> NDArray[np.float64]:
    """The (k,) probabilities of a reply without log-probabilities.

    >>> by_rule(1, 3).round(3).tolist()
    [0.05, 0.9, 0.05]
    """
    if n_classes == 1:
        return np.ones(1)
    said_probability = max(SAID, 2 / (n_classes + 1))
    probability = np.full(n_classes, (1 - said_probability) / (n_classes - 1))
    probability[said] = said_probability
    return probability


def undecided(text: str, n_classes: int) -> NDArray[np.float64]:
    """The (k,) probabilities of a row whose reply named no class: equal, but for a hair.

    >>> undecided("a row", 4).round(3).tolist()
    [0.25, 0.25, 0.25, 0.25]
    """
    digest = hashlib.sha256(text.encode("utf-8", "replace")).digest()
    probability = np.full(n_classes, 1.0 / n_classes)
    probability[int.from_bytes(digest[:8], "big") % n_classes] *= 1 + HAIR
    scaled: NDArray[np.float64] = probability / probability.sum()
    return scaled


def by_logprobs(tokens: Sequence[Token], surface: str, said: int, classes: Sequence[str]) -> NDArray[np.float64] | None:
    """The (k,) probabilities by the tokens of the label in a reply; None where the tokens do not spell it.

    Args:
        tokens: of the whole reply.
        surface: the label's letters in it.
        said: the class they name.
        classes: (k) the text by which each class is called.

    >>> reply = [Token("spam", -0.223, (("spam", -0.223), ("ham", -1.609)))]
    >>> by_logprobs(reply, "spam", 1, ("ham", "spam")).round(2).tolist()
    [0.2, 0.8]
    """
    start = _start(tokens, surface)
    if start is None:
        return None
    names = [_plain(name) for name in classes]
    mass = np.zeros(len(classes))
    spelled, come, place = "", 1.0, 0
    for token in tokens:
        end = place + len(token.text)
        if end > start and len(spelled) < len(surface):
            opening = token.text[: max(0, start - place)]
            for text, logprob in token.others:
                if text != token.text:
                    way = spelled + text if spelled else _without(text, opening)
                    _share(mass, names, way, come * float(np.exp(logprob)))
            spelled += token.text[len(opening) :]
            come *= float(np.exp(token.logprob))
        place = end
    mass[said] += come
    mass = np.maximum(mass / max(mass.sum(), np.finfo(np.float64).tiny), _LEAST)
    highest = np.delete(mass, said).max(initial=0.0)
    mass[said] = max(mass[said], highest * (1 + HAIR))
    scaled: NDArray[np.float64] = mass / mass.sum()
    return scaled


def _share(mass: NDArray[np.float64], names: Sequence[str], spelled: str, probability: float) -> None:
    """Give a way not taken to the classes that it leads to."""
    way = _plain(spelled)
    if not way:
        return
    leads = [code for code, name in enumerate(names) if name.startswith(way) or _ended(way, name)]
    for code in leads:
        mass[code] += probability / len(leads)


def _ended(way: str, name: str) -> bool:
    """Whether the spelling goes beyond the name with a sign that ends it."""
    return way.startswith(name) and not way[len(name)].isalnum()


def _start(tokens: Sequence[Token], surface: str) -> int | None:
    """Where the label begins in the text of all tokens: its last occurrence, since thoughts come before it."""
    if not surface:
        return None
    text = "".join(token.text for token in tokens)
    found = text.rfind(surface)
    return None if found < 0 else found


def _without(text: str, opening: str) -> str:
    """An alternative token without the spaces and quotes that stood before the label in the token that was taken."""
    return text[len(opening) :] if text.startswith(opening) and opening else text.lstrip(_OPENING)


def _plain(text: str) -> str:
    return unicodedata.normalize("NFKC", text).casefold()
