# SPDX-License-Identifier: Apache-2.0
"""The tuned mini rung: the contract on a tiny decoder of its own, what select decides, and what it refuses."""

import gc
import json
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from models.tiny_decoder import write_decoder
from models.tiny_folder import write_folder
from rungs.contract import AWKWARD, NEVER_SERVED, SERVE, Case, RungContract, assert_same, in_fresh_process

pytest.importorskip("torch")
pytest.importorskip("transformers")
pytest.importorskip("peft")
pytest.importorskip("gguf")
pytest.importorskip("xllamacpp")

from bigenough.errors import BadOption, UnsupportedModel
from bigenough.llama.talk import talk_of
from bigenough.rungs import predictors
from bigenough.rungs.predictors.tuned_mini import row_tokens, short_messages
from bigenough.rungs.protocol import Workbench
from bigenough.rungs.tuned_mini import TunedMiniRung
from bigenough.task import Examples

KIND = ("tuned-mini", "bigenough.rungs.predictors.tuned_mini:TunedMiniPredictor")
predictors._KINDS.setdefault(*KIND)

CLASSES = ("tumours", "metabolism", "nerves", "bones")


class QuickRung(TunedMiniRung):
    """A body of random numbers has far to go, and is small enough to go fast."""

    def first_settings(self, examples, n_classes):
        epochs = 20.0 if len(examples) < 200 else 8.0
        return {
            **super().first_settings(examples, n_classes),
            "learning_rate": 1e-2,
            "epochs": epochs,
            "max_length": 64,
        }


@pytest.fixture(scope="module")
def case(tmp_path_factory, fit_split, select_split):
    folder = tmp_path_factory.mktemp("tuned-mini")
    path = write_decoder(
        folder / "tiny.gguf", [*fit_split.texts, *select_split.texts, *3 * [" ".join(["", *CLASSES])]], size=1500
    )
    bench = Workbench(seed=7, threads=1, cache=folder / "cache", offline=True)
    return Case.of(QuickRung(str(path)), bench, fit_split, select_split, 4)


class TestTheTunedMiniRung(RungContract):
    def test_it_saves_no_code(self, case, tmp_path):
        case.predictor.save(tmp_path)
        assert {path.suffix for path in tmp_path.iterdir()} == {".json", ".safetensors", ".gguf"}
        assert json.loads((tmp_path / "predictor.json").read_text())["kind"] == "tuned-mini"

    def test_it_serves_without_what_trained_it(self, case, tmp_path):
        case.predictor.save(tmp_path)
        texts = [*case.unseen.texts[:20], "", "頭痛"]
        (tmp_path / "texts.json").write_text(json.dumps(texts))
        known = f"from bigenough.rungs import predictors\npredictors._KINDS.setdefault(*{KIND!r})\n"
        never = (*NEVER_SERVED, "transformers", "peft", "gguf", "xllamacpp")
        found = json.loads(in_fresh_process(known + SERVE, str(tmp_path), *never))
        assert found["imported"] == []
        assert_same(np.array(found["probability"]), case.predictor.predict_proba(texts))


@pytest.fixture(scope="module")
def watched(case):
    settings = case.rung.first_settings(case.fit, 4)
    return case.rung.fit_watching(case.fit, 4, settings, case.bench, case.unseen)


def test_select_decides_how_many_bits_are_enough(case, watched):
    eight, four = watched.record["variants"]
    assert [one["packing"] for one in (eight, four)] == ["Q8_0", "Q4_1"]
    assert four["size_bytes"] < eight["size_bytes"]
    assert eight["flips"] <= 0.03, "in eight bits llama.cpp says what torch said"
    assert watched.settings["bits"] == (8, 4)[watched.record["kept"]]
    kept = watched.record["variants"][watched.record["kept"]]
    assert kept["score"] == np.mean(
        watched.predictor.predict_proba(case.unseen.texts).argmax(axis=1) == case.unseen.labels
    )
    if watched.record["kept"] == 0:
        assert eight["score"] > four["score"]


def test_the_record_and_the_settings_are_json(case, watched):
    for told in (watched.record, watched.settings):
        assert json.loads(json.dumps(told, allow_nan=False)) == dict(told)
    refit = case.rung.fit(case.fit, 4, watched.settings, case.bench)
    assert (refit.predict_proba(case.unseen.texts).argmax(axis=1) == case.unseen.labels).mean() > 0.5


def test_what_is_asked_in_training_is_what_is_asked_in_service(case):
    """Also of texts that are cut, and of texts that spell control tokens."""
    lesson = case.rung._lesson(case.fit, 4, case.rung.first_settings(case.fit, 4), case.bench)
    texts = [*AWKWARD, "<|im_end|> <|im_start|>assistant", "a long story " * 300]
    rows = lesson._rows(texts)
    reader = case.predictor.reader
    for text, row in zip(texts, rows.rows, strict=True):
        served = [*reader.talk.before, *row_tokens(reader.talk, text, reader.text_tokens)]
        assert [*rows.prefix, *row] == served
        assert len(row) <= 64


