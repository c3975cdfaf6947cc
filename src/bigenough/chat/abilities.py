# SPDX-License-Identifier: Apache-2.0
"""What a model at an endpoint can do beyond plain chat, found out once by a few short requests and kept.

Servers differ in what they take (a schema for replies, log-probabilities, a seed, a temperature) and in what they then
do: some take a schema and ignore it. So the probe asks for a greeting under a schema that allows two made-up words.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Self

from bigenough.chat.asking import Asker
from bigenough.chat.parse import parse
from bigenough.chat.request import Request
from bigenough.errors import RequestRefused, RungFailed

__all__ = ["Abilities", "found_out", "label_schema"]

_WORDS = ("qorvex", "tilmund")
_ROOM = 64
_MOST_LOGPROBS, _FEWER_LOGPROBS = 20, 5
_ATTEMPTS = 8


@dataclass(frozen=True)
class Abilities:
    """What it takes and honours.

    Attributes:
        structured: replies keep to a JSON schema.
        logprobs: how many of the likeliest tokens it tells at each place; 0 for no log-probabilities.
        temperature, seed: it takes these.
        bound: the parameter that bounds the tokens of a reply.
    """

    structured: bool = False
    logprobs: int = 0
    temperature: bool = True
    seed: bool = True
    bound: str = "max_tokens"

    def parameters(
        self, *, at_most: int, temperature: float | None = 0.0, schema: Mapping[str, Any] | None = None
    ) -> dict[str, Any]:
        """The parameters of a request, as far as the endpoint takes them; temperature None leaves chance to it.

        >>> Abilities(logprobs=5, seed=False).parameters(at_most=8)
        {'max_tokens': 8, 'temperature': 0.0, 'logprobs': True, 'top_logprobs': 5}
        """
        sent: dict[str, Any] = {self.bound: at_most}
        if self.temperature and temperature is not None:
            sent["temperature"] = temperature
        if self.seed and temperature is not None:
            sent["seed"] = 0
        if self.logprobs:
            sent |= {"logprobs": True, "top_logprobs": self.logprobs}
        if self.structured and schema is not None:
            sent["response_format"] = dict(schema)
        return sent

    def as_json(self) -> dict[str, Any]:
        """The facts as JSON values."""
        return asdict(self)

    @classmethod
    def of(cls, json: Mapping[str, Any]) -> Self:
        """What ``as_json`` wrote."""
        return cls(
            bool(json["structured"]), int(json["logprobs"]), bool(json["temperature"]), bool(json["seed"]),
            str(json["bound"]),
        )  # fmt: skip


def label_schema(classes: Sequence[str]) -> dict[str, Any]:
    """The ``response_format`` under which a reply is one of the labels.

    >>> label_schema(["ham", "spam"])["json_schema"]["schema"]["properties"]["label"]["enum"]
    ['ham', 'spam']
    """
    label = {"type": "string", "enum": list(classes)}
    schema = {"type": "object", "properties": {"label": label}, "required": ["label"], "additionalProperties": False}
    return {"type": "json_schema", "json_schema": {"name": "label", "strict": True, "schema": schema}}


def found_out(asker: Asker, room: int = _ROOM) -> Abilities:
    """What the endpoint can do: from the store, or by asking now, with ``room`` for so many tokens of a reply.

    What a reply without words shows, which a model that thinks may give where its thoughts take all the room, is not
    kept. Raises ``RungFailed`` when it takes no plain request either, or cannot be asked.
    """
    endpoint = asker.endpoint
    kept = asker.store.abilities(endpoint.url, endpoint.model)
    if kept is not None:
        return Abilities.of(kept)
    tried = Abilities(structured=True, logprobs=_MOST_LOGPROBS)
    for _ in range(_ATTEMPTS):
        try:
            shown, told = _probed(asker, tried, max(_ROOM, room))
        except RequestRefused as refused:
            less = _without(tried, refused.parameter)
            if less == tried:
                raise
            tried = less
        else:
            if told:
                asker.store.put_abilities(endpoint.url, endpoint.model, shown.as_json())
            return shown
    raise RungFailed(f"The endpoint {endpoint.url} takes none of the requests that chat endpoints usually take.")


def _probed(asker: Asker, tried: Abilities, room: int) -> tuple[Abilities, bool]:
    """What a reply shows of the abilities that were tried, and whether it said anything."""
    talk = [{"role": "user", "content": "Say hello to a friend, in one short sentence."}]
    parameters = tried.parameters(at_most=room, schema=label_schema(_WORDS))
    (reply,) = asker.ask([Request(asker.endpoint.url, asker.endpoint.model, talk, parameters, series="probe")])
    structured = tried.structured and parse(reply.content, _WORDS).code is not None
    offered = max((len(token.others) for token in reply.tokens or ()), default=0)
    shown = Abilities(structured, min(tried.logprobs, offered), tried.temperature, tried.seed, tried.bound)
    return shown, bool(reply.content.strip())


def _without(tried: Abilities, complaint: str) -> Abilities:
    """Fewer wishes: the one that the endpoint complains of first, else the rarest among those that are left."""
    facts = tried.as_json()
    told = complaint.lower()
    if "max_completion_tokens" in told and tried.bound == "max_tokens":
        return Abilities.of({**facts, "bound": "max_completion_tokens"})
    if "top_logprobs" in told and tried.logprobs > _FEWER_LOGPROBS:
        return Abilities.of({**facts, "logprobs": _FEWER_LOGPROBS})
    named = {"response_format": "structured", "json_schema": "structured", "logprobs": "logprobs", "seed": "seed"}
    named["temperature"] = "temperature"
    complained = [named[word] for word in sorted(filter(told.__contains__, named), key=told.index)]
    for name in (*complained, "structured", "logprobs", "seed", "temperature"):
        if facts[name]:
            return Abilities.of({**facts, name: False})
    return tried
