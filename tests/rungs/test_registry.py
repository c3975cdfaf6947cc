# SPDX-License-Identifier: Apache-2.0
"""Rungs and predictors of other packages, each a real distribution on ``sys.path``."""

from __future__ import annotations

import sys
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from bigenough.errors import BadOption, InputError, MissingExtra, RungFailed
from bigenough.rungs.candidate import Budget, candidate_key
from bigenough.rungs.majority import MajorityRung
from bigenough.rungs.predictors import load_predictor
from bigenough.rungs.protocol import Workbench
from bigenough.rungs.registry import find_rungs
from bigenough.task import Examples, Task

PLUGIN = '''
from dataclasses import dataclass, replace
import json
import numpy as np

class Always:
    """A predictor of its own kind: always the first class."""
    kind = "always"
    n_parameters = 1
    n_classes = 2
    def predict_proba(self, texts):
        return np.tile([0.9, 0.1], (len(texts), 1))
    def with_temperature(self, temperature):
        return self
    def save(self, folder):
        (folder / "predictor.json").write_text(json.dumps({"format": 1, "kind": "always"}))
    @classmethod
    def load(cls, folder, *, threads=None):
        return cls()

class AlwaysRung:
    name = "always"
    version = 1
    summary = "always the first class"
    place = 5
    def weights(self, bench):
        return {}
    def first_settings(self, examples, n_classes):
        return {}
    def suggest(self, trial, examples, n_classes):
        return {}
    def fit(self, examples, n_classes, settings, bench):
        return Always()

class Impostor(AlwaysRung):
    name = "linear"

class Nothing:
    name = "nothing"
'''


def install(folder: Path, name: str, entry_points: str, code: str = PLUGIN) -> None:
    """A distribution as pip would leave it."""
    (folder / f"{name}.py").write_text(code)
    info = folder / f"{name}-1.2.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.2\n")
    (info / "entry_points.txt").write_text(entry_points)


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    site = tmp_path / "site"
    site.mkdir()
    monkeypatch.syspath_prepend(site)
    yield site
    for path in site.glob("*.py"):
        sys.modules.pop(path.stem, None)


def test_ours_stand_in_order():
    names = [rung.name for rung in find_rungs(report=lambda sentence: None)]
    core = ["majority", "linear", "static", "label-names", "frozen"]
    assert [name for name in names if name in core] == core
    assert set(names) - set(core) <= {"tuned-static", "tuned", "few"}


NEEDY = """
class NeedyRung:
    name, version, summary, place = "needy", 1, "needs a package that nobody has", 9
    requires, extra = ("numpy", "no_such_package_anywhere"), "tune"
    def weights(self, bench): return {}
    def first_settings(self, examples, n_classes): return {}
    def suggest(self, trial, examples, n_classes): return {}
    def fit(self, examples, n_classes, settings, bench): raise AssertionError
"""


def test_a_rung_without_its_package_is_left_out_with_the_command(site: Path):
    install(site, "plugin_needy", "[bigenough.rungs]\nneedy = plugin_needy:NeedyRung\n", NEEDY)
    told: list[str] = []
    assert "needy" not in [rung.name for rung in find_rungs(report=told.append)]
    assert any("pip install 'bigenough[tune]'" in sentence and "needy" in sentence for sentence in told)
    with pytest.raises(MissingExtra, match=r"no_such_package_anywhere.*pip install 'bigenough\[tune\]'"):
        find_rungs(["needy"])


def test_the_encoder_goes_to_the_rungs_that_stand_on_one():
    rungs = find_rungs(["linear", "static", "frozen"], encoder="./some-folder")
    assert [getattr(rung, "encoder", None) for rung in rungs] == [None, "./some-folder", "./some-folder"]


def test_the_order_of_names_does_not_matter():
    assert [rung.name for rung in find_rungs(["linear", "majority", "linear"])] == ["majority", "linear"]
    assert find_rungs([]) == []


