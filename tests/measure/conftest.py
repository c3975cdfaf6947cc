# SPDX-License-Identifier: Apache-2.0
"""A tiny model with every fault one may plant in it, saved where a fresh process can load it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

PLANTED = """
import json, os, sys, time
from pathlib import Path
import numpy as np

class Planted:
    kind = "planted"
    n_classes, n_parameters = 3, 42

    def __init__(self, fault):
        if fault == "no load":
            raise ValueError("weights.bin has the wrong shape")
        self.fault, self.rng = fault, np.random.default_rng()
        self.ballast = bytes(b"x" * 60_000_000) if fault == "big" else b""

    def predict_proba(self, texts):
        if self.fault == "raise":
            raise ZeroDivisionError("nothing to divide by")
        if self.fault == "killed":
            os.kill(os.getpid(), 9)
        if self.fault == "hang":
            time.sleep(60)
        if self.fault == "chatty":
            print("a library that prints on standard output", flush=True)
        scores = np.array([[len(t) % 5, t.count("a"), 1.0 + ord(t[:1] or "a") % 3] for t in texts]).reshape(-1, 3)
        if self.fault == "noise":
            scores = scores + self.rng.normal(size=scores.shape)
        if self.fault == "batch":
            scores = scores * len(texts)
        if self.fault == "order":
            scores = scores + np.arange(len(texts))[:, None] * [0, 0.01, 0]
        if self.fault == "process":
            scores = scores + [hash("a") % 1_000_003 / 1e5, 0, 0]
        if self.fault == "threads":
            scores = scores + [0, 0, 3.0 * (os.environ.get("OMP_NUM_THREADS") == "1")]
        odds = np.exp(scores - scores.max(axis=1, keepdims=True, initial=0))
        return odds / odds.sum(axis=1, keepdims=True)

    def save(self, folder):
        (folder / "predictor.json").write_text(json.dumps({"kind": self.kind, "fault": self.fault}))

def load(folder, *, threads=None):
    return Planted(json.loads((Path(folder) / "predictor.json").read_text())["fault"])
"""


@pytest.fixture
def planted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Make a saved model with one fault; its loader is ``planted_model:load``."""
    (tmp_path / "code").mkdir()
    (tmp_path / "code" / "planted_model.py").write_text(PLANTED)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "code"))

    def make(fault: str = "none") -> Path:
        folder = tmp_path / f"model-{fault}"
        folder.mkdir()
        (folder / "predictor.json").write_text(json.dumps({"kind": "planted", "fault": fault}))
        return folder

    return make


@pytest.fixture
def texts() -> list[str]:
    words = ["card", "banana", "why", "lost", "a", "transfer", "", "zebra"]
    return [" ".join(words[(i * k) % 8] for k in range(i % 6)) for i in range(90)]
