# SPDX-License-Identifier: Apache-2.0
"""A real server asked through the real client, with the trouble that endpoints make in between."""

from __future__ import annotations

import asyncio
import logging
import time
import traceback
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path

import pytest
from chat.servers import CUT, DRIP, MODEL, RESET, Proxy, Trouble, status

from bigenough.chat.abilities import Abilities, found_out, label_schema
from bigenough.chat.asking import Asker
from bigenough.chat.client import Endpoint
from bigenough.chat.pacing import asked_wait, backoff, exhausted_for
from bigenough.chat.parse import parse
from bigenough.chat.replies import FILTERED, OVERFLOW, ReplyStore
from bigenough.chat.request import Request
from bigenough.chat.terms import Terms, current_terms, in_force
from bigenough.errors import BadOption, BudgetSpent, MissingExtra, RequestRefused, RungFailed

KEY = "sk-a-key-that-nobody-may-see-0123456789"


@pytest.fixture
def terms(tmp_path: Path) -> Terms:
    return Terms(tmp_path / "replies.sqlite", account="study", concurrency=2, backoff_s=0.01, timeout_s=300.0)


def asker(terms: Terms, url: str, model: str = MODEL) -> Asker:
    return Asker(Endpoint(url, model, terms.key_variable, terms.timeout_s), ReplyStore(terms.store), terms)


def requests(url: str, *texts: str, at_most: int = 1, model: str = MODEL) -> list[Request]:
    parameters = {"max_tokens": at_most, "temperature": 0.0}
    return [Request(url, model, [{"role": "user", "content": text}], parameters) for text in texts]


def test_replies_come_in_order_and_are_asked_for_once(proxy: Proxy, terms: Terms) -> None:
    asked = requests(proxy.url, "a", "b", "a", "c")
    first = asker(terms, proxy.url).ask(asked)
    assert first[0] == first[2]
    assert all(reply.tokens_in and reply.tokens_out and reply.latency_s > 0 for reply in first)
    assert sorted(body["messages"][-1]["content"] for body in proxy.completed) == ["a", "b", "c"]
    assert proxy.most_under_way <= terms.concurrency
    assert asker(terms, proxy.url).ask(asked) == first
    assert len(proxy.begun) == 3, "the second time nothing is sent"


def test_it_works_inside_a_running_loop(proxy: Proxy, terms: Terms) -> None:
    async def notebook() -> int:
        return len(asker(terms, proxy.url).ask(requests(proxy.url, "a")))

    assert asyncio.run(notebook()) == 1


@pytest.mark.parametrize(
    "trouble",
    [status(500), status(503), status(429, Retry_After="0.01"), RESET, CUT],
    ids=["500", "503", "429", "reset", "cut"],
)
def test_passing_trouble_is_ridden_out(proxy: Proxy, terms: Terms, trouble) -> None:
    proxy.script(trouble, trouble)
    (reply,) = asker(terms, proxy.url).ask(requests(proxy.url, "a"))
    assert reply.attempts == 3
    assert len(proxy.begun) == 3


def test_a_reply_that_drips_is_given_up(proxy: Proxy, terms: Terms) -> None:
    """Each byte comes in time, the whole never does."""
    proxy.plan = lambda body, n: DRIP
    impatient = replace(terms, timeout_s=1.5)
    began = time.monotonic()
    with pytest.raises(RungFailed, match=r"does not answer in time.*Every reply is kept"):
        asker(impatient, proxy.url).ask(requests(proxy.url, "a"))
    assert len(proxy.begun) == 3
    assert time.monotonic() - began >= 3 * 1.5
    assert ReplyStore(terms.store).usage("study", proxy.url, MODEL).unsettled == 3, "each may have been paid for"


def test_retry_after_is_honoured_by_all(proxy: Proxy, terms: Terms) -> None:
    """One request is told to wait; none goes out before, whoever it is."""
    proxy.plan = lambda body, n: status(429, retry_after="1") if n == 0 else None
    asker(replace(terms, concurrency=1), proxy.url).ask(requests(proxy.url, "a", "b"))
    assert proxy.times[1] - proxy.times[0] >= 1.0


def test_an_exhausted_limit_is_waited_for_before_it_is_met(proxy: Proxy, terms: Terms) -> None:
    proxy.reply_headers = {"x-ratelimit-remaining-requests": "0", "x-ratelimit-reset-requests": "700ms"}
    asker(replace(terms, concurrency=1), proxy.url).ask(requests(proxy.url, "a", "b"))
    assert proxy.times[1] - proxy.times[0] >= 0.7


