# SPDX-License-Identifier: Apache-2.0
"""The linear rung: tf-idf of word and character n-grams under a linear SVM or logistic regression.

The baseline that is hard to beat on narrow tasks (Wang & Manning 2012; Joulin et al. 2017), one class against the rest.
Training takes the features from the very code that serves them. Fitted by liblinear (Fan et al. 2008) through
scikit-learn, in the dual, in one thread: its random numbers are global, and a second thread would make the result a
matter of luck.
"""

from __future__ import annotations

import hashlib
import re
import warnings
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from bigenough.errors import BadOption
from bigenough.rungs.predictors.linear import LinearPredictor
from bigenough.rungs.predictors.ngrams import LONGEST_TEXT, Ngrams, Unit
from bigenough.rungs.predictors.tfidf import Counts, Vocabulary, count_texts, tfidf
from bigenough.rungs.protocol import Settings, Trial, Workbench
from bigenough.rungs.sample import stratified_order
from bigenough.rungs.softmax_regression import balanced_weights, fit_softmax_regression
from bigenough.task import Examples

if TYPE_CHECKING:
    from scipy.sparse import csr_array

__all__ = ["LinearRung"]

_SPACED, _UNSPACED = "words 1-2 + characters 2-5", "words 1-2 + characters 1-4"
_NGRAMS = (_SPACED, _UNSPACED, "words 1-1 + characters 3-5", "words 1-2")

_MOST_CHARACTERS = 12_000_000
"""Characters that are trained on at most: about 30 million weights, 1.1 GB while liblinear holds them."""

_MOST_WORK = 500_000_000
"""Characters times classes that are trained on at most: about a minute and a half for one fit."""

_LOGISTIC_WORK = 10_000_000
"""Characters times classes up to which logistic regression, some eight times slower than the SVM, is searched too."""

_MOST_FEATURES = 200_000
"""N-grams of one kind that are kept at most, the most frequent ones."""

_MOST_COEFFICIENTS = 30_000_000
"""Coefficients of one kind that are kept at most: 120 MB."""

_MOST_SOFT = 2_500_000
"""Coefficients of one kind that are learned from probabilities at most: the solver holds some twenty times as many."""

_FEW = 200
"""Texts up to which n-grams of a single one are learned from probabilities too."""

_SOFT_C = 20.0
"""Logistic regression needs a larger C than the SVM to be regularised as much, and probabilities a larger one yet."""

_KEPT_WEIGHTS = 40_000_000
"""Weights of vectorised texts that trials may keep in memory together, 8 bytes each."""


