# SPDX-License-Identifier: Apache-2.0
"""A tiny endpoint that says what it is told to: what it counts, what is asked offline, what an interrupt leaves."""

from __future__ import annotations

import asyncio
import signal
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from labelling.stub import Stub, completion, served

pytest.importorskip("openai")

from bigenough.chat.abilities import Abilities
from bigenough.chat.asking import Asker
from bigenough.chat.client import Endpoint
from bigenough.chat.prompt import Prompt
from bigenough.chat.replies import Reply, ReplyStore
from bigenough.chat.request import Request
from bigenough.chat.terms import Terms
from bigenough.errors import RungFailed
from bigenough.rungs.predictors.endpoint import EndpointPredictor
from bigenough.rungs.predictors.shots import Shots

NO_SHOTS = Shots([], np.array([], np.int64), 2)


@pytest.fixture
def stub() -> Iterator[Stub]:
    with served() as one:
        yield one


@pytest.fixture
def terms(tmp_path: Path) -> Terms:
    return Terms(tmp_path / "replies.sqlite", account="study", concurrency=2, backoff_s=0.01)


def asker(terms: Terms, url: str) -> Asker:
    return Asker(Endpoint(url, "m"), ReplyStore(terms.store), terms)


def requests(url: str, *texts: str) -> list[Request]:
    return [Request(url, "m", [{"role": "user", "content": f"Text: {text}"}], {"max_tokens": 8}) for text in texts]


@pytest.mark.parametrize(
    ("usage", "tokens_out"),
    [
        ({"prompt_tokens": 50, "completion_tokens": 5, "total_tokens": 55}, 5),
        ({"prompt_tokens": 50, "completion_tokens": 5, "total_tokens": 455}, 405),
        ({"prompt_tokens": 50, "completion_tokens": 5, "total_tokens": 5}, 5),
        ({"prompt_tokens": 50, "completion_tokens": 5}, 5),
        (None, None),
    ],
)
def test_thoughts_that_only_the_total_counts_are_counted(
    stub: Stub, terms: Terms, usage: dict[str, int] | None, tokens_out: int | None
) -> None:
    stub.reply = lambda body: (200, {**completion("ham", []), "usage": usage})  # type: ignore[method-assign]
    (reply,) = asker(terms, stub.url).ask(requests(stub.url, "a"))
    assert reply.tokens_out == tokens_out


def test_offline_finds_what_is_kept_and_asks_nobody_elsewhere(stub: Stub, terms: Terms) -> None:
    """The address is not of this machine, and nothing is sent to it; this machine's own may be asked."""
    away, offline = "https://api.example.org/v1", replace(terms, offline=True)
    asked = requests(away, "a", "b")
    ReplyStore(terms.store).put(asked[0], Reply("ham", "stop"), account="study")
    assert asker(offline, away).ask(asked[:1])[0].content == "ham"
    with pytest.raises(RungFailed, match=r"not on this machine.*offline"):
        asker(offline, away).ask(asked)
    assert ReplyStore(terms.store).usage("study", away, "m").unsettled == 0
    assert asker(offline, stub.url).ask(requests(stub.url, "a"))[0].content


@pytest.mark.skipif(threading.current_thread() is not threading.main_thread(), reason="signals come to the main thread")
@pytest.mark.parametrize("where", ["a notebook", "a command"])
def test_who_is_interrupted_stops_asking_and_keeps_what_was_under_way(stub: Stub, terms: Terms, where: str) -> None:
    said = stub.rule
    main = threading.main_thread().ident or 0

    def rule(text: str) -> str:
        if len(stub.asked) == 3:
            signal.pthread_kill(main, signal.SIGINT)
        return said(text)

    stub.rule = rule
    asked = requests(stub.url, *(f"row {n}" for n in range(400)))

    async def notebook() -> None:
        asker(terms, stub.url).ask(asked)

    loop = asyncio.new_event_loop()  # as a notebook's: an interrupt is an exception where the code is
    try:
        with pytest.raises(KeyboardInterrupt):
            loop.run_until_complete(notebook()) if where == "a notebook" else asker(terms, stub.url).ask(asked)
    finally:
        loop.close()
    sent = len(stub.asked)
    assert 3 <= sent < 400
    assert len(ReplyStore(terms.store).get(asked)) == sent
    assert ReplyStore(terms.store).usage("study", stub.url, "m").unsettled == 0


