# SPDX-License-Identifier: Apache-2.0
"""A whole study with a large model behind an endpoint: what is asked, decided and packed, and what is not told."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import threading
import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from chat.servers import MODEL, Proxy, llama_url, proxy

import bigenough
from bigenough.cli.outcome import outcome_json, outcome_table
from bigenough.errors import InputError, RungFailed, StudyMismatch
from bigenough.specialist import load
from bigenough.storage import read_json
from bigenough.study import Study
from bigenough.verification import verify

__all__ = ["llama_url", "proxy"]

KEY = "sk-made-up-5f2c9be1d0"
LABELS = ("card", "refund", "transfer")
REFUSED = "refused"
OPTIONS = {"rungs": ("majority", "linear"), "shrink": "none", "trials": 1, "label": "label", "text": "text"}


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache, and so a store of replies, of this test's own, and a key in the environment."""
    monkeypatch.setenv("BIGENOUGH_CACHE", str(tmp_path / "home"))
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    monkeypatch.setenv("BIGENOUGH_REPLIES", str(tmp_path / "home" / "replies.sqlite"))  # a local one has its own
    return tmp_path / "home"


def told(n: int, *, seed: int = 0) -> pl.DataFrame:
    """Made-up requests to a bank, whose words say which kind they are; no two alike."""
    asked = {
        "card": ("my card has not arrived", "the card is blocked", "how do I replace a lost card"),
        "refund": ("I want my money back", "please refund this purchase", "the shop never refunded me"),
        "transfer": ("send money to my sister", "the transfer is still pending", "transfer to a foreign account"),
    }
    rows = [(f"{asked[label][i % 3]}, case {seed}{i:03d}", label) for i in range(n) for label in [LABELS[i // 3 % 3]]]
    return pl.DataFrame(rows, schema=["text", "label"], orient="row")


def riddle(text: str) -> str:
    """A label that only its rule knows: no word of the text tells it."""
    return LABELS[zlib.crc32(text.encode()) % 2]


def riddles(n: int, *, seed: int = 0) -> pl.DataFrame:
    texts = [f"request number {seed}{i:03d} of the day" for i in range(n)]
    return pl.DataFrame({"text": texts, "label": [riddle(text) for text in texts]})


@dataclass
class Stub:
    """A tiny OpenAI-compatible endpoint that answers by a rule of the row's text."""

    rule: Callable[[str], str] = lambda text: "card"
    asked: list[dict[str, Any]] = field(default_factory=list)
    keys: set[str] = field(default_factory=set)
    key_refused: bool = False
    url: str = ""

    def reply(self, body: Mapping[str, Any]) -> dict[str, Any]:
        text = body["messages"][-1]["content"].removeprefix("Text: ")
        schema = body.get("response_format")
        words = schema["json_schema"]["schema"]["properties"]["label"]["enum"] if schema else LABELS
        said = self.rule(text)
        label = said if said in words else words[0]
        content = json.dumps({"label": label}) if schema else label
        if said == REFUSED:
            content = "I'm sorry, I cannot answer that."
        return {
            "id": "1", "object": "chat.completion", "created": 0, "model": body["model"],
            "choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": content}}],
            "usage": {"prompt_tokens": 100, "completion_tokens": 5, "total_tokens": 105},
        }  # fmt: skip


@pytest.fixture
def stub() -> Iterator[Stub]:
    state, lock = Stub(), threading.Lock()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["content-length"])))
            with lock:
                state.asked.append(body)
                state.keys.add(self.headers["authorization"])
            refusal = {"error": {"message": "Incorrect API key provided", "code": "invalid_api_key"}}
            data = json.dumps(refusal if state.key_refused else state.reply(body)).encode()
            self.send_response(401 if state.key_refused else 200)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
    state.url = f"http://127.0.0.1:{server.server_port}/v1"
    yield state
    server.shutdown()
    server.server_close()


def run(rows: pl.DataFrame, test: pl.DataFrame, url: str, out: Path, model: str = MODEL, **options: Any) -> Study:
    generalist = {"url": url, "model": model, "price_in": 0.5, "price_out": 2.0}
    return bigenough.fit(rows, test=test, out=out, generalist=generalist, **{**OPTIONS, **options})


def files_with(secret: str, *folders: Path) -> list[str]:
    files = [path for folder in folders for path in folder.rglob("*") if path.is_file()]
    assert files
    return [str(path) for path in files if secret.encode() in path.read_bytes()]


def section(page: str, heading: str) -> str:
    """What stands under a heading of the report."""
    assert f"{heading}</h2>" in page
    return re.sub(r"<[^>]+>", " ", page.partition(f"{heading}</h2>")[2].partition("<h2")[0])


def disagreeing(study: Path) -> list[str]:
    return [check.name for check in verify(study) if not check.agree]