def test_a_storm_of_429_ends(proxy: Proxy, terms: Terms) -> None:
    proxy.plan = lambda body, n: status(429, "slow down")
    with pytest.raises(RungFailed, match=r"too many requests.*slow down"):
        asker(replace(terms, tries=4), proxy.url).ask(requests(proxy.url, "a"))
    assert len(proxy.begun) == 4


def test_a_wait_beyond_patience_is_not_waited(proxy: Proxy, terms: Terms) -> None:
    proxy.plan = lambda body, n: status(429, retry_after="86400")
    with pytest.raises(RungFailed, match="asks to wait 86,400 s"):
        asker(terms, proxy.url).ask(requests(proxy.url, "a"))
    assert len(proxy.begun) == 1


def test_a_used_up_quota_is_not_asked_again(proxy: Proxy, terms: Terms) -> None:
    proxy.plan = lambda body, n: status(429, "You exceeded your current quota")
    with pytest.raises(RungFailed, match="quota is used up"):
        asker(terms, proxy.url).ask(requests(proxy.url, "a"))
    assert len(proxy.begun) == 1


def test_a_dead_endpoint_says_so(terms: Terms) -> None:
    with pytest.raises(RungFailed, match=r"http://127.0.0.1:9/v1 cannot be reached"):
        asker(terms, "http://127.0.0.1:9/v1").ask(requests("http://127.0.0.1:9/v1", "a"))
    assert ReplyStore(terms.store).usage("study", "http://127.0.0.1:9/v1", MODEL).unsettled == 0


def test_an_unknown_model_says_which_there_are(proxy: Proxy, terms: Terms) -> None:
    proxy.plan = lambda body, n: status(404, "The model does not exist")
    with pytest.raises(RungFailed, match=rf"no model 'smollm3'.*{MODEL}.*ends with /v1"):
        asker(terms, proxy.url, "smollm3").ask(requests(proxy.url, "a", model="smollm3"))
    assert len(proxy.begun) == 1


def test_what_is_paid_for_is_kept_when_another_request_ends_it_all(proxy: Proxy, terms: Terms) -> None:
    proxy.plan = lambda body, n: status(401, "bad key") if body["messages"][-1]["content"] == "b" else None
    asked = requests(proxy.url, "a", "b", "c", "d")
    with pytest.raises(RungFailed):
        asker(terms, proxy.url).ask(asked)
    kept = ReplyStore(terms.store).get(asked)
    assert len(kept) == len(proxy.completed) >= 1
    proxy.plan = lambda body, n: None
    asker(terms, proxy.url).ask(asked)
    assert len(proxy.completed) == 4, "only what was missing"


