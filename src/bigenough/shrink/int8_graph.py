# SPDX-License-Identifier: Apache-2.0
"""An encoder's graph whose matrix products run on whole numbers of 8 or 4 bits.

The graph is built from the arrays and not by ``onnxruntime.quantization``, whose tools know the fused operators in part
only (they stop at the type of an Attention's result, and leave the word vectors in 32 bits), and whose operators these
are: DynamicQuantizeMatMul, QuantizeLinear with MatMulIntegerToFloat and QAttention, MatMulNBits. Norms, softmax and
pooling stay in 32 bits. Which way is good enough is not decided here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
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

    def layer(self, tokens: str, layer: Layer, at: str) -> str:
        # Attention is a mean of rows of values: their columns can be divided in the weights that make them.
        by = self.way.evened.get(f"{at}.attended")
        if by is not None:
            columns = np.concatenate([np.ones(2 * len(by), dtype=np.float32), by])
            layer = replace(
                layer, qkv=layer.qkv / columns, qkv_bias=layer.qkv_bias / columns, attended=layer.attended * by[:, None]
            )
        return super().layer(tokens, layer, at)

    def attend(self, tokens: str, layer: Layer, at: str) -> str:
        if self.way.kind == "blocks":
            return self._attend_in_parts(tokens, layer, at)
        name = f"{at}.projected"
        value, weight = self._evened(tokens, layer.qkv, name)
        rounded, step, zero = self._rounded(value, name)
        codes, scale = self._codes(weight, f"{at}.qkv")
        each = (layer.qkv.shape[1],) if self.way.by_column else ()
        nothing = self.array(f"{at}.qkv.zero", np.zeros(each, dtype=np.int8))
        bias = self.array(f"{at}.qkv_bias", layer.qkv_bias)
        inputs = [rounded, codes, bias, step, scale, "attention_mask", zero, nothing]
        return self.node("QAttention", inputs, f"{at}.attention", domain=FUSED, num_heads=self.heads(layer))

    def _attend_in_parts(self, tokens: str, layer: Layer, at: str) -> str:
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

    def product(self, value: str, weight: Array, weight_name: str, name: str, bias: str | None = None) -> str:
        added = [] if bias is None else [bias]
        if self.way.kind == "blocks":
            return self._blocks(value, weight, weight_name, name, added)
        if not name.endswith(".attended"):
            value, weight = self._evened(value, weight, name)
        codes, scale = self._codes(weight, weight_name)
        if self.way.kind == "dynamic":
            inputs = [value, codes, scale, *(["", *added] if added else [])]
            return self.node("DynamicQuantizeMatMul", inputs, name, domain=FUSED)
        rounded, step, zero = self._rounded(value, name)
        inputs = [rounded, codes, step, scale, zero, *(["", *added] if added else [])]
        return self.node("MatMulIntegerToFloat", inputs, name, domain=FUSED)

    def _codes(self, weight: Array, name: str) -> tuple[str, str]:
        codes, scale = whole_numbers(weight, by_column=self.way.by_column, most=2 ** (self.way.bits - 1) - 1)
        return self.array(name, codes), self.array(f"{name}.scale", scale)

    def _evened(self, value: str, weight: Array, name: str) -> tuple[str, Array]:
        by = self.way.evened.get(name)
        if by is None:
            return value, weight
        value = self.node("Mul", [value, self.array(f"{name}.evened_by", 1 / by)], f"{name}.evened")
        return value, weight * by[:, None]

    def _rounded(self, value: str, name: str) -> tuple[str, str, str]:
        """The values in whole numbers, what a step is worth, and which number is zero."""
        from onnx import helper

        parts = (f"{name}.rounded", f"{name}.step", f"{name}.zero")
        if self.way.kind == "dynamic":
            self.nodes.append(helper.make_node("DynamicQuantizeLinear", [value], parts, name=parts[0]))
            return parts
        low, high = self.way.ranges[name]
        step = max((high - low) / 255, 1e-12)
        zero = np.array(np.clip(np.rint(-low / step), 0, 255), dtype=np.uint8)
        inputs = [value, self.array(parts[1], np.array(step, dtype=np.float32)), self.array(parts[2], zero)]
        return self.node("QuantizeLinear", inputs, parts[0]), parts[1], parts[2]

    def _blocks(self, value: str, weight: Array, weight_name: str, name: str, added: list[str]) -> str:
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
        given = [value, *arrays, *(["", "", *added] if added else [])]
        return self.node(
            "MatMulNBits", given, name, domain=FUSED, K=inputs, N=columns, bits=self.way.bits, block_size=BLOCK,
            accuracy_level=4,
        )  # fmt: skip
