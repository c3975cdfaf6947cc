# SPDX-License-Identifier: Apache-2.0
"""Whole studies made from simulated predictions; their figures come from the functions that a real study uses."""

import json
from dataclasses import dataclass

import numpy as np
import polars as pl
import pytest

from bigenough.measure.quality import top_confusions
from bigenough.quantity import Quantity, measured, modelled, unknown
from bigenough.report.files import CandidateFiles, Scored, StudyFiles
from bigenough.report.page import render
from bigenough.storage import write_json
from bigenough.verdict import Bar, Nominee, Reference, decide, metric_intervals, per_class_intervals

CLASSES = (
    "activate my card", "age limit", "balance not updated", "card arrival", "card delivery estimate",
    "card not working", "cash withdrawal charge", "change pin", "exchange rate", "lost or stolen card",
    "pending top up", "refund not showing up",
)  # fmt: skip

# name: how strong its signal is, bytes, latency p50 in ms
RUNGS = {
    "majority": (0.0, 1_840, 0.004),
    "linear": (5.45, 4_310_000, 0.41),
    "static": (4.7, 7_720_000, 0.17),
    "frozen": (5.55, 91_200_000, 9.7),
}
SUMMARIES = {
    "majority": "always says the commonest class",
    "linear": "word and character tf-idf with logistic regression",
    "static": "averaged token vectors with a linear head",
    "frozen": "MiniLM, frozen, with a linear head",
}


@dataclass(frozen=True)
class Scenario:
    """What makes one study different from another."""

    n: int = 2400
    strengths: tuple[tuple[str, float], ...] = ()
    bar: float | None = None
    mode: str = "down"
    seed: int = 3


def _scored(strength, gold, difficulty, rng):
    """Predictions whose errors are shared in part with every other candidate's."""
    n, k = len(gold), len(CLASSES)
    scores = np.tile(np.linspace(0.5, 0.0, k), (n, 1))
    if strength:
        noise = np.random.default_rng(11).normal(size=(n, k)) + 0.45 * rng.normal(size=(n, k))
        noise[:, 4] += 0.8 * (gold == 3)
        scores = scores + noise + np.eye(k)[gold] * (strength - difficulty)[:, None]
    odds = np.exp(2.0 * scores)
    probability = odds / odds.sum(axis=1, keepdims=True)
    return Scored(gold, probability.argmax(axis=1).astype(np.int64), probability)


def _quantity(interval, unit):
    return measured(interval.value, unit, interval.method, low=interval.low, high=interval.high).to_json()


def _evidence(scored, rows):
    found = metric_intervals(scored.gold, scored.predicted, scored.probability, n_resamples=300)
    per_class = per_class_intervals(scored.gold, scored.predicted, len(CLASSES))
    confusions = top_confusions(scored.gold, scored.predicted, rows, CLASSES, limit=20, rows_each=20)
    return {
        **{name: _quantity(interval, "") for name, interval in found.items()},
        "per_class": [
            {
                "label": label,
                "n": one.n,
                "precision": None if one.precision is None else _quantity(one.precision, ""),
                "recall": None if one.recall is None else _quantity(one.recall, ""),
                "f1": one.f1,
            }
            for label, one in zip(CLASSES, per_class, strict=True)
        ],
        "confusions": [one.to_json() for one in confusions],
    }


def _performance(name, n_bytes, p50, n_parameters):
    def clock(value, unit):
        return measured(value, unit, "fresh process, 512 rows", low=0.9 * value, high=1.3 * value).to_json()

    checks = ("repeat", "batch size 1", "shuffled order", "1 thread", "restart")
    return {
        "startup_s": clock(0.14 + n_bytes / 4e8, "s"),
        "load_s": clock(0.02 + n_bytes / 4e8, "s"),
        "latency_p50_ms": clock(p50, "ms"),
        "latency_p95_ms": clock(1.4 * p50, "ms"),
        "latency_p99_ms": clock(2.1 * p50, "ms"),
        "throughput_rows_per_s": clock(2300 / p50, "rows/s"),
        "memory_mb": clock(9 + n_bytes / 4e5, "MB"),
        "size_mb": clock(n_bytes / 1e6, "MB"),
        "n_parameters": measured(n_parameters, "parameters", "counted").to_json(),
        "serve_wh_per_1000": modelled(p50 * 0.0021, "Wh", "time × CPU power by codecarbon's table").to_json(),
        "serve_co2e_g_per_1000": unknown("g", "no energy model of this CPU").to_json(),
        "determinism": {
            "rows": 512,
            "checks": [
                {"check": check, "label_flips": 0, "max_probability_difference": 0.0 if place == 0 else 3.1e-9}
                for place, check in enumerate(checks)
            ],
        },
    }


