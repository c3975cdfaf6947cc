# SPDX-License-Identifier: Apache-2.0
"""Which rungs there are: ours and those of plugins, all through one door."""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Callable, Mapping, Sequence
from difflib import get_close_matches
from importlib.metadata import EntryPoint, entry_points
from importlib.util import find_spec
from typing import Any

from bigenough.errors import BadOption, BigEnoughError, MissingExtra, RungFailed
from bigenough.rungs.protocol import Rung

__all__ = ["GROUP", "find_rungs", "usable"]

GROUP = "bigenough.rungs"
"""The entry-point group in which a package names its rungs: ``name = "module:Class"``."""

_FACTS = {"name": str, "version": int, "summary": str, "place": int}
_METHODS = ("weights", "first_settings", "suggest", "fit")


def find_rungs(
    names: Sequence[str] | None = None,
    *,
    encoder: str | None = None,
    llm: str | None = None,
    report: Callable[[str], None] | None = None,
) -> list[Rung]:
    """The installed rungs, from the cheapest to serve upwards.

    Args:
        names: only these; None gives all, without those that read a row so slowly that they are raced on request only.
        encoder: the pre-trained encoder for the rungs that stand on one; None leaves their default.
        llm: the language model, a name or a GGUF file, for the rungs that stand on one: asks for these too.
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
            rungs.append(_load(points[name], {"encoder": encoder, "model": llm}))
        except RungFailed as error:
            if names is not None:
                raise
            tell(f"{error} It is left out.")
    if names is None and llm is None:
        rungs = [rung for rung in rungs if not getattr(rung, "on_request", False)]
    rungs = _equipped(sorted(rungs, key=lambda rung: (rung.place, rung.name)), tell if names is None else None)
    return rungs


def usable(rung: Rung) -> Rung:
    """The rung, if the packages it needs are installed. Raises ``MissingExtra``."""
    return _equipped([rung], None)[0]


def _points() -> dict[str, EntryPoint]:
    """One entry point a name. Ours win over a plugin that takes their name."""
    found: dict[str, EntryPoint] = {}
    for point in entry_points(group=GROUP):
        if point.name not in found or point.value.startswith("bigenough."):
            found[point.name] = point
    return found


def _load(point: EntryPoint, told: Mapping[str, str | None]) -> Rung:
    where = f"The rung {point.name!r} ({point.value}{_of(point)})"
    try:
        recipe = point.load()
        taken = inspect.signature(recipe).parameters
        rung: Any = recipe(**{name: value for name, value in told.items() if value is not None and name in taken})
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
    return checked


def _missing_module(rung: Rung) -> str | None:
    return next((module for module in getattr(rung, "requires", ()) if find_spec(module) is None), None)


def _command(rung: Rung, module: str) -> str:
    extra = getattr(rung, "extra", None)
    return f"pip install 'bigenough[{extra}]'" if extra else f"pip install {module}"


def _equipped(found: Sequence[Rung], tell: Callable[[str], None] | None) -> list[Rung]:
    """The rungs whose packages are installed; who is told of the others, or None to raise ``MissingExtra``."""
    missing = {rung.name: module for rung in found if (module := _missing_module(rung))}
    commands: dict[str, list[str]] = {}
    for rung in found:
        if rung.name in missing:
            command = _command(rung, missing[rung.name])
            if tell is None:
                raise MissingExtra(f"The rung {rung.name!r}", missing[rung.name], command)
            commands.setdefault(command, []).append(rung.name)
    for command, names in commands.items():
        if tell is not None:
            tell(f"Left out, since their packages are not installed ({command}): {', '.join(names)}.")
    return [rung for rung in found if rung.name not in missing]


def _of(point: EntryPoint) -> str:
    return f", from {point.dist.name} {point.dist.version}" if point.dist else ""
