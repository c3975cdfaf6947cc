# SPDX-License-Identifier: Apache-2.0
"""One step of training: forward, back, clip, move; in smaller parts when memory is short.

It decides nothing about when to stop or how fast to learn; whoever calls it does.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from bigenough.errors import RungFailed
from bigenough.rungs.predictors.softmax import softmax
from bigenough.rungs.training.adversary import Adversary
from bigenough.rungs.training.machine import Machine, is_no_memory
from bigenough.rungs.training.network import Network
from bigenough.rungs.training.rows import Rows
from bigenough.rungs.training.team import Team

__all__ = ["Diverged", "Lesson", "Steps", "scores_of"]

LONGEST_GRADIENT = 1.0
"""Longer gradients are scaled down to this length (Pascanu et al. 2013)."""
LOOK_TOKENS = 4096
"""Tokens that are looked at together, while memory suffices."""


class Diverged(Exception):
    """The loss is no number any more."""


class Lesson:
    """Rows with what is to be said of them.

    Args:
        rows: the texts.
        targets: (n, k) probabilities.
        weights: (n,) how much each row counts.
        smoothing: the share of each target that is spread over all classes.
    """

    def __init__(
        self, rows: Rows, targets: NDArray[np.float32], weights: NDArray[np.float32], smoothing: float
    ) -> None:
        self.rows = rows
        k = targets.shape[1]
        self.targets = torch.from_numpy((1 - smoothing) * targets + np.float32(smoothing / k))
        self.weights = torch.from_numpy(weights)


class Steps:
    """The network, its optimiser and the lesson, one batch after the other.

    Attributes:
        part: rows that go through the network together; halved whenever memory runs out.
        part_tokens: tokens that go through together at most, padding and all, if more than one row does; None sets no
            such limit.
        adversary: moves what the second pass over a batch begins with; None makes do with one.
        notes: sentences on what had to be changed.
    """

    def __init__(
        self,
        network: Network,
        optimiser: torch.optim.Optimizer,
        lesson: Lesson,
        machine: Machine,
        team: Team,
        part: int,
        say: Callable[[str], None],
        part_tokens: int | None = None,
        adversary: Adversary | None = None,
    ) -> None:
        self.network, self.optimiser, self.lesson = network, optimiser, lesson
        self.machine, self.team, self.say = machine, team, say
        self.part, self.part_tokens, self.adversary = part, part_tokens, adversary
        self.notes: list[str] = []
        self._learned = list(network.learned().values())
        # fp16 has too short a range for gradients; where it is not used, the scaler does nothing.
        self._scaler = torch.amp.GradScaler(machine.device.type, enabled=machine.precision == "fp16")

    def step(self, batch: NDArray[np.int64], rate: float, seed: int, strength: float = 1.0) -> float:
        """Learn from these rows at this share of the highest learning rate; the loss. Random numbers begin at ``seed``.

        An adversary moves vectors by the share ``strength`` of its step.

        Raises:
            Diverged: the loss is infinite or no number; nothing was changed.
            RungFailed: there is no memory for a single row.
        """
        loss = self._gradients(batch, seed, strength)
        if not np.isfinite(loss):
            raise Diverged
        self._scaler.unscale_(self.optimiser)
        torch.nn.utils.clip_grad_norm_(self._learned, LONGEST_GRADIENT)
        for group in self.optimiser.param_groups:
            group["lr"] = group["highest"] * rate
        self._scaler.step(self.optimiser)
        self._scaler.update()
        return loss

    def _gradients(self, batch: NDArray[np.int64], seed: int, strength: float) -> float:
        """Put the gradients of the batch's mean loss in place; that loss."""
        mine = batch[self.team.rank :: self.team.size]
        while True:
            short, together = False, self._together(mine)
            try:
                # The same random numbers whatever came before: after a kill, or when memory ran out half-way.
                torch.manual_seed(seed + self.team.rank)
                self.network.train()
                self.optimiser.zero_grad(set_to_none=True)
                total = torch.zeros((), device=self.machine.device)
                for part in (mine[start : start + together] for start in range(0, len(mine), together)):
                    total += self._passed(part, len(batch), strength)
            except (MemoryError, RuntimeError) as error:
                if not is_no_memory(error):
                    raise
                short = True
            if not short:
                break
            # Not while the error is being handled: it still holds on to what it ran out of memory with.
            self._halve(together)
        if self.team.size > 1:
            for parameter in self._learned:
                parameter.grad = torch.zeros_like(parameter) if parameter.grad is None else parameter.grad
            self.team.add_up([total, *(p.grad for p in self._learned if p.grad is not None)])
        return float(total)

    def _passed(self, places: NDArray[np.int64], size: int, strength: float) -> torch.Tensor:
        """Add the gradients of these rows' share in the mean loss of ``size`` rows; that share.

        With an adversary half of it is their loss once their vectors have moved (Miyato et al. 2017, equation 6).
        """
        if self.adversary is None:
            return self._down(self._loss(places) / size)
        with self.adversary.seeing():
            loss = self._loss(places) / (2 * size)
        seen = self._down(loss)
        with self.adversary.moving(strength):
            loss = self._loss(places) / (2 * size)
        return seen + self._down(loss)

    def _down(self, loss: torch.Tensor) -> torch.Tensor:
        torch.autograd.backward(self._scaler.scale(loss))
        return loss.detach()

    def _together(self, places: NDArray[np.int64]) -> int:
        """How many of these rows go through the network together."""
        if self.part_tokens is None:
            return self.part
        longest = int(self.lesson.rows.lengths[places].max(initial=1))
        return min(self.part, max(1, self.part_tokens // longest))

    def _loss(self, places: NDArray[np.int64]) -> torch.Tensor:
        """The weighted sum of the rows' cross-entropies."""
        device = self.machine.device
        with self.machine.autocast():
            scores = self.network(self.lesson.rows.batch(places, device))
        rows = torch.from_numpy(places)
        targets, weights = (part[rows].to(device) for part in (self.lesson.targets, self.lesson.weights))
        said = functional.log_softmax(scores.float(), dim=1)
        return -((targets * said).sum(dim=1) * weights).sum()

    def _halve(self, together: int) -> None:
        self.optimiser.zero_grad(set_to_none=True)
        self.machine.release()
        if together == 1:
            raise RungFailed(
                "There is not enough memory to train this model on a single row. Name a smaller one, or shorter "
                "texts (max_length)."
            )
        self.part = (together + 1) // 2
        note = f"memory ran out: going on with {self.part} rows at a time, summed up to the same batch"
        self.notes.append(note)
        self.say(note)

    def state(self) -> dict[str, torch.Tensor]:
        """All weights that are learned, what the optimiser knows of each, and the scale of gradients, by name."""
        state: dict[str, torch.Tensor] = {}
        for name, parameter in self.network.learned().items():
            state[f"weight.{name}"] = parameter
            for what, value in self.optimiser.state.get(parameter, {}).items():
                state[f"optimiser.{what}.{name}"] = value
        for what, value in self._scaler.state_dict().items():
            state[f"scaler.{what}"] = torch.tensor(value, dtype=torch.float64)
        return state

    def restore(self, state: dict[str, torch.Tensor]) -> None:
        """Put back what ``state`` gave."""
        scale = {name.removeprefix("scaler."): value for name, value in state.items() if name.startswith("scaler.")}
        if scale:
            whole = ("growth_interval", "_growth_tracker")
            self._scaler.load_state_dict(
                {name: int(value) if name in whole else float(value) for name, value in scale.items()}
            )
        learned = self.network.learned()
        self.network.restore({name: state[f"weight.{name}"] for name in learned})
        for name, parameter in learned.items():
            for what in ("step", "exp_avg", "exp_avg_sq"):
                if f"optimiser.{what}.{name}" in state:
                    device = (
                        torch.device("cpu") if what == "step" and parameter.device.type == "cpu" else parameter.device
                    )
                    self.optimiser.state[parameter][what] = state[f"optimiser.{what}.{name}"].to(device)


def scores_of(network: Network, rows: Rows, machine: Machine) -> NDArray[np.float64]:
    """The (n, k) probabilities that the network gives these rows, in the machine's precision.

    When memory runs out, fewer rows go through together. Raises ``RungFailed`` when there is none for a single one.
    """
    network.eval()
    tokens = LOOK_TOKENS
    while True:
        try:
            return _scores(network, rows, machine, tokens)
        except (MemoryError, RuntimeError) as error:
            if not is_no_memory(error):
                raise
        # Not while the error is being handled: it still holds on to what it ran out of memory with.
        machine.release()
        if tokens <= 1:
            raise RungFailed(
                "There is not enough memory to look at a single row. Name a smaller model, or shorter texts "
                "(max_length)."
            )
        tokens //= 4


def _scores(network: Network, rows: Rows, machine: Machine, tokens: int) -> NDArray[np.float64]:
    order = np.argsort(rows.lengths, kind="stable")
    scores = np.empty((len(rows.ids), network.head.out_features))
    with torch.inference_mode():
        for places in _by_tokens(order, rows.lengths, tokens):
            with machine.autocast():
                scores[places] = network(rows.batch(places, machine.device)).float().cpu().numpy()
    return softmax(scores)


def _by_tokens(order: NDArray[np.int64], lengths: NDArray[np.int64], tokens: int) -> Iterator[NDArray[np.int64]]:
    """Rows from the shortest on, at a time as many as take so many tokens when each is as long as the longest; or one.

    >>> [part.tolist() for part in _by_tokens(np.array([1, 0, 2]), np.array([3, 1, 40]), 6)]
    [[1, 0], [2]]
    """
    start = 0
    while start < len(order):
        after = lengths[order[start : start + tokens]]
        filled = after * np.arange(1, len(after) + 1)
        size = max(1, int(np.searchsorted(filled, tokens, side="right")))
        yield order[start : start + size]
        start += size
