# SPDX-License-Identifier: Apache-2.0
"""A parent that costs nothing to fit: a random encoder of a few thousand numbers with a head, on texts of few words."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from models.tiny_bert import WIDTH, tiny_arrays, tiny_config, write_model

from bigenough.rungs.frozen import FrozenRung
from bigenough.rungs.parent import Parent
from bigenough.rungs.protocol import Predictor, Workbench
from bigenough.task import Examples

TOPICS = [
    ["lost", "stolen", "card", "help"],
    ["pay", "money", "transfer", "refund"],
    ["film", "plot", "great", "awful"],
    ["open", "close", "account", "balance"],
]
FILLING = ["the", "my", "is", "please", "what", "how", "to", "and", "for", "not"]


def topic_examples(rows: int, seed: int) -> Examples:
    """Texts of three to nine words, half of them of the label's own topic."""
    rng = np.random.default_rng(seed)
    labels = np.arange(rows) % len(TOPICS)
    texts = []
    for label in labels:
        own = rng.choice(TOPICS[label], rng.integers(2, 5)).tolist()
        words = [*own, *rng.choice(FILLING, rng.integers(1, 5)).tolist()]
        texts.append(" ".join(rng.permutation(words)))
    return Examples(texts, labels.astype(np.int64), np.arange(1, rows + 1))


@dataclass(frozen=True, eq=False)
class FittedParent(Parent):
    """A parent that is fitted on whatever rows it is asked of."""

    frozen: FrozenRung
    bench: Workbench
    rung: object = None

    def of(self, examples: Examples) -> Predictor:
        n_classes = max(2, int(examples.labels.max()) + 1)
        maker = self.frozen if self.rung is None else self.rung
        return maker.fit(examples, n_classes, maker.first_settings(examples, n_classes), self.bench)


def tiny_parent(folder: Path, **changes: object) -> FittedParent:
    """A frozen random encoder as a parent; ``changes`` are the config's."""
    arrays = tiny_arrays(scale=0.25)
    model = write_model(folder / "model", tiny_config(**changes), arrays)
    bench = Workbench(seed=7, threads=2, cache=folder / "cache", offline=True)
    nothing = None
    return FittedParent(
        "frozen", "frozen-abc", "encoder", 10**9, lambda: nothing, lambda: nothing, FrozenRung(str(model)), bench
    )


__all__ = ["WIDTH", "FittedParent", "tiny_parent", "topic_examples"]
