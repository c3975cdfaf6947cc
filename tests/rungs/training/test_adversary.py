# SPDX-License-Identifier: Apache-2.0
"""The step that makes the loss rise: how long it is, where it leads, and that nothing of it stays behind."""

from __future__ import annotations

import time
from dataclasses import replace

import numpy as np
import pytest
from rungs.training.test_loop import LABELS, RECIPE, TEXTS, bench, body, same, trained

torch = pytest.importorskip("torch")

from models.tiny_bert import tiny_tokenizer  # noqa: E402

from bigenough.rungs.training import loop  # noqa: E402
from bigenough.rungs.training.machine import Machine  # noqa: E402
from bigenough.rungs.training.product import predictor_of  # noqa: E402
from bigenough.rungs.training.recipe import one_hot  # noqa: E402

__all__ = ["bench", "body"]

SHARE = 0.1
HOSTILE = replace(RECIPE, adversarial=SHARE, dropout=0.0)
ROWS = np.arange(8)


def steps_of(body, bench, recipe, monkeypatch):
    """A network whose head says something, in 32 bits, and what moves it."""
    monkeypatch.setattr(loop, "this_machine", lambda *_: Machine(torch.device("cpu"), "fp32"))
    job = loop._Job.of(body, tiny_tokenizer(), TEXTS, one_hot(LABELS, 3), recipe, bench, None, None, time.monotonic)
    steps = job.steps(recipe)
    torch.manual_seed(0)
    torch.nn.init.normal_(steps.network.head.weight, std=0.1)
    return steps


def entry(network, recipe):
    """What the network's learning part begins with."""
    if recipe.frozen_layers:
        return network.get_submodule(f"body.encoder.layer.{recipe.frozen_layers - 1}")
    return network.get_submodule("body.embeddings.word_embeddings")


@pytest.mark.parametrize("frozen", [0, 1])
def test_the_step_has_the_length_it_is_told_and_no_random_one_hurts_as_much(body, bench, monkeypatch, frozen):
    recipe = replace(HOSTILE, frozen_layers=frozen, adversarial=0.02)
    steps = steps_of(body, bench, recipe, monkeypatch)
    seen = []
    handle = entry(steps.network, recipe).register_forward_hook(lambda _, __, vectors: seen.append(vectors.detach()))
    with steps.adversary.seeing():
        before = steps._loss(ROWS)
    before.backward()
    handle.remove()
    with steps.adversary.moving():
        moved = entry(steps.network, recipe).register_forward_hook(lambda _, __, vectors: seen.append(vectors.detach()))
        after = steps._loss(ROWS).item()
        moved.remove()
    real = steps.lesson.rows.batch(ROWS, torch.device("cpu")).mask[:, :, None]
    length = (seen[0] * real).flatten(1).norm(dim=1) / real.sum(dim=(1, 2)).sqrt()
    assert not ((seen[1] - seen[0]) * (1 - real)).any()
    way = (seen[1] - seen[0]).flatten(1).norm(dim=1) / length
    torch.testing.assert_close(way, torch.full_like(way, 0.02), rtol=1e-4, atol=0)
    assert after > before.item()
    for seed in range(20):
        noise = torch.randn(seen[0].shape, generator=torch.Generator().manual_seed(seed))
        noise = noise * real
        noise *= (0.02 * length / noise.flatten(1).norm(dim=1))[:, None, None]
        handle = entry(steps.network, recipe).register_forward_hook(lambda _, __, vectors, by=noise: vectors + by)
        assert steps._loss(ROWS).item() < after
        handle.remove()


def test_both_passes_are_learned_from_alike(body, bench, monkeypatch):
    """Equation 6 of Miyato et al., written down: half the gradients of the rows as they are, half of those moved."""
    steps = steps_of(body, bench, HOSTILE, monkeypatch)
    loss = steps._gradients(ROWS, 0, 1.0)
    found = {name: value.grad.clone() for name, value in steps.network.learned().items() if value.grad is not None}
    steps.optimiser.zero_grad()
    with steps.adversary.seeing():
        one = steps._loss(ROWS) / len(ROWS)
    one.backward()
    with steps.adversary.moving():
        other = steps._loss(ROWS) / len(ROWS)
    other.backward()
    assert loss == pytest.approx((one.item() + other.item()) / 2, rel=1e-5)
    for name, value in found.items():
        torch.testing.assert_close(2 * value, steps.network.learned()[name].grad, rtol=1e-4, atol=1e-6)


def test_rows_in_parts_are_moved_as_they_are_together(body, bench, monkeypatch):
    steps = steps_of(body, bench, HOSTILE, monkeypatch)
    whole = steps._gradients(ROWS, 0, 1.0)
    together = steps.network.head.weight.grad.clone()
    steps.part = 3
    assert steps._gradients(ROWS, 0, 1.0) == pytest.approx(whole, rel=1e-4)
    torch.testing.assert_close(steps.network.head.weight.grad, together, rtol=1e-3, atol=1e-5)


def test_nothing_stays_behind(body, bench, monkeypatch):
    steps = steps_of(body, bench, HOSTILE, monkeypatch)
    before = steps._loss(ROWS).item()
    steps._gradients(ROWS, 0, 1.0)
    assert steps._loss(ROWS).item() == before
    assert not entry(steps.network, HOSTILE)._forward_hooks


def test_gradients_that_are_no_number_move_nothing(body, bench, monkeypatch):
    """In fp16 they may be infinite until their scale is found."""
    steps = steps_of(body, bench, HOSTILE, monkeypatch)
    with steps.adversary.seeing():
        before = steps._loss(ROWS)
    before.backward()
    steps.adversary._seen.grad[0] = torch.inf
    with steps.adversary.moving():
        after = steps._loss(ROWS)
    assert torch.isfinite(after)
    assert after > before


@pytest.mark.parametrize("changes", [{}, {"frozen_layers": 1}, {"method": "lora"}])
def test_it_learns_and_the_same_twice(body, bench, changes):
    if "method" in changes:
        pytest.importorskip("peft")
    recipe = replace(RECIPE, adversarial=SHARE, epochs=12, **changes)
    done, again = trained(body, bench, recipe), trained(body, bench, recipe)
    same(done, again)
    said = predictor_of(done, tiny_tokenizer(), bench).predict_proba(TEXTS).argmax(axis=1)
    assert (said == LABELS).mean() > 0.5
    plain = trained(body, bench, replace(recipe, adversarial=0.0))
    assert not np.array_equal(done.weight, plain.weight)


def test_a_head_alone_has_nothing_to_be_moved(body, bench, monkeypatch):
    assert steps_of(body, bench, replace(HOSTILE, frozen_layers=len(body.layers)), monkeypatch).adversary is None
