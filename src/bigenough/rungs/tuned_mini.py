# SPDX-License-Identifier: Apache-2.0
"""The tuned mini rung: a small language model that learns, by low-rank updates, to answer with the label alone.

The prompt is an instruct prompt in the model's own chat template, without the list of labels, so that reading a row is
cheap; each class is called by one token, so that one reading gives all classes. After training the updates are folded
in and the model is written back as a GGUF file in 8 and in 4 bits; select decides which. How training goes is
``bigenough.rungs.training``'s; torch is imported only while something is fitted.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from bigenough.chat.prompt import Prompt
from bigenough.errors import BadOption, MissingExtra
from bigenough.llama.model import LlamaModel
from bigenough.llama.talk import Talk, talk_of
from bigenough.llama.weights import DEFAULT_LLM, GgufWeights, resolve_gguf
from bigenough.models.gguf_weights import GgufModel, Packing, read_gguf, write_gguf
from bigenough.rungs.mini import shared_model
from bigenough.rungs.predictors.head import DenseHead
from bigenough.rungs.predictors.mini import MODEL
from bigenough.rungs.predictors.tuned_mini import TunedMiniPredictor, row_tokens, short_messages
from bigenough.rungs.protocol import Settings, Trial, Watched, Workbench
from bigenough.rungs.training.decoder_answers import Style, answers_for
from bigenough.rungs.training.decoder_recipe import DecoderRecipe
from bigenough.rungs.training.decoder_rows import PromptRows
from bigenough.rungs.training.recipe import one_hot
from bigenough.rungs.training.watching import clearly_worse
from bigenough.storage import atomic_folder, sha256_file
from bigenough.task import Examples

if TYPE_CHECKING:
    from bigenough.rungs.training.decoder_recipe import DecoderTrained

__all__ = ["TunedMiniRung"]

Bits = Literal[4, 8]

INSTRUCTIONS = "Classify the text."
NO_ROWS = -1e4
"""The bias of a class that no row has: its probability is zero."""
_MOST_COMPARED = 512
"""Select rows on which the files in 8 and 4 bits are compared with each other and with torch."""
_FIRST_COMPARED = 16
_SHARE_COMPARED = 0.4
"""Of the minutes that are left after training, what the comparison of one file may take."""
_FEWEST_STEPS = 150
_FEWEST_EPOCHS, _MOST_EPOCHS = 4.0, 20.0


class TunedMiniRung:
    """A tuned language model in llama.cpp; ``model`` is a name, file or folder that ``llama.resolve_gguf`` understands.

    Settings are those of ``DecoderRecipe``, and: ``answers``, whether classes are called by "words" of their names or
    by "codes"; ``instructions`` and ``layout`` of the prompt, which never lists the labels; ``bits`` of the file, 8 or
    4, or None to let select decide (8 where there is no select).
    """

    name = "tuned-mini"
    version = 1
    summary = "small language model, tuned on the task by LoRA, in llama.cpp"
    place = 65
    requires = ("torch", "transformers", "peft", "gguf", "xllamacpp")
    extra = "llm,tune"
    costly = True
    on_request = True

    def __init__(self, model: str = DEFAULT_LLM) -> None:
        self.model = model

    def weights(self, bench: Workbench) -> Mapping[str, str]:
        """The GGUF file it begins with; a folder's is made of it."""
        return resolve_gguf(self.model, cache=bench.cache).as_json()

    def first_settings(self, examples: Examples, n_classes: int) -> Settings:
        """Updates of all matrices; few rows are seen more often. The minutes decide how much of that is done."""
        enough = _FEWEST_STEPS * DecoderRecipe().batch / max(1, len(examples))
        epochs = max(_FEWEST_EPOCHS, min(_MOST_EPOCHS, float(round(enough))))
        return _settings(replace(DecoderRecipe(), epochs=epochs))

    def suggest(self, trial: Trial, examples: Examples, n_classes: int) -> Settings:
        """Learning rate, rank and targets of the updates, frozen layers, answers, smoothing and the order of rows."""
        first = DecoderRecipe(epochs=self.first_settings(examples, n_classes)["epochs"])
        recipe = replace(
            first,
            learning_rate=trial.suggest_float("learning_rate", 3e-4, 2e-3, log=True),
            lora_rank=trial.suggest_categorical("lora_rank", [8, 16, 32]),
            targets=trial.suggest_categorical("targets", ["all", "attention"]),
            frozen=trial.suggest_categorical("frozen", [0.0, 0.5]),
            label_smoothing=trial.suggest_categorical("label_smoothing", [0.0, 0.05]),
            seed_offset=trial.suggest_int("seed_offset", 0, 2),
        )
        return {**_settings(recipe), "answers": trial.suggest_categorical("answers", ["words", "codes"])}

    def fit(self, examples: Examples, n_classes: int, settings: Settings, bench: Workbench) -> TunedMiniPredictor:
        """Train for as many epochs as the settings say, and write the file in as many bits.

        Raises:
            RungFailed: the minutes do not suffice, the loss diverged, or the model cannot be asked so.
            UnsupportedModel: the file's model is of a kind that cannot be trained here.
            WeightsNotFound, TamperedArtefact: there is no such model, or its file is not the published one.
            BadOption: a setting makes no sense.
        """
        lesson = self._lesson(examples, n_classes, settings, bench)
        trained = lesson.trained(None)
        return lesson.written(trained, lesson.bits or 8)

    def fit_watching(
        self, examples: Examples, n_classes: int, settings: Settings, bench: Workbench, watch: Examples
    ) -> Watched:
        """Train with a look at ``watch`` after each epoch; then keep 4 bits unless 8 are clearly better on it."""
        began = time.monotonic()
        lesson = self._lesson(examples, n_classes, settings, bench)
        trained = lesson.trained(watch)
        left = None if bench.fit_minutes is None else 60 * bench.fit_minutes - (time.monotonic() - began)
        tried: list[Bits] = [8, 4] if lesson.bits is None else [lesson.bits]
        looks = [_Look.at(lesson, trained, bits, watch, left) for bits in tried]
        rows = min(len(look.hits) for look in looks)
        kept = len(looks) - 1
        if kept and clearly_worse(looks[1].hits[:rows], looks[0].hits[:rows]):
            kept = 0
        record = {**trained.record, "answers": list(lesson.prompt.classes), "kept": kept}
        record["variants"] = [look.record(trained.probability, watch.labels) for look in looks]
        chosen = {**settings, **trained.recipe.as_json(), "bits": tried[kept]}
        return Watched(looks[kept].predictor, chosen, record)

    def _lesson(self, examples: Examples, n_classes: int, settings: Settings, bench: Workbench) -> _Lesson:
        asked = {name: settings[name] for name in _ASKED if name in settings}
        recipe = DecoderRecipe.of({name: value for name, value in settings.items() if name not in _ASKED})
        answers, bits = asked.get("answers", "words"), asked.get("bits")
        if answers not in ("words", "codes") or bits not in (None, 4, 8):
            raise BadOption(f"answers must be 'words' or 'codes', bits 4, 8 or null. Got {answers!r} and {bits!r}.")
        weights = resolve_gguf(self.model, cache=bench.cache)
        model = shared_model(weights, bench)
        prompt = Prompt(
            tuple(_answers(model, n_classes, answers, bench)),
            instructions=str(asked.get("instructions", INSTRUCTIONS)), layout=asked.get("layout", "turns"),
        )  # fmt: skip
        talk = talk_of(model, short_messages(prompt))
        return _Lesson(examples, n_classes, recipe, bits, prompt, talk, weights, bench)