def check_the_told_study(study: Study, home: Path) -> None:
    """What holds whoever is asked: linear is proved and packed, the bill is told, the key is nowhere."""
    verdict = study.verdict
    assert (verdict.answer, verdict.winner, verdict.exit_code) == ("proved", "linear", 0)
    assert verdict.reference.name == "generalist"
    assert load(study.path / "specialist").predict(["the card is blocked"]) == ["card"]
    assert read_json(study.path / "specialist" / "specialist.json")["rung"] == "linear"
    bill = section(study.report.read_text("utf-8"), "What 1,000 requests take")
    assert "linear" in bill
    assert "generalist" in bill
    assert "request by request" in bill
    told = json.loads(outcome_json(study))
    found = told["break_even"]
    assert (found["specialist"], found["against"]) == ("linear", "generalist")
    assert found["money"]["pays"] in ("after", "perhaps never")
    assert "fixed cost / (" in found["money"]["requests"]["source"]
    assert found["co2e"]["pays"] == "unknown", "nobody models this endpoint"
    assert set(told["per_1000_requests"]) == {"majority", "linear", "generalist"}
    assert told["per_1000_requests"]["generalist"]["usd"]["value"] > 0
    seen_on_select = len(study.candidates["generalist"].predictions("select").gold)
    assert told["candidates"]["generalist"]["performance"]["replies"]["n"] == seen_on_select
    assert told["candidates"]["generalist"]["evidence"]["answers"]["rows"] == verdict.n_certify
    assert told["candidates"]["generalist"]["record"]["prompt"]["classes"]
    assert f"all {verdict.n_certify} replies named a label" in outcome_table(study)
    assert disagreeing(study.path) == []
    assert files_with(KEY, study.path, home) == []


@pytest.mark.slow
def test_a_study_through_a_real_server_and_again_elsewhere_for_nothing(proxy: Proxy, home: Path, tmp_path: Path):
    rows, test = told(171), told(32, seed=9)
    study = run(rows, test, proxy.url, tmp_path / "one", margin=20.0)
    check_the_told_study(study, home)
    assert any(headers.get("authorization") == f"Bearer {KEY}" for headers in map(lowered, proxy.seen_headers))
    assert {f"Text: {text}" for text in test["text"]} <= {body["messages"][-1]["content"] for body in proxy.begun}

    begun = len(proxy.begun)
    again = run(rows, test, proxy.url, tmp_path / "two", margin=20.0)
    assert len(proxy.begun) == begun, "replies that are kept were asked for again"
    assert again.verdict == study.verdict
    check_the_told_study(again, home)


def lowered(headers: Mapping[str, str]) -> dict[str, str]:
    return {name.lower(): value for name, value in headers.items()}


def test_a_study_against_a_stub_is_proved_packed_and_repeated_for_nothing(stub: Stub, home: Path, tmp_path: Path):
    right = dict(told(171).rows()) | dict(told(64, seed=9).rows())
    stub.rule = lambda text: right.get(text, "card") if zlib.crc32(text.encode()) % 10 else "card"
    rows, test = told(171), told(64, seed=9)
    study = run(rows, test, stub.url, tmp_path / "one", margin=10.0)
    check_the_told_study(study, home)
    assert stub.keys == {f"Bearer {KEY}"}

    asked = len(stub.asked)
    again = run(rows, test, stub.url, tmp_path / "two", margin=10.0)
    assert len(stub.asked) == asked
    assert again.verdict == study.verdict


def test_the_generalist_teaches_labelled_and_unlabelled_texts_but_none_that_judge(stub: Stub, tmp_path: Path):
    rows, test, more = told(171), told(64, seed=9), told(40, seed=5)
    right = dict(rows.rows()) | dict(test.rows()) | dict(more.rows())
    stub.rule = lambda text: right.get(text, "card")
    study = run(
        rows, test, stub.url, tmp_path / "study", margin=10.0, shrink="taught", teacher="generalist",
        unlabelled=pl.concat([more, test]).select("text"),
    )  # fmt: skip
    student = study.candidates["linear-from-generalist"]
    fitted = len(rows) - len(student.predictions("select").gold)
    assert student.record["settings"]["spare"] == 0, "made-up texts would be paid for"
    assert student.record["record"]["lessons"] == fitted + len(more)
    assert student.record["record"]["teacher"] == "generalist"
    asked = [body["messages"][-1]["content"].removeprefix("Text: ") for body in stub.asked]
    assert all(asked.count(text) == 1 for text in more["text"])
    assert disagreeing(study.path) == []


def test_where_the_reference_cannot_be_asked_the_others_are_kept_and_certify_stays_closed(stub: Stub, tmp_path: Path):
    right = dict(told(120).rows()) | dict(told(64, seed=9).rows())
    stub.rule, stub.key_refused = lambda text: right.get(text, "card"), True
    rows, test, out = told(120), told(64, seed=9), tmp_path / "study"
    with pytest.raises(RungFailed, match=r"certify was not opened\. The same command goes on from here"):
        run(rows, test, stub.url, out, margin=10.0)
    assert not (out / "plan.json").exists()
    assert not list(out.glob("candidates/*/certify.npz"))
    (linear,) = out.glob("candidates/linear-*/candidate.json")
    fitted = linear.read_bytes()

    stub.key_refused = False
    study = run(rows, test, stub.url, out, margin=10.0)
    assert study.verdict.reference.name == "generalist"
    assert study.candidates["linear"].folder == linear.parent
    assert linear.read_bytes() == fitted


