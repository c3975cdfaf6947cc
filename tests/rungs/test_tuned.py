# SPDX-License-Identifier: Apache-2.0
"""The tuned rung: the contract on a small body of its own, watching, and what it says of models it cannot use."""

import json
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from models.tiny_bert import INNER, POSITIONS, WIDTH, tiny_arrays, tiny_config, tiny_tokenizer, write_model
from rungs.contract import Case, RungContract

pytest.importorskip("torch")
pytest.importorskip("transformers")

from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.normalizers import BertNormalizer
from tokenizers.pre_tokenizers import BertPreTokenizer
from tokenizers.processors import TemplateProcessing

from bigenough.errors import BadOption, RungFailed, UnsupportedModel, WeightsNotFound
from bigenough.rungs.protocol import Workbench
from bigenough.rungs.training.distributed import LAUNCH
from bigenough.rungs.training.trained_file import encoder_arrays
from bigenough.rungs.tuned import TunedRung
from bigenough.shrink.encoders import arrays_of
from bigenough.task import Examples


class QuickRung(TunedRung):
    """A body of random numbers has far to go, and is small enough to go fast."""

    def first_settings(self, examples, n_classes):
        return {
            **super().first_settings(examples, n_classes),
            "learning_rate": 3e-3,
            "epochs": 8.0,
            "batch": 16,
            "averaged": 1,
        }


def word_tokenizer(texts):
    normalizer, splitter = BertNormalizer(), BertPreTokenizer()
    words = {word for text in texts for word, _ in splitter.pre_tokenize_str(normalizer.normalize_str(text))}
    known = {token: i for i, token in enumerate(["[PAD]", "[UNK]", "[CLS]", "[SEP]", *sorted(words)])}
    tokenizer = Tokenizer(WordLevel(known, unk_token="[UNK]"))
    tokenizer.normalizer, tokenizer.pre_tokenizer = normalizer, splitter
    tokenizer.post_processor = TemplateProcessing(single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)])
    return tokenizer


def diagnosis_encoder(folder, texts):
    """A tiny BERT with a token for each word of these texts."""
    tokenizer = word_tokenizer(texts)
    size = tokenizer.get_vocab_size()
    arrays = tiny_arrays(scale=0.2)
    words = np.random.default_rng(0).standard_normal((size, WIDTH)).astype(np.float32)
    arrays["embeddings.word_embeddings.weight"] = words
    write_model(
        folder, tiny_config(vocab_size=size, intermediate_size=INNER, max_position_embeddings=POSITIONS), arrays
    )
    tokenizer.save(str(folder / "tokenizer.json"))
    return folder


@pytest.fixture(scope="module")
def case(tmp_path_factory, fit_split, select_split):
    folder = tmp_path_factory.mktemp("tuned")
    model = diagnosis_encoder(folder / "model", [*fit_split.texts, *select_split.texts])
    bench = Workbench(seed=7, threads=1, cache=folder / "cache", offline=True)
    return Case.of(QuickRung(str(model)), bench, fit_split, select_split, 4)


class TestTheTunedRung(RungContract):
    pass


def test_watching_tells_how_long_it_was_worth_it(case):
    rung, settings = case.rung, case.rung.first_settings(case.fit, 4)
    seen = rung.fit_watching(case.fit, 4, settings, case.bench, case.unseen)
    assert seen.record["export"]["max_probability_difference"] < 1e-5
    assert seen.record["export"]["flips"] == 0
    assert len(seen.record["evaluations"]) <= 8
    assert json.loads(json.dumps(seen.record, allow_nan=False)) == seen.record
    assert json.loads(json.dumps(seen.settings, allow_nan=False)) == seen.settings
    refit = rung.fit(case.fit, 4, seen.settings, case.bench)
    assert (refit.predict_proba(case.unseen.texts).argmax(axis=1) == case.unseen.labels).mean() > 0.5


