# SPDX-License-Identifier: Apache-2.0
"""A transformer's shape, and the parameters that it makes.

Counted as the tensors that a checkpoint holds: every matrix, bias and norm. Vaswani et al. 2017 for the blocks;
Ainslie et al. 2023 (arXiv:2305.13245) for grouped queries; DeepSeek-AI 2024 (arXiv:2405.04434, section 2.1) for latent
attention; Jiang et al. 2024 (arXiv:2401.04088) for experts.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Literal, get_args

from bigenough.errors import BadOption

__all__ = ["Experts", "Kind", "Latent", "ParameterCount", "Shape", "parameters"]

Kind = Literal["decoder", "encoder", "encoder-decoder"]
Norm = Literal["rms", "layer", "scale"]


@dataclass(frozen=True)
class Experts:
    """A mixture of experts in place of the feed-forward block.

    Attributes:
        count: routed experts in a layer.
        active: how many of them see a token.
        ffn: the inner width of one expert.
        shared: experts that see every token.
        dense_layers: first layers that keep a plain feed-forward block.
        every: one layer in so many has experts.
        router_bias: whether the router has one bias an expert.
    """

    count: int
    active: int
    ffn: int
    shared: int = 0
    dense_layers: int = 0
    every: int = 1
    router_bias: bool = False

    def __post_init__(self) -> None:
        for name in ("count", "active", "ffn", "every"):
            _at_least(1, f"experts.{name}", getattr(self, name))
        for name in ("shared", "dense_layers"):
            _at_least(0, f"experts.{name}", getattr(self, name))
        if self.active > self.count:
            raise BadOption(f"{self.active} active experts of {self.count}: a token cannot see more than there are.")


@dataclass(frozen=True)
class Latent:
    """Multi-head latent attention: keys and values are rebuilt from one small vector a token.

    Attributes:
        kv_rank: width of that vector, which is what the cache holds.
        rope: width of the part of the key that carries the position, cached beside it.
        nope, value: width of the other part of the key, and of the value, per head.
        q_rank: width of the compressed query; 0 for a plain query.
    """

    kv_rank: int
    rope: int
    nope: int
    value: int
    q_rank: int = 0

    def __post_init__(self) -> None:
        for name in ("kv_rank", "rope", "nope", "value"):
            _at_least(1, f"latent.{name}", getattr(self, name))
        _at_least(0, "latent.q_rank", self.q_rank)


@dataclass(frozen=True)
class Shape:
    """The shape of one transformer.

    Attributes:
        layers: all blocks; of an encoder-decoder, those of both halves.
        hidden, heads, kv_heads, head_dim, ffn, vocab: as usual; ``kv_heads`` and ``head_dim`` follow from the others
            when 0.
        kind: what the blocks see.
        decoder_layers: of an encoder-decoder, the blocks with attention to the encoder.
        context: the longest sequence that the model was made for; 0 when unknown.
        window: tokens that a local layer looks back on; 0 when every layer is global.
        global_every: one layer in so many is global where there is a window; 0 when none is.
        gated: a feed-forward block of three matrices instead of two.
        tied: input and output share the table of tokens.
        qkv_bias, out_bias, ffn_bias, head_bias: which matrices have one.
        norm: ``rms`` (one vector), ``layer`` (two), ``scale`` (none at all).
        norms_per_layer, final_norm, embedding_norm: how many, and where.
        qk_norm: queries and keys are normed per head, by one vector of ``head_dim`` each.
        positions, token_types: rows of learned tables.
        pooler: a square matrix with bias on top.
        output_head: whether a matrix to the vocabulary belongs to the model at all.
        relative_buckets: rows of a table of relative positions, one a half.
        relative_matrix: a matrix for relative positions in every layer, as in Transformer-XL.
        cores: of a count that holds what each of so many cores kept for itself: every norm, the bias of a feed-forward
            block's output, and a bias of the table of tokens; 0 when nothing is counted twice.
        extra: parameters that the shape does not express, such as a vision encoder.

    Example:
        >>> llama = Shape(layers=32, hidden=4096, heads=32, kv_heads=8, ffn=14336, vocab=128256)
        >>> parameters(llama).total
        8030261248
    """

    layers: int
    hidden: int
    heads: int
    ffn: int
    vocab: int
    kv_heads: int = 0
    head_dim: int = 0
    kind: Kind = "decoder"
    decoder_layers: int = 0
    context: int = 0
    window: int = 0
    global_every: int = 0
    gated: bool = True
    tied: bool = False
    qkv_bias: bool = False
    out_bias: bool = False
    ffn_bias: bool = False
    head_bias: bool = False
    norm: Norm = "rms"
    norms_per_layer: int = 2
    final_norm: bool = True
    embedding_norm: bool = False
    qk_norm: bool = False
    positions: int = 0
    token_types: int = 0
    pooler: bool = False
    output_head: bool = True
    relative_buckets: int = 0
    relative_matrix: bool = False
    cores: int = 0
    extra: int = 0
    experts: Experts | None = None
    latent: Latent | None = None

    def __post_init__(self) -> None:
        for name in ("layers", "hidden", "heads", "ffn", "vocab"):
            _at_least(1, name, getattr(self, name))
        for field in fields(self):
            value = getattr(self, field.name)
            if isinstance(value, int) and not isinstance(value, bool):
                _at_least(0, field.name, value)
        if self.kind not in get_args(Kind):
            raise BadOption(f"kind={self.kind!r} is none of {', '.join(get_args(Kind))}.")
        if not self.head_dim:
            if self.hidden % self.heads:
                raise BadOption(
                    f"{self.heads} heads do not divide a hidden size of {self.hidden}. Give "
                    f"head_dim, or correct one of the two."
                )
            object.__setattr__(self, "head_dim", self.hidden // self.heads)
        if not self.kv_heads:
            object.__setattr__(self, "kv_heads", self.heads)
        if self.heads % self.kv_heads:
            raise BadOption(
                f"{self.kv_heads} key-value heads do not divide {self.heads} heads: each serves as many queries."
            )
        if self.decoder_layers > self.layers:
            raise BadOption(
                f"{self.decoder_layers} decoder layers of {self.layers} in all: the whole is less than its part."
            )
        if self.global_every and not self.window:
            raise BadOption(f"global_every={self.global_every} means nothing without a window.")

    @property
    def attention(self) -> str:
        """The kind of attention by its usual name."""
        if self.latent:
            return "MLA"
        if self.kv_heads == self.heads:
            return "MHA"
        return "MQA" if self.kv_heads == 1 else "GQA"

    @property
    def cached_layers(self) -> int:
        """Layers that keep keys and values while decoding: none of an encoder."""
        if self.kind == "encoder":
            return 0
        return self.decoder_layers or (self.layers // 2 if self.kind == "encoder-decoder" else self.layers)

    @property
    def global_layers(self) -> int:
        """Cached layers that look back on everything."""
        if not self.window:
            return self.cached_layers
        return self.cached_layers // self.global_every if self.global_every else 0


@dataclass(frozen=True)
class ParameterCount:
    """How many parameters a shape has.

    Attributes:
        total: all that must be held in memory.
        active: those that one token meets, which is what computing costs.
        embedding: the tables of tokens, positions and types, and the output matrix when it is one of its own.
    """

    total: int
    active: int
    embedding: int


def parameters(shape: Shape) -> ParameterCount:
    """Count a shape's parameters, exactly.

    The active count takes the routed experts that see a token and everything else, tables included.
    """
    attention, ffn = _attention(shape), _feed_forward(shape, shape.ffn)
    norms = shape.norms_per_layer * _norm(shape)
    cross_layers = (shape.decoder_layers or shape.layers // 2) if shape.kind == "encoder-decoder" else 0
    common = shape.layers * (attention + norms) + cross_layers * (attention + _norm(shape))
    tables = (shape.vocab + shape.positions + shape.token_types) * shape.hidden
    head = 0 if shape.tied or not shape.output_head else shape.vocab * shape.hidden
    rest = (
        (2 if shape.kind == "encoder-decoder" else 1)
        * (_norm(shape) * shape.final_norm + shape.relative_buckets * shape.heads)
        + _norm(shape) * shape.embedding_norm
        + shape.vocab * shape.head_bias
        + (shape.hidden + 1) * shape.hidden * shape.pooler
        + _kept_by_every_core(shape)
        + shape.extra
    )
    fixed = common + tables + head + rest
    if shape.experts is None:
        total = fixed + shape.layers * ffn
        return ParameterCount(total, total, tables + head)
    all_experts, seen = _experts(shape, shape.experts, ffn)
    return ParameterCount(fixed + all_experts, fixed + seen, tables + head)


def _attention(shape: Shape) -> int:
    hidden, heads, width = shape.hidden, shape.heads, shape.head_dim
    if shape.latent:
        return _latent_attention(hidden, heads, shape.latent)
    queries, keys = heads * width, shape.kv_heads * width
    matrices = hidden * ((2 + shape.relative_matrix) * queries + 2 * keys)
    biases = shape.qkv_bias * (queries + 2 * keys) + shape.out_bias * hidden
    return matrices + biases + shape.qk_norm * 2 * width


def _latent_attention(hidden: int, heads: int, latent: Latent) -> int:
    key = latent.nope + latent.rope
    if latent.q_rank:  # compressed, normed, rebuilt per head
        query = hidden * latent.q_rank + latent.q_rank + latent.q_rank * heads * key
    else:
        query = hidden * heads * key
    compressed = hidden * (latent.kv_rank + latent.rope) + latent.kv_rank
    rebuilt = latent.kv_rank * heads * (latent.nope + latent.value)
    return query + compressed + rebuilt + heads * latent.value * hidden


def _feed_forward(shape: Shape, inner: int) -> int:
    matrices = (3 if shape.gated else 2) * shape.hidden * inner
    return matrices + shape.ffn_bias * ((2 if shape.gated else 1) * inner + shape.hidden)


def _experts(shape: Shape, experts: Experts, dense: int) -> tuple[int, int]:
    """Parameters of all feed-forward blocks, and of those that one token meets."""
    with_experts = (shape.layers - experts.dense_layers) // experts.every
    if with_experts < 1:
        raise BadOption(f"{experts.dense_layers} dense layers of {shape.layers} leave none for the experts.")
    one = _feed_forward(shape, experts.ffn)
    router = shape.hidden * experts.count + experts.router_bias * experts.count
    plain = (shape.layers - with_experts) * dense
    everything = plain + with_experts * (router + (experts.count + experts.shared) * one)
    seen = plain + with_experts * (router + (experts.active + experts.shared) * one)
    return everything, seen


def _kept_by_every_core(shape: Shape) -> int:
    """What the cores beyond the first hold again, and the table's biases, which a single checkpoint does not have."""
    if not shape.cores:
        return 0
    again = shape.layers * (shape.norms_per_layer * _norm(shape) + shape.hidden) + _norm(shape) * shape.final_norm
    return (shape.cores - 1) * again + shape.cores * shape.hidden


def _norm(shape: Shape) -> int:
    return {"rms": 1, "layer": 2, "scale": 0}[shape.norm] * shape.hidden


def _at_least(least: int, name: str, value: int) -> None:
    if value < least:
        raise BadOption(f"{name}={value!r}: a shape counts in whole numbers from {least} up.")
