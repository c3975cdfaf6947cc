# SPDX-License-Identifier: Apache-2.0
"""What a plan is about, a model of the atlas, a folder, a config or a bare size, and what it would run on."""

from __future__ import annotations

import json
import os
import re
from dataclasses import dataclass
from pathlib import Path

from bigenough.atlas.architecture import shape_of
from bigenough.atlas.checks import amount, gigabytes, positive
from bigenough.atlas.config import shape_from_config
from bigenough.atlas.facts import accelerator, accelerators, find_model, machine, machines, models
from bigenough.atlas.fit import Box
from bigenough.atlas.names import nearest
from bigenough.atlas.records import Accelerator
from bigenough.atlas.shape import Shape, parameters
from bigenough.atlas.speed import Device
from bigenough.errors import BadOption, WeightsNotFound
from bigenough.quantity.quantity import Provenance
from bigenough.quantity.range import Range, exact

__all__ = ["Hardware", "Subject", "hardware", "subject"]


@dataclass(frozen=True)
class Subject:
    """One model to plan for.

    Attributes:
        name: as users call it.
        params, active: parameters in all, and those that a token meets.
        shape: its shape, when known.
        architecture: as the atlas calls it; empty when not from there.
        tokens: what it was trained on; ``None`` when unknown.
        source: who says so.
        provenance: published, or modelled when the parameters were counted from a shape.
        tokens_source: who says what it was trained on.
    """

    name: str
    params: float
    active: float
    shape: Shape | None
    architecture: str
    tokens: float | None
    source: str
    provenance: Provenance = "published"
    tokens_source: str = "given"

    @property
    def count(self) -> Range:
        """All parameters, with who says so."""
        return exact(self.params, "param", "parameters", self.source, provenance=self.provenance)

    @property
    def active_count(self) -> Range:
        """The parameters that a token meets, with who says so."""
        if self.active == self.params:
            return self.count
        return exact(self.active, "param", "active parameters", self.source, provenance=self.provenance)


@dataclass(frozen=True)
class Hardware:
    """Devices, as one pool.

    Attributes:
        name: as users call them.
        devices: how many.
        memory_gb: of each.
        chip: the accelerator's facts; ``None`` of a computer without.
        is_host: the memory is a computer's own.
        bandwidth_gb_s, peak_tflops: of each; ``None`` when unknown.
        source: who says so.
        usd_per_hour: of each, as given by the user; the atlas's prices when ``None``.
    """

    name: str
    devices: int
    memory_gb: float
    chip: Accelerator | None = None
    is_host: bool = False
    bandwidth_gb_s: float | None = None
    peak_tflops: float | None = None
    source: str = "given"
    usd_per_hour: float | None = None

    @property
    def box(self) -> Box:
        """The memory side."""
        return Box(self.name, self.memory_gb, self.devices, self.is_host, self.source)

    def device(self, devices: int | None = None) -> Device | None:
        """The speed side, for so many devices; ``None`` when bandwidth is not known."""
        if not self.bandwidth_gb_s:
            return None
        peak = None
        if self.peak_tflops:
            peak = exact(self.peak_tflops, "TFLOP/s", f"peak of {self.name}", self.source)
        return Device(
            self.name,
            exact(self.bandwidth_gb_s, "GB/s", f"bandwidth of {self.name}", self.source),
            peak,
            devices=devices or self.devices,
        )


def subject(text: str) -> Subject:
    """The model that a user named.

    Accepts a name of the atlas, a folder with a ``config.json``, ``hf:org/name`` (its config alone is fetched) or a
    size such as ``7b``. Raises ``BadOption`` with the nearest names.
    """
    text = text.strip()
    if text.startswith("hf:"):
        return _from_config(text, _hub_config(text[3:]))
    path = Path(text)
    if text.startswith((".", "/", "~")) or (path / "config.json").is_file() or path.suffix == ".json":
        return _from_config(text, _folder_config(path.expanduser()))
    row = find_model(text)
    if row is None and re.fullmatch(r"[-+]?[\d_.,]+\s*[kmbt]?(e\d+)?", text.lower()):
        size = amount("model", text, most=1e15)
        if size < 1e4:
            raise BadOption(f"model={text!r} is {size:g} parameters: expected a size such as 350m or 7b.")
        return Subject(f"a dense model of {text}", size, size, None, "", None, "given")
    if row is None:
        raise BadOption(
            f"{text!r} is no model of the atlas. {nearest(text, [one.name for one in models()])} "
            "Or give a folder, hf:org/name, or a size such as 7b."
        )
    if not row.total_params:
        raise BadOption(
            f"The size of {row.name} was never published ({row.source_of('total_params').source}), so nothing can be "
            f"planned for it. Give a size such as 70b."
        )
    return Subject(
        row.name,
        row.total_params,
        row.active_params or row.total_params,
        shape_of(row),
        row.architecture,
        row.train_tokens,
        row.source_of("total_params").source,
        tokens_source=row.source_of("train_tokens").source if row.train_tokens else "given",
    )


