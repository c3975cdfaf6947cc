# SPDX-License-Identifier: Apache-2.0
"""What a model takes in memory: weights, keys and values, activations, the framework, and the states of training.

Sources: Kwon et al. 2023 (arXiv:2309.06180, section 3) for the cache; Rajbhandari et al. 2020 (arXiv:1910.02054,
section 3 and Figure 1) for the states of training and their sharding; Korthikanti et al. 2022 (arXiv:2205.05198,
equation 2 and section 5) for the activations of training; Hu et al. 2021 (arXiv:2106.09685) and Dettmers et al. 2023
(arXiv:2305.14314) for LoRA and QLoRA.
"""

from __future__ import annotations

from typing import Literal

from bigenough.atlas.checks import positive
from bigenough.atlas.precision import Precision, precision
from bigenough.atlas.shape import Shape
from bigenough.errors import BadOption
from bigenough.quantity.range import Range, between, exact, total

__all__ = [
    "Method",
    "States",
    "activations",
    "cache_per_token",
    "framework",
    "implied_bits",
    "kv_cache",
    "state_bytes",
    "training_memory",
    "weights",
]

Method = Literal["full", "lora", "qlora"]
States = Literal["mixed", "16-bit", "unknown"]

_ZERO = "Rajbhandari et al. 2020, arXiv:1910.02054 section 3 and Figure 1"


def weights(params: Range | float, how: str | float | Precision = "bf16", shape: Shape | None = None) -> Range:
    """Bytes of the weights: parameters × bits / 8.

    >>> weights(70e9, 16).to("GB").mid
    140.0
    """
    count = params if isinstance(params, Range) else exact(positive("params", params), "param", "parameters", "given")
    kind = how if isinstance(how, Precision) else precision(how)
    return (count * kind.bits_per_weight(shape)).named(
        "weights", "parameters × bits per weight", "arithmetic", unit="GB"
    )


def implied_bits(params: float, size_bytes: float) -> Range:
    """Bits per weight that a claimed size implies: 8 × bytes / parameters."""
    size = exact(positive("size", size_bytes), "B", "size", "given")
    count = exact(positive("params", params), "param", "parameters", "given")
    return (size / count).named("implied bits per weight", "8 × bytes / parameters", "arithmetic", unit="bit/param")


def cache_per_token(shape: Shape, bits: float = 16, *, local: bool = False) -> Range:
    """Bytes that one token adds to the cache in all layers that keep it.

    2 × layers × key-value heads × head size × bytes (Kwon et al. 2023); of latent attention, layers × (rank + rope) ×
    bytes (arXiv:2405.04434, Table 1). ``local`` leaves only the layers with a window.
    """
    positive("cache bits", bits)
    layers = shape.cached_layers - shape.global_layers if local else shape.global_layers
    if shape.latent:
        width, formula = shape.latent.kv_rank + shape.latent.rope, "layers × (latent rank + rope) × bytes"
    else:
        width, formula = 2 * shape.kv_heads * shape.head_dim, "2 × layers × key-value heads × head size × bytes"
    name = "cache per token, local layers" if local else "cache per token"
    return exact(
        layers * width * bits / 8, "B/token", name, f"{formula}: arXiv:2309.06180 section 3", provenance="modelled"
    )


def kv_cache(shape: Shape, tokens: float, sequences: float = 1, bits: float = 16) -> Range:
    """Bytes of keys and values of some sequences of some length; local layers keep no more than their window.

    >>> llama = Shape(layers=32, hidden=4096, heads=32, kv_heads=8, ffn=14336, vocab=128256)
    >>> kv_cache(llama, 1024).to("GiB").mid
    0.125
    """
    length = exact(positive("tokens", tokens), "token", "tokens of context", "given")
    many = exact(positive("sequences", sequences), "", "sequences", "given")
    result = cache_per_token(shape, bits) * length * many
    if shape.window:
        kept = exact(
            min(tokens, shape.window), "token", "tokens that a local layer keeps", "the smaller of context and window"
        )
        result = result + cache_per_token(shape, bits, local=True) * kept * many
    return result.named(
        "key-value cache", "cache per token × tokens × sequences", "arXiv:2309.06180 section 3", unit="GB"
    )


def activations(shape: Shape, tokens: float = 2048, bits: float = 16) -> Range:
    """Bytes of working memory while a prompt is read in one piece of ``tokens``.

    The largest moment is inside a feed-forward block: about four vectors of the hidden size (input, normed input,
    residual, output) and as many of the inner width as it has input matrices. Chunked prefill reads at most a few
    thousand tokens at once.
    """
    positive("tokens", tokens)
    inner = shape.experts.ffn * shape.experts.active if shape.experts else shape.ffn
    values = min(tokens, 2048) * (4 * shape.hidden + (2 if shape.gated else 1) * inner)
    low, mid = values * bits / 16, values * bits / 8
    source = "4 hidden + the inner widths of one block × tokens read at once; half of that when buffers are reused"
    return between(low, 2 * mid, "B", "activations", source, mid=mid, provenance="modelled").to("GB")


