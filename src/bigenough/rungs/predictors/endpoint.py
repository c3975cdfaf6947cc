# SPDX-License-Identifier: Apache-2.0
"""A large model behind an endpoint, with a prompt: asked through the store of replies, so that a row is paid once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from bigenough.chat.abilities import Abilities, label_schema
from bigenough.chat.asking import Asker
from bigenough.chat.client import Endpoint
from bigenough.chat.confidence import by_logprobs, by_rule, undecided
from bigenough.chat.observed import compared, determinism_of, observed_performance, provenance_of
from bigenough.chat.parse import FAILURES, Parsed, parse
from bigenough.chat.prompt import Prompt
from bigenough.chat.replies import FILTERED, OVERFLOW, Reply, ReplyStore
from bigenough.chat.request import Request
from bigenough.chat.terms import Terms, current_terms
from bigenough.errors import BudgetSpent, RungFailed
from bigenough.rungs.predictors.artefact import read_facts, write_predictor
from bigenough.rungs.predictors.shots import Choice, Shots
from bigenough.rungs.predictors.softmax import checked_temperature, softmax
from bigenough.storage import content_hash

__all__ = ["LONGEST_ROW", "REPLY_TOKENS", "Answer", "EndpointPredictor"]

LONGEST_ROW = 20_000
"""Characters of a row that are sent; a text that the model's context cannot take is halved from here."""
_SHORTEST_ROW = 100
REPLY_TOKENS = 32
"""What a reply may take beside its label, unless told otherwise: JSON, a fence, "Label:"."""


class Answer(NamedTuple):
    """What came of one row: its reply, what that says, and what had to be left out of the prompt."""

    reply: Reply
    parsed: Parsed
    shots_left_out: int
    characters_left_out: int


class _Way(NamedTuple):
    """How a row is asked again: for which time, at the endpoint's own temperature, with the examples turned round."""

    repeat: int = 0
    own_temperature: bool = False
    turned: bool = False


