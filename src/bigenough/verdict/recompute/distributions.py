# SPDX-License-Identifier: Apache-2.0
"""The few distributions that a verdict needs, from the standard library alone."""

from __future__ import annotations

import math
from collections.abc import Callable
from statistics import NormalDist

__all__ = ["beta_share", "binomial_tail", "bisect", "normal", "student_quantile"]

normal = NormalDist()


def bisect(rises: Callable[[float], bool], low: float, high: float) -> float:
    """The point between low and high from which on ``rises`` is true.

    >>> round(bisect(lambda x: x * x >= 2, 0, 2), 6)
    1.414214
    """
    for _ in range(200):
        middle = (low + high) / 2
        if middle in (low, high):
            break
        low, high = (low, middle) if rises(middle) else (middle, high)
    return (low + high) / 2


def beta_share(a: float, b: float, x: float) -> float:
    """The regularised incomplete beta function I_x(a, b) by its continued fraction (DLMF 8.17.22).

    >>> round(beta_share(2, 3, 0.5), 6)
    0.6875
    """
    if x <= 0:
        return 0.0
    if x >= 1:
        return 1.0
    if x > (a + 1) / (a + b + 2):
        return 1.0 - beta_share(b, a, 1 - x)
    front = math.exp(math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b) + a * math.log(x) + b * math.log1p(-x)) / a
    tiny = 1e-300
    numerator, denominator = 1.0, 1.0 - (a + b) * x / (a + 1)
    denominator = 1.0 / (denominator if abs(denominator) > tiny else tiny)
    fraction = denominator
    for m in range(1, 10_000):
        for coefficient in (
            m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m)),
            -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1)),
        ):
            denominator = 1.0 + coefficient * denominator
            denominator = 1.0 / (denominator if abs(denominator) > tiny else tiny)
            numerator = 1.0 + coefficient / numerator
            numerator = numerator if abs(numerator) > tiny else tiny
            step = denominator * numerator
            fraction *= step
        if abs(step - 1.0) < 1e-16:
            break
    return front * fraction


def student_quantile(level: float, degrees: int) -> float:
    """The t that Student's variable exceeds with probability ``level`` below one half.

    >>> round(student_quantile(0.05, 10), 6)
    1.812461
    """
    return bisect(lambda t: beta_share(degrees / 2, 0.5, degrees / (degrees + t * t)) / 2 <= level, 0.0, 1e6)


def binomial_tail(hits: int, n: int, share: float) -> float:
    """P(X ≥ hits) for X binomial.

    >>> binomial_tail(1, 2, 0.5)
    0.75
    """
    return 1.0 if hits <= 0 else beta_share(hits, n - hits + 1, share) if hits <= n else 0.0
