# SPDX-License-Identifier: Apache-2.0
"""The facts of this machine that decide how fast a model is, and with which instructions it computes."""

from __future__ import annotations

import os
import platform
import re
import subprocess
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

__all__ = ["Machine", "machine", "package_versions"]

_FLAGS = (
    # x86: the widths and integer or bfloat16 products that change speed, and the last bits, of a dot product
    *("avx", "avx2", "fma", "f16c", "avx_vnni", "avx512f", "avx512_vnni", "avx512_bf16", "avx512_fp16"),
    *("amx_tile", "amx_int8", "amx_bf16"),
    # ARM
    *("asimd", "asimddp", "i8mm", "bf16", "sve", "sve2"),
)


@dataclass(frozen=True)
class Machine:
    """One machine.

    Attributes:
        cpu: the model's name as the system gives it.
        cores: how many logical cores this process may use.
        memory_gb: 10^9 bytes of memory, or of the container's limit when that is less.
        flags: the CPU features that matter to inference, where the system tells them (Linux).
        os: name and release.
        python: implementation and version.
    """

    cpu: str
    cores: int
    memory_gb: float
    flags: tuple[str, ...]
    os: str
    python: str

    def to_json(self) -> dict[str, Any]:
        """The facts as plain JSON values."""
        return {**asdict(self), "flags": list(self.flags)}


def machine() -> Machine:
    """The machine this process runs on; reads a few small files and asks nobody outside.

    >>> machine().cores >= 1
    True
    """
    facts = _cpu_facts(Path("/proc/cpuinfo"))
    return Machine(
        cpu=facts.get("model name") or _cpu_name(),
        cores=_usable_cores(),
        memory_gb=round(_memory_bytes() / 1e9, 1),
        flags=_flags(facts),
        os=f"{platform.system()} {platform.release()} {platform.machine()}",
        python=f"{platform.python_implementation()} {platform.python_version()}",
    )


def package_versions() -> dict[str, str]:
    """The installed version of bigenough and of the packages it computes with; those that are absent are left out."""
    try:
        requirements = metadata.requires("bigenough") or []
    except metadata.PackageNotFoundError:
        requirements = []
    tools = re.compile(r"extra\s*==\s*['\"](test|lint)['\"]")  # these do not decide a result
    used = [text for text in requirements if not tools.search(text)]
    names = {"bigenough", "numpy"} | {re.split(r"[^A-Za-z0-9._-]", text, maxsplit=1)[0] for text in used}
    versions = {}
    for name in sorted(names):
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return versions


def _cpu_facts(path: Path) -> dict[str, str]:
    """The first core's entry of ``/proc/cpuinfo``; empty where there is none."""
    try:
        entry = path.read_text(encoding="utf-8", errors="replace").split("\n\n")[0]
    except OSError:
        return {}
    pairs = (line.split(":", 1) for line in entry.splitlines() if ":" in line)
    return {key.strip(): value.strip() for key, value in pairs}


def _flags(facts: Mapping[str, str]) -> tuple[str, ...]:
    known = set(facts.get("flags", facts.get("Features", "")).split())
    return tuple(flag for flag in _FLAGS if flag in known)


def _cpu_name() -> str:
    if platform.system() == "Darwin":
        command = ["/usr/sbin/sysctl", "-n", "machdep.cpu.brand_string"]
        answer = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - a fixed command
        if answer.stdout.strip():
            return answer.stdout.strip()
    return platform.processor() or platform.machine() or "unknown"


def _usable_cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _memory_bytes() -> int:
    import psutil

    total = int(psutil.virtual_memory().total)
    try:
        limit = Path("/sys/fs/cgroup/memory.max").read_text(encoding="ascii").strip()
    except OSError:
        return total
    return min(total, int(limit)) if limit.isdigit() else total
