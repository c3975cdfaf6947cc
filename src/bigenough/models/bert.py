# SPDX-License-Identifier: Apache-2.0
"""A BERT-type encoder read from a folder: its config, its arrays, and how a sentence is pooled from its tokens.

The families differ in the names of their arrays and in where positions start; all of them are embeddings with a layer
norm, then post-norm transformer layers (Devlin et al. 2019; Sanh et al. 2019; Liu et al. 2019).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from bigenough.errors import UnsupportedModel
from bigenough.models.folder_json import flag, integer, number, read_object, read_objects, text
from bigenough.models.tensor_file import TensorFile

__all__ = ["BertConfig", "BertModel", "Layer", "in_lower_case", "read_bert", "vocabulary_rows"]

Array = NDArray[np.float32]
Activation = Literal["gelu", "gelu_tanh", "relu"]

ACTIVATIONS: Mapping[str, Activation] = {
    "gelu": "gelu",
    "gelu_new": "gelu_tanh",
    "gelu_pytorch_tanh": "gelu_tanh",
    "gelu_fast": "gelu_tanh",
    "relu": "relu",
}
CONFIG = "config.json"
SENTENCES = "sentence_bert_config.json"
LONGEST = 256
"""Tokens a text is cut to, when the model itself would take more: attention's cost grows with the square of it."""


LARGEST_GRAPH = 2**31 - 2**20
"""Bytes of the arrays in an ONNX file: protobuf's limit, with room for the rest of the graph."""


@dataclass(frozen=True)
class Family:
    """How one architecture names its arrays; ``{i}`` stands for the layer's number."""

    prefix: str
    layer: str
    query: str
    key: str
    value: str
    attended: str
    attended_norm: str
    widen: str
    narrow: str
    norm: str


BERT = Family(
    prefix="bert.",
    layer="encoder.layer.{i}.",
    query="attention.self.query",
    key="attention.self.key",
    value="attention.self.value",
    attended="attention.output.dense",
    attended_norm="attention.output.LayerNorm",
    widen="intermediate.dense",
    narrow="output.dense",
    norm="output.LayerNorm",
)
DISTILBERT = Family(
    prefix="distilbert.",
    layer="transformer.layer.{i}.",
    query="attention.q_lin",
    key="attention.k_lin",
    value="attention.v_lin",
    attended="attention.out_lin",
    attended_norm="sa_layer_norm",
    widen="ffn.lin1",
    narrow="ffn.lin2",
    norm="output_layer_norm",
)
ROBERTA = replace(BERT, prefix="roberta.")
FAMILIES: Mapping[str, Family] = {
    "bert": BERT,
    "distilbert": DISTILBERT,
    "roberta": ROBERTA,
    "xlm-roberta": ROBERTA,
    "camembert": ROBERTA,
}
ROBERTA_LIKE = ("roberta", "xlm-roberta", "camembert")


@dataclass(frozen=True)
class BertConfig:
    """The numbers that fix an encoder's shape.

    Attributes:
        family: the ``model_type`` of config.json.
        width: the size of a token's vector.
        heads: attention heads in a layer.
        layers: transformer layers.
        epsilon: what layer norm adds to the variance.
        activation: the non-linearity of the feed-forward part.
        pad_id: the token that fills a batch.
        max_length: tokens a text is cut to, special tokens counted.
        pooling: the mean over tokens, or the first token's vector.
        normalise: whether sentence vectors have length 1.
        pooled: layers whose sentence vectors stand before the last one's, side by side; 0 is the embeddings.
    """

    family: str
    width: int
    heads: int
    layers: int
    epsilon: float
    activation: Activation
    pad_id: int
    max_length: int
    pooling: Literal["mean", "cls"]
    normalise: bool
    pooled: tuple[int, ...] = ()

    @property
    def vector_width(self) -> int:
        """The size of a sentence vector."""
        return self.width * (1 + len(self.pooled))


