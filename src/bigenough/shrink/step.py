# SPDX-License-Identifier: Apache-2.0
"""What every step that makes a model smaller shares: a parent, how much may change, and the name of the product."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping

from bigenough.rungs.parent import Parent
from bigenough.rungs.protocol import Settings, Trial, Workbench
from bigenough.task import Examples

__all__ = ["ShrinkStep"]


class ShrinkStep(ABC):
    """The part of a rung that is the same for all steps.

    Args:
        parent: the candidate that is made smaller.
        allowed_flips: how much may change; each step says of what.
    """

    version = 1
    curve = False
    step: str

    def __init__(self, parent: Parent, allowed_flips: float = 0.015) -> None:
        self.parent = parent
        self.allowed_flips = allowed_flips
        self.name = f"{parent.name}-{self.step}"
        self.made_from = parent.folder

    def weights(self, bench: Workbench) -> Mapping[str, str]:
        """The parent's: a smaller model stands on the same weights, under the same licence."""
        return self.parent.weights

    @abstractmethod
    def first_settings(self, examples: Examples, n_classes: int) -> Settings:
        """The mildest variant; with select at hand, it decides."""

    def suggest(self, trial: Trial, examples: Examples, n_classes: int) -> Settings:
        """Nothing to search: one fit tries all variants."""
        return self.first_settings(examples, n_classes)
