# SPDX-License-Identifier: Apache-2.0
"""A budget of money and tokens that stops before it is crossed.

What has been paid for is counted as the endpoint counted it; requests that are under way, and those that got lost,
count as the most that they can cost. A request leaves only if all of that and its own worst case fit.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from bigenough.chat.replies import Usage
from bigenough.chat.tariff import Tariff
from bigenough.chat.terms import Terms
from bigenough.errors import BadOption, BudgetSpent

__all__ = ["Held", "Purse"]


class Held:
    """The budget that one request under way holds on to, and what it turned out to use."""

    def __init__(self, most_in: int, most_out: int) -> None:
        self.used_in = self.most_in = most_in
        self.used_out = self.most_out = most_out

    def used(self, tokens_in: int | None, tokens_out: int | None) -> None:
        """Say what it used; what is not said, as when it got lost, stays the most that it could."""
        self.used_in = self.most_in if tokens_in is None else tokens_in
        self.used_out = self.most_out if tokens_out is None else tokens_out


class Purse:
    """The budget of one account for one model.

    Raises:
        BadOption: a budget in money without known prices.
    """

    def __init__(self, terms: Terms, tariff: Tariff, usage: Usage) -> None:
        if terms.budget_usd is not None and not tariff.known:
            raise BadOption(
                f"A budget of {terms.budget_usd:g} USD needs the model's price, and it is unknown: "
                f"{tariff.price_in.source}. Give the price, or a budget in tokens."
            )
        self._terms = terms
        self._tariff = tariff
        self._in = usage.tokens_in + usage.most_in
        self._out = usage.tokens_out + usage.most_out
        self._flying: set[Held] = set()
        self._changed = asyncio.Condition()

    @asynccontextmanager
    async def held(self, most_in: int, most_out: int) -> AsyncIterator[Held]:
        """Room for one request; waits while others, on landing, may make it. Raises ``BudgetSpent``."""
        held = Held(most_in, most_out)
        async with self._changed:
            while not self._fits(held):
                if not self._flying:
                    raise self._spent(held)
                await self._changed.wait()
            self._flying.add(held)
        try:
            yield held
        finally:
            async with self._changed:
                self._flying.discard(held)
                self._in += held.used_in
                self._out += held.used_out
                self._changed.notify_all()

    def _fits(self, held: Held) -> bool:
        tokens_in = self._in + held.most_in + sum(each.most_in for each in self._flying)
        tokens_out = self._out + held.most_out + sum(each.most_out for each in self._flying)
        terms = self._terms
        if terms.budget_tokens is not None and tokens_in + tokens_out > terms.budget_tokens:
            return False
        usd = self._tariff.usd(tokens_in, tokens_out)
        return terms.budget_usd is None or (usd is not None and usd <= terms.budget_usd)

    def _spent(self, held: Held) -> BudgetSpent:
        terms = self._terms
        if terms.budget_usd is not None:
            used, more = self._tariff.usd(self._in, self._out), self._tariff.usd(held.most_in, held.most_out)
            so_far = f"{used or 0:.4g} of {terms.budget_usd:.4g} USD are spent"
            ahead = f"the next request may cost {more or 0:.2g}"
        else:
            so_far = f"{self._in + self._out:,} of {terms.budget_tokens or 0:,} tokens are spent"
            ahead = f"the next request may take {held.most_in + held.most_out:,}"
        return BudgetSpent(
            f"The budget for the generalist stops here: {so_far}, and {ahead}. Every reply is kept. "
            "Run the same command with a larger budget: it asks only for what is missing."
        )