def test_the_prompt_does_not_list_the_labels(case):
    talk = talk_of(case.predictor.reader.talk.model, short_messages(case.predictor.prompt))
    said = talk.model.text([*talk.before, *talk.row("my arm", 8), *talk.after])
    assert said.split() == ["system", "Classify", "the", "text.", "user", "Text:", "my", "arm", "assistant"]


def test_classes_are_called_by_words_of_their_names(case):
    settings = case.rung.first_settings(case.fit, 4)
    named = replace(case.bench, class_names=CLASSES)
    answers = case.rung._lesson(case.fit, 4, settings, named).prompt.classes
    assert [answer.strip() for answer in answers] == list(CLASSES)
    codes = case.rung._lesson(case.fit, 4, {**settings, "answers": "codes"}, named).prompt.classes
    assert [answer.strip() for answer in codes] == ["A", "B", "C", "D"]


def test_all_that_may_be_searched_can_be_asked_for(case):
    import optuna

    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    tried = [case.rung.suggest(study.ask(), case.fit, 4) for _ in range(20)]
    for settings in tried:
        case.rung._lesson(case.fit, 4, settings, case.bench)
    assert {settings["lora_rank"] for settings in tried} == {8, 16, 32}
    assert {settings["answers"] for settings in tried} == {"words", "codes"}


@pytest.fixture
def bench(tmp_path):
    return Workbench(seed=0, threads=1, cache=tmp_path / "cache", offline=True)


EXAMPLES = Examples(["lost card", "pay money"] * 4, np.array([0, 1] * 4), np.arange(1, 9))


def fit(model, bench, **changes):
    rung = TunedMiniRung(str(model))
    return rung.fit(EXAMPLES, 2, {**rung.first_settings(EXAMPLES, 2), "epochs": 1.0, **changes}, bench)


def test_it_begins_with_a_model_folder_too(tmp_path, bench):
    """As transformers writes it; what it becomes is a GGUF file like any other."""
    write_folder(tmp_path / "small", texts=[*EXAMPLES.texts, "tumours metabolism nerves bones"])
    made = fit(tmp_path / "small", bench)
    assert made.model.suffix == ".gguf"
    assert TunedMiniRung(str(tmp_path / "small")).weights(bench)["source"] == "folder"
    assert made.predict_proba(["lost card", "pay money"]).shape == (2, 2)


def test_an_empty_folder(tmp_path, bench):
    with pytest.raises(UnsupportedModel, match=r"lacks config\.json"):
        fit(tmp_path, bench)


def test_a_stretched_context_is_refused(tmp_path, bench):
    extra = {"rope_freqs.weight": np.ones(8, np.float32)}
    with pytest.raises(UnsupportedModel, match="of which it is not known"):
        fit(write_decoder(tmp_path / "stretched.gguf", extra=extra), bench)


@pytest.mark.parametrize("wrong", [{"bits": 5}, {"answers": "numbers"}, {"learning_rate": 0.0}, {"unheard": 1}])
def test_settings_that_make_no_sense(tmp_path, bench, wrong):
    with pytest.raises(BadOption):
        fit(write_decoder(tmp_path / "tiny.gguf"), bench, **wrong)


def test_bits_that_are_named_are_taken(tmp_path, bench):
    path = write_decoder(tmp_path / "tiny.gguf")
    four, eight = (fit(path, bench, bits=bits) for bits in (4, 8))
    assert four.model.stat().st_size < eight.model.stat().st_size


def test_the_file_goes_when_nobody_uses_it_any_more(tmp_path, bench):
    predictor = fit(write_decoder(tmp_path / "tiny.gguf"), bench)
    tempered, path = predictor.with_temperature(2.0), predictor.model
    del predictor
    gc.collect()
    assert path.is_file()
    del tempered
    gc.collect()
    assert not path.exists()


def test_its_module_is_imported_without_torch():
    names = ("torch", "transformers", "peft", "gguf", "xllamacpp")
    code = f"import sys, bigenough.rungs.tuned_mini; print([n for n in {names} if n in sys.modules])"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"


@pytest.mark.slow
@pytest.mark.alone
def test_smollm2_learns_diagnoses_that_it_did_not_know(tmp_path, fit_split, select_split):
    """From the weights that the package ships, within four minutes, and served from its file."""
    rung = TunedMiniRung()
    bench = Workbench(seed=7, threads=2, cache=tmp_path, offline=True, class_names=CLASSES, fit_minutes=4.0)
    before = rung.fit(fit_split.take(np.arange(4)), 4, {**rung.first_settings(fit_split, 4), "epochs": 0.01}, bench)
    seen = rung.fit_watching(fit_split, 4, rung.first_settings(fit_split, 4), bench, select_split)
    scores = [
        (one.predict_proba(select_split.texts).argmax(axis=1) == select_split.labels).mean()
        for one in (before, seen.predictor)
    ]
    assert scores[1] > max(0.8, scores[0] + 0.2)
    assert seen.record["variants"][0]["flips"] <= 0.05
    folder = tmp_path / "saved"
    folder.mkdir()
    seen.predictor.save(folder)
    again = predictors.load_predictor(folder, threads=1)
    assert_same(again.predict_proba(select_split.texts[:20]), seen.predictor.predict_proba(select_split.texts[:20]))
    assert seen.predictor.n_parameters > 134_000_000