def predictor(url: str, terms: Terms, **abilities: Any) -> EndpointPredictor:
    return EndpointPredictor(
        url, "m", Prompt(("refund", "login", "delivery")), NO_SHOTS, abilities=Abilities(**abilities), terms=terms
    )


def test_figures_are_of_these_rows_and_say_when_and_from_whom(stub: Stub, terms: Terms) -> None:
    """Another study asked the same model, with the same prompt, about other rows: they are not looked at."""
    stub.reply = lambda body: (  # type: ignore[method-assign]
        200,
        {**completion("refund", []), "system_fingerprint": "fp_other" if "other" in str(body) else "fp_one"},
    )
    predictor(stub.url, replace(terms, account="another study")).predict_proba(["other 1", "other 2", "shared"])
    mine = predictor(stub.url, terms)
    mine.predict_proba(["a", "shared", "a"])
    found = mine.observed(["a", "shared", "never asked"], rows=0)
    assert found["replies"]["n"] == 2
    assert found["replies"]["fingerprints"] == ["fp_one"]
    assert found["replies"]["first"] <= found["replies"]["last"]
    assert "2 requests" in found["latency_p50_ms"]["source"]


def test_a_tally_asks_nobody(stub: Stub, terms: Terms) -> None:
    """Rows that were never asked are not among those it counts."""
    said = {"a": "refund", "b": "I'm sorry, no.", "c": "neither", "d": "login or refund", "e": ""}

    def reply(body: Any) -> tuple[int, dict[str, Any]]:
        text = body["messages"][-1]["content"].removeprefix("Text: ")
        return 200, {**completion(said[text], []), "system_fingerprint": "fp"}

    stub.reply = reply  # type: ignore[method-assign]
    mine = predictor(stub.url, terms)
    mine.predict_proba(list(said))
    stub.reply = lambda body: pytest.fail("it was asked")  # type: ignore[method-assign]
    found = mine.tally([*said, "b", "never asked"])
    assert found["rows"] == 6
    assert found["failures"] == {"empty": 1, "refusal": 2, "no known label": 1, "several labels": 1}
    assert found["read_as"] == {"exact": 1}
    assert (found["replies"]["n"], found["replies"]["fingerprints"]) == (5, ["fp"])


def test_determinism_leaves_the_budget_to_the_rows_that_judge(stub: Stub, terms: Terms) -> None:
    asked = predictor(stub.url, terms)
    asked.predict_proba(["a"])
    spent = sum(ReplyStore(terms.store).usage("study", stub.url, "m")[1:3])
    poor = asked.on_terms(replace(terms, budget_tokens=2 * spent, search_share=0.5))
    assert poor.observed(["a"])["determinism"]["checks"] == []
    assert poor.terms.for_search() == poor.terms.for_search().for_search()
    assert len(asked.observed(["a"], repeats=2)["determinism"]["checks"]) == 2


@pytest.mark.parametrize("temperature", [True, False])
def test_at_its_own_temperature_no_seed_is_sent(stub: Stub, terms: Terms, temperature: bool) -> None:
    sent: list[dict[str, Any]] = []
    stub.reply = lambda body: (sent.append(body), (200, completion("refund", [])))[1]  # type: ignore[method-assign]
    mine = predictor(stub.url, terms, temperature=temperature)
    mine.predict_proba(["a"])
    checks = mine.observed(["a"], repeats=2)["determinism"]["checks"]
    steady, own = (temperature, True), (False, False)
    assert [("temperature" in body, "seed" in body) for body in sent] == [steady, steady, own, own]
    served = "temperature 0" if temperature else "the same seed"
    told = [f"asked 2 times at {served}", "asked 2 times at the endpoint's own temperature"]
    assert [check["check"] for check in checks] == told
