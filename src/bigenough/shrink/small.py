# SPDX-License-Identifier: Apache-2.0
"""The steps by which models without an encoder are made smaller, in order."""

from __future__ import annotations

from bigenough.rungs.parent import Parent
from bigenough.rungs.protocol import Rung
from bigenough.shrink.features import FeaturesRung
from bigenough.shrink.tables import TablesRung

__all__ = ["small_steps"]


def small_steps(parent: Parent, allowed_flips: float = 0.015) -> list[Rung]:
    """The rungs that make a smaller model of this one; none for kinds without such a step.

    Args:
        parent: a candidate of the kind "static" or "linear".
        allowed_flips: the largest share of labels that a step may change.

    >>> def never():
    ...     raise AssertionError
    >>> [step.name for step in small_steps(Parent("linear", "linear-1", "linear", 80, never, never))]
    ['linear-few-features']
    """
    if parent.kind == "static":
        return [TablesRung(parent, allowed_flips)]
    if parent.kind == "linear":
        return [FeaturesRung(parent, allowed_flips)]
    return []
