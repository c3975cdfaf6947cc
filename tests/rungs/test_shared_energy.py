# SPDX-License-Identifier: Apache-2.0
"""Energy of a common search: who is given how much of it, in one run and in a run that goes on after a kill."""

from __future__ import annotations

from typing import Any

import pytest

from bigenough.quantity import Quantity, measured, modelled, unknown
from bigenough.rungs.fit_memory import FitMemory
from bigenough.rungs.shared_energy import added, shared_out, whole_energy


def energy(wh: float | None) -> dict[str, Any]:
    """As a meter says it: 0.5 g a Wh, or unknown."""
    if wh is None:
        return {"wh": unknown("Wh", "no meter").to_json(), "co2e_g": unknown("g CO2e", "no meter").to_json()}
    return {"wh": measured(wh, "Wh", "RAPL").to_json(), "co2e_g": modelled(wh / 2, "g CO2e", "grid").to_json()}


def tried(seconds: float, fits: int, failed: int = 0) -> dict[str, Any]:
    return {"seconds": seconds, "stages": [{"fits": fits, "failed": failed}]}


def remembered(fits: int = 0, seconds: float = 0.0) -> FitMemory:
    memory = FitMemory()
    memory.reused, memory.reused_seconds = fits, seconds
    return memory


def wh(share: Any) -> float:
    return share.energy["wh"]["value"]


def test_what_was_left_out_has_its_share_too():
    rungs = {"found": tried(30.0, 6), "failed": tried(10.0, 1, failed=1), "never tried": tried(0.0, 0)}
    shares = shared_out(rungs, {name: remembered() for name in rungs}, energy(4.0), {})
    assert [wh(share) for share in shares.values()] == pytest.approx([3.0, 1.0, 0.0])
    whole = whole_energy(shares)
    assert whole["wh"]["value"] == pytest.approx(4.0)
    assert whole["co2e_g"]["value"] == pytest.approx(2.0)
    assert (whole["wh"]["provenance"], whole["co2e_g"]["provenance"]) == ("measured", "modelled")
    told = shares["failed"].to_json()
    assert told["unmetered_fits"] == 0
    assert told["energy"]["wh"]["source"] == "RAPL; its share, by time, of the search over all rungs"


def test_fits_of_an_earlier_run_have_no_share_of_what_was_metered_after_it():
    rungs = {"remembered": tried(100.0, 5), "half": tried(20.0, 4), "new": tried(10.0, 2)}
    memories = {"remembered": remembered(5, 100.0), "half": remembered(2, 10.0), "new": remembered()}
    shares = shared_out(rungs, memories, energy(4.0), {})
    assert shares["remembered"].energy is None
    assert (wh(shares["half"]), wh(shares["new"])) == pytest.approx((2.0, 2.0))
    told = {name: share.to_json() for name, share in shares.items()}
    assert told["remembered"]["energy"]["wh"]["provenance"] == "unknown"
    assert "all 5 fits were made by an earlier run" in told["remembered"]["energy"]["wh"]["source"]
    assert told["half"]["energy"]["wh"]["source"].endswith(
        "; without 2 fits that an earlier run of this study made before it was stopped"
    )
    assert "without" not in told["new"]["energy"]["wh"]["source"]
    assert whole_energy(shares)["wh"]["value"] == pytest.approx(4.0)
    assert "; without 7 fits" in whole_energy(shares)["wh"]["source"]


def test_a_search_that_is_gone_through_again_costs_what_it_cost():
    """All its fits are remembered and what they took was written down; a rung that fails again is not counted twice."""
    rungs = {"found": tried(30.0, 6), "failed": tried(10.0, 1, failed=1)}
    first = shared_out(rungs, {name: remembered() for name in rungs}, energy(4.0), {})
    written = {name: {**rung, **first[name].to_json()} for name, rung in rungs.items()}
    memories = {"found": remembered(6, 30.0), "failed": remembered()}
    again = shared_out(rungs, memories, energy(0.1), written)
    assert {name: wh(share) for name, share in again.items()} == {name: wh(share) for name, share in first.items()}
    assert [share.unmetered for share in again.values()] == [0, 0]


def test_what_fails_again_after_a_kill_is_not_said_to_be_free():
    """Nothing was written before the kill: of the finished fits the energy is gone, the failed one is made anew."""
    rungs = {"found": tried(30.0, 6), "failed": tried(10.0, 1, failed=1)}
    shares = shared_out(rungs, {"found": remembered(6, 30.0), "failed": remembered()}, energy(1.0), {})
    assert shares["found"].energy is None
    assert wh(shares["failed"]) == pytest.approx(1.0)


def test_what_a_later_run_fits_is_added():
    before = {"rung": {**tried(30.0, 6), "unmetered_fits": 1, "energy": energy(3.0)}}
    shares = shared_out({"rung": tried(40.0, 9)}, {"rung": remembered(7, 32.0)}, energy(1.0), before)
    assert wh(shares["rung"]) == pytest.approx(4.0)
    assert shares["rung"].unmetered == 2  # the one missing before, and one of a run that was stopped after it


def test_what_no_meter_could_tell_is_unknown_in_sums_too():
    rungs = {"rung": tried(30.0, 6)}
    shares = shared_out(rungs, {"rung": remembered()}, energy(None), {})
    assert shares["rung"].to_json()["energy"]["wh"]["value"] is None
    for one, other in ((energy(1.0), energy(None)), (energy(None), energy(1.0))):
        assert Quantity.from_json(added(one, other)["wh"]) == unknown("Wh", "no meter")
