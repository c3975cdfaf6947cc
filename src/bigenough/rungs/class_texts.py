# SPDX-License-Identifier: Apache-2.0
"""Class names as the texts that an encoder reads: pure functions of strings.

It decides how a label that was made for a table becomes words, and which names say nothing. It refuses to guess what a
number or a code may mean: that takes a description.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

__all__ = ["TEMPLATES", "class_texts", "names_say_nothing", "readable_names"]

TEMPLATES: Mapping[str, tuple[str, ...]] = {
    "name": ("{}",),
    "sentences": ("{}", "This text is about {}.", "This is an example of {}."),
}
"""Ways to put a name into words; where there are several, their vectors are averaged."""


def readable_names(names: Sequence[str]) -> list[str]:
    """Each name in words.

    Underscores and the like become spaces, words written together come apart, and the words with which all names begin
    go.

    >>> readable_names(["intent_PlayMusic", "intent_BookRestaurant"])
    ['Play Music', 'Book Restaurant']
    >>> readable_names(["Sci/Tech", "ATMSupport", "top-up  failed"])
    ['Sci Tech', 'ATM Support', 'top up failed']
    """
    words = [_words(name) for name in names]
    while len(words) > 1 and all(len(each) > 1 for each in words) and len({each[0].lower() for each in words}) == 1:
        words = [each[1:] for each in words]
    return [" ".join(each) or name for each, name in zip(words, names, strict=True)]


def names_say_nothing(names: Sequence[str]) -> bool:
    """Whether all names are numbers, single letters or codes, once what they share is taken off.

    >>> names_say_nothing(["label_0", "label_1"]), names_say_nothing(["C50", "J45"]), names_say_nothing(["ham", "spam"])
    (True, True, False)
    """
    return not any(_says_something(name) for name in readable_names(names))


def class_texts(names: Sequence[str], descriptions: Mapping[str, str], templates: Sequence[str]) -> list[list[str]]:
    """For each class the texts that stand for it: its description where there is one, else its name in the templates.

    >>> class_texts(["card_lost", "other"], {"other": "anything else"}, ["{}", "It is about {}."])
    [['card lost', 'It is about card lost.'], ['anything else']]
    """
    told = {name: text.strip() for name, text in descriptions.items() if text.strip()}
    return [
        [told[name]] if name in told else [template.format(readable) for template in templates]
        for name, readable in zip(names, readable_names(names), strict=True)
    ]


def _words(name: str) -> list[str]:
    apart = re.sub(r"([^\W\d_A-Z])([A-Z])", r"\1 \2", name)
    apart = re.sub(r"([A-Z]+)([A-Z][a-z])", r"\1 \2", apart)
    return re.sub(r"[\W_]+", " ", apart).split()


def _says_something(name: str) -> bool:
    """Three letters in a row, or any letter beyond ASCII: in some scripts one of them is a word."""
    return re.search(r"[^\W\d_]{3}", name) is not None or any(each.isalpha() and not each.isascii() for each in name)
