# SPDX-License-Identifier: Apache-2.0
"""The atlas: models, devices, machines, prices, grids, and how a user's spelling finds them.

Everything is read once from the package's tables; a name that is not there is refused with the nearest ones.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from typing import Protocol, TypeVar

from bigenough.atlas.names import key, nearest
from bigenough.atlas.records import (
    Accelerator,
    Conflict,
    Correction,
    Equivalent,
    Essay,
    Grid,
    MachineFacts,
    Model,
    Price,
    Score,
    Trend,
)
from bigenough.atlas.tables import read_table
from bigenough.errors import BadOption

__all__ = [
    "accelerator",
    "accelerators",
    "benchmarks",
    "conflicts",
    "corrections",
    "equivalent",
    "equivalents",
    "essays",
    "find_accelerator",
    "find_machine",
    "find_model",
    "grid",
    "grids",
    "machine",
    "machines",
    "model",
    "models",
    "price",
    "prices",
    "trends",
]


# Spellings that no rule finds, of models that people name without their size or after their company.
_ALSO: Mapping[str, str] = {
    "gpt3": "GPT-3",
    "gpt-3 175b": "GPT-3",
    "gpt-2": "GPT-2 XL",
    "gpt-2 1.5b": "GPT-2 XL",
    "gpt-1 117m": "GPT-1",
    "bloom": "BLOOM-176B",
    "opt": "OPT-175B",
    "palm": "PaLM 540B",
    "mt-nlg": "MT-NLG 530B",
    "glm": "GLM-130B",
    "gpt-j": "GPT-J-6B",
    "megatron-turing": "MT-NLG 530B",
    "gpt-neox": "GPT-NeoX-20B",
    "mixtral": "Mixtral 8x7B",
    "deepseek": "DeepSeek-V3",
    "dlrm": "DLRM-12T",
    "switch": "Switch Transformer (Switch-C)",
    "switch-c": "Switch Transformer (Switch-C)",
    "t5": "T5-11B",
    "glam": "GLaM 64B/64E",
    "yalm": "YaLM-100B",
    "starcoder": "StarCoderBase 15.5B",
    "seer": "SEER RegNetY-256GF",
    "clip": "CLIP ViT-L/14@336",
    "tinyllama": "TinyLlama-1.1B",
    "bert": "BERT-base",
    "roberta": "RoBERTa-base",
    "distilbert": "DistilBERT-base",
    "minilm": "all-MiniLM-L6-v2",
    "megatron-lm": "Megatron-LM 8.3B",
    "jurassic-1": "Jurassic-1 Jumbo",
    "stable diffusion": "Stable Diffusion v1.4",
    "image gpt": "iGPT-XL (Image GPT)",
}
_MAKERS = re.compile(r"\b(nvidia|tesla|geforce|quadro|google|amd|intel|instinct|huawei)\b|\(.*?\)", re.IGNORECASE)


def models() -> tuple[Model, ...]:
    """Every model of the atlas, in the file's order."""
    return read_table("models", Model)


def model(name: str) -> Model:
    """The model of this name, in any spelling of case, spaces and hyphens.

    Raises:
        BadOption: there is none; the message offers the nearest names.

    >>> model("llama-3.1-8b").total_params
    8030261248
    """
    found = find_model(name)
    if found is None:
        raise BadOption(f"The atlas has no model {name!r}. {nearest(name, [row.name for row in models()])}")
    return found


def find_model(name: str) -> Model | None:
    """The model of this name, or ``None``."""
    by_key = _model_keys()
    wanted = key(name.rsplit("/", 1)[-1])
    return by_key.get(key(name)) or by_key.get(wanted)


@cache
def _model_keys() -> Mapping[str, Model]:
    by_name = {row.name: row for row in models()}
    found = {key(also): by_name[name] for also, name in _ALSO.items()}
    for name, row in by_name.items():
        found.setdefault(key(re.sub(r"\(.*?\)", "", name)), row)
        found[key(name)] = row
    return found


def accelerators() -> tuple[Accelerator, ...]:
    """Every device of the atlas."""
    return read_table("accelerators", Accelerator)


def accelerator(name: str) -> Accelerator:
    """The device that a user names: ``a100-80gb``, ``A100 80GB``, ``h100``.

    Raises:
        BadOption: there is none, or the name leaves open which (``a100`` has 40 or 80 GB).
    """
    exact = _by_spelling(_bare(name), accelerators())
    if exact is not None:
        return exact
    family = _family(name)
    if len({device.memory_gb for device in family}) == 1:
        return family[0]
    if family:
        offered = ", ".join(repr(device.aliases[0] if device.aliases else device.name) for device in family)
        raise BadOption(f"{name!r} is sold with different memory: say which of {offered}.")
    known = [spelling for device in accelerators() for spelling in (device.name, *device.aliases)]
    raise BadOption(f"The atlas has no accelerator {name!r}. {nearest(name, known)}")


