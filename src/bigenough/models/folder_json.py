# SPDX-License-Identifier: Apache-2.0
"""The JSON files of a model's folder, which others wrote: each value as it should be, or an error that names it.

It decides what counts as a number, a text or a list, and nothing of what they mean. A value that is null counts as one
that is not there.
"""

from __future__ import annotations

import json
import reprlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NoReturn

from bigenough.errors import UnsupportedModel

__all__ = ["flag", "integer", "listing", "number", "read_object", "read_objects", "section", "text"]

MOST = 2**31 - 1
"""What fits wherever such a number goes (ONNX, GGUF, memory)."""
LARGEST = 3.4e38
"""The largest number of 32 bits."""
AGAIN = "Save or download the model's files again."

Object = Mapping[str, Any]


def read_object(path: Path) -> dict[str, Any]:
    """The object in a JSON file.

    Raises:
        UnsupportedModel: there is no such file, it is no JSON, or holds something else.
    """
    found = _read(path)
    if not isinstance(found, dict):
        raise UnsupportedModel(f"{path} should hold one JSON object. Got {_told(found)}. {AGAIN}")
    return found


def read_objects(path: Path) -> list[dict[str, Any]]:
    """The objects of the list in a JSON file. Raises ``UnsupportedModel`` as ``read_object`` does."""
    found = _read(path)
    if not isinstance(found, list) or not all(isinstance(each, dict) for each in found):
        raise UnsupportedModel(f"{path} should hold one list of JSON objects. Got {_told(found)}. {AGAIN}")
    return found


def integer(found: Object, key: str, path: Path, *, low: int = 1, high: int = MOST, default: int | None = None) -> int:
    """A whole number from ``low`` to ``high``; neither 4.0 nor true is one.

    Args:
        found: the object.
        key: what it is called there.
        path: the object's file, for the error.
        low: the smallest number that makes sense.
        high: the largest.
        default: what holds where there is none; None where there has to be one.

    Raises:
        UnsupportedModel: there is none, or something else.

    >>> integer({"hidden_size": 384}, "hidden_size", Path("config.json"))
    384
    """
    value = default if found.get(key) is None else found[key]
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        above = "above zero" if low == 1 else f"of at least {low}"
        most = f" and at most {high:,}" if isinstance(value, int) and value > high else ""
        _refuse(path, f"a whole number {key} {above}{most}", value)
    return value


def number(found: Object, key: str, path: Path, *, default: float) -> float:
    """A number above zero that 32 bits can hold. Raises ``UnsupportedModel`` for anything else."""
    value = default if found.get(key) is None else found[key]
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value <= LARGEST:
        _refuse(path, f"a number {key} above zero", value)
    return float(value)


def flag(found: Object, key: str, path: Path, *, default: bool = False) -> bool:
    """True or false; the text "false" is neither. Raises ``UnsupportedModel`` for anything else."""
    value = default if found.get(key) is None else found[key]
    if not isinstance(value, bool):
        _refuse(path, f"true or false for {key}", value)
    return value


def text(found: Object, key: str, path: Path, *, default: str | None = None) -> str:
    """A text, which may be empty. Raises ``UnsupportedModel`` for anything else, or for none without a default."""
    value = default if found.get(key) is None else found[key]
    if not isinstance(value, str):
        _refuse(path, f"a text {key}", value)
    return value


def section(found: Object, key: str, path: Path) -> dict[str, Any]:
    """An object within the object. Raises ``UnsupportedModel``: there is none, or something else."""
    value = found.get(key)
    if not isinstance(value, dict):
        _refuse(path, f"an object {key}", value)
    return value


def listing(found: Object, key: str, path: Path) -> list[dict[str, Any]]:
    """A list of objects, empty where there is none. Raises ``UnsupportedModel`` for anything else."""
    value = [] if found.get(key) is None else found[key]
    if not isinstance(value, list) or not all(isinstance(each, dict) for each in value):
        _refuse(path, f"a list {key} of objects", value)
    return value


def _read(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
        raise UnsupportedModel(
            f"{path} is missing. {AGAIN} A model folder holds config.json, model.safetensors and tokenizer.json, and "
            "what its modules.json names."
        ) from None
    except (OSError, ValueError, RecursionError) as error:  # no JSON, no UTF-8, or nested without end
        raise UnsupportedModel(f"{path} cannot be read as JSON ({error}). {AGAIN}") from error


def _refuse(path: Path, expected: str, value: object) -> NoReturn:
    raise UnsupportedModel(f"{path} should have {expected}. Got {_told(value)}. {AGAIN}")


def _told(value: object) -> str:
    """A stranger's value in few characters."""
    return "none" if value is None else reprlib.repr(value)
