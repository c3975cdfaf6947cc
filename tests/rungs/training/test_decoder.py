# SPDX-License-Identifier: Apache-2.0
"""A decoder in torch and the same one in llama.cpp; what it learns; what its training gives up for time."""

from dataclasses import replace

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("transformers")
pytest.importorskip("peft")
pytest.importorskip("gguf")
pytest.importorskip("xllamacpp")

import torch
from models.tiny_decoder import LAYERS, write_decoder

from bigenough.errors import BadOption, RungFailed, UnsupportedModel
from bigenough.llama.context import log_softmax_at
from bigenough.llama.labels import read_once
from bigenough.llama.model import load_model
from bigenough.models.gguf_weights import read_gguf, write_gguf
from bigenough.rungs.protocol import Workbench
from bigenough.rungs.training import attempt, checkpoint, decoder, decoder_loop
from bigenough.rungs.training.decoder import built_decoder, folded_updates
from bigenough.rungs.training.decoder_answers import answers_for
from bigenough.rungs.training.decoder_budget import DecoderWork, decoder_fitted_to
from bigenough.rungs.training.decoder_loop import train_decoder
from bigenough.rungs.training.decoder_recipe import DecoderRecipe
from bigenough.rungs.training.decoder_rows import PromptRows
from bigenough.rungs.training.machine import Machine
from bigenough.rungs.training.rows import Rows

EXACT = Machine(torch.device("cpu"), "fp32")
ANSWERS = np.array([40, 41, 42, 43, 44])
PREFIX = [1, 50, 51, 52]
ROWS = [np.array(ids, np.int32) for ids in ([60, 61, 62, 2], [70, 2], [80, 81, 82, 83, 84, 85, 2])]


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    return write_decoder(tmp_path_factory.mktemp("decoder") / "tiny.gguf")


def moved(network):
    """The network with updates that are not zero."""
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for value in network.learned().values():
            value.copy_(0.2 * torch.randn(value.shape, generator=generator))
    return network


def torch_scores(network, rows=ROWS):
    network.eval()
    batch = Rows(rows, np.array([len(row) for row in rows])).batch(np.arange(len(rows)), torch.device("cpu"))
    with torch.inference_mode():
        return network(batch).numpy()


def llama_scores(path, rows=ROWS, prefix=PREFIX):
    """ln P of the answers, by llama.cpp."""
    model = load_model(path, threads=1)
    context = model.context(256)
    return np.array([log_softmax_at(read_once(context, np.array([*prefix, *row], np.int32)), ANSWERS) for row in rows])


def centred(scores):
    return scores - scores.mean(axis=1, keepdims=True)


@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("architecture", ["llama", "qwen2", "qwen3"])
def test_llama_cpp_says_of_the_written_file_what_torch_says_of_the_trained_model(architecture, tied, tmp_path):
    source = read_gguf(write_decoder(tmp_path / "source.gguf", architecture=architecture, tied=tied))
    network = moved(built_decoder(source, ANSWERS, PREFIX, DecoderRecipe(lora_rank=4), EXACT))
    before = centred(llama_scores(source.path))
    write_gguf(tmp_path / "new.gguf", source, folded_updates(network, source), "F16")
    expected, found = centred(torch_scores(network)), centred(llama_scores(tmp_path / "new.gguf"))
    np.testing.assert_allclose(found, expected, atol=0.05)
    assert np.abs(before - expected).max() > 0.5, "the updates must matter, or nothing was compared"


def test_rows_in_a_wrong_order_would_be_noticed(path, tmp_path, monkeypatch):
    source = read_gguf(path)
    network = moved(built_decoder(source, ANSWERS, PREFIX, DecoderRecipe(lora_rank=4), EXACT))
    changed = folded_updates(network, source)
    monkeypatch.setattr(type(source), "rows_together", lambda self, name, array: array)
    write_gguf(tmp_path / "wrong.gguf", source, changed, "F16")
    assert np.abs(centred(llama_scores(tmp_path / "wrong.gguf")) - centred(torch_scores(network))).max() > 0.1


def test_the_prefix_is_read_once_to_the_same_effect(path):
    source = read_gguf(path)
    shared = moved(built_decoder(source, ANSWERS, PREFIX, DecoderRecipe(), EXACT))
    whole = moved(built_decoder(source, ANSWERS, [], DecoderRecipe(), EXACT))
    rows = [np.array([*PREFIX, *row], np.int32) for row in ROWS]
    np.testing.assert_allclose(torch_scores(shared), torch_scores(whole, rows), atol=1e-4)


