# SPDX-License-Identifier: Apache-2.0
"""An encoder's arrays as one ONNX graph, from token ids to sentence vectors.

The graph is written with onnxruntime's fused operators (domain ``com.microsoft``: Attention, BiasGelu), which its own
optimiser would put in: no exporter, no tracing with one example shape, and nothing to optimise while a model loads. Its
norms fused with additions are left out: on CPUs they take five times as long as addition and norm apart
(docs/decisions/013). Batch and length are free; padding is masked inside.
"""

from __future__ import annotations

import builtins
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from bigenough.models.bert import BertModel, Layer
from bigenough.models.word_table import BLOCK, WordTable

if TYPE_CHECKING:
    import onnx

__all__ = ["FUSED", "EncoderGraph", "encoder_graph", "layer_graph", "tokens_graph"]

OPSET = 17
IR_VERSION = 8
FUSED = "com.microsoft"
Shape = Sequence[str | int]


def encoder_graph(model: BertModel, table: WordTable | None = None) -> bytes:
    """The serialised graph: int32 ``input_ids`` and ``attention_mask``, (batch, length); ``embedding``, (batch, d).

    d is the width, as often as layers are pooled.

    The same arrays give the same bytes. With a ``table`` the word vectors are its rows, and not ``model.words``.
    """
    return EncoderGraph(model, table).bytes()


def tokens_graph(model: BertModel) -> bytes:
    """What comes before the first layer, by itself: int32 ``input_ids``, (batch, length), to ``tokens``.

    ``tokens`` are the (batch, length, width) values that the first layer reads.
    """
    graph = EncoderGraph(model)
    return graph.serialised({"input_ids": ["batch", "length"]}, {graph.embed(): None})


def layer_graph(model: BertModel, place: int, inner: Sequence[str]) -> bytes:
    """One layer by itself: ``tokens`` and int32 ``attention_mask``, (batch, length), to the values inside it.

    Args:
        model: the encoder.
        place: which layer.
        inner: the nodes whose values are wanted, by the names that ``encoder_graph`` gives them.
    """
    graph = EncoderGraph(model)
    graph.layer("tokens", model.layers[place], f"layer{place}")
    inputs: dict[str, Shape] = {
        "tokens": ["batch", "length", model.config.width],
        "attention_mask": ["batch", "length"],
    }
    return graph.serialised(inputs, dict.fromkeys(inner))


