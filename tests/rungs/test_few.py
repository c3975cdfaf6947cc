# SPDX-License-Identifier: Apache-2.0
"""The few-label rung: the contract on a tiny encoder, and what watching and missing packages do."""

from __future__ import annotations

import itertools
import json
import sys
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from models.tiny_bert import write_model
from optuna.trial import FixedTrial
from rungs.contract import Case, RungContract, in_fresh_process

from bigenough.errors import MissingExtra, WeightsNotFound
from bigenough.rungs import few
from bigenough.rungs.dense import fit_head
from bigenough.rungs.few import FewRung
from bigenough.rungs.frozen import shared_encoder
from bigenough.rungs.protocol import Workbench
from bigenough.task import Examples
from bigenough.task.metrics import macro_f1

pytest.importorskip("torch")
pytest.importorskip("transformers")

SUBJECTS = [
    ["lost", "stolen"],
    ["pay", "money", "transfer"],
    ["film", "plot"],
    ["open", "account", "close"],
]
AROUND = ["my", "the", "please", "help", "how", "to", "is", "what", "for", "and"]


def sentences(rows_a_class: int, seed: int, classes: int = 4) -> Examples:
    """One telling word, or two, among words that say nothing."""
    rng = np.random.default_rng(seed)
    texts, labels = [], np.tile(np.arange(classes), rows_a_class)
    for label in labels:
        words = [*rng.choice(SUBJECTS[label], 2), *rng.choice(AROUND, 3)]
        texts.append(" ".join(rng.permutation(words)))
    return Examples(texts, labels.astype(np.int64), np.arange(1, len(texts) + 1))


@pytest.fixture(scope="module")
def rung(tmp_path_factory) -> FewRung:
    return FewRung(str(write_model(tmp_path_factory.mktemp("few") / "model")))


@pytest.fixture(scope="module")
def case(rung: FewRung, tmp_path_factory) -> Case:
    bench = Workbench(seed=7, threads=1, cache=tmp_path_factory.mktemp("cache"), offline=True)
    return Case.of(rung, bench, sentences(8, 0), sentences(10, 1), 4)


class TestFew(RungContract):
    pass


@pytest.fixture
def bench(tmp_path: Path) -> Workbench:
    return Workbench(seed=0, threads=1, cache=tmp_path / "cache", offline=True)


def settings_of(rung: FewRung, examples: Examples, **changes) -> dict:
    return {**rung.first_settings(examples, 4), "learning_rate": 5e-4, **changes}


def test_tuning_beats_the_frozen_encoder(rung, bench):
    """Where the telling words are drowned in others, eight rows a class are enough to learn which they are."""
    examples, unseen = sentences(8, 0), sentences(50, 1)
    tuned, frozen = (
        (rung.fit(examples, 4, settings_of(rung, examples, steps=steps), bench).predict_proba(unseen.texts))
        for steps in (30, 0)
    )
    hits = [float((said.argmax(axis=1) == unseen.labels).mean()) for said in (tuned, frozen)]
    assert hits[0] > hits[1] + 0.02


def test_no_steps_are_a_head_on_the_encoder_as_it_is(rung, bench):
    examples = sentences(4, 0)
    settings = settings_of(rung, examples, steps=0)
    found = rung.fit(examples, 4, settings, bench).predict_proba(examples.texts)
    vectors = shared_encoder(rung.encoder, bench).encoder.embed(examples.texts)
    head = fit_head(vectors, examples.labels, 4, settings)
    np.testing.assert_allclose(found, head.probabilities(vectors), atol=1e-6)


def test_watching_says_what_it_compared_and_can_be_repeated(rung, bench):
    examples, watch = sentences(8, 0), sentences(5, 2)
    seen = rung.fit_watching(examples, 4, settings_of(rung, examples), bench, watch)
    assert json.loads(json.dumps(seen.record)) == seen.record
    assert [each["settings"]["steps"] for each in seen.record["variants"]] == [20, 0]
    again = rung.fit(examples, 4, seen.settings, bench)
    np.testing.assert_array_equal(again.predict_proba(watch.texts), seen.predictor.predict_proba(watch.texts))
    assert seen.settings["steps"] == seen.record["variants"][seen.record["kept"]]["settings"]["steps"]


