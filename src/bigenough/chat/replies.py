# SPDX-License-Identifier: Apache-2.0
"""The store of replies: what was paid for once is never asked again, whatever happens in between.

One SQLite file. Before a request leaves, a line says so; the reply and the end of that line are one transaction, on
disk before the reply counts. After a kill the lines that are left are requests that may have been paid for, and a
budget counts them at the most that they can have cost. Threads and processes may share a file.
"""

from __future__ import annotations

import json
import os
import sqlite3
import threading
import time
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from bigenough.chat.request import Request
from bigenough.errors import InputError, OutOfDisk
from bigenough.storage import canonical_json

__all__ = ["FILTERED", "OVERFLOW", "Reply", "ReplyStore", "Token", "Usage"]

OVERFLOW = "context_overflow"
"""The finish reason of a request that is longer than the model's context: kept, so that it is not sent again."""
FILTERED = "content_filter"
"""The finish reason of a request or reply that the endpoint's filter stopped."""

_FORMAT = 1
_TABLES = """
CREATE TABLE IF NOT EXISTS replies (
    key TEXT PRIMARY KEY, url TEXT NOT NULL, model TEXT NOT NULL, account TEXT NOT NULL, series TEXT NOT NULL,
    repeat INTEGER NOT NULL, content TEXT NOT NULL, refusal TEXT, finish TEXT NOT NULL, tokens BLOB,
    tokens_in INTEGER, tokens_out INTEGER, tokens_cached INTEGER, latency_s REAL NOT NULL, attempts INTEGER NOT NULL,
    fingerprint TEXT, at REAL NOT NULL
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS replies_by_series ON replies (series);
CREATE TABLE IF NOT EXISTS asked (
    id INTEGER PRIMARY KEY, key TEXT NOT NULL, url TEXT NOT NULL, model TEXT NOT NULL, account TEXT NOT NULL,
    most_in INTEGER NOT NULL, most_out INTEGER NOT NULL, at REAL NOT NULL
);
CREATE TABLE IF NOT EXISTS abilities (
    url TEXT NOT NULL, model TEXT NOT NULL, facts TEXT NOT NULL, PRIMARY KEY (url, model)
) WITHOUT ROWID;
"""
_COLUMNS = (
    "key, content, refusal, finish, tokens, tokens_in, tokens_out, tokens_cached, latency_s, attempts, fingerprint, at"
)
_PLACES = 500
"""Keys looked up at once; SQLite takes at least 999."""


class Token(NamedTuple):
    """One token of a reply: its text, log-probability, and those of the likeliest tokens in its place."""

    text: str
    logprob: float
    others: tuple[tuple[str, float], ...]


@dataclass(frozen=True)
class Reply:
    """What an endpoint answered, once.

    Attributes:
        content: the words.
        finish: why it ended: "stop", "length", "content_filter", "context_overflow".
        refusal: what the endpoint says in place of content when the model refuses.
        tokens: the reply's tokens with their log-probabilities, where they were offered.
        tokens_in, tokens_out, tokens_cached: as the endpoint counted them; None when it did not.
        latency_s: from sending to the last byte, of the attempt that succeeded.
        attempts: how often it was sent until it succeeded.
        fingerprint: what the endpoint says of the system that answered.
        at: when, in seconds since 1970.
    """

    content: str
    finish: str
    refusal: str | None = None
    tokens: tuple[Token, ...] | None = None
    tokens_in: int | None = None
    tokens_out: int | None = None
    tokens_cached: int | None = None
    latency_s: float = 0.0
    attempts: int = 1
    fingerprint: str | None = None
    at: float = 0.0


class Usage(NamedTuple):
    """What an account has used of one model: counted tokens of its kept replies, and those of all other requests.

    The others, ``unsettled``, are requests without a reply, at the most that they can have cost, and requests that
    somebody else's reply answers, at what they took.
    """

    replies: int
    tokens_in: int
    tokens_out: int
    unsettled: int
    most_in: int
    most_out: int


