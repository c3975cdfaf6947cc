# SPDX-License-Identifier: Apache-2.0
"""A language model's folder, as transformers writes it, read as what its GGUF file would hold.

It decides which files count, what each array is called and how its rows lie. It refuses arrays that are missing, that
nobody knows, or that have another shape than config.json says. What that file says is ``decoder_config``'s, the
tokenizer ``decoder_vocabulary``'s.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bigenough.errors import UnsupportedModel
from bigenough.models.decoder_config import CONFIG, FAMILIES, DecoderConfig, read_decoder_config
from bigenough.models.decoder_vocabulary import STRING, UINT32, vocabulary_fields
from bigenough.models.folder_json import read_object, section, text
from bigenough.models.gguf_weights import Field, GgufModel, Tensor, name_in_file
from bigenough.models.tensor_file import TensorFile

__all__ = ["decoder_files", "folder_facts", "with_weights"]

TOKENIZER = "tokenizer.json"
WEIGHTS, SHARDS = "model.safetensors", "model.safetensors.index.json"
ALSO_READ = ("tokenizer_config.json", "chat_template.jinja", "chat_template.json", "merges.txt")
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
    also += sorted((folder / "additional_chat_templates").glob("*.jinja"))
    return [folder / CONFIG, folder / TOKENIZER, *also, *_weight_files(folder)]


def folder_facts(folder: Path, *, pre: str) -> GgufModel:
    """What a GGUF file of the folder's model says of it, tokenizer included; no weights yet.

    Args:
        folder: config.json, tokenizer.json, and safetensors weights in one file or in shards.
        pre: the name of the way in which its tokenizer cuts texts into words.

    Raises:
        UnsupportedModel: something is missing, of a kind that is not known, or does not fit together.
        MissingExtra: the package gguf is not installed.
    """
    config = read_decoder_config(folder)
    fields = {
        "general.architecture": Field(config.architecture, STRING, None),
        "general.type": Field("model", STRING, None),
        "general.name": Field(folder.name, STRING, None),
        "general.file_type": Field(1, UINT32, None),
        **config.fields,
        **vocabulary_fields(folder, config.tokens, pre),
    }
    return GgufModel(folder, fields, {})


def with_weights(facts: GgufModel) -> GgufModel:
    """The same with all arrays, matrices in 16 bits; they lie in memory until they are written.

    Raises:
        UnsupportedModel: an array is missing, unknown, of another shape than config.json says, or holds numbers that
            are none or that 16 bits cannot hold.
    """
    folder, config = facts.path, read_decoder_config(facts.path)
    shapes = _shapes(config)
    tensors = {}
    for path, theirs, array in _arrays(folder):
        ours = name_in_file(theirs)
        if config.tied and ours == "output.weight":
            continue
        if ours is None or ours not in shapes:
            raise UnsupportedModel(
                f"{path} has an array {theirs!r}, of which it is not known what it does. Name a plain "
                f"{', '.join(FAMILIES)} model without experts, adapters or packed matrices."
            )
        if array.shape != shapes[ours]:
            raise UnsupportedModel(
                f"{path}: {theirs!r} has shape {array.shape}; {CONFIG} asks for {shapes[ours]}. Save or download the "
                "model again."
            )
        tensors[ours] = _tensor(facts.rows_together(ours, array), theirs, path)
    optional = (".bias", "_q_norm.weight", "_k_norm.weight")
    missing = [name for name in shapes if name not in tensors and not name.endswith(optional)]
    if missing:
        raise UnsupportedModel(
            f"The weights in {folder} lack {len(missing)} arrays that {CONFIG} asks for, the first of them what a "
            f"GGUF file calls {missing[0]!r}. Save or download the model again."
        )
    return replace(facts, tensors=tensors)


def _shapes(config: DecoderConfig) -> dict[str, tuple[int, ...]]:
    """The shape of every array that such a model has or may have, by its name in the file."""
    width, inner = config.width, config.inner
    asked, kept = config.heads * config.head_size, config.key_heads * config.head_size
    matrices = {
        "attn_q": (asked, width), "attn_k": (kept, width), "attn_v": (kept, width), "attn_output": (width, asked),
        "ffn_gate": (inner, width), "ffn_up": (inner, width), "ffn_down": (width, inner),
    }  # fmt: skip
    shapes: dict[str, tuple[int, ...]] = {
        "token_embd.weight": (config.tokens, width), "output_norm.weight": (width,),
    }  # fmt: skip
    if not config.tied:
        shapes["output.weight"] = (config.tokens, width)
    heads = {"attn_q_norm": (config.head_size,), "attn_k_norm": (config.head_size,)}
    for i in range(config.layers):
        shapes |= {f"blk.{i}.{name}.weight": shape for name, shape in matrices.items()}
        shapes |= {f"blk.{i}.{name}.weight": (width,) for name in ("attn_norm", "ffn_norm")}
        # Biases that llama.cpp reads: of all matrices in llama files, of the first three in qwen2 files.
        biased = {"llama": list(matrices), "qwen2": list(matrices)[:3]}.get(config.architecture, [])
        shapes |= {f"blk.{i}.{name}.bias": matrices[name][:1] for name in biased}
        shapes |= {f"blk.{i}.{name}.weight": shape for name, shape in heads.items() if config.architecture == "qwen3"}
    return shapes


def _weight_files(folder: Path) -> list[Path]:
    if (folder / WEIGHTS).is_file():
        return [folder / WEIGHTS]
    shards: list[str] = []
    if (folder / SHARDS).is_file():
        named = section(read_object(folder / SHARDS), "weight_map", folder / SHARDS)
        shards = sorted({text(named, array, folder / SHARDS) for array in named})
    missing = [name for name in shards if Path(name).name != name or not (folder / name).is_file()]
    if missing or not shards:
        raise UnsupportedModel(
            f"The folder {folder} lacks {', '.join(missing) or WEIGHTS}. Weights are read from safetensors only, never "
            "from a pickle: save the model again with save_pretrained, or download what is missing."
        )
    return [folder / name for name in shards]


def _arrays(folder: Path) -> Iterator[tuple[Path, str, NDArray[Any]]]:
    """The file, the name in transformers and the numbers of each array."""
    for path in _weight_files(folder):
        file = TensorFile(path)
        for name in file.names:
            if not name.endswith(_PASSED_OVER):
                yield path, name, file.array(name)


def _tensor(array: NDArray[Any], name: str, path: Path) -> Tensor:
    if array.dtype.kind != "f":
        raise UnsupportedModel(f"{path} has {name!r} packed as {array.dtype}; name a folder with plain weights.")
    packing, dtype = ("F32", np.float32) if array.ndim < 2 else ("F16", np.float16)
    # Turned round, so that a number that is none is refused too.
    if not np.abs(array).max(initial=0.0) <= np.finfo(dtype).max:
        raise UnsupportedModel(
            f"{path} has numbers in {name!r} that are none, or that {packing} cannot hold. Name a GGUF file of it, or "
            "download it again."
        )
    return Tensor(packing, np.ascontiguousarray(array, dtype))