def test_the_graph_is_held_against_torch(rung, bench):
    """Its vectors have length 1, which the network's have not while it learns."""
    examples, watch = sentences(8, 0), sentences(5, 2)
    seen = rung.fit_watching(examples, 4, settings_of(rung, examples), bench, watch)
    assert seen.record["kept"] == 0
    export = seen.record["export"]
    assert export["texts"] == len(watch)
    assert export["max_probability_difference"] < 1e-4
    assert export["flips"] == 0


def test_the_choice_is_made_by_the_metric(rung, bench):
    examples, watch = sentences(8, 0), sentences(20, 2)
    watch = watch.take(np.flatnonzero((watch.labels > 0) | (np.arange(len(watch)) < 8)))
    seen = rung.fit_watching(examples, 4, settings_of(rung, examples), replace(bench, metric="macro_f1"), watch)
    said = seen.predictor.predict_proba(watch.texts).argmax(axis=1)
    assert seen.record["variants"][seen.record["kept"]]["score"] == macro_f1(watch.labels, said)


def test_the_refit_has_its_record(rung, bench):
    examples = sentences(4, 0)
    settings = settings_of(rung, examples, steps=2)
    made = rung.fit_recorded(examples, 4, settings, bench)
    assert made.record["notes"] == []
    assert made.record["steps"] == 2
    found = rung.fit(examples, 4, settings, bench).predict_proba(examples.texts)
    np.testing.assert_array_equal(made.predictor.predict_proba(examples.texts), found)


