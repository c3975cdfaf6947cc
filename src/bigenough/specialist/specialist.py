# SPDX-License-Identifier: Apache-2.0
"""Loading a packaged model and asking it, on numpy and whatever its kind of predictor needs."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from bigenough.errors import InputError, TamperedArtefact
from bigenough.measure.determinism import compare
from bigenough.storage import check_files

if TYPE_CHECKING:
    from bigenough.rungs.protocol import Predictor

__all__ = ["ABOUT", "CANARY", "CARD", "FORMAT", "MODEL", "SEAL", "SelfCheck", "Specialist", "load", "seal"]

FORMAT = 1
"""Which form of the folder this version reads and writes."""

ABOUT = "specialist.json"
SEAL = "specialist.json.sha256"
CARD = "README.md"
CANARY = "canary.json"
MODEL = "model"


class Loader(Protocol):
    """Who turns a model folder into a predictor."""

    def __call__(self, folder: Path, *, threads: int | None = None) -> Predictor:
        """The predictor that was saved in the folder."""
        ...


@dataclass(frozen=True)
class SelfCheck:
    """Whether the model answers a few fixed texts on this machine as it did on the one that judged it.

    Attributes:
        rows: how many texts were asked.
        label_flips: how many labels differ.
        max_probability_difference: the largest absolute difference of any probability.
        tolerance: the difference that still passes.
    """

    rows: int
    label_flips: int
    max_probability_difference: float
    tolerance: float

    @property
    def passed(self) -> bool:
        """No label differs and no probability by more than the tolerance."""
        return self.label_flips == 0 and self.max_probability_difference <= self.tolerance


class Specialist:
    """A narrow classifier that was proved good enough for its task.

    Made by ``load``. Safe to ask from several threads if its kind of predictor is; those of bigenough are.
    """

    def __init__(self, predictor: Predictor, about: Mapping[str, Any], folder: Path) -> None:
        self._predictor = predictor
        self._labels: list[str] = list(about["classes"])
        self.about = about
        """All that ``specialist.json`` says: the task, the scores with their intervals, the verdict, the machine."""
        self.folder = folder

    def __repr__(self) -> str:
        return f"<Specialist {self.about['name']!r}: {self.about['rung']}, {len(self._labels)} classes>"

    @property
    def classes(self) -> tuple[str, ...]:
        """The labels, in the order of ``predict_proba``'s columns."""
        return tuple(self._labels)

    def predict(self, texts: Iterable[str]) -> list[str]:
        """The most probable label of each of n texts; the first in the order of classes on a tie.

        Raises:
            InputError: a single text instead of a list of texts, or an entry that is no text, named by its position.
        """
        labels = self._labels
        return [labels[code] for code in self.predict_proba(texts).argmax(axis=1).tolist()]

    def predict_proba(self, texts: Iterable[str]) -> NDArray[np.float64]:
        """The (n, k) probabilities of n texts and k classes; rows sum to 1. Raises as ``predict`` does."""
        return self._predictor.predict_proba(_as_texts(texts))

    def self_check(self, *, tolerance: float = 1e-6) -> SelfCheck:
        """Ask the fixed texts that the folder carries and compare with what the judged model answered.

        A flip or a difference means that this machine computes otherwise (see ``about["machine"]``); then judge the
        model here before relying on its scores.
        """
        canary = json.loads((self.folder / CANARY).read_text(encoding="utf-8"))
        judged = np.array(canary["probability"], dtype=np.float64)
        again = compare("self check", judged, self.predict_proba(canary["texts"]))
        return SelfCheck(len(judged), again.label_flips, again.max_probability_difference, tolerance)


def load(
    path: str | Path, *, threads: int | None = None, verify: bool = True, loader: Loader | None = None
) -> Specialist:
    """Load a packaged model.

    Args:
        path: the specialist's folder, or the folder of the study that made it.
        threads: the most threads it may use; None leaves its library's choice.
        verify: compare every file's size and SHA-256 with what was judged. Leave it on unless it was just checked.
        loader: who loads the model's own folder; for plugins' tests.

    Raises:
        InputError: there is no specialist here, one in a newer form, or one that asks a model elsewhere.
        TamperedArtefact: a file is not the one that was judged, is missing, or has no business in the model's folder.

    Example:
        >>> specialist = load("studies/tickets/specialist")                  # doctest: +SKIP
        >>> specialist.predict(["my card has not arrived"])                  # doctest: +SKIP
        ['card_arrival']
    """
    folder = _find(Path(path))
    about = _read_about(folder, verify=verify)
    if verify:
        _check(folder, about["files"])
    if loader is None:
        from bigenough.rungs.predictors import load_predictor

        loader = load_predictor
    from bigenough.rungs.protocol import is_remote

    predictor = loader(folder / MODEL, threads=threads)
    if is_remote(predictor):
        raise InputError(
            f"{folder} would ask a model elsewhere, with your texts and perhaps your key. bigenough packs none such: "
            "use a folder that it made."
        )
    if predictor.n_classes != len(about["classes"]):
        raise TamperedArtefact(
            f"{folder / MODEL} tells {predictor.n_classes} classes apart, and {ABOUT} names {len(about['classes'])}. "
            "Copy the whole folder again from the study that made it."
        )
    return Specialist(predictor, about, folder)


