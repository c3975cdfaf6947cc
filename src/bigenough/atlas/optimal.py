# SPDX-License-Identifier: Apache-2.0
"""Whether a model of some size saw too few tokens or too many, and what the same budget would have bought.

Hoffmann et al. 2022 (arXiv:2203.15556): Table 3 (about 20 tokens for each parameter at the optimum of compute) and
equation 10, the loss L(N, D) = E + A/N^α + B/D^β; its coefficients as corrected by Besiroglu et al. 2024
(arXiv:2404.10102). Serving in the sum: Sardana et al. 2024 (arXiv:2401.00448, equation 2).
"""

from __future__ import annotations

import math
from typing import Literal

from bigenough.atlas.checks import positive
from bigenough.atlas.compute import training_flops
from bigenough.quantity.range import Range, exact

__all__ = ["budget_optimum", "lifetime_optimum", "loss", "optimal_tokens", "training_factor", "verdict"]

Verdict = Literal["undertrained", "about optimal", "overtrained (inference-optimal)"]

_E, _A, _B, _ALPHA, _BETA = 1.8172, 482.01, 2085.43, 0.3478, 0.3658
_FIT = "Besiroglu et al. 2024, arXiv:2404.10102 (refit of Hoffmann et al. 2022, equation 10)"
# tokens per parameter at the optimum: Besiroglu's fit, Table 3, and the upper end of its approaches at large budgets
_RATIO = (17.0, 20.0, 26.0)


def optimal_tokens(params: Range | float) -> Range:
    """Tokens at which a model of this size is the best use of its training budget.

    >>> round(optimal_tokens(70e9).mid / 1e12, 2)
    1.4
    """
    count = (
        params if isinstance(params, Range) else exact(positive("parameters", params), "param", "parameters", "given")
    )
    source = "arXiv:2203.15556 Table 3 (20 to 22 by approach 1) and arXiv:2404.10102"
    ratio = Range(
        *_RATIO, "token/param", name="tokens per parameter at the optimum", source=source, provenance="published"
    )
    return (count * ratio).named("compute-optimal tokens", "parameters × about 20", source, unit="token")


def training_factor(params: Range | float, tokens: Range | float) -> Range:
    """Tokens seen over the optimal number: below 1 under-, above 1 overtrained."""
    seen = tokens if isinstance(tokens, Range) else exact(positive("tokens", tokens), "token", "tokens seen", "given")
    return (seen / optimal_tokens(params)).named(
        "tokens over the optimum", "seen / optimal", "arXiv:2203.15556", unit="x"
    )


def verdict(params: float, tokens: float) -> Verdict:
    """The factor in words; within a factor of two the loss differs by less than the fit's own error.

    >>> verdict(175e9, 300e9), verdict(70e9, 1.4e12)
    ('undertrained', 'about optimal')
    """
    factor = training_factor(params, tokens).mid
    if factor < 0.5:
        return "undertrained"
    return "overtrained (inference-optimal)" if factor > 2 else "about optimal"


def budget_optimum(flops: float) -> tuple[Range, Range]:
    """The parameters and tokens that a number of operations buys best: C = 6 N D with D = ratio × N."""
    work = exact(
        positive("operations", flops), "FLOP", "operations C", "6 N D of the tokens seen", provenance="modelled"
    )
    low, mid, high = sorted(math.sqrt(flops / (6 * ratio)) for ratio in _RATIO)
    source = "C = 6 N D and D = about 20 N: arXiv:2203.15556 Table 3"
    ratio = Range(
        *_RATIO, "token/param", name="tokens per parameter at the optimum", source=source, provenance="published"
    )
    inputs = (work, ratio)
    size = Range(
        low,
        mid,
        high,
        "param",
        inputs=inputs,
        name="best size for the budget",
        formula="√(C / (6 × ratio))",
        source=source,
    )
    seen = [flops / (6 * one) for one in (high, mid, low)]
    return size, Range(
        seen[0],
        seen[1],
        seen[2],
        "token",
        name="best tokens for the budget",
        formula="C / (6 × best size)",
        source=source,
        inputs=inputs,
    )


def loss(params: float, tokens: float) -> Range:
    """Loss in nats a token on web text: comparable between sizes, not between data sets."""
    value = _E + _A / positive("parameters", params) ** _ALPHA + _B / positive("tokens", tokens) ** _BETA
    return Range(value * 0.99, value, value * 1.01, "", name="predicted loss", formula="E + A/N^α + B/D^β", source=_FIT)


def lifetime_optimum(params: float, tokens: float, served_tokens: float) -> tuple[Range, Range, Range]:
    """The size and tokens of equal loss that cost least when serving counts too, and the share they save.

    Minimises 6 N D + 2 N served over all (N, D) with the loss of the model at hand (Sardana et al. 2024, equation 2).
    """
    positive("served tokens", served_tokens)
    wanted = _A / positive("parameters", params) ** _ALPHA + _B / positive("tokens", tokens) ** _BETA

    def matching(size: float) -> float | None:
        left = wanted - _A / size**_ALPHA
        return (_B / left) ** (1 / _BETA) if left > 0 else None

    best = (math.inf, params, tokens)
    for step in range(-400, 401):
        size = params * 10 ** (step / 200)
        needed = matching(size)
        if needed is not None and needed < 1e17:
            best = min(best, (6 * size * needed + 2 * size * served_tokens, size, needed))
    cost, size, needed = best
    now = training_flops(params, tokens).low * 1e18 + 2 * params * served_tokens
    source = f"6 N D + 2 N served at equal loss: arXiv:2401.00448 equation 2, with {_FIT}"
    return (
        exact(size, "param", "best size over the lifetime", source, provenance="modelled"),
        exact(needed, "token", "tokens it needs for the same loss", source, provenance="modelled"),
        exact(1 - cost / now, "x", "operations saved", source, provenance="modelled"),
    )
