# SPDX-License-Identifier: Apache-2.0
"""A classification put into chat messages: pure, and the same messages for the same prompt and text.

What all rows share comes first and the row's own text last, so that a server or runtime that caches prefixes reads the
shared part once.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

from bigenough.errors import BadOption

__all__ = ["INSTRUCTIONS", "LAYOUTS", "Form", "Layout", "Message", "Prompt"]

Layout = Literal["turns", "block", "one"]
Form = Literal["label", "json"]
Message = dict[str, str]
"""``role`` and ``content``, as chat endpoints take it."""

LAYOUTS: tuple[Layout, ...] = get_args(Layout)
INSTRUCTIONS = (
    "Classify the text. Answer with exactly one of the labels below, as it is written there, and nothing else."
)


@dataclass(frozen=True)
class Prompt:
    """What a model is told before it sees a row.

    Attributes:
        instructions: what it shall do.
        classes: (k) the text by which each class is called, in the order of the codes; all different.
        descriptions: (k) what each class means, empty where nobody said; () for none at all.
        layout: "turns" tells instructions and labels as the system and shows examples as earlier turns of the talk;
            "block" shows them in the user's one message; "one" has no system message either, for models whose
            template knows none.
        examples: texts and their class codes, shown with every row in this order.
        form: how examples are answered, and so how the row shall be: by the bare "label", or as "json" with one field,
            for endpoints that hold replies to a schema.

    Raises:
        BadOption: classes are missing, empty or called alike, or a part does not fit them.

    Example:
        >>> prompt = Prompt(("ham", "spam"), examples=(("WIN a prize", 1),))
        >>> for message in prompt.messages("see you at six"):
        ...     print(message["role"], "|", message["content"].splitlines()[-1])
        system | - spam
        user | Text: WIN a prize
        assistant | spam
        user | Text: see you at six
    """

    classes: tuple[str, ...]
    descriptions: tuple[str, ...] = ()
    instructions: str = INSTRUCTIONS
    layout: Layout = "turns"
    examples: tuple[tuple[str, int], ...] = ()
    form: Form = "label"

    def __post_init__(self) -> None:
        if not self.classes or not all(name.strip() for name in self.classes):
            raise BadOption(f"A prompt needs classes, each with a text. Got {list(self.classes)[:5]!r}.")
        if len(set(self.classes)) < len(self.classes):
            twice = sorted({name for name in self.classes if self.classes.count(name) > 1})
            raise BadOption(f"Each class needs a text of its own. These stand for several: {twice[:5]!r}.")
        if self.descriptions and len(self.descriptions) != len(self.classes):
            raise BadOption(
                f"Descriptions come one a class, empty where there is none. Got {len(self.descriptions)} "
                f"for {len(self.classes)} classes."
            )
        if self.layout not in LAYOUTS:
            raise BadOption(f"The layout must be one of {list(LAYOUTS)}. Got {self.layout!r}.")
        if self.form not in get_args(Form):
            raise BadOption(f"The form of replies must be one of {list(get_args(Form))}. Got {self.form!r}.")
        for _, code in self.examples:
            self._checked(code)

    def messages(self, text: str, examples: Sequence[tuple[str, int]] | None = None) -> list[Message]:
        """The talk that ends with the question about one text.

        Args:
            text: the row; lone surrogates, which no endpoint takes, become "?".
            examples: shown in place of the prompt's own, as when they are retrieved for this row.

        >>> prompt = Prompt(("ham", "spam"), descriptions=("", "unwanted"), layout="block")
        >>> print(prompt.messages("hello", [("WIN", 1)])[-1]["content"])
        Text: WIN
        Label: spam
        <BLANKLINE>
        Text: hello
        Label:
        """
        shown = [
            (_sendable(one), self._checked(code)) for one, code in (self.examples if examples is None else examples)
        ]
        row = _sendable(text)
        if self.layout == "turns":
            turns = [_message("system", self.preamble)]
            for one, code in shown:
                turns += [_message("user", f"Text: {one}"), _message("assistant", self.answer(code))]
            return [*turns, _message("user", f"Text: {row}")]
        block = [f"Text: {one}\nLabel: {self.answer(code)}" for one, code in shown]
        question = "\n\n".join([*block, f"Text: {row}\nLabel:"])
        if self.layout == "one":
            return [_message("user", f"{self.preamble}\n\n{question}")]
        return [_message("system", self.preamble), _message("user", question)]

    @property
    def preamble(self) -> str:
        """Instructions and labels: what no row changes.

        >>> print(Prompt(("ham", "spam"), descriptions=("", "unwanted"), instructions="Sort.").preamble)
        Sort.
        <BLANKLINE>
        Labels:
        - ham
        - spam: unwanted
        """
        told = self.descriptions or ("",) * len(self.classes)
        lines = [f"- {name}: {what}" if what else f"- {name}" for name, what in zip(self.classes, told, strict=True)]
        form = ['Write it as JSON: {"label": "..."}'] if self.form == "json" else []
        return _sendable("\n".join([self.instructions, *form, "", "Labels:", *lines]))

    def answer(self, code: int) -> str:
        """What a model shall reply for a class.

        >>> Prompt(("ham", "spam")).answer(1), Prompt(("ham", "spam"), form="json").answer(1)
        ('spam', '{"label": "spam"}')
        """
        name = self.classes[self._checked(code)]
        return _sendable(json.dumps({"label": name}, ensure_ascii=False) if self.form == "json" else name)

    def as_json(self) -> dict[str, Any]:
        """The prompt as plain JSON values.

        >>> prompt = Prompt(("ham", "spam"), examples=(("WIN", 1),))
        >>> Prompt.of(prompt.as_json()) == prompt
        True
        """
        return {
            "instructions": self.instructions,
            "classes": list(self.classes),
            "descriptions": list(self.descriptions),
            "layout": self.layout,
            "examples": [[text, code] for text, code in self.examples],
            "form": self.form,
        }

    @classmethod
    def of(cls, data: Mapping[str, Any]) -> Prompt:
        """The prompt that ``as_json`` wrote. Raises ``KeyError``, ``TypeError`` or ``BadOption`` for anything else."""
        return cls(
            classes=tuple(map(str, data["classes"])),
            descriptions=tuple(map(str, data["descriptions"])),
            instructions=str(data["instructions"]),
            layout=data["layout"],
            examples=tuple((str(text), int(code)) for text, code in data["examples"]),
            form=data["form"],
        )

    def _checked(self, code: int) -> int:
        if not 0 <= code < len(self.classes):
            raise BadOption(f"An example has the class code {code}; there are {len(self.classes)} classes.")
        return int(code)


def _message(role: str, content: str) -> Message:
    return {"role": role, "content": content}


def _sendable(text: str) -> str:
    return text.encode("utf-8", "replace").decode("utf-8")
