# SPDX-License-Identifier: Apache-2.0
"""``bigenough plan hf:org/name``: only the config is asked for, from a hub, a cache, or nobody."""

import json
import os
import socket
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from cli.test_plan import CONFIG

COMMIT = "0123456789abcdef0123456789abcdef01234567"


class Hub(BaseHTTPRequestHandler):
    """One repository, as the Hugging Face hub serves its files; every path asked for is remembered."""

    def do_HEAD(self):
        self._answer(body=False)

    def do_GET(self):
        self._answer(body=True)

    def _answer(self, *, body):
        self.server.asked.append(self.path)
        if not self.path.startswith("/org/small/resolve/main/"):
            self.send_response(404)
            self.send_header("X-Error-Code", "RepoNotFound")
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        text = json.dumps(CONFIG).encode()
        self.send_response(200)
        self.send_header("X-Repo-Commit", COMMIT)
        self.send_header("ETag", '"0"')
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        if body:
            self.wfile.write(text)

    def log_message(self, *_):
        """Say nothing: the paths asked for are read from the server."""


@pytest.fixture(scope="module")
def hub():
    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    server.asked = []
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


def plan(name, endpoint, home, **more):
    without = {key: value for key, value in os.environ.items() if not key.lower().endswith("_proxy")}
    env = {**without, "HF_ENDPOINT": endpoint, "HF_HOME": str(home), "HF_HUB_DISABLE_TELEMETRY": "1", **more}
    return subprocess.run(
        [sys.executable, "-m", "bigenough", "plan", name, "--on", "a100-80gb"], capture_output=True, text=True, env=env
    )


def nobody():
    """The address of a port on which nobody listens."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{free.getsockname()[1]}"


def test_only_the_config_is_fetched_and_the_cache_serves_it_again(hub, tmp_path):
    address = f"http://127.0.0.1:{hub.server_port}"
    told = plan("hf:org/small", address, tmp_path)
    assert told.returncode == 0, told.stderr
    assert "counted 134,515,008" in told.stdout
    assert {path.rsplit("/", 1)[-1] for path in hub.asked} == {"config.json"}
    again = plan("hf:org/small", nobody(), tmp_path, HF_HUB_OFFLINE="1")
    assert again.returncode == 0, again.stderr
    assert again.stdout == told.stdout


def test_a_repository_that_is_not_there_is_told(hub, tmp_path):
    told = plan("hf:org/none", f"http://127.0.0.1:{hub.server_port}", tmp_path)
    assert told.returncode == 1
    assert told.stderr.startswith("error: The config of org/none cannot be had")
    assert "Traceback" not in told.stderr


def test_without_a_way_to_the_hub_one_message_says_what_to_do(tmp_path):
    told = plan("hf:org/small", nobody(), tmp_path)
    assert told.returncode == 1
    assert told.stderr.count("error:") == 1
    assert "Give a folder with its config.json instead." in told.stderr
    assert "Traceback" not in told.stderr
