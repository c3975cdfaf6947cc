# SPDX-License-Identifier: Apache-2.0
"""The large general model that a user has in mind, and what may be spent on asking it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

from bigenough.chat.request import checked_url
from bigenough.chat.terms import Terms, checked_key_variable
from bigenough.errors import BadOption

__all__ = ["Generalist"]

NAME = "generalist"
"""What its rung is called, and so the reference while nobody names another."""
IDENTITY = ("url", "model", "reply_tokens", "stop_early")
"""What makes a study another one; money and prices do not."""


@dataclass(frozen=True)
class Generalist:
    """Any OpenAI-compatible chat endpoint. The key comes from the environment alone.

    Attributes:
        url: the base address, as in ``https://api.openai.com/v1``; without user, password, query or fragment, since it
            is written into the study.
        model: its name there.
        usd: the most that may be spent on it; needs a known price.
        tokens: the most tokens, read and written together.
        price_in, price_out: USD per million tokens, where the user knows better than the price table.
        key_variable: the environment variable with the key, in capitals; None is OPENAI_API_KEY.
        reply_tokens: what a reply may take beside its label; a model that thinks aloud needs many. None is enough for
            one that does not.
        stop_early: ask it about certify rows in batches, and stop when a test that may be looked at any time has
            decided.

    Raises:
        BadOption: a field makes no sense, or holds what may be a secret; the message does not repeat it.

    >>> Generalist("http://127.0.0.1:8080/v1", "local").stop_early
    False
    """

    url: str
    model: str
    usd: float | None = None
    tokens: int | None = None
    price_in: float | None = None
    price_out: float | None = None
    key_variable: str | None = None
    reply_tokens: int | None = None
    stop_early: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "url", checked_url(self.url))
        if self.key_variable is not None:
            checked_key_variable(self.key_variable)
        if not self.model.strip():
            raise BadOption("The generalist needs the name of a model, as its endpoint calls it (--generalist-model).")
        for name in ("usd", "tokens", "reply_tokens"):
            value = getattr(self, name)
            if value is not None and not 0 < value < float("inf"):
                raise BadOption(f"The generalist's {name} must be above zero. Got {value!r}.")
        if (self.price_in is None) != (self.price_out is None):
            raise BadOption("Give both prices, of tokens read and of tokens written, or none.")

    @classmethod
    def of(cls, given: Generalist | Mapping[str, Any] | None) -> Generalist | None:
        """The generalist from its fields by name. Raises ``BadOption`` for a field that there is not."""
        if given is None or isinstance(given, Generalist):
            return given
        known = [field.name for field in fields(cls)]
        unknown = sorted(set(given) - set(known))
        missing = sorted({"url", "model"} - set(given))
        if unknown or missing:
            raise BadOption(f"A generalist has {known}. Got the unknown {unknown}; missing are {missing}.")
        return cls(**given)

    @property
    def identity(self) -> dict[str, Any]:
        """What makes a study with it this one and no other."""
        return {name: getattr(self, name) for name in IDENTITY}

    def terms(self, *, account: str, cache: Path, study: Path | None = None, offline: bool = False) -> Terms:
        """On which terms a study asks it: the environment's, with what the user said put in.

        Args:
            account: whose budget it is.
            cache: the folder in which replies are kept for all studies, unless ``BIGENOUGH_REPLIES`` names a file.
            study: the study's own folder. Replies of an endpoint on this machine are kept there: they cost nothing, and
                another model may stand behind the same address tomorrow.
            offline: ask nobody but an endpoint on this machine.
        """
        from bigenough.chat.client import Endpoint

        is_local = Endpoint(self.url, self.model).is_local
        found = Terms.of_environment(cache=study if study is not None and is_local else cache)
        own_price = self.price_in is not None
        return replace(
            found,
            account=account,
            budget_usd=self.usd or found.budget_usd,
            budget_tokens=self.tokens or found.budget_tokens,
            price_in=self.price_in if own_price else found.price_in,
            price_out=self.price_out if own_price else found.price_out,
            key_variable=self.key_variable or found.key_variable,
            offline=offline,
        )
