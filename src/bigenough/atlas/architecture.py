# SPDX-License-Identifier: Apache-2.0
"""From the few numbers that a paper prints to a whole shape: the conventions of each family of models.

A table of layers, widths and heads does not say which matrices have biases, which tables are shared or how many norms
a block has; the family's code does. ``data/architectures.json`` holds those conventions, each with the file it was
read from.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from importlib import resources
from typing import Any, Protocol

from bigenough.atlas.shape import Experts, Latent, Shape

__all__ = ["ModelRow", "conventions", "family_shape", "shape_of"]

_DIMENSIONS = ("layers", "hidden", "heads", "ffn", "vocab")


class ModelRow(Protocol):
    """What is read from a row of the atlas."""

    @property
    def name(self) -> str: ...  # noqa: D102
    @property
    def layers(self) -> int | None: ...  # noqa: D102
    @property
    def hidden(self) -> int | None: ...  # noqa: D102
    @property
    def heads(self) -> int | None: ...  # noqa: D102
    @property
    def kv_heads(self) -> int | None: ...  # noqa: D102
    @property
    def head_dim(self) -> int | None: ...  # noqa: D102
    @property
    def ffn(self) -> int | None: ...  # noqa: D102
    @property
    def vocab(self) -> int | None: ...  # noqa: D102
    @property
    def context(self) -> int | None: ...  # noqa: D102


@cache
def conventions() -> Mapping[str, Any]:
    """The families and the models that follow them, as the data file has them."""
    text = resources.files("bigenough.atlas").joinpath("data", "architectures.json").read_text(encoding="utf-8")
    return dict(json.loads(text))


def shape_of(row: ModelRow) -> Shape | None:
    """The shape of a model of the atlas; ``None`` when its dimensions or its conventions are not known."""
    model = conventions()["models"].get(row.name)
    if model is None:
        return None
    said = {name: getattr(row, name) for name in (*_DIMENSIONS, "kv_heads", "head_dim", "context")}
    said |= {name: value for name, value in model.items() if name != "family"}
    if any(not said.get(name) for name in _DIMENSIONS):
        return None
    return family_shape(model["family"], {name: value for name, value in said.items() if value is not None})


def family_shape(family: str, dimensions: Mapping[str, Any]) -> Shape:
    """A shape from a family's conventions and a model's own dimensions, which win where both speak.

    >>> small = {"layers": 12, "hidden": 768, "heads": 12, "ffn": 3072, "vocab": 50257, "context": 1024}
    >>> family_shape("gpt2", small).positions
    1024
    """
    values: dict[str, Any] = {**conventions()["families"][family], **dimensions}
    values.pop("source", None)
    learned, beyond = values.pop("learned_positions", False), values.pop("extra_positions", 0)
    if learned:
        values.setdefault("positions", values.get("context", 0) + beyond)
    if isinstance(values.get("experts"), Mapping):
        values["experts"] = Experts(**values["experts"])
    if isinstance(values.get("latent"), Mapping):
        latent = Latent(**values["latent"])
        values |= {"latent": latent, "head_dim": latent.nope + latent.rope}
    return Shape(**values)
