# SPDX-License-Identifier: Apache-2.0
"""An encoder's arrays as transformers' BERT, which torch can train, and back.

All families that ``models.bert`` reads are one computation, so one torch class serves them; segments and where
positions start are folded into the position table already. Only the vectors of tokens that the texts hold go along:
the others would get no gradient, and moving them through the optimiser is most of its work.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from bigenough.models.bert import BertModel, Layer

if TYPE_CHECKING:
    import torch

__all__ = ["arrays_back", "torch_body"]

Array = NDArray[np.float32]
_ACTIVATIONS = {"gelu": "gelu", "gelu_tanh": "gelu_pytorch_tanh", "relu": "relu"}


def torch_body(body: BertModel, used: NDArray[np.int64], dropout: float, attention: str = "eager") -> Any:
    """The encoder as ``transformers.BertModel`` without pooler; row i of its token table is ``body.words[used[i]]``.

    ``attention`` is transformers' name of how attention is computed.
    """
    import torch
    from transformers import BertConfig
    from transformers import BertModel as TorchBert

    config = body.config
    shape: dict[str, Any] = {
        "vocab_size": len(used),
        "hidden_size": config.width,
        "num_attention_heads": config.heads,
        "num_hidden_layers": len(body.layers),
        "intermediate_size": config.width,  # the arrays that are put in have their own
        "max_position_embeddings": len(body.positions),
        "type_vocab_size": 1,
        "hidden_act": _ACTIVATIONS[config.activation],
        "layer_norm_eps": config.epsilon,
        "hidden_dropout_prob": dropout,
        # Fused attention cannot drop weights without falling back to slower code.
        "attention_probs_dropout_prob": 0.0,
        "pad_token_id": None,
        "attn_implementation": attention,
    }
    module: Any = TorchBert(BertConfig(**shape), add_pooling_layer=False)
    module.embeddings.token_type_embeddings.weight.requires_grad_(False)
    with torch.no_grad():
        module.embeddings.token_type_embeddings.weight.zero_()
        for name, array in _named_arrays(body, used):
            owner, _, last = name.rpartition(".")
            part = module.get_submodule(owner)
            setattr(part, last, torch.nn.Parameter(torch.from_numpy(array.copy())))
            if isinstance(part, torch.nn.Linear) and last == "weight":
                part.out_features, part.in_features = array.shape
    return module


def arrays_back(module: Any, body: BertModel, used: NDArray[np.int64]) -> BertModel:
    """The arrays of a trained ``torch_body``, with the tokens that it did not hold as they were in ``body``."""
    got = {name: _array(value) for name, value in module.state_dict().items()}
    words = body.words.copy()
    words[used] = got["embeddings.word_embeddings.weight"]
    return replace(
        body,
        words=words,
        positions=got["embeddings.position_embeddings.weight"],
        norm=_norm(got, "embeddings.LayerNorm"),
        layers=tuple(_layer(got, f"encoder.layer.{i}.") for i in range(len(body.layers))),
    )


def _named_arrays(body: BertModel, used: NDArray[np.int64]) -> Iterator[tuple[str, Array]]:
    """Every array under the name that transformers gives it, laid out (out, in) as torch does."""
    yield "embeddings.word_embeddings.weight", body.words[used]
    yield "embeddings.position_embeddings.weight", body.positions
    yield from _named_norm("embeddings.LayerNorm", body.norm)
    for i, layer in enumerate(body.layers):
        at = f"encoder.layer.{i}."
        weights, biases = np.split(layer.qkv, 3, axis=1), np.split(layer.qkv_bias, 3)
        for part, weight, bias in zip(("query", "key", "value"), weights, biases, strict=True):
            yield from _named_dense(f"{at}attention.self.{part}", weight, bias)
        yield from _named_dense(f"{at}attention.output.dense", layer.attended, layer.attended_bias)
        yield from _named_norm(f"{at}attention.output.LayerNorm", layer.attended_norm)
        yield from _named_dense(f"{at}intermediate.dense", layer.widen, layer.widen_bias)
        yield from _named_dense(f"{at}output.dense", layer.narrow, layer.narrow_bias)
        yield from _named_norm(f"{at}output.LayerNorm", layer.norm)


def _named_dense(name: str, weight: Array, bias: Array) -> Iterator[tuple[str, Array]]:
    yield f"{name}.weight", np.ascontiguousarray(weight.T)
    yield f"{name}.bias", bias


def _named_norm(name: str, pair: tuple[Array, Array]) -> Iterator[tuple[str, Array]]:
    yield f"{name}.weight", pair[0]
    yield f"{name}.bias", pair[1]


def _layer(got: dict[str, Array], at: str) -> Layer:
    parts = [f"{at}attention.self.{part}" for part in ("query", "key", "value")]
    return Layer(
        qkv=np.concatenate([got[f"{part}.weight"].T for part in parts], axis=1),
        qkv_bias=np.concatenate([got[f"{part}.bias"] for part in parts]),
        attended=_dense(got, f"{at}attention.output.dense"),
        attended_bias=got[f"{at}attention.output.dense.bias"],
        attended_norm=_norm(got, f"{at}attention.output.LayerNorm"),
        widen=_dense(got, f"{at}intermediate.dense"),
        widen_bias=got[f"{at}intermediate.dense.bias"],
        narrow=_dense(got, f"{at}output.dense"),
        narrow_bias=got[f"{at}output.dense.bias"],
        norm=_norm(got, f"{at}output.LayerNorm"),
    )


def _dense(got: dict[str, Array], name: str) -> Array:
    return np.ascontiguousarray(got[f"{name}.weight"].T)


def _norm(got: dict[str, Array], name: str) -> tuple[Array, Array]:
    return got[f"{name}.weight"], got[f"{name}.bias"]


def _array(value: torch.Tensor) -> Array:
    array: Array = value.detach().to("cpu").float().numpy().copy()
    return array