def test_frozen_layers_are_kept_in_memory_and_do_not_learn(path):
    source = read_gguf(path)
    network = moved(built_decoder(source, ANSWERS, PREFIX, DecoderRecipe(frozen=0.5), EXACT))
    first, again = torch_scores(network), torch_scores(network)
    np.testing.assert_allclose(first, again, atol=1e-5)
    assert len(network._kept) == len(ROWS)
    assert {name.split(".")[2] for name in folded_updates(network, source)} == {str(LAYERS - 1)}


def test_a_stretched_rotation_is_refused(path):
    source = read_gguf(path)
    fields = {**source.fields, "llama.rope.dimension_count": source.fields["general.file_type"]._replace(value=8)}
    with pytest.raises(UnsupportedModel, match="positions"):
        decoder.decoder_body(replace(source, fields=fields), "eager", torch.float32)


def lesson(n=96):
    """Rows whose one telling token decides the class."""
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 3, n)
    rows = [
        np.array([*rng.integers(100, 120, 3), 60 + label, *rng.integers(100, 120, rng.integers(1, 6)), 2], np.int32)
        for label in labels
    ]
    return PromptRows(np.array(PREFIX, np.int32), rows, 1), labels


def trained(path, bench, recipe=None, watch=True, **more):
    rows, labels = lesson()
    source = read_gguf(path)
    seen = PromptRows(rows.prefix, rows.rows[:30], 1)
    recipe = recipe or DecoderRecipe(epochs=6.0, learning_rate=1e-2, batch=8)
    targets = np.eye(3, dtype=np.float32)[labels]
    if not watch:
        return train_decoder(source, "0" * 64, rows, targets, ANSWERS[:3].tolist(), recipe, bench, **more)
    return train_decoder(
        source, "0" * 64, rows, targets, ANSWERS[:3].tolist(), recipe, bench, seen, labels[:30], **more
    )


@pytest.fixture
def bench(tmp_path):
    return Workbench(seed=0, threads=1, cache=tmp_path, offline=True)


def test_it_learns_what_decides_the_class(path, bench):
    found = trained(path, bench)
    _, labels = lesson()
    assert (found.probability.argmax(axis=1) == labels[:30]).mean() > 0.9
    assert found.record["steps"] <= 72
    assert len(found.changed) == 7 * LAYERS


def test_the_same_training_twice_gives_the_same(path, bench):
    recipe = DecoderRecipe(epochs=1.0, learning_rate=1e-2, batch=8)
    one, two = (trained(path, bench, recipe, watch=False) for _ in range(2))
    assert all((one.changed[name] == two.changed[name]).all() for name in one.changed)
    other = trained(path, bench, replace(recipe, seed_offset=1), watch=False)
    assert any((one.changed[name] != other.changed[name]).any() for name in one.changed)


def test_after_a_kill_it_goes_on_where_it_was(path, tmp_path, bench, monkeypatch):
    whole = trained(path, bench)
    monkeypatch.setattr(checkpoint, "SECONDS", 0.0)
    kept = Workbench(seed=0, threads=1, cache=tmp_path, offline=True, scratch=tmp_path / "scratch")

    class Killed(Exception):
        pass

    done = attempt._Attempt._step

    def until(self, *arguments):
        if self.done == 40:
            raise Killed
        done(self, *arguments)

    monkeypatch.setattr(attempt._Attempt, "_step", until)
    with pytest.raises(Killed):
        trained(path, kept)
    monkeypatch.setattr(attempt._Attempt, "_step", done)
    resumed = trained(path, kept)
    assert resumed.record["resumed_at"] == 40
    for name, array in whole.changed.items():
        np.testing.assert_allclose(resumed.changed[name], array, atol=1e-5)
    assert list((tmp_path / "scratch").iterdir()) == []


def test_no_more_tokens_go_through_together_than_are_kept_for_the_way_down(path, bench, monkeypatch):
    real, sizes = decoder.DecoderNetwork.forward, []

    def counted(self, batch):
        if self.training:
            sizes.append(batch.ids.shape)
        return real(self, batch)

    monkeypatch.setattr(decoder.DecoderNetwork, "forward", counted)
    monkeypatch.setattr(decoder_loop._Job, "part_tokens", 24)
    recipe = DecoderRecipe(epochs=1.0, learning_rate=1e-2, batch=8)
    found = trained(path, bench, recipe, watch=False)
    assert found.record["steps"] == 12
    assert all(rows * length <= 24 for rows, length in sizes)
    assert sum(rows for rows, _ in sizes) == 96