@dataclass(frozen=True, eq=False)
class Layer:
    """One transformer layer, matrices laid out (in, out).

    Attributes:
        qkv, qkv_bias: (width, 3 width), (3 width,): query, key and value side by side.
        attended, attended_bias: (width, width), (width,).
        attended_norm: scale and shift, (width,) each.
        widen, widen_bias: (width, inner), (inner,).
        narrow, narrow_bias: (inner, width), (width,).
        norm: scale and shift, (width,) each.
    """

    qkv: Array
    qkv_bias: Array
    attended: Array
    attended_bias: Array
    attended_norm: tuple[Array, Array]
    widen: Array
    widen_bias: Array
    narrow: Array
    narrow_bias: Array
    norm: tuple[Array, Array]

    @property
    def n_parameters(self) -> int:
        """How many numbers the layer holds."""
        values = [part for value in vars(self).values() for part in (value if isinstance(value, tuple) else (value,))]
        return sum(int(part.size) for part in values)


@dataclass(frozen=True, eq=False)
class BertModel:
    """An encoder's arrays.

    Attributes:
        config: its shape.
        words: (vocabulary, width) token vectors.
        positions: (max_length, width): position vectors from the first token on, with the vector of segment 0 added
            once, since a single text has no other segment.
        norm: scale and shift of the embeddings' layer norm.
        layers: from the bottom up.
    """

    config: BertConfig
    words: Array
    positions: Array
    norm: tuple[Array, Array]
    layers: tuple[Layer, ...]

    @property
    def n_parameters(self) -> int:
        """How many numbers a forward pass uses."""
        below = self.words.size + self.positions.size + sum(part.size for part in self.norm)
        return below + sum(layer.n_parameters for layer in self.layers)


def read_bert(folder: Path) -> BertModel:
    """The encoder in a folder of config.json and model.safetensors, as transformers and sentence-transformers write it.

    Raises:
        UnsupportedModel: another architecture, a file or a value that is missing or makes no sense, an array that is
            missing, has another shape than config.json says or holds quantised weights, more layers than it says, a
            pooling that is neither mean nor first token, or more numbers than an ONNX file can hold.
    """
    path = folder / CONFIG
    raw = read_object(path)
    config = _config(folder, raw)
    tokens, inner = vocabulary_rows(raw, path), integer(raw, _stated(raw, "intermediate_size", "hidden_dim"), path)
    arrays = _Arrays(folder, FAMILIES[config.family])
    words = arrays.get("embeddings.word_embeddings.weight", (tokens, config.width))
    layers = tuple(_layer(arrays, config, i, inner) for i in range(config.layers))
    if arrays.layers > config.layers:
        raise UnsupportedModel(
            f"{arrays.path} has {arrays.layers} layers; {path} says {config.layers}, which would be another model than "
            "the one that was trained. Save the model again with save_pretrained, or correct the number."
        )
    model = BertModel(
        config, words, _positions(arrays, raw, config), arrays.norm("embeddings.LayerNorm", config.width), layers
    )
    if 4 * model.n_parameters > LARGEST_GRAPH:
        raise UnsupportedModel(
            f"The encoder in {folder} has {model.n_parameters:,} numbers, {4 * model.n_parameters / 1e9:.2f} GB in 32 "
            f"bits. It runs as one ONNX file, which holds {LARGEST_GRAPH / 1e9:.2f} GB at most. Name a smaller one."
        )
    return model


def vocabulary_rows(raw: Mapping[str, Any], path: Path) -> int:
    """How many token vectors the weights have, as config.json says; they are held to it when they are read.

    Raises:
        UnsupportedModel: it does not say.
    """
    return integer(raw, "vocab_size", path)