def test_steps_follow_the_rows(rung, bench):
    """A part of the rows takes a part of the steps, all of them as many as before, and more no more."""
    whole = sentences(64, 0)
    settings = settings_of(rung, whole)
    assert (settings["steps"], settings["for_rows"]) == (40, 256)
    for rows, steps in ((64, 10), (256, 40), (340, 40)):
        some = sentences(rows // 4, 0)
        made = rung.fit_recorded(some, 4, settings, bench)
        assert made.record["steps"] == made.settings["steps"] == steps
        assert made.settings["for_rows"] == rows
    seen = rung.fit_watching(whole.take(np.arange(64)), 4, settings, bench, sentences(5, 2))
    assert seen.record["variants"][0]["settings"]["steps"] == 10


def test_the_steps_that_a_search_tries_are_for_all_its_rows(rung):
    trial = FixedTrial({"learning_rate": 1e-4, "temperature": 0.1, "steps": 80, "seed_offset": 0, "C": 1.0, "names": 2})
    found = rung.suggest(trial, sentences(64, 0), 4)
    assert (found["steps"], found["for_rows"]) == (80, 256)


def test_an_encoder_that_tuning_spoils_stays_frozen(rung, bench):
    examples, watch = sentences(8, 0), sentences(20, 2)
    spoiling = settings_of(rung, examples, learning_rate=2.0, steps=5)
    seen = rung.fit_watching(examples, 4, spoiling, bench, watch)
    tuned, frozen = (each["score"] for each in seen.record["variants"])
    assert tuned < frozen
    assert seen.record["kept"] == 1
    assert seen.settings["steps"] == 0
    assert seen.record["export"]["reference"] == "transformers' model of the same weights"
    assert seen.record["export"]["max_probability_difference"] < 1e-5
    assert seen.record["export"]["flips"] == 0


def test_what_a_spoilt_training_gave_up_is_not_told_of_the_frozen_encoder(rung, bench, monkeypatch):
    """On a clock that is a second later at every look."""
    from bigenough.rungs.training import contrastive

    clock = itertools.count(0.0, 1.0).__next__
    monkeypatch.setattr(contrastive, "contrasted", partial(contrastive.contrasted, clock=clock))
    examples, hasty = sentences(8, 0), replace(bench, fit_minutes=0.5)
    spoiling = settings_of(rung, examples, learning_rate=2.0, steps=500)
    seen = rung.fit_watching(examples, 4, spoiling, hasty, sentences(20, 2))
    tuned, frozen = seen.record["variants"]
    assert seen.record["kept"] == 1
    assert not seen.record.keys() & {"notes", "steps", "loss"}
    assert tuned["notes"] == [f"{tuned['settings']['steps']} steps instead of 500, to end in time"]
    assert frozen["notes"] == []


NAMES = ("stolen", "transfer", "plot", "account")


def test_names_are_texts_of_their_class(rung, bench):
    """A class word that no text has is known all the same once it is the name."""
    examples = sentences(4, 0)
    hidden = [text.replace("plot", "film") for text in examples.texts]
    examples = replace(examples, texts=hidden)
    plain, named = (
        rung.fit(examples, 4, settings_of(rung, examples), replace(bench, class_names=names)).predict_proba(["plot"])
        for names in ((), NAMES)
    )
    assert named[0, 2] > plain[0, 2]
    assert named.argmax() == 2


@pytest.mark.parametrize("names", [("0", "1", "2", "3"), ("stolen", "transfer")])
def test_names_that_say_nothing_change_nothing(rung, bench, names):
    examples = sentences(4, 0)
    settings = settings_of(rung, examples, steps=2)
    one, other = (
        rung.fit(examples, 4, settings, replace(bench, class_names=each)).predict_proba(examples.texts)
        for each in (names, ())
    )
    np.testing.assert_array_equal(one, other)


def test_a_code_among_names_is_not_added(rung, bench, monkeypatch):
    """``J45`` stands for no text, until it is described."""
    examples, met = sentences(4, 0), []
    monkeypatch.setattr(
        few, "fit_head", lambda vectors, labels, *rest: met.append(labels) or fit_head(vectors, labels, *rest)
    )
    settings = settings_of(rung, examples, steps=0, names=1)
    for told in ({}, {"J45": " "}, {"J45": "films and their plots"}):
        named = replace(bench, class_names=("stolen", "transfer", "J45", "account"), descriptions=told)
        rung.fit(examples, 4, settings, named)
    assert [labels[len(examples) :].tolist() for labels in met] == [[0, 1, 3], [0, 1, 3], [0, 1, 2, 3]]


def test_a_class_without_rows_stays_out_whatever_its_name(rung, bench):
    examples = sentences(4, 0, classes=3)
    named = replace(bench, class_names=NAMES)
    said = rung.fit(examples, 4, settings_of(rung, examples, steps=2), named).predict_proba(["account"])
    assert said[0, 3] == 0


def test_nothing_to_watch(rung, bench):
    examples = sentences(4, 0)
    seen = rung.fit_watching(examples, 4, settings_of(rung, examples), bench, examples.take(np.arange(0)))
    assert seen.record["kept"] == 0


def test_a_short_budget_gives_fewer_steps_and_says_so(rung, bench, monkeypatch):
    """On a clock that is a second later at every look."""
    from bigenough.rungs.training import contrastive

    clock = itertools.count(0.0, 1.0).__next__
    monkeypatch.setattr(contrastive, "contrasted", partial(contrastive.contrasted, clock=clock))
    examples = sentences(4, 0)
    hasty = replace(bench, fit_minutes=0.5)
    seen = rung.fit_watching(examples, 4, settings_of(rung, examples, steps=500), hasty, sentences(2, 1))
    tried = seen.record["variants"][0]["settings"]["steps"]
    assert 3 <= tried < 30
    assert seen.record["notes"] == [f"{tried} steps instead of 500, to end in time"]


@pytest.mark.parametrize(("rows", "classes", "fits"), [(4, 4, False), (8, 4, True), (256, 4, True), (260, 4, False)])
def test_for_how_many_labels_it_is(rung, bench, rows, classes, fits):
    examples = sentences(rows // classes, 0)
    said = rung.unsuited(examples, classes, bench)
    assert (said is None) == fits
    if said:
        assert f"{rows / classes:g} on average" in said


def test_settings_grow_with_the_rows(rung):
    steps = [rung.first_settings(sentences(rows, 0), 4)["steps"] for rows in (2, 8, 32, 64)]
    assert steps == sorted(steps)


def test_without_torch_it_says_what_to_install(rung, bench, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    for name in [name for name in sys.modules if name.startswith("bigenough.rungs.training.contrastive")]:
        monkeypatch.delitem(sys.modules, name)
    examples = sentences(4, 0)
    with pytest.raises(MissingExtra, match=r"'few'.*'torch'.*bigenough\[tune\]"):
        rung.fit(examples, 4, settings_of(rung, examples), bench)


def test_its_module_imports_no_torch():
    code = (
        "import sys, bigenough.rungs.few; print([n for n in ('torch', 'transformers', 'sklearn') if n in sys.modules])"
    )
    assert in_fresh_process(code).strip() == "[]"


def test_weights_that_nobody_has(bench):
    rung = FewRung("someone/absent")
    examples = sentences(4, 0)
    with pytest.raises(WeightsNotFound, match="someone/absent"):
        rung.fit(examples, 4, rung.first_settings(examples, 4), bench)
