# SPDX-License-Identifier: Apache-2.0
"""The state of a training on disk, so that a kill costs a minute and not the whole of it.

One safetensors file, whole or absent: tensors, and JSON in its header. Randomness needs no place in it: each step
begins its own random numbers from the seed and the step's number.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, Self

import numpy as np
import torch
from numpy.typing import NDArray

from bigenough.models.bert import BertModel
from bigenough.rungs.training.trained_file import encoder_arrays
from bigenough.storage import content_hash, write_bytes

__all__ = ["SECONDS", "Checkpoint", "State", "training_key"]

SECONDS = 60.0
"""How much work a kill may cost."""
SHARE = 0.02
"""How much of the time may go into writing checkpoints."""
_FORM = "2"
"""Of the files; one of another form is no checkpoint."""


class State(NamedTuple):
    """What a checkpoint holds: tensors by name, and JSON values."""

    tensors: Mapping[str, torch.Tensor]
    facts: Mapping[str, Any]


@dataclass
class Checkpoint:
    """The file of one training; ``path`` None keeps nothing."""

    path: Path | None
    clock: Callable[[], float] = time.monotonic
    _due: float = field(init=False)

    @classmethod
    def of(cls, scratch: Path | None, key: Callable[[], str]) -> Self:
        """That of the training with this key, which is asked for only where there is a folder to keep it in."""
        return cls(None if scratch is None else scratch / f"training-{key()}.safetensors")

    def __post_init__(self) -> None:
        self._due = self.clock() + SECONDS

    @property
    def due(self) -> bool:
        """Whether it is time to write again."""
        return self.path is not None and self.clock() >= self._due

    def write(self, state: State) -> None:
        """Put the state in place at once. Raises ``OutOfDisk``."""
        from safetensors.torch import save

        if self.path is None:
            return
        began = self.clock()
        tensors = {name: value.detach().cpu().contiguous() for name, value in state.tensors.items()}
        write_bytes(self.path, save(tensors, {"form": _FORM, "facts": json.dumps(state.facts)}))
        took = self.clock() - began
        self._due = self.clock() + max(SECONDS, took / SHARE) if SECONDS else self.clock()

    def read(self) -> State | None:
        """What was written last; None when there is nothing, or nothing that can be read."""
        from safetensors import SafetensorError, safe_open

        if self.path is None or not self.path.is_file():
            return None
        try:
            with safe_open(self.path, framework="pt") as file:
                told = file.metadata()
                if told["form"] != _FORM:
                    return None
                tensors = {name: file.get_tensor(name) for name in list(file.keys())}
                return State(tensors, json.loads(told["facts"]))
        except (SafetensorError, OSError, KeyError, TypeError, ValueError):
            return None

    def remove(self) -> None:
        """Forget it: the training is done."""
        if self.path is not None:
            self.path.unlink(missing_ok=True)


def training_key(body: BertModel, texts: Sequence[str], arrays: Sequence[NDArray[Any]], *facts: Any) -> str:
    """A hash of all that decides what a training gives: encoder, texts, targets, and JSON values.

    How many minutes there are is not among them: what they leave of the recipe is settled once and in the checkpoint,
    and minutes that are left over from other work differ by some milliseconds from run to run.
    """
    digest = hashlib.sha256()
    for array in (*encoder_arrays(body).values(), *arrays):
        digest.update(np.ascontiguousarray(array).data)
    for text in texts:
        digest.update(len(text).to_bytes(8))
        digest.update(text.encode("utf-8", "surrogatepass"))
    return content_hash(digest.hexdigest(), dict(vars(body.config)), *facts, length=20)
