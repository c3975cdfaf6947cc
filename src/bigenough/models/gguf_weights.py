# SPDX-License-Identifier: Apache-2.0
"""A language model's weights out of a GGUF file and back into one, with everything else in the file as it was.

It decides what each matrix is called in transformers, and in which order its rows lie there. It refuses models whose
layout it does not know: a wrong order of rows gives a model that runs and talks nonsense.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from bigenough.errors import MissingExtra, UnsupportedModel, WeightsNotFound

__all__ = ["Field", "GgufModel", "Packing", "Tensor", "name_in_file", "read_gguf", "write_gguf"]

Packing = Literal["F16", "Q8_0", "Q4_1", "Q4_0"]
"""How a matrix may be written: ggml's block formats of 16, 8.5, 5 and 4.5 bits a number."""

ARCHITECTURES = ("llama", "qwen2", "qwen3")
"""Those whose tensors are mapped below. Mistral and SmolLM files call themselves llama."""
_FILE_TYPES: Mapping[Packing, int] = {"F16": 1, "Q4_0": 2, "Q4_1": 3, "Q8_0": 7}
"""``general.file_type`` (llama.h, ``llama_ftype``)."""
_WHOLE = {"token_embd": "model.embed_tokens", "output_norm": "model.norm", "output": "lm_head"}
_IN_LAYER = {
    "attn_norm": "input_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "attn_q_norm": "self_attn.q_norm",
    "attn_k_norm": "self_attn.k_norm",
    "ffn_norm": "post_attention_layernorm",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}
_WORDS = ("token_embd.weight", "output.weight")
"""Matrices with a row for each token, which llama.cpp's own recipes keep at six bits or more."""


class Field(NamedTuple):
    """One entry of the file's metadata, with the codes of its type and, in a list, of its items' type."""

    value: Any
    kind: int
    items: int | None


class Tensor(NamedTuple):
    """One tensor as it lies in the file.

    Attributes:
        packing: the name of its ggml format.
        data: its bytes, a row of the matrix in each row; float32 or float16 where it is not quantised.
    """

    packing: str
    data: NDArray[Any]


@dataclass(frozen=True, eq=False)
class GgufModel:
    """What a GGUF file holds.

    Attributes:
        path: the file. The tensors are read from it when they are used, so it must stay.
        fields: its metadata by key, in the file's order.
        tensors: by the name they have in the file, in its order.
    """

    path: Path
    fields: Mapping[str, Field]
    tensors: Mapping[str, Tensor]

    @property
    def architecture(self) -> str:
        """What the file calls its kind of model."""
        return str(self.fields["general.architecture"].value)

    def fact(self, name: str, default: Any = None) -> Any:
        """A fact of the architecture, as in ``fact("block_count")``; the default when the file does not state it."""
        field = self.fields.get(f"{self.architecture}.{name}")
        return default if field is None else field.value

    @cached_property
    def names(self) -> Mapping[str, str]:
        """From each tensor's name in transformers to that in the file.

        Raises:
            UnsupportedModel: the architecture, or one of the tensors, is not known.
        """
        if self.architecture not in ARCHITECTURES:
            raise UnsupportedModel(
                f"{self.path} holds a model of architecture {self.architecture!r}. Weights can be read for training "
                f"from {', '.join(ARCHITECTURES)} files only. Name another GGUF file."
            )
        return {_name_in_transformers(name, self.path): name for name in self.tensors}

    def array(self, name: str) -> NDArray[np.float32]:
        """The float32 numbers of a tensor, by its name in transformers and in the order of rows that it has there."""
        packed = self.names[name]
        return self._rows_apart(packed, _unpacked(self.tensors[packed], packed, self.path))

    def arrays(self) -> Iterator[tuple[str, NDArray[np.float32]]]:
        """All of them, one after the other."""
        return ((name, self.array(name)) for name in self.names)

    def in_file_order(self, changed: Mapping[str, NDArray[np.float32]]) -> dict[str, NDArray[np.float32]]:
        """Arrays of transformers under the names, and with the order of rows, of the file."""
        return {self.names[name]: self.rows_together(self.names[name], array) for name, array in changed.items()}

    def rows_together(self, name: str, array: NDArray[Any]) -> NDArray[Any]:
        """An array of transformers in the order of rows that the file has it in; ``name`` is the file's."""
        heads = self._rotated_heads(name)
        return array if heads is None else _halves_together(array, heads)

    def _rows_apart(self, name: str, array: NDArray[np.float32]) -> NDArray[np.float32]:
        heads = self._rotated_heads(name)
        return array if heads is None else _halves_apart(array, heads)

    def _rotated_heads(self, name: str) -> int | None:
        """How many heads the rows of a matrix make whose order differs; None for all others.

        A rotary embedding turns pairs of numbers. llama files have the two of a pair beside each other, transformers
        has all first ones of a head before all second ones; files of later architectures do as transformers.
        """
        if self.architecture != "llama":
            return None
        if ".attn_q." in name:
            return int(self.fact("attention.head_count"))
        if ".attn_k." in name:
            return int(self.fact("attention.head_count_kv", self.fact("attention.head_count")))
        return None


