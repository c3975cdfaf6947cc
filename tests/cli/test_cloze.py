# SPDX-License-Identifier: Apache-2.0
"""The command, called as a function on a tiny decoder: its figures are those of the guesses."""

import json
import math

import pytest
from llama.tiny_llama import NEEDS_LLAMA, write_tiny

from bigenough.cli.cloze import cloze_command
from bigenough.errors import UnreadableTable
from bigenough.llama import load_model
from bigenough.llama.cloze import cloze

pytestmark = NEEDS_LLAMA

PASSAGES = ["where is the card", "the card is in the end", "it is the other one"]


@pytest.fixture(scope="module")
def gguf(tmp_path_factory):
    return write_tiny(tmp_path_factory.mktemp("gguf") / "tiny.gguf")


def said(capsys, gguf, file, **options):
    cloze_command(str(gguf), file, **{"text": None, "rows": None, "threads": 1, "as_json": True, **options})
    return json.loads(capsys.readouterr().out)


def test_lines_tables_and_pairs_are_the_same_passages(capsys, gguf, tmp_path):
    lines, table, pairs = (tmp_path / name for name in ("p.txt", "p.csv", "p.jsonl"))
    lines.write_text("\n".join(PASSAGES) + "\n\n")
    table.write_text("number,passage\n" + "\n".join(f"{n},{each}" for n, each in enumerate(PASSAGES)))
    halves = [each.rpartition(" ") for each in PASSAGES]
    pairs.write_text("\n".join(json.dumps({"context": one, "target": word}) for one, _, word in halves))
    first = said(capsys, gguf, lines)
    assert first["guesses"] == said(capsys, gguf, table, text="passage")["guesses"]
    assert first["guesses"] == said(capsys, gguf, pairs)["guesses"]


def test_its_figures_are_those_of_the_guesses(capsys, gguf, tmp_path):
    file = tmp_path / "p.txt"
    file.write_text("\n".join(PASSAGES))
    found, guesses = said(capsys, gguf, file), list(cloze(load_model(gguf, threads=1), PASSAGES))
    mean = -sum(guess.log_probability for guess in guesses) / 3
    assert found["last_word_perplexity"]["value"] == pytest.approx(math.exp(mean))
    assert found["accuracy"]["value"] == pytest.approx(100 * sum(guess.right for guess in guesses) / 3)
    assert found["accuracy"]["low"] <= found["accuracy"]["value"] <= found["accuracy"]["high"]
    assert found["accuracy"]["provenance"] == "measured"
    assert said(capsys, gguf, file, rows=1)["passages"] == 1


def test_people_read_sentences(capsys, gguf, tmp_path):
    file = tmp_path / "p.txt"
    file.write_text("\n".join(PASSAGES))
    cloze_command(str(gguf), file, text=None, rows=None, threads=1, as_json=False)
    out = capsys.readouterr().out
    assert "tiny, 3 passages of p.txt" in out
    assert "accuracy" in out
    assert "last word perplexity" in out


@pytest.mark.parametrize("content", [b"", b"\n \n", b"\xff\xfe\xff"])
def test_a_file_without_passages(gguf, tmp_path, content):
    file = tmp_path / "p.txt"
    file.write_bytes(content)
    with pytest.raises(UnreadableTable, match=r"p\.txt"):
        cloze_command(str(gguf), file, text=None, rows=None, threads=1, as_json=True)


def test_without_a_file_the_shipped_passages_are_read(capsys, gguf):
    found = said(capsys, gguf, None)
    assert found["passages"] == len(found["guesses"]) >= 20
    assert "by heart" in found["note"]
    assert found["guesses"][0]["word"] == "wife"
