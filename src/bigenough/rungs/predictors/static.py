# SPDX-License-Identifier: Apache-2.0
"""The mean of fixed token vectors with a linear head: no attention, no matrix product, just look-ups."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from bigenough.models.packed_rows import PACKED, PackedRows, PackedTable
from bigenough.models.token_table import TokenTable
from bigenough.models.tokenizer_file import n_ids
from bigenough.rungs.predictors.artefact import WEIGHTS, damaged, read_facts, read_tensors, write_predictor
from bigenough.rungs.predictors.head import DenseHead
from bigenough.rungs.predictors.softmax import checked_temperature
from bigenough.storage import write_text

__all__ = ["StaticPredictor"]

TOKENIZER = "tokenizer.json"
PAIRS = "table.pairs"


@dataclass(frozen=True, eq=False)
class StaticPredictor:
    """Class probabilities of the mean of a text's token vectors, and of the vectors of known pairs among them.

    Mean and head are both linear, so that the head can be applied to the table beforehand (``by_class``): then a
    token's vector is what it says for each class, which is less to keep and less to add up whenever there are fewer
    classes than dimensions.

    Attributes:
        table: token vectors, (v, d), those of pairs behind them; by class (v, k).
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
        return self.table.n_numbers + (self.head.bias.size if self.is_by_class else self.head.n_parameters)

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
        facts: dict[str, Any] = {"temperature": self.head.temperature, "is_by_class": self.is_by_class}
        if isinstance(self.table, PackedTable):
            facts["packed"] = self.table.packed.facts()
            tensors = self.table.packed.tensors()
        else:
            tensors = {"table": self.table.vectors}
        if len(self.table.pairs):
            tensors[PAIRS] = _narrow(self.table.pairs)
            facts["has_pairs"] = True
        write_predictor(folder, self.kind, facts, {**tensors, **self.head.tensors()})

    @classmethod
    def load(cls, folder: Path, *, threads: int | None = None) -> Self:
        """The model that ``save`` wrote; looking up works in one thread whatever ``threads`` allows."""
        facts = read_facts(folder)
        packed = facts.get("packed")
        has_pairs = bool(facts.get("has_pairs", False))
        rows = [*(["table"] if packed is None else PACKED), *([PAIRS] if has_pairs else [])]
        tensors = read_tensors(folder, [*rows, "head.weight", "head.bias"])
        head = DenseHead.from_tensors(tensors, checked_temperature(facts["temperature"]))
        if not (folder / TOKENIZER).is_file():
            raise damaged(folder / TOKENIZER, "it is missing")
        try:
            tokenizer = Tokenizer.from_file(str(folder / TOKENIZER))
        except Exception as error:  # tokenizers raises bare Exceptions
            raise damaged(folder / TOKENIZER, f"it is not a tokenizer ({error})") from error
        pairs = tensors[PAIRS].astype(np.uint64) if has_pairs else None
        if packed is None:
            table = TokenTable(tensors["table"], tokenizer, pairs)
        else:
            table = PackedTable(PackedRows.from_tensors(tensors, packed), tokenizer, pairs)
        if (table.vocabulary, table.shape[1]) != (n_ids(tokenizer), len(head.weight)):
            raise damaged(folder / WEIGHTS, f"the table has the shape {table.shape}")
        return cls(table, head, bool(facts["is_by_class"]))


def _narrow(keys: NDArray[np.uint64]) -> NDArray[np.unsignedinteger]:
    """The keys in four bytes each where that is enough, as it is below 65,000 tokens."""
    return keys.astype(np.uint32) if keys[-1] < 2**32 else keys