_ASKED = ("answers", "instructions", "layout", "bits")


def _settings(recipe: DecoderRecipe) -> dict[str, Any]:
    return {**recipe.as_json(), "answers": "words", "instructions": INSTRUCTIONS, "layout": "turns", "bits": None}


def _answers(model: LlamaModel, n_classes: int, style: Style, bench: Workbench) -> list[str]:
    names = bench.class_names if len(bench.class_names) == n_classes else ()
    return answers_for(names, n_classes, lambda text: model.tokens(text).tolist(), lambda: _words(model), style)


def _words(model: LlamaModel) -> Mapping[int, str]:
    """The vocabulary's plain words by their tokens."""
    found = {token: model.text([token]) for token in range(model.vocabulary)}
    return {token: text for token, text in found.items() if text.strip().isalpha()}


@dataclass(frozen=True, eq=False)
class _Lesson:
    """What is to be learned, and how it is asked."""

    examples: Examples
    n_classes: int
    recipe: DecoderRecipe
    bits: Bits | None
    prompt: Prompt
    talk: Talk
    weights: GgufWeights
    bench: Workbench

    def trained(self, watch: Examples | None) -> DecoderTrained:
        """The trained matrices."""
        train = _loop()
        answers = [int(self.talk.model.tokens(answer)[0]) for answer in self.prompt.classes]
        targets = one_hot(self.examples.labels, self.n_classes)
        watched = None if watch is None else self._rows(watch.texts)
        labels = None if watch is None else watch.labels
        trained: DecoderTrained = train(
            self.source, self.weights.sha256, self._rows(self.examples.texts), targets, answers, self.recipe,
            self.bench, watched, labels,
        )  # fmt: skip
        return trained

    @property
    def source(self) -> GgufModel:
        """The file that it begins with."""
        key = ("gguf", self.weights.sha256)
        if key not in self.bench.memo:
            self.bench.memo[key] = read_gguf(self.weights.path)
        source: GgufModel = self.bench.memo[key]
        return source

    def _rows(self, texts: Sequence[str]) -> PromptRows:
        most = self._text_tokens(self.recipe)
        rows = [row_tokens(self.talk, text, most) for text in texts]
        return PromptRows(self.talk.before, rows, len(self.talk.after))

    def _text_tokens(self, recipe: DecoderRecipe) -> int:
        """What a text is cut to, so that its row has ``max_length`` tokens."""
        room = self.talk.model.longest - len(self.talk.before)
        return max(1, min(recipe.max_length, room) - len(self.talk.after))

    def written(self, trained: DecoderTrained, bits: Bits) -> TunedMiniPredictor:
        """The trained model in a file of its own, which goes when the predictor does. Raises ``OutOfDisk``."""
        self.bench.say(f"writing the model in {bits} bits", None)
        own = TemporaryDirectory(prefix="bigenough-")
        folder = Path(own.name) / "model"
        with atomic_folder(folder) as scratch:
            write_gguf(scratch / MODEL, self.source, trained.changed, _packing(self.source, bits))
        bias = np.full(self.n_classes, NO_ROWS)
        bias[np.unique(self.examples.labels)] = 0.0
        head = DenseHead(np.eye(self.n_classes), bias)
        text_tokens = self._text_tokens(trained.recipe)
        path, threads = folder / MODEL, self.bench.threads
        return TunedMiniPredictor.of(path, sha256_file(path), self.prompt, head, text_tokens, threads, held=own)


