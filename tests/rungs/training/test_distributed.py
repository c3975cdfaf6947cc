# SPDX-License-Identifier: Apache-2.0
"""Several processes make the steps that one would have made."""

import shlex
import socket
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from models.tiny_bert import tiny_tokenizer, write_model

pytest.importorskip("torch")
pytest.importorskip("transformers")

from bigenough.errors import OutOfDisk, RungFailed
from bigenough.models.bert import read_bert
from bigenough.rungs.protocol import Workbench
from bigenough.rungs.training import distributed
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


SECOND_FAILS = """
import json, pathlib, sys, time
made = pathlib.Path(sys.argv[-1])
(made / "failed-1.json").write_text(json.dumps({{"kind": "{kind}", "message": "the second has no room"}}))
time.sleep({seconds})
pathlib.Path(sys.argv[0]).with_name("went-on").touch()
(made / "failed-0.json").write_text(json.dumps({{"kind": "RuntimeError", "message": "Connection closed by peer"}}))
"""
"""A command of which one process fails, whose end breaks off the sum that another waits in."""


@pytest.mark.parametrize(
    ("kind", "raised", "message"),
    [
        ("RungFailed", RungFailed, "^the second has no room$"),
        ("OutOfDisk", OutOfDisk, "^the second has no room$"),
        ("KeyError", RungFailed, r"A process of BIGENOUGH_LAUNCH failed \(KeyError: the second has no room\)"),
    ],
)
def test_the_first_failure_of_any_process_is_raised_as_it_was(body, bench, tmp_path, kind, raised, message):
    with pytest.raises(raised, match=message):
        trained_by(script(tmp_path, SECOND_FAILS.format(kind=kind, seconds=0.05)), *arguments(body, bench))
    assert list(bench.scratch.iterdir()) == []


def test_a_command_that_goes_on_after_a_failure_is_ended(body, bench, tmp_path, monkeypatch):
    monkeypatch.setattr(distributed, "ENDING_SECONDS", 0.5)
    with pytest.raises(RungFailed, match=r"^the second has no room$"):
        trained_by(script(tmp_path, SECOND_FAILS.format(kind="RungFailed", seconds=600)), *arguments(body, bench))
    assert not (tmp_path / "went-on").exists()


ENDLESS = """
import subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
open({seen!r}, "w").write(str(child.pid))
print("waiting for the others", flush=True)
time.sleep(600)
"""


def test_a_command_that_does_not_end_is_stopped_with_all_it_started(body, bench, tmp_path):
    seen = tmp_path / "child"
    command = script(tmp_path, ENDLESS.format(seen=str(seen)))
    told = r"had not ended after 0\.12 minutes.* to take 0\.01 at most.*run without.*last: waiting for the others$"
    with pytest.raises(RungFailed, match=told):
        trained_by(command, *arguments(body, replace(bench, fit_minutes=0.01)), starting_minutes=0.1)
    child = int(seen.read_text())
    until(lambda: not running(child))  # a killed process is there until its parent's heir has looked


STUDY = """
import sys
sys.path[:0] = {path!r}
from pathlib import Path
from dataclasses import replace
from rungs.training import test_distributed as tests
bench = tests.Workbench(seed=3, threads=1, cache=Path({cache!r}), offline=True, scratch=Path({cache!r}) / "scratch")
body = tests.read_bert(Path({model!r}))
tests.trained_by({command!r}, *tests.arguments(body, bench, replace(tests.RECIPE, epochs=9_999))[:-1], None)
"""
PROCESS = """
import os, pathlib, runpy, sys, time
pathlib.Path({seen!r}).write_text(str(os.getpid()))
while not pathlib.Path({begins!r}).exists():
    time.sleep(0.05)
sys.argv = sys.argv[2:]
runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
"""


@pytest.mark.slow
@pytest.mark.parametrize("killed", ["while it trains", "before it begins"])
def test_a_training_ends_with_a_study_that_is_killed(body, tmp_path, killed):
    """A second run of the study would write the same checkpoints."""
    seen, begins, scratch = tmp_path / "process", tmp_path / "begins", tmp_path / "scratch"
    command = script(tmp_path, PROCESS.format(seen=str(seen), begins=str(begins)))
    here = {"path": sys.path, "cache": str(tmp_path), "model": str(tmp_path / "model"), "command": command}
    study = subprocess.Popen([sys.executable, "-c", STUDY.format(**here)])
    until(lambda: seen.exists() and seen.read_text())
    if killed == "while it trains":
        begins.touch()
        until(lambda: {path.name for path in scratch.glob("**/*.safetensors")} - {"job.safetensors"})
    process = int(seen.read_text())
    assert running(process)
    study.kill()
    study.wait()
    begins.touch()
    until(lambda: not running(process))


def test_a_free_lock_of_another_machine_ends_nothing(tmp_path):
    """On some disks a lock holds on its own machine only; and where the disk knows none there is no file."""
    (tmp_path / "elsewhere").write_text("2f3f6a0c-0000-4000-8000-000000000000")
    ends = "import sys, pathlib\nfrom bigenough.rungs.training.distributed import _end_with_study\n"
    ends += "_end_with_study(pathlib.Path(sys.argv[1]))\nprint('went on')"
    for name in ("elsewhere", "none"):
        told = subprocess.run([sys.executable, "-c", ends, str(tmp_path / name)], capture_output=True, text=True)
        assert told.stdout == "went on\n"


def until(holds):
    for _ in range(1800):
        if holds():
            return
        time.sleep(0.1)
    raise AssertionError("it has not come to that in three minutes")


def script(folder, text):
    (folder / "launcher.py").write_text(text)
    return shlex.join([sys.executable, str(folder / "launcher.py")])


def running(process):
    try:
        return "(zombie)" not in Path(f"/proc/{process}/status").read_text()
    except OSError:
        return False


SECOND_HAS_NO_MEMORY = """
import os, runpy, sys
import torch
from bigenough.rungs.training.network import Network
real = Network.forward
def forward(self, batch):
    torch.empty(1 << 50)
    return real(self, batch)
if os.environ["RANK"] == "1":
    Network.forward = forward
sys.argv = sys.argv[2:]
runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
"""
"""A GPU smaller than the others': torch itself refuses what its process asks for."""


@pytest.mark.slow
def test_a_failure_of_the_second_process_alone_is_told(body, bench, tmp_path):
    pytest.importorskip("accelerate")
    launcher = tmp_path / "second_has_no_memory.py"
    launcher.write_text(SECOND_HAS_NO_MEMORY)
    command = f"{sys.executable} -m accelerate.commands.launch --multi_gpu --num_processes 2 --num_machines 1 "
    with pytest.raises(RungFailed, match=r"^There is not enough memory to train this model on a single row"):
        trained_by(command + str(launcher), *arguments(body, bench))
    assert list(bench.scratch.iterdir()) == []


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
