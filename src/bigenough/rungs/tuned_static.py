# SPDX-License-Identifier: Apache-2.0
"""The tuned static rung: token vectors distilled from an encoder, rows for pairs, and a head, tuned together.

What it adds to the static rung is word order: frequent pairs of neighbouring tokens have rows of their own, as the
word pairs of fastText have (Joulin et al. 2017), but exact ones and not buckets of a hash. Everything is linear in the
end, so that a row is one number a class, and rows are shipped in eight bits.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from bigenough.errors import BadOption
from bigenough.models.packed_rows import PackedRows, PackedTable
from bigenough.models.token_table import TokenTable, token_weights
from bigenough.rungs.by_targets import LearnsTargets
from bigenough.rungs.dense import first_head, regression
from bigenough.rungs.on_table import OnTable
from bigenough.rungs.predictors.softmax import softmax
from bigenough.rungs.predictors.static import StaticPredictor
from bigenough.rungs.protocol import Settings, Trial, Workbench
from bigenough.rungs.row_weights import row_weights
from bigenough.rungs.softmax_regression import balanced_weights
from bigenough.task import Examples
from bigenough.task.metrics import score
from bigenough.task.task import MetricName

if TYPE_CHECKING:
    from scipy.sparse import csr_array

    from bigenough.rungs.table_training import Rows

__all__ = ["TunedStaticRung"]

_MOST_PAIR_NUMBERS = 4_000_000
"""Pairs times classes that are tuned at most: the most frequent pairs get them."""
_BITS = 8
_EPOCHS = 12
"""Epochs without sight of select: what early stopping comes to on most tasks."""


class TunedStaticRung(OnTable, LearnsTargets[StaticPredictor]):
    """Static embeddings of tokens and pairs, tuned; ``encoder`` names the weights that the table is distilled from."""

    name = "tuned-static"
    version = 1
    summary = "static vectors of tokens and of pairs of neighbours, tuned together with a head"
    place = 25
    requires = ("torch",)
    extra = "tune"

    def first_settings(self, examples: Examples, n_classes: int) -> Settings:
        """Pairs as well as tokens; the epochs are found on select."""
        return {
            **first_head(n_classes), "rate": 0.2, "freedom": 1.0, "pairs": 1.0, "min_texts": 1, "dropout": 0.2,
            "smoothing": 0.0,
        }  # fmt: skip

    def suggest(self, trial: Trial, examples: Examples, n_classes: int) -> Settings:
        """How freely tokens and pairs move, how fast, and what keeps them from it."""
        return {
            **first_head(n_classes),
            "rate": trial.suggest_float("rate", 0.03, 0.3, log=True),
            "freedom": trial.suggest_categorical("freedom", [0.5, 1.0, 2.0]),
            "pairs": trial.suggest_categorical("pairs", [0.0, 0.5, 1.0, 2.0]),
            "min_texts": trial.suggest_categorical("min_texts", [1, 2]),
            "dropout": trial.suggest_categorical("dropout", [0.0, 0.2, 0.4]),
            "smoothing": trial.suggest_categorical("smoothing", [0.0, 0.1]),
        }

    def _fitted(
        self,
        texts: Sequence[str],
        targets: NDArray[np.float64],
        settings: Settings,
        bench: Workbench,
        watch: Examples | None = None,
    ) -> tuple[StaticPredictor, Settings, Mapping[str, Any]]:
        _check(settings)
        from bigenough.rungs.table_training import MOST_EPOCHS, Recipe, tune

        table = _with_pairs(self.table(bench), texts, targets.shape[1], settings)
        space = _Space(table, texts, settings)
        start = regression(space.rows.dense, targets, targets.shape[1], {**settings, "balanced": False})
        epochs = int(settings.get("epochs", _EPOCHS))
        recipe = Recipe(
            rate=float(settings["rate"]), batch=32, dropout=float(settings["dropout"]),
            smoothing=float(settings["smoothing"]), patience=4,
            epochs=epochs if watch is None else MOST_EPOCHS, seed=bench.seed,
        )  # fmt: skip
        seen = None if watch is None else _Seen(space.of(watch.texts), watch.labels, bench.metric)
        weights = balanced_weights(targets) if settings["balanced"] else None
        tuned = tune(
            space.rows, targets, start.weight, start.bias, recipe, seen, weights,
            say=lambda done: bench.say("tuning token rows", None),
        )  # fmt: skip
        predictor = space.predictor(tuned.weight, tuned.rows, tuned.bias)
        record = {"epochs": tuned.epochs, "scores": [list(score) for score in tuned.scores], "pairs": len(table.pairs)}
        return predictor, {**settings, "epochs": tuned.epochs}, record


class _PairedTable(TokenTable):
    """A table with keys of pairs that have no vectors yet: as wide as a token's, they would be gigabytes of zeros.

    It gives ``shares`` of texts, and no vectors of them.
    """

    @property
    def shape(self) -> tuple[int, int]:
        """(vocabulary + p, d)."""
        return len(self.vectors) + len(self.pairs), self.vectors.shape[1]


class _Space:
    """Texts as mean vectors and as scaled shares of the rows that may move: tokens of the training texts, and pairs."""

    def __init__(self, table: _PairedTable, texts: Sequence[str], settings: Settings) -> None:
        self.table = table
        shares = table.shares(texts)
        in_texts = np.bincount(shares.indices, minlength=shares.shape[1])
        border = table.vocabulary
        weights = np.concatenate([token_weights(table.tokenizer), np.zeros(len(table.pairs))])
        rarity = 1 - np.log(np.maximum(in_texts, 1)) / np.log(len(texts) + 1)
        weights[border:] = rarity[border:]
        self.free = np.flatnonzero((in_texts > 0) & (weights > 0))
        scale = np.zeros(len(weights))
        for part, size in ((slice(0, border), "freedom"), (slice(border, None), "pairs")):
            scaled = shares[:, part] * weights[part]
            mean_square = float(scaled.power(2).sum()) / max(1, len(texts))
            scale[part] = weights[part] * (float(settings[size]) / np.sqrt(mean_square) if mean_square else 0.0)
        self.scale = scale[self.free]
        dense = self._dense(shares)
        self.spread = float(np.sqrt(dense.var(axis=0, dtype=np.float64).sum())) or 1.0
        self.rows = self._rows(shares, dense)

    def of(self, texts: Sequence[str]) -> Rows:
        """Other texts in the same coordinates."""
        shares = self.table.shares(texts)
        return self._rows(shares, self._dense(shares))

    def predictor(
        self, weight: NDArray[np.float32], rows: NDArray[np.float32], bias: NDArray[np.float64]
    ) -> StaticPredictor:
        """The table by class, in eight bits; a row's mean over the classes says nothing and is left out."""
        by_class = np.zeros((self.table.shape[0], weight.shape[1]))
        by_class[: self.table.vocabulary] = self.table.vectors.astype(np.float64) @ (
            weight.astype(np.float64) / self.spread
        )
        by_class[self.free] += rows * self.scale[:, None]
        by_class -= by_class.mean(axis=1, keepdims=True)
        packed = PackedTable(PackedRows.of(by_class, _BITS), self.table.tokenizer, self.table.pairs)
        return StaticPredictor.by_class(packed, bias)

    def _dense(self, shares: csr_array) -> NDArray[np.float64]:
        dense: NDArray[np.float64] = shares[:, : self.table.vocabulary] @ self.table.vectors.astype(np.float64)
        return dense

    def _rows(self, shares: csr_array, dense: NDArray[np.float64]) -> Rows:
        from scipy.sparse import csr_array

        from bigenough.rungs.table_training import Rows

        return Rows((dense / self.spread).astype(np.float32), csr_array(shares[:, self.free] * self.scale))


