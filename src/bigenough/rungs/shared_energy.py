# SPDX-License-Identifier: Apache-2.0
"""What a search over all rungs took in energy: shared out by time, and added up over the runs of a study.

An energy here is what a meter's reading says as JSON values: ``wh`` and ``co2e_g``, each a quantity.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import reduce
from typing import Any

from bigenough.quantity import unknown
from bigenough.rungs.fit_memory import FitMemory

__all__ = ["Energy", "SharedEnergy", "added", "shared_out", "told", "whole_energy", "without"]

Energy = Mapping[str, Mapping[str, Any]]


@dataclass(frozen=True)
class SharedEnergy:
    """One rung's part of a search's energy.

    Attributes:
        energy: what was metered of its fits; None where nothing was, since an earlier run made all of them.
        unmetered: how many finished fits are missing from it, which a run made that was stopped before it could say.
    """

    energy: Energy | None
    unmetered: int

    def to_json(self) -> dict[str, Any]:
        """``energy``, with its source, and ``unmetered_fits``."""
        known = None if self.energy is None else told(self.energy, "its share, by time, of the search over all rungs")
        return {"energy": _or_unknown(known, self.unmetered), "unmetered_fits": self.unmetered}


def shared_out(
    rungs: Mapping[str, Mapping[str, Any]],
    memories: Mapping[str, FitMemory],
    metered: Energy,
    earlier: Mapping[str, Mapping[str, Any]],
) -> dict[str, SharedEnergy]:
    """The energy that was metered during a search, by rung, in proportion to the seconds of the fits made meanwhile.

    A fit that was found in memory was made by an earlier run. What that run had metered is added, if it came to writing
    it down; a run that finds every fit in memory adds nothing.

    Args:
        rungs: the record of each rung, as in ``Tournament.record``.
        memories: those that the search was given, by rung.
        metered: what was metered while it ran.
        earlier: the records of the same rungs that an earlier run of the study wrote, as far as they hold these fits.
    """
    fits = {name: _finished(rung) for name, rung in rungs.items()}
    fresh = {name: max(0.0, rung["seconds"] - memories[name].reused_seconds) for name, rung in rungs.items()}
    whole = sum(fresh.values())
    if whole <= 0 or (earlier and all(memories[name].reused >= fits[name] for name in rungs)):
        fresh, whole = dict.fromkeys(fresh, 0.0), 1.0
    found = {}
    for name in rungs:
        energy = _share(metered, fresh[name] / whole)
        before, unmetered = earlier.get(name), memories[name].reused
        if before is not None:
            if not _nothing_metered(_finished(before), before["unmetered_fits"]):
                energy = added(energy, before["energy"])
            unmetered = max(0, unmetered - _finished(before)) + before["unmetered_fits"]
        found[name] = SharedEnergy(None if _nothing_metered(fits[name], unmetered) else energy, unmetered)
    return found


def whole_energy(shares: Mapping[str, SharedEnergy]) -> Energy:
    """What was metered of all rungs together."""
    known = [share.energy for share in shares.values() if share.energy is not None]
    return _or_unknown(reduce(added, known) if known else None, sum(share.unmetered for share in shares.values()))


def added(one: Energy, other: Energy) -> Energy:
    """Two energies as one, told like the first; unknown where either is."""
    return {name: _sum(quantity, other[name]) for name, quantity in one.items()}


def told(energy: Energy, more: str) -> Energy:
    """The same, with more said of where it comes from."""
    return {name: {**quantity, "source": f"{quantity['source']}; {more}"} for name, quantity in energy.items()}


def without(energy: Energy, fits: int) -> Energy:
    """The same, saying how many fits are missing from it; as it is where none is."""
    if not fits:
        return energy
    return told(energy, f"without {fits} fits that an earlier run of this study made before it was stopped")


def _or_unknown(energy: Energy | None, unmetered: int) -> Energy:
    if energy is not None:
        return without(energy, unmetered)
    why = f"all {unmetered} fits were made by an earlier run of this study, before it was stopped"
    return {"wh": unknown("Wh", why).to_json(), "co2e_g": unknown("g CO2e", why).to_json()}


def _nothing_metered(fits: int, unmetered: int) -> bool:
    return 0 < fits <= unmetered


def _finished(rung: Mapping[str, Any]) -> int:
    return sum(stage["fits"] - stage["failed"] for stage in rung["stages"])


def _sum(one: Mapping[str, Any], other: Mapping[str, Any]) -> Mapping[str, Any]:
    if one["value"] is None or other["value"] is None:
        return one if one["value"] is None else other
    summed = {
        part: None if one[part] is None or other[part] is None else one[part] + other[part]
        for part in ("value", "low", "high")
    }
    alike = one["provenance"] == other["provenance"]
    return {**one, **summed, "provenance": one["provenance"] if alike else "modelled"}


def _share(energy: Energy, share: float) -> Energy:
    return {
        name: {
            part: value * share if part in ("value", "low", "high") and value is not None else value
            for part, value in quantity.items()
        }
        for name, quantity in energy.items()
    }
