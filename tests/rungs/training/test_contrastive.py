# SPDX-License-Identifier: Apache-2.0
"""Contrastive tuning: its loss against its formula, and what it does to vectors, time and chance."""

import itertools
from dataclasses import replace

import numpy as np
import pytest
from models.tiny_bert import tiny_tokenizer, write_model

from bigenough.errors import RungFailed
from bigenough.models.bert import read_bert
from bigenough.models.encoder import Encoder
from bigenough.models.graph import encoder_graph
from bigenough.rungs.protocol import Workbench
from bigenough.rungs.training.pairs import Contrast

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

from bigenough.rungs.training import contrastive  # noqa: E402
from bigenough.rungs.training.machine import Machine  # noqa: E402
from bigenough.rungs.training.network import Network  # noqa: E402

TEXTS = ["lost card", "please help, my card is lost", "pay money", "transfer my money", "stolen card", "how to pay"]
LABELS = np.array([0, 0, 1, 1, 0, 1])
RECIPE = Contrast(steps=6, learning_rate=1e-3)
LONG = Contrast(steps=60, learning_rate=3e-3)


@pytest.fixture(scope="module")
def body(tmp_path_factory):
    return read_bert(write_model(tmp_path_factory.mktemp("tiny") / "model"))


@pytest.fixture
def bench(tmp_path):
    return Workbench(seed=3, threads=1, cache=tmp_path, offline=True)


def tuned(body, bench, recipe=RECIPE, texts=TEXTS, labels=LABELS, **options):
    from bigenough.rungs.training.contrastive import contrasted

    return contrasted(body, tiny_tokenizer(), texts, labels, recipe, bench, **options)


def vectors(body, texts=TEXTS):
    return Encoder(encoder_graph(body), tiny_tokenizer(), max_length=40, threads=1).embed(texts)


def gap(body):
    """How much nearer texts of one class are than those of two."""
    cosines = vectors(body) @ vectors(body).T
    same = LABELS[:, None] == LABELS[None, :]
    return cosines[same].mean() - cosines[~same].mean()


def test_the_loss_is_khosla_s_second_equation():
    from bigenough.rungs.training.contrastive import supervised_contrastive_loss

    rng = np.random.default_rng(0)
    z, y, tau = rng.normal(size=(7, 4)), np.array([0, 0, 0, 1, 1, 2, 1]), 0.3
    unit = z / np.linalg.norm(z, axis=1, keepdims=True)
    rows = []
    for i in range(7):
        below = sum(np.exp(unit[i] @ unit[a] / tau) for a in range(7) if a != i)
        others = [p for p in range(7) if p != i and y[p] == y[i]]
        if others:
            rows.append(-np.mean([np.log(np.exp(unit[i] @ unit[p] / tau) / below) for p in others]))
    found = supervised_contrastive_loss(torch.from_numpy(z), torch.from_numpy(y), tau)
    assert float(found) == pytest.approx(np.mean(rows), rel=1e-9)


def test_rows_without_pairs_cost_nothing():
    from bigenough.rungs.training.contrastive import supervised_contrastive_loss

    z = torch.eye(3, requires_grad=True)
    loss = supervised_contrastive_loss(z, torch.tensor([0, 1, 2]), 0.1)
    loss.backward()
    assert loss.item() == 0.0
    assert torch.isfinite(z.grad).all()


def test_it_draws_classes_apart(body, bench):
    assert gap(tuned(body, bench, LONG).body) > gap(body) + 0.2


def test_the_body_given_stays_as_it_was_and_the_config_too(body, bench):
    before = body.words.copy(), body.layers[0].qkv.copy()
    made = tuned(body, bench).body
    np.testing.assert_array_equal(body.words, before[0])
    np.testing.assert_array_equal(body.layers[0].qkv, before[1])
    assert made.config == body.config
    assert made.words.shape == body.words.shape