@pytest.mark.parametrize(("typed", "meant"), [("linaer", "linear"), ("Majority", "majority")])
def test_an_unknown_name_gets_the_nearest(typed, meant):
    with pytest.raises(BadOption, match=rf"{typed!r}.*Did you mean {meant!r}.*Installed:.*majority"):
        find_rungs([typed])


def test_a_name_like_no_other_gets_the_list():
    with pytest.raises(BadOption, match=r"'zzz'\. Installed:"):
        find_rungs(["zzz"])


def test_a_plugin_adds_a_rung_and_its_predictor(site: Path, tmp_path: Path):
    install(
        site,
        "plugin_always",
        "[bigenough.rungs]\nalways = plugin_always:AlwaysRung\n[bigenough.predictors]\nalways = plugin_always:Always\n",
    )
    rungs = find_rungs(["linear", "always", "majority"])
    assert [rung.name for rung in rungs] == ["majority", "always", "linear"]
    examples = Examples(["a", "b"], np.array([0, 1]), np.array([1, 2]))
    predictor = rungs[1].fit(examples, 2, {}, Workbench(0, 1, tmp_path))
    folder = tmp_path / "model"
    folder.mkdir()
    predictor.save(folder)
    loaded = load_predictor(folder)
    assert type(loaded) is type(predictor)
    assert loaded.predict_proba(["x"]).tolist() == [[0.9, 0.1]]


def test_a_predictor_of_an_absent_plugin_names_the_kind(tmp_path: Path):
    (tmp_path / "predictor.json").write_text('{"format": 1, "kind": "always"}')
    with pytest.raises(InputError, match=r"'always', which is not installed.*constant.*Install the plugin"):
        load_predictor(tmp_path)


@pytest.mark.parametrize(
    ("target", "reason"),
    [
        ("no_such_module:Rung", "ModuleNotFoundError"),
        ("plugin_broken:NoSuchClass", "AttributeError"),
        ("plugin_broken:Nothing", "lacks version, summary, place, weights"),
        ("plugin_broken:Impostor", "calls itself 'linear'"),
    ],
)
def test_a_broken_plugin_is_told_and_left_out(site: Path, target: str, reason: str):
    install(site, "plugin_broken", f"[bigenough.rungs]\nbroken = {target}\n")
    told: list[str] = []
    assert "broken" not in [rung.name for rung in find_rungs(report=told.append)]
    (message,) = [message for message in told if "'broken'" in message]
    assert reason in message
    assert "plugin_broken 1.2" in message
    with pytest.raises(RungFailed, match="broken"):
        find_rungs(["broken"])


def test_a_plugin_that_cannot_be_imported_warns_by_default(site: Path):
    install(site, "plugin_broken", "[bigenough.rungs]\nbroken = plugin_broken:Rung\n", "raise RuntimeError('no GPU')")
    with pytest.warns(UserWarning, match="RuntimeError: no GPU"):
        find_rungs()


def test_nobody_takes_the_name_of_ours(site: Path):
    install(site, "plugin_thief", "[bigenough.rungs]\nlinear = plugin_thief:Impostor\n")
    linear = find_rungs(["linear"])[0]
    assert type(linear).__module__ == "bigenough.rungs.linear"


def test_a_rung_that_may_search_with_a_library_asks_for_it_first(monkeypatch: pytest.MonkeyPatch):
    """One trial that draws LoRA would else end the rung, whatever the trials before gave."""
    from bigenough.rungs import registry

    monkeypatch.setattr(registry, "find_spec", lambda name: None if name == "peft" else name)
    with pytest.raises(MissingExtra, match="peft"):
        find_rungs(("tuned",))


def test_a_rung_names_modules_and_its_key_the_distributions_that_bring_them():
    class Plugin(MajorityRung):
        requires = ("sklearn", "optuna")

    task, budget = Task("colours", ("a", "b")), Budget(1, 1.0)
    key = partial(candidate_key, data="d", task=task, budget=budget, weights={}, seed=0)
    assert key(Plugin()) != key(MajorityRung())
