# SPDX-License-Identifier: Apache-2.0
"""What the planner refuses: counts that are not positive, sizes that nobody means, and units that look alike."""

from __future__ import annotations

import math
import re
from types import MappingProxyType

from bigenough.errors import BadOption

__all__ = ["amount", "gigabytes", "positive", "tokens_of"]

_SCALES = MappingProxyType({"": 1.0, "k": 1e3, "m": 1e6, "b": 1e9, "g": 1e9, "t": 1e12})
_BYTES = MappingProxyType(
    {
        "b": 1e-9,
        "kb": 1e-6,
        "mb": 1e-3,
        "gb": 1.0,
        "tb": 1e3,
        "kib": 2**10 / 1e9,
        "mib": 2**20 / 1e9,
        "gib": 2**30 / 1e9,
        "tib": 2**40 / 1e9,
    }
)


def positive(name: str, value: float) -> float:
    """The value, if it is a finite number above zero; else ``BadOption``."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value) or value <= 0:
        raise BadOption(f"{name}={value!r}: expected a number above zero.")
    return value


def amount(name: str, text: str, *, most: float = 1e17) -> float:
    """A count that a user wrote: ``7b``, ``1.4T``, ``140_000_000``, ``3e11``.

    >>> amount("tokens", "1.4T")
    1400000000000.0
    """
    found = re.fullmatch(r"\s*([-+]?[\d_.,]*\d(?:e[+-]?\d+)?)\s*([kmbgt]?)(?:n|illion|okens?|arams?)?\s*", text.lower())
    if not found:
        raise BadOption(f"{name}={text!r} is no number. Write it as 7b, 1.4T, 3e11 or 7000000000.")
    try:
        value = float(found[1].replace("_", "").replace(",", "")) * _SCALES[found[2]]
    except ValueError:
        raise BadOption(f"{name}={text!r} is no number. Write it as 7b, 1.4T, 3e11 or 7000000000.") from None
    if not 0 < value <= most:
        raise BadOption(f"{name}={text!r} is {value:g}: expected more than zero and at most {most:g}. Check the unit.")
    return value


def tokens_of(name: str, text: str) -> int:
    """A length of context that a user wrote: ``8k`` is 8,000 and ``8Ki`` is 8,192, since model cards use both.

    >>> tokens_of("context", "128k"), tokens_of("context", "128Ki")
    (128000, 131072)
    """
    found = re.fullmatch(r"\s*([\d.]+)\s*ki\s*", text.lower())
    value = float(found[1]) * 1024 if found else amount(name, text, most=1e8)
    if value < 1 or value != int(value):
        raise BadOption(f"{name}={text!r}: expected a whole number of tokens, such as 8192, 8k (8,000) or 8Ki (8,192).")
    return int(value)


def gigabytes(name: str, text: str) -> float:
    """An amount of memory in GB (10^9 bytes); ``80GiB`` is 85.9 GB, and ``80`` without a unit is refused.

    >>> gigabytes("memory", "80GiB")
    85.89934592
    """
    found = re.fullmatch(r"\s*(-?[\d.]+)\s*([a-z]*)\s*", text.lower())
    if not found or not found[2]:
        raise BadOption(
            f"{name}={text!r} has no unit. Write 80GB (10^9 bytes) or 80GiB (2^30 bytes): they differ by 7 %."
        )
    written = text.strip()[-len(found[2]) :]
    if found[2] not in _BYTES or (written[-1] == "b" and written != written.lower()):  # 80gb is typed in haste
        hint = " Memory is counted in bytes (B), not bits (b)." if found[2] in _BYTES else ""
        raise BadOption(f"{name}={text!r}: {found[2]!r} is no unit of memory.{hint} Write MB, GB, TB, MiB, GiB or TiB.")
    value = float(found[1]) * _BYTES[found[2]]
    if not 1e-4 <= value <= 1e8:
        raise BadOption(f"{name}={text!r} is {value:g} GB: expected more than a megabyte and less than 100 petabytes.")
    return value
