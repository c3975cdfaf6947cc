# SPDX-License-Identifier: Apache-2.0
"""The processes that train one model together: usually one, several under ``accelerate launch``.

Each takes every so-manieth row of a batch; gradients are summed, so that the step is the one that a single process
would have made of the whole batch.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import torch

__all__ = ["Team", "this_team"]


class Team:
    """One process among ``size``, the ``rank``-th; alone by default."""

    rank = 0
    size = 1
    device: torch.device | None = None

    def add_up(self, tensors: Sequence[torch.Tensor]) -> None:
        """Put the sum over all processes in place of each tensor."""

    def first_says(self, value: float) -> float:
        """The first process's value, in all of them."""
        return value


class _Accelerated(Team):
    def __init__(self) -> None:
        from accelerate import Accelerator

        self._accelerator: Any = Accelerator(cpu=not torch.cuda.is_available())
        self.rank, self.size = self._accelerator.process_index, self._accelerator.num_processes
        self.device = self._accelerator.device

    def add_up(self, tensors: Sequence[torch.Tensor]) -> None:
        flat = torch.cat([tensor.reshape(-1) for tensor in tensors])
        flat = self._accelerator.reduce(flat, reduction="sum")
        for tensor, part in zip(tensors, flat.split([tensor.numel() for tensor in tensors]), strict=True):
            tensor.copy_(part.view_as(tensor))

    def first_says(self, value: float) -> float:
        told = torch.tensor([value if self.rank == 0 else 0.0], dtype=torch.float64, device=self.device)
        return float(self._accelerator.reduce(told, reduction="sum")[0])


def this_team() -> Team:
    """The processes that ``accelerate launch`` (or torchrun) started with this one; else this one alone."""
    return _Accelerated() if int(os.environ.get("WORLD_SIZE", "1")) > 1 else Team()
