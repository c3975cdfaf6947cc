# SPDX-License-Identifier: Apache-2.0
"""What a user says of a generalist: no secret of it gets anywhere, and its replies are kept where they belong."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import polars as pl
import pytest
from typer.testing import CliRunner

import bigenough
from bigenough.chat.terms import Terms
from bigenough.cli.app import app
from bigenough.errors import BadOption
from bigenough.generalist import Generalist

URL = "https://api.example.org/v1"
SECRETS = [
    {"url": URL, "key_variable": "sk-SECRET-123"},
    {"url": URL, "key_variable": "gsk_SECRET123"},
    {"url": URL, "key_variable": "hf_SECRET"},
    {"url": "https://me:SECRET@api.example.org/v1"},
    {"url": "https://api.example.org/v1?api-key=SECRET"},
    {"url": "https://me:SECRET"},
    {"url": "sk-SECRET-123"},
]


@pytest.mark.parametrize("given", SECRETS)
def test_a_secret_in_the_wrong_place_reaches_neither_message_nor_study(given: dict[str, Any], tmp_path: Path) -> None:
    rows = pl.DataFrame({"text": ["a", "b"], "label": ["x", "y"]})
    with pytest.raises(BadOption) as raised:
        bigenough.fit(rows, label="label", out=tmp_path / "study", generalist={"model": "m", **given})
    assert "SECRET" not in str(raised.value)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("given", SECRETS)
def test_labelling_refuses_it_before_its_folder_is_made(given: dict[str, Any], tmp_path: Path) -> None:
    (tmp_path / "table.csv").write_text("text\nhello\n")
    whom = ["--generalist", given["url"], "--generalist-model", "m"]
    whom += ["--key-variable", given["key_variable"]] if "key_variable" in given else []
    command = ["label", str(tmp_path / "table.csv"), "--labels", "x,y", "--out", str(tmp_path / "study"), *whom]
    ended = CliRunner().invoke(app, command)
    assert ended.exit_code != 0
    assert isinstance(ended.exception, BadOption) or ended.exit_code == 2
    assert "SECRET" not in ended.output + str(ended.exception)
    assert [path.name for path in tmp_path.iterdir()] == ["table.csv"]


def test_a_slash_at_the_end_makes_no_other_study() -> None:
    assert Generalist(f"{URL}/", "m") == Generalist(URL, "m")


@pytest.mark.parametrize(
    ("url", "home"), [(URL, "cache"), ("http://127.0.0.1:8080/v1", "study"), ("http://localhost/v1", "study")]
)
def test_replies_of_this_machine_are_the_studys_own(
    url: str, home: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another model may stand behind the same address tomorrow; and asking it again costs nothing."""
    monkeypatch.delenv("BIGENOUGH_REPLIES", raising=False)
    folders = {"cache": tmp_path / "cache", "study": tmp_path / "study"}
    asked = Generalist(url, "local")
    assert asked.terms(account="a", **folders).store == folders[home] / "replies.sqlite"
    assert asked.terms(account="a", cache=folders["cache"]).store == folders["cache"] / "replies.sqlite"
    monkeypatch.setenv("BIGENOUGH_REPLIES", str(tmp_path / "mine.sqlite"))
    assert asked.terms(account="a", **folders).store == tmp_path / "mine.sqlite"


def test_terms_are_the_environments_with_what_the_user_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BIGENOUGH_GENERALIST_TOKENS", "5000")
    asked = Generalist(URL, "m", usd=2.0, price_in=1.0, price_out=3.0, key_variable="MY_KEY")
    found = asked.terms(account="a", cache=tmp_path, offline=True)
    assert found == Terms(
        tmp_path / "replies.sqlite", account="a", budget_usd=2.0, budget_tokens=5000, price_in=1.0, price_out=3.0,
        key_variable="MY_KEY", offline=True,
    )  # fmt: skip
    assert not asked.terms(account="a", cache=tmp_path).offline
