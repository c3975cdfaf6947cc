# SPDX-License-Identifier: Apache-2.0
"""Files are whole or absent, and their hashes hold."""

import errno
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bigenough.errors import OutOfDisk, TamperedArtefact
from bigenough.storage import (
    atomic_folder,
    canonical_json,
    check_files,
    content_hash,
    copy_folder,
    file_hashes,
    read_json,
    write_json,
    write_text,
)

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(st.text(), values, max_size=5))
def test_order_of_keys_does_not_change_a_hash(data):
    turned = dict(reversed(list(data.items())))
    assert canonical_json(data) == canonical_json(turned)
    assert content_hash(data) == content_hash(turned)


@given(values)
def test_json_comes_back_as_it_went(tmp_path_factory, data):
    path = tmp_path_factory.mktemp("json") / "data.json"
    write_json(path, data)
    assert read_json(path) == data


def test_nan_is_refused_rather_than_written(tmp_path: Path):
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(tmp_path / "bad.json", {"x": float("nan")})
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_fails_halfway_leaves_the_old_one(tmp_path: Path):
    target = tmp_path / "model"
    with atomic_folder(target) as scratch:
        write_text(scratch / "a.txt", "old")
    with pytest.raises(FileNotFoundError), atomic_folder(target) as scratch:
        write_text(scratch / "a.txt", "new")
        (scratch / "nothing").unlink()
    assert (target / "a.txt").read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


def test_a_folder_is_replaced_whole(tmp_path: Path):
    target = tmp_path / "model"
    for content in ("old", "new"):
        with atomic_folder(target) as scratch:
            write_text(scratch / f"{content}.txt", content)
    assert [path.name for path in target.iterdir()] == ["new.txt"]


def test_a_full_disk_is_said_and_leaves_nothing_behind(tmp_path: Path):
    with pytest.raises(OutOfDisk, match="run the same command again"), atomic_folder(tmp_path / "model"):
        raise OSError(errno.ENOSPC, "No space left on device")
    assert list(tmp_path.iterdir()) == []


def test_a_disk_that_fills_while_a_folder_is_copied_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    source = tmp_path / "source"
    (source / "deep").mkdir(parents=True)
    for name in ("a", "deep/b"):
        (source / name).write_text(name)
    copy_folder(source, tmp_path / "copy")
    assert (tmp_path / "copy" / "deep" / "b").read_text() == "deep/b"

    def full(one, other):
        raise OSError(errno.ENOSPC, "No space left on device", str(other))

    monkeypatch.setattr("shutil.copyfile", full)
    with pytest.raises(OutOfDisk), atomic_folder(tmp_path / "model") as scratch:
        copy_folder(source, scratch / "on-fit")
    assert not (tmp_path / "model").exists()


@pytest.mark.parametrize("harm", ["change", "truncate", "remove"])
def test_any_harm_to_a_listed_file_is_noticed(tmp_path: Path, harm: str):
    file = tmp_path / "weights.bin"
    file.write_bytes(bytes(range(200)))
    listed = file_hashes(tmp_path)
    check_files(tmp_path, listed)
    if harm == "change":
        file.write_bytes(bytes(199) + b"x")
    elif harm == "truncate":
        file.write_bytes(bytes(range(199)))
    else:
        file.unlink()
    with pytest.raises(TamperedArtefact, match=r"weights\.bin"):
        check_files(tmp_path, listed)


def test_a_listed_path_outside_the_folder_is_refused(tmp_path: Path):
    (tmp_path / "outside").write_text("x")
    inside = tmp_path / "inside"
    inside.mkdir()
    with pytest.raises(TamperedArtefact, match="outside the folder"):
        check_files(inside, {"../outside": {"bytes": 1, "sha256": ""}})
