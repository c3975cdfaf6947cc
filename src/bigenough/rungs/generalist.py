# SPDX-License-Identifier: Apache-2.0
"""The generalist rung: a large general model behind an OpenAI-compatible endpoint, asked with a prompt.

It decides what the prompt says, which examples it shows and how replies are read; the search on select is a search of
prompts, and what it chose is in the record, word for word. It refuses to be a straw man: it gets examples near the row,
descriptions where there are some, a reply under a schema where the endpoint keeps to one.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bigenough.chat.abilities import found_out
from bigenough.chat.asking import Asker
from bigenough.chat.client import Endpoint
from bigenough.chat.prompt import INSTRUCTIONS, LAYOUTS, Form, Prompt
from bigenough.chat.replies import ReplyStore
from bigenough.chat.terms import Terms, current_terms
from bigenough.errors import BadOption, RungFailed
from bigenough.rungs.class_texts import readable_names
from bigenough.rungs.predictors.endpoint import REPLY_TOKENS, EndpointPredictor
from bigenough.rungs.predictors.shots import CHOICES, Shots
from bigenough.rungs.protocol import Settings, Trial, Watched, Workbench
from bigenough.task import Examples

__all__ = ["INSTRUCTION_TEXTS", "GeneralistRung"]

INSTRUCTION_TEXTS: Mapping[str, str] = {
    "plain": INSTRUCTIONS,
    "careful": (
        "You label texts as a careful expert would. Weigh what the text is mainly about, then answer with the one "
        "label below that fits it best, as it is written, and nothing else."
    ),
}
"""What a model may be told to do; which is better, select decides."""
MOST_SHOTS = 5_000
"""Examples among which the nearest are sought; they are saved with the model."""


class GeneralistRung:
    """A chat model at an endpoint.

    Args:
        url: the base address, as in ``https://api.openai.com/v1``.
        model: its name there.
        terms: on which it is asked; None is ``chat.terms.current_terms``: those in force, or of the environment. The
            search of prompts keeps to its share of the budget.
        described: whether the user said what the classes mean, so that it is worth trying without.
        reply_tokens: what a reply may take beside its label; a model that thinks aloud before it answers needs many.

    Raises:
        BadOption: the address or the name cannot be used.
    """

    name = "generalist"
    version = 2
    summary = "a large general model behind an endpoint, asked with a prompt and examples"
    place = 1000
    requires = ("openai", "genai_prices", "ecologits")
    extra = "llm"
    curve = False
    """Fewer examples to choose from would be asked for, and paid, at every point."""
    refits = False
    """With other examples to choose from, its prompts would be others than those that select has tried: their replies
    could not tell of its speed and cost, and the calibration would be another prompt's."""
    remote = True

    def __init__(
        self,
        url: str,
        model: str,
        *,
        terms: Terms | None = None,
        described: bool = True,
        reply_tokens: int = REPLY_TOKENS,
    ) -> None:
        if not model.strip():
            raise BadOption("The generalist needs the name of a model, as its endpoint calls it (--generalist-model).")
        if reply_tokens < 1:
            raise BadOption(f"A reply needs some tokens beside its label. Got reply_tokens={reply_tokens}.")
        self.endpoint = Endpoint(url, model)
        self.reply_tokens = reply_tokens
        self.terms = terms
        self.described = described

    def __repr__(self) -> str:
        return f"GeneralistRung({self.endpoint.url!r}, {self.endpoint.model!r})"

    def weights(self, bench: Workbench) -> Mapping[str, str]:
        """Whose model it is; its weights are the endpoint's."""
        where = self.endpoint.url
        # the bound on replies stands here since it is part of what the candidate becomes
        whose = f"{self.endpoint.model} at {where}"
        return {"name": whose, "licence": "unknown", "source": where, "reply_tokens": str(self.reply_tokens)}

    def first_settings(self, examples: Examples, n_classes: int) -> Settings:
        """Eight examples near the row, as earlier turns of the talk, replies under a schema."""
        return {
            "shots": 8,
            "choice": "nearest",
            "descriptions": self.described,
            "layout": "turns",
            "names": "given",
            "instructions": "plain",
            "answers": "structured",
        }

    def suggest(self, trial: Trial, examples: Examples, n_classes: int) -> Settings:
        """The prompt: how many examples and which, descriptions or not, its layout, how labels are called and read."""
        shots = trial.suggest_categorical("shots", [0, 1, 4, 8, 16])
        choice = trial.suggest_categorical("choice", list(CHOICES))
        descriptions = trial.suggest_categorical("descriptions", [True, False]) if self.described else False
        return {
            "shots": shots,
            "choice": choice if shots else "nearest",
            "descriptions": descriptions,
            "layout": trial.suggest_categorical("layout", list(LAYOUTS)),
            "names": trial.suggest_categorical("names", ["given", "words"]),
            "instructions": trial.suggest_categorical("instructions", list(INSTRUCTION_TEXTS)),
            "answers": trial.suggest_categorical("answers", ["structured", "parsed"]),
        }

    def fit(self, examples: Examples, n_classes: int, settings: Settings, bench: Workbench) -> EndpointPredictor:
        """The prompt, and these examples to choose from; what the endpoint can do is asked once and kept.

        Raises:
            RungFailed: the endpoint cannot be asked.
            BadOption: a setting makes no sense, or a budget in money has no price to go by.
            MissingExtra: the package ``openai`` is missing.
        """
        checked = _checked(settings)
        terms = (self.terms or current_terms(cache=bench.cache)).for_search()
        endpoint = Endpoint(self.endpoint.url, self.endpoint.model, terms.key_variable, terms.timeout_s)
        if bench.offline:
            endpoint.check_offline()
        store = ReplyStore(terms.store)
        try:
            abilities = found_out(Asker(endpoint, store, terms, bench.say), self.reply_tokens)
        finally:
            store.close()
        # examples answered in another form than the schema's would pull the model away from both
        structured = checked["answers"] == "structured" and abilities.structured
        return EndpointPredictor(
            url=endpoint.url,
            model=endpoint.model,
            prompt=_prompt(checked, n_classes, bench, form="json" if structured else "label"),
            shots=Shots.of(examples.texts, examples.labels, n_classes, most=MOST_SHOTS if checked["shots"] else 0),
            n_shots=checked["shots"],
            choice=checked["choice"],
            abilities=abilities,
            structured=structured,
            reply_tokens=self.reply_tokens,
            terms=terms,
            say=bench.say,
        )

    def fit_watching(
        self, examples: Examples, n_classes: int, settings: Settings, bench: Workbench, watch: Examples
    ) -> Watched:
        """Fit, ask the select rows, and record the prompt and how they were answered."""
        predictor = self.fit(examples, n_classes, settings, bench)
        predictor.answers(watch.texts)
        record = {
            "prompt": predictor.prompt.as_json(),
            "abilities": predictor.abilities.as_json(),
            "select": predictor.tally(watch.texts),
            "failed_replies": "count as right with a chance of one in as many as there are classes",
        }
        return Watched(predictor, settings, record)


