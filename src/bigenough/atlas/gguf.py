# SPDX-License-Identifier: Apache-2.0
"""How large a GGUF file is: the block formats of ggml, and the recipes that choose one for each tensor.

A recipe such as Q4_K_M is no width: it keeps the output matrix, and some of the value and down projections, wider.
Here the choice is made tensor by tensor as llama.cpp makes it (``src/llama-quant.cpp``,
``llama_tensor_get_type_impl``), so a file's size follows from the model's shape. Recipes below 3.1 bits are taken with
an importance matrix, as llama.cpp demands, the others without. Not modelled: fused query-key-value tensors.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from types import MappingProxyType
from typing import NamedTuple

from bigenough.atlas.shape import Shape, parameters
from bigenough.errors import BadOption
from bigenough.quantity.range import Range, exact

__all__ = ["BLOCK_BITS", "RECIPES", "Recipe", "file_bits", "mixture_bits"]

# bits per weight of a block with its scales: 8 × bytes of the struct / weights in it (ggml-common.h)
BLOCK_BITS = MappingProxyType(
    {
        "F32": 32.0, "F16": 16.0, "BF16": 16.0,
        "Q4_0": 8 * 18 / 32, "Q4_1": 8 * 20 / 32, "Q5_0": 8 * 22 / 32, "Q5_1": 8 * 24 / 32, "Q8_0": 8 * 34 / 32,
        "Q2_K": 8 * 84 / 256, "Q3_K": 8 * 110 / 256, "Q4_K": 8 * 144 / 256,
        "Q5_K": 8 * 176 / 256, "Q6_K": 8 * 210 / 256,
        "IQ1_S": 8 * 50 / 256, "IQ1_M": 8 * 56 / 256, "IQ2_XXS": 8 * 66 / 256, "IQ2_XS": 8 * 74 / 256,
        "IQ2_S": 8 * 82 / 256,
        "IQ3_XXS": 8 * 98 / 256, "IQ3_S": 8 * 110 / 256, "IQ4_XS": 8 * 136 / 256, "IQ4_NL": 8 * 18 / 32,
    }
)  # fmt: skip
_LONG_BLOCKS = frozenset(name for name in BLOCK_BITS if name.endswith("_K") or name.startswith("IQ")) - {"IQ4_NL"}
_NARROW_FALLBACK = MappingProxyType({"Q2_K": "Q4_0", "Q3_K": "Q4_0", "Q4_K": "Q5_0", "Q5_K": "Q5_1", "Q6_K": "Q8_0"})


@dataclass(frozen=True)
class Recipe:
    """One way to quantise a whole model.

    Attributes:
        name: as llama.cpp calls it.
        base: the block format of tensors without a rule of their own.
    """

    name: str
    base: str

    @property
    def base_bits(self) -> float:
        """Bits per weight of the base format."""
        return BLOCK_BITS[self.base]


RECIPES = MappingProxyType(
    {
        name: Recipe(name, base)
        for name, base in {
            **{name: name for name in ("F32", "F16", "BF16", "Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0", "Q2_K", "Q6_K")},
            **{f"Q{n}_K_{size}": f"Q{n}_K" for n in (3, 4, 5) for size in ("S", "M")},
            "Q2_K_S": "Q2_K", "Q3_K_L": "Q3_K",
            **{name: name for name in ("IQ1_S", "IQ1_M", "IQ2_XXS", "IQ2_XS", "IQ3_XXS", "IQ3_S", "IQ4_XS", "IQ4_NL")},
            "IQ2_S": "IQ2_XS", "IQ2_M": "IQ2_S", "IQ3_XS": "IQ3_S", "IQ3_M": "IQ3_S",
        }.items()
    }
)  # fmt: skip
_TINY = frozenset({"IQ2_XXS", "IQ2_XS", "IQ2_S", "IQ2_M", "IQ1_S", "IQ1_M"})
_SOURCE = "llama.cpp src/llama-quant.cpp and ggml-common.h, tensor by tensor"

# three sizes that stand for all when a shape is not known: tied and small, usual, large
_STAND_INS = (
    Shape(layers=16, hidden=2048, heads=32, kv_heads=8, ffn=8192, vocab=128256, tied=True),
    Shape(layers=32, hidden=4096, heads=32, kv_heads=8, ffn=14336, vocab=128256),
    Shape(layers=80, hidden=8192, heads=64, kv_heads=8, ffn=28672, vocab=32000),
)


class _Tensor(NamedTuple):
    role: str
    columns: int
    weights: int
    layer: int


def file_bits(recipe: str, shape: Shape | None = None) -> Range:
    """Average bits per weight of a GGUF file; a range over small and large models when the shape is not known.

    >>> round(file_bits("Q4_K_M", _STAND_INS[1]).mid, 2)
    4.89
    """
    if recipe not in RECIPES:
        from bigenough.atlas.names import nearest

        raise BadOption(f"{recipe!r} is no GGUF recipe. {nearest(recipe, RECIPES)}")
    name = f"bits per weight, {recipe}"
    if shape is not None:
        return exact(mixture_bits(recipe, shape), "bit/param", name, _SOURCE, provenance="modelled")
    widths = [mixture_bits(recipe, one) for one in _STAND_INS]
    return Range(
        min(widths), widths[1], max(widths), "bit/param", name=name, source=f"{_SOURCE}; for three usual shapes"
    )


@lru_cache(maxsize=256)
def mixture_bits(recipe: str, shape: Shape) -> float:
    """Average bits per weight of a recipe applied to a shape."""
    bits = seen = 0.0
    for tensor in _tensors(shape):
        bits += tensor.weights * BLOCK_BITS[_format(recipe, tensor, shape)]
        seen += tensor.weights
    left = parameters(shape).total - seen  # norms, biases, learned positions and routers stay in 32 bits
    return (bits + left * 32.0) / (seen + left)


def _tensors(shape: Shape) -> Iterator[_Tensor]:
    hidden, queries, keys = shape.hidden, shape.heads * shape.head_dim, shape.kv_heads * shape.head_dim
    yield _Tensor("embedding", hidden, shape.vocab * hidden, 0)
    if not shape.tied and shape.output_head:
        yield _Tensor("output", hidden, shape.vocab * hidden, 0)
    experts = shape.experts
    for layer in range(shape.layers):
        if shape.latent is None:
            yield _Tensor("query", hidden, hidden * queries, layer)
            yield _Tensor("key", hidden, hidden * keys, layer)
            yield _Tensor("value", hidden, hidden * keys, layer)
            yield _Tensor("attention output", queries, hidden * queries, layer)
        else:
            yield from _latent_tensors(shape, layer)
        mixed = experts is not None and layer >= experts.dense_layers
        copies, inner = (experts.count + experts.shared, experts.ffn) if mixed and experts else (1, shape.ffn)
        yield _Tensor("up", hidden, copies * hidden * inner, layer)
        if shape.gated:
            yield _Tensor("gate", hidden, copies * hidden * inner, layer)
        yield _Tensor("down", inner, copies * hidden * inner, layer)


def _latent_tensors(shape: Shape, layer: int) -> Iterator[_Tensor]:
    latent = shape.latent
    if latent is None:
        return
    hidden, heads = shape.hidden, shape.heads
    width = latent.q_rank or hidden
    if latent.q_rank:
        yield _Tensor("other", hidden, hidden * latent.q_rank, layer)
    yield _Tensor("other", width, width * heads * (latent.nope + latent.rope), layer)
    yield _Tensor("other", hidden, hidden * (latent.kv_rank + latent.rope), layer)
    yield _Tensor("value", latent.kv_rank, latent.kv_rank * heads * (latent.nope + latent.value), layer)
    yield _Tensor("attention output", heads * latent.value, hidden * heads * latent.value, layer)


def _format(recipe: str, tensor: _Tensor, shape: Shape) -> str:
    """The block format of one tensor."""
    base = RECIPES[recipe].base
    if base in ("F32", "F16", "BF16"):
        return base
    is_output = tensor.role == "output" or (tensor.role == "embedding" and shape.tied)
    chosen = (
        _output_format(recipe, base, tensor)
        if is_output
        else _RULES.get(tensor.role, _base)(recipe, base, tensor, shape)
    )
    if chosen in _LONG_BLOCKS and tensor.columns % 256:
        chosen = _NARROW_FALLBACK.get(chosen, "IQ4_NL")
    return "F16" if tensor.columns % 32 else chosen


def _base(recipe: str, base: str, tensor: _Tensor, shape: Shape) -> str:
    return base


def _output_format(recipe: str, base: str, tensor: _Tensor) -> str:
    if base == "Q8_0" or (base in _LONG_BLOCKS and tensor.columns % 256):
        return "Q8_0"
    return "Q5_K" if recipe in _TINY or recipe == "IQ3_XXS" else "Q6_K"


def _embedding_format(recipe: str, base: str, tensor: _Tensor, shape: Shape) -> str:
    if recipe in ("IQ2_XXS", "IQ2_XS", "IQ1_S", "IQ1_M"):
        return "Q2_K"
    return "IQ3_S" if recipe in ("IQ2_S", "IQ2_M", "IQ3_XXS") else base


def _value_format(recipe: str, base: str, tensor: _Tensor, shape: Shape) -> str:
    grouped, eight = shape.heads // shape.kv_heads >= 4, _eight_experts(shape)
    if recipe in _TINY:
        if grouped or (shape.experts and shape.experts.count >= 4):
            return "Q4_K"
        return "IQ3_S" if recipe in ("IQ2_S", "IQ2_M") else "Q2_K"
    if eight:
        return "Q8_0"
    chosen = base
    if recipe == "Q2_K":
        chosen = "Q4_K" if grouped else "Q3_K"
    elif recipe == "IQ3_XXS":
        chosen = "Q4_K" if grouped else base
    elif recipe == "IQ3_M" or (recipe in ("Q2_K_S", "IQ3_XS", "IQ3_S") and grouped):
        chosen = "Q4_K"
    elif recipe == "Q3_K_M":
        chosen = "Q5_K" if tensor.layer < 2 else "Q4_K"
    elif (
        recipe == "Q3_K_L" or (recipe in ("IQ4_NL", "IQ4_XS") and grouped) or (recipe == "Q4_K_S" and tensor.layer < 4)
    ):
        chosen = "Q5_K"
    elif recipe in ("Q4_K_M", "Q5_K_M") and _more_bits(tensor.layer, shape.layers):
        chosen = "Q6_K"
    # llama.cpp calls a model of 80 layers and eight queries a key "70B", and widens its small value matrices
    is_70b = shape.layers == 80 and shape.heads // shape.kv_heads == 8
    return "Q5_K" if is_70b and chosen in ("Q3_K", "Q4_K") else chosen


def _key_format(recipe: str, base: str, tensor: _Tensor, shape: Shape) -> str:
    if _eight_experts(shape):
        return "Q4_K" if recipe in _TINY else "Q8_0"
    return _query_format(recipe, base, tensor, shape)


def _query_format(recipe: str, base: str, tensor: _Tensor, shape: Shape) -> str:
    return {"IQ3_XS": "IQ3_XXS", "IQ3_XXS": "IQ2_S"}.get(recipe, base)


def _attention_output_format(recipe: str, base: str, tensor: _Tensor, shape: Shape) -> str:
    if _eight_experts(shape):
        wide = {
            "Q2_K",
            "IQ3_XS",
            "IQ3_XXS",
            "Q3_K_S",
            "Q3_K_M",
            "IQ4_NL",
            "Q4_K_S",
            "Q4_K_M",
            "IQ3_S",
            "IQ3_M",
            "IQ4_XS",
        }
        return "Q5_K" if recipe in wide or recipe in _TINY else base
    chosen = {
        "IQ1_S": "IQ2_XXS",
        "IQ1_M": "IQ2_XXS",
        "IQ2_S": "IQ3_S",
        "IQ2_M": "IQ3_S",
        "Q2_K": "Q3_K",
        "IQ3_XXS": "IQ3_S",
    }
    chosen |= {"Q3_K_M": "Q4_K", "Q3_K_L": "Q5_K", "IQ3_M": "Q4_K"}
    return chosen.get(recipe, base)


def _down_format(recipe: str, base: str, tensor: _Tensor, shape: Shape) -> str:
    early = tensor.layer < shape.layers // 8
    if recipe in _TINY:
        return ("IQ3_S" if recipe in ("IQ2_S", "IQ2_M") else "Q2_K") if early else base
    fixed = {"Q2_K": "Q3_K", "Q3_K_L": "Q5_K"}
    if recipe in fixed:
        return fixed[recipe]
    if recipe == "Q3_K_M":
        return "Q5_K" if tensor.layer < shape.layers // 16 else "Q4_K"
    if recipe in ("Q4_K_M", "Q5_K_M"):
        return "Q6_K" if _more_bits(tensor.layer, shape.layers) else base
    if early:
        widened = {"Q2_K_S": "Q4_K", "IQ3_M": "Q4_K", "IQ4_NL": "Q5_K", "IQ4_XS": "Q5_K", "Q4_K_S": "Q5_K"}
        return widened.get(recipe, base)
    return base


def _gate_or_up_format(recipe: str, base: str, tensor: _Tensor, shape: Shape) -> str:
    middle = shape.layers // 8 <= tensor.layer < 7 * shape.layers // 8
    return "IQ3_XXS" if recipe == "IQ3_XS" and middle else base


def _more_bits(layer: int, layers: int) -> bool:
    return layer < layers // 8 or layer >= 7 * layers // 8 or (layer - layers // 8) % 3 == 2


def _eight_experts(shape: Shape) -> bool:
    return shape.experts is not None and shape.experts.count == 8


_RULES = MappingProxyType(
    {
        "embedding": _embedding_format, "value": _value_format, "key": _key_format, "query": _query_format,
        "attention output": _attention_output_format, "down": _down_format, "up": _gate_or_up_format,
        "gate": _gate_or_up_format,
    }
)  # fmt: skip
