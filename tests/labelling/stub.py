# SPDX-License-Identifier: Apache-2.0
"""A tiny OpenAI-compatible endpoint that labels by a rule, with mistakes planted where the rule says so."""

from __future__ import annotations

import hashlib
import json
import math
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import numpy as np

LABELS = ("refund", "login", "delivery")
WORDS = {
    "refund": ("money", "back", "refund", "charged", "twice", "invoice"),
    "login": ("password", "account", "sign", "locked", "code", "email"),
    "delivery": ("parcel", "late", "courier", "address", "box", "arrived"),
}
FILLER = ("please", "help", "me", "today", "again", "my", "the", "is", "so", "and", "with", "still")
MISTAKE = 0.2
SILENT = "say nothing"


def gold_of(text: str) -> str:
    """The true label: the one whose words stand there most."""
    counts = {label: sum(word in text.split() for word in words) for label, words in WORDS.items()}
    return max(counts, key=lambda label: counts[label])


def table(n: int, seed: int = 0) -> list[str]:
    """Texts, all different, of uneven classes."""
    rng = np.random.default_rng(seed)
    texts = []
    for number in range(n):
        label = LABELS[int(rng.choice(3, p=[0.5, 0.3, 0.2]))]
        words = [*rng.choice(WORDS[label], 3, replace=False), *rng.choice(FILLER, 4), f"n{number}"]
        texts.append(" ".join(map(str, rng.permutation(words))))
    return texts


def chance_of(text: str, salt: str) -> float:
    """A number from 0 to 1 that is the text's own."""
    return int.from_bytes(hashlib.sha256(f"{salt} {text}".encode()).digest()[:6], "big") / 2**48


def is_mistaken(text: str) -> bool:
    return chance_of(text, "mistake") < MISTAKE


def said_of(text: str) -> str:
    """What the endpoint answers: the next label in a fifth of all cases."""
    gold = gold_of(text)
    return LABELS[(LABELS.index(gold) + 1) % 3] if is_mistaken(text) else gold


@dataclass
class Stub:
    """What it does, and what it was asked.

    Attributes:
        rule: the label that it gives a text.
        logprobs: whether it tells log-probabilities; they are lower where it is wrong.
        most: after so many rows it answers 500 only.
        asked: the rows, in the order in which they came.
    """

    url: str = ""
    rule: Callable[[str], str] = said_of
    logprobs: bool = True
    most: int = 10**9
    asked: list[str] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def reply(self, body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        talk = body["messages"][-1]["content"]
        if not talk.startswith("Text: "):
            return 200, completion(json.dumps({"label": "qorvex"}), [])
        text = talk.removeprefix("Text: ")
        with self.lock:
            if len(self.asked) >= self.most:
                return 400, {"error": {"message": "made-up end", "param": "messages"}}
            self.asked.append(text)
        if SILENT in text:
            return 200, completion("I'm sorry, I cannot do that.", [])
        label = self.rule(text)
        sure = 0.55 + 0.1 * chance_of(text, "sure") if is_mistaken(text) else 0.75 + 0.2 * chance_of(text, "sure")
        other = LABELS[(LABELS.index(label) + 1) % 3]
        tokens = [('{"label": "', 1.0, ()), (label, sure, ((other, 1 - sure),)), ('"}', 1.0, ())]
        return 200, completion("".join(token for token, _, _ in tokens), tokens if self.logprobs else [])


def completion(content: str, tokens: list[Any]) -> dict[str, Any]:
    told = [
        {
            "token": token, "logprob": math.log(p),
            "top_logprobs": [{"token": t, "logprob": math.log(q)} for t, q in ((token, p), *others)],
        }
        for token, p, others in tokens
    ]  # fmt: skip
    choice = {"index": 0, "message": {"role": "assistant", "content": content}, "finish_reason": "stop"}
    usage = {"prompt_tokens": 50, "completion_tokens": 5, "total_tokens": 55}
    return {
        "id": "x", "object": "chat.completion", "created": 0, "model": "rule",
        "choices": [{**choice, "logprobs": {"content": told} if told else None}], "usage": usage,
    }  # fmt: skip


@contextmanager
def served() -> Iterator[Stub]:
    """The stub on a free port of this machine."""
    stub = Stub()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["content-length"])))
            # an endpoint tells log-probabilities at the probe already, if it tells them at all
            code, told = stub.reply(body)
            if not body["messages"][-1]["content"].startswith("Text: ") and stub.logprobs:
                told = completion('{"label": "qorvex"}', [('{"label": "qorvex"}', 0.9, (("no", 0.1),))])
            data = json.dumps(told).encode()
            self.send_response(code)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)
            self.wfile.flush()

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
    stub.url = f"http://127.0.0.1:{server.server_port}/v1"
    try:
        yield stub
    finally:
        server.shutdown()
        server.server_close()
