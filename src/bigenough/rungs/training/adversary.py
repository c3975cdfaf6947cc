# SPDX-License-Identifier: Apache-2.0
"""The small step in the space of token vectors that makes a batch's loss rise most.

A network that is to be right after that step as well learns words rather than the rows it has seen: adversarial
training (Miyato, Dai & Goodfellow 2017, "Adversarial training methods for semi-supervised text classification",
arXiv:1605.07725, equations 5 and 6). The length of the step is a share of that of one vector, the root of the mean
square over the text, as vectors differ from encoder to encoder, where the paper normalises them; a long text is moved
no further than a short one, lest the step undo whole words. It decides nothing about when such steps are worth
their time, which is that of a second pass each.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

__all__ = ["Adversary"]


class Adversary:
    """Sees the vectors with which learning begins in one pass, and moves them in the next one over the same rows.

    Args:
        body: transformers' encoder, with or without low-rank updates.
        share: the length of a text's step, as a share of the length of one of its vectors.
        frozen_layers: layers from the bottom that do not learn: the vectors are then those that leave them.
    """

    def __init__(self, body: Any, share: float, frozen_layers: int = 0) -> None:
        place = f"encoder.layer.{frozen_layers - 1}" if frozen_layers else "embeddings.word_embeddings"
        self._entry = next(part for name, part in body.named_modules() if name.endswith(place))
        self.share = share
        self._seen: torch.Tensor | None = None

    @contextmanager
    def seeing(self) -> Iterator[None]:
        """A block with one pass; after it, the gradients of its loss have to be taken."""
        self._seen = None  # a pass that memory did not suffice for would be held on to

        def keep(_: nn.Module, __: Any, vectors: torch.Tensor) -> torch.Tensor:
            self._seen = vectors if vectors.requires_grad else vectors.detach().requires_grad_()
            self._seen.retain_grad()
            return self._seen

        with _hooked(self._entry, keep):
            yield

    @contextmanager
    def moving(self, strength: float = 1.0) -> Iterator[None]:
        """A block with a second pass, in which the vectors of the first one have made this share of their step."""
        step, self._seen = strength * self._step(), None

        def move(_: nn.Module, __: Any, vectors: torch.Tensor) -> torch.Tensor:
            return vectors + step

        with _hooked(self._entry, move):
            yield

    def _step(self) -> torch.Tensor:
        """Equation 5, a text at a time; what has a gradient that is no number, as in fp16 it may, does not move.

        Padding has no gradient, and does not count as a part of its text.
        """
        if self._seen is None or self._seen.grad is None:
            raise RuntimeError("no gradients of a pass were taken")
        vectors, gradient = self._seen.detach().float(), torch.nan_to_num(self._seen.grad.float(), 0.0, 0.0, 0.0)
        real = (gradient != 0).any(dim=2)
        length = (vectors.square().sum(dim=2) * real).sum(dim=1).div(real.sum(dim=1).clamp_min(1)).sqrt()
        factor = self.share * length / gradient.flatten(1).norm(dim=1).clamp_min(1e-30)
        step: torch.Tensor = (gradient * factor[:, None, None]).to(self._seen.dtype)
        return step


@contextmanager
def _hooked(part: nn.Module, hook: Any) -> Iterator[None]:
    handle = part.register_forward_hook(hook)
    try:
        yield
    finally:
        handle.remove()