def _config(folder: Path, raw: Mapping[str, Any]) -> BertConfig:
    path = folder / CONFIG
    family = str(raw.get("model_type"))
    if family not in FAMILIES:
        raise UnsupportedModel(
            f"{path} says model_type {family!r}. Encoders of these types can be used: {sorted(FAMILIES)}. Name another "
            "model with --encoder."
        )
    if raw.get("quantization_config") is not None:
        raise UnsupportedModel(f"{path} says that the weights are quantised. Name a copy in 16 or 32 bits.")
    if flag(raw, "is_decoder", path):
        raise UnsupportedModel(f"{path} says is_decoder: a token would see those before it only. An encoder is needed.")
    positions = text(raw, "position_embedding_type", path, default="absolute")
    if positions != "absolute":
        raise UnsupportedModel(f"{path} says {positions!r} positions; only 'absolute' ones are known.")
    activation = text(raw, _stated(raw, "hidden_act", "activation"), path, default="gelu")
    if activation not in ACTIVATIONS:
        raise UnsupportedModel(f"{path} says the activation {activation!r}; these are known: {sorted(ACTIVATIONS)}.")
    width = integer(raw, _stated(raw, "hidden_size", "dim"), path)
    heads = integer(raw, _stated(raw, "num_attention_heads", "n_heads"), path)
    if width % heads:
        raise UnsupportedModel(f"{path} shares {width} dimensions out over {heads} heads, unevenly.")
    pooling, normalise = _sentence(folder)
    usual = 1 if family in ROBERTA_LIKE else 0
    pad_id = integer(raw, "pad_token_id", path, low=0, high=vocabulary_rows(raw, path) - 1, default=usual)
    # RoBERTa counts positions from pad_id + 1 (fairseq's convention).
    before = pad_id + 1 if family in ROBERTA_LIKE else 0
    taken = integer(raw, "max_position_embeddings", path, low=before + 1) - before
    return BertConfig(
        family=family,
        width=width,
        heads=heads,
        layers=integer(raw, _stated(raw, "num_hidden_layers", "n_layers"), path),
        epsilon=number(raw, "layer_norm_eps", path, default=1e-12),
        activation=ACTIVATIONS[activation],
        pad_id=pad_id,
        max_length=min(LONGEST, taken, _wanted_length(folder)),
        pooling=pooling,
        normalise=normalise,
    )


def _stated(raw: Mapping[str, Any], *names: str) -> str:
    """The one of a value's names under which it stands; all of them, for an error, where it does not."""
    return next((name for name in names if raw.get(name) is not None), " or ".join(names))


def _wanted_length(folder: Path) -> int:
    path = folder / SENTENCES
    return integer(read_object(path), "max_seq_length", path, default=LONGEST) if path.is_file() else LONGEST


def in_lower_case(folder: Path) -> bool:
    """Whether texts are put into lower case first, whatever the tokenizer does: as sentence-transformers was told.

    Raises:
        UnsupportedModel: it was told neither true nor false.
    """
    path = folder / SENTENCES
    return path.is_file() and flag(read_object(path), "do_lower_case", path)


def _sentence(folder: Path) -> tuple[Literal["mean", "cls"], bool]:
    """Pooling and normalisation as modules.json says; a plain encoder without it gets the mean, of length 1."""
    path = folder / "modules.json"
    if not path.is_file():
        return "mean", True
    kinds = {
        text(module, "type", path).rsplit(".", 1)[-1]: folder / text(module, "path", path)
        for module in read_objects(path)
    }
    unknown = sorted(set(kinds) - {"Transformer", "Pooling", "Normalize"})
    if unknown:
        raise UnsupportedModel(f"{path} has the parts {unknown}; Transformer, Pooling and Normalize are known.")
    pooling: Literal["mean", "cls"] = "mean"
    if "Pooling" in kinds:
        pooling = _pooling(kinds["Pooling"] / "config.json")
    return pooling, "Normalize" in kinds


def _pooling(path: Path) -> Literal["mean", "cls"]:
    raw = read_object(path)
    ways = sorted(name for name in raw if name.startswith("pooling_mode_") and flag(raw, name, path))
    if raw.get("pooling_mode") is not None:
        ways = [f"pooling_mode_{text(raw, 'pooling_mode', path)}"]
    if ways in (["pooling_mode_mean_tokens"], ["pooling_mode_mean"]):
        return "mean"
    if ways in (["pooling_mode_cls_token"], ["pooling_mode_cls"]):
        return "cls"
    raise UnsupportedModel(f"{path} pools by {ways}; mean tokens or the cls token, one of them, is known.")


