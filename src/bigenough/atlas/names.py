# SPDX-License-Identifier: Apache-2.0
"""What to offer when a name is not known."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable

__all__ = ["key", "nearest"]


def key(name: str) -> str:
    """A name with its case, spaces and punctuation taken away: how two spellings of one name are found equal.

    >>> key("Llama-3.1-8B") == key("llama 3.1 8b")
    True
    """
    return re.sub(r"[^a-z0-9.]+", "", name.lower())


def nearest(name: str, known: Iterable[str]) -> str:
    """The sentence that offers the names that look most like one.

    >>> nearest("int9", ["int8", "bf16"])
    "Did you mean 'int8'?"
    """
    by_key = {key(other): other for other in known}
    wanted = key(name)
    found = difflib.get_close_matches(wanted, by_key, n=3, cutoff=0.5)
    found += [other for other in by_key if wanted and wanted in other and other not in found]
    offered = [repr(by_key[other]) for other in found[:4]]
    if not offered:
        return f"Known: {', '.join(list(by_key.values())[:12])}{', …' if len(by_key) > 12 else ''}."
    return f"Did you mean {' or '.join(offered)}?"
