# SPDX-License-Identifier: Apache-2.0
"""Many requests to one endpoint: a few at a time, patiently, within a budget, and never one that was answered before.

A reply is on disk before it counts. When something ends the asking, the requests that are under way are waited for, so
that what was paid for is kept.
"""

from __future__ import annotations

import asyncio
import random
import threading
from collections.abc import Callable, Coroutine, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from difflib import get_close_matches
from typing import Any

from bigenough.chat.client import Answered, Endpoint
from bigenough.chat.faults import Fault
from bigenough.chat.pacing import backoff, exhausted_for
from bigenough.chat.purse import Purse
from bigenough.chat.replies import FILTERED, OVERFLOW, Reply, ReplyStore
from bigenough.chat.request import Request
from bigenough.chat.tariff import Tariff, tariff
from bigenough.chat.terms import Terms
from bigenough.errors import RequestRefused, RungFailed

__all__ = ["Asker"]

LOOK_SECONDS = 0.1
"""How often a waiting thread looks for an interrupt: polars handles SIGINT so that no wait is broken off by it."""

Say = Callable[[str, float | None], None]


@dataclass
class Asker:
    """Asks one endpoint on given terms.

    Attributes:
        endpoint: whom.
        store: where replies are kept and looked for first.
        terms: budget, patience, how many at once.
        say: told how far it is.
        chance: the jitter's randomness; no part of any result.
    """

    endpoint: Endpoint
    store: ReplyStore
    terms: Terms
    say: Say = lambda what, done: None
    chance: random.Random = field(default_factory=random.Random)

    def ask(self, requests: Sequence[Request]) -> list[Reply]:
        """A reply to each request, in their order; those that are in the store are not sent.

        Raises:
            RungFailed: the endpoint cannot be asked, with what it said; among them BudgetSpent and RequestRefused.
                Or the terms say offline, and it is not on this machine.
            BadOption: there is a budget in money and no known price.
            MissingExtra: a package is not installed.
            OutOfDisk: replies cannot be kept.
        """
        found = self.store.get(requests)
        new = list({request.key: request for request in requests if request.key not in found}.values())
        if new:
            if self.terms.offline:
                self.endpoint.check_offline()
            stop = asyncio.Event()
            _finished(self._ask_all(new, stop), stop)
            found |= self.store.get(new)
        return [found[request.key] for request in requests]

    @property
    def tariff(self) -> Tariff:
        """What its tokens cost today."""
        return tariff(
            self.endpoint.url, self.endpoint.model, at=datetime.now(UTC),
            price_in=self.terms.price_in, price_out=self.terms.price_out,
        )  # fmt: skip

    async def _ask_all(self, requests: Sequence[Request], stop: asyncio.Event) -> None:
        tariff = self.tariff if self.terms.budget_usd is not None else Tariff.none()
        usage = self.store.usage(self.terms.account, self.endpoint.url, self.endpoint.model)
        async with self.endpoint.opened() as client:
            batch = _Batch(self, client, Purse(self.terms, tariff, usage), iter(requests), len(requests), stop)
            await asyncio.gather(*(batch.work() for _ in range(min(self.terms.concurrency, len(requests)))))
        if batch.failure is not None:
            raise batch.failure