class EncoderGraph:
    """Nodes and arrays in the making; each method adds a part and gives the name of its result.

    A graph that computes in another way, in fewer bits say, is a subclass that does ``product`` and ``attend`` its way.
    """

    def __init__(self, model: BertModel, table: WordTable | None = None) -> None:
        self.model = model
        self.table = table
        self.nodes: list[onnx.NodeProto] = []
        self.arrays: list[onnx.TensorProto] = []

    def bytes(self) -> bytes:
        """The whole graph, serialised; once only."""
        tokens = [self.embed() if self.table is None else self.look_up(self.table)]
        for i, layer in enumerate(self.model.layers):
            tokens.append(self.layer(tokens[-1], layer, f"layer{i}"))
        self.pool(tokens)
        ids: dict[str, Shape] = {name: ["batch", "length"] for name in ("input_ids", "attention_mask")}
        return self.serialised(ids, {"embedding": ["batch", self.model.config.vector_width]})

    def serialised(self, inputs: Mapping[str, Shape], outputs: Mapping[str, Shape | None]) -> builtins.bytes:
        """The nodes so far from these inputs to these outputs, with their shapes where they are known; once only.

        ``tokens`` and outputs are float32, other inputs int32.
        """
        import onnx
        from onnx import helper

        real, whole = onnx.TensorProto.FLOAT, onnx.TensorProto.INT32
        given = [
            helper.make_tensor_value_info(name, real if name == "tokens" else whole, shape)
            for name, shape in inputs.items()
        ]
        found = [helper.make_tensor_value_info(name, real, shape) for name, shape in outputs.items()]
        built = helper.make_graph(self.nodes, "encoder", given, found, self.arrays)
        opsets = [helper.make_opsetid("", OPSET), helper.make_opsetid(FUSED, 1)]
        proto = helper.make_model(built, opset_imports=opsets, ir_version=IR_VERSION, producer_name="bigenough")
        return bytes(proto.SerializeToString(deterministic=True))

    def array(self, name: str, value: NDArray[Any]) -> str:
        """Add an array; its name."""
        from onnx import numpy_helper

        self.arrays.append(numpy_helper.from_array(np.asarray(value, order="C"), name))
        return name

    def node(self, operator: str, inputs: list[str], output: str, *, domain: str = "", **attributes: Any) -> str:
        """Add a node of one result, named after it; that name."""
        from onnx import helper

        self.nodes.append(helper.make_node(operator, inputs, [output], name=output, domain=domain, **attributes))
        return output

    def norm(self, name: str, pair: tuple[NDArray[np.float32], NDArray[np.float32]]) -> list[str]:
        """Add the scale and shift of a layer norm; their names."""
        return [self.array(f"{name}.scale", pair[0]), self.array(f"{name}.shift", pair[1])]

    def embed(self) -> str:
        """Word vectors and positions, added and normed."""
        return self.placed(self.node("Gather", [self.array("words", self.model.words), "input_ids"], "words.here"))

    def look_up(self, table: WordTable) -> str:
        """Word vectors from coded rows, unpacked for the tokens at hand; then positions and norm."""
        from onnx import TensorProto

        row = self.node("Gather", [self.array("words.place", table.place), "input_ids"], "row")
        last = self.array("words.last", np.array(len(table.fine) - 1, dtype=np.int32))
        at = self.node("Min", [row, last], "row.fine")
        codes = self.node("Gather", [self.array("words.fine", table.fine), at], "fine.codes")
        scale = self.node("Gather", [self.array("words.fine_scale", table.fine_scale), at], "fine.scale")
        words = self.node("Mul", [self.node("Cast", [codes], "fine.cast", to=TensorProto.FLOAT), scale], "fine.words")
        if len(table.coarse):
            words = self._coarse(table, row, last, words)
        return self.placed(words)

    def placed(self, words: str) -> str:
        """Positions added to the vectors of words, and the norm of both."""
        length = self.node("Shape", ["input_ids"], "length", start=1, end=2)
        ends = [self.array("position0", np.array([0], dtype=np.int64)), length]
        positions = self.node("Slice", [self.array("positions", self.model.positions), *ends], "positions_here")
        both = self.node("Add", [words, positions], "words.placed")
        return self.normed(both, "embeddings", self.model.norm, "tokens")

    def _coarse(self, table: WordTable, row: str, last: str, fine: str) -> str:
        from onnx import TensorProto

        one = self.array("words.one", np.array(1, dtype=np.int32))
        zero = self.array("words.zero", np.array(0, dtype=np.int32))
        after = self.node("Sub", [self.node("Sub", [row, last], "row.after"), one], "row.beyond")
        at = self.node("Max", [after, zero], "row.coarse")
        arrays = [self.array("words.coarse", table.coarse), at, self.array("words.coarse_scale", table.coarse_scale)]
        halves = self.node(
            "GatherBlockQuantized", arrays, "coarse.halves", domain=FUSED, block_size=BLOCK, gather_axis=0,
            quantize_axis=1,
        )  # fmt: skip
        coarse = self.node("Cast", [halves], "coarse.words", to=TensorProto.FLOAT)
        is_fine = self.node("Less", [after, zero], "is_fine")
        column = self.node("Unsqueeze", [is_fine, self.array("axis2", np.array([2], dtype=np.int64))], "is_fine.column")
        return self.node("Where", [column, fine, coarse], "words.here")

    def layer(self, tokens: str, layer: Layer, at: str) -> str:
        """One transformer layer."""
        attention = self.attend(tokens, layer, at)
        bias = self.array(f"{at}.middle.bias", layer.attended_bias)
        attended = self.product(attention, layer.attended, f"{at}.attended_weight", f"{at}.attended", bias)
        middle = self.skip_norm(attended, tokens, layer.attended_norm, f"{at}.middle")
        wide = self.product(middle, layer.widen, f"{at}.widen", f"{at}.wide")
        active = self.activate(wide, self.array(f"{at}.widen_bias", layer.widen_bias), f"{at}.active")
        bias = self.array(f"{at}.out.bias", layer.narrow_bias)
        narrow = self.product(active, layer.narrow, f"{at}.narrow_weight", f"{at}.narrow", bias)
        return self.skip_norm(narrow, middle, layer.norm, f"{at}.out")

    def product(
        self, value: str, weight: NDArray[np.float32], weight_name: str, name: str, bias: str | None = None
    ) -> str:
        """Values times a weight matrix, and the bias of that name if there is one."""
        weights = self.array(weight_name, weight)
        if bias is None:
            return self.node("MatMul", [value, weights], name)
        return self.node("Add", [self.node("MatMul", [value, weights], f"{name}.alone"), bias], name)

    def attend(self, tokens: str, layer: Layer, at: str) -> str:
        """Attention among the tokens, without the matrix that comes after it."""
        qkv = [self.array(f"{at}.qkv", layer.qkv), self.array(f"{at}.qkv_bias", layer.qkv_bias)]
        wide = layer.qkv.shape[1] // 3
        fewer = {} if wide == self.model.config.width else {"qkv_hidden_sizes": [wide] * 3}
        return self.node(
            "Attention", [tokens, *qkv, "attention_mask"], f"{at}.attention", domain=FUSED,
            num_heads=self.heads(layer), **fewer,
        )  # fmt: skip

    def heads(self, layer: Layer) -> int:
        """How many heads of the encoder's head size the layer has."""
        wide: int = layer.qkv.shape[1] // 3
        return wide * self.model.config.heads // self.model.config.width

    def skip_norm(self, value: str, skip: str, pair: tuple[NDArray[np.float32], NDArray[np.float32]], name: str) -> str:
        """Layer norm of a value and what it skipped."""
        return self.normed(self.node("Add", [value, skip], f"{name}.both"), name, pair, name)

    def normed(self, value: str, name: str, pair: tuple[NDArray[np.float32], NDArray[np.float32]], output: str) -> str:
        """Layer norm of a value, whose scale and shift are named after ``name``."""
        inputs = [value, *self.norm(name, pair)]
        return self.node("LayerNormalization", inputs, output, epsilon=self.model.config.epsilon)

    def activate(self, value: str, bias: str, name: str) -> str:
        """The non-linearity of a value with its bias."""
        match self.model.config.activation:
            case "gelu":
                return self.node("BiasGelu", [value, bias], name, domain=FUSED)
            case "gelu_tanh":
                return self.node("FastGelu", [value, bias], name, domain=FUSED)
            case "relu":
                return self.node("Relu", [self.node("Add", [value, bias], f"{name}.shifted")], name)

    def pool(self, tokens: list[str]) -> str:
        """The sentence vector: of the last layer's tokens, behind those of the layers that are pooled beside it."""
        config = self.model.config
        last = "embedding" if not config.pooled else "pooled_last"
        parts = [self.sentence(tokens[i], f"pooled{i}", f"{i}.") for i in config.pooled]
        parts.append(self.sentence(tokens[-1], last, ""))
        if len(parts) > 1:
            side = self.node("Concat", parts, "side_by_side", axis=1)
            share = self.array("share", np.array(len(parts) ** -0.5 if config.normalise else 1.0, dtype=np.float32))
            self.node("Mul", [side, share], "embedding")
        return "embedding"

    def sentence(self, tokens: str, name: str, at: str) -> str:
        """One sentence vector of one layer's tokens; ``at`` sets its nodes apart from those of other layers."""
        pooled = f"{at}pooled" if self.model.config.normalise else name
        if self.model.config.pooling == "cls":
            self.node("Gather", [tokens, self.shared("first", np.array(0, dtype=np.int64))], pooled, axis=1)
        else:
            row, count = self.mask()
            # (batch, 1, length) x (batch, length, width): the sum over real tokens, as one matrix product.
            total = self.node("MatMul", [row, tokens], f"{at}total_row")
            total = self.node("Squeeze", [total, "axis1"], f"{at}total")
            self.node("Div", [total, count], pooled)
        if self.model.config.normalise:
            length = self.node("ReduceL2", [pooled], f"{at}norm", axes=[1], keepdims=1)
            tiny = self.shared("tiny", np.array(1e-12, dtype=np.float32))
            self.node("Div", [pooled, self.node("Max", [length, tiny], f"{at}norm_floor")], name)
        return name

    def mask(self) -> tuple[str, str]:
        """The mask as a row for a product, and how many tokens are real; the same for all layers."""
        from onnx import TensorProto

        if any(node.name == "mask" for node in self.nodes):
            return "mask_row", "count"
        mask = self.node("Cast", ["attention_mask"], "mask", to=TensorProto.FLOAT)
        row = self.node("Unsqueeze", [mask, self.array("axis1", np.array([1], dtype=np.int64))], "mask_row")
        return row, self.node("ReduceSum", [mask, "axis1"], "count", keepdims=1)

    def shared(self, name: str, value: NDArray[Any]) -> str:
        """An array that several nodes read, added once."""
        known = any(each.name == name for each in self.arrays)
        return name if known else self.array(name, value)
