# SPDX-License-Identifier: Apache-2.0
"""Low-rank updates of an encoder's matrices, through peft: put in before training, folded in after it."""

from __future__ import annotations

from typing import Any

from bigenough.errors import MissingExtra

__all__ = ["LORA_MULTIPLE", "folded", "with_lora"]

LORA_MULTIPLE = 10.0
"""The updates' learning rate, as a multiple of what suits full training: they start at zero and are few."""


def with_lora(module: Any, rank: int) -> Any:
    """The encoder with every weight frozen and an update of this rank beside each matrix of its layers."""
    try:
        from peft import LoraConfig, get_peft_model
    except ImportError as error:
        raise MissingExtra("Training by LoRA", "peft", "pip install 'bigenough[tune]'") from error
    config = LoraConfig(
        r=rank, lora_alpha=2 * rank, lora_dropout=0.0, target_modules=["query", "key", "value", "dense"]
    )
    return get_peft_model(module, config)


def folded(module: Any) -> Any:
    """The plain encoder, with the updates added to its matrices."""
    return module.merge_and_unload()
