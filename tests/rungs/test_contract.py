# SPDX-License-Identifier: Apache-2.0
"""Every installed rung passes the one contract."""

from __future__ import annotations

from pathlib import Path

import pytest
from rungs.contract import Case, RungContract

from bigenough.rungs.protocol import Rung, Workbench
from bigenough.rungs.registry import find_rungs
from bigenough.task import Examples

# These have cases of their own, in test_label_names, test_tuned and test_few: the names of the classes matter to the
# first, and the others, which take minutes on real weights, are held to the contract on a tiny encoder.
ELSEWHERE = ("label-names", "tuned", "few", "mini", "tuned-mini")
RUNGS = [rung for rung in find_rungs(report=lambda message: None) if rung.name not in ELSEWHERE]


@pytest.fixture(scope="module", params=RUNGS, ids=lambda rung: rung.name)
def case(request: pytest.FixtureRequest, weights_cache: Path, fit_split: Examples, select_split: Examples) -> Case:
    rung: Rung = request.param
    bench = Workbench(seed=7, threads=2, cache=weights_cache, offline=True)
    return Case.of(rung, bench, fit_split, select_split, 4)


class TestEveryRung(RungContract):
    pass
