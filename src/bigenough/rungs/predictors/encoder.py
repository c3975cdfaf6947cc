# SPDX-License-Identifier: Apache-2.0
"""A sentence encoder in onnxruntime with a linear head."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar, Protocol, Self

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from bigenough.models.encoder import Encoder
from bigenough.rungs.predictors.artefact import damaged, read_facts, read_tensors, write_predictor
from bigenough.rungs.predictors.head import DenseHead
from bigenough.rungs.predictors.softmax import checked_temperature
from bigenough.storage import write_text

__all__ = ["EncoderPredictor", "SentenceEncoder"]

MODEL, TOKENIZER = "model.onnx", "tokenizer.json"


class SentenceEncoder(Protocol):
    """What the predictor asks of an encoder: ``bigenough.models.encoder.Encoder``, or one that remembers."""

    tokenizer: Tokenizer
    max_length: int
    dim: int

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """The (n, dim) vectors of n texts."""
        ...


@dataclass(frozen=True, eq=False)
class EncoderPredictor:
    """Class probabilities of a text's sentence vector.

    Attributes:
        encoder: texts to (n, d) vectors.
        head: vectors to (n, k) probabilities.
        model: the ONNX file the encoder was loaded from.
        encoder_parameters: how many numbers the encoder holds.
    """

    kind: ClassVar[str] = "encoder"
    encoder: SentenceEncoder
    head: DenseHead
    model: Path
    encoder_parameters: int

    @property
    def n_parameters(self) -> int:
        """The encoder's numbers and the head's."""
        return self.encoder_parameters + self.head.n_parameters

    @property
    def n_classes(self) -> int:
        """The width of ``predict_proba``."""
        return self.head.n_classes

    def predict_proba(self, texts: Sequence[str]) -> NDArray[np.float64]:
        """The (n, k) class probabilities; texts are cut at the encoder's ``max_length`` tokens."""
        return self.head.probabilities(self.encoder.embed(texts))

    def with_temperature(self, temperature: float) -> Self:
        """The same model with its log-probabilities divided by the temperature."""
        return replace(self, head=self.head.with_temperature(temperature))

    def save(self, folder: Path) -> None:
        """Write ``predictor.json``, ``weights.safetensors`` (the head), ``model.onnx`` and ``tokenizer.json``."""
        shutil.copyfile(self.model, folder / MODEL)
        write_text(folder / TOKENIZER, self.encoder.tokenizer.to_str())
        facts = {
            "temperature": self.head.temperature,
            "max_length": self.encoder.max_length,
            "encoder_parameters": self.encoder_parameters,
        }
        if getattr(self.encoder, "alone", False):
            facts["alone"] = True
        write_predictor(folder, self.kind, facts, self.head.tensors())

    @classmethod
    def load(cls, folder: Path, *, threads: int | None = None) -> Self:
        """The model that ``save`` wrote."""
        facts = read_facts(folder)
        tensors = read_tensors(folder, ["head.weight", "head.bias"])
        head = DenseHead.from_tensors(tensors, checked_temperature(facts["temperature"]))
        for name in (MODEL, TOKENIZER):
            if not (folder / name).is_file():
                raise damaged(folder / name, "it is missing")
        try:
            tokenizer = Tokenizer.from_file(str(folder / TOKENIZER))
        except Exception as error:  # tokenizers raises bare Exceptions
            raise damaged(folder / TOKENIZER, f"it is not a tokenizer ({error})") from error
        try:
            encoder = Encoder(
                folder / MODEL, tokenizer, max_length=int(facts["max_length"]), threads=threads,
                alone=bool(facts.get("alone", False)),
            )  # fmt: skip
        except Exception as error:  # onnxruntime has its own errors, without a common parent
            raise damaged(folder / MODEL, f"onnxruntime cannot read it ({error})") from error
        if encoder.dim != len(head.weight):
            raise damaged(
                folder / MODEL, f"it gives vectors of {encoder.dim} numbers, the head takes {len(head.weight)}"
            )
        return cls(encoder, head, folder / MODEL, int(facts["encoder_parameters"]))
