# SPDX-License-Identifier: Apache-2.0
"""What the generalist says, through the real client: kept once, whatever ends the asking."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from labelling.stub import LABELS, SILENT, Stub, gold_of, is_mistaken, said_of, table

from bigenough.chat.terms import Terms
from bigenough.errors import BudgetSpent, RungFailed, TamperedArtefact
from bigenough.generalist import Generalist
from bigenough.labelling.answers import NO_ANSWER, NOT_ASKED, Answers, Asked, ask_rows, zero_shot
from bigenough.labelling.assignment import Assignment, read_assignment
from bigenough.labelling.sheet import draw_order
from bigenough.progress import Silence
from bigenough.rungs.predictors.endpoint import EndpointPredictor

N = 24


@pytest.fixture
def work() -> Assignment:
    texts = table(N)
    texts[3] += f" {SILENT}"
    return read_assignment({"message": texts, "number": list(range(N))}, LABELS)


def asked(stub: Stub, terms: Terms, work: Assignment, known: Answers | None = None) -> Asked:
    predictor = zero_shot(work, Generalist(stub.url, "rule"), terms, offline=True, seed=0)
    return ask_rows(predictor, terms, work.texts, draw_order(N, 0), known or Answers.none(N), Silence())


def test_every_row_gets_what_the_endpoint_said(stub: Stub, terms: Terms, work: Assignment) -> None:
    answers, ended = asked(stub, terms, work)
    assert ended is None
    assert sorted(stub.asked) == sorted(work.texts)
    for place, text in enumerate(work.texts):
        if place == 3:
            assert answers.codes[place] == NO_ANSWER
            assert np.isnan(answers.confidence[place])
        else:
            assert LABELS[answers.codes[place]] == said_of(text)
    assert answers.tally == {"empty": 0, "refusal": 1, "no known label": 0, "several labels": 0}
    given = np.delete(np.arange(N), 3)
    wrong = np.array([is_mistaken(work.texts[place]) for place in given])
    assert answers.confidence[given][wrong].mean() < answers.confidence[given][~wrong].mean()


def test_each_row_is_looked_up_once(
    stub: Stub, terms: Terms, work: Assignment, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows: list[str] = []
    answers = EndpointPredictor.answers
    monkeypatch.setattr(EndpointPredictor, "answers", lambda self, texts: (rows.extend(texts), answers(self, texts))[1])
    asked(stub, terms, work)
    assert sorted(rows) == sorted(work.texts)


def test_without_log_probabilities_the_confidence_does_not_vary(stub: Stub, terms: Terms, work: Assignment) -> None:
    stub.logprobs = False
    answers, _ = asked(stub, terms, work)
    assert np.nanmax(answers.confidence) - np.nanmin(answers.confidence) < 1e-9


def test_they_are_read_back_and_a_second_run_asks_nothing(
    stub: Stub, terms: Terms, work: Assignment, tmp_path: Path
) -> None:
    answers, _ = asked(stub, terms, work)
    answers.write(tmp_path / "labels.csv", work)
    again = Answers.read(tmp_path / "labels.csv", work)
    np.testing.assert_array_equal(again.codes, answers.codes)
    np.testing.assert_array_equal(again.confidence, answers.confidence)
    assert again.tally == answers.tally
    n = len(stub.asked)
    from_store, _ = asked(stub, terms, work)
    np.testing.assert_array_equal(from_store.codes, answers.codes)
    terms.store.unlink()
    kept, _ = asked(stub, terms, work, again)
    np.testing.assert_array_equal(kept.codes, answers.codes)
    assert len(stub.asked) == n


def test_an_end_half_way_keeps_what_came(stub: Stub, terms: Terms, work: Assignment) -> None:
    """What is answered is the beginning of the random order, so still a random sample; nothing is asked twice."""
    stub.most = 9
    answers, ended = asked(stub, terms, work)
    assert isinstance(ended, RungFailed)
    order = draw_order(N, 0)
    assert answers.asked.sum() == 9
    assert set(np.flatnonzero(answers.asked)) <= set(order[: 9 + terms.concurrency])
    stub.most = 10**9
    whole, ended = asked(stub, terms, work, answers)
    assert ended is None
    assert whole.asked.all()
    assert sorted(stub.asked) == sorted(work.texts), "every row was asked once"


def test_a_spent_budget_ends_it_and_a_larger_one_goes_on(stub: Stub, terms: Terms, work: Assignment) -> None:
    poor = replace(terms, budget_tokens=1500)
    answers, ended = asked(stub, poor, work)
    assert isinstance(ended, BudgetSpent)
    assert 0 < answers.asked.sum() == len(stub.asked) < N
    again, ended = asked(stub, poor, work, answers)
    assert isinstance(ended, BudgetSpent)
    assert again.asked.sum() == answers.asked.sum()
    whole, ended = asked(stub, replace(terms, budget_tokens=10**6), work, again)
    assert ended is None
    assert whole.asked.all()
    assert len(stub.asked) == N


def test_a_budget_in_money_needs_a_price_and_keeps_to_it(stub: Stub, terms: Terms, work: Assignment) -> None:
    priced = replace(terms, budget_usd=0.0015, price_in=1.0, price_out=1.0)
    answers, ended = asked(stub, priced, work)
    assert isinstance(ended, BudgetSpent)
    assert 0 < answers.asked.sum() < N


def test_a_changed_file_is_noticed(work: Assignment, tmp_path: Path) -> None:
    path = tmp_path / "labels.csv"
    for bad in ("row,label,confidence,failure\n1,unheard of,0.9,\n", "row,label,confidence,failure\n999,login,0.9,\n"):
        path.write_text(bad)
        with pytest.raises(TamperedArtefact, match=r"labels\.csv"):
            Answers.read(path, work)
    assert (Answers.read(tmp_path / "nowhere.csv", work).codes == NOT_ASKED).all()


@pytest.mark.slow
def test_a_real_model_behind_a_real_server_labels(llama_url: str, tmp_path: Path) -> None:
    texts = table(8)
    work = read_assignment({"message": texts}, LABELS, text="message")
    terms = Terms(tmp_path / "replies.sqlite", timeout_s=300.0)
    predictor = zero_shot(work, Generalist(llama_url, "smollm2"), terms, offline=True, seed=0)
    answers, ended = ask_rows(predictor, terms, work.texts, draw_order(8, 0), Answers.none(8), Silence())
    assert ended is None
    assert answers.asked.all()
    assert answers.answered.sum() == 8, "the server keeps replies to the schema"
    assert np.ptp(answers.confidence) > 0, "llama.cpp tells log-probabilities"
    assert {gold_of(text) for text in texts} <= set(LABELS)
