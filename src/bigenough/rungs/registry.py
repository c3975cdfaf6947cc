# SPDX-License-Identifier: Apache-2.0
"""Which rungs there are: ours and those of plugins, all through one door."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from difflib import get_close_matches
from importlib.metadata import EntryPoint, entry_points
from importlib.util import find_spec
from typing import Any

from bigenough.errors import BadOption, BigEnoughError, MissingExtra, RungFailed
from bigenough.rungs.protocol import Rung

__all__ = ["GROUP", "find_rungs"]

GROUP = "bigenough.rungs"
"""The entry-point group in which a package names its rungs: ``name = "module:Class"``."""

_FACTS = {"name": str, "version": int, "summary": str, "place": int}
_METHODS = ("weights", "first_settings", "suggest", "fit")


def find_rungs(names: Sequence[str] | None = None, *, report: Callable[[str], None] | None = None) -> list[Rung]:
    """The installed rungs, from the cheapest to serve upwards.

    Args:
        names: only these; None gives all.
        report: told of each plugin that cannot be used, and why; by default a warning. A rung that was asked for by
            name and cannot be used raises ``RungFailed`` instead.

    Raises:
        BadOption: no rung has one of the names.
        RungFailed: a named rung cannot be used.
        MissingExtra: a named rung needs a package that is not installed.

    >>> [rung.name for rung in find_rungs(["linear", "majority"])]
    ['majority', 'linear']
    """
    tell = report or (lambda message: warnings.warn(message, stacklevel=3))
    points = _points()
    for name in names or ():
        if name not in points:
            close = get_close_matches(name.lower(), points, n=1)
            hint = f" Did you mean {close[0]!r}?" if close else ""
            raise BadOption(f"No rung is called {name!r}.{hint} Installed: {', '.join(sorted(points))}.")
    rungs = []
    for name in dict.fromkeys(names) if names is not None else sorted(points):
        try:
            rungs.append(_load(points[name]))
        except (MissingExtra, RungFailed) as error:
            if names is not None:
                raise
            tell(f"{error} It is left out.")
    return sorted(rungs, key=lambda rung: (rung.place, rung.name))


def _points() -> dict[str, EntryPoint]:
    """One entry point a name. Ours win over a plugin that takes their name."""
    found: dict[str, EntryPoint] = {}
    for point in entry_points(group=GROUP):
        if point.name not in found or point.value.startswith("bigenough."):
            found[point.name] = point
    return found


def _load(point: EntryPoint) -> Rung:
    where = f"The rung {point.name!r} ({point.value}{_of(point)})"
    try:
        rung: Any = point.load()()
    except BigEnoughError as error:
        raise RungFailed(f"{where} cannot be used: {error}") from error
    except Exception as error:  # whatever a stranger's module does while it is imported
        raise RungFailed(f"{where} cannot be loaded: {type(error).__name__}: {error}.") from error
    missing = [name for name, kind in _FACTS.items() if not isinstance(getattr(rung, name, None), kind)]
    missing += [name for name in _METHODS if not callable(getattr(rung, name, None))]
    if missing:
        raise RungFailed(f"{where} is no rung: it lacks {', '.join(missing)}. See bigenough.rungs.protocol.Rung.")
    if rung.name != point.name:
        raise RungFailed(f"{where} calls itself {rung.name!r}. Expected the name of its entry point.")
    checked: Rung = rung
    _check_requirements(checked)
    return checked


def _check_requirements(rung: Rung) -> None:
    for module in getattr(rung, "requires", ()):
        if find_spec(module) is None:
            extra = getattr(rung, "extra", None)
            command = f"pip install 'bigenough[{extra}]'" if extra else f"pip install {module}"
            raise MissingExtra(f"The rung {rung.name!r}", module, command)


def _of(point: EntryPoint) -> str:
    return f", from {point.dist.name} {point.dist.version}" if point.dist else ""
