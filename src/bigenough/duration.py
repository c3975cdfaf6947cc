# SPDX-License-Identifier: Apache-2.0
"""A length of time as people write it: ``20m``, ``1h30m``, ``90s``; read, and written so that it reads the same.

A bare number is refused: whether 20 means seconds or minutes is not for a program to guess.
"""

from __future__ import annotations

import math
import re
from decimal import Decimal

from bigenough.errors import BadOption

__all__ = ["duration_seconds", "duration_text"]

_PART = r"(\d+(?:\.\d+)?)\s*{}\s*"
_WRITTEN = re.compile("".join(f"(?:{_PART.format(unit)})?" for unit in ("h", "m(?:in)?", "s")), re.ASCII)
_DIGITS = 6
"""As many behind a second's point are still a text that people write."""


def duration_seconds(text: str, name: str = "--budget") -> float:
    """The seconds of a length of time in hours, minutes and seconds, each at most once and in that order.

    Args:
        text: as in "20m", "1h30m", "1.5 h", "90s"; capitals and blanks do not matter.
        name: the option that a message names.

    Raises:
        BadOption: anything else, and no time at all.

    >>> duration_seconds("20m"), duration_seconds("1h30m"), duration_seconds("90s"), duration_seconds("0.5 h")
    (1200.0, 5400.0, 90.0, 1800.0)
    """
    written = text.strip().lower()
    found = _WRITTEN.fullmatch(written)
    if not written or found is None or not any(found.groups()):
        bare = re.fullmatch(r"\d+(?:\.\d+)?", written, re.ASCII)
        hint = f" Write {written}m for minutes or {written}s for seconds." if bare else ""
        raise BadOption(f"{name} is a length of time, as in 90s, 20m or 1h30m. Got {text!r}.{hint}")
    seconds = sum(float(part) * unit for part, unit in zip(found.groups(), (3600.0, 60.0, 1.0), strict=True) if part)
    if not 0 < seconds < math.inf:
        raise BadOption(f"{name} must be longer than no time at all. Got {text!r}.")
    return seconds


def duration_text(minutes: float) -> str:
    """So many minutes as ``duration_seconds`` reads them: with the fewest digits that give the same number again.

    >>> duration_text(120), duration_text(20), duration_text(90), duration_text(0.15), duration_text(0.0125)
    ('2h', '20m', '1h30m', '9s', '0.75s')
    """
    seconds = 60 * minutes
    for digits in range(_DIGITS + 1):
        whole, rest = divmod(round(seconds, digits), 60)
        hours, left = divmod(int(whole), 60)
        parts = (f"{hours}h" if hours else "", f"{left}m" if left else "", f"{rest:.{digits}f}s" if rest else "")
        written = "".join(parts)
        if written and duration_seconds(written) / 60 == minutes:
            return written
    # A number that no short text gives: all its digits, or those of a neighbour, since 60 does not divide evenly.
    near = (seconds, math.nextafter(seconds, math.inf), math.nextafter(seconds, 0.0))
    return f"{Decimal(repr(next((one for one in near if one / 60 == minutes), seconds))):f}s"
