# SPDX-License-Identifier: Apache-2.0
"""A language model's folder, as transformers writes it, read as what its GGUF file would hold.

It decides which fact of config.json goes under which name, and what each array is called and how its rows lie. It
refuses models that differ from what the names say: another architecture, stretched positions, sliding windows, arrays
that are missing or that nobody knows.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bigenough.errors import UnsupportedModel
from bigenough.models.decoder_vocabulary import FLOAT32, STRING, UINT32, vocabulary_fields
from bigenough.models.gguf_weights import ARCHITECTURES, Field, GgufModel, Tensor, name_in_file
from bigenough.models.tensor_file import TensorFile
from bigenough.storage import read_json

__all__ = ["decoder_files", "read_decoder_folder"]

CONFIG, TOKENIZER = "config.json", "tokenizer.json"
WEIGHTS, SHARDS = "model.safetensors", "model.safetensors.index.json"
ALSO_READ = (
    "tokenizer_config.json", "chat_template.jinja", "chat_template.json", "merges.txt",
)  # fmt: skip
FAMILIES: Mapping[str, str] = {"llama": "llama", "mistral": "llama", "qwen2": "qwen2", "qwen3": "qwen3"}
"""From ``model_type`` to what a GGUF file calls the architecture."""
HALF_RANGE = float(np.finfo(np.float16).max)
_PASSED_OVER = ("rotary_emb.inv_freq",)
"""Arrays of old folders that follow from config.json."""


def decoder_files(folder: Path) -> list[Path]:
    """All files of the folder that change what the model does.

    Raises:
        UnsupportedModel: one that is needed is missing; it is named.
    """
    for name in (CONFIG, TOKENIZER):
        if not (folder / name).is_file():
            raise UnsupportedModel(
                f"The folder {folder} lacks {name}. A language model's folder holds {CONFIG}, {TOKENIZER} and "
                f"{WEIGHTS}: save model and tokenizer there with save_pretrained."
            )
    also = [folder / name for name in ALSO_READ if (folder / name).is_file()]
    return [folder / CONFIG, folder / TOKENIZER, *also, *_weight_files(folder)]


def read_decoder_folder(folder: Path, *, pre: str) -> GgufModel:
    """What a GGUF file of the folder's model holds: metadata, tokenizer, and the matrices in 16 bits.

    Args:
        folder: config.json, tokenizer.json, and safetensors weights in one file or in shards.
        pre: the name of the way in which its tokenizer cuts texts into words.

    Raises:
        UnsupportedModel: something is missing, of a kind that is not known, or does not fit together.
        MissingExtra: the package gguf is not installed.
    """
    raw = read_json(folder / CONFIG)
    architecture = _architecture(folder, raw)
    fields = {
        "general.architecture": Field(architecture, STRING, None),
        "general.type": Field("model", STRING, None),
        "general.name": Field(folder.name, STRING, None),
        "general.file_type": Field(1, UINT32, None),
        **_shape(folder, raw, architecture),
    }
    bare = GgufModel(folder, fields, {})
    tied = bool(raw.get("tie_word_embeddings", False))
    tensors = {name: tensor for name, tensor in _tensors(folder, bare) if not (tied and name == "output.weight")}
    _check_whole(folder, raw, tensors, tied)
    rows = len(tensors["token_embd.weight"].data)
    vocabulary = vocabulary_fields(folder, rows, pre)
    sizes = {"llama.vocab_size": Field(rows, UINT32, None)} if architecture == "llama" else {}
    return GgufModel(folder, {**fields, **sizes, **vocabulary}, tensors)


def _architecture(folder: Path, raw: Mapping[str, Any]) -> str:
    kind = str(raw.get("model_type"))
    if kind not in FAMILIES:
        raise UnsupportedModel(
            f"{folder / CONFIG} says model_type {kind!r}. Folders of {', '.join(FAMILIES)} models can be used "
            f"(GGUF files of {', '.join(ARCHITECTURES)}). Convert another with llama.cpp's convert_hf_to_gguf.py and "
            "name the GGUF file."
        )
    if raw.get("sliding_window") and raw.get("use_sliding_window", kind == "mistral"):
        raise UnsupportedModel(
            f"{folder / CONFIG} lets each token see the last {raw['sliding_window']} only (sliding_window), which is "
            "not known here. Name another model."
        )
    return FAMILIES[kind]


def _shape(folder: Path, raw: Mapping[str, Any], architecture: str) -> dict[str, Field]:
    """The architecture's facts."""
    rope = raw.get("rope_parameters") or raw.get("rope_scaling") or {}
    stretched = str(rope.get("rope_type", rope.get("type", "default")))
    if stretched != "default":
        raise UnsupportedModel(
            f"{folder / CONFIG} stretches positions ({stretched!r}), which is not known here. Name a model without, "
            "or a GGUF file of this one."
        )
    width, heads = _whole(folder, raw, "hidden_size"), _whole(folder, raw, "num_attention_heads")
    size = int(raw.get("head_dim") or width // heads)
    whole = {
        "block_count": _whole(folder, raw, "num_hidden_layers"),
        "context_length": _whole(folder, raw, "max_position_embeddings"),
        "embedding_length": width,
        "feed_forward_length": _whole(folder, raw, "intermediate_size"),
        "attention.head_count": heads,
        "attention.head_count_kv": int(raw.get("num_key_value_heads") or heads),
        "attention.key_length": size,
        "attention.value_length": size,
        **({"rope.dimension_count": size} if architecture == "llama" else {}),
    }
    broken = {
        "attention.layer_norm_rms_epsilon": float(raw.get("rms_norm_eps", 1e-6)),
        "rope.freq_base": float(rope.get("rope_theta") or raw.get("rope_theta") or 10000.0),
    }
    return {
        **{f"{architecture}.{name}": Field(value, UINT32, None) for name, value in whole.items()},
        **{f"{architecture}.{name}": Field(value, FLOAT32, None) for name, value in broken.items()},
    }


def _whole(folder: Path, raw: Mapping[str, Any], name: str) -> int:
    if not isinstance(raw.get(name), int):
        raise UnsupportedModel(f"{folder / CONFIG} should have a whole number {name}. Got {raw.get(name)!r}.")
    return int(raw[name])


def _weight_files(folder: Path) -> list[Path]:
    if (folder / WEIGHTS).is_file():
        return [folder / WEIGHTS]
    shards: Sequence[str] = ()
    if (folder / SHARDS).is_file():
        shards = sorted(set(read_json(folder / SHARDS)["weight_map"].values()))
    missing = [name for name in shards if Path(name).name != name or not (folder / name).is_file()]
    if missing or not shards:
        raise UnsupportedModel(
            f"The folder {folder} lacks {', '.join(missing) or WEIGHTS}. Weights are read from safetensors only, never "
            "from a pickle: save the model again with save_pretrained, or download what is missing."
        )
    return [folder / name for name in shards]


def _tensors(folder: Path, bare: GgufModel) -> Iterator[tuple[str, Tensor]]:
    """Each array under the file's name and with the file's order of rows."""
    for path in _weight_files(folder):
        file = TensorFile(path)
        for theirs in file.names:
            if theirs.endswith(_PASSED_OVER):
                continue
            ours = name_in_file(theirs)
            if ours is None:
                raise UnsupportedModel(
                    f"{path} has an array {theirs!r}, of which it is not known what it does. Name a plain "
                    f"{', '.join(FAMILIES)} model without experts, adapters or packed matrices."
                )
            yield ours, _tensor(bare.rows_together(ours, file.array(theirs)), theirs, path)


def _tensor(array: NDArray[Any], name: str, path: Path) -> Tensor:
    if array.dtype.kind != "f":
        raise UnsupportedModel(f"{path} has {name!r} packed as {array.dtype}; name a folder with plain weights.")
    if array.ndim < 2:
        return Tensor("F32", np.ascontiguousarray(array, np.float32))
    if np.abs(array).max(initial=0.0) > HALF_RANGE:
        raise UnsupportedModel(f"{path} has numbers in {name!r} that 16 bits cannot hold. Name a GGUF file of it.")
    return Tensor("F16", np.ascontiguousarray(array, np.float16))


def _check_whole(folder: Path, raw: Mapping[str, Any], tensors: Mapping[str, Tensor], tied: bool) -> None:
    """Raise ``UnsupportedModel`` unless every layer of config.json has its arrays, and the tokens theirs."""
    needed = ["token_embd.weight", "output_norm.weight", *([] if tied else ["output.weight"])]
    parts = ("attn_norm", "attn_q", "attn_k", "attn_v", "attn_output", "ffn_norm", "ffn_gate", "ffn_up", "ffn_down")
    needed += [f"blk.{i}.{part}.weight" for i in range(int(raw["num_hidden_layers"])) for part in parts]
    missing = [name for name in needed if name not in tensors]
    if missing:
        raise UnsupportedModel(
            f"The weights in {folder} lack {len(missing)} arrays that config.json asks for, the first of them what a "
            f"GGUF file calls {missing[0]!r}. Save or download the model again."
        )
    shape = tensors["token_embd.weight"].data.shape
    if shape != (int(raw["vocab_size"]), int(raw["hidden_size"])):
        raise UnsupportedModel(
            f"The token matrix in {folder} has shape {shape}; config.json asks for "
            f"({raw['vocab_size']}, {raw['hidden_size']}). Save or download the model again."
        )