def read_gguf(path: Path) -> GgufModel:
    """The metadata and tensors of a GGUF file; the tensors stay on disk until they are used.

    Raises:
        WeightsNotFound: there is no such file.
        UnsupportedModel: it is no GGUF file, or a damaged one.
        MissingExtra: the package gguf is not installed.
    """
    if not path.is_file():
        raise WeightsNotFound(f"There is no file {path}. Expected a GGUF file with a language model.")
    reader_of = _gguf().GGUFReader
    try:
        reader = reader_of(path)
        fields = {
            name: Field(field.contents(), int(field.types[0]), int(field.types[-1]) if len(field.types) > 1 else None)
            for name, field in reader.fields.items()
            if not name.startswith("GGUF.")
        }
        tensors = {tensor.name: Tensor(tensor.tensor_type.name, tensor.data) for tensor in reader.tensors}
    except (ValueError, IndexError, KeyError, OverflowError, struct.error) as error:
        raise UnsupportedModel(
            f"{path} is no GGUF file that can be read ({error}). Copy or download it again: it may have been cut short."
        ) from error
    if "general.architecture" not in fields:
        raise UnsupportedModel(f"{path} does not say which architecture it is of. Name another GGUF file.")
    return GgufModel(path, fields, tensors)


def write_gguf(path: Path, source: GgufModel, changed: Mapping[str, NDArray[np.float32]], packing: Packing) -> None:
    """Write a GGUF file like the source, with other numbers in some of its tensors.

    Matrices are packed as said; those of the tokens take 8 bits at least. What was not changed and is as narrow already
    keeps its very bytes, and what was no matrix stays float32. A matrix whose rows do not fill whole blocks takes 16
    bits. The same input gives the same bytes.

    Args:
        path: where to; a kill while it is written leaves half a file there.
        source: the file that gives everything else: names, tokenizer, chat template.
        changed: float32 arrays by their names in transformers, of the shapes they had.
        packing: of the matrices.
    """
    gguf = _gguf()
    new = source.in_file_order(changed)
    writer = gguf.GGUFWriter(path, source.architecture)
    try:
        _fill(writer, source, new, packing)
    finally:
        writer.close()


def _fill(writer: Any, source: GgufModel, new: Mapping[str, NDArray[np.float32]], packing: Packing) -> None:
    """The metadata and tensors of ``write_gguf``; ``new`` has the file's names and order of rows."""
    gguf = _gguf()
    if "general.alignment" in source.fields:
        writer.data_alignment = int(source.fields["general.alignment"].value)
    for key, field in source.fields.items():
        kind = gguf.GGUFValueType(field.kind)
        if key == "general.file_type":
            writer.add_key_value(key, _FILE_TYPES[packing], kind)
        elif key != "general.architecture" and not (field.items is not None and not len(field.value)):
            writer.add_key_value(
                key, field.value, kind, None if field.items is None else gguf.GGUFValueType(field.items)
            )
    for name, tensor in source.tensors.items():
        packed = _repacked(name, tensor, new.get(name), packing, source.path)
        writer.add_tensor(name, packed.data, raw_dtype=gguf.GGMLQuantizationType[packed.packing])
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()


