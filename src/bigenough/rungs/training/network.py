# SPDX-License-Identifier: Apache-2.0
"""An encoder with its pooling and its head, as torch trains it, and which weights learn at which rate."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.nn import functional

from bigenough.models.bert import BertModel
from bigenough.rungs.predictors.head import DenseHead
from bigenough.rungs.training.body import arrays_back, torch_body
from bigenough.rungs.training.lora import LORA_MULTIPLE, folded, with_lora
from bigenough.rungs.training.machine import Machine
from bigenough.rungs.training.recipe import Recipe
from bigenough.rungs.training.rows import Batch

__all__ = ["Network", "built", "optimiser_of"]


class Network(nn.Module):
    """Scores of a batch; the matrix products of the encoder may run in half the bits, pooling and head never do.

    ``normalise`` scales each text's vector to length 1 before the head sees it; no training does.
    """

    normalise = False

    def __init__(self, body: Any, head: nn.Linear, pooling: str) -> None:
        super().__init__()
        self.body, self.head, self.pooling = body, head, pooling

    def forward(self, batch: Batch) -> torch.Tensor:
        """The (rows, classes) scores."""
        tokens = self.body(input_ids=batch.ids, attention_mask=batch.mask).last_hidden_state
        with torch.autocast(tokens.device.type, enabled=False):
            pooled = self._pooled(tokens.float(), batch.mask)
            return self.head(functional.normalize(pooled) if self.normalise else pooled)  # type: ignore[no-any-return]

    def _pooled(self, tokens: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor:
        if self.pooling == "cls":
            return tokens[:, 0]
        if mask is None:
            return tokens.mean(dim=1)
        real = mask.to(tokens.dtype)
        return torch.bmm(real[:, None], tokens)[:, 0] / real.sum(dim=1, keepdim=True)

    def learned(self) -> dict[str, torch.Tensor]:
        """The weights that training changes, by name."""
        return {name: value for name, value in self.named_parameters() if value.requires_grad}

    def restore(self, values: Mapping[str, torch.Tensor]) -> None:
        """Put back what ``learned`` gave."""
        with torch.no_grad():
            for name, parameter in self.learned().items():
                parameter.copy_(values[name])

    def arrays(self, body: BertModel, used: NDArray[np.int64]) -> tuple[BertModel, NDArray[np.float32], Any]:
        """The encoder's arrays, (d, k) weights and (k,) biases of the head. LoRA's updates are folded in for good."""
        module = folded(self.body) if hasattr(self.body, "merge_and_unload") else self.body
        weight = self.head.weight.detach().cpu().numpy().T.astype(np.float32)
        return arrays_back(module, body, used), weight, self.head.bias.detach().cpu().numpy().astype(np.float64)


def built(
    body: BertModel,
    used: NDArray[np.int64],
    recipe: Recipe,
    prior: NDArray[np.float64],
    head: DenseHead | None,
    machine: Machine,
) -> Network:
    """The network at its start.

    Args:
        body: the encoder.
        used: the tokens of its table that come along.
        recipe: method, dropout and frozen layers are read.
        prior: (k,) shares of the classes. A fresh head says just these: weights of zero and their logarithms.
        head: or the head to begin with, of the same k classes.
        machine: where it will live.
    """
    module = torch_body(body, used, recipe.dropout, machine.attention)
    if recipe.method == "lora":
        module = with_lora(module, recipe.lora_rank)
    for name, parameter in module.named_parameters():
        if recipe.frozen_layers and _depth(name, len(body.layers)) <= recipe.frozen_layers:
            parameter.requires_grad_(False)
    linear = nn.Linear(body.config.width, len(prior))
    with torch.no_grad():
        if head is None:
            linear.weight.zero_()
            linear.bias.copy_(torch.from_numpy(np.log(prior)))
        else:
            linear.weight.copy_(torch.from_numpy(head.weight.T.astype(np.float32) / head.temperature))
            linear.bias.copy_(torch.from_numpy((head.bias / head.temperature).astype(np.float32)))
    return Network(module, linear, body.config.pooling).to(machine.device)


def optimiser_of(network: Network, recipe: Recipe, layers: int) -> torch.optim.AdamW:
    """AdamW (Loshchilov & Hutter 2019), a group for each learning rate; biases, norms and embeddings do not decay.

    ``highest`` of a group is its learning rate at the top of the schedule.
    """
    groups: dict[tuple[float, float], list[torch.Tensor]] = {}
    for name, parameter in network.learned().items():
        rate = recipe.learning_rate
        if name.startswith("head."):
            rate *= recipe.head_multiple
        else:
            rate *= recipe.layer_decay ** (layers - _depth(name, layers))
            rate *= LORA_MULTIPLE if recipe.method == "lora" else 1.0
        decay = recipe.weight_decay if parameter.ndim > 1 and "embeddings." not in name else 0.0
        groups.setdefault((rate, decay), []).append(parameter)
    return torch.optim.AdamW(
        [
            {"params": values, "lr": rate, "highest": rate, "weight_decay": decay}
            for (rate, decay), values in groups.items()
        ],
        fused=True,
    )


def _depth(name: str, layers: int) -> int:
    """0 for the embeddings, 1 for the lowest layer, ``layers`` for the highest.

    >>> _depth("embeddings.LayerNorm.weight", 6), _depth("body.encoder.layer.2.output.dense.bias", 6)
    (0, 3)
    """
    found = re.search(r"encoder\.layer\.(\d+)\.", name)
    return int(found[1]) + 1 if found else 0 if "embeddings." in name else layers
