# SPDX-License-Identifier: Apache-2.0
"""The mean of fixed token vectors with a linear head: no attention, no matrix product, just look-ups."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar, Self

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from bigenough.models.token_table import TokenTable
from bigenough.rungs.predictors.artefact import WEIGHTS, damaged, read_facts, read_tensors, write_predictor
from bigenough.rungs.predictors.head import DenseHead
from bigenough.rungs.predictors.softmax import checked_temperature
from bigenough.storage import write_text

__all__ = ["StaticPredictor"]

TOKENIZER = "tokenizer.json"


@dataclass(frozen=True, eq=False)
class StaticPredictor:
    """Class probabilities of the mean of a text's token vectors.

    Mean and head are both linear, so that the head can be applied to the table beforehand (``by_class``): then a
    token's vector is what it says for each class, which is less to keep and less to add up whenever there are fewer
    classes than dimensions.

    Attributes:
        table: token vectors, (v, d); by class (v, k).
        head: mean vectors to probabilities; by class its weight is the identity.
    """

    kind: ClassVar[str] = "static"
    table: TokenTable
    head: DenseHead
    is_by_class: bool = False

    @classmethod
    def by_class(cls, table: TokenTable, bias: NDArray[np.float64]) -> Self:
        """The model whose table holds each token's score for each class, (v, k)."""
        return cls(table, DenseHead(np.eye(len(bias), dtype=np.float32), bias), is_by_class=True)

    @property
    def n_parameters(self) -> int:
        """The table's numbers and the head's; by class the head has its biases only."""
        return self.table.vectors.size + (self.head.bias.size if self.is_by_class else self.head.n_parameters)

    @property
    def n_classes(self) -> int:
        """The width of ``predict_proba``."""
        return self.head.n_classes

    def predict_proba(self, texts: Sequence[str]) -> NDArray[np.float64]:
        """The (n, k) class probabilities; a text without any token gets those of the zero vector."""
        return self.head.probabilities(self.table.embed(texts))

    def with_temperature(self, temperature: float) -> Self:
        """The same model with its log-probabilities divided by the temperature."""
        return replace(self, head=self.head.with_temperature(temperature))

    def save(self, folder: Path) -> None:
        """Write ``predictor.json``, ``weights.safetensors`` (table and head) and ``tokenizer.json``."""
        write_text(folder / TOKENIZER, self.table.tokenizer.to_str())
        facts = {"temperature": self.head.temperature, "is_by_class": self.is_by_class}
        write_predictor(folder, self.kind, facts, {"table": self.table.vectors, **self.head.tensors()})

    @classmethod
    def load(cls, folder: Path, *, threads: int | None = None) -> Self:
        """The model that ``save`` wrote; looking up works in one thread whatever ``threads`` allows."""
        facts = read_facts(folder)
        tensors = read_tensors(folder, ["table", "head.weight", "head.bias"])
        head = DenseHead.from_tensors(tensors, checked_temperature(facts["temperature"]))
        if not (folder / TOKENIZER).is_file():
            raise damaged(folder / TOKENIZER, "it is missing")
        try:
            tokenizer = Tokenizer.from_file(str(folder / TOKENIZER))
        except Exception as error:  # tokenizers raises bare Exceptions
            raise damaged(folder / TOKENIZER, f"it is not a tokenizer ({error})") from error
        vectors = tensors["table"]
        if vectors.shape != (tokenizer.get_vocab_size(), len(head.weight)):
            raise damaged(folder / WEIGHTS, f"the table has the shape {vectors.shape}")
        return cls(TokenTable(vectors, tokenizer), head, bool(facts["is_by_class"]))
