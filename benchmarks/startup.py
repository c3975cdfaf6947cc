# SPDX-License-Identifier: Apache-2.0
"""How long the first sign of life takes: import and help, beside a bare interpreter, in turn and in fresh processes."""

from __future__ import annotations

import statistics
import subprocess
import sys
import time

COMMANDS = {
    "bare interpreter": [sys.executable, "-c", "pass"],
    "import bigenough": [sys.executable, "-c", "import bigenough"],
    "bigenough --help": [sys.executable, "-m", "bigenough", "--help"],
    "import numpy": [sys.executable, "-c", "import numpy"],
    "import sklearn": [sys.executable, "-c", "import sklearn"],
}


def run(*, rounds: int = 9) -> dict[str, dict[str, float]]:
    """Median and range of the wall time of each command over interleaved rounds."""
    seconds: dict[str, list[float]] = {name: [] for name in COMMANDS}
    for _ in range(rounds):
        for name, command in COMMANDS.items():
            began = time.perf_counter()
            subprocess.run(command, stdout=subprocess.DEVNULL, check=True)
            seconds[name].append(time.perf_counter() - began)
    return {
        name: {"median": statistics.median(each), "low": min(each), "high": max(each)} for name, each in seconds.items()
    }


def table(results: dict[str, dict[str, float]]) -> str:
    """The results as Markdown."""
    lines = ["| command | seconds, median [min, max] |", "| --- | --- |"]
    lines += [f"| `{name}` | {e['median']:.3f} [{e['low']:.3f}, {e['high']:.3f}] |" for name, e in results.items()]
    return "\n".join(lines)
