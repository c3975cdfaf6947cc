# SPDX-License-Identifier: Apache-2.0
"""The loop where memory is short: fewer rows at a time, in training and in looking, and the same model in the end."""

from __future__ import annotations

import time
from dataclasses import replace

import numpy as np
import pytest
from rungs.training.test_loop import LABELS, RECIPE, TEXTS, bench, body, same, sentences, told, trained

torch = pytest.importorskip("torch")

from models.tiny_bert import tiny_tokenizer  # noqa: E402

from bigenough.errors import RungFailed  # noqa: E402
from bigenough.rungs.training import loop  # noqa: E402
from bigenough.rungs.training.machine import Machine  # noqa: E402
from bigenough.rungs.training.network import Network  # noqa: E402
from bigenough.rungs.training.recipe import Watch, one_hot  # noqa: E402

__all__ = ["bench", "body"]


@pytest.mark.parametrize("adversarial", [0.0, 0.1])
def test_short_memory_halves_the_batch_and_changes_nothing_else(body, bench, monkeypatch, adversarial):
    recipe = replace(RECIPE, dropout=0.0, adversarial=adversarial)
    plain = trained(body, bench, recipe)
    real = Network.forward

    def scarce(self, batch):
        if len(batch.ids) > 2:
            raise RuntimeError("[enforce fail] DefaultCPUAllocator: not enough memory: you tried to allocate 8 bytes")
        return real(self, batch)

    monkeypatch.setattr(Network, "forward", scarce)
    said = told(bench)
    short = trained(body, bench, recipe)
    assert [note for note in short.record["notes"] if "memory ran out: going on with 2 rows" in note]
    assert any("4 rows at a time" in what for what in said)
    # bf16 rounds differently in parts of another size.
    np.testing.assert_allclose(short.weight, plain.weight, atol=0.05)
    assert short.record["steps"] == plain.record["steps"]


def test_short_memory_looks_at_fewer_rows_together(body, bench, monkeypatch):
    watch = Watch(*sentences(45, seed=2))
    plain = trained(body, bench, watch=watch)
    real = Network.forward

    def scarce(self, batch):
        if not self.training and len(batch.ids) > 3:
            raise RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`")
        return real(self, batch)

    monkeypatch.setattr(Network, "forward", scarce)
    short = trained(body, bench, watch=watch)
    same(short, plain)
    losses = [[seen["log_loss"] for seen in done.record["evaluations"]] for done in (short, plain)]
    np.testing.assert_allclose(*losses, atol=0.02)


def test_no_memory_to_look_at_one_row(body, bench, monkeypatch):
    real = Network.forward

    def scarce(self, batch):
        if not self.training:
            raise MemoryError
        return real(self, batch)

    monkeypatch.setattr(Network, "forward", scarce)
    with pytest.raises(RungFailed, match="not enough memory to look at a single row"):
        trained(body, bench, watch=Watch(*sentences(45, seed=2)))


def test_the_scale_of_gradients_comes_back_after_a_kill(body, bench):
    """Where matrix products are in fp16, gradients are stretched by a factor that is found on the way."""

    def steps():
        job = loop._Job.of(body, tiny_tokenizer(), TEXTS, one_hot(LABELS, 3), RECIPE, bench, None, None, time.monotonic)
        return replace(job, machine=Machine(torch.device("cpu"), "fp16")).steps(RECIPE)

    one, other = steps(), steps()
    one._scaler.load_state_dict({**one._scaler.state_dict(), "scale": 1024.0, "_growth_tracker": 7})
    other.restore(one.state())
    assert other._scaler.state_dict() == one._scaler.state_dict()
    assert other._scaler.get_scale() == 1024.0


def test_no_memory_for_one_row(body, bench, monkeypatch):
    def none(self, batch):
        raise MemoryError

    monkeypatch.setattr(Network, "forward", none)
    with pytest.raises(RungFailed, match="not enough memory to train this model on a single row"):
        trained(body, bench)


def test_other_errors_are_not_taken_for_short_memory(body, bench, monkeypatch):
    def broken(self, batch):
        raise RuntimeError("shapes do not match")

    monkeypatch.setattr(Network, "forward", broken)
    with pytest.raises(RuntimeError, match="shapes"):
        trained(body, bench)