@dataclass(frozen=True, eq=False)
class _Look:
    """One file, seen at work on the first of the watched rows."""

    bits: Bits
    packing: Packing
    predictor: TunedMiniPredictor
    probability: NDArray[np.float64]
    hits: NDArray[np.bool_]

    @classmethod
    def at(cls, lesson: _Lesson, trained: DecoderTrained, bits: Bits, watch: Examples, left: float | None) -> _Look:
        """Write the file and ask it, for as long as the seconds that are left allow."""
        predictor = lesson.written(trained, bits)
        texts = list(watch.texts[:_MOST_COMPARED])
        began = time.monotonic()
        first = predictor.predict_proba(texts[:_FIRST_COMPARED])
        if left is not None:
            pace = (time.monotonic() - began) / max(1, len(first))
            texts = texts[: max(len(first), int(_SHARE_COMPARED * max(0.0, left) / max(pace, 1e-6)))]
        probability = np.vstack([first, predictor.predict_proba(texts[len(first) :])])
        hits = probability.argmax(axis=1) == watch.labels[: len(probability)]
        return cls(bits, _packing(lesson.source, bits), predictor, probability, hits)

    def record(self, torch_said: NDArray[np.float64], labels: NDArray[np.int64]) -> dict[str, Any]:
        """What a report shows: accuracy, size, and how far it is from torch's own probabilities on the same rows."""
        rows = len(self.probability)
        said = torch_said[:rows]
        differs = self.probability.argmax(axis=1) != said.argmax(axis=1)
        return {
            "settings": {"bits": self.bits},
            "packing": self.packing,
            "score": float(self.hits.mean()) if rows else None,
            "parent_score": float((said.argmax(axis=1) == labels[:rows]).mean()) if rows else None,
            "flips": float(differs.mean()) if rows else None,
            "max_probability_difference": float(np.abs(self.probability - said).max(initial=0.0)),
            "rows": rows,
            "size_bytes": self.predictor.model.stat().st_size,
        }


def _packing(source: GgufModel, bits: Bits) -> Packing:
    """In four bits the file keeps the format that it came in, if that is one that can be written."""
    if bits == 8:
        return "Q8_0"
    found = [tensor.packing for tensor in source.tensors.values()]
    return "Q4_0" if found.count("Q4_0") > found.count("Q4_1") else "Q4_1"


def _loop() -> Any:
    try:
        from bigenough.rungs.training.decoder_loop import train_decoder
    except ImportError as error:
        raise MissingExtra("The rung 'tuned-mini'", str(error.name), "pip install 'bigenough[llm,tune]'") from error
    return train_decoder