class _Seen:
    """How good scores are on the watched rows: the metric first, then the log loss, with the metric's weights."""

    def __init__(self, rows: Rows, labels: NDArray[np.int64], metric: MetricName) -> None:
        self.rows, self.labels, self.metric = rows, labels, metric
        self.weights = row_weights(metric, labels)

    def __call__(self, scores_of: Any) -> tuple[float, float]:
        said = softmax(scores_of(self.rows))
        right = np.maximum(said[np.arange(len(self.labels)), self.labels], 1e-12)
        return score(self.metric, self.labels, said.argmax(axis=1)), float(np.sum(self.weights * np.log(right)))


def _with_pairs(table: TokenTable, texts: Sequence[str], n_classes: int, settings: Settings) -> _PairedTable:
    """The table with the keys of the frequent pairs of these texts."""
    if not float(settings["pairs"]):
        return _PairedTable(table.vectors, table.tokenizer)
    keys, counts = np.unique(table.pair_keys(texts), return_counts=True)
    often = counts >= int(settings["min_texts"])
    keys, counts = keys[often], counts[often]
    most = _MOST_PAIR_NUMBERS // n_classes
    keys = np.sort(keys[np.argsort(-counts, kind="stable")[:most]])
    return _PairedTable(table.vectors, table.tokenizer, keys)


def _check(settings: Settings) -> None:
    for name, low, high in (("freedom", 0, 1e3), ("pairs", 0, 1e3), ("rate", 0, 1e3), ("dropout", 0, 0.99)):
        if not low <= settings[name] <= high:
            raise BadOption(f"{name} must be from {low} to {high:g}. Got {settings[name]!r}.")
