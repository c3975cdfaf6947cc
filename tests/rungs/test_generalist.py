# SPDX-License-Identifier: Apache-2.0
"""The generalist: a real small model behind a real endpoint, as a rung of the ladder."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from chat.servers import MODEL, Proxy, llama_url, proxy, status
from rungs.conftest import as_examples
from rungs.contract import AWKWARD, NEVER_SERVED, assert_probabilities

from bigenough.chat.parse import FAILURES
from bigenough.chat.replies import Reply, ReplyStore
from bigenough.chat.request import Request
from bigenough.chat.terms import Terms, in_force
from bigenough.errors import BadOption, BudgetSpent, MissingExtra, RungFailed, TamperedArtefact
from bigenough.measure.performance import measure_performance
from bigenough.rungs.calibration import temper
from bigenough.rungs.generalist import INSTRUCTION_TEXTS, GeneralistRung
from bigenough.rungs.predictors.endpoint import EndpointPredictor
from bigenough.rungs.predictors.shots import LONGEST_SHOT, Shots
from bigenough.rungs.protocol import Predictor, Workbench
from bigenough.rungs.registry import usable
from bigenough.rungs.search import search

__all__ = ["llama_url", "proxy"]

NAMES = ("sport", "food")
FIT = as_examples(
    ["the match was won", "a goal in the match", "soup with bread", "bread and cheese", "the match", "fresh bread"],
    [0, 0, 1, 1, 0, 1],
)
SELECT = as_examples(["who won the match", "cheese soup", "bread"], [0, 1, 1])


@pytest.fixture
def terms(tmp_path: Path) -> Terms:
    return Terms(tmp_path / "replies.sqlite", account="study", concurrency=2, backoff_s=0.01, timeout_s=300.0)


@pytest.fixture
def bench(tmp_path: Path) -> Workbench:
    return Workbench(seed=0, threads=1, cache=tmp_path, offline=True, class_names=NAMES)


def fitted(url: str, terms: Terms, bench: Workbench, **settings: object) -> EndpointPredictor:
    rung = GeneralistRung(url, MODEL, terms=terms, described=False)
    chosen = {**rung.first_settings(FIT, 2), "shots": 2, **settings}
    return rung.fit(FIT, 2, chosen, bench)


def test_it_is_a_predictor_that_pays_once(proxy: Proxy, terms: Terms, bench: Workbench, tmp_path: Path) -> None:
    """Together, alone, tempered, saved and loaded: the same answers, and no request after the first ones."""
    predictor = fitted(proxy.url, terms, bench)
    assert isinstance(predictor, Predictor)
    texts = [*SELECT.texts, SELECT.texts[0]]
    first = predictor.predict_proba(texts)
    assert_probabilities(predictor, texts, 2)
    paid = len(proxy.begun)
    assert paid == 1 + 3, "the probe, and each different row"
    alone = np.vstack([predictor.predict_proba([text]) for text in reversed(texts)])
    np.testing.assert_array_equal(alone[::-1], first)
    np.testing.assert_allclose(predictor.with_temperature(3.0).predict_proba(texts), temper(first, 3.0), atol=1e-6)
    assert_probabilities(predictor, [], 2)
    (tmp_path / "model").mkdir()
    predictor.with_temperature(2.0).save(tmp_path / "model")
    with in_force(terms):
        loaded = EndpointPredictor.load(tmp_path / "model")
        np.testing.assert_allclose(loaded.predict_proba(texts), temper(first, 2.0), atol=1e-6)
    assert len(proxy.begun) == paid
    tally = predictor.tally(texts)
    assert set(tally["failures"]) == set(FAILURES)
    assert sum(tally["failures"].values()) + sum(tally["read_as"].values()) == tally["rows"] == 4
    assert tally["with_logprobs"] == 4, "llama.cpp offers log-probabilities"
    assert len(proxy.begun) == paid


def test_it_shows_the_examples_near_the_row(proxy: Proxy, terms: Terms, bench: Workbench) -> None:
    fitted(proxy.url, terms, bench).predict_proba(["who won the match"])
    talk = [message["content"] for message in proxy.begun[-1]["messages"]]
    assert talk[1:] == [*talk[1:-1], "Text: who won the match"]
    assert "Text: the match was won" in talk
    assert '{"label": "sport"}' in talk, "examples are answered in the form that the schema asks for"
    assert proxy.begun[-1]["response_format"]["json_schema"]["schema"]["properties"]["label"]["enum"] == list(NAMES)


def test_failed_replies_are_counted_by_kind(proxy: Proxy, terms: Terms, bench: Workbench) -> None:
    """A filtered row is a refusal, and gets an undecided row of probabilities."""
    predictor = fitted(proxy.url, terms, bench)
    proxy.plan = lambda body, n: status(400, "stopped by the content filter")
    probability = predictor.predict_proba(["a row that no one may read"])
    assert np.ptp(probability) < 1e-5
    assert predictor.tally(["a row that no one may read"])["failures"]["refusal"] == 1


def test_what_overflows_the_context_is_asked_with_less(proxy: Proxy, terms: Terms, bench: Workbench) -> None:
    """Examples go first, half at a time, then the text; asked again, nothing is sent."""
    predictor = fitted(proxy.url, terms, bench)
    long = "match " * 1050
    predictor.predict_proba([long])
    sent = len(proxy.begun)
    (answer,) = predictor.answers([long])
    assert answer.shots_left_out == 2
    assert 0 < answer.characters_left_out < len(long)
    tally = predictor.tally([long])
    assert (tally["examples_left_out"], tally["texts_cut"]) == (1, 1)
    assert len(proxy.begun) == sent


def test_labels_that_alone_overflow_are_an_error(proxy: Proxy, terms: Terms, bench: Workbench) -> None:
    told = replace(bench, descriptions={"sport": "word " * 2000})
    predictor = fitted(proxy.url, terms, told, descriptions=True)
    with pytest.raises(RungFailed, match="do not fit into the model's context"):
        predictor.predict_proba(["a row"])


def test_awkward_texts_can_be_sent(proxy: Proxy, terms: Terms, bench: Workbench) -> None:
    """The endpoint is spared the work: each is refused, and the way there and back is what is looked at."""
    predictor = fitted(proxy.url, terms, bench)
    proxy.plan = lambda body, n: status(400, "content filter")
    assert_probabilities(predictor, [*AWKWARD, "x" * 1_000_000], 2)
    assert all(len(body["messages"][-1]["content"]) < 21_000 for body in proxy.begun)


def test_a_search_of_prompts_is_recorded_and_repeated_for_nothing(proxy: Proxy, terms: Terms, bench: Workbench) -> None:
    rung = GeneralistRung(proxy.url, MODEL, terms=terms, described=False)
    found = search(rung, FIT, SELECT, 2, "accuracy", trials=2, minutes=60, bench=bench)
    assert len(found.trials) == 2
    assert all(trial.failure is None for trial in found.trials)
    assert found.record["prompt"]["classes"] == list(NAMES)
    assert found.record["prompt"]["instructions"] in INSTRUCTION_TEXTS.values()
    assert found.record["select"]["rows"] == 3
    assert found.record["abilities"]["structured"] is True
    sent = len(proxy.begun)
    assert len(proxy.completed) == sent <= 1 + 2 * 3
    again = search(rung, FIT, SELECT, 2, "accuracy", trials=2, minutes=60, bench=replace(bench, memo={}))
    np.testing.assert_array_equal(again.select_probability, found.select_probability)
    assert len(proxy.begun) == sent


def test_what_it_is_like_is_read_off_its_replies(proxy: Proxy, terms: Terms, bench: Workbench, tmp_path: Path) -> None:
    """The keys of a model measured in fresh processes; repeats are paid for once."""
    predictor = fitted(proxy.url, replace(terms, price_in=1.0, price_out=2.0), bench)
    predictor.predict_proba(SELECT.texts)
    asked = len(proxy.begun)
    found = predictor.observed(SELECT.texts, rows=1, repeats=2)
    assert len(proxy.begun) == asked + 4, "once more at 0, twice at its own temperature, once in another order"
    assert predictor.observed(SELECT.texts, rows=1, repeats=2) == found
    assert len(proxy.begun) == asked + 4
    (tmp_path / "constant").mkdir()
    from bigenough.rungs.predictors.constant import ConstantPredictor

    ConstantPredictor(np.array([0.5, 0.5])).save(tmp_path / "constant")
    usual = measure_performance(tmp_path / "constant", ["a"], threads=1, seconds=0.05).to_json()
    assert set(usual) <= set(found)
    assert all(usual[name]["unit"] == found[name]["unit"] for name in usual if name != "determinism")
    assert found["serve_usd_per_1000"]["value"] > 0
    assert found["determinism"]["rows"] == 1
    assert [set(check) for check in found["determinism"]["checks"]] == [set(usual["determinism"]["checks"][0])] * 3


def test_determinism_keeps_to_the_budget(proxy: Proxy, terms: Terms, bench: Workbench) -> None:
    predictor = fitted(proxy.url, terms, bench)
    predictor.predict_proba(["bread"])
    spent = ReplyStore(terms.store).usage("study", proxy.url, MODEL)
    poor = predictor.on_terms(replace(terms, budget_tokens=spent.tokens_in + spent.tokens_out + 10))
    found = poor.observed(["bread"])
    assert found["determinism"]["checks"] == []
    assert "budget" in found["determinism"]["note"]


def test_the_search_leaves_budget_for_the_rows_that_judge(proxy: Proxy, terms: Terms, bench: Workbench) -> None:
    one = fitted(proxy.url, terms, bench)
    one.predict_proba(["bread"])
    usage = ReplyStore(terms.store).usage("study", proxy.url, MODEL)
    rich = replace(terms, budget_tokens=2 * (usage.tokens_in + usage.tokens_out), search_share=0.5)
    searching = fitted(proxy.url, rich, bench)
    with pytest.raises(BudgetSpent):
        searching.predict_proba(["soup"])
    assert searching.terms.budget_tokens * 2 == rich.budget_tokens


@pytest.mark.parametrize("name", ["predictor.json", "shots.json"])
def test_a_missing_or_cut_file_is_noticed(terms: Terms, tmp_path: Path, name: str) -> None:
    made = saved(tmp_path)
    whole = (made / name).read_bytes()
    (made / name).write_bytes(whole[: len(whole) // 2])
    with pytest.raises(TamperedArtefact, match="Copy the whole folder"):
        EndpointPredictor.load(made)
    (made / name).unlink()
    with pytest.raises((TamperedArtefact, ValueError)):
        EndpointPredictor.load(made)


def test_no_key_and_no_budget_is_saved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret-0123456789")
    written = {path.name: path.read_text() for path in saved(tmp_path).iterdir()}
    assert set(written) == {"predictor.json", "shots.json"}
    assert json.loads(written["predictor.json"])["kind"] == "endpoint"
    assert not any(word in text for text in written.values() for word in ("sk-secret", "budget", "replies.sqlite"))


def test_it_serves_kept_replies_without_a_client_or_what_trained_others(tmp_path: Path) -> None:
    """A fresh process answers a row whose reply is in the store named by the environment; nobody is asked."""
    from bigenough.chat.prompt import Prompt

    made = saved(tmp_path)
    store = ReplyStore(tmp_path / "replies.sqlite")
    predictor = EndpointPredictor.load(made)
    messages = Prompt(NAMES).messages("bread", [])
    asked = Request(predictor.url, predictor.model, messages, {"max_tokens": 37, "temperature": 0.0, "seed": 0})
    store.put(asked, Reply("food", "stop"), account="")
    run = subprocess.run(
        [sys.executable, "-c", SERVE, str(made), "openai", *NEVER_SERVED], capture_output=True, text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "BIGENOUGH_REPLIES": str(store.path)},
    )  # fmt: skip
    assert run.returncode == 0, run.stderr
    assert json.loads(run.stdout) == {"imported": [], "said": [1]}


SERVE = """
import json, sys
from pathlib import Path
from bigenough.rungs.predictors.endpoint import EndpointPredictor
folder, *forbidden = sys.argv[1:]
said = EndpointPredictor.load(Path(folder)).predict_proba(["bread"]).argmax(axis=1).tolist()
print(json.dumps({"imported": [name for name in forbidden if name in sys.modules], "said": said}))
"""


def saved(tmp_path: Path) -> Path:
    from bigenough.chat.prompt import Prompt

    predictor = EndpointPredictor(
        "http://127.0.0.1:9/v1", MODEL, Prompt(NAMES), Shots.of(FIT.texts, FIT.labels, 2, most=9)
    )
    folder = tmp_path / "saved"
    folder.mkdir()
    predictor.save(folder)
    return folder


@pytest.mark.parametrize("package", ["openai", "genai_prices", "ecologits"])
def test_it_is_left_out_before_anything_is_paid_when_a_package_is_missing(
    package: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(MissingExtra, match=rf"(?s){package}.*bigenough\[llm\]"):
        usable(GeneralistRung("http://127.0.0.1:9/v1", "m"))


def test_offline_allows_this_machine_only(terms: Terms, bench: Workbench) -> None:
    rung = GeneralistRung("https://api.example.org/v1", "m", terms=terms)
    with pytest.raises(RungFailed, match="not on this machine"):
        rung.fit(FIT, 2, rung.first_settings(FIT, 2), bench)
    assert not terms.store.exists()


def test_a_dead_endpoint_fails_the_rung(terms: Terms, bench: Workbench) -> None:
    with pytest.raises(RungFailed, match="cannot be reached"):
        fitted("http://127.0.0.1:9/v1", terms, bench)


@pytest.mark.parametrize(
    ("name", "value"), [("shots", -1), ("shots", True), ("layout", "x"), ("choice", "x"), ("names", 1)]
)
def test_settings_that_make_no_sense_are_refused(terms: Terms, bench: Workbench, name: str, value: object) -> None:
    with pytest.raises(BadOption, match=name):
        fitted("http://127.0.0.1:9/v1", terms, bench, **{name: value})


@pytest.mark.parametrize("given", [("ftp://x", "m"), ("http://me:pw@host/v1", "m"), ("http://host/v1", " ")])
def test_an_endpoint_that_cannot_be_is_refused(given: tuple[str, str]) -> None:
    with pytest.raises(BadOption):
        GeneralistRung(*given)


class TestShots:
    def test_no_class_is_in_excess(self) -> None:
        """Nine texts of one class stand nearest; of four examples two at most are of it."""
        texts = [f"the match number {n}" for n in range(9)] + ["soup", "bread", "tax law", "court"]
        shots = Shots.of(texts, np.array([0] * 9 + [1, 1, 2, 2]), 3, most=100)
        (found,) = shots.for_rows(["the match"], 4)
        counts = np.bincount([code for _, code in found], minlength=3)
        assert counts.max() <= 2
        assert counts.sum() == 4
        assert found[-1][1] == 0, "the nearest stands beside the question"

    def test_fixed_examples_are_the_same_and_balanced(self) -> None:
        shots = Shots.of(FIT.texts, FIT.labels, 2, most=100)
        one, other = shots.for_rows(["the match", "bread"], 4, "fixed")
        assert one == other
        assert [code for _, code in one] == [0, 1, 0, 1]

    def test_rows_do_not_depend_on_their_neighbours(self) -> None:
        shots = Shots.of(FIT.texts, FIT.labels, 2, most=100)
        rows = [*SELECT.texts, *AWKWARD]
        assert shots.for_rows(rows, 2) == [shots.for_rows([row], 2)[0] for row in rows]

    def test_few_are_kept_of_many_with_every_class(self) -> None:
        labels = np.array([0] * 990 + [1] * 10)
        shots = Shots.of([f"text {n}" for n in range(1000)], labels, 2, most=50)
        assert len(shots.texts) <= 51
        assert set(shots.labels) == {0, 1}

    def test_long_texts_are_cut_and_doubles_and_blanks_left_out(self) -> None:
        shots = Shots.of(["a" * 5000, "b", "b", " "], np.array([0, 1, 0, 1]), 2, most=10)
        assert [len(text) for text in shots.texts] == [LONGEST_SHOT, 1]
        assert shots.labels.tolist() == [0, 1]

    def test_more_shots_than_examples(self) -> None:
        shots = Shots.of(["a", "b"], np.array([0, 1]), 2, most=10)
        assert len(shots.for_rows(["a"], 16)[0]) == 2
        assert Shots.of([], np.array([], np.int64), 2, most=10).for_rows(["a"], 4) == [[]]
