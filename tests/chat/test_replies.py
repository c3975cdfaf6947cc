# SPDX-License-Identifier: Apache-2.0
"""The store: every reply once, whatever threads and processes do."""

from __future__ import annotations

import sqlite3
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from bigenough.chat.replies import Reply, ReplyStore, Token
from bigenough.chat.request import Request, checked_url
from bigenough.errors import BadOption, InputError

URL = "http://localhost/v1"


def request(text: str, *, repeat: int = 0, series: str = "s", **parameters: object) -> Request:
    return Request(URL, "m", [{"role": "user", "content": text}], parameters, repeat, series)


@pytest.fixture
def store(tmp_path: Path) -> ReplyStore:
    return ReplyStore(tmp_path / "deep" / "replies.sqlite")


def test_a_reply_comes_back_as_it_was(store: ReplyStore) -> None:
    reply = Reply(
        "späm 頭痛 \x00",
        "stop",
        None,
        (Token("sp", -0.25, (("sp", -0.25), ("ham", -1.5))),),
        40,
        2,
        12,
        0.75,
        3,
        "fp",
        9.5,
    )
    store.put(request("one"), reply, account="a")
    again = ReplyStore(store.path)
    assert again.get([request("one"), request("two")]) == {request("one").key: reply}


def test_the_first_reply_stays(store: ReplyStore) -> None:
    for content in ("first", "second"):
        store.put(request("one"), Reply(content, "stop"), account="a")
    assert store.get([request("one")])[request("one").key].content == "first"


def test_the_key_knows_all_that_decides_a_reply() -> None:
    keys = {
        request("one").key,
        request("two").key,
        request("one", repeat=1).key,
        request("one", temperature=0).key,
        Request(URL, "n", request("one").messages).key,
        Request("http://localhost:1/v1", "m", request("one").messages).key,
    }
    assert len(keys) == 6
    assert request("one", series="another").key == request("one").key


def test_what_was_begun_and_never_ended_counts_at_its_most(store: ReplyStore) -> None:
    first, second, third = (request(text, max_tokens=8) for text in ("one", "two", "three"))
    numbers = [store.begin(each, account="a") for each in (first, second, third)]
    store.put(first, Reply("x", "stop", tokens_in=5, tokens_out=1), account="a", number=numbers[0])
    store.drop(numbers[1])
    again = ReplyStore(store.path).usage("a", URL, "m")
    assert (again.replies, again.tokens_in, again.tokens_out) == (1, 5, 1)
    assert (again.unsettled, again.most_in, again.most_out) == (1, *third.most_tokens)
    assert store.usage("b", URL, "m").replies == 0


def test_threads_share_it(store: ReplyStore) -> None:
    def put(n: int) -> None:
        number = store.begin(request(f"row {n}"), account="a")
        store.put(request(f"row {n}"), Reply(str(n), "stop", tokens_in=1, tokens_out=1), account="a", number=number)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(put, range(200)))
    usage = store.usage("a", URL, "m")
    assert (usage.replies, usage.unsettled) == (200, 0)


def test_two_connections_share_the_file(store: ReplyStore) -> None:
    other = ReplyStore(store.path)
    store.put(request("one"), Reply("x", "stop"), account="a")
    other.put(request("two"), Reply("y", "stop"), account="a")
    assert len(store.get([request("one"), request("two")])) == 2


def test_more_keys_than_sqlite_takes_at_once(store: ReplyStore) -> None:
    asked = [request(f"row {n}") for n in range(2300)]
    store.put(asked[-1], Reply("x", "stop"), account="a")
    assert list(store.get(asked)) == [asked[-1].key]


def test_who_paid_for_a_reply_that_was_there_already_has_paid(store: ReplyStore) -> None:
    """Two studies ask the same at once: one reply stays, both bills do."""
    asked = request("one", max_tokens=8)
    numbers = {account: store.begin(asked, account=account) for account in "ab"}
    for account, number in numbers.items():
        store.put(asked, Reply("x", "stop", tokens_in=9, tokens_out=1), account=account, number=number)
    for account in "ab":
        usage = ReplyStore(store.path).usage(account, URL, "m")
        assert (usage.tokens_in + usage.most_in, usage.tokens_out + usage.most_out) == (9, 1)
    free = store.begin(asked, account="c")
    store.put(asked, Reply("", "context_overflow", tokens_in=0, tokens_out=0), account="c", number=free)
    assert store.usage("c", URL, "m").unsettled == 0


def test_a_file_that_another_process_writes_is_not_to_be_moved_away(store: ReplyStore) -> None:
    impatient = ReplyStore(store.path, patience_s=0.01)
    with sqlite3.connect(store.path, isolation_level=None) as writing:
        writing.execute("BEGIN IMMEDIATE")
        with pytest.raises(InputError, match=r"Another process is writing.*same command again") as raised:
            impatient.put(request("one"), Reply("x", "stop"), account="a")
        writing.execute("ROLLBACK")
    assert "Move it away" not in str(raised.value)
    impatient.put(request("one"), Reply("x", "stop"), account="a")


def test_abilities_are_kept(store: ReplyStore) -> None:
    assert store.abilities(URL, "m") is None
    store.put_abilities(URL, "m", {"structured": True})
    assert ReplyStore(store.path).abilities(URL, "m") == {"structured": True}


def test_only_the_user_may_read_it(store: ReplyStore) -> None:
    assert stat.S_IMODE(store.path.stat().st_mode) == 0o600


def test_a_file_that_is_no_store_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("these are my notes\n" * 100)
    with pytest.raises(InputError, match="store of replies"):
        ReplyStore(path)
    assert path.read_text().startswith("these are my notes")


def test_a_newer_store_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "replies.sqlite"
    with sqlite3.connect(path) as base:
        base.execute("PRAGMA user_version = 99")
    with pytest.raises(InputError, match="format 99"):
        ReplyStore(path)


@pytest.mark.parametrize(
    "url",
    [
        "",
        "localhost",
        "ftp://host/v1",
        "https://",
        "https://me:secret@host/v1",
        "https://host/v1?key=secret",
        "https://me:secret/v1",
        "sk-secret",
        "http://h:x/",
    ],
)
def test_an_address_that_cannot_be_used_or_holds_a_secret_is_refused(url: str) -> None:
    with pytest.raises(BadOption) as raised:
        checked_url(url)
    assert "secret" not in str(raised.value)
