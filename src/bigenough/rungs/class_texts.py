# SPDX-License-Identifier: Apache-2.0
"""Class names as the texts that an encoder reads: pure functions of strings.

It decides how a label that was made for a table becomes words, and which names say nothing. It refuses to guess what a
number or a code may mean: that takes a description.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import groupby

__all__ = ["TEMPLATES", "class_texts", "readable_names", "undescribed", "wordless_names"]

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


def wordless_names(names: Sequence[str]) -> list[str]:
    """The names without a word: numbers, single letters, codes, and those that only a number at the end sets apart.

    >>> wordless_names(["E11.9", "no", "b", "class2", "class3", "covid19", "良"])
    ['E11.9', 'b', 'class2', 'class3']
    """
    words = readable_names(names)
    stems = [_without_number(each) for each in words]
    shared = Counter(stem.casefold() for stem in stems)
    return [
        name
        for name, each, stem in zip(names, words, stems, strict=True)
        if not any(_is_word(token) for token in each.split()) or (stem != each and shared[stem.casefold()] > 1)
    ]


def undescribed(names: Sequence[str], descriptions: Mapping[str, str]) -> list[str]:
    """The names that hold no word and are not described: what such a class is, no text here says.

    >>> undescribed(["C50", "J45", "other"], {"J45": "asthma", "C50": " "})
    ['C50']
    """
    return [name for name in wordless_names(names) if not descriptions.get(name, "").strip()]


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
    apart = re.sub(r"([^\W\d_A-Z])([A-Z])", r"\1 \2", unicodedata.normalize("NFC", name))
    apart = re.sub(r"([A-Z]+)([A-Z][a-z])", r"\1 \2", apart)
    spaced = "".join(each if each.isalnum() or _is_mark(each) else " " for each in apart)
    return [word for word in spaced.split() if any(each.isalnum() for each in word)]


def _without_number(name: str) -> str:
    return re.sub(r"[\s\d]*\d$", "", name)


def _is_word(token: str) -> bool:
    """Two letters in a row or more; three where digits touch them, since codes have two; one where it is a syllable."""
    runs = ("".join(run) for letters, run in groupby(token, _is_letter) if letters)
    return any(len(run) >= (2 if run == token else 3) or any(map(_is_syllable, run)) for run in runs)


def _is_letter(character: str) -> bool:
    return character.isalpha() or _is_mark(character)


def _is_mark(character: str) -> bool:
    """Whether it belongs to the letter before it: an accent, or a vowel in the scripts of India and Thailand."""
    return unicodedata.category(character).startswith("M")


def _is_syllable(character: str) -> bool:
    """Whether it may be a word by itself: Chinese characters and Hangul."""
    return unicodedata.name(character, "").startswith(("CJK UNIFIED", "CJK COMPATIBILITY", "HANGUL SYLLABLE"))
