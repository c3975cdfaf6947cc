# SPDX-License-Identifier: Apache-2.0
"""One question to an endpoint, and the hash under which its reply is kept."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any
from urllib.parse import urlsplit

from bigenough.chat.prompt import Message
from bigenough.errors import BadOption
from bigenough.storage import canonical_json, content_hash

__all__ = ["Request", "checked_url"]

_A_MESSAGE = 16
"""Tokens that a chat template may put around one message; those known take 3 to 10."""


@dataclass(frozen=True)
class Request:
    """What is sent, and for which time.

    Attributes:
        url: the endpoint's base address, as ``checked_url`` gives it.
        model: its name there.
        messages: the talk.
        parameters: everything else that is sent: temperature, the bound on tokens, the reply's schema.
        repeat: 0 the first time; another number asks the same again.
        series: which prompt it belongs to, so that replies can be looked at together; no part of the key.
    """

    url: str
    model: str
    messages: Sequence[Message]
    parameters: Mapping[str, Any] = field(default_factory=dict)
    repeat: int = 0
    series: str = ""

    @cached_property
    def key(self) -> str:
        """The hash of what decides the reply.

        >>> talk = [{"role": "user", "content": "hello"}]
        >>> one, other = (Request("http://localhost/v1", "m", talk, repeat=n) for n in (0, 1))
        >>> one.key == other.key, len(one.key)
        (False, 32)
        """
        return content_hash(
            self.url, self.model, list(self.messages), dict(self.parameters), self.repeat, length=32
        )  # fmt: skip

    @property
    def most_tokens(self) -> tuple[int, int]:
        """Tokens in and out that it cannot exceed: a token has at least one byte, and the reply is bounded.

        >>> Request("http://localhost/v1", "m", [{"role": "user", "content": "hello"}], {"max_tokens": 5}).most_tokens
        (37, 5)
        """
        told = sum(len(message["content"].encode("utf-8", "replace")) + _A_MESSAGE for message in self.messages)
        schema = self.parameters.get("response_format")
        told += len(canonical_json(schema).encode()) if schema else 0
        out = self.parameters.get("max_tokens") or self.parameters.get("max_completion_tokens") or 0
        return told + _A_MESSAGE, int(out)


def checked_url(url: str) -> str:
    """The base address without a slash at its end.

    Raises ``BadOption`` unless it is http or https, with a host, and without a password, query or fragment: those would
    put a secret into files.

    >>> checked_url("http://127.0.0.1:8080/v1/")
    'http://127.0.0.1:8080/v1'
    """
    try:
        parts = urlsplit(url.strip())
        port = parts.port
    except ValueError:  # its words may repeat a password
        raise BadOption("The endpoint's address is no URL. Expected one like https://host/v1.") from None
    if parts.scheme not in ("http", "https") or not parts.hostname or port == 0:
        raise BadOption(
            "The endpoint's address must begin with http:// or https:// and name a host, as in https://host/v1. What "
            "was given does not, and is not repeated here: it may be a key."
        )
    if parts.username or parts.password or parts.query or parts.fragment:
        raise BadOption(
            f"The endpoint's address at {parts.hostname} must have no user, password, query or fragment: it is written "
            "into files. Put the key into an environment variable."
        )
    return url.strip().rstrip("/")