def test_a_loss_that_diverges_twice(path, bench):
    with pytest.raises(RungFailed, match="diverged twice"):
        trained(path, bench, DecoderRecipe(epochs=6.0, learning_rate=1e30, batch=8, warm_up=0.0))


@pytest.mark.parametrize("slower", [1.0, 3.0])
def test_minutes_are_kept(path, bench, slower):
    """Also when the machine gets slower after its pace was measured."""
    calls = iter(range(10**6))
    now = [0.0]

    def clock():
        now[0] += 0.25 if next(calls) < 12 else 0.25 * slower
        return now[0]

    hurried = replace(bench, fit_minutes=1.0)
    found = trained(path, hurried, DecoderRecipe(epochs=500.0, learning_rate=1e-3, batch=8), clock=clock)
    assert now[0] < 60
    assert 0 < found.record["steps"] < 240
    assert found.record["notes"][0].startswith("to keep within 1 minutes")
    assert slower == 1 or "slower" in found.record["notes"][-1]


def work(seconds=1e-4, **changes):
    given = {"watched": np.full(100, 20), "prefix": 14, "layers": 30, "kept_tokens": 10**6, **changes}
    return DecoderWork(np.full(1000, 20), unit_seconds=seconds, **given)


def test_the_plan_takes_no_longer_than_it_may():
    for seconds in (20.0, 60.0, 100.0, 200.0, 400.0, 2000.0):
        planned, _ = decoder_fitted_to(DecoderRecipe(), work(), seconds)
        first, later = (work().epoch_seconds(planned, first=which) for which in (True, False))
        assert min(1.0, planned.epochs) * first + max(0.0, planned.epochs - 1) * later <= seconds * 1.0001


def test_what_gives_way_comes_in_its_order():
    plans = [decoder_fitted_to(DecoderRecipe(), work(), seconds)[0] for seconds in (2000.0, 300.0, 200.0, 20.0)]
    assert [plan.frozen for plan in plans] == [0.0, 0.0, 0.5, 0.75]
    assert plans[0].epochs == 4.0
    with pytest.raises(RungFailed, match="Raise the budget"):
        decoder_fitted_to(DecoderRecipe(), work(), 1.0)


def test_frozen_layers_that_fit_no_memory_are_passed_again():
    small = work(kept_tokens=10)
    half = DecoderRecipe(frozen=0.5)
    assert small.epoch_seconds(half, first=False) == work().epoch_seconds(half, first=True)
    assert work().epoch_seconds(half, first=False) < work().epoch_seconds(half, first=True)


def test_a_long_row_loses_its_text_and_not_its_ending():
    rows = PromptRows(np.zeros(0, np.int32), [np.arange(30, dtype=np.int32)], 2).cut(16)
    assert rows.rows[0].tolist() == [*range(14), 28, 29]


@pytest.mark.parametrize("wrong", [{"epochs": 0.0}, {"targets": "some"}, {"frozen": 1.0}, {"unheard": 1}])
def test_settings_that_make_no_sense(wrong):
    with pytest.raises(BadOption):
        DecoderRecipe.of(wrong)


def single(text):
    """A tokenizer that knows short words alone."""
    return [hash_of(text)] if len(text.strip()) <= 6 else [0, 1]


def hash_of(text):
    return int.from_bytes(text.encode(), "big")


def test_answers_are_different_and_rare_words_of_the_name():
    names = ["card_arrival", "card_linking", "lost_card", "card", "card_swallowed"]
    answers = answers_for(names, 5, single, dict, "words")
    assert len({single(answer)[0] for answer in answers}) == 5
    assert [answer.strip().lower() for answer in answers[2:4]] == ["lost", "card"]
    assert all(len(single(answer)) == 1 for answer in answers)


def test_more_classes_than_letters_take_words_of_the_vocabulary():
    words = {hash_of(word): word for word in (f"w{n}" for n in range(10))}
    answers = answers_for((), 30, single, lambda: words, "codes")
    assert len(set(answers)) == 30
    assert answers[:2] == [" A", " B"]
    with pytest.raises(RungFailed, match="vocabulary has no 99 words"):
        answers_for((), 99, single, lambda: words, "codes")
