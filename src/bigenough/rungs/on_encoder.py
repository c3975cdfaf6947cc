# SPDX-License-Identifier: Apache-2.0
"""What all rungs that stand on a pre-trained encoder share: which one it is, and whose weights those are."""

from __future__ import annotations

from collections.abc import Mapping

from bigenough.models import DEFAULT_ENCODER, resolve
from bigenough.rungs.protocol import Workbench

__all__ = ["OnEncoder"]


class OnEncoder:
    """A rung that stands on an encoder; ``encoder`` is a name or folder that ``models.resolve`` understands."""

    def __init__(self, encoder: str = DEFAULT_ENCODER) -> None:
        self.encoder = encoder

    def weights(self, bench: Workbench) -> Mapping[str, str]:
        """The encoder's weights, also where only token vectors are distilled from it."""
        return resolve(self.encoder, cache=bench.cache, offline=bench.offline).as_json()
