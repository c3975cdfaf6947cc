# SPDX-License-Identifier: Apache-2.0
"""An encoder's graph whose matrix products run on whole numbers of 8 or 4 bits.

The graph is built from the arrays and not by ``onnxruntime.quantization``, whose tools know the fused operators in part
only (they stop at the type of an Attention's result, and leave the word vectors in 32 bits), and whose operators these
are: DynamicQuantizeMatMul, QuantizeLinear with MatMulIntegerToFloat, MatMulNBits. Norms, softmax and pooling stay in
32 bits. Which way is good enough is not decided here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from bigenough.models.bert import BertModel, Layer
from bigenough.models.graph import FUSED, EncoderGraph
from bigenough.models.word_table import WordTable

__all__ = ["Way", "int8_graph", "whole_numbers"]

Array = NDArray[np.float32]
Kind = Literal["dynamic", "static", "blocks"]

BLOCK = 64
"""Weights of a column that share a scale: at 128 onnxruntime's results differ between one row and several."""


@dataclass(frozen=True)
class Way:
    """How products are computed.

    Attributes:
        kind: ``dynamic`` measures the range of the values in each product while it runs, over all rows of a batch, so
            that texts must be run alone; ``static`` has ranges that were measured before; ``blocks`` measures each row
            of values by itself and gives each 64 weights of a column a scale.
        by_column: dynamic and static: a scale for each column of a weight matrix, or one for all of it.
        bits: of the weights; 4 for blocks only, 7 for the others only.
        ranges: static: the least and the largest value of what goes into a product, by its name.
        evened: dynamic and static: (in,) what a product's values are divided by and the rows of its weights multiplied
            with, by its name; a product that is not there is left as it is.
    """

    kind: Kind
    by_column: bool = True
    bits: Literal[4, 7, 8] = 8
    ranges: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    evened: Mapping[str, Array] = field(default_factory=dict)

    @property
    def alone(self) -> bool:
        """Whether a row's result depends on the rows that run with it."""
        return self.kind == "dynamic"


def int8_graph(model: BertModel, table: WordTable | None, way: Way) -> bytes:
    """The serialised graph, with inputs and output as ``encoder_graph`` has them. The same arrays, the same bytes."""
    return _Int8Graph(model, table, way).bytes()


def whole_numbers(weight: Array, *, by_column: bool, most: int = 127) -> tuple[NDArray[np.int8], Array]:
    """(in, out) whole numbers from −most to most, and the (out,) scales, or the () scale, that give the weights back.

    >>> codes, scale = whole_numbers(np.array([[1.0, 2.0], [-0.5, 4.0]]), by_column=True)
    >>> codes.tolist(), (scale * 127).round(3).tolist()
    ([[127, 64], [-64, 127]], [1.0, 4.0])
    """
    largest = np.abs(weight).max(axis=0 if by_column else None)
    scale = np.maximum(largest / most, 1e-12).astype(np.float32)
    return np.rint(weight / scale).astype(np.int8), scale


class _Int8Graph(EncoderGraph):
    """The graph with other products; attention's own matrix is one of them, its softmax a fused operator."""

    def __init__(self, model: BertModel, table: WordTable | None, way: Way) -> None:
        super().__init__(model, table)
        self.way = way

    def attend(self, tokens: str, layer: Layer, at: str) -> str:
        from onnx import helper

        qkv = self.product(tokens, layer.qkv, f"{at}.qkv", f"{at}.projected")
        third = layer.qkv.shape[1] // 3
        parts = [f"{at}.{part}" for part in ("query", "key", "value")]
        sizes = self.array(f"{at}.thirds", np.array([third] * 3, dtype=np.int64))
        self.nodes.append(helper.make_node("Split", [qkv, sizes], parts, name=f"{at}.split", axis=2))
        bias = self.array(f"{at}.qkv_bias", layer.qkv_bias)
        return self.node(
            "MultiHeadAttention", [*parts, bias, "attention_mask"], f"{at}.attention", domain=FUSED,
            num_heads=self.heads(layer),
        )  # fmt: skip

    def product(self, value: str, weight: Array, weight_name: str, name: str) -> str:
        if self.way.kind == "blocks":
            return self._blocks(value, weight, weight_name, name)
        if name in self.way.evened:
            evened = self.way.evened[name]
            weight = weight * evened[:, None]
            value = self.node("Mul", [value, self.array(f"{name}.evened_by", 1 / evened)], f"{name}.evened")
        codes, scale = whole_numbers(weight, by_column=self.way.by_column, most=2 ** (self.way.bits - 1) - 1)
        arrays = [self.array(weight_name, codes), self.array(f"{weight_name}.scale", scale)]
        if self.way.kind == "dynamic":
            return self.node("DynamicQuantizeMatMul", [value, *arrays], name, domain=FUSED)
        low, high = self.way.ranges[name]
        step = max((high - low) / 255, 1e-12)
        zero = np.array(np.clip(np.rint(-low / step), 0, 255), dtype=np.uint8)
        scale_name = self.array(f"{name}.step", np.array(step, dtype=np.float32))
        zero_name = self.array(f"{name}.zero", zero)
        rounded = self.node("QuantizeLinear", [value, scale_name, zero_name], f"{name}.rounded")
        inputs = [rounded, arrays[0], scale_name, arrays[1], zero_name]
        return self.node("MatMulIntegerToFloat", inputs, name, domain=FUSED)

    def _blocks(self, value: str, weight: Array, weight_name: str, name: str) -> str:
        # The last block of a column is filled up with zeros.
        inputs, columns = weight.shape
        blocks = -(-inputs // BLOCK)
        wide = np.zeros((columns, blocks * BLOCK), dtype=np.float32)
        wide[:, :inputs] = weight.T
        wide = wide.reshape(columns, blocks, BLOCK)
        most = 2 ** (self.way.bits - 1) - 1
        scale = np.maximum(np.abs(wide).max(axis=2) / most, 1e-12).astype(np.float32)
        codes = (np.rint(wide / scale[:, :, None]) + most + 1).astype(np.uint8)
        if self.way.bits == 4:
            codes = codes[:, :, ::2] | (codes[:, :, 1::2] << 4)
        arrays = [self.array(weight_name, codes), self.array(f"{weight_name}.scale", scale)]
        return self.node(
            "MatMulNBits", [value, *arrays], name, domain=FUSED, K=inputs, N=columns, bits=self.way.bits,
            block_size=BLOCK, accuracy_level=4,
        )  # fmt: skip
