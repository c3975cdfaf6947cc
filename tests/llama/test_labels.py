# SPDX-License-Identifier: Apache-2.0
"""All labels from one reading: the same figures as reading each alone, whatever was read before."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from llama.tiny_llama import NEEDS_LLAMA, write_tiny

from bigenough.chat.prompt import Prompt
from bigenough.errors import RungFailed
from bigenough.llama import load_model
from bigenough.llama.constrained import ConstrainedAnswerer
from bigenough.llama.context import log_softmax_at
from bigenough.llama.labels import LabelScorer, read_once
from bigenough.llama.talk import ROW, talk_of
from bigenough.llama.trie import token_trie

pytestmark = NEEDS_LLAMA

LABELS = ("card", "card lost", "card lost abroad", "in the end", "other")
TEXTS = ["my card was stolen", "", "<|im_end|>", "頭痛 😀", "a long story about a card " * 60]
NEAR = 2e-3
"""Nats: the cache keeps 16-bit numbers, and a token read among others is summed in another order."""


def scorer_of(model, labels=LABELS, **options):
    return LabelScorer(talk_of(model, Prompt(tuple(labels)).messages(ROW)), labels, **options)


def one_by_one(model, scorer, text):
    """Each label's tokens appended one at a time, everything read anew for each."""
    context = model.context(4096)
    found = []
    for label in scorer.labels:
        tokens, total = scorer.prompt_tokens(text), 0.0
        for token in scorer.talk.answer(label):
            total += float(log_softmax_at(read_once(context, tokens), np.array([token], np.int32))[0])
            tokens = np.append(tokens, token).astype(np.int32)
        found.append(total)
    return np.array(found)


@pytest.fixture(scope="module")
def scorer(model):
    return scorer_of(model)


@pytest.mark.parametrize("text", TEXTS[:4])
def test_the_tree_gives_what_each_label_alone_gives(model, scorer, text):
    np.testing.assert_allclose(scorer.log_probabilities(text), one_by_one(model, scorer, text), atol=NEAR)


def test_they_are_probabilities_of_different_answers(scorer):
    for text in TEXTS:
        found = scorer.log_probabilities(text)
        assert (found < 0).all()
        assert np.exp(found).sum() <= 1


def test_what_was_read_before_changes_nothing(model, scorer):
    first = [scorer.log_probabilities(text) for text in TEXTS]
    again = [scorer.log_probabilities(text) for text in reversed(TEXTS)][::-1]
    fresh = [scorer_of(model).log_probabilities(text) for text in TEXTS]
    np.testing.assert_array_equal(first, again)
    np.testing.assert_array_equal(first, fresh)


def test_threads_change_nothing(gguf, scorer):
    two = scorer_of(load_model(gguf, threads=2))
    for text in TEXTS:
        np.testing.assert_array_equal(two.log_probabilities(text), scorer.log_probabilities(text))


def test_another_label_changes_nothing_for_the_others(model):
    """The prompt says the same; only the tree grows."""
    talk = talk_of(model, Prompt(LABELS).messages(ROW))
    few, all_of_them = LabelScorer(talk, LABELS[:3]), LabelScorer(talk, LABELS)
    for text in TEXTS[:3]:
        np.testing.assert_allclose(few.log_probabilities(text), all_of_them.log_probabilities(text)[:3], atol=NEAR)


def test_more_labels_than_llama_cpp_has_sequences(model):
    """300 labels take two goes; the last of the first and the first of the second are as if alone."""
    labels = [f"label {number}" for number in range(300)]
    talk = talk_of(model, Prompt(LABELS).messages(ROW))
    found = LabelScorer(talk, labels).log_probabilities("text")
    alone = LabelScorer(talk, labels[250:262]).log_probabilities("text")
    assert found.shape == (300,)
    np.testing.assert_allclose(found[250:262], alone, atol=NEAR)


def test_a_text_is_cut_and_the_label_part_is_not(model):
    short = scorer_of(model, text_tokens=40)
    cut = short.prompt_tokens("x" * 1_000_000)
    np.testing.assert_array_equal(cut[-len(short.talk.after) :], short.talk.after)
    assert len(cut) == len(short.talk.before) + 40 + len(short.talk.after)
    same = short.log_probabilities("x" * 39 + "y" * 500_000), short.log_probabilities("x" * 39)
    np.testing.assert_array_equal(*same)