@dataclass(frozen=True, eq=False)
class EndpointPredictor:
    """Class probabilities from a chat model's replies.

    A row's answer is that of its stored reply; a row without one is asked, on the terms in force. A reply that names no
    class counts as a failure of its kind and gets ``chat.confidence.undecided``: right with a chance of 1 / k.

    Attributes:
        url, model: where and whom to ask.
        prompt: what it is told; its classes are in the order of the codes.
        shots: examples to show.
        n_shots, choice: how many of them, chosen how.
        abilities: what the endpoint takes.
        structured: replies are asked for under a schema, where the endpoint honours one.
        reply_tokens: what a reply may take beside its label.
        temperature: what the log-probabilities of classes are divided by.
        terms: on which it asks; None is those in force when it asks.
        say: told how far it is.
    """

    kind: ClassVar[str] = "endpoint"
    remote: ClassVar[bool] = True
    """It runs elsewhere and every call may cost money: measure it by ``observed``, not in processes of its own."""

    url: str
    model: str
    prompt: Prompt
    shots: Shots
    n_shots: int = 0
    choice: Choice = "nearest"
    abilities: Abilities = field(default_factory=Abilities)
    structured: bool = True
    reply_tokens: int = REPLY_TOKENS
    temperature: float = 1.0
    terms: Terms | None = None
    say: Callable[[str, float | None], None] = lambda what, done: None

    @property
    def n_parameters(self) -> int:
        """None that are known here: the endpoint has them."""
        return 0

    @property
    def n_classes(self) -> int:
        """How many classes there are."""
        return len(self.prompt.classes)

    def predict_proba(self, texts: Sequence[str]) -> NDArray[np.float64]:
        """The (n, k) class probabilities of n texts.

        Raises:
            RungFailed: the endpoint cannot be asked, or the budget is spent; every reply that was paid for is kept.
        """
        return self.probabilities(texts, self.answers(texts))

    def answers(self, texts: Sequence[str]) -> list[Answer]:
        """What came of each text."""
        with self._asker() as asker:
            return self._asked(asker, texts, _Way())

    def probabilities(self, texts: Sequence[str], answers: Sequence[Answer]) -> NDArray[np.float64]:
        """The (n, k) class probabilities of n texts whose answers are there; nobody is asked."""
        rows = [self._probability(text, answer) for text, answer in zip(texts, answers, strict=True)]
        stacked = np.array(rows, np.float64).reshape(len(rows), self.n_classes)
        return softmax(np.log(stacked), self.temperature)

    def tally(self, texts: Sequence[str]) -> dict[str, Any]:
        """How these rows were answered, as JSON values: failures by kind, how labels were read, when and by whom.

        Nobody is asked: ``rows`` counts those whose reply is kept.
        """
        with self._asker() as asker:
            kept = self._kept(asker.store, texts)
        answers = [kept[text] for text in texts if text in kept]
        failures = Counter(answer.parsed.failure for answer in answers if answer.parsed.failure)
        return {
            "rows": len(answers),
            "failures": {kind: failures[kind] for kind in FAILURES},
            "read_as": dict(sorted(Counter(str(answer.parsed.how) for answer in answers if answer.parsed.how).items())),
            "cut_off": sum(answer.reply.finish == "length" for answer in answers),
            "with_logprobs": sum(answer.reply.tokens is not None for answer in answers),
            "examples_left_out": sum(answer.shots_left_out > 0 for answer in answers),
            "texts_cut": sum(answer.characters_left_out > 0 for answer in answers),
            "tokens_in": sum(answer.reply.tokens_in or 0 for answer in answers),
            "tokens_out": sum(answer.reply.tokens_out or 0 for answer in answers),
            "replies": provenance_of([answer.reply for answer in kept.values()]),
        }

    def observed(
        self, texts: Sequence[str], *, rows: int = 8, repeats: int = 3, country: str | None = None
    ) -> dict[str, Any]:
        """Speed, tokens, money, energy and determinism as JSON values, with the keys of a measured performance.

        All but determinism is read off the stored replies about these rows; ``replies`` says how many there are, when
        the first and the last came, and which systems the endpoint says they came from. For determinism some rows are
        asked again: ``repeats`` times in all as they are served and at the endpoint's own temperature, once with the
        examples in another order; their replies are kept like all others, and asked for within the share of the budget
        that a search may use.

        Args:
            texts: rows like those it will serve, asked before.
            rows: how many of them are asked again, evenly spaced.
            repeats: how often in all.
            country: three-letter ISO code of the grid, for the emissions.
        """
        with self._asker((self.terms or current_terms()).for_search()) as asker:
            replies = sorted(
                (each.reply for each in self._kept(asker.store, texts).values()), key=lambda reply: reply.at
            )
            figures = observed_performance(
                replies, url=self.url, model=self.model, tariff=asker.tariff,
                concurrency=asker.terms.concurrency, country=country,
            )  # fmt: skip
            places = np.unique(np.linspace(0, len(texts) - 1, min(rows, len(texts))).astype(np.int64))
            determinism = self._determinism(asker, [texts[place] for place in places], repeats)
        told = {name: figure.to_json() for name, figure in figures.items()}
        return {**told, "replies": provenance_of(replies), "determinism": determinism}

    def with_temperature(self, temperature: float) -> Self:
        """The same model with its log-probabilities divided by the temperature."""
        return replace(self, temperature=self.temperature * checked_temperature(temperature))

    def on_terms(self, terms: Terms) -> Self:
        """The same model, asked on these terms."""
        return replace(self, terms=terms)

    def save(self, folder: Path) -> None:
        """Write ``predictor.json``, which holds no key and no budget, and ``shots.json``."""
        facts = {
            "url": self.url,
            "model": self.model,
            "prompt": self.prompt.as_json(),
            "n_shots": self.n_shots,
            "choice": self.choice,
            "abilities": self.abilities.as_json(),
            "structured": self.structured,
            "reply_tokens": self.reply_tokens,
            "temperature": self.temperature,
        }
        self.shots.save(folder)
        write_predictor(folder, self.kind, facts)

    @classmethod
    def load(cls, folder: Path, *, threads: int | None = None) -> Self:
        """The model that ``save`` wrote; how many are asked at once is for the terms to say, not for threads."""
        facts = read_facts(folder)
        prompt = Prompt.of(facts["prompt"])
        return cls(
            url=Endpoint(str(facts["url"]), str(facts["model"])).url,
            model=str(facts["model"]),
            prompt=prompt,
            shots=Shots.load(folder, len(prompt.classes)),
            n_shots=int(facts["n_shots"]),
            choice=facts["choice"],
            abilities=Abilities.of(facts["abilities"]),
            structured=bool(facts["structured"]),
            reply_tokens=int(facts["reply_tokens"]),
            temperature=checked_temperature(facts["temperature"]),
        )

    def _series(self, way: _Way) -> str:
        """The name under which replies to this prompt are kept together; examples that change by row aside."""
        told = [self.url, self.model, self.prompt.as_json(), self.n_shots, self.choice, self._parameters(way)]
        return content_hash(*told, way.turned, length=16)

    @contextmanager
    def _asker(self, terms: Terms | None = None) -> Iterator[Asker]:
        terms = terms or self.terms or current_terms()
        endpoint = Endpoint(self.url, self.model, terms.key_variable, terms.timeout_s)
        store = ReplyStore(terms.store)
        try:
            yield Asker(endpoint, store, terms, self.say)
        finally:
            store.close()

    def _asked(self, asker: Asker, texts: Sequence[str], way: _Way) -> list[Answer]:
        """Each text's answer. What overflows the model's context is asked again with less, until it fits."""
        once = list(dict.fromkeys(texts))
        shown = dict(zip(once, self.shots.for_rows(once, self.n_shots, self.choice), strict=True))
        answers: dict[str, Answer] = {}
        level = 0
        while left := [text for text in once if text not in answers]:
            sent = [_reduced(text, shown[text], level) for text in left]
            replies = asker.ask([self._request(each, way) for each in sent])
            for text, each, reply in zip(left, sent, replies, strict=True):
                if reply.finish != OVERFLOW:
                    answers[text] = self._answer(reply, each, text, shown[text])
            level += 1
        return [answers[text] for text in texts]

    def _kept(self, store: ReplyStore, texts: Sequence[str]) -> dict[str, Answer]:
        """The answers to these texts that there are."""
        left = list(dict.fromkeys(texts))
        shown = dict(zip(left, self.shots.for_rows(left, self.n_shots, self.choice), strict=True))
        answers: dict[str, Answer] = {}
        level = 0
        while left:
            sent = {text: _reduced(text, shown[text], level) for text in left}
            requests = {text: self._request(each, _Way()) for text, each in sent.items()}
            found = store.get(list(requests.values()))
            came = {text: found[request.key] for text, request in requests.items() if request.key in found}
            for text, reply in came.items():
                if reply.finish != OVERFLOW:
                    answers[text] = self._answer(reply, sent[text], text, shown[text])
            left = [text for text, reply in came.items() if reply.finish == OVERFLOW]
            level += 1
        return answers

    def _answer(self, reply: Reply, sent: _Sent, text: str, shown: list[tuple[str, int]]) -> Answer:
        return Answer(reply, self._parsed(reply), len(shown) - len(sent.shots), len(text) - len(sent.text))

    def _request(self, sent: _Sent, way: _Way) -> Request:
        shots = sent.shots[::-1] if way.turned else sent.shots
        messages = self.prompt.messages(sent.text, shots)
        return Request(self.url, self.model, messages, self._parameters(way), way.repeat, self._series(way))

    def _parameters(self, way: _Way) -> dict[str, Any]:
        longest = max(len(name.encode("utf-8", "replace")) for name in self.prompt.classes)
        return self.abilities.parameters(
            at_most=longest + self.reply_tokens,
            temperature=None if way.own_temperature else 0.0,
            schema=label_schema(self.prompt.classes) if self.structured else None,
        )

    def _parsed(self, reply: Reply) -> Parsed:
        refused = reply.refusal is not None or reply.finish == FILTERED
        return parse(reply.content, self.prompt.classes, refused=refused)

    def _probability(self, text: str, answer: Answer) -> NDArray[np.float64]:
        parsed, classes = answer.parsed, self.prompt.classes
        if parsed.code is None:
            return undecided(text, len(classes))
        tokens = answer.reply.tokens
        by_tokens = by_logprobs(tokens, parsed.surface, parsed.code, classes) if tokens else None
        return by_rule(parsed.code, len(classes)) if by_tokens is None else by_tokens

    def _determinism(self, asker: Asker, texts: Sequence[str], repeats: int) -> dict[str, Any]:
        def answered(way: _Way) -> NDArray[np.float64]:
            return self.probabilities(texts, self._asked(asker, texts, way))

        checks = []
        try:
            served = "temperature 0" if self.abilities.temperature else "the same seed"
            steady = self.abilities.temperature or self.abilities.seed
            for own in (False, True) if steady else (True,):
                what = "the endpoint's own temperature" if own else served
                said = [answered(_Way(n, own_temperature=own)) for n in range(max(2, repeats))]
                checks.append(compared(f"asked {len(said)} times at {what}", said))
            if self.n_shots > 1:
                checks.append(compared("examples in another order", [answered(_Way()), answered(_Way(turned=True))]))
        except BudgetSpent as spent:
            return determinism_of(len(texts), checks, str(spent))
        return determinism_of(len(texts), checks)


class _Sent(NamedTuple):
    """What a prompt has of a row: its text and examples, as far as they fit."""

    text: str
    shots: list[tuple[str, int]]


def _reduced(text: str, shots: list[tuple[str, int]], level: int) -> _Sent:
    """A row after so many overflows: half the examples each time, the nearest kept, then half the text.

    Raises ``RungFailed`` when the labels alone do not fit.
    """
    n = len(shots)
    kept = shots[n - (n >> level) :]
    cuts = max(0, level - n.bit_length())
    length = min(len(text), LONGEST_ROW) >> cuts
    if cuts and length < _SHORTEST_ROW:
        raise RungFailed(
            f"The labels and {_SHORTEST_ROW} characters of a row do not fit into the model's context. "
            "Leave descriptions out, shorten the labels, or take a model with a longer context."
        )
    return _Sent(text[:length], kept)