def hardware(text: str) -> Hardware:
    """The devices that a user named: ``a100-80gb``, ``64xh100``, ``dgx-2``, ``laptop``, ``this``, ``2x24GB``."""
    found = re.fullmatch(r"\s*(?:(-?[\d.]+)\s*[x×*]\s*)?(.+?)\s*", text)
    count, name = (found[1], found[2]) if found else (None, text)
    if count is not None and (not count.isdigit() or int(count) < 1):
        raise BadOption(
            f"{text!r}: {count} devices make no pool. Expected a whole number from 1 up, as in 8xa100-80gb."
        )
    many = int(count or 1)
    if many > 1_000_000:
        raise BadOption(f"{text!r}: more than a million devices. Check the number.")
    if name.lower() in ("this", "this machine", "here"):
        return _this_machine(many)
    if re.fullmatch(r"-?[\d.]+\s*[a-zA-Z]*", name):
        size = gigabytes("memory", name)
        return Hardware(f"a device of {size:g} GB", many, size)
    known = {alias.lower() for one in machines() for alias in (one.name, *one.aliases)}
    if name.lower() in known:
        return _machine(name, many)
    try:
        chip = accelerator(name)
    except BadOption:
        offered = [*(one.name for one in accelerators()), *(one.name for one in machines())]
        if any(name.lower() in alias.lower() for one in accelerators() for alias in (one.name, *one.aliases)):
            raise
        raise BadOption(
            f"{name!r} is no accelerator or machine of the atlas. "
            f"{nearest(name, offered)} Or give a memory such as 24GB."
        ) from None
    if not chip.memory_gb:
        raise BadOption(f"The memory of {chip.name} is not known. Give it: --on {many}x24GB.")
    return _from_chip(chip, many)


def _from_chip(chip: Accelerator, devices: int, name: str = "") -> Hardware:
    shared = chip.kind == "soc"  # one memory for the computer and its accelerator
    memory = positive("memory", chip.memory_gb or 0)
    cells = ("memory_gb", "bandwidth_gb_s", "peak_tflops_16bit")
    source = "; ".join(dict.fromkeys(chip.source_of(cell).source for cell in cells))
    return Hardware(
        name or chip.name, devices, memory, chip, shared, chip.bandwidth_gb_s, chip.peak_tflops_16bit, source
    )


def _machine(name: str, count: int) -> Hardware:
    facts = machine(name)
    if facts.accelerator and facts.count:
        chip = accelerator(facts.accelerator)
        return _from_chip(chip, facts.count * count, chip.name)
    return Hardware(
        facts.name,
        count,
        positive("memory", facts.memory_gb or 0),
        None,
        True,
        facts.bandwidth_gb_s,
        facts.peak_tflops_16bit,
        facts.source,
    )


def _this_machine(count: int) -> Hardware:
    if count != 1:
        raise BadOption("There is one of this machine.")
    from bigenough.measure.machine import machine as detect

    here = detect()
    return Hardware(f"this machine ({here.cpu}, {here.cores} cores)", 1, here.memory_gb, None, True, source="detected")


def _from_config(text: str, config: dict[str, object]) -> Subject:
    shape = shape_from_config(config, where=text if text.endswith(".json") else f"{text}/config.json")
    count = parameters(shape)
    if count.total > 1e15:
        raise BadOption(
            f"{text}: {shape.layers:,} layers of {shape.hidden:,} make {count.total:.3g} parameters, more than 10^15. "
            "Check the config's numbers."
        )
    return Subject(text, count.total, count.active, shape, "", None, "counted from config.json", "modelled")


def _folder_config(path: Path) -> dict[str, object]:
    file = path if path.suffix == ".json" else path / "config.json"
    if not file.is_file():
        raise BadOption(
            f"{path} has no config.json. Give the folder that a model's weights lie in, "
            f"a name of the atlas, or hf:org/name."
        )
    try:
        config = json.loads(file.read_text(encoding="utf-8"))
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise BadOption(f"{file} is no JSON: {error}.") from None
    if not isinstance(config, dict):
        raise BadOption(f"{file} holds no object of settings.")
    return config


def _hub_config(repository: str) -> dict[str, object]:
    if not re.fullmatch(r"[\w.-]+/[\w.-]+", repository):
        raise BadOption(f"hf:{repository} names no repository. Expected hf:organisation/name.")
    import logging

    from huggingface_hub import hf_hub_download

    logging.getLogger("huggingface_hub").setLevel(logging.CRITICAL)  # its retries are told once, below
    try:
        try:
            file = hf_hub_download(repository, "config.json", local_files_only=True)
        except (OSError, ValueError):
            _reach_hub()
            file = hf_hub_download(repository, "config.json")
    except Exception as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise WeightsNotFound(
            f"The config of {repository} cannot be had from the Hugging Face hub or its cache ({reason}). "
            "Give a folder with its config.json instead."
        ) from None
    return _folder_config(Path(file))


def _reach_hub() -> None:
    """Raise ``OSError`` at once when there is no way to the hub: its client would try for half a minute."""
    import socket
    from urllib.parse import urlsplit

    from huggingface_hub import constants

    address = urlsplit(constants.ENDPOINT)
    if not any(os.environ.get(name) for name in ("HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy")):
        socket.create_connection((address.hostname or "", address.port or 443), timeout=5).close()
