# SPDX-License-Identifier: Apache-2.0
"""``bigenough label`` as a user meets it: an endpoint, a sheet, a terminal, a verdict."""

from __future__ import annotations

import csv
import json
import os
import pty
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from labelling.stub import LABELS, SILENT, Stub, gold_of, said_of, served, table
from typer.testing import CliRunner

from bigenough.cli.app import app
from bigenough.errors import BadOption, BudgetSpent, InputError, NotEnoughLabels, RungFailed, StudyMismatch

ROWS, CHECKED = 200, 60
QUICK = ("--rungs", "majority,linear", "--trials", "1", "--shrink", "none", "--threads", "1")

Run = Callable[..., dict[str, Any]]


@pytest.fixture
def stub() -> Iterator[Stub]:
    with served() as one:
        yield one


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("BIGENOUGH_REPLIES", str(tmp_path / "replies.sqlite"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def texts(n: int) -> list[str]:
    made = table(n)
    made[1] += f" {SILENT}"
    return made


def write_table(n: int, path: Path = Path("t.csv")) -> Path:
    pl.DataFrame({"message": texts(n)}).write_csv(path)
    return path


def arguments(stub: Stub, *more: str, labels: str = ",".join(LABELS)) -> list[str]:
    whom = ("--generalist", stub.url, "--generalist-model", "rule")
    return ["label", "t.csv", "--labels", labels, *whom, "--out", "out", *QUICK, *more]


def run(stub: Stub, *more: str, labels: str = ",".join(LABELS)) -> tuple[int, dict[str, Any]]:
    """The command in this process, as JSON; its errors are raised."""
    done = CliRunner().invoke(app, arguments(stub, *more, "--json", labels=labels))
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    return done.exit_code, json.loads(done.stdout)


def sheet(path: Path = Path("out/check.csv")) -> list[dict[str, str]]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        return list(csv.DictReader(file))


def fill(label: Callable[[str], str] = gold_of, n: int | None = None) -> None:
    """A person's work in a spreadsheet: the first n empty rows."""
    lines = sheet()
    for line in [line for line in lines if not line["label"]][:n]:
        line["label"] = label(line["text"])
    with Path("out/check.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, lines[0])
        writer.writeheader()
        writer.writerows(lines)


def test_from_no_labels_to_a_verdict(stub: Stub) -> None:
    """The whole road through the CSV: what is trained on has mistakes, what certifies has none, and it shows."""
    write_table(ROWS)
    code, told = run(stub, "--check", str(CHECKED), "--margin", "5")
    assert (code, told["state"]) == (4, "to check")
    assert told["rows"] == {
        "with_text": ROWS, "asked": ROWS, "labelled": ROWS - 1,
        "failures": {"empty": 0, "refusal": 1, "no known label": 0, "several labels": 0},
    }  # fmt: skip
    assert list(sheet()[0]) == ["row", "text", "label"]
    assert len(sheet()) == CHECKED
    fill(n=CHECKED - 20)
    code, told = run(stub, "--margin", "5")
    assert (code, told["state"]) == (4, "to check"), "a sheet that is half filled waits"
    assert "20 rows" in told["next"]
    fill()
    code, told = run(stub, "--margin", "5")
    assert told["state"] == "verdict"
    verdict = told["outcome"]["verdict"]
    assert code == verdict["exit_code"]
    assert verdict["n_certify"] == CHECKED
    assert any("not in this race" in note for note in told["notes"])
    assert "the label of a generalist" in Path("out/round-1/report.html").read_text("utf-8")
    assert sorted(stub.asked) == sorted(texts(ROWS)), "each row was paid for once"

    planted = 100 * sum(said_of(text) == gold_of(text) for text in texts(ROWS) if SILENT not in text) / (ROWS - 1)
    right = told["quality"]["right"]
    assert right["low"] <= planted <= right["high"]
    assert right["provenance"] == "measured"
    certify = pl.read_parquet("out/round-1-certify.parquet")
    assert certify["label"].to_list() == [gold_of(text) for text in certify["message"]]
    train = pl.read_parquet("out/round-1-train.parquet")
    assert train["label"].to_list() == [said_of(text) for text in train["message"]]
    score = told["outcome"]["candidates"]["linear"]["evidence"]["accuracy"]["value"]
    assert score > planted / 100, "a model may be better than the labels that it learned from, and only people tell"

    assert run(stub, "--margin", "5") == (code, told), "the same command comes to the same"
    with pytest.raises(StudyMismatch, match="certify once"):
        run(stub, "--margin", "7")
    code, more = run(stub, "--margin", "5", "--check", "70")
    assert more["state"] == "to check"
    assert [line["row"] for line in sheet()][:CHECKED] == [line["row"] for line in sheet() if line["label"]]
    fill()
    Path("out/round-1/verdict.json").unlink()
    code, told = run(stub, "--margin", "5")
    assert told["outcome"]["verdict"] == verdict, "a round that was killed is finished first, on its own rows"
    code, more = run(stub, "--margin", "5")
    assert (code, more["state"]) == (4, "too few checked"), "ten fresh rows prove nothing, whatever was checked before"
    assert "--check 119 draws 49 further" in more["next"]
    done = CliRunner().invoke(app, arguments(stub, "--margin", "5"))
    assert "right       " in done.stdout
    assert "prediction-powered" in done.stdout


@pytest.mark.parametrize(
    ("more", "labels", "told"),
    [
        ([], "refund", "At least two"),
        ([], "refund,login,refund", "more than once"),
        (["--text", "massage"], ",".join(LABELS), "Did you mean 'message'"),
        (["--label", "message"], ",".join(LABELS), "already"),
        (["--check", "55"], ",".join(LABELS), "--check 55 of 60"),
        (["--bar", "95"], ",".join(LABELS), "bar must lie"),
        (["--rungs", "lineal"], ",".join(LABELS), "lineal"),
    ],
)
def test_bad_input_is_refused_before_anything_is_paid(stub: Stub, more: list[str], labels: str, told: str) -> None:
    write_table(60)
    with pytest.raises(InputError, match=told):
        run(stub, *more, labels=labels)
    assert stub.asked == []


def test_a_price_that_nobody_knows_bounds_no_budget(stub: Stub) -> None:
    write_table(40)
    with pytest.raises(BadOption, match="price"):
        run(stub, "--generalist-usd", "5")
    assert stub.asked == []


def test_rows_that_could_not_certify_stay_free(stub: Stub) -> None:
    """The generalist's labels are all of one class, so nothing can be learned, and the checked rows are not spent."""
    write_table(40)
    stub.rule = lambda text: LABELS[0]
    run(stub, "--check", "6")
    fill()
    for _ in range(2):
        with pytest.raises(NotEnoughLabels, match="class"):
            run(stub, "--now")
        assert not list(Path("out").glob("round-*.json"))
    assert run(stub)[1]["check"]["certified_nothing_yet"] == 6


def test_a_wrong_label_in_the_sheet_loses_nothing(stub: Stub) -> None:
    write_table(40)
    run(stub, "--check", "6")
    fill()
    third = sheet()[2]
    line, broken = (f"{third['row']},{third['text']},{label}" for label in (third["label"], "xyz"))
    wrong = Path("out/check.csv").read_text().replace(line, broken)
    Path("out/check.csv").write_text(wrong)
    with pytest.raises(InputError, match=f"row {third['row']} has 'xyz'"):
        run(stub)
    assert Path("out/check.csv").read_text() == wrong


def test_a_budget_spent_half_way_keeps_what_is_labelled(stub: Stub) -> None:
    write_table(40)
    poor = ("--generalist-tokens", "1700", "--check", "8")
    with pytest.raises(BudgetSpent, match=r"larger budget.*labels\.csv.*--now"):
        run(stub, *poor)
    n = len(stub.asked)
    assert 0 < n < 40
    assert len(sheet(Path("out/labels.csv"))) == n
    code, told = run(stub, *poor, "--now")
    assert (code, told["state"], told["rows"]["asked"]) == (4, "to check", n)
    assert "budget" in told["notes"][0]
    assert run(stub, "--check", "8")[1]["rows"]["asked"] == 40
    assert len(stub.asked) == 40, "what was paid for is not asked again"


def test_replies_of_an_endpoint_on_this_machine_stay_with_the_labelling(
    stub: Stub, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another model may stand behind the same address tomorrow: as for a study, what it said is nobody else's."""
    monkeypatch.delenv("BIGENOUGH_REPLIES")
    monkeypatch.setenv("BIGENOUGH_CACHE", str(home / "cache"))
    write_table(40)
    run(stub, "--check", "6", "--offline")
    assert Path("out/replies.sqlite").is_file()
    assert not Path("cache/replies.sqlite").exists()
    Path("out/labels.csv").unlink()
    assert run(stub, "--check", "6")[1]["rows"]["asked"] == 40
    assert len(stub.asked) == 40, "a reply that is kept is asked for once"


def test_no_answer_from_the_endpoint(stub: Stub) -> None:
    """The sheet is there and can be filled in meanwhile."""
    write_table(40)
    dead = Stub(url="http://127.0.0.1:9/v1")
    with pytest.raises(RungFailed, match="cannot be reached"):
        run(dead, "--check", "6")
    assert len(sheet()) == 6


def test_another_table_or_model_leaves_the_folder_alone(stub: Stub) -> None:
    write_table(40)
    run(stub, "--check", "6")
    before = {path.name: path.read_bytes() for path in Path("out").iterdir()}
    with pytest.raises(StudyMismatch, match="never overwritten"):
        run(stub, labels="refund,login")
    write_table(41)
    with pytest.raises(StudyMismatch, match="data"):
        run(stub)
    assert {path.name: path.read_bytes() for path in Path("out").iterdir()} == before


def test_suggestions_stand_in_the_sheet_only_when_asked_for(stub: Stub) -> None:
    write_table(40)
    run(stub, "--check", "6")
    assert "suggestion" not in sheet()[0]
    _, told = run(stub, "--check", "6", "--show-suggestions")
    assert told["check"]["suggestions_shown"]
    assert [line["suggestion"] for line in sheet()] == [
        "" if SILENT in line["text"] else said_of(line["text"]) for line in sheet()
    ]


def started(stub: Stub, *more: str, **streams: Any) -> subprocess.Popen[bytes]:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "COLUMNS": "120", "TERM": "dumb"}
    return subprocess.Popen([sys.executable, "-m", "bigenough", *arguments(stub, *more)], env=environment, **streams)


def test_killed_while_it_labels_it_goes_on(stub: Stub) -> None:
    """What a kill can cost are the requests under way; the second run asks for nothing that was kept."""
    write_table(60)
    child = started(stub, "--check", "6", stdout=subprocess.DEVNULL)
    deadline = time.monotonic() + 120
    while len(stub.asked) < 20 and child.poll() is None and time.monotonic() < deadline:
        time.sleep(0.005)
    child.send_signal(signal.SIGKILL)
    assert child.wait() == -signal.SIGKILL
    assert not Path("out/labels.csv").exists()
    _, told = run(stub, "--check", "6")
    assert told["rows"]["asked"] == 60
    twice = [text for text, times in Counter(stub.asked).items() if times > 1]
    assert len(twice) <= 4
    assert set(stub.asked) == set(texts(60))


class Terminal:
    """The command with a terminal of its own."""

    def __init__(self, stub: Stub, *more: str) -> None:
        self.master, slave = pty.openpty()
        self.child = started(stub, *more, stdin=slave, stdout=slave, stderr=slave, start_new_session=True)
        os.close(slave)
        self.seen = ""

    def until(self, text: str) -> None:
        """Read on until that text was shown."""
        while text not in self.seen:
            try:
                read = os.read(self.master, 4096).decode()
            except OSError:  # the other end is closed
                read = ""
            assert read, f"{text!r} never came: {self.seen[-500:]!r}"
            self.seen += read
        self.seen = self.seen.partition(text)[2]

    def type(self, text: str) -> None:
        os.write(self.master, f"{text}\n".encode())


def test_rows_are_checked_in_the_terminal_and_a_kill_loses_none(stub: Stub) -> None:
    write_table(40)
    terminal = Terminal(stub, "--check", "6")
    for place, typed in enumerate(["1", "login"]):
        terminal.until(f"[{place + 1} of 6,")
        terminal.until("lists the labels): ")
        terminal.type(typed)
    terminal.until("[3 of 6,")
    os.kill(terminal.child.pid, signal.SIGKILL)
    terminal.child.wait()
    assert [line["label"] for line in sheet()] == ["refund", "login", "", "", "", ""]
    again = Terminal(stub, "--check", "6")
    again.until("[3 of 6,")
    for typed in ("3", "b", "2", "q"):
        again.until("lists the labels): ")
        again.type(typed)
    again.until("3 of 6 rows drawn at random")
    again.until("--now goes on with the 3 that are")
    assert again.child.wait(timeout=60) == 4
    assert [line["label"] for line in sheet()] == ["refund", "login", "login", "", "", ""]
    assert len(stub.asked) == 40
