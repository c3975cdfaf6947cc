# SPDX-License-Identifier: Apache-2.0
"""llama.cpp's own HTTP server in a process of its own, so that its processor time can be read.

Started by ``served``; as a script it serves until its standard input ends, which is also when whoever started it dies.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from rows import THREADS, Failed

PORT = 18_437
"""Always the same: replies are kept under the address that gave them, and a rerun is to find them."""
MODEL = "local"
CONTEXT = 4096


class Server(NamedTuple):
    """Where it is asked, under which name, and which process it is."""

    url: str
    model: str
    pid: int


@contextmanager
def served(*, threads: int, port: int = PORT) -> Iterator[Server]:
    """The default language model, served while the block runs. Raises ``Failed`` when it does not start."""
    with socket.socket() as tried:
        tried.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as the server does; else a rerun waits a minute
        try:
            tried.bind(("127.0.0.1", port))
        except OSError as error:
            raise Failed(f"port {port} of this machine is taken: {error}") from None
    environment = {**os.environ, **dict.fromkeys(THREADS, str(threads))}
    process = subprocess.Popen(
        [sys.executable, str(Path(__file__)), str(threads), str(port)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=environment,
    )  # fmt: skip
    try:
        said = next((line.strip() for line in process.stdout or () if line.startswith("http://")), None)
        if said is None:
            raise Failed(f"the server of the language model ended with exit code {process.wait()}")
        yield Server(f"{said}/v1", MODEL, process.pid)
    finally:
        if process.stdin:
            process.stdin.close()
        try:
            process.wait(timeout=30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def main(threads: int, port: int) -> None:
    import xllamacpp

    from bigenough.llama import resolve_gguf
    from bigenough.storage import user_cache

    parameters = xllamacpp.CommonParams()
    parameters.model.path = str(resolve_gguf(cache=user_cache(os.environ)).path)
    parameters.model_alias = {MODEL}
    parameters.hostnames, parameters.port = ["127.0.0.1"], port
    parameters.n_ctx, parameters.n_parallel, parameters.verbosity = CONTEXT, 1, 0
    parameters.cpuparams.n_threads = parameters.cpuparams_batch.n_threads = threads
    server = xllamacpp.Server(parameters)
    print(server.listening_address, flush=True)
    sys.stdin.read()
    os._exit(0)  # its threads may be at work on a reply that nobody waits for any more


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
