# SPDX-License-Identifier: Apache-2.0
"""Token rows, pair rows and head tuned together by gradient descent, in torch.

A text's scores are mean vector · W + b + Σ rows of its tokens and pairs, one number a class each. W begins where
logistic regression on the encoder's vectors ends, the rows begin at zero: what the labels say of a token is learned on
top of what the encoder says. Few rows occur in a batch, so that a step touches few numbers: Adagrad for them (Duchi,
Hazan & Singer 2011, whose steps shrink for each number by how often it moved), AdamW for W and b.

It decides when to stop; which texts, targets and settings it gets is decided by the rung.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.sparse import csr_array
from torch.nn import functional

from bigenough.errors import RungFailed

__all__ = ["Recipe", "Rows", "Tuned", "tune"]

HEAD_RATE = 0.1
"""AdamW's step for W and b beside Adagrad's for rows: W begins near its place."""
MOST_EPOCHS = 40


@dataclass(frozen=True)
class Recipe:
    """How to tune.

    Attributes:
        rate: Adagrad's step.
        batch: texts in a step.
        dropout: the chance that a row of a text is left out of a step; the others count for it.
        smoothing: how much of each target goes to all classes alike (Szegedy et al. 2016, section 7).
        patience: epochs without a better score after which it stops, when there is a score.
        epochs: how many there are at most.
        seed: of order and dropout.
    """

    rate: float
    batch: int
    dropout: float
    smoothing: float
    patience: int
    epochs: int
    seed: int


class Rows(NamedTuple):
    """Texts as the tuning sees them: (n, d) mean vectors, and (n, r) shares of the rows that are tuned."""

    dense: NDArray[np.float32]
    sparse: csr_array


class Tuned(NamedTuple):
    """(d, k) weights, (k,) biases, (r, k) rows; the epochs they took, and the score after each."""

    weight: NDArray[np.float32]
    bias: NDArray[np.float64]
    rows: NDArray[np.float32]
    epochs: int
    scores: tuple[tuple[float, float], ...]


class _Model(torch.nn.Module):
    def __init__(self, weight: NDArray[np.float32], bias: NDArray[np.float64], n_rows: int) -> None:
        super().__init__()
        self.rows = torch.nn.Parameter(torch.zeros(max(1, n_rows), len(bias)))
        self.weight = torch.nn.Parameter(torch.from_numpy(np.array(weight, np.float32)))
        self.bias = torch.nn.Parameter(torch.from_numpy(np.array(bias, np.float32)))

    def forward(
        self, dense: torch.Tensor, ids: torch.Tensor, offsets: torch.Tensor, share: torch.Tensor
    ) -> torch.Tensor:
        scores = dense @ self.weight + self.bias
        own: torch.Tensor = functional.embedding_bag(
            ids, self.rows, offsets, mode="sum", per_sample_weights=share, sparse=True
        )
        return scores + own

    def of(self, rows: Rows, batch: int = 4096) -> NDArray[np.float64]:
        """The (n, k) scores, as numpy, without dropout."""
        out = [np.zeros((0, len(self.bias)))]
        with torch.no_grad():
            for start in range(0, len(rows.dense), batch):
                at = np.arange(start, min(start + batch, len(rows.dense)))
                out.append(self(*_batch(rows, at)).numpy().astype(np.float64))
        return np.concatenate(out)


def tune(
    rows: Rows,
    targets: NDArray[np.float64],
    weight: NDArray[np.floating],
    bias: NDArray[np.float64],
    recipe: Recipe,
    score: Callable[[Callable[[Rows], NDArray[np.float64]]], tuple[float, float]] | None = None,
    row_weights: NDArray[np.float64] | None = None,
    say: Callable[[float], None] = lambda done: None,
) -> Tuned:
    """Minimise the mean cross-entropy against the targets; the last state, or with ``score`` the best.

    Args:
        rows: n texts.
        targets: (n, k) class probabilities.
        weight: (d, k), where W begins.
        bias: (k,), where b begins.
        recipe: all choices.
        score: gets a function from rows to scores after each epoch; says how good it is, higher being better, first
            number first.
        row_weights: (n,) how much each text counts; None is alike.
        say: hears the share that is done.

    Deterministic: one thread, a generator of its own; no global state of torch is left changed.

    Raises:
        RungFailed: it diverged.
    """
    # Sparse gradients made by torch itself need no check; without a word on it, it warns.
    unchecked = torch.sparse.check_sparse_tensor_invariants(enable=False)  # type: ignore[no-untyped-call]
    with _one_thread(), unchecked:
        return _tune(rows, targets, _Model(np.asarray(weight, np.float32), bias, rows.sparse.shape[1]),
                     recipe, score, row_weights, say)  # fmt: skip


def _tune(
    rows: Rows,
    targets: NDArray[np.float64],
    model: _Model,
    recipe: Recipe,
    score: Callable[[Callable[[Rows], NDArray[np.float64]]], tuple[float, float]] | None,
    row_weights: NDArray[np.float64] | None,
    say: Callable[[float], None],
) -> Tuned:
    goal = torch.from_numpy(_smoothed(targets, recipe.smoothing).astype(np.float32))
    counts = torch.from_numpy(np.ones(len(goal), np.float32) if row_weights is None else row_weights.astype(np.float32))
    optimisers: list[torch.optim.Optimizer] = [
        torch.optim.Adagrad([model.rows], lr=recipe.rate),
        torch.optim.AdamW([model.weight, model.bias], lr=HEAD_RATE * recipe.rate, weight_decay=0.0),
    ]
    rng = np.random.default_rng(recipe.seed)
    best: tuple[tuple[float, float], int, dict[str, torch.Tensor]] | None = None
    scores: list[tuple[float, float]] = []
    for epoch in range(1, recipe.epochs + 1):
        _epoch(model, rows, goal, counts, optimisers, recipe, rng)
        if not all(bool(part.isfinite().all()) for part in model.parameters()):
            raise RungFailed(
                f"Tuning the token table diverged: after epoch {epoch} at rate {recipe.rate:g} some of its numbers are "
                "not finite. Take a lower rate."
            )
        say(epoch / recipe.epochs)
        if score is not None:
            scores.append(score(model.of))
            if best is None or scores[-1] > best[0]:
                best = scores[-1], epoch, {name: part.clone() for name, part in model.state_dict().items()}
            elif epoch - best[1] >= recipe.patience:
                break
    if best is not None:
        model.load_state_dict(best[2])
    return Tuned(
        model.weight.detach().numpy(), model.bias.detach().numpy().astype(np.float64),
        model.rows.detach().numpy()[: rows.sparse.shape[1]], best[1] if best else recipe.epochs, tuple(scores),
    )  # fmt: skip


def _epoch(
    model: _Model,
    rows: Rows,
    goal: torch.Tensor,
    counts: torch.Tensor,
    optimisers: list[torch.optim.Optimizer],
    recipe: Recipe,
    rng: np.random.Generator,
) -> None:
    """Once over all texts, in an order of its own."""
    order = rng.permutation(len(goal))
    for start in range(0, len(order), recipe.batch):
        at = order[start : start + recipe.batch]
        loss = -(goal[at] * functional.log_softmax(model(*_batch(rows, at, recipe.dropout, rng)), 1)).sum(1)
        for optimiser in optimisers:
            optimiser.zero_grad()
        (loss * counts[at]).mean().backward()  # type: ignore[no-untyped-call]
        for optimiser in optimisers:
            optimiser.step()


def _smoothed(targets: NDArray[np.float64], share: float) -> NDArray[np.float64]:
    """A class that nobody speaks of gets nothing of the smoothing either."""
    present = targets.sum(axis=0) > 0
    return np.asarray((1 - share) * targets + share * present / max(1, int(present.sum())), np.float64)


def _batch(
    rows: Rows, at: NDArray[np.int64], dropout: float = 0.0, rng: np.random.Generator | None = None
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    part = rows.sparse[at]
    share = part.data.astype(np.float32)
    if dropout and rng is not None:
        share = share * (rng.random(len(share)) >= dropout) / np.float32(1 - dropout)
    ids, offsets = part.indices.astype(np.int64), part.indptr[:-1].astype(np.int64)
    return tuple(map(torch.from_numpy, (rows.dense[at], ids, offsets, share.astype(np.float32))))  # type: ignore[return-value]


@contextmanager
def _one_thread() -> Iterator[None]:
    """Sums of several threads come in any order, and the last digits with them."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