def _candidate(name, n_bytes, score):
    trials = [
        {"settings": {"C": c, "ngrams": [1, 2]}, "score": score - gap, "log_loss": 0.3, "seconds": 4.2, "failure": None}
        for c, gap in ((1.0, 0.004), (4.0, 0.0), (16.0, 0.002))
    ]
    return {
        "name": name,
        "rung": name,
        "version": 1,
        "summary": SUMMARIES[name],
        "settings": {"C": 4.0, "ngrams": [1, 2]},
        "trials": [] if name == "majority" else trials,
        "select": {"accuracy": score, "balanced_accuracy": score, "macro_f1": score, "log_loss": 0.3},
        "learning_curve": [
            {"rows": rows, "score": score * (1 if name == "majority" else 1 - 0.5 * (650 / rows) ** 0.9)}
            for rows in (650, 1300, 2600, 5200)
        ],
        "temperature": 1.07,
        "n_parameters": n_bytes // 4,
        "size_bytes": n_bytes,
        "files": {"weights.safetensors": {"bytes": n_bytes, "sha256": "ab" * 32}},
        "weights": {"name": "all-MiniLM-L6-v2", "licence": "Apache-2.0"} if name == "frozen" else {},
        "fit_seconds": 3.1,
        "search_seconds": 12.6,
        "energy": {
            "wh": modelled(0.043, "Wh", "time × CPU power by codecarbon's table").to_json(),
            "co2e_g": modelled(0.0162, "g", "energy × world average grid (Ember 2024)").to_json(),
        },
    }  # fmt: skip


