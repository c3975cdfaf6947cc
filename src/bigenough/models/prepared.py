# SPDX-License-Identifier: Apache-2.0
"""An encoder made ready once: its ONNX graph and tokenizer in the cache, named after the weights they came from."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from tokenizers import Tokenizer

from bigenough.models.bert import BertModel, read_bert
from bigenough.models.encoder import Encoder, plain_tokenizer
from bigenough.models.resolve import Weights
from bigenough.models.tokenizer_file import tokenizer_beside
from bigenough.storage import atomic_folder, check_files, file_hashes, read_json, write_bytes, write_json, write_text

__all__ = ["PreparedEncoder", "prepared_encoder"]

RECIPE = 4
"""Raised whenever the same weights would give another graph."""


@dataclass(frozen=True)
class PreparedEncoder:
    """Files from which an ``Encoder`` starts at once.

    Attributes:
        folder: holds model.onnx and tokenizer.json.
        weights: what they were made of.
        max_length: tokens a text is cut to.
        n_parameters: numbers in the graph.
        middle: whether a sentence vector has the middle layer's mean before the last one's.
    """

    folder: Path
    weights: Weights
    max_length: int
    n_parameters: int
    middle: bool = False

    @property
    def model(self) -> Path:
        """The ONNX graph."""
        return self.folder / "model.onnx"

    @property
    def tokenizer(self) -> Tokenizer:
        """The tokenizer, without padding, cut at ``max_length``."""
        return Tokenizer.from_file(str(self.folder / "tokenizer.json"))

    def arrays(self) -> BertModel:
        """What the graph is made of, read from the weights."""
        return _read(self.weights, self.middle)

    def start(self, *, threads: int | None) -> Encoder:
        """The encoder, loaded."""
        return Encoder(self.model, self.tokenizer, max_length=self.max_length, threads=threads)


def prepared_encoder(weights: Weights, *, cache: Path, middle: bool = False) -> PreparedEncoder:
    """The weights' graph and tokenizer, made on first use and checked against their hashes on every later one.

    Args:
        weights: of the encoder.
        cache: where prepared encoders are kept.
        middle: whether a sentence vector has the middle layer's mean before the last one's.

    Raises:
        UnsupportedModel: not a model that can be read, or its tokenizer is that of another.
    """
    folder = cache / "encoders" / f"{weights.identity}-{RECIPE}{'-middle' if middle else ''}"
    if not (folder / "prepared.json").is_file():
        _prepare(weights, folder, middle)
    facts = read_json(folder / "prepared.json")
    check_files(folder, facts["files"])
    return PreparedEncoder(folder, weights, int(facts["max_length"]), int(facts["n_parameters"]), middle)


def _prepare(weights: Weights, folder: Path, middle: bool) -> None:
    from bigenough.models.graph import encoder_graph

    model = _read(weights, middle)
    tokenizer = plain_tokenizer(tokenizer_beside(model, weights.folder), model.config.max_length)
    with atomic_folder(folder) as made:
        write_bytes(made / "model.onnx", encoder_graph(model))
        write_text(made / "tokenizer.json", tokenizer.to_str())
        facts = {
            "weights": weights.as_json(),
            "max_length": model.config.max_length,
            "n_parameters": model.n_parameters,
            "files": file_hashes(made),
        }
        write_json(made / "prepared.json", facts)


def _read(weights: Weights, middle: bool) -> BertModel:
    model = read_bert(weights.folder)
    return replace(model, config=replace(model.config, pooled=(len(model.layers) // 2,))) if middle else model
