# SPDX-License-Identifier: Apache-2.0
"""A fitted model in, a smaller one out, which is a candidate like any other and has to earn the verdict itself.

Each step is a rung made from a parent. It decides how the parent is cut or coded, by looking at the select rows, and
refuses what went bad there: flips above those allowed for a step that keeps the weights, accuracy lost for one that
learns again. It refuses to say whether what is left is good enough; certify is not an argument of anything here.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bigenough.rungs.parent import Parent
    from bigenough.rungs.protocol import Rung

__all__ = ["encoder_steps"]


def encoder_steps(parent: Parent, *, allowed_flips: float = 0.015, healed: bool = True) -> Sequence[Rung]:
    """The steps on an encoder, in the order they should be tried: words, 8 bits, layers, neurons and heads.

    The 8 bits are best taken of the product of the first step, which is a parent too.

    Args:
        parent: a candidate whose predictor is an encoder in 32 bits.
        allowed_flips: the share of labels that may change; for healed steps the accuracy that may be lost.
        healed: also the steps that learn again, which take long.
    """
    from bigenough.shrink.int8 import Int8Rung
    from bigenough.shrink.layers import LayersRung
    from bigenough.shrink.structure import StructureRung
    from bigenough.shrink.vocabulary import VocabularyRung

    quick: list[Rung] = [VocabularyRung(parent, allowed_flips), Int8Rung(parent, allowed_flips)]
    return [*quick, LayersRung(parent, allowed_flips), StructureRung(parent, allowed_flips)] if healed else quick
