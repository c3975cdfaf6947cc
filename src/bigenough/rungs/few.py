# SPDX-License-Identifier: Apache-2.0
"""The few-label rung: an encoder tuned by contrast on a few labels a class, and logistic regression on its vectors.

SetFit's recipe (Tunstall et al. 2022) with the pairs of a step taken all at once. It decides the number of steps and
rows from the numbers of labels and classes, never from a data set's name, and whether tuning was worth it from select.
Where the classes have names that mean something, each is one more text of its class.
torch is imported only while something is fitted.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from bigenough.errors import MissingExtra
from bigenough.models import resolve
from bigenough.models.bert import BertModel, read_bert
from bigenough.models.tokenizer_file import tokenizer_beside
from bigenough.rungs.class_texts import TEMPLATES, class_texts, undescribed
from bigenough.rungs.dense import first_head, fit_head
from bigenough.rungs.frozen import shared_encoder
from bigenough.rungs.on_encoder import OnEncoder
from bigenough.rungs.predictors.encoder import EncoderPredictor, SentenceEncoder
from bigenough.rungs.predictors.head import DenseHead
from bigenough.rungs.protocol import Settings, Trial, Watched, Workbench
from bigenough.rungs.row_weights import surely_better
from bigenough.rungs.training.pairs import Contrast
from bigenough.rungs.training.product import parity, predictor_of
from bigenough.rungs.training.recipe import Recipe, Trained
from bigenough.rungs.training.reference import untuned_parity
from bigenough.task import Examples
from bigenough.task.metrics import score

__all__ = ["FewRung"]

FEWEST, MOST = 2, 64
"""Labels a class for which this is the rung; with more, tuning with a head learns more in the same time."""
NAMES = 2
"""How many labelled texts the name of a class is worth to the head: on held-out rows of six tasks, at eight labels a
class, two gained 0.3 to 4 points of accuracy on every one; more gained on some and lost on others."""


class _Fit(NamedTuple):
    predictor: EncoderPredictor
    settings: Settings
    record: Mapping[str, Any]
    trained: BertModel | None = None
    """The arrays that its graph was made of, if they were tuned."""


class FewRung(OnEncoder):
    """A contrastively tuned encoder; ``encoder`` is a name or folder that ``models.resolve`` understands."""

    name = "few"
    version = 3
    summary = "sentence encoder, tuned by contrast on few labels, with logistic regression"
    place = 41
    requires = ("torch", "transformers")
    extra = "tune"
    costly = True

    def unsuited(self, examples: Examples, n_classes: int, bench: Workbench) -> str | None:
        """Whether there are too few or too many labels a class, on average."""
        labels = len(examples) / max(1, n_classes)
        if FEWEST <= labels <= MOST:
            return None
        return f"is made for {FEWEST} to {MOST} labels a class, and there are {labels:.3g} on average"

    def first_settings(self, examples: Examples, n_classes: int) -> Settings:
        """Steps and rows by the numbers of labels and classes, and the head that suits so many classes.

        ``for_rows`` is the number of labels that the steps are for. ``names`` is how often the name or description of
        a class is added to its texts for the head; the encoder meets it once. A name that holds no word and is not
        described is not added.
        """
        return {**_first(len(examples)).as_json(), **first_head(n_classes), "names": NAMES}

    def suggest(self, trial: Trial, examples: Examples, n_classes: int) -> Settings:
        """Learning rate, temperature, steps, the head's penalty, the use of names and the order of the rows."""
        first = _first(len(examples))
        chosen = replace(
            first,
            learning_rate=trial.suggest_float("learning_rate", 3e-5, 3e-4, log=True),
            temperature=trial.suggest_categorical("temperature", [0.05, 0.1, 0.3]),
            steps=trial.suggest_categorical("steps", [max(1, first.steps // 2), first.steps, 2 * first.steps]),
            seed_offset=trial.suggest_int("seed_offset", 0, 2),
        )
        head = {**first_head(n_classes), "C": trial.suggest_float("C", 0.1, 100.0, log=True)}
        return {**chosen.as_json(), **head, "names": trial.suggest_categorical("names", [0, NAMES, 3 * NAMES])}

    def fit(self, examples: Examples, n_classes: int, settings: Settings, bench: Workbench) -> EncoderPredictor:
        """Tune for as many steps as the settings say, then fit the head; with 0 steps the encoder stays frozen.

        The steps are those for ``for_rows`` rows. Fewer rows are gone over as often, in fewer steps, so that a part of
        the rows takes as small a part of the time. More of them, as in the refit on fit and select, get the steps that
        were seen on select.
        """
        return self._fitted(examples, n_classes, settings, bench).predictor

    def fit_recorded(self, examples: Examples, n_classes: int, settings: Settings, bench: Workbench) -> Watched:
        """``fit``, with what it took and what it gave up to keep within time and memory."""
        made = self._fitted(examples, n_classes, settings, bench)
        return Watched(made.predictor, made.settings, made.record)

    def fit_watching(
        self, examples: Examples, n_classes: int, settings: Settings, bench: Workbench, watch: Examples
    ) -> Watched:
        """Tune, and keep the frozen encoder instead if it is surely better on ``watch``.

        Surely means by more than one standard error of the difference in ``bench.metric``, from the rows on which only
        one is right: the few rows there are seldom tell the two apart, and on most tasks tuning helps. The record is
        that of the encoder which is kept; what the other one's training gave up stands with its variant.
        """
        tuned = self._fitted(examples, n_classes, settings, bench)
        frozen = self._fitted(examples, n_classes, {**settings, "steps": 0}, bench)
        said = [fit.predictor.predict_proba(watch.texts).argmax(axis=1) for fit in (tuned, frozen)]
        tuned_score, frozen_score = (score(bench.metric, watch.labels, each) if len(watch) else 0.0 for each in said)
        kept = int(surely_better(bench.metric, watch.labels, said[1], said[0]))
        variants = [
            {"settings": {"steps": fit.settings["steps"]}, "score": found, "notes": fit.record.get("notes", [])}
            for fit, found in ((tuned, tuned_score), (frozen, frozen_score))
        ]
        chosen = (tuned, frozen)[kept]
        export = self._parity(chosen, watch, bench)
        record = {**chosen.record, "variants": variants, "kept": kept, "export": export}
        return Watched(chosen.predictor, chosen.settings, record)

    def _parity(self, fit: _Fit, watch: Examples, bench: Workbench) -> Mapping[str, Any]:
        if fit.trained is None:
            prepared = shared_encoder(self.encoder, bench).prepared
            return untuned_parity(fit.predictor, prepared, watch.texts, bench)
        tokenizer = fit.predictor.encoder.tokenizer
        return parity(fit.predictor, fit.trained, tokenizer, watch.texts, bench.threads)

    def _fitted(self, examples: Examples, n_classes: int, settings: Settings, bench: Workbench) -> _Fit:
        recipe, names = Contrast.of(settings).on(len(examples)), int(settings["names"])
        with_names = _with_names(examples, n_classes, bench)
        if recipe.steps == 0 or len(np.unique(examples.labels)) < 2:
            prepared, encoder = shared_encoder(self.encoder, bench)
            head = _head(encoder, examples, with_names, names, n_classes, settings)
            frozen = EncoderPredictor(encoder, head, prepared.model, prepared.n_parameters)
            return _Fit(frozen, {**settings, "steps": 0}, {})
        tune = _contrasted()
        tokenizer, body = self._start(bench)
        met = _joined(examples, with_names, min(names, 1))
        tuned = tune(body, tokenizer, met.texts, met.labels, recipe, bench)
        predictor = _exported(tuned.body, tokenizer, n_classes, bench)
        head = _head(predictor.encoder, examples, with_names, names, n_classes, settings)
        done = {**settings, **tuned.recipe.as_json()}
        return _Fit(replace(predictor, head=head), done, tuned.record, tuned.body)

    def _start(self, bench: Workbench) -> tuple[Tokenizer, BertModel]:
        """The encoder before it learns anything. Raises ``WeightsNotFound`` or ``UnsupportedModel``."""
        folder = resolve(self.encoder, cache=bench.cache, offline=bench.offline).folder
        body = read_bert(folder)
        return tokenizer_beside(body, folder), body


def _first(rows: int) -> Contrast:
    """Ten times over all rows, in 10 steps at least and in 20 where there are rows for them.

    >>> _first(16).steps, _first(32).steps, _first(616).steps
    (10, 20, 96)
    """
    recipe = Contrast()
    at_least = np.clip(round(20 * rows / 32), 10, 20)
    steps = int(min(200, max(at_least, round(10 * rows / recipe.rows))))
    return replace(recipe, steps=steps, for_rows=rows)


class _Labelled(NamedTuple):
    texts: list[str]
    labels: NDArray[np.int64]


def _with_names(examples: Examples, n_classes: int, bench: Workbench) -> _Labelled:
    """The name or description of every class that has rows and a word in either; none if the names are not known."""
    names, told = bench.class_names, bench.descriptions
    codes = np.unique(examples.labels)
    if len(names) != n_classes:
        return _Labelled([], codes[:0])
    mute = set(undescribed(names, told))
    codes = codes[[names[code] not in mute for code in codes]]
    texts = class_texts(names, told, TEMPLATES["name"])
    return _Labelled([texts[code][0] for code in codes], codes)


def _joined(examples: Examples, names: _Labelled, times: int) -> _Labelled:
    """The examples, and the names so many times."""
    labels = np.concatenate([examples.labels, *[names.labels] * times])
    return _Labelled([*examples.texts, *names.texts * times], labels)


def _head(
    encoder: SentenceEncoder, examples: Examples, names: _Labelled, times: int, n_classes: int, settings: Settings
) -> DenseHead:
    texts, labels = _joined(examples, names, times)
    return fit_head(encoder.embed(texts), labels, n_classes, settings)


def _exported(body: BertModel, tokenizer: Tokenizer, n_classes: int, bench: Workbench) -> EncoderPredictor:
    """The encoder in onnxruntime, with a head that knows nothing yet."""
    weight, bias = np.zeros((body.config.width, n_classes), np.float32), np.zeros(n_classes)
    return predictor_of(Trained(body, weight, bias, Recipe(), {}), tokenizer, bench)


def _contrasted() -> Any:
    try:
        from bigenough.rungs.training.contrastive import contrasted
    except ImportError as error:
        raise MissingExtra("The rung 'few'", str(error.name), "pip install 'bigenough[tune]'") from error
    return contrasted
