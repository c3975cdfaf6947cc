# SPDX-License-Identifier: Apache-2.0
"""Arrays back out of an ONNX graph that ``models.graph`` has written; the exact inverse of it.

A fitted encoder is on disk as its graph alone. Whoever wants to make it smaller starts here. Graphs that others wrote,
or that compute in 8 bits, are refused.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from bigenough.errors import UnsupportedModel
from bigenough.models.bert import Activation, BertConfig, BertModel, Layer
from bigenough.models.word_table import WordTable

if TYPE_CHECKING:
    import onnx

__all__ = ["EncoderArrays", "read_graph"]

Array = NDArray[np.float32]
_ACTIVATIONS: dict[str, Activation] = {"BiasGelu": "gelu", "FastGelu": "gelu_tanh", "Relu": "relu"}


class EncoderArrays(NamedTuple):
    """What a graph holds.

    Attributes:
        model: the encoder; with a ``table`` its words are the decoded ones. The family of its config and the id that
            fills a batch are not in a graph; they read "bert" and 0.
        table: the coded word vectors, where the graph has them.
    """

    model: BertModel
    table: WordTable | None

    @property
    def n_parameters(self) -> int:
        """How many numbers a forward pass uses."""
        return self.model.n_parameters + (0 if self.table is None else self.table.n_parameters - self.model.words.size)


def read_graph(source: Path | bytes) -> EncoderArrays:
    """The arrays of a graph: ``encoder_graph(*read_graph(graph))`` gives the same bytes.

    Raises ``UnsupportedModel`` when another program wrote the graph, or it computes in fewer bits.
    """
    import onnx

    proto = onnx.load_from_string(source) if isinstance(source, bytes) else onnx.load(str(source))
    graph = _Reader(proto)
    where = "the graph" if isinstance(source, bytes) else str(source)
    if proto.producer_name != "bigenough" or not graph.does("layer0.attention", "Attention"):
        raise UnsupportedModel(
            f"{where} is not an encoder graph of 32 bits that bigenough wrote (it says {proto.producer_name!r}). "
            "Only a frozen or tuned encoder, or one with fewer words, layers or neurons, can be made smaller."
        )
    table = graph.table()
    words = graph.array("words") if table is None else table.decoded()
    layers = tuple(
        graph.layer(f"layer{i}") for i in range(sum(node.op_type == "Attention" for node in proto.graph.node))
    )
    positions = graph.array("positions")
    width = positions.shape[1]
    heads = int(graph.attributes("layer0.attention")["num_heads"]) * width * 3 // layers[0].qkv.shape[1]
    pooling: Literal["mean", "cls"] = "cls" if graph.has("first") else "mean"
    config = BertConfig(
        family="bert", width=width, heads=heads, layers=len(layers),
        epsilon=graph.epsilon(), activation=graph.activation(), pad_id=0,
        max_length=len(positions), pooling=pooling, normalise=graph.has("tiny"),
        pooled=tuple(i for i in range(len(layers)) if graph.gives(f"pooled{i}")),
    )  # fmt: skip
    return EncoderArrays(BertModel(config, words, positions, graph.norm("embeddings"), layers), table)


class _Reader:
    """The graph's arrays and nodes by name."""

    def __init__(self, proto: onnx.ModelProto) -> None:
        self._arrays = {tensor.name: tensor for tensor in proto.graph.initializer}
        self._nodes = {node.name: node for node in proto.graph.node}

    def has(self, name: str) -> bool:
        return name in self._arrays

    def gives(self, node: str) -> bool:
        return node in self._nodes

    def does(self, node: str, operator: str) -> bool:
        return node in self._nodes and self._nodes[node].op_type == operator

    def epsilon(self) -> float:
        # The shortest number that is this one in single precision: 1e-12, and not 9.999999960041972e-13.
        return float(str(np.float32(self.attributes("tokens")["epsilon"])))

    def array(self, name: str) -> NDArray[Any]:
        from onnx import numpy_helper

        return np.array(numpy_helper.to_array(self._arrays[name]))

    def norm(self, name: str) -> tuple[Array, Array]:
        return self.array(f"{name}.scale"), self.array(f"{name}.shift")

    def attributes(self, node: str) -> dict[str, Any]:
        from onnx import helper

        return {each.name: helper.get_attribute_value(each) for each in self._nodes[node].attribute}

    def activation(self) -> Activation:
        return _ACTIVATIONS[self._nodes["layer0.active"].op_type]

    def table(self) -> WordTable | None:
        if not self.has("words.place"):
            return None
        coarse = np.zeros((0, 0), np.uint8), np.zeros((0, 0), np.float16)
        if self.has("words.coarse"):
            coarse = self.array("words.coarse"), self.array("words.coarse_scale")
        place, fine, scale = (self.array(f"words.{part}") for part in ("place", "fine", "fine_scale"))
        return WordTable(place, fine, scale, *coarse)

    def layer(self, at: str) -> Layer:
        return Layer(
            qkv=self.array(f"{at}.qkv"),
            qkv_bias=self.array(f"{at}.qkv_bias"),
            attended=self.array(f"{at}.attended_weight"),
            attended_bias=self.array(f"{at}.middle.bias"),
            attended_norm=self.norm(f"{at}.middle"),
            widen=self.array(f"{at}.widen"),
            widen_bias=self.array(f"{at}.widen_bias"),
            narrow=self.array(f"{at}.narrow_weight"),
            narrow_bias=self.array(f"{at}.out.bias"),
            norm=self.norm(f"{at}.out"),
        )
