# SPDX-License-Identifier: Apache-2.0
"""Several processes make the steps that one would have made."""

import shlex
import socket
import sys
from dataclasses import replace

import numpy as np
import pytest
from models.tiny_bert import tiny_tokenizer, write_model

pytest.importorskip("torch")
pytest.importorskip("transformers")

from bigenough.errors import RungFailed
from bigenough.models.bert import read_bert
from bigenough.rungs.protocol import Workbench
from bigenough.rungs.training.distributed import trained_by
from bigenough.rungs.training.loop import train
from bigenough.rungs.training.recipe import Recipe, Watch, one_hot

TEXTS = ["lost card", "please help, how to pay my card account?", "top up", "the film is awful and not good!"] * 6
LABELS = np.array([0, 0, 0, 1] * 6)
RECIPE = Recipe(epochs=3, learning_rate=2e-3, batch=6, dropout=0.0)


@pytest.fixture
def body(tmp_path):
    return read_bert(write_model(tmp_path / "model"))


@pytest.fixture
def bench(tmp_path):
    return Workbench(seed=3, threads=1, cache=tmp_path / "cache", offline=True, scratch=tmp_path / "scratch")


def arguments(body, bench, recipe=RECIPE):
    return body, tiny_tokenizer(), TEXTS, one_hot(LABELS, 2), recipe, bench, Watch(TEXTS[:4], LABELS[:4])


def test_a_training_of_its_own_process_is_the_same(body, bench):
    here, there = train(*arguments(body, bench)), trained_by(sys.executable, *arguments(body, bench))
    np.testing.assert_array_equal(there.weight, here.weight)
    np.testing.assert_array_equal(there.body.words, here.body.words)
    np.testing.assert_array_equal(there.body.layers[1].norm[1], here.body.layers[1].norm[1])
    assert there.body.config == here.body.config
    assert there.recipe == here.recipe
    assert list(bench.scratch.iterdir()) == []


@pytest.mark.slow
def test_its_failure_is_told(body, bench):
    with pytest.raises(RungFailed, match="diverged twice"):
        trained_by(sys.executable, *arguments(body, bench, replace(RECIPE, learning_rate=1e38)))


def test_a_command_that_fails_is_told(body, bench):
    with pytest.raises(RungFailed, match="ended with code 1 and no model"):
        trained_by(f"{sys.executable} -c 1/0", *arguments(body, bench))


@pytest.mark.slow
@pytest.mark.parametrize("adversarial", [0.0, 0.25])
def test_two_processes_make_the_steps_of_one(body, bench, adversarial):
    pytest.importorskip("accelerate")
    recipe = replace(RECIPE, adversarial=adversarial)
    command = f"{sys.executable} -m accelerate.commands.launch --multi_gpu --num_processes 2 --num_machines 1"
    alone, together = train(*arguments(body, bench, recipe)), trained_by(command, *arguments(body, bench, recipe))
    check_alike(body, alone, together)


TWO_NODES = """
import subprocess, sys
node = "-m torch.distributed.run --nnodes=2 --nproc_per_node=1 --master_addr=127.0.0.1 --master_port={port}".split()
started = [subprocess.Popen([sys.executable, *node, f"--node_rank={{rank}}", *sys.argv[1:]]) for rank in (0, 1)]
sys.exit(max(each.wait() for each in started))
"""
"""What srun or mpirun does on two machines, on one."""


@pytest.mark.slow
def test_two_machines_make_the_steps_of_one(body, bench, tmp_path):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    launcher = tmp_path / "two_nodes.py"
    launcher.write_text(TWO_NODES.format(port=port))
    command = shlex.join([sys.executable, str(launcher)])
    check_alike(body, train(*arguments(body, bench)), trained_by(command, *arguments(body, bench)))


def check_alike(body, alone, together):
    assert together.record["processes"] == 2
    assert together.record["steps"] == alone.record["steps"]
    # The same sums in another order, and bf16 rounds them.
    np.testing.assert_allclose(together.weight, alone.weight, atol=0.02)
    moved = np.abs(alone.body.layers[0].qkv - body.layers[0].qkv).max()
    np.testing.assert_allclose(together.body.layers[0].qkv, alone.body.layers[0].qkv, atol=moved / 4)
