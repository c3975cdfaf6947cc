# SPDX-License-Identifier: Apache-2.0
"""What all rungs that stand on a pre-trained encoder share: which one it is, and whose weights those are."""

from __future__ import annotations

from collections.abc import Mapping

from bigenough.models import DEFAULT_ENCODER, resolve
from bigenough.models.tokenizer_file import vocabulary_note
from bigenough.rungs.protocol import Workbench

__all__ = ["OnEncoder"]


class OnEncoder:
    """A rung that stands on an encoder; ``encoder`` is a name or folder that ``models.resolve`` understands."""

    def __init__(self, encoder: str = DEFAULT_ENCODER) -> None:
        self.encoder = encoder

    def weights(self, bench: Workbench) -> Mapping[str, str]:
        """The encoder's weights, also where only token vectors are distilled from it.

        ``note`` is there too where the tokenizer beside them may be another model's, or their copy is not whole.
        Raises ``WeightsNotFound`` or ``UnsupportedModel``.
        """
        weights = resolve(self.encoder, cache=bench.cache, offline=bench.offline)
        key = ("vocabulary note", weights.identity)
        if key not in bench.memo:
            bench.memo[key] = vocabulary_note(weights.folder)
        notes = [note for note in (weights.note, bench.memo[key]) if note is not None]
        return {**weights.as_json(), "note": "; ".join(notes)} if notes else weights.as_json()