def seal(about: bytes) -> str:
    """The line that vouches for ``specialist.json``, in the form of ``sha256sum``."""
    return f"{hashlib.sha256(about).hexdigest()}  {ABOUT}\n"


def _find(path: Path) -> Path:
    for folder in (path, path / "specialist"):
        if (folder / ABOUT).is_file():
            return folder
    if not path.exists():
        raise InputError(f"There is no {path}. Give the specialist's folder, or that of the study that made it.")
    if (path / "study.json").is_file():
        raise InputError(
            f"The study {path} holds no specialist: it is unfinished, or nothing in it was good enough to be shipped. "
            f"See its verdict in {path / 'verdict.json'}."
        )
    raise InputError(f"{path} holds no {ABOUT}. Give the specialist's folder, or that of the study that made it.")


def _read_about(folder: Path, *, verify: bool) -> dict[str, Any]:
    data = (folder / ABOUT).read_bytes()
    about = _parse(folder, data)
    if about["format"] != FORMAT:
        raise InputError(
            f"{folder / ABOUT} has form {about['format']!r}, and this version of bigenough reads form {FORMAT}. "
            f"Install the version that made it: {about.get('bigenough', 'unknown')}."
        )
    if verify:
        path = folder / SEAL
        if not path.is_file():
            raise TamperedArtefact(f"{path} is missing. Copy the whole folder again from the study that made it.")
        if path.read_bytes() != seal(data).encode("ascii"):
            raise TamperedArtefact(
                f"{folder / ABOUT} is not the file that was written with the judged model (its SHA-256 is not that in "
                f"{SEAL}). Copy the whole folder again from the study that made it."
            )
    return about


def _parse(folder: Path, data: bytes) -> dict[str, Any]:
    try:
        about = json.loads(data)
        complete = {"format", "files", "classes", "name", "rung"} <= set(about) or about["format"] != FORMAT
    except (ValueError, KeyError, TypeError, RecursionError):
        complete = False
    if not complete or not isinstance(about, dict):
        raise TamperedArtefact(
            f"{folder / ABOUT} is damaged: it is no description of a specialist. "
            "Copy the whole folder again from the study that made it."
        )
    return about


def _check(folder: Path, files: Mapping[str, Mapping[str, int | str]]) -> None:
    for name in files:
        path = PurePosixPath(name)
        if path.is_absolute() or ".." in path.parts or "\\" in name:
            raise TamperedArtefact(f"{folder / ABOUT} lists the file {name!r}, which is no path within the folder.")
    check_files(folder, files)
    needed = {CARD, CANARY}
    if not needed <= set(files):
        raise TamperedArtefact(f"{folder / ABOUT} does not list {sorted(needed - set(files))}; it was changed.")
    unlisted = [
        name
        for path in sorted((folder / MODEL).rglob("*"))
        if not path.is_dir() and (name := path.relative_to(folder).as_posix()) not in files
    ]
    if unlisted:
        raise TamperedArtefact(
            f"{folder} holds files beside the judged model's: {', '.join(unlisted[:5])}. Remove them, "
            "or copy the whole folder again from the study that made it."
        )


def _as_texts(texts: Iterable[str]) -> Sequence[str]:
    if isinstance(texts, str | bytes):
        raise InputError(f"A specialist is asked a list of texts. Got a single one: write [{_shorten(texts)}].")
    if hasattr(texts, "columns"):
        raise InputError("A specialist is asked one column of texts. Got a table: select its column of texts.")
    listed = texts if type(texts) is list else list(texts)
    for place, text in enumerate(listed):
        if not isinstance(text, str):
            raise InputError(
                f"Entry {place} (the first is 0) is {_shorten(text)} of type {type(text).__name__}, not a text. "
                "Drop it, or write '' where a text is missing."
            )
    return listed


def _shorten(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 40 else f"{text[:36]}..."