class LinearRung:
    """tf-idf of words and characters, and one linear margin a class."""

    name = "linear"
    version = 1
    summary = "tf-idf of words and characters, linear SVM or logistic regression"
    place = 10
    first_settings_hold = 2.0
    """The best of a dozen settings is about two standard errors lucky. On parts of six public training sets, two seeds
    each, holding on for two errors instead of one gained 0.06 points on average on rows that neither had seen."""

    def weights(self, bench: Workbench) -> Mapping[str, str]:
        """None: all it knows, it learns from the examples."""
        return {}

    def most_characters(self, n_classes: int) -> int:
        """Characters that one fit learns from; of more it takes a stratified part."""
        return _most_characters(n_classes)

    def first_settings(self, examples: Examples, n_classes: int) -> Settings:
        """A linear SVM in which all classes weigh the same; single characters count where no spaces are written."""
        ngrams = _SPACED if _writes_spaces(examples.texts) else _UNSPACED
        return {"ngrams": ngrams, "min_texts": 1, "loss": "squared hinge", "C": 0.5, "balanced": True}

    def suggest(self, trial: Trial, examples: Examples, n_classes: int) -> Settings:
        """N-grams, the loss, its weight C, and whether all classes weigh the same.

        ``min_texts`` stays 1: leaving out what one text has halves the model and costs up to a point on small tasks.
        """
        quick = _work(examples.texts, n_classes) <= _LOGISTIC_WORK
        loss = trial.suggest_categorical("loss", ["squared hinge", "logistic"] if quick else ["squared hinge"])
        return {
            "ngrams": trial.suggest_categorical("ngrams", list(_NGRAMS)),
            "min_texts": 1,
            "loss": loss,
            "C": trial.suggest_float("C", 0.2, 5.0, log=True),
            "balanced": trial.suggest_categorical("balanced", [False, True]),
        }

    def fit(self, examples: Examples, n_classes: int, settings: Settings, bench: Workbench) -> LinearPredictor:
        """Learn vocabulary and margins; of very large data a stratified part, which ``bench.say`` tells."""
        examples = _affordable(examples, n_classes, bench)
        features, vocabularies = _vectorised(examples.texts, settings, n_classes, bench)
        seen, labels = np.unique(examples.labels, return_inverse=True)
        coefficients, intercepts = _margins(features, labels, len(seen), settings, bench.seed)
        return LinearPredictor(tuple(vocabularies), coefficients, intercepts, seen, n_classes)

    def fit_soft(
        self,
        texts: Sequence[str],
        targets: NDArray[np.float64],
        n_classes: int,
        settings: Settings,
        bench: Workbench,
    ) -> LinearPredictor:
        """Learn from (n, k) class probabilities in place of labels: multinomial logistic regression on the same tf-idf.

        liblinear takes labels only, so that the ``loss`` of the settings is not asked for. N-grams that only one text
        has are left out, and so are the rarest where there are too many classes: all weights are worked on at once.
        """
        texts, targets = _affordable_soft(texts, targets, n_classes, bench)
        few = {**settings, "min_texts": max(2, int(settings["min_texts"]))} if len(texts) > _FEW else settings
        features, vocabularies = _vectorised(texts, few, n_classes, bench, _MOST_SOFT)
        fitted = fit_softmax_regression(
            np.zeros((len(texts), 0)), targets, n_classes=n_classes, c=_SOFT_C * float(settings["C"]),
            row_weights=balanced_weights(targets) if settings["balanced"] else None, sparse=features,
            threads=bench.threads,
        )  # fmt: skip
        seen = np.flatnonzero(fitted.bias > -1e4)
        coefficients = np.ascontiguousarray(fitted.sparse_weight[:, seen], np.float32)
        return LinearPredictor(tuple(vocabularies), coefficients, fitted.bias[seen], seen, n_classes)


def _margins(
    features: csr_array, labels: NDArray[np.int64], n_seen: int, settings: Settings, seed: int
) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
    """(features, s) coefficients and (s,) intercepts; s is the number of classes, or 1 for two of them."""
    if n_seen == 1 or not features.nnz:
        # Nothing to tell apart, or nothing to tell it by: the shares of the classes are all there is.
        return np.zeros((features.shape[1], n_seen), np.float32), np.log(np.bincount(labels) / len(labels))
    if settings["loss"] == "squared hinge":
        fitted = [_fit_one(features, labels, settings, seed)]
    elif settings["loss"] == "logistic":
        targets = [labels] if n_seen == 2 else [(labels == code).astype(np.int64) for code in range(n_seen)]
        fitted = [_fit_one(features, target, settings, seed) for target in targets]
    else:
        raise BadOption(f"The linear rung's loss must be 'squared hinge' or 'logistic'. Got {settings['loss']!r}.")
    coefficients = np.vstack([model.coef_ for model in fitted])
    intercepts = np.concatenate([np.atleast_1d(model.intercept_) for model in fitted])
    return np.ascontiguousarray(coefficients.T, np.float32), intercepts.astype(np.float64)


def _fit_one(features: csr_array, labels: NDArray[np.int64], settings: Settings, seed: int) -> Any:
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression
    from sklearn.svm import LinearSVC

    shared = {"C": settings["C"], "class_weight": "balanced" if settings["balanced"] else None, "random_state": seed}
    if settings["loss"] == "squared hinge":
        model = LinearSVC(dual=True, **shared)
    else:
        # Its loss is flatter: at ten times the C it is regularised about as much, so one range serves both.
        model = LogisticRegression(solver="liblinear", dual=True, **{**shared, "C": 10 * settings["C"]})
    with warnings.catch_warnings():
        # At a large C the last digits take long and change no label; select decides whether the fit is any good.
        warnings.simplefilter("ignore", ConvergenceWarning)
        return model.fit(features, labels)


