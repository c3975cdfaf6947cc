# SPDX-License-Identifier: Apache-2.0
"""Arithmetic that training takes, and what share of a machine's peak a run used.

C = 6 N D (Kaplan et al. 2020, arXiv:2001.08361, section 2.1): 2 N forward and 4 N backward for each token, N the
*active* parameters. Attention adds 12 · layers · heads · head size · context a token (Chowdhery et al. 2022,
arXiv:2204.02311, appendix B). Recomputing activations adds up to 2 N more. Papers differ in which of these they count,
so the range runs from 6 N D to 8 N D with attention.
"""

from __future__ import annotations

from bigenough.atlas.checks import positive
from bigenough.atlas.shape import Shape
from bigenough.errors import BadOption
from bigenough.quantity.range import Range, exact

__all__ = [
    "attention_flops",
    "delivered_flops",
    "inference_flops",
    "mfu",
    "petaflop_days",
    "training_flops",
    "works_on_tokens",
]

_SIX_ND = "C = 6 N D, N active: Kaplan et al. 2020, arXiv:2001.08361 section 2.1"
_NO_TOKENS = ("embedding table", "recommend", "conv", "cnn", "rl", "diffusion", "evoformer")


_TWO = exact(2, "FLOP/param/token", "operations per parameter and token", "a product and a sum")
_SIX = exact(
    6, "FLOP/param/token", "operations per parameter and token", "2 forward + 4 backward: arXiv:2001.08361 section 2.1"
)
_EIGHT = exact(8, "FLOP/param/token", "the same with full recomputation", "2 more forward: arXiv:2205.05198 section 5")


def training_flops(
    active: Range | float,
    tokens: float,
    *,
    shape: Shape | None = None,
    context: int = 0,
    architecture: str = "",
    counted: str = "model",
) -> Range:
    """Floating-point operations of a training run.

    Args:
        active: parameters that one token meets; all of them in a dense model.
        tokens: tokens seen, repeats counted.
        shape: adds attention when given.
        context: length of the training sequences; the shape's own when 0.
        architecture: as the atlas calls it; models that 6 N D does not describe are refused.
        counted: ``model`` puts the middle at what the model needs, ``hardware`` at what it runs with recomputation.

    Example:
        >>> f"{training_flops(175e9, 300e9).to('FLOP').low:.3g}"
        '3.15e+23'
    """
    refuse_other_than_tokens(architecture)
    count = _parameters(active)
    seen = exact(positive("tokens", tokens), "token", "tokens D", "given")
    six, eight = _SIX, _EIGHT
    model = (six * count * seen).to("EFLOP")
    extra = attention_flops(shape, tokens, context) if shape and (context or shape.context) else None
    most = (eight * count * seen).to("EFLOP")
    inputs: tuple[Range, ...] = (six, count, seen, eight)
    mid, high = model.mid, most.mid
    if extra is not None:
        mid, high, inputs = mid + extra.mid, high + extra.mid * 4 / 3, (*inputs, extra)
    chosen = high if counted == "hardware" else mid
    name = "training operations C"
    formula = "6 N D" + (" + attention" if extra else "") + "; high: with recomputation, 8 N D"
    return Range(model.mid, chosen, high, "EFLOP", name=name, formula=formula, source=_SIX_ND, inputs=inputs)


def attention_flops(shape: Shape, tokens: float, context: int = 0) -> Range:
    """Operations of attention in training: 12 · layers · heads · head size · context a token, no causal saving."""
    full = context or shape.context
    positive("context", full)
    length = min(full, shape.window or full)
    whole = 1.0 if not shape.window else 1 / shape.global_every if shape.global_every else 0.0
    spans = shape.layers * (whole * full + (1 - whole) * length)
    value = 12 * spans * shape.heads * shape.head_dim * positive("tokens", tokens)
    source = "12 L H Q T for each token: Chowdhery et al. 2022, arXiv:2204.02311 appendix B"
    return exact(value, "FLOP", "attention operations", source, provenance="modelled").to("EFLOP")


def works_on_tokens(architecture: str) -> bool:
    """Whether a model uses each active parameter once for every token; recommenders, convolutions and diffusion do not.

    >>> works_on_tokens("dense decoder"), works_on_tokens("embedding tables + MLP")
    (True, False)
    """
    lowered = architecture.lower()
    words = lowered.replace("-", " ").replace("+", " ").split()
    return not any(mark in lowered if len(mark) > 3 else mark in words for mark in _NO_TOKENS)


def writes(architecture: str) -> bool:
    """Whether a model writes one token after another; encoders, and readouts of a latent array, answer at once.

    >>> writes("dense encoder (distilled)"), writes("dense enc-dec"), writes("dense decoder/encoder"), writes("")
    (False, True, True, True)
    """
    lowered = architecture.lower()
    if any(mark in lowered for mark in ("latent attention", "bilstm")):
        return False
    return "encoder" not in lowered or "decoder" in lowered


def refuse_other_than_tokens(architecture: str) -> None:
    """Raise ``BadOption`` for models whose work is not a constant number of operations per parameter and token."""
    if not works_on_tokens(architecture):
        raise BadOption(
            f"6 N D does not describe a model of the kind {architecture!r}: its parameters "
            f"are not each used once for every token "
            "(a recommender looks up a few rows of tables that fill terabytes; a "
            "convolution reuses each weight at every place). "
            "Plan it by memory, or give its operations with --flops."
        )


def mfu(flops_per_token: Range, tokens_per_s: float, devices: float, peak: float) -> Range:
    """Model FLOPs utilisation: operations per token × tokens per second / (devices × peak), as a share.

    >>> round(mfu(exact(6 * 540e9, "FLOP/token", "6 N", "PaLM"), 238.3e3, 6144, 275e12).to("%").mid, 1)
    45.7
    """
    speed = exact(positive("tokens per second", tokens_per_s), "token/s", "tokens per second", "given")
    chips = exact(positive("devices", devices), "device", "devices", "given")
    top = exact(positive("peak", peak), "FLOP/s/device", "peak of one device", "given")
    source = "Chowdhery et al. 2022, arXiv:2204.02311 appendix B"
    return (flops_per_token * speed / (chips * top)).named(
        "utilisation", "operations per second / peak", source, unit="%"
    )


def delivered_flops(devices: float, seconds: float, flops_per_s: float) -> Range:
    """Operations that some devices deliver in some time at a measured rate."""
    work = positive("devices", devices) * positive("seconds", seconds) * positive("rate", flops_per_s)
    return exact(work, "FLOP", "delivered operations", "devices × time × rate", provenance="modelled").to("EFLOP")


def inference_flops(active: Range | float) -> Range:
    """Operations for one token in use: 2 N."""
    source = "2 N for a forward pass: Kaplan et al. 2020, arXiv:2001.08361 section 2.1"
    return (_TWO * _parameters(active)).named("operations per token", "2 N", source, unit="FLOP/token")


def _parameters(active: Range | float) -> Range:
    if isinstance(active, Range):
        return active
    return exact(positive("active parameters", active), "param", "active parameters N", "given")


def petaflop_days(flops: Range) -> float:
    """Operations in days of 10^15 a second.

    >>> round(petaflop_days(exact(3.14e23, "FLOP", "GPT-3", "an example")), -1)
    3630.0
    """
    return flops.to("FLOP").mid / (1e15 * 86_400)
