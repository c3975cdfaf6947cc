# SPDX-License-Identifier: Apache-2.0
"""The mini rung: a small language model on this machine, asked for the label in words.

It decides what the model is told, which examples it is shown and how its scores are corrected. The model itself learns
nothing; what is fitted, if anything, is a correction of its scores on some of the fit rows.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from bigenough.chat.prompt import Prompt
from bigenough.errors import BadOption, RungFailed
from bigenough.llama.model import LlamaModel, load_model
from bigenough.llama.weights import DEFAULT_LLM, GgufWeights, resolve_gguf
from bigenough.rungs.class_texts import readable_names
from bigenough.rungs.label_priors import CONTENT_FREE, FITTED, fitted_head, plain_head, prior_head
from bigenough.rungs.predictors.head import DenseHead
from bigenough.rungs.predictors.mini import MiniPredictor, Mode, Reader, reader_of
from bigenough.rungs.protocol import Settings, Trial, Watched, Workbench
from bigenough.rungs.sample import stratified_order
from bigenough.storage import content_hash
from bigenough.task import Examples

__all__ = ["SCORINGS", "MiniRung", "shared_model"]

SCORINGS = ("answer", "plain", "content-free", "texts", *FITTED)
"""How a class is chosen: a generated answer; labels compared as they are; what the model says of empty texts, or of the
fit texts, taken off; or a correction fitted on labelled rows."""
ROWS = 256
"""Fit rows that are read for a correction."""
TEXT_TOKENS = 384
EXAMPLE_CHARACTERS = 600
"""What an example is cut to, so that one long text does not fill the model's memory."""
_ROWS_FOR_A_MATRIX = 20