def find_accelerator(text: str) -> Accelerator | None:
    """The device that a record names, in free words; of a family with several memories the first, which computes alike.

    >>> find_accelerator("TPU v2 (4 Cloud TPUs)").name, find_accelerator("V100 + Ascend 910") is None
    ('TPU v2', True)
    """
    if re.search(r"[+/,;]", re.sub(r"\(.*?\)", "", text)):
        return None
    exact = _by_spelling(_bare(text), accelerators())
    if exact is not None:
        return exact
    family = _family(text)
    return family[0] if len({device.peak_tflops_16bit for device in family}) == 1 else None


def machines() -> tuple[MachineFacts, ...]:
    """Every machine of the atlas."""
    return read_table("machines", MachineFacts)


def machine(name: str) -> MachineFacts:
    """The machine of this name, such as ``DGX-2`` or ``laptop``; ``BadOption`` with the nearest if there is none."""
    found = find_machine(name)
    if found is None:
        known = [spelling for row in machines() for spelling in (row.name, *row.aliases)]
        raise BadOption(f"The atlas has no machine {name!r}. {nearest(name, known)}")
    return found


def find_machine(name: str) -> MachineFacts | None:
    """The machine of this name, or ``None``."""
    return _by_spelling(name, machines())


def grids() -> tuple[Grid, ...]:
    """The electricity of every country that is known."""
    return read_table("grids", Grid)


def grid(country: str) -> Grid:
    """A country's electricity, by its English name or its three-letter code; ``world`` is the average.

    >>> grid("france").kg_per_kwh < grid("POL").kg_per_kwh
    True
    """
    wanted = key(country)
    also = {"us": "USA", "uk": "GBR", "eu": "", "unitedstatesofamerica": "USA", "greatbritain": "GBR"}
    for row in grids():
        if wanted in (key(row.country), key(row.iso)) or (also.get(wanted) and also[wanted] == row.iso):
            return row
    raise BadOption(
        f"The atlas has no electricity grid {country!r}. {nearest(country, [row.country for row in grids()])}"
    )


def prices(item: str | None = None, kind: str | None = None) -> tuple[Price, ...]:
    """Prices, oldest first, of one item or kind if given."""
    every = read_table("prices", Price)
    wanted = None if item is None else key(item)
    found = [row for row in every if wanted in (None, key(row.item)) and kind in (None, row.kind)]
    return tuple(sorted(found, key=lambda row: (row.date, row.item)))


def price(item: str, kind: str, *, on: str | None = None) -> Price:
    """The newest price of an item, or the newest not after a day (ISO).

    Raises:
        BadOption: nobody's price is known, then or ever.
    """
    found = [row for row in prices(item, kind) if on is None or row.date <= on]
    if not found:
        known = sorted({row.item for row in prices(kind=kind)})
        when = f" on or before {on}" if on and prices(item, kind) else ""
        raise BadOption(
            f"The atlas has no price of kind {kind!r} for {item!r}{when}. {nearest(item, known)} Or give "
            "the price yourself."
        )
    return found[-1]


def equivalents() -> tuple[Equivalent, ...]:
    """Things a reader knows, to set figures beside."""
    return read_table("equivalents", Equivalent)


def equivalent(name: str) -> Equivalent:
    """The equivalent whose name begins so."""
    for row in equivalents():
        if row.name.startswith(name):
            return row
    raise BadOption(f"There is no equivalent {name!r}. {nearest(name, [row.name for row in equivalents()])}")


def corrections() -> tuple[Correction, ...]:
    """Where the essays' figures mislead."""
    return read_table("corrections", Correction)


def conflicts() -> tuple[Conflict, ...]:
    """Published figures that contradict a row of the atlas."""
    return read_table("conflicts", Conflict)


def benchmarks(benchmark: str | None = None) -> tuple[Score, ...]:
    """Scores, of one benchmark if given."""
    return tuple(row for row in read_table("benchmarks", Score) if benchmark in (None, row.benchmark))


def trends() -> tuple[Trend, ...]:
    """Published doubling times."""
    return read_table("trends", Trend)


def essays() -> Mapping[str, Essay]:
    """The five essays by their keys."""
    return {row.key: row for row in read_table("essays", Essay)}


class _Spelled(Protocol):
    @property
    def name(self) -> str: ...
    @property
    def aliases(self) -> tuple[str, ...]: ...


Spelled = TypeVar("Spelled", bound=_Spelled)


def _by_spelling(name: str, rows: Iterable[Spelled]) -> Spelled | None:
    wanted = key(name)
    for row in rows:
        if wanted in {key(spelling) for spelling in (row.name, *row.aliases)}:
            return row
    return None


def _bare(name: str) -> str:
    return _MAKERS.sub(" ", name).strip()


def _family(name: str) -> Sequence[Accelerator]:
    """Devices whose name holds all given words and begins with the first, all of the form of the first one found."""
    words = _bare(name).lower().replace("-", " ").split()
    found = [
        device
        for device in accelerators()
        if words
        and (spelled := device.name.lower().split())[0] in (words[0], "rtx", "apple")
        and all(word in spelled for word in words)
    ]
    return [device for device in found if ("PCIe" in device.name) == ("PCIe" in found[0].name)] if found else []