def _vectorised(
    texts: Sequence[str], settings: Settings, n_classes: int, bench: Workbench, most: int = _MOST_COEFFICIENTS
) -> tuple[csr_array, list[Vocabulary]]:
    """The rows of these texts and the vocabularies learned from them; kept for later trials while memory allows."""
    kinds = _kinds(settings["ngrams"])
    at_most = min(_MOST_FEATURES, max(20_000, most // n_classes))
    kept: dict[Any, Any] = bench.memo.setdefault("linear", {})
    digest = _digest(texts)
    key = (digest, tuple(kinds), settings["min_texts"], at_most)
    if key not in kept:
        counts = [_counts(texts, digest, kind, kept) for kind in kinds]
        vocabularies = [count.vocabulary(min_texts=settings["min_texts"], at_most=at_most) for count in counts]
        features = tfidf(texts, vocabularies)
        kept[key] = features, vocabularies
        _forget(kept)
        return features, vocabularies
    features, vocabularies = kept[key]
    return features, vocabularies


def _counts(texts: Sequence[str], digest: str, kind: Ngrams, kept: dict[Any, Any]) -> Counts:
    if (digest, kind) not in kept:
        kept[digest, kind] = count_texts(texts, [kind])[0]
    counts: Counts = kept[digest, kind]
    return counts


def _forget(kept: dict[Any, Any]) -> None:
    """Drop what was kept first until the rest is small enough; the newest stays."""

    def size(value: Any) -> int:
        return 2 * len(value.prints) if isinstance(value, Counts) else int(value[0].nnz)

    while len(kept) > 1 and sum(map(size, kept.values())) > _KEPT_WEIGHTS:
        del kept[next(iter(kept))]


def _kinds(ngrams: str) -> list[Ngrams]:
    """The kinds that a setting such as "words 1-2 + characters 2-5" names."""
    kinds = []
    for part in ngrams.split(" + "):
        found = re.fullmatch(r"(word|character)s (\d)-(\d)", part)
        if not found:
            raise BadOption(f"The linear rung's ngrams must look like {_SPACED!r}. Got {ngrams!r}.")
        unit: Unit = "word" if found[1] == "word" else "character"
        kinds.append(Ngrams(unit, int(found[2]), int(found[3])))
    return kinds


def _most_characters(n_classes: int) -> int:
    return min(_MOST_CHARACTERS, max(_MOST_CHARACTERS // 6, _MOST_WORK // n_classes))


def _affordable(examples: Examples, n_classes: int, bench: Workbench) -> Examples:
    """All examples, or a stratified part of so many that memory and time suffice."""
    lengths = _lengths(examples.texts)
    budget = _most_characters(n_classes)
    if lengths.sum() <= budget:
        return examples
    order = stratified_order(examples.labels, bench.seed)
    enough = max(1, int(np.searchsorted(np.cumsum(lengths[order]), budget, side="right")))
    bench.say(f"linear: training on a stratified {enough:,} of {len(examples):,} rows, to keep within memory", None)
    return examples.take(np.sort(order[:enough]))


def _affordable_soft(
    texts: Sequence[str], targets: NDArray[np.float64], n_classes: int, bench: Workbench
) -> tuple[Sequence[str], NDArray[np.float64]]:
    """The same with each text's likeliest class as its label."""
    every = Examples(texts, targets.argmax(axis=1).astype(np.int64), np.arange(len(texts)))
    some = _affordable(every, n_classes, bench)
    return some.texts, targets[some.rows]


def _lengths(texts: Sequence[str]) -> NDArray[np.int64]:
    return np.minimum(np.array([len(text) for text in texts], np.int64), LONGEST_TEXT)


def _work(texts: Sequence[str], n_classes: int) -> int:
    return int(_lengths(texts).sum()) * n_classes


def _writes_spaces(texts: Sequence[str]) -> bool:
    """Whether the first texts have a space in every twenty characters, as they do in scripts that part words."""
    start = [text[:1000] for text in texts[:500]]
    spaces = sum(max(0, len(text.split()) - 1) for text in start)
    return 20 * spaces >= sum(map(len, start))


def _digest(texts: Sequence[str]) -> str:
    digest = hashlib.blake2b(digest_size=16)
    for text in texts:
        digest.update(len(text).to_bytes(8))
        digest.update(text.encode("utf-8", "surrogatepass"))
    return digest.hexdigest()
