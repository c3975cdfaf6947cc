# SPDX-License-Identifier: Apache-2.0
"""The config.json of a language model's folder, as the facts of a GGUF file.

It decides under which name each fact goes. It refuses what the facts could not say, so that no model is read in another
way than it was trained: another activation, stretched positions, sliding windows.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bigenough.errors import UnsupportedModel
from bigenough.models.folder_json import flag, integer, number, read_object
from bigenough.models.gguf_weights import ARCHITECTURES, Field

__all__ = ["CONFIG", "FAMILIES", "DecoderConfig", "read_decoder_config"]

CONFIG = "config.json"
FAMILIES: Mapping[str, str] = {"llama": "llama", "mistral": "llama", "qwen2": "qwen2", "qwen3": "qwen3"}
"""From ``model_type`` to what a GGUF file calls the architecture."""
UINT32, FLOAT32 = 4, 6
"""Types of GGUF entries (ggml's ``docs/gguf.md``)."""
_ACTIVATIONS = ("silu", "swish")
_WINDOW = 4096
"""What transformers takes for Mistral models whose config names no sliding window."""
_MOST_TOKENS, _MOST_LAYERS = 1_000_000, 1_000
"""More than any model has: a list of names is made of so many before the weights are looked at."""
_HEADS_OF_KEYS = {"mistral": 8, "qwen2": 32, "qwen3": 32}
"""What transformers takes where ``num_key_value_heads`` is not there; llama takes as many as there are heads."""


@dataclass(frozen=True)
class DecoderConfig:
    """The numbers that fix a decoder's shape.

    Attributes:
        architecture: what a GGUF file calls it.
        tokens: rows of the token matrix.
        width: the size of a token's vector.
        layers: transformer layers.
        heads: attention heads in a layer.
        key_heads: those of keys and values.
        head_size: the size of a head.
        inner: the width of the feed-forward part.
        longest: the tokens it was trained to read at once.
        epsilon: what the norm adds to the mean square.
        base: of the frequencies with which positions turn.
        tied: whether the token matrix is the output matrix too.
    """

    architecture: str
    tokens: int
    width: int
    layers: int
    heads: int
    key_heads: int
    head_size: int
    inner: int
    longest: int
    epsilon: float
    base: float
    tied: bool

    @property
    def fields(self) -> dict[str, Field]:
        """The entries of a GGUF file's metadata."""
        whole = {
            "block_count": self.layers,
            "context_length": self.longest,
            "embedding_length": self.width,
            "feed_forward_length": self.inner,
            "attention.head_count": self.heads,
            "attention.head_count_kv": self.key_heads,
            "attention.key_length": self.head_size,
            "attention.value_length": self.head_size,
        }
        if self.architecture == "llama":
            whole |= {"rope.dimension_count": self.head_size, "vocab_size": self.tokens}
        broken = {"attention.layer_norm_rms_epsilon": self.epsilon, "rope.freq_base": self.base}
        return {
            **{f"{self.architecture}.{name}": Field(value, UINT32, None) for name, value in whole.items()},
            **{f"{self.architecture}.{name}": Field(value, FLOAT32, None) for name, value in broken.items()},
        }


def read_decoder_config(folder: Path) -> DecoderConfig:
    """What config.json says.

    Raises:
        UnsupportedModel: it is missing or no JSON, lacks a number, or tells of a model that is not known here.
    """
    path = folder / CONFIG
    raw = read_object(path)
    kind = _known_kind(folder, raw)
    width, heads = integer(raw, "hidden_size", path), integer(raw, "num_attention_heads", path)
    return DecoderConfig(
        architecture=FAMILIES[kind],
        tokens=integer(raw, "vocab_size", path, high=_MOST_TOKENS),
        width=width,
        layers=integer(raw, "num_hidden_layers", path, high=_MOST_LAYERS),
        heads=heads,
        key_heads=integer(raw, "num_key_value_heads", path, default=_HEADS_OF_KEYS.get(kind, heads)),
        head_size=integer(raw, "head_dim", path, default=128 if kind == "qwen3" else max(1, width // heads)),
        inner=integer(raw, "intermediate_size", path),
        longest=integer(raw, "max_position_embeddings", path),
        epsilon=number(raw, "rms_norm_eps", path, default=1e-6),
        base=_base(folder, raw),
        tied=flag(raw, "tie_word_embeddings", path),
    )


def _known_kind(folder: Path, raw: Mapping[str, Any]) -> str:
    kind = str(raw.get("model_type"))
    if kind not in FAMILIES:
        raise UnsupportedModel(
            f"{folder / CONFIG} says model_type {kind!r}. Folders of {', '.join(FAMILIES)} models can be used "
            f"(GGUF files of {', '.join(ARCHITECTURES)}). Convert another with llama.cpp's convert_hf_to_gguf.py and "
            "name the GGUF file."
        )
    activation = raw.get("hidden_act", "silu")
    if activation not in _ACTIVATIONS:
        raise UnsupportedModel(
            f"{folder / CONFIG} has the activation {activation!r}; {kind} models are known with silu alone. Name "
            "another model."
        )
    window = raw.get("sliding_window", _WINDOW if kind == "mistral" else None)
    if window and raw.get("use_sliding_window", kind == "mistral"):
        raise UnsupportedModel(
            f"{folder / CONFIG} lets each token see the last {window} only (sliding_window), which is not known here. "
            "Name another model."
        )
    return kind


def _base(folder: Path, raw: Mapping[str, Any]) -> float:
    """The base of the frequencies: in ``rope_parameters`` since transformers 5, before that beside ``rope_scaling``."""
    told = [raw[name] for name in ("rope_parameters", "rope_scaling") if raw.get(name)]
    for rope in told:
        stretched = isinstance(rope, dict) and rope.get("rope_type", rope.get("type", "default"))
        if stretched != "default" or any(isinstance(value, dict) for value in rope.values()):
            raise UnsupportedModel(
                f"{folder / CONFIG} turns positions in a way that is not known here ({rope}). Name a model whose "
                "positions are not stretched, or a GGUF file of this one."
            )
    found = {"rope_theta": raw.get("rope_theta")}
    for rope in reversed(told):
        found |= {"rope_theta": rope["rope_theta"]} if rope.get("rope_theta") is not None else {}
    return number(found, "rope_theta", folder / CONFIG, default=10000.0)
