# SPDX-License-Identifier: Apache-2.0
"""Packing a judged model into the one folder that is shipped.

The folder::

    model/                   the predictor's own files, byte for byte those that were judged
    specialist.json          what it is, how it was judged, and the size and SHA-256 of every other file
    specialist.json.sha256   vouches for specialist.json; ``sha256sum -c`` reads it
    canary.json              fixed texts with the judged model's probabilities, asked again on another machine
    README.md                the model card

No row of the user's table is in what is written here: the canary asks class names and made-up texts. A model may hold
some (a language model's prompt has examples), and the card says how many.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bigenough.errors import RungFailed
from bigenough.measure.determinism import compare
from bigenough.quantity import Quantity
from bigenough.specialist.card import model_card
from bigenough.specialist.specialist import ABOUT, CANARY, CARD, FORMAT, MODEL, SEAL, Loader, Specialist, load, seal
from bigenough.storage import atomic_folder, copy_folder, file_hashes, write_bytes, write_json, write_text
from bigenough.task import Task

__all__ = ["Judgement", "pack"]

_CANARY_TEXTS = (
    "",
    "Yes.",
    "Where is my order? It was due two days ago and nobody answers the telephone.",
    "Wo bleibt meine Bestellung? Sie hätte vor zwei Tagen kommen sollen.",
    "¿Dónde está mi pedido? Debía llegar hace dos días.",
    "我的订单在哪里？",
    "THE 2ND QUARTER OF 2024: 3,5 % / $1,200.00 #urgent @team https://example.org :-)",
    "word " * 400,
)
_CANARY_NUMBERS = 20_000  # at most so many probabilities in canary.json
_TOLERANCE = 1e-6


@dataclass(frozen=True)
class Judgement:
    """What a study knows of the model it ships; JSON values where no other type is named.

    Attributes:
        task: what was asked.
        candidate, rung, summary, settings: what it is and how it was set.
        created: when, as ISO 8601.
        study: the study's hash.
        bigenough: the version that judged it.
        sentence, answer: the verdict.
        scores: on certify, each with its interval.
        performance: as in ``performance.json``.
        energy: of training: ``wh`` and ``co2e_g``.
        per_class, confusions: as in ``evidence.json``.
        machine, packages: where it was judged.
        splits: rows of fit, select and certify.
        labelled: how many rows of fit and select a generalist labelled (by_generalist), and how many people did
            (by_people); empty where all labels were the user's.
        text_column, label_column, source: of the user's table.
        languages: code and share.
        weights: name, source, licence and hash of pre-trained weights; empty for none.
        lineage: the candidates that it was made of, the first one first, and itself: candidate, summary, settings and,
            where one has it, a note on what was given up.
        limits_of_proof: sentences on what certify could not prove.
        threads: with how many it was judged; None for the libraries' own choice.
    """

    task: Task
    candidate: str
    rung: str
    summary: str
    settings: Mapping[str, Any]
    created: str
    study: str
    bigenough: str
    sentence: str
    answer: str
    scores: Mapping[str, Quantity]
    splits: Mapping[str, int]
    text_column: str
    label_column: str
    performance: Mapping[str, Any] = field(default_factory=dict)
    energy: Mapping[str, Any] = field(default_factory=dict)
    per_class: Sequence[Mapping[str, Any]] = ()
    confusions: Sequence[Mapping[str, Any]] = ()
    machine: Mapping[str, Any] = field(default_factory=dict)
    packages: Mapping[str, str] = field(default_factory=dict)
    languages: Mapping[str, float] = field(default_factory=dict)
    weights: Mapping[str, str] = field(default_factory=dict)
    lineage: Sequence[Mapping[str, Any]] = ()
    source: str = ""
    labelled: Mapping[str, int] = field(default_factory=dict)
    limits_of_proof: Sequence[str] = ()
    threads: int | None = None

    def to_json(self) -> dict[str, Any]:
        """``specialist.json``, but for what only the packed files tell."""
        task = self.task
        return {
            "format": FORMAT,
            "name": task.name,
            "classes": list(task.classes),
            "created": self.created,
            "bigenough": self.bigenough,
            "study": self.study,
            "task": {
                "metric": task.metric,
                "margin": task.margin,
                "alpha": task.alpha,
                "limits": {name: limit for name, limit in asdict(task.limits).items() if limit is not None},
            },
            "candidate": self.candidate,
            "rung": self.rung,
            "summary": self.summary,
            "settings": dict(self.settings),
            "verdict": {
                "answer": self.answer,
                "sentence": self.sentence,
                "limits_of_proof": list(self.limits_of_proof),
            },
            "scores": {name: score.to_json() for name, score in self.scores.items()},
            "per_class": [dict(row) for row in self.per_class],
            # without the row numbers, which mean nothing outside the study
            "confusions": [{key: row[key] for key in ("gold", "predicted", "count")} for row in self.confusions],
            "performance": dict(self.performance),
            "energy": dict(self.energy),
            "source": self.source,
            "text_column": self.text_column,
            "label_column": self.label_column,
            "splits": dict(self.splits),
            "labelled": dict(self.labelled),
            "languages": dict(self.languages),
            "weights": dict(self.weights),
            "lineage": [dict(one) for one in self.lineage],
            "machine": dict(self.machine),
            "packages": dict(self.packages),
            "threads": self.threads,
        }


def pack(
    folder: Path,
    *,
    model: Path,
    judgement: Judgement,
    texts: Sequence[str],
    predicted: NDArray[np.int64],
    probability: NDArray[np.float64],
    check_rows: int | None = 500,
    loader: Loader | None = None,
) -> Path:
    """Pack a judged model, load it again from the packed files and hold it to what was judged.

    The folder appears whole, or not at all and an older one stays; a kill at any moment included.

    Args:
        folder: where the specialist goes; an older one there is replaced.
        model: the judged model's folder; its files are copied byte for byte.
        judgement: what the study knows of it.
        texts: (n) the judged rows.
        predicted: (n,) the codes that were judged.
        probability: (n, k) the probabilities that were judged.
        check_rows: how many of those rows, evenly spaced, are asked again; None for all.
        loader: who loads the model's folder; for plugins' tests.

    Raises:
        RungFailed: the packed model answers otherwise than the judged one: another label, or a probability that is
            more than 1e-6 off.
        OutOfDisk: there is no room for it.
    """
    n_classes = len(judgement.task.classes)
    if probability.shape != (len(texts), n_classes) or len(predicted) != len(texts):
        raise ValueError(
            f"The judged rows do not match: {len(texts)} texts, {len(predicted)} predictions, "
            f"probabilities of shape {probability.shape}, {n_classes} classes."
        )
    with atomic_folder(folder) as beside:
        copy_folder(model, beside / MODEL)
        about = judgement.to_json()
        packed = _write(beside, about, loader)
        n_rows = len(texts) if check_rows is None else min(check_rows, len(texts))
        places = np.unique(np.linspace(0, len(texts) - 1, n_rows).astype(np.int64))
        _hold_to(packed, [texts[i] for i in places], predicted[places], probability[places])
    return folder


def _write(folder: Path, about: dict[str, Any], loader: Loader | None) -> Specialist:
    """Write everything beside the model, and load the whole."""
    predictor = (loader or _load_predictor())(folder / MODEL, threads=about["threads"])
    about["n_parameters"] = predictor.n_parameters
    about["rows_inside"] = len(getattr(getattr(predictor, "prompt", None), "examples", ()))
    about["size_bytes"] = sum(int(facts["bytes"]) for facts in file_hashes(folder / MODEL).values())
    about["how_to_load"] = "pip install bigenough; python -c \"import bigenough; bigenough.load('.').predict([...])\""
    texts = [*_CANARY_TEXTS, *about["classes"][:24]]
    texts = texts[: max(1, _CANARY_NUMBERS // len(about["classes"]))]
    write_json(folder / CANARY, {"texts": texts, "probability": predictor.predict_proba(texts).tolist()})
    write_text(folder / CARD, model_card(about))
    about["files"] = file_hashes(folder)
    data = (json.dumps(about, indent=2, ensure_ascii=False, allow_nan=False) + "\n").encode()
    write_bytes(folder / ABOUT, data)
    write_text(folder / SEAL, seal(data))
    return load(folder, threads=about["threads"], loader=loader)


def _load_predictor() -> Loader:
    from bigenough.rungs.predictors import load_predictor

    return load_predictor


def _hold_to(
    packed: Specialist, texts: Sequence[str], predicted: NDArray[np.int64], probability: NDArray[np.float64]
) -> None:
    again = packed.predict_proba(texts)
    flips = int(np.sum(again.argmax(axis=1) != predicted))
    off = compare("packed", probability, again).max_probability_difference
    if flips or off > _TOLERANCE:
        raise RungFailed(
            f"The packed model {packed.about['candidate']} is not the one that was judged: {flips} of {len(texts)} "
            f"labels differ, and probabilities by up to {off:.2g} (allowed {_TOLERANCE:g}). Nothing was shipped. "
            "Run the study again; if this comes back, report it as a bug of the rung."
        )
    if not packed.self_check(tolerance=_TOLERANCE).passed:
        raise RungFailed(
            f"The packed model {packed.about['candidate']} does not answer the same texts twice alike. "
            "Nothing was shipped. See the determinism checks in its performance.json."
        )