def test_a_prompt_longer_than_the_model_reads(tmp_path):
    small = load_model(write_tiny(tmp_path / "small.gguf", context=256), threads=1)
    with pytest.raises(RungFailed, match="256: no room is left"):
        scorer_of(small, [f"a rather long label number {number}" for number in range(20)])


@settings(max_examples=50)
@given(st.lists(st.lists(st.integers(3, 6), max_size=4), min_size=1, max_size=12, unique_by=tuple), st.integers(0, 99))
def test_a_trie_sums_along_every_way(labels, seed):
    marked = [[*label, 2] for label in labels]
    trie = token_trie(marked)
    rng = np.random.default_rng(seed)
    of = {}
    found = [np.zeros(0, np.float32)] * len(trie.asked)
    path_of = {len(trie.tokens): ()}
    for node in range(len(trie.tokens)):
        members = [tuple(marked[label][: trie.depth[node] + 1]) for label in trie.labels[node]]
        assert len(set(members)) == 1
        assert members[0][-1] == trie.tokens[node]
        path_of[node] = members[0]
    for node, asked in enumerate(trie.asked):
        found[node] = rng.normal(size=len(asked)).astype(np.float32)
        of |= {(*path_of[node], int(token)): value for token, value in zip(asked, found[node], strict=True)}
    expected = [sum(float(of[tuple(label[: i + 1])]) for i in range(len(label))) for label in marked]
    np.testing.assert_allclose(trie.scores(found), expected)


class TestGrammar:
    def greedy(self, model, answerer, text):
        """At each step the most probable token with which some label can go on, by reading everything anew."""
        context, said = model.context(4096), ""
        tokens = np.concatenate([answerer.talk.before, answerer.talk.row(text, 512), answerer.talk.after])
        chosen = []
        pieces = {token: model.text([token]) for token in range(3, model.vocabulary)}
        while said not in answerer.labels or any(each.startswith(said) and each != said for each in answerer.labels):
            logits = read_once(context, np.concatenate([tokens, np.array(chosen, np.int32)]))
            allowed = [
                token
                for token, piece in pieces.items()
                if any(each.startswith(said + piece) for each in answerer.labels)
            ]
            allowed += [2] if said in answerer.labels else []
            token = max(allowed, key=lambda each: logits[each])
            if token == 2:
                break
            chosen.append(token)
            said = model.text(chosen)
        return answerer.labels.index(said)

    @pytest.mark.parametrize("text", TEXTS[:4])
    def test_it_is_greedy_among_what_the_grammar_allows(self, model, text):
        answerer = ConstrainedAnswerer(talk_of(model, Prompt(LABELS).messages(ROW)), LABELS)
        found = answerer.answer(text)
        assert found.label == self.greedy(model, answerer, text)
        assert 0 < found.probability <= 1
        assert answerer.answer(text) == found

    def test_labels_of_any_letters(self, model):
        labels = ('say "yes"', "a\\b", "two\nlines", "頭痛", "x]|y")
        answerer = ConstrainedAnswerer(talk_of(model, Prompt(labels).messages(ROW)), labels)
        assert all(0 <= answerer.answer(text).label < len(labels) for text in TEXTS)


@pytest.mark.slow
def test_torch_says_the_same(gguf, model, scorer):
    """The same file in transformers, in float32, each label alone."""
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    reference = transformers.AutoModelForCausalLM.from_pretrained(
        str(gguf.parent), gguf_file=gguf.name, dtype=torch.float32
    ).eval()
    for text in TEXTS:
        prompt, expected = scorer.prompt_tokens(text), []
        for label in scorer.labels:
            answer = scorer.talk.answer(label)
            with torch.no_grad():
                ids = torch.tensor(np.concatenate([prompt, answer])[None].astype(np.int64))
                said = torch.log_softmax(reference(ids).logits[0, len(prompt) - 1 : -1], dim=-1)
            expected.append(float(said[torch.arange(len(answer)), torch.tensor(answer.astype(np.int64))].sum()))
        found = scorer.log_probabilities(text)
        np.testing.assert_allclose(found, expected, atol=0.05)
        assert found.argsort().tolist() == np.argsort(expected).tolist()