class MiniRung:
    """A language model in llama.cpp; ``model`` is a name, file or folder that ``llama.resolve_gguf`` understands.

    Examples are chosen once, not for each row: what all rows share is then read once and kept. They are never among the
    rows on which a correction is fitted.
    """

    name = "mini"
    version = 1
    summary = "small language model in llama.cpp, asked for the label; the model itself is not tuned"
    place = 60
    requires = ("xllamacpp",)
    extra = "llm"
    costly = True
    on_request = True

    def __init__(self, model: str = DEFAULT_LLM) -> None:
        self.model = model

    def weights(self, bench: Workbench) -> Mapping[str, str]:
        """The GGUF file."""
        return resolve_gguf(self.model, cache=bench.cache).as_json()

    def first_settings(self, examples: Examples, n_classes: int) -> Settings:
        """A few examples, and a correction fitted on labelled rows: a full one where there are rows enough for it."""
        enough = min(len(examples), ROWS) >= _ROWS_FOR_A_MATRIX * n_classes
        scoring = "matrix" if enough else "vector"
        return {
            "shots": 8, "layout": "turns", "names": "words", "scoring": scoring, "rows": ROWS,
            "text_tokens": TEXT_TOKENS,
        }  # fmt: skip

    def suggest(self, trial: Trial, examples: Examples, n_classes: int) -> Settings:
        """How many examples, in which layout, how labels are spelt, and how a class is chosen."""
        return {
            "shots": trial.suggest_categorical("shots", [0, 4, 8, 16, 32]),
            "layout": trial.suggest_categorical("layout", ["turns", "block"]),
            "names": trial.suggest_categorical("names", ["words", "given"]),
            "scoring": trial.suggest_categorical("scoring", list(SCORINGS)),
            "rows": ROWS,
            "text_tokens": TEXT_TOKENS,
        }

    def fit(self, examples: Examples, n_classes: int, settings: Settings, bench: Workbench) -> MiniPredictor:
        """Choose the examples, read the rows that the correction needs, and fit it.

        Raises:
            RungFailed: the classes have no names, or the prompt is too long for the model.
            BadOption: a setting makes no sense.
            WeightsNotFound, TamperedArtefact: there is no such model, or its file is not the published one.
        """
        return self._fitted(examples, n_classes, settings, bench, None).predictor

    def fit_watching(
        self, examples: Examples, n_classes: int, settings: Settings, bench: Workbench, watch: Examples
    ) -> Watched:
        """The same within ``bench.fit_minutes``: the settings say how many rows were read. ``watch`` is not used."""
        made = self._fitted(examples, n_classes, settings, bench, bench.fit_minutes)
        kept = {**settings, "rows": made.rows} if made.rows else settings
        return Watched(made.predictor, kept, {"rows_read": made.rows})

    def _fitted(
        self, examples: Examples, n_classes: int, settings: Settings, bench: Workbench, minutes: float | None
    ) -> _Fit:
        checked = _checked(settings)
        weights, model = self._started(bench)
        order = stratified_order(examples.labels, bench.seed)
        shots = min(int(checked["shots"]), len(examples) // 2)
        prompt = _prompt(examples, order[:shots], n_classes, checked, bench)
        mode: Mode = "answer" if checked["scoring"] == "answer" else "labels"
        reader = _remembering(model, weights, prompt, mode, int(checked["text_tokens"]), bench)
        rest = order[shots : shots + int(checked["rows"])]
        head, rows = _head(reader, examples, rest, n_classes, str(checked["scoring"]), bench, minutes)
        made = MiniPredictor(
            reader, head, prompt, mode, int(checked["text_tokens"]), weights.path, weights.sha256, model.n_parameters
        )
        return _Fit(made, rows)

    def _started(self, bench: Workbench) -> tuple[GgufWeights, LlamaModel]:
        """The file, and the model that all trials of a study share."""
        weights = resolve_gguf(self.model, cache=bench.cache)
        return weights, shared_model(weights, bench)


def shared_model(weights: GgufWeights, bench: Workbench) -> LlamaModel:
    """The model in a file, read once for all trials of all rungs of a study."""
    key = ("language model", weights.sha256, bench.threads)
    if key not in bench.memo:
        bench.memo[key] = load_model(weights.path, threads=bench.threads)
    model: LlamaModel = bench.memo[key]
    return model


class _Fit(NamedTuple):
    predictor: MiniPredictor
    rows: int


class _RememberingReader:
    """A reader that reads each distinct text once in a study, for trials that differ only in the correction."""

    def __init__(self, reader: Reader, kept: dict[str, NDArray[np.float64]]) -> None:
        self._reader, self._kept = reader, kept

    def scores(self, text: str) -> NDArray[np.float64]:
        """(k,) scores of the labels."""
        if text not in self._kept:
            self._kept[text] = self._reader.scores(text)
        return self._kept[text]


def _remembering(
    model: LlamaModel, weights: GgufWeights, prompt: Prompt, mode: Mode, text_tokens: int, bench: Workbench
) -> Reader:
    key = content_hash(weights.sha256, prompt.as_json(), mode, text_tokens, length=32)
    kept = bench.memo.setdefault(("label scores", key), {})
    # One place for all: a reader holds a cache of tens of megabytes, and trials come one after the other.
    place = ("reader", bench.threads)
    if place not in bench.memo or bench.memo[place][0] != key:
        bench.memo[place] = (key, reader_of(model, prompt, mode, text_tokens))
    return _RememberingReader(bench.memo[place][1], kept)


def _prompt(
    examples: Examples, shown: NDArray[np.int64], n_classes: int, settings: Settings, bench: Workbench
) -> Prompt:
    names = bench.class_names
    if len(names) != n_classes:
        raise RungFailed(
            f"A language model is asked for labels in words, and there are {len(names)} class names for {n_classes} "
            "classes. Give the labels as words, or leave the rung 'mini' out."
        )
    words = readable_names(names)
    given = settings["names"] == "given" or len(set(words)) < len(words)
    told = {name: text.strip() for name, text in bench.descriptions.items()}
    return Prompt(
        tuple(names) if given else tuple(words),
        descriptions=tuple(told.get(name, "") for name in names) if any(told.values()) else (),
        layout=settings["layout"],
        examples=tuple((examples.texts[i][:EXAMPLE_CHARACTERS], int(examples.labels[i])) for i in shown),
    )


def _head(
    reader: Reader, examples: Examples, rest: NDArray[np.int64], n_classes: int, scoring: str, bench: Workbench,
    minutes: float | None,
) -> tuple[DenseHead, int]:  # fmt: skip
    """The correction, and how many fit rows were read for it."""
    if scoring in ("answer", "plain"):
        return plain_head(n_classes), 0
    if scoring == "content-free":
        return prior_head(np.array([reader.scores(text) for text in CONTENT_FREE])), 0
    scores = _read([examples.texts[i] for i in rest], reader, bench, minutes)
    read = rest[: len(scores)]
    table = np.array(scores, np.float64).reshape(len(scores), n_classes)
    if scoring == "texts":
        return (prior_head(table) if len(table) else plain_head(n_classes)), len(read)
    present = np.unique(examples.labels)
    return fitted_head(table, examples.labels[read], present, scoring), len(read)  # type: ignore[arg-type]


def _read(texts: Sequence[str], reader: Reader, bench: Workbench, minutes: float | None) -> list[NDArray[np.float64]]:
    """The scores of the texts, in order, as many as the minutes allow."""
    until = None if minutes is None else time.monotonic() + 60 * minutes
    scores: list[NDArray[np.float64]] = []
    for number, text in enumerate(texts):
        if until is not None and number and time.monotonic() > until:
            bench.say(f"the minutes are up after {number} of {len(texts)} rows", None)
            break
        scores.append(reader.scores(text))
        if number % 16 == 0:
            bench.say(f"reading labelled rows, {number / len(texts):.0%}", None)
    return scores


def _checked(settings: Settings) -> Mapping[str, Any]:
    if settings["scoring"] not in SCORINGS:
        raise BadOption(f"scoring must be one of {list(SCORINGS)}. Got {settings['scoring']!r}.")
    if settings["names"] not in ("words", "given"):
        raise BadOption(f"names must be 'words' or 'given'. Got {settings['names']!r}.")
    if int(settings["shots"]) < 0 or int(settings["rows"]) < 1 or int(settings["text_tokens"]) < 1:
        raise BadOption(f"shots must be at least 0, rows and text_tokens at least 1. Got {dict(settings)}.")
    return settings
