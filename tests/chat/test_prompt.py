# SPDX-License-Identifier: Apache-2.0
"""Prompts: the shared part first, the row last, the same for the same."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bigenough.chat import Prompt
from bigenough.chat.prompt import LAYOUTS
from bigenough.errors import BadOption

TEXTS = st.text(max_size=40)


def prompts() -> st.SearchStrategy[Prompt]:
    names = st.lists(st.text(min_size=1, max_size=12).filter(str.strip), min_size=1, max_size=5, unique=True)

    def with_names(classes: list[str]) -> st.SearchStrategy[Prompt]:
        code = st.integers(0, len(classes) - 1)
        return st.builds(
            Prompt,
            classes=st.just(tuple(classes)),
            descriptions=st.one_of(st.just(()), st.tuples(*[TEXTS] * len(classes))),
            instructions=TEXTS,
            layout=st.sampled_from(LAYOUTS),
            examples=st.lists(st.tuples(TEXTS, code), max_size=3).map(tuple),
            form=st.sampled_from(["label", "json"]),
        )

    return names.flatmap(with_names)


def joined(messages: list[dict[str, str]]) -> str:
    return "\x1e".join(f"{message['role']}\x1f{message['content']}" for message in messages)


@given(prompts(), TEXTS, TEXTS)
def test_rows_share_all_but_their_own_text(prompt: Prompt, one: str, other: str) -> None:
    talks = [prompt.messages(text) for text in (one, other)]
    assert [message["role"] for message in talks[0]] == [message["role"] for message in talks[1]]
    assert talks[0][:-1] == talks[1][:-1]
    shared = joined(prompt.messages("")).removesuffix("\nLabel:")
    assert all(joined(talk).startswith(shared) for talk in talks)


@given(prompts(), TEXTS)
def test_it_survives_json(prompt: Prompt, text: str) -> None:
    again = Prompt.of(json.loads(json.dumps(prompt.as_json())))
    assert again == prompt
    assert again.messages(text) == prompt.messages(text)


@given(prompts(), st.text(max_size=40))
def test_what_is_sent_is_unicode(prompt: Prompt, text: str) -> None:
    for message in prompt.messages(text + "\ud800"):
        message["content"].encode()


def test_given_examples_stand_in_for_its_own() -> None:
    prompt = Prompt(("ham", "spam"), examples=(("fixed", 0),))
    talk = joined(prompt.messages("row", [("retrieved", 1)]))
    assert "retrieved" in talk
    assert "fixed" not in talk
    assert "fixed" not in joined(prompt.messages("row", []))


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"classes": ()}, "needs classes"),
        ({"classes": ("a", " ")}, "needs classes"),
        ({"classes": ("a", "a")}, "text of its own"),
        ({"classes": ("a", "b"), "descriptions": ("x",)}, "one a class"),
        ({"classes": ("a", "b"), "layout": "sideways"}, "layout"),
        ({"classes": ("a", "b"), "form": "xml"}, "form"),
        ({"classes": ("a", "b"), "examples": (("x", 2),)}, "class code 2"),
    ],
)
def test_what_makes_no_prompt_is_refused(change: dict[str, object], says: str) -> None:
    with pytest.raises(BadOption, match=says):
        Prompt(**change)  # type: ignore[arg-type]
