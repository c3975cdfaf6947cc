# SPDX-License-Identifier: Apache-2.0
"""What every rung is, and what a fitted one must do.

A ``Rung`` is a recipe; fitting it gives a ``Predictor``, which is all that is ever judged, saved, served or shipped.
The predictor needs numpy, scipy, tokenizers and onnxruntime only; whatever trained it stays in the rung's own file.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, NamedTuple, Protocol, Self, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from bigenough.task import Examples
from bigenough.task.task import MetricName

__all__ = ["Predictor", "Rung", "Settings", "Trial", "Watched", "Workbench", "is_remote"]

Settings = Mapping[str, Any]
"""A rung's choices, JSON values only."""


@runtime_checkable
class Predictor(Protocol):
    """A fitted model at work.

    ``predict_proba`` is a function of each text alone: the same row gives the same label in any batch, order or thread.

    A model that runs elsewhere says ``remote = True``: it is asked no question twice, so its speed and its steadiness
    are taken from what was asked anyway (``observed_performance``), and it is never packed as a specialist.
    """

    kind: ClassVar[str]

    @property
    def n_parameters(self) -> int:
        """How many numbers were learned, here or in pre-training, and are needed to predict."""
        ...

    @property
    def n_classes(self) -> int:
        """The width of ``predict_proba``."""
        ...

    def predict_proba(self, texts: Sequence[str]) -> NDArray[np.float64]:
        """The (n, n_classes) class probabilities of n texts; each row sums to 1. Takes n = 0 and empty texts."""
        ...

    def with_temperature(self, temperature: float) -> Self:
        """The same model with its log-probabilities divided by ``temperature`` (Guo et al. 2017)."""
        ...

    def save(self, folder: Path) -> None:
        """Write the model's files into an existing, empty folder; safetensors, JSON and ONNX only."""
        ...

    @classmethod
    def load(cls, folder: Path, *, threads: int | None = None) -> Self:
        """The model that ``save`` wrote. ``threads`` bounds its threads; None leaves the library's choice."""
        ...


def is_remote(model: object) -> bool:
    """Whether a rung's or predictor's model runs elsewhere, behind an endpoint."""
    return bool(getattr(model, "remote", False))


class Trial(Protocol):
    """The part of ``optuna.Trial`` that a rung uses to declare what may be searched."""

    def suggest_categorical(self, name: str, choices: Sequence[Any]) -> Any:
        """One of the choices."""
        ...

    def suggest_float(self, name: str, low: float, high: float, *, log: bool = False) -> float:
        """A number from low to high."""
        ...

    def suggest_int(self, name: str, low: int, high: int) -> int:
        """A whole number from low to high."""
        ...


@dataclass
class Workbench:
    """What a rung may use while it is fitted; everything that is not a pure function of examples and settings.

    Attributes:
        seed: the only source of randomness.
        threads: how many threads to use.
        cache: a folder for downloaded or distilled weights, shared by all studies of a user.
        offline: never touch the network.
        memo: features that trials of the same study share (embeddings, tokenised texts); lives in memory only.
        class_names: the classes by name, in the order of their codes; empty when nobody told.
        descriptions: what a class means, by its name, where the user said so.
        unlabelled: texts without labels, from which a student may learn what its teacher says of them.
        fit_minutes: how long one fit of a costly rung may take; None is as long as its recipe takes.
        scratch: a folder for the checkpoints of a fit that takes long; None keeps none.
        metric: what a fit with sight of the select rows is to make high.
        say: tells the user what is going on: what, and how much of it is done (0 to 1, None if not known).
    """

    seed: int
    threads: int
    cache: Path
    offline: bool = False
    memo: dict[Any, Any] = field(default_factory=dict)
    class_names: tuple[str, ...] = ()
    descriptions: Mapping[str, str] = field(default_factory=dict)
    unlabelled: Sequence[str] = ()
    fit_minutes: float | None = None
    scratch: Path | None = None
    metric: MetricName = "accuracy"
    say: Callable[[str, float | None], None] = lambda what, done: None


class Watched(NamedTuple):
    """What a fit with sight of the select rows gave.

    Attributes:
        predictor: the fitted model.
        settings: the settings with whatever select decided put in (the epochs after which training stopped, the variant
            that was kept), so that ``fit`` with them does the same without sight of any other row.
        record: what happened, for the report; JSON values.
    """

    predictor: Predictor
    settings: Settings
    record: Mapping[str, Any]


class Rung(Protocol):
    """A recipe for doing a task with a model of a given size.

    A rung may have these too; without them the defaults hold:

    ``requires``: modules that must be importable, as in ``("torch", "transformers")``, and ``extra``, the extra that
    brings them. A rung that lacks one is left out of "all rungs", with a note, and named it raises ``MissingExtra``.
    ``unsuited(examples, n_classes, bench)``: why this data is nothing for the rung, without its name ("is made for …"),
    or None. It is left out then.
    ``on_request``: True when it is raced only if it is named, or its model is, since reading a row takes it long.
    ``costly``: True when one fit takes minutes. It keeps within ``bench.fit_minutes``, its models are kept, and the
    search spends its minutes on one fit, the refit, and further trials or a learning curve only while they last.
    ``curve``: False when fitting on fewer rows says nothing (a model shrunk from another, one that reads no label).
    ``fit_watching(examples, n_classes, settings, bench, watch) -> Watched``: used in place of ``fit`` in the search; it
    sees the select rows to stop early or to choose a variant. The refit on fit and select is a plain ``fit``.
    ``fit_recorded(examples, n_classes, settings, bench) -> Watched``: what ``fit`` makes, with the record of what
    happened; used for the refit, so that the report can tell what the shipped model's fit had to give up.
    ``parity(predictor, texts, bench)``: how near the shipped model comes to another implementation of it on the select
    texts; JSON values. Asked once, when all fits are done, so that no search and no budget pays for it.
    ``refits``: False when what is shipped is fitted on fit alone, since more rows would teach it nothing and make it
    another model than the one that was seen on select.
    ``first_settings_hold``: standard errors by which other settings must be better than the first ones.
    ``made_from``: the candidate's folder name that it was made from; part of the key.
    """

    name: str
    version: int
    """Raised whenever the recipe would give another model; part of the key under which results are kept."""
    summary: str
    """One line for the report: what it is."""
    place: int
    """Where it stands on the ladder when costs are not measured yet: smaller is cheaper to serve."""

    def weights(self, bench: Workbench) -> Mapping[str, str]:
        """Pre-trained weights it stands on: name, SHA-256, licence, source; empty for none. Raises WeightsNotFound.

        ``note`` may say what a user should know of them: it is told once, and goes into the report and the card.
        """
        ...

    def first_settings(self, examples: Examples, n_classes: int) -> Settings:
        """The settings that are tried first: good on most tasks without any search."""
        ...

    def suggest(self, trial: Trial, examples: Examples, n_classes: int) -> Settings:
        """Settings from the space that may be searched."""
        ...

    def fit(self, examples: Examples, n_classes: int, settings: Settings, bench: Workbench) -> Predictor:
        """Train on all these examples; a pure function of them, the settings and ``bench.seed``."""
        ...
