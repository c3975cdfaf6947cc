# SPDX-License-Identifier: Apache-2.0
"""Killed at any moment, run again: no reply that was kept is asked for a second time."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest
from chat.servers import MODEL, Proxy, rows_of

from bigenough.chat.replies import ReplyStore
from bigenough.chat.request import Request

ASK = """
import sys
from pathlib import Path
from bigenough.chat.asking import Asker
from bigenough.chat.client import Endpoint
from bigenough.chat.replies import ReplyStore
from bigenough.chat.request import Request
from bigenough.chat.terms import Terms
url, model, store, n = sys.argv[1:]
terms = Terms(Path(store), account="study", concurrency=3, timeout_s=300.0)
asked = [Request(url, model, [{"role": "user", "content": f"row {i}"}], {"max_tokens": 1}) for i in range(int(n))]
Asker(Endpoint(url, model, timeout_s=300.0), ReplyStore(terms.store), terms).ask(asked)
"""


def started(proxy: Proxy, store: Path, rows: int) -> subprocess.Popen[bytes]:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    return subprocess.Popen([sys.executable, "-c", ASK, proxy.url, MODEL, str(store), str(rows)], env=environment)


def kept(proxy: Proxy, store: Path, rows: int) -> set[str]:
    if not store.exists():
        return set()
    asked = {
        f"row {n}": Request(proxy.url, MODEL, [{"role": "user", "content": f"row {n}"}], {"max_tokens": 1})
        for n in range(rows)
    }
    found = ReplyStore(store).get(list(asked.values()))
    return {row for row, request in asked.items() if request.key in found}


@pytest.mark.parametrize(("kills", "rows"), [(2, 30), pytest.param(10, 150, marks=pytest.mark.slow)])
def test_a_killed_run_pays_for_no_kept_row_again(proxy: Proxy, tmp_path: Path, kills: int, rows: int) -> None:
    store, chance = tmp_path / "replies.sqlite", random.Random(kills)
    killed, proxy.delay_s = 0, 0.2
    while killed < kills:
        before, begun = kept(proxy, store, rows), len(proxy.begun)
        assert len(before) < rows
        child = started(proxy, store, rows)
        deadline = time.monotonic() + 120
        while len(proxy.begun) == begun and child.poll() is None and time.monotonic() < deadline:
            time.sleep(0.01)
        time.sleep(chance.uniform(0.0, 0.9))
        child.send_signal(signal.SIGKILL)
        killed += child.wait() == -signal.SIGKILL
        time.sleep(0.5)  # what the proxy has under way comes to its end
        assert not before & set(rows_of(proxy.begun[begun:])), "a row whose reply was kept was asked again"
    before, begun = kept(proxy, store, rows), len(proxy.begun)
    assert before
    child = started(proxy, store, rows)
    assert child.wait(timeout=300) == 0
    assert Counter(rows_of(proxy.begun[begun:])) == Counter({f"row {n}" for n in range(rows)} - before)
    assert len(kept(proxy, store, rows)) == rows
    # all that a kill can cost are the requests that were under way: three at most
    assert len(proxy.completed) - rows <= 3 * killed
    begun = len(proxy.begun)
    again = started(proxy, store, rows)
    assert again.wait(timeout=300) == 0
    assert len(proxy.begun) == begun, "the same run twice sends nothing"
