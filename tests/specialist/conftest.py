# SPDX-License-Identifier: Apache-2.0
"""A real linear model, judged on rows of its own, and a study's words about it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bigenough.quantity import measured, modelled
from bigenough.rungs.linear import LinearRung
from bigenough.rungs.predictors import load_predictor
from bigenough.rungs.protocol import Workbench
from bigenough.specialist.artefact import Judgement, pack
from bigenough.task import Examples, Limits, Task

CLASSES = ("card | lost", "refund", "transfer")
WORDS = (("card", "stolen", "pin"), ("refund", "money back", "return"), ("transfer", "iban", "abroad"))


@dataclass(frozen=True)
class Judged:
    model: Path
    texts: list[str]
    predicted: np.ndarray
    probability: np.ndarray


def texts_and_codes(n: int, seed: int) -> tuple[list[str], np.ndarray]:
    rng = np.random.default_rng(seed)
    codes = rng.integers(0, 3, n)
    filler = ["please", "now", "why", "my", "the", "a", "was", "when", "never"]
    texts = [" ".join([*rng.choice(filler, 4), str(rng.choice(WORDS[code])), f"n{rng.integers(30)}"]) for code in codes]
    return texts, codes


@pytest.fixture(scope="session")
def judged(tmp_path_factory: pytest.TempPathFactory) -> Judged:
    folder = tmp_path_factory.mktemp("judged")
    texts, codes = texts_and_codes(150, 0)
    rung, bench = LinearRung(), Workbench(seed=0, threads=1, cache=folder)
    examples = Examples(texts, codes, np.arange(1, len(texts) + 1))
    predictor = rung.fit(examples, 3, rung.first_settings(examples, 3), bench)
    (folder / "model").mkdir()
    predictor.save(folder / "model")
    certify, _ = texts_and_codes(700, 1)
    probability = load_predictor(folder / "model").predict_proba(certify)
    return Judged(folder / "model", certify, probability.argmax(axis=1), probability)


@pytest.fixture
def judgement() -> Judgement:
    share = measured(0.9, "", "hits of rows, Wilson interval", low=0.8, high=0.95).to_json()
    known = {"precision": share, "recall": share, "f1": 0.9}
    rows = [{"label": label, "n": n, **known} for label, n in zip(CLASSES, (9, 5, 0), strict=True)]
    rows[2] |= {"precision": None, "recall": None, "f1": 0.0}
    return Judgement(
        task=Task("tickets", CLASSES, limits=Limits(size_mb=5.0)),
        candidate="linear-1a2b",
        rung="linear",
        summary="logistic regression on words and characters",
        settings={"C": 1.0},
        created="2026-11-22T12:00:00+00:00",
        study="abc123",
        bigenough="0.1.0",
        sentence="linear-1a2b (1 MB) is the smallest model proved as good as frozen-9f within 1.5 points.",
        answer="proved",
        scores={
            "accuracy": measured(0.912, "", "700 rows of certify, bootstrap", low=0.9, high=0.923),
            "macro_f1": measured(0.901, "", "700 rows of certify, bootstrap", low=0.88, high=0.92),
            "log_loss": measured(0.31, "", "700 rows of certify, bootstrap", low=0.28, high=0.35),
        },
        performance={
            "latency_p50_ms": measured(0.4, "ms", "600 calls", low=0.3, high=0.6).to_json(),
            "determinism": {
                "rows": 200,
                "checks": [{"check": "restart", "label_flips": 0, "max_probability_difference": 1.5e-8}],
            },
        },
        energy={"wh": modelled(0.2, "Wh", "codecarbon").to_json(), "co2e_g": modelled(0.1, "g CO2e", "grid").to_json()},
        per_class=rows,
        confusions=[{"gold": CLASSES[0], "predicted": CLASSES[1], "count": 3, "rows": [4, 8, 15]}],
        machine={
            "cpu": "A CPU",
            "cores": 2,
            "memory_gb": 8.0,
            "flags": ["avx2"],
            "os": "Linux",
            "python": "CPython 3.11",
        },
        packages={"numpy": "2.4.6"},
        splits={"fit": 100, "select": 50, "certify": 700},
        text_column="message",
        label_column="intent",
        languages={"en": 0.9, "undetermined": 0.1},
        source="tickets.csv",
        limits_of_proof=["Nothing is proved about `transfer`: certify holds no row of it."],
        threads=1,
    )


@pytest.fixture
def repack(judged: Judged, judgement: Judgement) -> Callable[..., Path]:
    """Pack the judged model, or something else about it."""

    def pack_into(folder: Path, **changes: Any) -> Path:
        facts = {
            "model": judged.model,
            "judgement": judgement,
            "texts": judged.texts,
            "predicted": judged.predicted,
            "probability": judged.probability,
        }
        return pack(folder, **(facts | changes))

    return pack_into


@pytest.fixture
def packed(repack: Callable[..., Path], tmp_path: Path) -> Path:
    return repack(tmp_path / "study" / "specialist")