class ReplyStore:
    """Replies on disk.

    Args:
        path: the file; made where there is none.
        patience_s: how long to wait while another process writes.

    Raises:
        InputError: the file is no store of replies, or one of a newer bigenough, or another process keeps writing.
        OutOfDisk: there is no room.

    Example:
        >>> import tempfile
        >>> request = Request("http://localhost/v1", "m", [{"role": "user", "content": "hello"}])
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     store = ReplyStore(Path(folder) / "replies.sqlite")
        ...     number = store.begin(request, account="study")
        ...     store.put(request, Reply("hi", "stop", tokens_in=9, tokens_out=1), account="study", number=number)
        ...     store.get([request])[request.key].content, store.usage("study", request.url, request.model).tokens_in
        ('hi', 9)
    """

    def __init__(self, path: Path, *, patience_s: float = 60.0) -> None:
        self.path = path
        self._lock = threading.RLock()
        path.parent.mkdir(parents=True, exist_ok=True)
        new = not path.exists()
        if new:  # replies may repeat what the user's rows say
            os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
        self._base = sqlite3.connect(path, timeout=patience_s, check_same_thread=False, isolation_level=None)
        try:
            with self._told():
                # full: a reply that was paid for outlives a power cut, too
                self._base.execute("PRAGMA journal_mode=WAL")
                self._base.execute("PRAGMA synchronous=FULL")
                found = self._base.execute("PRAGMA user_version").fetchone()[0]
                if found not in (0, _FORMAT):
                    raise InputError(
                        f"{path} has format {found}; this bigenough reads format {_FORMAT}. Install a newer one."
                    )
                self._base.executescript(f"BEGIN IMMEDIATE; {_TABLES} PRAGMA user_version = {_FORMAT}; COMMIT;")
        except BaseException:
            self._base.close()
            raise

    def get(self, requests: Sequence[Request]) -> dict[str, Reply]:
        """The replies that are kept, by key."""
        keys = list(dict.fromkeys(request.key for request in requests))
        found: dict[str, Reply] = {}
        with self._lock, self._told():
            for start in range(0, len(keys), _PLACES):
                some = keys[start : start + _PLACES]
                marks = ",".join("?" * len(some))
                rows = self._base.execute(f"SELECT {_COLUMNS} FROM replies WHERE key IN ({marks})", some)  # noqa: S608
                found |= {row[0]: _reply(row) for row in rows}
        return found

    def begin(self, request: Request, *, account: str) -> int:
        """Write down that a request is about to leave; the number by which ``put`` or ``drop`` ends that line."""
        most_in, most_out = request.most_tokens
        with self._transaction():
            done = self._base.execute(
                "INSERT INTO asked (key, url, model, account, most_in, most_out, at) VALUES (?, ?, ?, ?, ?, ?, ?)",
                (request.key, request.url, request.model, account, most_in, most_out, time.time()),
            )
            return int(done.lastrowid or 0)

    def put(self, request: Request, reply: Reply, *, account: str, number: int | None = None) -> None:
        """Keep a reply; on return it is on disk. A reply that is there already stays: it was used.

        The line of a request whose reply is not the one that stays goes on counting, at what that reply took: it was
        paid for all the same.
        """
        tokens = None if reply.tokens is None else _packed(reply.tokens)
        refusal = None if reply.refusal is None else _text(reply.refusal)
        asked = (request.key, request.url, request.model, account, request.series, request.repeat)
        said = (_text(reply.content), refusal, reply.finish, tokens)
        counted = (reply.tokens_in, reply.tokens_out, reply.tokens_cached)
        values = (*asked, *said, *counted, reply.latency_s, reply.attempts, reply.fingerprint, reply.at)
        with self._transaction():
            marks = ",".join("?" * len(values))
            kept = self._base.execute(f"INSERT OR IGNORE INTO replies VALUES ({marks})", values).rowcount  # noqa: S608
            if number is None:
                return
            if kept or reply.tokens_in == reply.tokens_out == 0:
                self._base.execute("DELETE FROM asked WHERE id = ?", (number,))
            else:
                self._base.execute(
                    "UPDATE asked SET most_in = COALESCE(?, most_in), most_out = COALESCE(?, most_out) WHERE id = ?",
                    (reply.tokens_in, reply.tokens_out, number),
                )

    def drop(self, number: int) -> None:
        """End the line of a request that was surely not paid for."""
        with self._transaction():
            self._base.execute("DELETE FROM asked WHERE id = ?", (number,))

    def usage(self, account: str, url: str, model: str) -> Usage:
        """What an account has used of a model, in all runs."""
        whose = (account, url, model)
        with self._lock, self._told():
            paid = self._base.execute(
                "SELECT COUNT(*), COALESCE(SUM(tokens_in), 0), COALESCE(SUM(tokens_out), 0) FROM replies "
                "WHERE account = ? AND url = ? AND model = ?", whose,
            ).fetchone()  # fmt: skip
            lost = self._base.execute(
                "SELECT COUNT(*), COALESCE(SUM(most_in), 0), COALESCE(SUM(most_out), 0) FROM asked "
                "WHERE account = ? AND url = ? AND model = ?", whose,
            ).fetchone()  # fmt: skip
        return Usage(*paid, *lost)

    def abilities(self, url: str, model: str) -> dict[str, Any] | None:
        """What was found out about a model at an endpoint, or None."""
        with self._lock, self._told():
            row = self._base.execute(
                "SELECT facts FROM abilities WHERE url = ? AND model = ?", (url, model)
            ).fetchone()  # fmt: skip
        return None if row is None else dict(json.loads(row[0]))

    def put_abilities(self, url: str, model: str, facts: Mapping[str, Any]) -> None:
        """Keep what was found out."""
        with self._transaction():
            self._base.execute("INSERT OR REPLACE INTO abilities VALUES (?, ?, ?)", (url, model, canonical_json(facts)))

    def close(self) -> None:
        """Let go of the file."""
        with self._lock:
            self._base.close()

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        with self._lock, self._told():
            self._base.execute("BEGIN IMMEDIATE")
            try:
                yield
                self._base.execute("COMMIT")
            except BaseException:
                if self._base.in_transaction:
                    self._base.execute("ROLLBACK")
                raise

    @contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.DatabaseError as error:
            code = getattr(error, "sqlite_errorcode", 0) & 0xFF  # the rest says more of the same
            if code == sqlite3.SQLITE_FULL:
                raise OutOfDisk(
                    f"The disk that holds {self.path} is full. Paid replies are kept: free some space and run the "
                    "same command again."
                ) from error
            if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
                raise InputError(
                    f"Another process is writing to {self.path} and did not finish in time. Every reply is kept: run "
                    "the same command again."
                ) from error
            raise InputError(
                f"{self.path} cannot be used as a store of replies ({error}). Move it away to begin a new one; "
                "what it holds would then be paid for again."
            ) from error


def _text(text: str) -> str:
    return text.encode("utf-8", "replace").decode("utf-8")


def _reply(row: Sequence[Any]) -> Reply:
    _, content, refusal, finish, tokens, *numbers = row
    return Reply(content, finish, refusal, None if tokens is None else _unpacked(tokens), *numbers)


def _packed(tokens: Sequence[Token]) -> bytes:
    """Compressed: twenty likely tokens in each place would fill gigabytes of a large study."""
    return zlib.compress(canonical_json([list(each) for each in tokens]).encode("utf-8", "replace"))


def _unpacked(data: bytes) -> tuple[Token, ...]:
    return tuple(
        Token(str(text), float(logprob), tuple((str(other), float(value)) for other, value in others))
        for text, logprob, others in json.loads(zlib.decompress(data))
    )
