# SPDX-License-Identifier: Apache-2.0
"""What can go wrong with one request: its kind, whether asking again may help, whether it may have been paid for."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal

from bigenough.chat.pacing import asked_wait

__all__ = ["Fault", "Kind", "broken_reply", "fault_of", "timed_out"]

Kind = Literal[
    "unreachable", "timeout", "broken", "limit", "quota", "server", "key", "address", "overflow", "filtered", "refused"
]

_TRIES: Mapping[Kind, int] = {"unreachable": 4, "timeout": 3, "broken": 4}
"""How often a request of such a fault is sent at most; 429 and other 5xx have all tries that the terms allow."""
_LATE = (408, 504, 524)
"""A gateway says so while the model behind it may be at work, and charge for it."""
_AGAIN: frozenset[Kind] = frozenset({"unreachable", "timeout", "broken", "limit", "server"})
_PAID: frozenset[Kind] = frozenset({"timeout", "broken"})
_OVERFLOW = re.compile(
    r"context[ _-]?(?:length|size|window)|maximum context|exceed_context|too many (?:input )?tokens|"
    r"(?:prompt|input) (?:is )?too long|reduce the length",
    re.IGNORECASE,
)
_FILTER = re.compile(
    r"content[ _-]?(?:filter|policy|management)|safety system|moderation|usage polic|invalid_prompt", re.IGNORECASE
)
_LONGEST = 300


@dataclass(frozen=True)
class Fault:
    """One failed attempt.

    Attributes:
        kind: what it was.
        says: the status and the endpoint's own words, or the connection's.
        wait_s: how long the endpoint asked to wait.
        parameter: the parameter that it complains of and what it says of it, where a request was refused.
    """

    kind: Kind
    says: str
    wait_s: float | None = None
    parameter: str = ""

    @property
    def again(self) -> bool:
        """Whether asking again may help."""
        return self.kind in _AGAIN

    @property
    def perhaps_paid(self) -> bool:
        """Whether the endpoint may have done, and charged, the work."""
        return self.kind in _PAID

    def tries(self, at_most: int) -> int:
        """How often a request that fails so is sent in all."""
        return min(at_most, _TRIES.get(self.kind, at_most))


def timed_out(timeout_s: float) -> Fault:
    """The fault of a reply that was not whole in time."""
    return Fault("timeout", f"no whole reply within {timeout_s:g} s")


def broken_reply(why: str) -> Fault:
    """The fault of a reply that came and is no chat completion."""
    return Fault("broken", f"a reply that is no chat completion ({_short(why)})")


def fault_of(error: Exception, clean: Callable[[str], str] = str) -> Fault | None:
    """The fault behind an error of the ``openai`` client; None for any other error.

    ``clean`` strikes out of an endpoint's words what must not be kept, before they are cut short.
    """
    import openai

    if isinstance(error, openai.APITimeoutError):
        return Fault("timeout", "no reply in time")
    if isinstance(error, openai.APIConnectionError):
        cause = error.__cause__ or error
        said = f"{type(cause).__name__}: {cause}"
        # what broke off after the request had left may have been answered, and charged
        kind: Kind = "unreachable" if "Connect" in type(cause).__name__ else "broken"
        return Fault(kind, _short(clean(said)))
    if isinstance(error, openai.APIStatusError):
        return _by_status(error.status_code, error.response.headers, error.body, clean)
    if isinstance(error, openai.APIError | ValueError):
        return broken_reply(clean(f"{type(error).__name__}: {error}"))
    return None


def _by_status(status: int, headers: Mapping[str, str], body: object, clean: Callable[[str], str]) -> Fault:
    message, code, parameter = map(clean, _told(body))
    says = f"{status}: {_short(message)}" if message else f"status {status}"
    hint = f"{code} {message}"
    if status == 401 or (status == 403 and not _FILTER.search(hint)):
        return Fault("key", says)
    if status == 402:
        return Fault("quota", says)
    if status == 404:
        return Fault("address", says)
    if status == 429:
        kind: Kind = "quota" if "insufficient_quota" in hint or "exceeded your current quota" in hint else "limit"
        return Fault(kind, says, asked_wait(headers, datetime.now(UTC)))
    if status in _LATE:
        return Fault("timeout", says, asked_wait(headers, datetime.now(UTC)))
    if status in (409, 425) or status >= 500:
        return Fault("server", says, asked_wait(headers, datetime.now(UTC)))
    if status in (400, 413, 422) and (_OVERFLOW.search(hint) or status == 413):
        return Fault("overflow", says)
    if status in (400, 403, 422) and _FILTER.search(hint):
        return Fault("filtered", says)
    return Fault("refused", says, parameter=f"{parameter} {message}".strip())


def _told(body: object) -> tuple[str, str, str]:
    """The message, code and parameter of an error's body, in the ways in which servers write them."""
    error: Any = body
    if isinstance(error, str):
        try:
            error = json.loads(error)
        except ValueError:
            return error, "", ""
    if isinstance(error, dict) and isinstance(error.get("error"), dict | str):
        error = error["error"]
    if isinstance(error, dict):
        message = error.get("message") or error.get("detail") or ""
        code = f"{error.get('code') or ''} {error.get('type') or ''}"
        return str(message), code, str(error.get("param") or "")
    return ("" if error is None else str(error)), "", ""


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= _LONGEST else f"{line[:_LONGEST]}…"