def _audit(n):
    ceiling = Quantity(0.982, "accuracy", "modelled", "confident learning (Northcutt et al. 2021)", 0.97, 0.99)
    return {
        "findings": [
            {"kind": "leak_exact", "severity": "problem", "count": 3, "rows": [812, 1007, 1333],
             "message": f"3 of {n:,} certify rows (0.1 %) also stand, word for word, in fit or select.",
             "advice": "Remove these rows, or split again with the column that ties them together as --group.",
             "examples": [{"row": 812, "text": "Where is my card?"}, {"row": 17, "text": "where is my card"}]},
            {"kind": "label_errors", "severity": "warning", "count": 141, "rows": list(range(40, 90)),
             "message": "141 labels are probably wrong (1.4 % of the rows looked at).",
             "advice": "Read these rows first; correct the label or leave the row out.",
             "examples": [{"row": 41, "text": "why was i charged for using the cash machine?"}]},
            {"kind": "languages", "severity": "info", "count": 12, "rows": [7, 8, 9],
             "message": "12 rows are not English.", "advice": "Will the model meet them?", "examples": []},
        ],
        "classes": [{"label": label, "fit": 430, "select": 118, "certify": n // 12} for label in CLASSES],
        "splits": {"fit": 5200, "select": 1420, "certify": n, "decisions": ["Stratified by label, seed 0."]},
        "languages": {"en": 0.981, "de": 0.012, "undetermined": 0.007},
        "length": {"median_chars": 47, "p95_chars": 160, "max_chars": 433},
        "noise_ceiling": ceiling.to_json(),
    }  # fmt: skip


def make_study(scenario=Scenario()):
    """The files of a finished study."""
    rng = np.random.default_rng(scenario.seed)
    gold = rng.integers(0, len(CLASSES), scenario.n)
    difficulty = rng.gamma(1.0, 1.2, scenario.n)
    rows = np.arange(1, scenario.n + 1) * 3
    strengths = {name: facts[0] for name, facts in RUNGS.items()} | dict(scenario.strengths)
    scored = {name: _scored(strength, gold, difficulty, rng) for name, strength in strengths.items()}
    candidates = tuple(
        CandidateFiles(
            name=name,
            candidate=_candidate(name, RUNGS[name][1], float(np.mean(one.predicted == gold)) - 0.003),
            performance=_performance(name, RUNGS[name][1], RUNGS[name][2], RUNGS[name][1] // 4),
            evidence=_evidence(one, rows),
            certify=one,
        )
        for name, one in scored.items()
    )
    nominees = ["frozen", "linear", "majority"] if scenario.bar is not None else ["linear", "majority"]
    left_out = [
        {"candidate": name, "reason": "linear is smaller and was as good on select"}
        for name in ("static",)
        if name not in nominees
    ]
    verdict = decide(
        gold,
        [Nominee(name, RUNGS[name][1], scored[name].predicted) for name in nominees],
        Bar(scenario.bar) if scenario.bar else Reference("frozen", scored["frozen"].predicted, RUNGS["frozen"][1]),
        margin=0.0 if scenario.bar is not None else 0.015,
        mode=scenario.mode,
        n_resamples=300,
    ).to_json()  # fmt: skip
    verdict = {**verdict, "left_out": left_out}
    return StudyFiles(
        study={
            "format": 1, "name": "banking questions", "created": "2026-11-22T20:41:07Z", "bigenough": "0.1.0",
            "source": {"path": "tickets.csv", "rows": 9020, "sha256": "c0ffee" * 10 + "abcd",
                       "text_column": "utterance", "label_column": "intent", "group_column": None, "time_column": None,
                       "decisions": ["Read as UTF-8.", "text: 'utterance' (mean 61 characters, 98 % distinct)"]},
            "options": {"text": None, "label": "intent", "metric": "accuracy", "margin": 1.5, "alpha": 0.05,
                        "against": "best", "bar": None, "search": "down", "rungs": None, "seed": 0, "trials": 3,
                        "limits": {"size_mb": 200.0}},
            "machine": {"cpu": "AMD EPYC 9B45", "cores": 2, "memory_gb": 24.0, "flags": ["avx2", "avx512f", "vnni"],
                        "os": "Linux 6.8", "python": "CPython 3.11.9"},
            "packages": {"numpy": "2.4.0", "scikit-learn": "1.9.0"},
            "task": {"name": "banking questions", "classes": list(CLASSES), "metric": "accuracy", "margin": 0.015,
                     "alpha": 0.05, "limits": {}},
        },
        verdict=verdict,
        candidates=candidates,
        plan={"left_out": left_out},
        audit=_audit(scenario.n),
        texts={int(row): f"please tell me, question number {row}, when my new card will come" for row in rows},
        folder="studies/banking-1f2e3d",
    )  # fmt: skip


def save_study(files, folder):
    """Write a study's files as a study does."""
    write_json(folder / "study.json", dict(files.study))
    write_json(folder / "verdict.json", dict(files.verdict))
    for name, data in (("plan", files.plan), ("audit", files.audit)):
        if data is not None:
            write_json(folder / f"{name}.json", data)
    for one in files.candidates:
        home = folder / "candidates" / f"{one.name}-3f2a91c0d4e5"
        home.mkdir(parents=True)
        for name, data in (("candidate", one.candidate), ("performance", one.performance), ("evidence", one.evidence)):
            if data is not None:
                (home / f"{name}.json").write_text(json.dumps(data))
        if one.certify is not None:
            held = {name: array for name, array in vars(one.certify).items() if array is not None}
            np.savez(home / "certify.npz", **held)
    pl.DataFrame({"row": list(files.texts), "text": list(files.texts.values())}).write_parquet(
        folder / "examples.parquet"
    )


SCENARIOS = {
    "proved": Scenario(),
    "the reference": Scenario(strengths=(("linear", 4.6), ("static", 4.2))),
    "cannot tell": Scenario(n=330, strengths=(("linear", 5.3),)),
    "not good enough": Scenario(bar=0.985),
    "bar reached": Scenario(bar=0.8),
}


@pytest.fixture(scope="session")
def studies():
    """One study for each way it can end."""
    return {name: make_study(scenario) for name, scenario in SCENARIOS.items()}


@pytest.fixture
def study(studies):
    """A study whose smaller model is proved good enough."""
    return studies["proved"]


@pytest.fixture(scope="session")
def rendered(studies):
    """The page of each study."""
    return {name: render(files) for name, files in studies.items()}


@pytest.fixture
def save():
    """What writes a study's files into a folder."""
    return save_study
