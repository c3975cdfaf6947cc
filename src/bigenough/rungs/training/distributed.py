# SPDX-License-Identifier: Apache-2.0
"""One training in several processes, on several GPUs or machines, started by ``accelerate launch``.

A study stays one process. Where the environment variable BIGENOUGH_LAUNCH holds a command, as in
``BIGENOUGH_LAUNCH="accelerate launch --num_processes 4"``, each training is written into a folder, that command runs
this module on the folder, and the result is read back. With several machines the command is one that starts all of
them, and the study lies on a disk that all of them see.

A process that fails writes its reason into the folder and ends with a code, so that the command ends the others, which
wait for it in a sum. Where the command does not, and where the minutes are long over, it is ended here. A study that is
killed has no time for that: it holds a lock, which the kernel then frees, and a process that finds it free ends itself,
or the study's next run would train beside it, into the same checkpoints. On some disks a lock holds on its own machine
only, so the study's file says which that is: a process elsewhere believes a free lock only if it once saw it held.
"""

from __future__ import annotations

import fcntl
import math
import os
import shlex
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from bigenough.errors import BigEnoughError, OutOfDisk, RungFailed, UnsupportedModel
from bigenough.models.bert import BertModel
from bigenough.rungs.protocol import Workbench
from bigenough.rungs.training.recipe import Recipe, Trained, Watch
from bigenough.rungs.training.trained_file import encoder_arrays, encoder_of, read_trained, write_arrays, write_trained
from bigenough.storage import read_json, write_json, write_text

__all__ = ["LAUNCH", "main", "trained_by"]

LAUNCH = "BIGENOUGH_LAUNCH"
"""The environment variable with the command that starts several processes."""
STARTING_MINUTES = 10.0
"""What a command may take beside the training: to get its machines, to import, to read and to write."""
ENDING_SECONDS = 20.0
"""How long after a process's failure the command may take to end the others by itself."""
STOPPING_SECONDS = 45.0
"""How long a command that is told to stop may take to stop its processes; torchrun waits 30 seconds for them."""
_LOOK_SECONDS = 0.2
_STUDY_SECONDS = 2.0
"""How often a process looks whether the study is still there."""
_SAID, _TRAINED, _STUDY = "said.txt", "trained.safetensors", "study.lock"
_KINDS: Mapping[str, type[BigEnoughError]] = {kind.__name__: kind for kind in (RungFailed, UnsupportedModel, OutOfDisk)}
"""What a process raises on purpose; the rest that it may raise is told with its name."""


def trained_by(
    command: str,
    body: BertModel,
    tokenizer: Tokenizer,
    texts: Sequence[str],
    targets: NDArray[np.float32],
    recipe: Recipe,
    bench: Workbench,
    watch: Watch | None,
    starting_minutes: float = STARTING_MINUTES,
) -> Trained:
    """What ``loop.train`` gives, done by the processes that this command starts.

    With ``bench.fit_minutes`` the command is ended after twice as many and ``starting_minutes``: processes that keep to
    their minutes never come near it.

    Raises:
        RungFailed: a process failed for a reason that it told, the command gave no model, or it did not end.
        UnsupportedModel, OutOfDisk: as a process raised it.
    """
    seen = watch or Watch([], np.zeros(0, np.int64))
    if bench.scratch is not None:
        bench.scratch.mkdir(parents=True, exist_ok=True)
    minutes = math.inf if bench.fit_minutes is None else 2 * bench.fit_minutes + starting_minutes
    # Processes that are being stopped may still write.
    with tempfile.TemporaryDirectory(dir=bench.scratch, prefix="launched-", ignore_cleanup_errors=True) as made:
        folder = Path(made)
        write_arrays(folder / "job.safetensors", {**encoder_arrays(body), "targets": targets, "labels": seen.labels})
        write_text(folder / "tokenizer.json", tokenizer.to_str())
        facts = {
            "config": vars(body.config),
            "texts": list(texts),
            "watched": list(seen.texts),
            "recipe": recipe.as_json(),
            "seed": bench.seed,
            "threads": bench.threads,
            "fit_minutes": bench.fit_minutes,
            "metric": bench.metric,
            "scratch": None if bench.scratch is None else str(bench.scratch),
        }
        write_json(folder / "job.json", facts)
        bench.say(f"training by {command}", None)
        words = [*shlex.split(command), "-m", "bigenough.rungs.training.distributed", str(folder)]
        with _held(folder / _STUDY):
            code = _code_of(words, folder, 60 * minutes)
        if (failure := _failure(folder)) is not None:
            raise failure
        told = " ".join((folder / _SAID).read_text(encoding="utf-8", errors="replace")[-600:].split())
        if code is None:
            raise RungFailed(
                f"{LAUNCH}={command!r} was stopped: it had not ended after {minutes:.3g} minutes, and the training was "
                f"to take {bench.fit_minutes:.3g} at most. Look whether all of its processes start and reach each "
                f"other, raise --minutes, or run without {LAUNCH}. It said last: {told or 'nothing'}"
            )
        trained = read_trained(folder / _TRAINED)
        if code or trained is None:
            raise RungFailed(f"{LAUNCH}={command!r} ended with code {code} and no model: {told}")
        return trained