@dataclass
class _Batch:
    """The requests of one call and what all its workers share."""

    asker: Asker
    client: Any
    purse: Purse
    left: Iterator[Request]
    n: int
    stop: asyncio.Event
    done: int = 0
    not_before: float = 0.0
    failure: Exception | None = None

    async def work(self) -> None:
        """Take requests until none is left or one of the workers met something final."""
        for request in self.left:
            if self.stop.is_set():
                return
            try:
                await self._answered(request)
            except Exception as error:  # kept for the caller, once the others have landed
                self.failure = self.failure or error
                self.stop.set()
                return
            self.done += 1
            self.asker.say(f"{self.asker.endpoint.model}: {self.done:,} of {self.n:,} rows asked", None)

    async def _answered(self, request: Request) -> None:
        """Send a request until its reply is kept. Raises ``RungFailed``; returns early when the batch has stopped."""
        for attempt in range(1, self.asker.terms.tries + 1):
            await self._open_again()
            if self.stop.is_set():
                return
            fault = await self._attempt(request, attempt)
            if fault is None:
                return
            if not fault.again or attempt >= fault.tries(self.asker.terms.tries):
                raise await self._final(fault, attempt)
            await self._wait_after(fault, attempt)

    async def _attempt(self, request: Request, attempt: int) -> Fault | None:
        """Send it once, on the budget; None when its reply is kept, or the asking has ended."""
        store, account = self.asker.store, self.asker.terms.account
        async with self.purse.held(*request.most_tokens) as held:
            if self.stop.is_set():  # while it waited for the money
                held.used(0, 0)
                return None
            number = store.begin(request, account=account)
            outcome = await self.asker.endpoint.ask(self.client, request)
            if isinstance(outcome, Answered):
                reply = replace(outcome.reply, attempts=attempt)
                counted = reply.tokens_in is not None and reply.tokens_out is not None
                # uncounted, it stays written down at the most that it can have cost
                store.put(request, reply, account=account, number=number if counted else None)
                held.used(reply.tokens_in, reply.tokens_out)
                self._hold(exhausted_for(outcome.headers))
                return None
            if outcome.perhaps_paid:
                return outcome
            held.used(0, 0)
            if outcome.kind in ("overflow", "filtered"):
                finish = OVERFLOW if outcome.kind == "overflow" else FILTERED
                kept = Reply("", finish, tokens_in=0, tokens_out=0, attempts=attempt, at=datetime.now(UTC).timestamp())
                store.put(request, kept, account=account, number=number)
                return None
            store.drop(number)
            return outcome

    async def _wait_after(self, fault: Fault, attempt: int) -> None:
        terms = self.asker.terms
        wait = backoff(attempt, terms.backoff_s, self.asker.chance.random())
        if fault.wait_s is not None:
            if fault.wait_s > terms.patience_s:
                raise RungFailed(
                    f"{self._who} asks to wait {fault.wait_s:,.0f} s ({fault.says}), longer than "
                    f"{terms.patience_s:g} s. Every reply is kept: run the same command later."
                )
            wait = fault.wait_s + 0.1 * wait
        if fault.kind == "limit":
            self._hold(wait)  # the limit is everybody's
        else:
            await self._sleep(wait)

    def _hold(self, wait_s: float) -> None:
        wait = min(wait_s, self.asker.terms.patience_s)
        self.not_before = max(self.not_before, asyncio.get_running_loop().time() + wait)

    async def _open_again(self) -> None:
        while not self.stop.is_set() and (wait := self.not_before - asyncio.get_running_loop().time()) > 0:
            await self._sleep(wait)

    async def _sleep(self, seconds: float) -> None:
        try:
            await asyncio.wait_for(self.stop.wait(), seconds)
        except TimeoutError:
            return

    @property
    def _who(self) -> str:
        return f"The endpoint {self.asker.endpoint.url}"

    async def _final(self, fault: Fault, attempts: int) -> RungFailed:
        """The error for a fault after which there is no use in going on."""
        endpoint = self.asker.endpoint
        kept = "Every reply is kept: the same command asks only for what is missing."
        tried = f"{attempts} times" if attempts > 1 else "once"
        if fault.kind == "key":
            what = "does not take the key in" if endpoint.has_key else "wants a key, and there is none in"
            return RungFailed(
                f"{self._who} {what} the environment variable {endpoint.key_variable} ({fault.says}). Set it. {kept}"
            )
        if fault.kind == "address":
            names = await endpoint.models(self.client)
            close = get_close_matches(endpoint.model, names, n=3, cutoff=0.3)
            there = f" It has {', '.join(map(repr, close or names[:5]))}." if names else ""
            return RungFailed(
                f"{self._who} knows no model {endpoint.model!r}, or no chat at this address ({fault.says}).{there} "
                "Check both; the address usually ends with /v1."
            )
        if fault.kind == "refused":
            return RequestRefused(f"{self._who} does not take the request ({fault.says}).", fault.parameter)
        if fault.kind == "quota":
            return RungFailed(f"{self._who} says that its quota is used up ({fault.says}). {kept}")
        what = {
            "unreachable": "cannot be reached",
            "timeout": "does not answer in time",
            "limit": "keeps saying that there are too many requests",
            "server": "keeps failing",
        }.get(fault.kind, "breaks off its replies")
        return RungFailed(f"{self._who} {what} ({fault.says}; asked {tried}). {kept}")


def _finished(work: Coroutine[Any, Any, None], stop: asyncio.Event) -> None:
    """Run to the end, in a thread of its own.

    A notebook has an event loop running, and asyncio breaks off what is under way where it handles an interrupt.
    Whoever interrupts the waiting stops the work: what is under way lands, and nothing more is sent.
    """
    raised: list[BaseException] = []
    loop, ended = asyncio.new_event_loop(), threading.Event()  # an interrupted join() takes the thread for ended

    def run() -> None:
        try:
            with asyncio.Runner(loop_factory=lambda: loop) as runner:
                runner.run(work)
        except BaseException as error:  # handed over to the thread that waits
            raised.append(error)
        finally:
            ended.set()

    threading.Thread(target=run, name="asking", daemon=True).start()
    try:
        while not ended.wait(LOOK_SECONDS):
            pass
    except BaseException:
        with suppress(RuntimeError):  # the loop is closed: all is done
            loop.call_soon_threadsafe(stop.set)
        ended.wait()
        raise
    if raised:
        raise raised[0]