def _checked(settings: Settings) -> Mapping[str, Any]:
    allowed: Mapping[str, tuple[Any, ...]] = {
        "choice": CHOICES,
        "layout": LAYOUTS,
        "names": ("given", "words"),
        "instructions": tuple(INSTRUCTION_TEXTS),
        "answers": ("structured", "parsed"),
        "descriptions": (True, False),
    }
    for name, choices in allowed.items():
        if settings[name] not in choices:
            raise BadOption(f"{name} must be one of {list(choices)}. Got {settings[name]!r}.")
    shots = settings["shots"]
    if not isinstance(shots, int) or isinstance(shots, bool) or shots < 0:
        raise BadOption(f"shots must be a whole number, at least 0. Got {shots!r}.")
    return settings


def _prompt(settings: Mapping[str, Any], n_classes: int, bench: Workbench, *, form: Form) -> Prompt:
    names = bench.class_names or tuple(map(str, range(n_classes)))
    if len(names) != n_classes:
        raise RungFailed(f"There are {n_classes} classes and {len(names)} class names: one name a class is needed.")
    called = tuple(readable_names(names)) if settings["names"] == "words" else names
    if len(set(called)) < len(called):  # in words they would be the same
        called = names
    told = tuple(bench.descriptions.get(name, "").strip() for name in names) if settings["descriptions"] else ()
    return Prompt(
        classes=tuple(called),
        descriptions=told if any(told) else (),
        instructions=INSTRUCTION_TEXTS[settings["instructions"]],
        layout=settings["layout"],
        form=form,
    )
