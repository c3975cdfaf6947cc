# SPDX-License-Identifier: Apache-2.0
"""The linear rung: as good as the recipe written in scikit-learn, in any script, at any size."""

from __future__ import annotations

import numpy as np
import optuna
import pytest
from scipy.sparse import hstack
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.svm import LinearSVC

from bigenough.errors import BadOption
from bigenough.rungs import linear as module
from bigenough.rungs.linear import LinearRung
from bigenough.task import Examples

SETTINGS = {
    "ngrams": "words 1-2 + characters 2-5",
    "min_texts": 1,
    "loss": "squared hinge",
    "C": 1.0,
    "balanced": False,
}


def examples_of(texts: list[str], labels: list[int]) -> Examples:
    return Examples(texts, np.array(labels, np.int64), np.arange(1, len(texts) + 1))


def test_it_is_the_recipe_of_scikit_learn(fit_split, select_split, bench):
    peers = [
        TfidfVectorizer(sublinear_tf=True, ngram_range=(1, 2), token_pattern=r"\w+"),
        TfidfVectorizer(sublinear_tf=True, ngram_range=(2, 5), analyzer="char_wb"),
    ]
    train = hstack([peer.fit_transform(fit_split.texts) for peer in peers])
    svm = LinearSVC(random_state=bench.seed, dual=True).fit(train, fit_split.labels)
    margins = svm.decision_function(hstack([peer.transform(select_split.texts) for peer in peers]))
    mine = LinearRung().fit(fit_split, 4, SETTINGS, bench).scores(select_split.texts)
    np.testing.assert_allclose(mine, margins, atol=2e-3)
    assert (mine.argmax(axis=1) == margins.argmax(axis=1)).mean() > 0.98


@pytest.mark.parametrize("loss", ["squared hinge", "logistic"])
@pytest.mark.parametrize("n_classes", [2, 4])
@pytest.mark.parametrize("balanced", [False, True])
def test_every_loss_learns(fit_split, select_split, bench, loss, n_classes, balanced):
    settings = {**SETTINGS, "loss": loss, "balanced": balanced}
    train = fit_split.take(np.flatnonzero(fit_split.labels < n_classes))
    test = select_split.take(np.flatnonzero(select_split.labels < n_classes))
    predictor = LinearRung().fit(train, n_classes, settings, bench)
    hits = predictor.predict_proba(test.texts).argmax(axis=1) == test.labels
    assert hits.mean() > 0.6 + 0.1 * (n_classes == 2)
    assert predictor.coefficients.shape[1] == (1 if n_classes == 2 else 4)


def test_whatever_is_suggested_can_be_fitted(fit_split, bench):
    rung, tried = LinearRung(), []

    def fit(trial: optuna.Trial) -> float:
        settings = rung.suggest(trial, fit_split, 4)
        tried.append(settings)
        return float(rung.fit(fit_split, 4, settings, bench).predict_proba(fit_split.texts).max())

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0)).optimize(fit, n_trials=12)
    assert {settings["loss"] for settings in tried} == {"squared hinge", "logistic"}
    assert len({settings["ngrams"] for settings in tried}) >= 3
    assert set(tried[0]) == set(rung.first_settings(fit_split, 4))


@pytest.mark.parametrize("wrong", [{"ngrams": "letters 1-2"}, {"ngrams": ""}, {"loss": "hope"}])
def test_settings_that_make_no_sense_are_refused(fit_split, bench, wrong):
    with pytest.raises(BadOption, match="linear rung"):
        LinearRung().fit(fit_split, 4, {**SETTINGS, **wrong}, bench)


@pytest.mark.parametrize(
    "words",
    [
        (["頭痛", "発熱", "咳嗽"], ["骨折", "打撲", "捻挫"]),
        (["ปวดหัว", "มีไข้", "ไอแห้ง"], ["กระดูกหัก", "ฟกช้ำ", "ข้อเท้าแพลง"]),
        (["صداع", "حمى", "سعال"], ["كسر", "كدمة", "التواء"]),
        (["सिरदर्द", "बुखार", "खांसी"], ["अस्थिभंग", "चोट", "मोच"]),
    ],
)
def test_it_learns_in_any_script(bench, words):
    """Each text hides one of its class's three words in a run of common characters, without a space."""
    rng = np.random.default_rng(3)
    common = "".join(words[0] + words[1])
    texts, labels = [], []
    for row in range(240):
        before, after = ("".join(rng.choice(list(common), 6)) for _ in range(2))
        texts.append(before + words[row % 2][row % 3] + after)
        labels.append(row % 2)
    rung = LinearRung()
    train = examples_of(texts[:160], labels[:160])
    settings = rung.first_settings(train, 2)
    assert settings["ngrams"] == "words 1-2 + characters 1-4"
    hits = rung.fit(train, 2, settings, bench).predict_proba(texts[160:]).argmax(axis=1) == labels[160:]
    assert hits.mean() > 0.75


def test_scripts_with_spaces_start_with_longer_ngrams(fit_split):
    assert LinearRung().first_settings(fit_split, 4)["ngrams"] == "words 1-2 + characters 2-5"


def test_too_much_text_is_cut_to_a_stratified_part_and_said(fit_split, bench, monkeypatch):
    monkeypatch.setattr(module, "_MOST_CHARACTERS", 4000)
    said: list[str] = []
    bench.say = lambda what, done: said.append(what)
    predictor = LinearRung().fit(fit_split, 4, SETTINGS, bench)
    assert len(said) == 1
    assert "of 300 rows" in said[0]
    assert predictor.seen.tolist() == [0, 1, 2, 3]
    whole = LinearRung().fit(fit_split.take(np.arange(60)), 4, SETTINGS, bench)
    assert 0.3 < len(predictor.coefficients) / len(whole.coefficients) < 3


def test_the_vocabulary_is_bounded(fit_split, bench, monkeypatch):
    monkeypatch.setattr(module, "_MOST_FEATURES", 300)
    predictor = LinearRung().fit(fit_split, 4, SETTINGS, bench)
    assert [len(vocabulary) for vocabulary in predictor.vocabularies] == [300, 300]


def test_trials_share_features_and_forget_old_ones(fit_split, select_split, bench, monkeypatch):
    rung = LinearRung()
    plain = rung.fit(fit_split, 4, SETTINGS, bench).predict_proba(select_split.texts)
    first = dict(bench.memo["linear"])
    shared = rung.fit(fit_split, 4, {**SETTINGS, "C": 2.0}, bench)
    assert all(bench.memo["linear"][key] is first[key] for key in first)
    monkeypatch.setattr(module, "_KEPT_WEIGHTS", 0)
    rung.fit(select_split, 4, SETTINGS, bench)
    assert len(bench.memo["linear"]) == 1
    assert (rung.fit(fit_split, 4, SETTINGS, bench).predict_proba(select_split.texts) == plain).all()
    assert (shared.predict_proba(select_split.texts) != plain).any()
