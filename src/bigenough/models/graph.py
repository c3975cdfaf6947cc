# SPDX-License-Identifier: Apache-2.0
"""An encoder's arrays as one ONNX graph, from token ids to sentence vectors.

The graph is written with onnxruntime's fused operators (domain ``com.microsoft``: EmbedLayerNormalization, Attention,
SkipLayerNormalization, BiasGelu), the ones its own optimiser would put in: no exporter, no tracing with one example
shape, and nothing to optimise while a model loads. Batch and length are free; padding is masked inside.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from bigenough.models.bert import BertModel, Layer

if TYPE_CHECKING:
    import onnx

__all__ = ["encoder_graph"]

OPSET = 17
IR_VERSION = 8
FUSED = "com.microsoft"


def encoder_graph(model: BertModel) -> bytes:
    """The serialised graph: int32 ``input_ids`` and ``attention_mask``, (batch, length); ``embedding``, (batch, width).

    The same arrays give the same bytes.
    """
    import onnx
    from onnx import helper

    graph = _Graph(model)
    tokens = graph.embed()
    for i, layer in enumerate(model.layers):
        tokens = graph.layer(tokens, layer, f"layer{i}")
    graph.pool(tokens)
    ids = [
        helper.make_tensor_value_info(n, onnx.TensorProto.INT32, ["batch", "length"])
        for n in ("input_ids", "attention_mask")
    ]
    out = helper.make_tensor_value_info("embedding", onnx.TensorProto.FLOAT, ["batch", model.config.width])
    built = helper.make_graph(graph.nodes, "encoder", ids, [out], graph.arrays)
    opsets = [helper.make_opsetid("", OPSET), helper.make_opsetid(FUSED, 1)]
    proto = helper.make_model(built, opset_imports=opsets, ir_version=IR_VERSION, producer_name="bigenough")
    return bytes(proto.SerializeToString(deterministic=True))


class _Graph:
    """Nodes and arrays in the making; each method adds a part and gives the name of its result."""

    def __init__(self, model: BertModel) -> None:
        self.model = model
        self.nodes: list[onnx.NodeProto] = []
        self.arrays: list[onnx.TensorProto] = []

    def array(self, name: str, value: NDArray[Any]) -> str:
        from onnx import numpy_helper

        self.arrays.append(numpy_helper.from_array(np.asarray(value, order="C"), name))
        return name

    def node(self, operator: str, inputs: list[str], output: str, *, domain: str = "", **attributes: Any) -> str:
        from onnx import helper

        self.nodes.append(helper.make_node(operator, inputs, [output], name=output, domain=domain, **attributes))
        return output

    def norm(self, name: str, pair: tuple[NDArray[np.float32], NDArray[np.float32]]) -> list[str]:
        return [self.array(f"{name}.scale", pair[0]), self.array(f"{name}.shift", pair[1])]

    def embed(self) -> str:
        model = self.model
        words = self.array("words", model.words)
        positions = self.array("positions", model.positions)
        inputs = ["input_ids", "", words, positions, "", *self.norm("embeddings", model.norm)]
        from onnx import helper

        node = helper.make_node(
            "EmbedLayerNormalization",
            inputs,
            ["tokens", "unused"],
            name="tokens",
            domain=FUSED,
            epsilon=model.config.epsilon,
        )
        self.nodes.append(node)
        return "tokens"

    def layer(self, tokens: str, layer: Layer, at: str) -> str:
        qkv = [self.array(f"{at}.qkv", layer.qkv), self.array(f"{at}.qkv_bias", layer.qkv_bias)]
        attention = self.node(
            "Attention",
            [tokens, *qkv, "attention_mask"],
            f"{at}.attention",
            domain=FUSED,
            num_heads=self.model.config.heads,
        )
        attended = self.node(
            "MatMul", [attention, self.array(f"{at}.attended_weight", layer.attended)], f"{at}.attended"
        )
        middle = self.skip_norm(attended, tokens, layer.attended_norm, layer.attended_bias, f"{at}.middle")
        wide = self.node("MatMul", [middle, self.array(f"{at}.widen", layer.widen)], f"{at}.wide")
        active = self.activate(wide, self.array(f"{at}.widen_bias", layer.widen_bias), f"{at}.active")
        narrow = self.node("MatMul", [active, self.array(f"{at}.narrow_weight", layer.narrow)], f"{at}.narrow")
        return self.skip_norm(narrow, middle, layer.norm, layer.narrow_bias, f"{at}.out")

    def skip_norm(
        self,
        value: str,
        skip: str,
        pair: tuple[NDArray[np.float32], NDArray[np.float32]],
        bias: NDArray[np.float32],
        name: str,
    ) -> str:
        inputs = [value, skip, *self.norm(name, pair), self.array(f"{name}.bias", bias)]
        return self.node("SkipLayerNormalization", inputs, name, domain=FUSED, epsilon=self.model.config.epsilon)

    def activate(self, value: str, bias: str, name: str) -> str:
        match self.model.config.activation:
            case "gelu":
                return self.node("BiasGelu", [value, bias], name, domain=FUSED)
            case "gelu_tanh":
                return self.node("FastGelu", [value, bias], name, domain=FUSED)
            case "relu":
                return self.node("Relu", [self.node("Add", [value, bias], f"{name}.shifted")], name)

    def pool(self, tokens: str) -> str:
        from onnx import TensorProto

        pooled = "pooled" if self.model.config.normalise else "embedding"
        if self.model.config.pooling == "cls":
            first = self.array("first", np.array(0, dtype=np.int64))
            self.node("Gather", [tokens, first], pooled, axis=1)
        else:
            mask = self.node("Cast", ["attention_mask"], "mask", to=TensorProto.FLOAT)
            # (batch, 1, length) x (batch, length, width): the sum over real tokens, as one matrix product.
            row = self.node("Unsqueeze", [mask, self.array("axis1", np.array([1], dtype=np.int64))], "mask_row")
            total = self.node("MatMul", [row, tokens], "total_row")
            total = self.node("Squeeze", [total, "axis1"], "total")
            count = self.node("ReduceSum", [mask, "axis1"], "count", keepdims=1)
            self.node("Div", [total, count], pooled)
        if self.model.config.normalise:
            length = self.node("ReduceL2", [pooled], "norm", axes=[1], keepdims=1)
            floor = self.node("Max", [length, self.array("tiny", np.array(1e-12, dtype=np.float32))], "norm_floor")
            self.node("Div", [pooled, floor], "embedding")
        return "embedding"