def test_a_search_without_a_result_does_not_cost_the_generalist(stub: Stub, tmp_path: Path, monkeypatch):
    def fails(*_: Any) -> None:
        raise RuntimeError("no luck")

    monkeypatch.setattr("bigenough.rungs.linear.LinearRung.fit", fails)
    study = run(told(120), told(64, seed=9), stub.url, tmp_path / "study", rungs=("linear",), budget_minutes=1.0)
    assert set(study.candidates) == {"generalist"}
    (left,) = study.verdict.left_out
    assert (left.candidate, "no luck" in left.reason) == ("linear", True)


def test_without_the_reference_that_cannot_be_asked_the_others_go_on(stub: Stub, tmp_path: Path):
    """Until certify is opened the same study may be held against another; what was fitted is kept."""
    stub.key_refused = True
    rows, test, out = told(120), told(64, seed=9), tmp_path / "study"
    with pytest.raises(RungFailed, match=r"accuracy on select: .*linear [\d.]+ %.* --against best and --out .*study"):
        run(rows, test, stub.url, out, margin=10.0)
    (linear,) = out.glob("candidates/linear-*/candidate.json")
    fitted, began = linear.read_bytes(), json.loads((out / "study.json").read_text())

    study = run(rows, test, stub.url, out, margin=10.0, against="best")
    assert study.verdict.reference.name != "generalist"
    assert "generalist" in {each.candidate for each in study.verdict.left_out}
    assert list(out.glob("candidates/linear-*/candidate.json")) == [linear]
    assert linear.read_bytes() == fitted
    told_now = json.loads((out / "study.json").read_text())
    assert (told_now["created"], told_now["key"]) == (began["created"], began["key"])
    assert (told_now["options"]["against"], told_now["against_before"]) == ("best", [None])
    assert disagreeing(study.path) == []
    with pytest.raises(StudyMismatch, match="against: 'best' there, None now"):
        run(rows, test, stub.url, out, margin=10.0)


@pytest.mark.parametrize(
    ("limits", "outcome"),
    [
        ({}, ("proved", "generalist", 0)),
        # what runs elsewhere tells no size, so that it misses the limit and is no choice either
        ({"size_mb": 50.0}, ("not good enough", None, 3)),
    ],
)
def test_where_only_the_generalist_does_the_job_nothing_is_packed(
    stub: Stub, home: Path, tmp_path: Path, limits: dict[str, float], outcome: tuple[str, str | None, int]
):
    stub.rule = riddle
    study = run(riddles(120), riddles(64, seed=9), stub.url, tmp_path / "study", limits=limits)
    verdict = study.verdict
    assert (verdict.answer, verdict.winner, verdict.exit_code) == outcome
    assert verdict.sentence.startswith("The choice is generalist") == (not limits)
    assert not (study.path / "specialist").exists()
    with pytest.raises(InputError, match="packaged no model"):
        _ = study.specialist
    assert "generalist" in section(study.report.read_text("utf-8"), "What 1,000 requests take")
    assert disagreeing(study.path) == []
    assert files_with(KEY, study.path, home) == []


def test_what_too_few_rows_leave_open_ends_with_exit_code_4_and_packs_nothing(stub: Stub, tmp_path: Path):
    right = dict(told(120).rows()) | dict(told(32, seed=9).rows())
    right[told(32, seed=9)["text"][0]] = REFUSED
    stub.rule = lambda text: right.get(text, "card")
    for name, frame in (("train", told(120)), ("test", told(32, seed=9))):
        frame.write_csv(tmp_path / f"{name}.csv")
    command = [
        *("fit", tmp_path / "train.csv", "--test", tmp_path / "test.csv", "--label", "label", "--text", "text"),
        *("--rungs", "majority,linear", "--shrink", "none", "--trials", "1", "--margin", "1.5", "--json"),
        *("--generalist", stub.url, "--generalist-model", "stub", "--out", tmp_path / "study"),
    ]
    ended = subprocess.run(
        [sys.executable, "-m", "bigenough", *map(str, command)], capture_output=True, text=True, env=dict(os.environ)
    )
    assert ended.returncode == 4, ended.stderr
    said = json.loads(ended.stdout)
    assert said["verdict"]["answer"] == "cannot tell"
    assert said["verdict"]["safe_choice"] == "generalist"
    assert said["specialist"] is None
    answers = said["candidates"]["generalist"]["evidence"]["answers"]
    assert (answers["rows"], answers["failures"]["refusal"]) == (32, 1)
    refused = "1 of 32 replies named no label: 1 refusal"
    assert refused in outcome_table(Study(tmp_path / "study"))
    page = (tmp_path / "study" / "report.html").read_text("utf-8")
    assert "32" in section(page, "What was asked elsewhere")
    assert KEY not in ended.stdout + ended.stderr
    assert files_with(KEY, tmp_path) == []
