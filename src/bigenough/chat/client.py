# SPDX-License-Identifier: Apache-2.0
"""An OpenAI-compatible chat endpoint, asked once: a reply or a fault. The key is read from the environment, each time.

The key lives in the ``openai`` client alone, and only while a batch is asked. Whatever an endpoint says is cleared of
it before anybody sees it.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from bigenough.chat.faults import Fault, broken_reply, fault_of, timed_out
from bigenough.chat.replies import Reply, Token
from bigenough.chat.request import Request, checked_url
from bigenough.errors import MissingExtra, RungFailed

__all__ = ["Answered", "Endpoint"]

_NO_KEY = "none"
"""What servers that want no key are sent, since the client insists on one."""
_LEAST_LOGPROB = -1e4


class Answered(NamedTuple):
    """A reply, and the headers that came with it."""

    reply: Reply
    headers: Mapping[str, str]


@dataclass(frozen=True)
class Endpoint:
    """Where a model is asked.

    Attributes:
        url: the base address, as in ``https://api.openai.com/v1``.
        model: its name there.
        key_variable: the environment variable with the key; without it a placeholder is sent.
        timeout_s: when an attempt is given up.

    >>> Endpoint("http://localhost:8080/v1/", "m").is_local
    True
    """

    url: str
    model: str
    key_variable: str = "OPENAI_API_KEY"
    timeout_s: float = 60.0

    def __post_init__(self) -> None:
        object.__setattr__(self, "url", checked_url(self.url))

    @property
    def is_local(self) -> bool:
        """Whether it is on this machine, which "offline" allows."""
        return urlsplit(self.url).hostname in ("localhost", "127.0.0.1", "::1")

    def check_offline(self) -> None:
        """Raise ``RungFailed`` unless it is on this machine."""
        if not self.is_local:
            raise RungFailed(
                f"The endpoint {self.url} is not on this machine, and offline was asked for. Leave one of the two out."
            )

    @property
    def has_key(self) -> bool:
        """Whether the environment has a key."""
        return bool(os.environ.get(self.key_variable, "").strip())

    @asynccontextmanager
    async def opened(self) -> AsyncIterator[Any]:
        """The client for one batch of requests. Raises ``MissingExtra``, and ``RungFailed`` for what can be no key."""
        try:
            from openai import AsyncOpenAI
        except ImportError:
            raise MissingExtra("Asking an endpoint", "openai", "pip install 'bigenough[llm]'") from None
        key = os.environ.get(self.key_variable, "").strip() or _NO_KEY
        if not (key.isascii() and key.isprintable()):
            raise RungFailed(
                f"What the environment variable {self.key_variable} holds cannot be a key: it has characters that no "
                "request may carry. Set it again, without quotes or line ends."
            )
        async with AsyncOpenAI(base_url=self.url, api_key=key, max_retries=0, timeout=self.timeout_s) as client:
            yield client

    async def ask(self, client: Any, request: Request) -> Answered | Fault:
        """Send a request once."""
        began = time.monotonic()
        try:
            async with asyncio.timeout(self.timeout_s):
                raw = await client.chat.completions.with_raw_response.create(
                    model=request.model, messages=list(request.messages), **request.parameters
                )
                completion = raw.parse()
        except TimeoutError:
            return timed_out(self.timeout_s)
        except Exception as error:  # the client's errors; whatever is none of them goes on below
            fault = fault_of(error, self.without_key)
            if fault is None:
                raise
            return fault
        try:
            reply = _reply(completion, time.monotonic() - began)
        except (AttributeError, IndexError, TypeError, ValueError) as error:
            return broken_reply(self.without_key(f"{type(error).__name__}: {error}"))
        return Answered(reply, raw.headers)

    async def models(self, client: Any) -> list[str]:
        """The names of the models that it says it has; none when it does not say."""
        try:
            async with asyncio.timeout(min(10.0, self.timeout_s)):
                page = await client.models.list()
            return [self.without_key(str(model.id)) for model in page.data]
        except Exception:  # it only helps a message
            return []

    def without_key(self, text: str) -> str:
        """The text with the key struck out."""
        key = os.environ.get(self.key_variable, "").strip()
        return text.replace(key, "***") if key else text


def _reply(completion: Any, latency_s: float) -> Reply:
    choice = completion.choices[0]
    usage = getattr(completion, "usage", None)
    details = getattr(usage, "prompt_tokens_details", None)
    logprobs = getattr(choice, "logprobs", None)
    listed = getattr(logprobs, "content", None)
    return Reply(
        content=str(choice.message.content or ""),
        finish=str(choice.finish_reason or ""),
        refusal=getattr(choice.message, "refusal", None),
        tokens=tuple(map(_token, listed)) if listed else None,
        tokens_in=_count(usage, "prompt_tokens"),
        tokens_out=_written(usage),
        tokens_cached=_count(details, "cached_tokens"),
        latency_s=latency_s,
        fingerprint=getattr(completion, "system_fingerprint", None),
        at=time.time(),
    )


def _token(token: Any) -> Token:
    others = tuple((str(other.token), _logprob(other.logprob)) for other in token.top_logprobs or ())
    return Token(str(token.token), _logprob(token.logprob), others)


def _logprob(value: float | None) -> float:
    """Within what JSON can write: some servers say −∞, or nothing."""
    return _LEAST_LOGPROB if value is None or not value > _LEAST_LOGPROB else min(0.0, float(value))


def _written(usage: Any) -> int | None:
    """Tokens written; some servers count thoughts in the total alone."""
    read, written, total = (_count(usage, f"{name}_tokens") for name in ("prompt", "completion", "total"))
    return written if written is None or read is None or total is None else max(written, total - read)


def _count(usage: Any, name: str) -> int | None:
    value = getattr(usage, name, None)
    return value if isinstance(value, int) and value >= 0 else None
