# SPDX-License-Identifier: Apache-2.0
"""How long to wait before asking again: what the endpoint says, or exponential back-off with jitter.

Pure functions of headers, times and a random number.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

__all__ = ["asked_wait", "backoff", "exhausted_for"]

_LONGEST_BACKOFF = 60.0
_PART = re.compile(r"(\d+(?:\.\d+)?)(ms|h|m|s)")
_SECONDS = {"ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}


def backoff(attempt: int, first_s: float, chance: float) -> float:
    """Seconds after the ``attempt``-th failure: doubling from ``first_s`` to a minute, less up to half of it.

    ``chance`` from 0 to 1 says how much less, so that those who failed together do not come back together.

    >>> [backoff(n, 0.5, 0.0) for n in (1, 2, 3)], backoff(2, 0.5, 1.0)
    ([0.5, 1.0, 2.0], 0.5)
    """
    return float(min(_LONGEST_BACKOFF, first_s * 2.0 ** min(attempt - 1, 30)) * (1 - 0.5 * chance))


def asked_wait(headers: Mapping[str, str], now: datetime) -> float | None:
    """The seconds that ``Retry-After`` (a number or a date, RFC 9110, section 10.2.3) asks for, or None.

    >>> asked_wait({"retry-after": "2"}, datetime.now(UTC)), asked_wait({"retry-after-ms": "250"}, datetime.now(UTC))
    (2.0, 0.25)
    """
    for name, unit in (("retry-after-ms", 1e-3), ("retry-after", 1.0)):
        told = headers.get(name, "").strip()
        try:
            wait = float(told) * unit
        except ValueError:
            continue
        if 0 <= wait < float("inf"):
            return wait
    try:
        date = parsedate_to_datetime(headers.get("retry-after", ""))
    except (TypeError, ValueError, IndexError):
        return None
    date = date if date.tzinfo else date.replace(tzinfo=UTC)
    return max(0.0, (date - now).total_seconds())


def exhausted_for(headers: Mapping[str, str]) -> float:
    """The seconds until the endpoint's rate limit opens again, by its ``x-ratelimit-*`` headers; 0 while it is open.

    >>> exhausted_for({"x-ratelimit-remaining-requests": "0", "x-ratelimit-reset-requests": "1m2.5s"})
    62.5
    >>> exhausted_for({"x-ratelimit-remaining-requests": "7", "x-ratelimit-reset-requests": "1m0s"})
    0.0
    """
    spent = [kind for kind in ("requests", "tokens") if headers.get(f"x-ratelimit-remaining-{kind}", "").strip() == "0"]
    return max((_duration(headers.get(f"x-ratelimit-reset-{kind}", "")) for kind in spent), default=0.0)


def _duration(text: str) -> float:
    """Seconds of "1h2m3s", "20ms" or a bare number; 0 for anything else."""
    stripped = text.strip()
    parts = _PART.findall(stripped)
    if parts and "".join(number + unit for number, unit in parts) == stripped:
        return sum(float(number) * _SECONDS[unit] for number, unit in parts)
    try:
        return max(0.0, float(stripped))
    except ValueError:
        return 0.0