def test_select_says_whether_the_mean_of_trainings_is_worth_it(case):
    """Trainings that go far from random numbers do not end in one valley; those that go a small way do."""
    rung, bench = case.rung, case.bench
    settings = {**rung.first_settings(case.fit, 4), "adversarial": 0.0, "averaged": 3}
    far = rung.fit_watching(case.fit, 4, settings, bench, case.unseen)
    assert far.settings["averaged"] == 1
    assert far.record["notes"] == ["one training: on select it was surely better than the mean of 3"]
    alone = rung.fit_watching(case.fit, 4, {**settings, "averaged": 1}, bench, case.unseen)
    np.testing.assert_array_equal(*(each.predictor.predict_proba(case.unseen.texts) for each in (far, alone)))
    near = rung.fit_watching(case.fit, 4, {**settings, "learning_rate": 1e-4, "epochs": 2.0}, bench, case.unseen)
    assert near.settings["averaged"] == 3
    assert near.record["notes"] == []
    assert len(near.record["trainings"]) == 3


def test_a_low_rank_mean_is_one_model(case):
    settings = {**case.rung.first_settings(case.fit, 4), "averaged": 2, "epochs": 2.0, "method": "lora"}
    made = case.rung.fit_recorded(case.fit, 4, settings, case.bench)
    assert made.settings["averaged"] == 2
    one, other = (
        case.rung.fit(case.fit, 4, {**settings, "averaged": 1, "seed_offset": offset}, case.bench) for offset in (0, 1)
    )
    found, *both = (encoder_arrays(arrays_of(each).model) for each in (made.predictor, one, other))
    assert any(not np.array_equal(both[0][name], both[1][name]) for name in found)
    for name, array in found.items():
        np.testing.assert_allclose(array, (both[0][name] + both[1][name]) / 2, atol=1e-6)


def test_one_class_needs_one_training(case):
    same = replace(case.fit, labels=np.full(len(case.fit), 2))
    settings = {**case.rung.first_settings(case.fit, 4), "averaged": 3}
    made = case.rung.fit_recorded(same, 4, settings, case.bench)
    assert set(made.predictor.predict_proba(case.unseen.texts).argmax(axis=1)) == {2}
    assert made.record["notes"] == ["all rows are of one class"]
    assert made.settings == settings, "more rows may have more classes"


class Killed(BaseException):
    pass


def test_a_killed_fit_goes_on_with_the_training_it_was_at(case, tmp_path, monkeypatch):
    """To the same model; what was left for that is gone with the next fit."""
    from bigenough.rungs.training import averaging

    monkeypatch.setattr(averaging, "WORTH_KEEPING", 0.0)
    scratch = tmp_path / "scratch"
    settings = {**case.rung.first_settings(case.fit, 4), "averaged": 3, "epochs": 1.0}
    said = []

    def kill(what, done):
        said.append(what)
        if what.startswith("training 3: epoch"):
            raise Killed

    with pytest.raises(Killed):
        case.rung.fit(case.fit, 4, settings, replace(case.bench, scratch=scratch, say=kill, fit_minutes=60.0))
    assert any(what.startswith("training 2: epoch") for what in said)
    again = []
    # What other work has left of a budget differs a little from run to run.
    bench = replace(case.bench, scratch=scratch, say=lambda what, done: again.append(what), fit_minutes=59.99)
    resumed = case.rung.fit(case.fit, 4, settings, bench)
    assert again
    assert all(what.startswith("training 3: ") for what in again)
    whole = case.rung.fit(case.fit, 4, settings, case.bench)
    np.testing.assert_array_equal(*(each.predict_proba(case.unseen.texts) for each in (resumed, whole)))
    left = set(scratch.iterdir())
    case.rung.fit(case.fit, 4, {**settings, "label_smoothing": 0.1}, bench)
    assert left
    assert not left & set(scratch.iterdir())


def test_it_learns_what_a_teacher_says(case):
    """Certain targets are labels; others are met as they are, and watching says for how long."""
    rung, k = case.rung, 4
    settings = {**rung.first_settings(case.fit, k), "epochs": 2.0}
    hard = rung.fit(case.fit, k, settings, case.bench).predict_proba(case.unseen.texts)
    certain = np.eye(k)[case.fit.labels]
    soft = rung.fit_soft(case.fit.texts, certain, k, settings, case.bench)
    np.testing.assert_array_equal(soft.predict_proba(case.unseen.texts), hard)
    unsure = np.full((len(case.fit), k), 0.25)
    seen = rung.fit_soft_watching(case.fit.texts, unsure, k, settings, case.bench, case.unseen)
    np.testing.assert_allclose(seen.predictor.predict_proba(case.unseen.texts), 0.25, atol=0.1)
    assert len(seen.record["evaluations"]) <= 2
    assert rung.fit_soft_recorded(case.fit.texts, certain, k, settings, case.bench).record["notes"] == []


