# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import json
import os
from importlib import metadata
from pathlib import Path

import numpy
import pytest

from bigenough.measure.machine import machine, package_versions


def test_the_machine_is_told_in_plain_json():
    facts = machine().to_json()
    assert set(facts) == {"cpu", "cores", "memory_gb", "flags", "os", "python"}
    assert json.loads(json.dumps(facts)) == facts
    assert facts["cpu"]
    assert 1 <= facts["cores"] <= (os.cpu_count() or 1)
    assert facts["memory_gb"] > 0.1


@pytest.mark.skipif(not Path("/proc/cpuinfo").exists(), reason="only Linux tells the flags")
def test_flags_are_flags_of_this_cpu():
    known = Path("/proc/cpuinfo").read_text().split()
    assert machine().flags
    assert set(machine().flags) <= set(known)


def test_versions_are_those_installed_and_cover_the_dependencies():
    versions = package_versions()
    assert versions["numpy"] == numpy.__version__
    assert versions["codecarbon"] == metadata.version("codecarbon")
    assert not {"pandas-stubs", "selenium"} & set(versions), "tools for testing do not decide a result"