def framework(devices: int = 1) -> Range:
    """Bytes that a runtime takes on each device beside the model: context, kernels, buffers to talk to others.

    An accelerator's context with the kernels of a framework is 0.5 to 1.5 GB; collective buffers and uneven cuts add
    0.5 to 1 GB where a model is spread.
    """
    context = between(
        0.5,
        1.5,
        "GB",
        "runtime context and kernels",
        "CUDA context + cuBLAS + PyTorch kernels, usual readings of nvidia-smi; ours",
        mid=1.0,
        provenance="modelled",
    )
    if devices == 1:
        return context
    spread = between(
        0.5,
        1.0,
        "GB",
        "buffers between devices",
        "NCCL buffers and uneven cuts of tensor parallelism, usual readings; ours",
        mid=0.75,
        provenance="modelled",
    )
    return total(context, spread).named(
        "runtime on each device", "context + buffers between devices", "usual readings of nvidia-smi"
    )


def state_bytes(states: States = "mixed") -> Range:
    """Bytes that training holds for each parameter.

    ``mixed``: 2 weights + 2 gradients + 12 (32-bit weights, momentum, variance): 16. ``16-bit``: everything in 16
    bits, 2 + 2 + 4: 8. ``unknown``: anything between.
    """
    bounds = {"mixed": (16.0, 16.0), "16-bit": (8.0, 8.0), "unknown": (8.0, 16.0)}[states]
    name = f"training states per parameter, {states}"
    return between(
        *bounds, "B/param", name, f"2 + 2 + 12 bytes (mixed) to 2 + 2 + 4 (16-bit): {_ZERO}", provenance="modelled"
    )


def sharded_state_bytes(stage: int, devices: int) -> Range:
    """Bytes for each parameter on one of ``devices`` under a ZeRO stage: 16; 4 + 12/n; 2 + 14/n; 16/n."""
    if stage not in (0, 1, 2, 3):
        raise BadOption(f"zero={stage!r}: the stages are 0, 1, 2 and 3.")
    n = positive("devices", devices)
    value = (16.0, 4 + 12 / n, 2 + 14 / n, 16 / n)[stage]
    formula = ("2 + 2 + 12", "2 + 2 + 12/n", "2 + (2 + 12)/n", "(2 + 2 + 12)/n")[stage]
    return exact(
        value,
        "B/param",
        f"training states per parameter, ZeRO-{stage} on {n:g}",
        f"{formula}: {_ZERO}",
        provenance="modelled",
    )


def training_memory(
    params: Range | float,
    method: Method = "full",
    *,
    shape: Shape | None = None,
    states: States = "mixed",
    zero: int = 0,
    devices: int = 1,
    rank: int = 16,
    tokens: float = 0,
) -> Range:
    """Bytes that training holds, on each device when ``zero`` shards them over several.

    ``full``: parameters × states. ``lora``: 16-bit weights, and states for the adapters only. ``qlora``: the same over
    4-bit NormalFloat. ``tokens``, the tokens of one micro-batch, adds the activations kept with recomputation: one
    hidden vector a layer and one block's inside (Korthikanti et al. 2022, section 5).
    """
    count = params if isinstance(params, Range) else exact(positive("params", params), "param", "parameters", "given")
    if method == "full":
        per_parameter = sharded_state_bytes(zero, devices) if zero else state_bytes(states)
        held = (count * per_parameter).named("training states", "parameters × bytes per parameter", _ZERO, unit="GB")
    elif method in ("lora", "qlora"):
        base = weights(params, "nf4" if method == "qlora" else "bf16", shape)
        held = total(base, _adapters(count.mid, shape, rank)).named(
            f"{method} states", "frozen weights + adapters", "arXiv:2305.14314"
        )
    else:
        raise BadOption(f"method={method!r} is none of full, lora, qlora.")
    if shape is None or not tokens:
        return held
    return total(held, kept_activations(shape, tokens)).named("training memory", "states + activations", "see inputs")


def kept_activations(shape: Shape, tokens: float) -> Range:
    """Bytes of activations in training, from full recomputation to none: 2·s·h to 34·s·h a layer."""
    one = positive("tokens", tokens) * shape.hidden * shape.layers
    inside = 34 * tokens * shape.hidden
    source = (
        "arXiv:2205.05198 equation 2 and section 5: 2·tokens·hidden a layer "
        "recomputed, 34 kept; attention scores not kept"
    )
    return between(
        2 * one + inside, 34 * one, "B", "activations kept", source, mid=2 * one + inside, provenance="modelled"
    ).to("GB")


def _adapters(params: float, shape: Shape | None, rank: int) -> Range:
    """16 bytes for each parameter of adapters on every matrix of every block."""
    positive("rank", rank)
    source = (
        "rank × (rows + columns) of every matrix of a block, 16 bytes each: "
        "arXiv:2106.09685; arXiv:2305.14314 section 4"
    )
    if shape is None:  # a rank-16 adapter on all matrices is 0.3 to 1.5 % of a model
        return between(
            0.001 * params, 0.015 * params, "param", "adapter parameters", source, mid=0.005 * params
        ) * exact(16, "B/param", "states per adapter parameter", _ZERO)
    hidden, queries, keys = shape.hidden, shape.heads * shape.head_dim, shape.kv_heads * shape.head_dim
    sides = 2 * (hidden + queries) + 2 * (hidden + keys) + (3 if shape.gated else 2) * (hidden + shape.ffn)
    count = exact(
        rank * sides * shape.layers, "param", f"adapter parameters, rank {rank}", source, provenance="modelled"
    )
    return count * exact(16, "B/param", "states per adapter parameter", _ZERO)
