# SPDX-License-Identifier: Apache-2.0
"""How many bits a weight takes, nominally and in a file.

A nominal width is not what a file holds: block formats add scales, and recipes keep some tensors wider. NF4's scales:
Dettmers et al. 2023 (arXiv:2305.14314, section 3). GGUF recipes are computed tensor by tensor in
``bigenough.atlas.gguf``.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from types import MappingProxyType

from bigenough.atlas.gguf import RECIPES, file_bits
from bigenough.atlas.names import nearest
from bigenough.atlas.shape import Shape
from bigenough.errors import BadOption
from bigenough.quantity.range import Range, between, exact

__all__ = ["Precision", "nf4_bits", "precision"]


@dataclass(frozen=True)
class Precision:
    """One way to hold weights.

    Attributes:
        name: as users write it.
        bits: per weight, of the matrices inside the blocks.
        table_bits: per weight of the tables of tokens, which many recipes leave at 16.
        source: who says so.
        recipe: whether it is a GGUF recipe whose width depends on the shape.
    """

    name: str
    bits: float
    table_bits: float
    source: str
    recipe: bool = False

    def bits_per_weight(self, shape: Shape | None = None) -> Range:
        """The average over the whole model, as a range where the shape is not known."""
        if self.recipe:
            return file_bits(self.name, shape)
        if shape is None or self.bits == self.table_bits:
            return exact(self.bits, "bit/param", f"bits per weight, {self.name}", self.source)
        from bigenough.atlas.shape import parameters

        count = parameters(shape)
        share = count.embedding / count.total
        mixed = self.bits * (1 - share) + self.table_bits * share
        return between(self.bits, mixed, "bit/param", f"bits per weight, {self.name}", self.source, mid=mixed)


def nf4_bits(block: int = 64, second_block: int = 256, *, double: bool = True) -> float:
    """Bits per weight of 4-bit NormalFloat: 4 + 32/64, or 4 + 8/64 + 32/(64·256) with quantised scales.

    >>> round(nf4_bits(double=False) - nf4_bits(), 3)
    0.373
    """
    return 4 + (8 / block + 32 / (block * second_block) if double else 32 / block)


_GROUPS = (
    "integers with one 16-bit scale and one zero in 128 weights (Frantar et al. 2022, "
    "arXiv:2210.17323; AWQ, arXiv:2306.00978)"
)
_PLAIN = MappingProxyType(
    {
        "fp32": Precision("fp32", 32, 32, "IEEE 754"),
        "fp16": Precision("fp16", 16, 16, "IEEE 754"),
        "bf16": Precision("bf16", 16, 16, "arXiv:1905.12322"),
        "fp8": Precision("fp8", 8, 16, "arXiv:2209.05433; tables stay at 16 bits"),
        "int8": Precision(
            "int8", 8, 16, "Dettmers et al. 2022, arXiv:2208.07339: the matrices of the blocks; tables stay at 16 bits"
        ),
        "int4": Precision(
            "int4", 4, 16, "the matrices of the blocks at 4 bits, scales not counted; tables stay at 16 bits"
        ),
        "int3": Precision(
            "int3", 3, 16, "the matrices of the blocks at 3 bits, scales not counted; tables stay at 16 bits"
        ),
        "int2": Precision(
            "int2", 2, 16, "the matrices of the blocks at 2 bits, scales not counted; tables stay at 16 bits"
        ),
        "gptq-4": Precision("gptq-4", 4 + 20 / 128, 16, _GROUPS),
        "gptq-3": Precision("gptq-3", 3 + 19 / 128, 16, _GROUPS),
        "awq": Precision("awq", 4 + 20 / 128, 16, _GROUPS),
        "nf4": Precision(
            "nf4", nf4_bits(), 16, "arXiv:2305.14314 section 3, double quantisation; tables stay at 16 bits"
        ),
        "mxfp4": Precision(
            "mxfp4", 4.25, 16, "OCP Microscaling Formats 1.0: 8-bit scale in 32; tables stay at 16 bits"
        ),
    }
)
_ALIASES = MappingProxyType(
    {
        "float32": "fp32",
        "f32": "fp32",
        "32": "fp32",
        "float16": "fp16",
        "half": "fp16",
        "f16": "fp16",
        "16": "fp16",
        "bfloat16": "bf16",
        "8": "int8",
        "4": "int4",
        "3": "int3",
        "2": "int2",
        "q8": "Q8_0",
        "q4": "Q4_K_M",
        "fp4": "mxfp4",
        "gptq": "gptq-4",
    }
)


def precision(text: str | float) -> Precision:
    """The way to hold weights that a user named: ``fp16``, ``int8``, ``nf4``, ``q4_k_m``, or a number of bits.

    >>> precision("8-bit").name, precision("q4_k_m").name
    ('int8', 'Q4_K_M')
    """
    key = re.sub(r"\.0+$", "", re.sub(r"\s+|-?bits?$", "", str(text).strip().lower()))
    key = _ALIASES.get(key, key)
    if key in _PLAIN:
        return _PLAIN[key]
    recipe = next((name for name in RECIPES if name.lower() == key.lower()), None)
    if recipe:
        return Precision(recipe, RECIPES[recipe].base_bits, RECIPES[recipe].base_bits, "llama.cpp", recipe=True)
    try:
        bits = float(key)
    except ValueError:
        known = [*_PLAIN, *RECIPES]
        raise BadOption(f"{str(text)!r} is no precision that the planner knows. {nearest(str(text), known)}") from None
    if not 1 <= bits <= 64:
        raise BadOption(f"{bits:g} bits per weight: expected 1 to 64, such as 16, 8 or 4.")
    return Precision(f"{bits:g} bits", bits, bits, "given")
