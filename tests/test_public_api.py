# SPDX-License-Identifier: Apache-2.0
"""What the package exports, and what importing it must not drag in."""

import json
import subprocess
import sys

import pytest

import bigenough
from bigenough import errors

HEAVY = ("numpy", "polars", "scipy", "sklearn", "onnxruntime", "onnx", "optuna", "torch", "rich", "typer", "altair")


def test_exports_are_what_is_promised():
    assert sorted(bigenough.__all__) == ["Specialist", "Study", "__version__", "fit", "load"]
    for name in bigenough.__all__:
        assert getattr(bigenough, name) is not None
    assert dir(bigenough) == sorted(bigenough.__all__)


def test_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="nothing_of_the_kind"):
        _ = bigenough.nothing_of_the_kind


def test_import_brings_no_heavy_library():
    code = "import json, sys, bigenough; print(json.dumps(sorted(sys.modules)))"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not set(HEAVY) & set(json.loads(run.stdout))


def test_help_brings_no_library_that_fits_or_predicts():
    code = (
        "import json, sys\nsys.argv = ['bigenough', '--help']\nfrom bigenough.cli.app import main\n"
        "try: main()\nexcept SystemExit: pass\nprint(json.dumps(sorted(sys.modules)))"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = set(json.loads(run.stdout.splitlines()[-1]))
    assert not (set(HEAVY) - {"rich", "typer"}) & loaded


@pytest.mark.parametrize("name", errors.__all__)
def test_every_error_is_in_the_tree_and_drawn_in_it(name):
    assert issubclass(getattr(errors, name), errors.BigEnoughError)
    assert name in (errors.__doc__ or "")
