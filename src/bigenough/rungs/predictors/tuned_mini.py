# SPDX-License-Identifier: Apache-2.0
"""A small language model that was tuned to answer with one token: one reading of a short prompt gives all classes."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from bigenough.chat.prompt import Message, Prompt
from bigenough.errors import RungFailed
from bigenough.llama.context import log_softmax_at
from bigenough.llama.model import LlamaModel, load_model
from bigenough.llama.talk import ROW, Talk, talk_of
from bigenough.rungs.predictors.artefact import FACTS, damaged, read_facts, read_tensors
from bigenough.rungs.predictors.head import DenseHead
from bigenough.rungs.predictors.mini import MODEL, MiniPredictor
from bigenough.rungs.predictors.softmax import checked_temperature

__all__ = ["OneTokenReader", "TunedMiniPredictor", "one_token_reader", "row_tokens", "short_messages"]

LEAST_TEXT = 16
"""Tokens that must be left for a text, or the prompt is too long for the model."""


def short_messages(prompt: Prompt) -> list[Message]:
    """The talk around every row, without the list of labels: a tuned model knows them.

    >>> [message["content"] for message in short_messages(Prompt(("ham", "spam"), instructions="Classify."))][0]
    'Classify.'
    """
    return [
        {**message, "content": message["content"].replace(prompt.preamble, prompt.instructions, 1)}
        for message in prompt.messages(ROW)
    ]


def row_tokens(talk: Talk, text: str, most: int) -> NDArray[np.int32]:
    """What follows the shared beginning: at most so many tokens of the text, without blanks around it, and the end."""
    return np.concatenate([talk.row(text.strip(), most), talk.after])


class OneTokenReader:
    """Scores k answers of one token each after any text. Threads take turns.

    What all rows share is read once and kept; a row is then read and forgotten, so its scores depend on that row.

    Args:
        talk: the prompt around every text.
        answers: (k) the token of each class.
        text_tokens: what a text is cut to.

    Raises:
        RungFailed: the model has no room for such a text.
    """

    def __init__(self, talk: Talk, answers: Sequence[int], text_tokens: int) -> None:
        fixed = len(talk.before) + len(talk.after)
        self.text_tokens = min(text_tokens, talk.model.longest - fixed)
        if self.text_tokens < min(LEAST_TEXT, text_tokens):
            raise RungFailed(
                f"The prompt takes {fixed} tokens, and {talk.model.path.name} reads {talk.model.longest}: no room is "
                "left for a text. Shorten the instructions, or name another model."
            )
        self.talk, self.answers = talk, np.array(answers, np.int32)
        self._context = talk.model.context(fixed + self.text_tokens)
        self.held: object = None
        self._read = False
        self._turn = threading.Lock()

    def scores(self, text: str) -> NDArray[np.float64]:
        """(k,) the answers' log-probabilities, as if the model could say nothing else."""
        row = row_tokens(self.talk, text, self.text_tokens)
        with self._turn:
            self._start()
            raw = self._after(row, len(self.talk.before)).astype(np.float64)
        highest = raw.max()
        shares: NDArray[np.float64] = raw - highest - np.log(np.exp(raw - highest).sum())
        return shares

    def _start(self) -> None:
        """Read what all rows share, or forget what came after it."""
        if self._read:
            self._context.forget(len(self.talk.before))
            return
        self._context.forget(0)
        if len(self.talk.before):
            self._after(self.talk.before, 0)
        self._read = len(self.talk.before) > 0

    def _after(self, tokens: NDArray[np.int32], begin: int) -> NDArray[np.float32]:
        """Read the tokens from this position on, and give the answers' scores behind the last one."""
        positions = begin + np.arange(len(tokens), dtype=np.int32)
        wanted = np.arange(len(tokens)) == len(tokens) - 1
        (found,) = [
            log_softmax_at(logits, self.answers)
            for _, logits in self._context.read(tokens, positions, [(0,)] * len(tokens), wanted)
        ]
        return found


def one_token_reader(model: LlamaModel, prompt: Prompt, text_tokens: int) -> OneTokenReader:
    """The reader of a prompt whose classes are called by one token each. Raises ``ValueError`` when one is not."""
    answers = [model.tokens(answer).tolist() for answer in prompt.classes]
    longer = [answer for answer, ids in zip(prompt.classes, answers, strict=True) if len(ids) != 1]
    if longer:
        raise ValueError(f"the answers {longer[:5]} are not one token each")
    return OneTokenReader(talk_of(model, short_messages(prompt)), [ids[0] for ids in answers], text_tokens)


@dataclass(frozen=True, eq=False)
class TunedMiniPredictor(MiniPredictor):
    """Class probabilities of the one token with which a tuned model answers.

    The prompt's classes are the answers, one token each. The files are those of ``MiniPredictor``.
    """

    kind: ClassVar[str] = "tuned-mini"

    @classmethod
    def of(
        cls, path: Path, sha256: str, prompt: Prompt, head: DenseHead, text_tokens: int, threads: int | None,
        held: object = None,
    ) -> Self:  # fmt: skip
        """The model in a GGUF file under this prompt; ``held`` lives as long as it is used: the file's own folder."""
        model = load_model(path, threads=threads)
        reader = one_token_reader(model, prompt, text_tokens)
        reader.held = held
        return cls(reader, head, prompt, "labels", text_tokens, path, sha256, model.n_parameters)

    @classmethod
    def load(cls, folder: Path, *, threads: int | None = None) -> Self:
        """The model that ``save`` wrote."""
        facts = read_facts(folder)
        tensors = read_tensors(folder, ["head.weight", "head.bias"])
        head = DenseHead.from_tensors(tensors, checked_temperature(facts["temperature"]))
        if not (folder / MODEL).is_file():
            raise damaged(folder / MODEL, "it is missing")
        prompt = Prompt.of(facts["prompt"])
        if head.n_classes != len(prompt.classes):
            raise damaged(folder / FACTS, f"its {len(prompt.classes)} answers do not fit the head")
        sha256 = str(facts["model_sha256"])
        return cls.of(folder / MODEL, sha256, prompt, head, int(facts["text_tokens"]), threads)