def main(folder: Path) -> None:
    """What each of the processes does; the first one writes the result, each that fails the reason."""
    rank = int(os.environ.get("RANK", "0"))
    threading.Thread(target=_end_with_study, args=(folder / _STUDY,), daemon=True).start()
    try:
        trained = _trained(folder)
        if rank == 0:
            write_trained(folder / _TRAINED, trained)
    except Exception as error:
        write_json(folder / f"failed-{rank}.json", {"kind": type(error).__name__, "message": str(error)})
        raise


def _trained(folder: Path) -> Trained:
    from safetensors.numpy import load_file

    from bigenough.rungs.training.loop import train

    facts = read_json(folder / "job.json")
    arrays = load_file(folder / "job.safetensors")
    bench = Workbench(
        seed=facts["seed"], threads=facts["threads"], cache=folder, offline=True, fit_minutes=facts["fit_minutes"],
        scratch=None if facts["scratch"] is None else Path(facts["scratch"]), metric=facts["metric"],
    )  # fmt: skip
    watch = Watch(facts["watched"], arrays["labels"]) if facts["watched"] else None
    body = encoder_of(facts["config"], arrays)
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    trained: Trained = train(
        body, tokenizer, facts["texts"], arrays["targets"], Recipe.of(facts["recipe"]), bench, watch
    )
    return trained


@contextmanager
def _held(path: Path) -> Iterator[None]:
    """Hold the lock that says that the study is there; without the file where the disk knows no locks."""
    with path.open("w", encoding="utf-8") as lock:
        lock.write(_machine())
        lock.flush()
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
        except OSError:
            path.unlink()
        yield


def _end_with_study(path: Path) -> None:
    """End this process once nobody holds the lock any more, on the study's own machine also if nobody did at first.

    On another machine a lock that never was seen held says nothing of the study.
    """
    with suppress(OSError), path.open(encoding="utf-8") as lock:
        seen = lock.read() == _machine() != ""
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                seen = True
                time.sleep(_STUDY_SECONDS)
                continue
            if seen:
                print("The study is gone: this training ends.", file=sys.stderr, flush=True)  # noqa: T201
                os._exit(1)
            return


def _machine() -> str:
    """Linux's name for this start of this machine, which its containers share; empty where there is none."""
    with suppress(OSError):
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    return ""


def _code_of(words: Sequence[str], folder: Path, seconds: float) -> int | None:
    """The code with which the command ended; None if it was stopped, after so many seconds or a process's failure."""
    last = time.monotonic() + seconds
    with (folder / _SAID).open("wb") as said:
        # The command is the user's own, from the environment of this very process. A session of its own, so that all
        # it started can be stopped.
        process = subprocess.Popen(  # noqa: S603
            words, stdin=subprocess.DEVNULL, stdout=said, stderr=subprocess.STDOUT, start_new_session=True
        )
    try:
        while process.poll() is None and time.monotonic() < last:
            if _failures(folder):
                last = min(last, time.monotonic() + ENDING_SECONDS)
            time.sleep(_LOOK_SECONDS)
        return process.poll()
    finally:
        _stop(process)


def _stop(process: subprocess.Popen[bytes]) -> None:
    """End a command that still runs, and all that belongs to its session; asked first, then killed."""
    for sign in (signal.SIGTERM, signal.SIGKILL):
        if process.poll() is None:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, sign)
            with suppress(subprocess.TimeoutExpired):
                process.wait(timeout=STOPPING_SECONDS)


def _failures(folder: Path) -> list[Path]:
    """The reasons that processes wrote, oldest first."""
    return sorted(folder.glob("failed-*.json"), key=lambda path: path.stat().st_mtime_ns)


def _failure(folder: Path) -> BigEnoughError | None:
    """The first failure; what was raised on purpose before what else was: one process's end breaks off others' sums."""
    told = [read_json(path) for path in _failures(folder)]
    for each in told:
        if each["kind"] in _KINDS:
            return _KINDS[each["kind"]](each["message"])
    return RungFailed(f"A process of {LAUNCH} failed ({told[0]['kind']}: {told[0]['message']}).") if told else None


if __name__ == "__main__":
    main(Path(sys.argv[1]))