def _repacked(name: str, tensor: Tensor, new: NDArray[np.float32] | None, packing: Packing, path: Path) -> Tensor:
    """A tensor as it will be written."""
    wanted: str = "Q8_0" if name in _WORDS and packing != "F16" else packing
    if tensor.data.ndim < 2:
        return tensor if new is None else Tensor("F32", new.astype(np.float32))
    if new is None and _bits(tensor.packing) <= _bits(wanted):
        return tensor
    array = _unpacked(tensor, name, path) if new is None else new
    types = _gguf().GGMLQuantizationType
    if array.shape[-1] % _gguf().GGML_QUANT_SIZES[types[wanted]][0]:
        wanted = "F16"
    return Tensor(wanted, _gguf().quants.quantize(np.ascontiguousarray(array), types[wanted]))


def _unpacked(tensor: Tensor, name: str, path: Path) -> NDArray[np.float32]:
    try:
        found = _gguf().quants.dequantize(tensor.data, _gguf().GGMLQuantizationType[tensor.packing])
    except NotImplementedError as error:
        raise UnsupportedModel(
            f"The tensor {name} of {path} is packed as {tensor.packing}, which cannot be unpacked for training. "
            "Name the same model as Q8_0, Q4_1, Q4_K or F16."
        ) from error
    array: NDArray[np.float32] = np.asarray(found, dtype=np.float32)
    return array


def _bits(packing: str) -> float:
    """Bits a number."""
    numbers, size = _gguf().GGML_QUANT_SIZES[_gguf().GGMLQuantizationType[packing]]
    return 8 * float(size) / float(numbers)


def name_in_file(name: str) -> str | None:
    """What a GGUF file calls an array of transformers; None for one that is not known here.

    >>> name_in_file("model.layers.7.self_attn.q_proj.weight"), name_in_file("model.layers.7.mlp.router.weight")
    ('blk.7.attn_q.weight', None)
    """
    stem, _, ending = name.rpartition(".")
    if stem in (whole := {theirs: ours for ours, theirs in _WHOLE.items()}):
        return f"{whole[stem]}.{ending}"
    parts = stem.split(".", 3)
    inner = {theirs: ours for ours, theirs in _IN_LAYER.items()}
    if parts[:2] == ["model", "layers"] and parts[-1] in inner and ending in ("weight", "bias"):
        return f"blk.{parts[2]}.{inner[parts[3]]}.{ending}"
    return None


def _name_in_transformers(name: str, path: Path) -> str:
    stem, _, ending = name.rpartition(".")
    if ending in ("weight", "bias"):
        if stem in _WHOLE:
            return f"{_WHOLE[stem]}.{ending}"
        parts = stem.split(".")
        if len(parts) == 3 and parts[0] == "blk" and parts[1].isdigit() and parts[2] in _IN_LAYER:
            return f"model.layers.{parts[1]}.{_IN_LAYER[parts[2]]}.{ending}"
    raise UnsupportedModel(
        f"{path} has a tensor {name!r}, of which it is not known what training has to do with it. Name another GGUF "
        f"file: a plain {' or '.join(ARCHITECTURES)} model without experts, fused matrices or stretched context."
    )


def _halves_apart(array: NDArray[np.float32], heads: int) -> NDArray[np.float32]:
    """Rows of each head from pairs side by side to all first ones before all second ones.

    >>> _halves_apart(np.arange(8, dtype=np.float32), 2).tolist()
    [0.0, 2.0, 1.0, 3.0, 4.0, 6.0, 5.0, 7.0]
    """
    pairs = array.reshape(heads, len(array) // heads // 2, 2, *array.shape[1:])
    return pairs.swapaxes(1, 2).reshape(array.shape)


def _halves_together(array: NDArray[Any], heads: int) -> NDArray[Any]:
    """The way back.

    >>> _halves_together(np.array([0, 2, 1, 3], np.float32), 1).tolist()
    [0.0, 1.0, 2.0, 3.0]
    """
    halves = array.reshape(heads, 2, len(array) // heads // 2, *array.shape[1:])
    return halves.swapaxes(1, 2).reshape(array.shape)


def _gguf() -> Any:
    try:
        import gguf
        import gguf.quants
    except ImportError as error:
        raise MissingExtra("Reading and writing GGUF files", "gguf", "pip install 'bigenough[llm]'") from error
    return gguf
