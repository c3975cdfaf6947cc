# SPDX-License-Identifier: Apache-2.0
"""On which terms endpoints are asked: where replies are kept, what may be spent, how patient to be.

Terms are no part of a model: the same prompt gives the same answers on any. They come from ``in_force`` where a study
runs, and from the environment where a saved generalist is loaded by itself.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self

from bigenough.errors import BadOption
from bigenough.storage import user_cache

__all__ = ["KEY_VARIABLE", "Terms", "checked_key_variable", "current_terms", "in_force"]

KEY_VARIABLE = "OPENAI_API_KEY"
"""The environment variable with the key, unless another is named."""
_A_VARIABLE = re.compile(r"[A-Z][A-Z0-9_]*")
"""Capitals alone: many keys would pass for identifiers."""
_VARIABLES = {
    "BIGENOUGH_GENERALIST_USD": "budget_usd",
    "BIGENOUGH_GENERALIST_TOKENS": "budget_tokens",
    "BIGENOUGH_PRICE_IN": "price_in",
    "BIGENOUGH_PRICE_OUT": "price_out",
}


@dataclass(frozen=True)
class Terms:
    """How an endpoint is asked.

    Attributes:
        store: the file in which replies are kept; shared by all studies of a user unless named otherwise, or the
            study's own where the endpoint is on this machine.
        account: whose budget it is; what an account used in earlier runs counts.
        budget_usd: the most that may be spent in money; needs a known price.
        budget_tokens: the most tokens, read and written together.
        search_share: how much of the budget the search of prompts may use; the rest is for the rows that judge.
        price_in, price_out: USD per million tokens, where the user knows better than the price table.
        concurrency: requests under way at once.
        timeout_s: when a request that has not been answered whole is given up, however slowly it drips.
        tries: how often a request is sent at most.
        backoff_s: the first wait after a failure; it doubles each time and is shortened by up to half at random.
        patience_s: the longest wait that an endpoint may ask for.
        key_variable: the environment variable with the key, in capitals.
        offline: ask nobody but endpoints on this machine; replies that are kept are found all the same.

    Raises:
        BadOption: a number makes no sense.
    """

    store: Path
    account: str = ""
    budget_usd: float | None = None
    budget_tokens: int | None = None
    search_share: float = 0.5
    price_in: float | None = None
    price_out: float | None = None
    concurrency: int = 4
    timeout_s: float = 60.0
    tries: int = 8
    backoff_s: float = 0.5
    patience_s: float = 120.0
    key_variable: str = KEY_VARIABLE
    offline: bool = False

    def __post_init__(self) -> None:
        for name in ("budget_usd", "budget_tokens", "timeout_s", "backoff_s", "patience_s"):
            value = getattr(self, name)
            if value is not None and not 0 < value < float("inf"):
                raise BadOption(f"{name} must be above zero. Got {value!r}.")
        for name in ("price_in", "price_out"):
            value = getattr(self, name)
            if value is not None and not 0 <= value < float("inf"):
                raise BadOption(f"{name} is a price in USD per million tokens, at least zero. Got {value!r}.")
        if (self.price_in is None) != (self.price_out is None):
            raise BadOption(
                "Give both prices, of tokens read and of tokens written (--price-in, --price-out), or none."
            )
        if self.concurrency < 1 or self.tries < 1 or not 0 < self.search_share <= 1:
            raise BadOption(
                "concurrency and tries must be at least 1 and search_share above 0 and at most 1. "
                f"Got {self.concurrency}, {self.tries} and {self.search_share:g}."
            )
        checked_key_variable(self.key_variable)

    def for_search(self) -> Self:
        """The terms of a search: the same, with the search's share of the budget, which has no share of its own."""
        usd = None if self.budget_usd is None else self.budget_usd * self.search_share
        tokens = None if self.budget_tokens is None else max(1, int(self.budget_tokens * self.search_share))
        return replace(self, budget_usd=usd, budget_tokens=tokens, search_share=1.0)

    @classmethod
    def of_environment(cls, environment: Mapping[str, str] | None = None, *, cache: Path | None = None) -> Self:
        """The terms that environment variables set.

        ``BIGENOUGH_REPLIES`` is the store's file, by default ``replies.sqlite`` in the cache that all studies share;
        ``BIGENOUGH_GENERALIST_USD`` and ``BIGENOUGH_GENERALIST_TOKENS`` are budgets, ``BIGENOUGH_PRICE_IN`` and
        ``BIGENOUGH_PRICE_OUT`` prices, ``BIGENOUGH_KEY_VARIABLE`` names the variable with the key.

        >>> Terms.of_environment({"BIGENOUGH_REPLIES": "r.sqlite", "BIGENOUGH_GENERALIST_USD": "2.5"}).budget_usd
        2.5
        """
        told = os.environ if environment is None else environment
        folder = user_cache(told) if cache is None else cache
        store = Path(told.get("BIGENOUGH_REPLIES") or folder / "replies.sqlite").expanduser()
        numbers = {name: _number(told, variable) for variable, name in _VARIABLES.items()}
        tokens = numbers["budget_tokens"]
        return cls(
            store,
            budget_usd=numbers["budget_usd"],
            budget_tokens=None if tokens is None else int(tokens),
            price_in=numbers["price_in"],
            price_out=numbers["price_out"],
            key_variable=told.get("BIGENOUGH_KEY_VARIABLE") or KEY_VARIABLE,
        )


def checked_key_variable(name: str) -> str:
    """The name of the environment variable with the key.

    Raises ``BadOption`` unless it is one in capitals, without repeating it: it may be the key itself.

    >>> checked_key_variable("OPENAI_API_KEY")
    'OPENAI_API_KEY'
    """
    if not _A_VARIABLE.fullmatch(name):
        raise BadOption(
            "key_variable must be the name of an environment variable, in capitals as in OPENAI_API_KEY, not the key."
        )
    return name


def _number(environment: Mapping[str, str], variable: str) -> float | None:
    told = environment.get(variable)
    try:
        return float(told) if told else None
    except ValueError:
        raise BadOption(f"The environment variable {variable} must be a number. Got {told!r}.") from None


_IN_FORCE: ContextVar[Terms | None] = ContextVar("terms", default=None)


@contextmanager
def in_force(terms: Terms) -> Iterator[None]:
    """While the block runs, every endpoint that this thread asks is asked on these terms.

    >>> with in_force(Terms(Path("replies.sqlite"), account="a study")):
    ...     current_terms().account
    'a study'
    """
    token = _IN_FORCE.set(terms)
    try:
        yield
    finally:
        _IN_FORCE.reset(token)


def current_terms(*, cache: Path | None = None) -> Terms:
    """The terms in force, or else those of the environment."""
    return _IN_FORCE.get() or Terms.of_environment(cache=cache)
