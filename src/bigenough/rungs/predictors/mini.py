# SPDX-License-Identifier: Apache-2.0
"""A small language model in llama.cpp, whose scores for the labels' texts a linear head corrects."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar, Literal, Protocol, Self, get_args

import numpy as np
from numpy.typing import NDArray

from bigenough.chat.prompt import Prompt
from bigenough.llama.constrained import Answer, ConstrainedAnswerer
from bigenough.llama.labels import LabelScorer
from bigenough.llama.model import LlamaModel, load_model
from bigenough.llama.talk import ROW, talk_of
from bigenough.rungs.predictors.artefact import FACTS, damaged, read_facts, read_tensors, write_predictor
from bigenough.rungs.predictors.head import DenseHead
from bigenough.rungs.predictors.softmax import checked_temperature

__all__ = ["MiniPredictor", "Mode", "Reader", "reader_of"]

Mode = Literal["labels", "answer"]
MODES: tuple[Mode, ...] = get_args(Mode)
MODEL = "model.gguf"

Scores = NDArray[np.float64]


class Reader(Protocol):
    """What the predictor asks of a language model with its prompt."""

    def scores(self, text: str) -> Scores:
        """(k,) scores of the labels; e to their power sums to 1."""
        ...


@dataclass(frozen=True, eq=False)
class MiniPredictor:
    """Class probabilities of what a language model would answer.

    A text is cut to its first ``text_tokens`` tokens; instructions, labels and examples are never cut.

    Attributes:
        reader: texts to scores, one at a time, so that a row's answer depends on that row.
        head: (n, k) scores to probabilities: priors taken off, or what was fitted on labelled rows.
        prompt: what the model is told.
        mode: "labels" compares the log-probabilities of all labels, "answer" lets the model generate one of them.
        text_tokens: what a text is cut to.
        model: the GGUF file.
        sha256: of that file.
        model_parameters: how many numbers it holds.
    """

    kind: ClassVar[str] = "mini"
    reader: Reader
    head: DenseHead
    prompt: Prompt
    mode: Mode
    text_tokens: int
    model: Path
    sha256: str
    model_parameters: int

    @property
    def n_parameters(self) -> int:
        """The language model's numbers and the head's."""
        return self.model_parameters + self.head.n_parameters

    @property
    def n_classes(self) -> int:
        """The width of ``predict_proba``."""
        return self.head.n_classes

    def predict_proba(self, texts: Sequence[str]) -> Scores:
        """The (n, k) class probabilities."""
        return self.head.probabilities(self.scores(texts))

    def scores(self, texts: Sequence[str]) -> Scores:
        """The (n, k) scores before the head, each text read alone."""
        known: dict[str, Scores] = {}
        for text in texts:
            if text not in known:
                known[text] = self.reader.scores(text)
        return np.array([known[text] for text in texts], np.float64).reshape(len(texts), len(self.prompt.classes))

    def with_temperature(self, temperature: float) -> Self:
        """The same model with its log-probabilities divided by the temperature."""
        return replace(self, head=self.head.with_temperature(temperature))

    def save(self, folder: Path) -> None:
        """Write ``predictor.json``, ``weights.safetensors`` (the head) and ``model.gguf``.

        The file is copied, not linked: a link would let whoever writes into the folder change the original.
        """
        shutil.copyfile(self.model, folder / MODEL)
        facts = {
            "temperature": self.head.temperature,
            "mode": self.mode,
            "text_tokens": self.text_tokens,
            "model_sha256": self.sha256,
            "prompt": self.prompt.as_json(),
        }
        write_predictor(folder, self.kind, facts, self.head.tensors())

    @classmethod
    def load(cls, folder: Path, *, threads: int | None = None) -> Self:
        """The model that ``save`` wrote."""
        facts = read_facts(folder)
        head = DenseHead.from_tensors(
            read_tensors(folder, ["head.weight", "head.bias"]), checked_temperature(facts["temperature"])
        )
        if not (folder / MODEL).is_file():
            raise damaged(folder / MODEL, "it is missing")
        prompt, mode, text_tokens = Prompt.of(facts["prompt"]), facts["mode"], int(facts["text_tokens"])
        if mode not in MODES or head.n_classes != len(prompt.classes):
            raise damaged(folder / FACTS, f"its mode {mode!r} or its {len(prompt.classes)} classes do not fit")
        model = load_model(folder / MODEL, threads=threads)
        reader = reader_of(model, prompt, mode, text_tokens)
        sha256 = str(facts["model_sha256"])
        return cls(reader, head, prompt, mode, text_tokens, model.path, sha256, model.n_parameters)


def reader_of(model: LlamaModel, prompt: Prompt, mode: Mode, text_tokens: int) -> Reader:
    """The reader of a mode. Raises ``RungFailed`` when prompt and model do not fit together."""
    talk = talk_of(model, prompt.messages(ROW))
    if mode == "answer":
        return _Answers(ConstrainedAnswerer(talk, prompt.classes, text_tokens=text_tokens), len(prompt.classes))
    return _Comparison(LabelScorer(talk, prompt.classes, text_tokens=text_tokens))


class _Comparison:
    def __init__(self, scorer: LabelScorer) -> None:
        self._scorer = scorer

    def scores(self, text: str) -> Scores:
        """The labels' log-probabilities, as if the model could say nothing but labels."""
        raw = self._scorer.log_probabilities(text)
        highest = raw.max()
        shares: Scores = raw - highest - np.log(np.exp(raw - highest).sum())
        return shares


class _Answers:
    def __init__(self, answerer: ConstrainedAnswerer, n_classes: int) -> None:
        self._answerer, self._n_classes = answerer, n_classes

    def scores(self, text: str) -> Scores:
        """The generated label with its probability, the rest shared out evenly over the others."""
        return spread(self._answerer.answer(text), self._n_classes)


def spread(answer: Answer, n_classes: int) -> Scores:
    """(k,) log-probabilities in which the answer is the most probable class.

    >>> np.exp(spread(Answer(1, 0.8), 3)).round(3).tolist()
    [0.1, 0.8, 0.1]
    >>> int(spread(Answer(1, 0.01), 3).argmax())
    1
    """
    if n_classes == 1:
        return np.zeros(1)
    probability = min(max(answer.probability, 1.01 / n_classes), 1 - 1e-6)
    scores = np.full(n_classes, np.log((1 - probability) / (n_classes - 1)))
    scores[answer.label] = np.log(probability)
    return scores
