# SPDX-License-Identifier: Apache-2.0
"""Chat messages as tokens: what all rows share, a row's own text, and what follows it.

Only the template's own words become control tokens. Texts of rows, labels and examples are data: a text that spells
``<|im_end|>`` is read as those letters and ends nothing.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bigenough.errors import RungFailed
from bigenough.llama.model import LlamaModel

__all__ = ["ROW", "Talk", "talk_of"]

ROW = "\ue000the row\ue001"
"""Stands in the last message where a row's text goes; of several, the last one counts."""
CHARACTERS_PER_TOKEN = 8
"""Characters read for each token that a text may have: more would be cut off anyway, in all but unusual texts."""


@dataclass(frozen=True, eq=False)
class Talk:
    """One prompt around every row.

    Attributes:
        model: whose tokens they are.
        before: (p,) tokens that all rows share.
        after: (s,) tokens from the row's end to where the answer begins.
        space: whether a space leads the row's text.
        lead: what comes before every answer.
        ending: the tokens that end an answer.
    """

    model: LlamaModel
    before: NDArray[np.int32]
    after: NDArray[np.int32]
    space: bool
    lead: str
    ending: NDArray[np.int32]

    def row(self, text: str, most: int) -> NDArray[np.int32]:
        """The tokens of one text: its first ``most``, out of its first ``8 * most`` characters."""
        kept = text[: CHARACTERS_PER_TOKEN * most]
        return self.model.tokens(" " + kept if self.space else kept)[:most]

    def answer(self, text: str) -> NDArray[np.int32]:
        """The tokens of an answer with its ending."""
        return np.concatenate([self.model.tokens(self.lead + text), self.ending])


def talk_of(model: LlamaModel, messages: Sequence[Mapping[str, str]]) -> Talk:
    """The messages, the last of which holds ``ROW``, in the model's chat template.

    A file without a template gets the contents one after the other, with an empty line between them, and an answer ends
    with its line.

    Raises:
        RungFailed: the file's template is not known to llama.cpp, or it leaves a message out.
    """
    parts = _parts(model, messages)
    place = max(i for i, (text, _) in enumerate(parts) if ROW in text)
    text, special = parts[place]
    head, _, tail = text.rpartition(ROW)
    space = head.endswith(" ")
    head = head[:-1] if space else head
    before = [*parts[:place], (head, special)]
    after = [(tail, special), *parts[place + 1 :]]
    first = _tokens(model, before)
    if model.begin is not None and (not len(first) or first[0] != model.begin):
        first = np.concatenate([np.array([model.begin], np.int32), first])
    # A tokenizer that puts spaces before texts by itself would make two of this one.
    spaced = not model.spaces_by_itself
    lead = " " if model.template is None and spaced else ""
    return Talk(model, first, _tokens(model, after), space and spaced, lead, _ending(model))


def _parts(model: LlamaModel, messages: Sequence[Mapping[str, str]]) -> list[tuple[str, bool]]:
    """The talk in pieces of text: whether each is the template's own, whose control tokens count."""
    contents = [message["content"] for message in messages]
    if model.template is None:
        return [(_plain(messages), False)]
    marks = [f"\ue002{number}\ue003" for number in range(len(contents))]
    drawn = model.talk([message["role"] for message in messages], marks)
    if drawn is None:
        raise RungFailed(
            f"{model.path} has a chat template that llama.cpp does not recognise. Name a model with a common one "
            "(ChatML, Llama, Mistral, Gemma, Phi, ...), or serve it and ask it as an endpoint."
        )
    pieces = re.split("(\ue002\\d+\ue003)", drawn)
    if sorted(pieces[1::2]) != sorted(marks):
        raise RungFailed(
            f"The chat template of {model.path} leaves out messages of the roles "
            f"{sorted({message['role'] for message in messages})}. Choose the layout 'one', which has one message."
        )
    return [(contents[marks.index(piece)], False) if piece in marks else (piece, True) for piece in pieces if piece]


def _ending(model: LlamaModel) -> NDArray[np.int32]:
    """What follows an answer: the template's first token after it, or the end of the line."""
    drawn = model.talk(["user", "assistant"], ["\ue002", "\ue003"], answer=False)
    after = "" if drawn is None else drawn.rpartition("\ue003")[2]
    ending = model.tokens(after, special=True)[:1]
    return ending if len(ending) else model.tokens("\n")


def _plain(messages: Sequence[Mapping[str, str]]) -> str:
    """The contents, each answer on the line of its question."""
    text = ""
    for message in messages:
        text += message["content"] if message["role"] != "assistant" else f"\nLabel: {message['content']}"
        text += "\n\n" if message is not messages[-1] and message["role"] != "user" else ""
    return text if text.endswith("Label:") else f"{text}\nLabel:"


def _tokens(model: LlamaModel, parts: Sequence[tuple[str, bool]]) -> NDArray[np.int32]:
    """The tokens of pieces, one piece at a time."""
    found = [model.tokens(text, special=special) for text, special in parts if text]
    return np.concatenate(found) if found else np.zeros(0, np.int32)
