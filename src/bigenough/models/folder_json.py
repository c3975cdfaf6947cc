# SPDX-License-Identifier: Apache-2.0
"""The JSON files of a model's folder, which others wrote: one object each, or an error that names the file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from bigenough.errors import UnsupportedModel

__all__ = ["read_object"]


def read_object(path: Path) -> dict[str, Any]:
    """The object in a JSON file.

    Raises:
        UnsupportedModel: there is no such file, it is no JSON, or holds something else.
    """
    if not path.is_file():
        raise UnsupportedModel(
            f"{path} is missing. A model folder holds config.json, model.safetensors and tokenizer.json."
        )
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise UnsupportedModel(f"{path} cannot be read as JSON ({error}). Download or save it again.") from error
    if not isinstance(found, dict):
        raise UnsupportedModel(f"{path} should hold one JSON object. Got {type(found).__name__}.")
    return found