def test_all_that_may_be_searched_is_a_recipe(case):
    import optuna

    from bigenough.rungs.training.recipe import Recipe

    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    tried = [case.rung.suggest(study.ask(), case.fit, 4) for _ in range(20)]
    assert {Recipe.of(settings).method for settings in tried} == {"full", "lora"}
    assert len({settings["learning_rate"] for settings in tried}) == 20


def test_texts_are_cut_alike_in_training_and_in_service(case):
    settings = {**case.rung.first_settings(case.fit, 4), "max_length": 5, "epochs": 1.0}
    predictor = case.rung.fit(case.fit, 4, settings, case.bench)
    assert predictor.encoder.max_length == 5


@pytest.fixture
def bench(tmp_path):
    return Workbench(seed=0, threads=1, cache=tmp_path / "cache", offline=True)


EXAMPLES = Examples(["lost card", "pay money"] * 4, np.array([0, 1] * 4), np.arange(1, 9))


def fit(folder, bench, **changes):
    rung = TunedRung(str(folder))
    return rung.fit(EXAMPLES, 2, {**rung.first_settings(EXAMPLES, 2), **changes}, bench)


def test_a_folder_with_missing_files(tmp_path, bench):
    model = write_model(tmp_path / "model")
    (model / "tokenizer.json").unlink()
    with pytest.raises(WeightsNotFound, match=r"lacks tokenizer\.json"):
        fit(model, bench)


def test_an_architecture_nobody_knows(tmp_path, bench):
    model = write_model(tmp_path / "model", config=tiny_config(model_type="gpt2"))
    with pytest.raises(UnsupportedModel, match="model_type 'gpt2'"):
        fit(model, bench)


def test_a_tokenizer_of_another_model(tmp_path, bench):
    model = write_model(tmp_path / "model")
    tokenizer = tiny_tokenizer()
    tokenizer.add_tokens(["chargeback"])
    tokenizer.save(str(model / "tokenizer.json"))
    with pytest.raises(UnsupportedModel, match="token ids up to 68; its weights have vectors for 68 tokens"):
        fit(model, bench)


def test_a_tokenizer_that_is_none(tmp_path, bench):
    model = write_model(tmp_path / "model")
    (model / "tokenizer.json").write_text("{}")
    with pytest.raises(UnsupportedModel, match="is not a tokenizer"):
        fit(model, bench)


def test_settings_that_make_no_sense(tmp_path, bench):
    with pytest.raises(BadOption, match="learning_rate must be above 0"):
        fit(write_model(tmp_path / "model"), bench, learning_rate=0.0)


def test_its_module_is_imported_without_torch():
    code = (
        "import sys, bigenough.rungs.tuned; print([n for n in ('torch', 'transformers', 'peft') if n in sys.modules])"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"


def test_trainings_go_through_the_command_of_the_environment(case, monkeypatch):
    """A command of one process: the same model, and the record says how many took part."""
    rung, settings = case.rung, {**case.rung.first_settings(case.fit, 4), "epochs": 1.0}
    here = rung.fit(case.fit, 4, settings, case.bench)
    monkeypatch.setenv(LAUNCH, sys.executable)
    there = rung.fit_recorded(case.fit, 4, settings, case.bench)
    assert there.record["processes"] == 1
    texts = case.unseen.texts
    np.testing.assert_allclose(there.predictor.predict_proba(texts), here.predict_proba(texts), atol=1e-6)
    monkeypatch.setenv(LAUNCH, "false")
    with pytest.raises(RungFailed, match=r"BIGENOUGH_LAUNCH='false' ended with code 1 and no model"):
        rung.fit(case.fit, 4, settings, case.bench)