def test_the_same_seed_gives_the_same_encoder_and_leaves_chance_alone(body, bench):
    torch.manual_seed(5)
    state, threads = torch.get_rng_state(), torch.get_num_threads()
    one, same = (tuned(body, bench).body for _ in range(2))
    other = tuned(body, bench, replace(RECIPE, seed_offset=1)).body
    assert torch.equal(state, torch.get_rng_state())
    assert torch.get_num_threads() == threads
    np.testing.assert_array_equal(one.layers[1].qkv, same.layers[1].qkv)
    assert np.abs(one.layers[1].qkv - other.layers[1].qkv).max() > 1e-5


def test_single_rows_and_long_texts_and_none(body, bench):
    texts = ["card " * 300, "", "money"]
    made = tuned(body, bench, replace(RECIPE, steps=2), texts, np.array([0, 1, 2]))
    assert np.isfinite(vectors(made.body, texts)).all()
    assert made.record["loss"] > 0


def test_a_loss_that_is_no_number(body, bench):
    broken = replace(body, words=np.full_like(body.words, np.nan))
    with pytest.raises(RungFailed, match=r"no number any more at step 1 of 6.*Choose a lower one"):
        tuned(broken, bench)


def test_short_memory_takes_fewer_rows_a_step_and_says_so(body, bench, monkeypatch):
    real = Network.forward

    def scarce(self, batch):
        if len(batch.ids) > 4:
            raise RuntimeError("std::bad_alloc")
        return real(self, batch)

    monkeypatch.setattr(Network, "forward", scarce)
    said = []
    made = tuned(body, replace(bench, say=lambda what, done: said.append(what)))
    assert made.recipe == replace(RECIPE, rows=3, per_class=2)
    assert made.record["notes"] == ["memory ran out: 3 texts a step"]
    assert "memory ran out: 3 texts a step" in said
    again = tuned(body, bench, made.recipe)
    np.testing.assert_array_equal(made.body.layers[0].qkv, again.body.layers[0].qkv)


@pytest.mark.parametrize(("error", "raised"), [(MemoryError(), RungFailed), (RuntimeError("shapes"), RuntimeError)])
def test_no_memory_at_all_and_other_errors(body, bench, monkeypatch, error, raised):
    def broken(self, batch):
        raise error

    monkeypatch.setattr(Network, "forward", broken)
    with pytest.raises(raised, match=r"not enough memory to tune this encoder on 3 texts|shapes"):
        tuned(body, bench)


def test_half_precision_without_a_long_range_is_not_used(body, bench, monkeypatch):
    monkeypatch.setattr(contrastive, "this_machine", lambda: Machine(torch.device("cpu"), "fp16"))
    assert tuned(body, bench, replace(RECIPE, steps=1)).record["precision"] == "fp32"


def ticking(bench, **options):
    """Every look at the clock is a second later."""
    return {"bench": replace(bench, **options), "clock": itertools.count(0.0, 1.0).__next__}


def test_too_little_time_for_anything(body, bench):
    with pytest.raises(RungFailed, match=r"take 0.062 minutes here.*Raise the budget"):
        tuned(body, **ticking(bench, fit_minutes=0.1))


def test_fewer_steps_in_less_time_are_the_same_as_so_few_from_the_start(body, bench):
    """The first three steps end at second 3 of 30; 0.8 of what is left is 21 steps."""
    said = []
    made = tuned(
        body, **ticking(bench, fit_minutes=0.5, say=lambda what, done: said.append(what)),
        recipe=replace(RECIPE, steps=500),
    )  # fmt: skip
    assert made.recipe == replace(RECIPE, steps=21)
    assert made.record["notes"] == ["21 steps instead of 500, to end in time"]
    assert "step 21 of 21" in said
    again = tuned(body, bench, made.recipe)
    np.testing.assert_array_equal(made.body.layers[0].qkv, again.body.layers[0].qkv)