@pytest.mark.parametrize("code", [401, 403])
def test_a_refused_key_names_the_variable_and_never_the_key(
    proxy: Proxy, terms: Terms, code: int, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The endpoint repeats the key in its error, as some do; nobody else may."""
    monkeypatch.setenv("MY_KEY", f" {KEY}\n")
    caplog.set_level(logging.DEBUG)
    proxy.plan = lambda body, n: status(code, f"Incorrect API key provided: {KEY}. Bearer {KEY}")
    mine = replace(terms, key_variable="MY_KEY")
    ask = asker(mine, proxy.url)
    with pytest.raises(RungFailed, match=r"MY_KEY") as raised:
        ask.ask(requests(proxy.url, "a"))
    assert proxy.seen_headers[0]["authorization"] == f"Bearer {KEY}", "the endpoint did get it"
    told = "".join(traceback.format_exception(raised.value)) + repr(raised.value) + repr(ask) + repr(mine)
    chain: BaseException | None = raised.value
    while chain is not None:
        told += repr(chain.args) + repr(vars(chain))
        chain = chain.__cause__ or chain.__context__
    assert KEY not in told
    assert KEY not in caplog.text
    assert all(KEY.encode() not in path.read_bytes() for path in terms.store.parent.iterdir())


def test_no_key_is_told_from_a_wrong_one(proxy: Proxy, terms: Terms, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    proxy.plan = lambda body, n: status(401, "no key")
    with pytest.raises(RungFailed, match="there is none in the environment variable OPENAI_API_KEY"):
        asker(terms, proxy.url).ask(requests(proxy.url, "a"))


@pytest.mark.parametrize("key", ["schlüssel", "two\nlines"])
def test_what_can_be_no_key_is_not_sent(terms: Terms, key: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", key)
    with pytest.raises(RungFailed, match="cannot be a key") as raised:
        asker(terms, "http://127.0.0.1:9/v1").ask(requests("http://127.0.0.1:9/v1", "a"))
    assert key not in str(raised.value)


@pytest.mark.parametrize("key", [KEY, "gsk_0123456789abcdef", "hf_AbCdEfGh"])
def test_a_key_given_in_place_of_its_variable_is_not_repeated(tmp_path: Path, key: str) -> None:
    with pytest.raises(BadOption) as raised:
        Terms(tmp_path / "r", key_variable=key)
    assert key not in str(raised.value)


def test_a_request_beyond_the_context_is_kept_as_such(proxy: Proxy, terms: Terms) -> None:
    asked = requests(proxy.url, "word " * 3000)
    assert asker(terms, proxy.url).ask(asked)[0].finish == OVERFLOW
    asker(terms, proxy.url).ask(asked)
    assert len(proxy.begun) == 1
    assert ReplyStore(terms.store).usage("study", proxy.url, MODEL).unsettled == 0


def test_a_filtered_request_is_kept_as_such(proxy: Proxy, terms: Terms) -> None:
    proxy.plan = lambda body, n: status(400, "The prompt triggered the content management policy")
    assert asker(terms, proxy.url).ask(requests(proxy.url, "a"))[0].finish == FILTERED


def test_another_bad_request_is_an_error(proxy: Proxy, terms: Terms) -> None:
    proxy.plan = lambda body, n: status(422, "Unsupported parameter: seed")
    with pytest.raises(RequestRefused, match="Unsupported parameter: seed"):
        asker(terms, proxy.url).ask(requests(proxy.url, "a"))


class TestBudget:
    def test_tokens_are_never_crossed(self, proxy: Proxy, terms: Terms) -> None:
        texts = [f"row {n}" for n in range(6)]
        asked = requests(proxy.url, *texts, at_most=2)
        one = sum(asked[0].most_tokens)
        poor = replace(terms, budget_tokens=2 * one + 20, concurrency=4)
        with pytest.raises(BudgetSpent, match=r"stops here.*Every reply is kept"):
            asker(poor, proxy.url).ask(asked)
        usage = ReplyStore(terms.store).usage("study", proxy.url, MODEL)
        assert 1 <= usage.replies < 6
        assert usage.tokens_in + usage.tokens_out <= poor.budget_tokens
        assert usage.replies == len(proxy.completed)
        with pytest.raises(BudgetSpent):  # what earlier runs paid counts
            asker(poor, proxy.url).ask(asked)
        assert len(proxy.completed) == usage.replies
        asker(terms, proxy.url).ask(asked)
        assert len(proxy.completed) == 6

    def test_money_is_never_crossed(self, proxy: Proxy, terms: Terms) -> None:
        asked = requests(proxy.url, "a", "b", "c")
        most_in, most_out = asked[0].most_tokens
        price = {"price_in": 1e6, "price_out": 2e6}  # a dollar a token read, two a token written
        poor = replace(terms, budget_usd=most_in + 2 * most_out + 1.0, **price)
        with pytest.raises(BudgetSpent, match="USD are spent"):
            asker(poor, proxy.url).ask(asked)
        usage = ReplyStore(terms.store).usage("study", proxy.url, MODEL)
        assert usage.replies == len(proxy.begun) == 1
        assert usage.tokens_in + 2 * usage.tokens_out <= poor.budget_usd

    def test_lost_requests_count_at_their_most(self, proxy: Proxy, terms: Terms) -> None:
        """A reply that was cut off may have been paid for: there is no budget left to ask for it again."""
        (asked,) = requests(proxy.url, "a")
        proxy.plan = lambda body, n: CUT
        with pytest.raises(BudgetSpent):
            asker(replace(terms, budget_tokens=sum(asked.most_tokens) + 5), proxy.url).ask([asked])
        assert len(proxy.begun) == 1

    def test_money_without_a_price_is_refused_before_anything_is_sent(self, proxy: Proxy, terms: Terms) -> None:
        with pytest.raises(BadOption, match="price"):
            asker(replace(terms, budget_usd=1.0), proxy.url).ask(requests(proxy.url, "a"))
        assert not proxy.begun


class TestAbilities:
    def test_llama_cpp_keeps_to_schemas_and_tells_log_probabilities(self, proxy: Proxy, terms: Terms) -> None:
        found = found_out(asker(terms, proxy.url))
        assert found == Abilities(structured=True, logprobs=20)
        assert found_out(asker(terms, proxy.url)) == found
        assert len(proxy.begun) == 1
        labels = ("zebra crossing", "tilmund")
        parameters = found.parameters(at_most=24, schema=label_schema(labels))
        asked = Request(proxy.url, MODEL, [{"role": "user", "content": "Hi"}], parameters)
        (reply,) = asker(terms, proxy.url).ask([asked])
        assert parse(reply.content, labels).how == "json"
        assert max(len(token.others) for token in reply.tokens or ()) == 20

    def test_a_picky_endpoint_gets_what_it_takes(self, proxy: Proxy, terms: Terms) -> None:
        """No schema, five log-probabilities, no temperature, another name for the bound."""

        def plan(body, n):
            if "response_format" in body:
                return status(400, "'response_format' of type 'json_schema' is not supported with this model")
            if body.get("top_logprobs", 0) > 5:
                return status(400, "top_logprobs must be at most 5")
            if "temperature" in body:
                return status(400, "Unsupported value: 'temperature' does not support 0 with this model")
            if "max_tokens" in body:
                use = "Use 'max_completion_tokens' instead."
                return status(400, f"Unsupported parameter: 'max_tokens'. {use}", param="max_tokens")
            return None

        proxy.plan = plan
        found = found_out(asker(terms, proxy.url))
        assert found == Abilities(False, 5, temperature=False, seed=True, bound="max_completion_tokens")
        assert len(proxy.completed) == 1

    def test_a_reply_without_words_shows_nothing_for_good(self, proxy: Proxy, terms: Terms) -> None:
        """As of a model whose thoughts took all the room: it is told how much a reply may take, and asked again."""
        rooms: list[int] = []

        def plan(body, n):
            rooms.append(body["max_tokens"])
            empty = {"index": 0, "finish_reason": "length", "message": {"role": "assistant", "content": ""}}
            said = {"id": "1", "object": "chat.completion", "created": 0, "model": MODEL, "choices": [empty]}
            return Trouble("status", 200, {"content-type": "application/json"}, said)

        proxy.plan = plan
        assert not found_out(asker(terms, proxy.url), 400).structured
        proxy.plan = lambda body, n: rooms.append(body["max_tokens"])
        assert found_out(asker(terms, proxy.url), 500).structured
        assert rooms == [400, 500]

    def test_an_endpoint_that_takes_nothing_is_no_endpoint(self, proxy: Proxy, terms: Terms) -> None:
        proxy.plan = lambda body, n: status(400, "no")
        with pytest.raises(RungFailed, match="does not take the request"):
            found_out(asker(terms, proxy.url))
        assert len(proxy.begun) < 10


def test_terms_come_from_the_environment_or_are_in_force(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("BIGENOUGH_CACHE", str(tmp_path))
    monkeypatch.setenv("BIGENOUGH_GENERALIST_TOKENS", "5000")
    assert current_terms().store == tmp_path / "replies.sqlite"
    assert current_terms().budget_tokens == 5000
    assert current_terms().for_search().budget_tokens == 2500
    mine = Terms(tmp_path / "mine")
    with in_force(mine):
        assert current_terms() == mine
    monkeypatch.setenv("BIGENOUGH_GENERALIST_TOKENS", "many")
    with pytest.raises(BadOption, match="BIGENOUGH_GENERALIST_TOKENS"):
        current_terms()


@pytest.mark.parametrize(
    "change",
    [{"budget_usd": 0.0}, {"budget_tokens": -1}, {"price_in": 1.0}, {"price_in": -1.0, "price_out": 1.0}, {"tries": 0},
     {"concurrency": 0}, {"search_share": 0.0}, {"timeout_s": float("inf")}],
)  # fmt: skip
def test_terms_that_make_no_sense_are_refused(tmp_path: Path, change: dict[str, float]) -> None:
    with pytest.raises(BadOption):
        Terms(tmp_path / "r", **change)


def test_a_missing_client_names_its_extra(terms: Terms, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "openai", None)
    with pytest.raises(MissingExtra, match=r"bigenough\[llm\]"):
        asker(terms, "http://127.0.0.1:9/v1").ask(requests("http://127.0.0.1:9/v1", "a"))


class TestPacing:
    def test_waits_grow_and_differ(self) -> None:
        assert [backoff(n, 1.0, 0.0) for n in range(1, 9)] == [1, 2, 4, 8, 16, 32, 60, 60]
        assert all(0.5 <= backoff(1, 1.0, chance / 10) <= 1.0 for chance in range(11))

    def test_retry_after_as_a_date(self) -> None:
        now = datetime(2026, 1, 1, tzinfo=UTC)
        header = format_datetime(now + timedelta(seconds=90), usegmt=True)
        assert asked_wait({"retry-after": header}, now) == 90
        assert asked_wait({"retry-after": format_datetime(now - timedelta(hours=1), usegmt=True)}, now) == 0

    @pytest.mark.parametrize("told", ["", "soon", "nan", "-3"])
    def test_nonsense_asks_for_no_wait(self, told: str) -> None:
        assert asked_wait({"retry-after": told}, datetime.now(UTC)) is None

    def test_the_longer_of_two_limits_counts(self) -> None:
        headers = {f"x-ratelimit-remaining-{kind}": "0" for kind in ("requests", "tokens")}
        headers |= {"x-ratelimit-reset-requests": "20ms", "x-ratelimit-reset-tokens": "6m0s"}
        assert exhausted_for(headers) == 360