class _Arrays:
    """The arrays of model.safetensors, by name without the family's prefix, checked when they are taken."""

    def __init__(self, folder: Path, family: Family) -> None:
        self.family = family
        self.path = folder / "model.safetensors"
        if not self.path.is_file():
            raise UnsupportedModel(
                f"{self.path} is missing. Weights are read from one safetensors file only, never from a pickle: "
                "save the model again with save_pretrained(folder)."
            )
        file = TensorFile(self.path)
        self._arrays = {name.removeprefix(family.prefix): file.array(name) for name in file.names}

    def get(self, name: str, shape: tuple[int, ...]) -> Array:
        older = name.replace("LayerNorm.weight", "LayerNorm.gamma").replace("LayerNorm.bias", "LayerNorm.beta")
        array = self._arrays.get(name, self._arrays.get(older))
        if array is None:
            raise UnsupportedModel(f"{self.path} has no array {name!r}, which config.json asks for.")
        if array.shape != shape:
            raise UnsupportedModel(f"{self.path}: {name!r} has shape {array.shape}; config.json asks for {shape}.")
        if array.dtype.kind != "f":
            raise UnsupportedModel(
                f"{self.path} keeps {name!r} in whole numbers ({array.dtype}), whose scale is not known here. Name a "
                "copy of the model in 16 or 32 bits."
            )
        return np.ascontiguousarray(array, dtype=np.float32)

    def has(self, name: str) -> bool:
        return name in self._arrays

    @property
    def layers(self) -> int:
        """How many layers the file has arrays of, counted up to the last one."""
        before, after = self.family.layer.split("{i}")
        numbers = (name.removeprefix(before).partition(after)[0] for name in self._arrays if name.startswith(before))
        return max((int(number) + 1 for number in numbers if number.isdecimal()), default=0)

    def dense(self, name: str, shape: tuple[int, int]) -> tuple[Array, Array]:
        """A matrix (in, out), stored (out, in) as torch does, and its bias."""
        weight = self.get(f"{name}.weight", shape[::-1])
        return np.ascontiguousarray(weight.T), self.get(f"{name}.bias", shape[1:])

    def norm(self, name: str, width: int) -> tuple[Array, Array]:
        return self.get(f"{name}.weight", (width,)), self.get(f"{name}.bias", (width,))


def _positions(arrays: _Arrays, raw: Mapping[str, Any], config: BertConfig) -> Array:
    path = arrays.path.parent / CONFIG
    n_positions = integer(raw, "max_position_embeddings", path)
    table = arrays.get("embeddings.position_embeddings.weight", (n_positions, config.width))
    first = config.pad_id + 1 if config.family in ROBERTA_LIKE else 0
    positions = table[first : first + config.max_length]
    segments = "embeddings.token_type_embeddings.weight"
    if arrays.has(segments):
        n_segments = integer(raw, "type_vocab_size", path, default=2)
        positions = positions + arrays.get(segments, (n_segments, config.width))[0]
    return np.ascontiguousarray(positions)


def _layer(arrays: _Arrays, config: BertConfig, i: int, inner: int) -> Layer:
    names, width = arrays.family, config.width
    at = names.layer.format(i=i)
    parts = [arrays.dense(at + name, (width, width)) for name in (names.query, names.key, names.value)]
    attended, attended_bias = arrays.dense(at + names.attended, (width, width))
    widen, widen_bias = arrays.dense(at + names.widen, (width, inner))
    narrow, narrow_bias = arrays.dense(at + names.narrow, (inner, width))
    return Layer(
        qkv=np.concatenate([weight for weight, _ in parts], axis=1),
        qkv_bias=np.concatenate([bias for _, bias in parts]),
        attended=attended,
        attended_bias=attended_bias,
        attended_norm=arrays.norm(at + names.attended_norm, width),
        widen=widen,
        widen_bias=widen_bias,
        narrow=narrow,
        narrow_bias=narrow_bias,
        norm=arrays.norm(at + names.norm, width),
    )
