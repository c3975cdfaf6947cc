# SPDX-License-Identifier: Apache-2.0
"""Every installed rung passes the one contract."""

from __future__ import annotations

from pathlib import Path

import pytest
from rungs.contract import Case, RungContract

from bigenough.rungs.protocol import Rung, Workbench
from bigenough.rungs.registry import find_rungs
from bigenough.task import Examples

# "label-names" reads the names of the classes, which these cases change: it has its cases in test_label_names.
RUNGS = [rung for rung in find_rungs(report=lambda message: None) if rung.name != "label-names"]


@pytest.fixture(scope="module", params=RUNGS, ids=lambda rung: rung.name)
def case(request: pytest.FixtureRequest, weights_cache: Path, fit_split: Examples, select_split: Examples) -> Case:
    rung: Rung = request.param
    bench = Workbench(seed=7, threads=2, cache=weights_cache, offline=True)
    return Case.of(rung, bench, fit_split, select_split, 4)


class TestEveryRung(RungContract):
    pass
