# SPDX-License-Identifier: Apache-2.0
"""llama.cpp is believed only where it is known: its version, its structures, the contexts it makes."""

import ctypes

import pytest
from llama.tiny_llama import NEEDS_LLAMA

from bigenough.errors import MissingExtra, RungFailed
from bigenough.llama import library as module
from bigenough.llama.context import Context
from bigenough.llama.layout import CONTEXT_DEFAULTS, KNOWN, MODEL_DEFAULTS, ContextParams, ModelParams, differences
from bigenough.llama.library import UnknownRuntime, library

pytestmark = NEEDS_LLAMA


def test_the_installed_build_is_a_known_one():
    found = library()
    assert found.version in KNOWN
    assert differences(found.context_defaults(), CONTEXT_DEFAULTS) == []
    assert differences(found.model_defaults(), MODEL_DEFAULTS) == []


def test_every_field_has_a_known_default():
    assert [name for name, _ in ContextParams._fields_] == list(CONTEXT_DEFAULTS)
    assert [name for name, _ in ModelParams._fields_] == list(MODEL_DEFAULTS)


def test_a_version_nobody_compared_is_refused(monkeypatch):
    monkeypatch.setattr(module.metadata, "version", lambda name: "2031.1.1")
    with pytest.raises(UnknownRuntime, match=r"2031\.1\.1 is installed.*pip install 'xllamacpp==2026"):
        library.__wrapped__()


def test_a_missing_package_is_named(monkeypatch):
    monkeypatch.setattr(module, "find_spec", lambda name: None)
    with pytest.raises(MissingExtra, match=r"xllamacpp.*bigenough\[llm\]"):
        library.__wrapped__()


@pytest.mark.parametrize("lost", ["n_rs_seq", "flash_attn_type", "moe_cache_size"])
def test_a_structure_with_a_field_less_is_noticed(monkeypatch, lost):
    """Read through a structure that lacks a field, llama.cpp's own defaults no longer look like themselves."""

    class Shifted(ctypes.Structure):
        _fields_ = tuple(field for field in ContextParams._fields_ if field[0] != lost)

    class Returned(ctypes.Structure):
        _fields_ = (("it", Shifted), ("hidden", ctypes.c_int8 * 64))

    signatures = {**module.SIGNATURES, "llama_context_default_params": (Returned, ())}
    defaults = {name: value for name, value in CONTEXT_DEFAULTS.items() if name != lost}
    monkeypatch.setattr(module, "SIGNATURES", signatures)
    monkeypatch.setattr(module, "CONTEXT_DEFAULTS", defaults)
    with pytest.raises(UnknownRuntime, match="lays its structures out differently"):
        library.__wrapped__()


def test_a_context_that_is_not_as_asked_is_noticed(model, monkeypatch):
    monkeypatch.setattr(model.library, "llama_n_seq_max", lambda pointer: 7)
    with pytest.raises(UnknownRuntime, match="its build is new"):
        model.context(256, sequences=3)


def test_a_full_cache_is_an_error_and_the_context_goes_on(model):
    import numpy as np

    context = model.context(256)
    many = np.full(300, 100, np.int32)
    positions, wanted = np.arange(300, dtype=np.int32), np.arange(300) == 299
    with pytest.raises(RungFailed, match="could not read"):
        list(context.read(many, positions, [(0,)] * 300, wanted))
    context.forget(0)
    assert isinstance(context, Context)
    assert len(list(context.read(many[:5], positions[:5], [(0,)] * 5, wanted[295:]))) == 1
