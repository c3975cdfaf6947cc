# SPDX-License-Identifier: Apache-2.0
"""The loop: it learns, comes back after a kill, keeps its time, and survives a diverged loss."""

import gc
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from models.tiny_bert import tiny_tokenizer, write_model

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

from bigenough.errors import RungFailed, UnsupportedModel  # noqa: E402
from bigenough.models.bert import read_bert  # noqa: E402
from bigenough.rungs.predictors.head import DenseHead  # noqa: E402
from bigenough.rungs.protocol import Workbench  # noqa: E402
from bigenough.rungs.training import attempt, checkpoint, job, loop, steps  # noqa: E402
from bigenough.rungs.training.network import Network  # noqa: E402
from bigenough.rungs.training.product import parity, predictor_of  # noqa: E402
from bigenough.rungs.training.recipe import Recipe, Watch, one_hot  # noqa: E402
from bigenough.rungs.training.steps import Diverged, Steps  # noqa: E402

WORDS = [["lost", "stolen", "card", "help"], ["pay", "money", "top", "transfer"], ["film", "plot", "awful", "great"]]
RECIPE = Recipe(epochs=3, learning_rate=2e-3, batch=8)


def sentences(n, seed=0):
    rng = np.random.default_rng(seed)
    labels = np.arange(n) % 3
    texts = [" ".join(rng.choice(WORDS[label], rng.integers(2, 9))) for label in labels]
    return texts, labels


TEXTS, LABELS = sentences(60)


@pytest.fixture
def body(tmp_path):
    return read_bert(write_model(tmp_path / "model"))


@pytest.fixture
def bench(tmp_path):
    return Workbench(seed=3, threads=1, cache=tmp_path / "cache", offline=True)


def trained(body, bench, recipe=RECIPE, *, texts=TEXTS, targets=None, watch=None, **options):
    targets = one_hot(LABELS, 3) if targets is None else targets
    return loop.train(body, tiny_tokenizer(), texts, targets, recipe, bench, watch, **options)


def same(one, other):
    np.testing.assert_array_equal(one.weight, other.weight)
    np.testing.assert_array_equal(one.bias, other.bias)
    np.testing.assert_array_equal(one.body.words, other.body.words)
    for mine, theirs in zip(one.body.layers, other.body.layers, strict=True):
        np.testing.assert_array_equal(mine.qkv, theirs.qkv)
        np.testing.assert_array_equal(mine.norm[0], theirs.norm[0])


def told(bench):
    said = []
    bench.say = lambda what, done: said.append(what)
    return said


@pytest.mark.parametrize("method", ["full", "lora"])
def test_it_learns_and_its_graph_says_what_torch_says(body, bench, method):
    if method == "lora":
        pytest.importorskip("peft")
    texts, labels = sentences(60, seed=1)
    done = trained(body, bench, replace(RECIPE, method=method, epochs=12))
    predictor = predictor_of(done, tiny_tokenizer(), bench)
    assert (predictor.predict_proba(texts).argmax(axis=1) == labels).mean() > 0.75
    found = parity(predictor, done.body, tiny_tokenizer(), [*texts, ""], 1)
    assert found["max_probability_difference"] < 1e-5
    assert found["flips"] == 0
    assert np.abs(done.body.layers[0].qkv - body.layers[0].qkv).max() > 1e-4
    assert not done.body.config.normalise


def test_a_graph_goes_with_its_predictor(body, bench):
    predictor = predictor_of(trained(body, bench, replace(RECIPE, epochs=1)), tiny_tokenizer(), bench)
    path = predictor.model
    tempered = predictor.with_temperature(2.0)
    del predictor
    gc.collect()
    assert path.is_file(), "the model at another temperature is the same graph"
    del tempered
    gc.collect()
    assert not path.exists()
    assert not (bench.cache / "tuned").exists()


def test_the_same_twice_and_the_world_left_as_it_was(body, bench):
    state, threads = torch.get_rng_state(), torch.get_num_threads()
    first = trained(body, bench)
    assert (torch.get_rng_state() == state).all()
    assert torch.get_num_threads() == threads
    torch.manual_seed(99)
    same(trained(body, bench), first)
    other = trained(body, bench, replace(RECIPE, seed_offset=1))
    assert (other.weight != first.weight).any()


def test_tokens_without_rows_keep_their_vectors(body, bench):
    done = trained(body, bench)
    vocabulary = tiny_tokenizer().get_vocab()
    np.testing.assert_array_equal(done.body.words[vocabulary["refund"]], body.words[vocabulary["refund"]])
    assert (done.body.words[vocabulary["card"]] != body.words[vocabulary["card"]]).any()


def test_frozen_layers_stay(body, bench):
    done = trained(body, bench, replace(RECIPE, frozen_layers=1))
    np.testing.assert_array_equal(done.body.layers[0].qkv, body.layers[0].qkv)
    np.testing.assert_array_equal(done.body.words, body.words)
    assert (done.body.layers[1].qkv != body.layers[1].qkv).any()


def test_soft_targets_are_learned_as_they_are(body, bench):
    """Texts that a teacher is unsure of: 70 to 30."""
    targets = np.tile(np.array([[0.7, 0.3, 0.0]], np.float32), (60, 1))
    done = trained(body, bench, replace(RECIPE, label_smoothing=0.0), targets=targets)
    said = predictor_of(done, tiny_tokenizer(), bench).predict_proba(TEXTS)
    np.testing.assert_allclose(said, targets, atol=0.1)


def test_balanced_lifts_the_rare_class(body, bench):
    labels = np.array([0] * 54 + [1] * 6)
    texts = ["lost card"] * 60
    recipe = replace(RECIPE, label_smoothing=0.0, learning_rate=1e-4)
    shares = [
        predictor_of(
            trained(body, bench, replace(recipe, balanced=balanced), texts=texts, targets=one_hot(labels, 2)),
            tiny_tokenizer(),
            bench,
        ).predict_proba(["lost card"])[0, 1]
        for balanced in (False, True)
    ]
    assert shares == pytest.approx([0.1, 0.5], abs=0.06)


def test_it_begins_with_the_head_it_is_given(body, bench):
    head = DenseHead(np.zeros((32, 3), np.float32), np.array([2.0, 0.0, -1.0]), 2.0)
    done = trained(body, bench, replace(RECIPE, learning_rate=1e-12), head=head)
    np.testing.assert_allclose(done.bias, [1.0, 0.0, -0.5], atol=1e-6)


def test_watching_keeps_the_state_that_was_worth_it(body, bench):
    """The watched labels are shuffled, so no later state is better than the first by more than luck."""
    texts, labels = sentences(45, seed=2)
    done = trained(body, bench, watch=Watch(texts, labels))
    assert [seen["epochs"] for seen in done.record["evaluations"]] == [1.0, 2.0, 3.0]
    assert done.recipe.epochs == done.record["kept_after"] / 8
    said = predictor_of(done, tiny_tokenizer(), bench).predict_proba(texts).argmax(axis=1)
    kept = done.record["evaluations"][round(done.recipe.epochs) - 1]
    assert (said == labels).mean() == pytest.approx(kept["accuracy"], abs=0.05)


def test_an_earlier_state_is_brought_back(body, bench, monkeypatch):
    """After the first epoch the learning rate is so high that all is lost."""
    monkeypatch.setattr(attempt, "learning_rate_at", lambda progress, warm_up: 0.5 if progress <= 0.5 else 100.0)
    texts, labels = sentences(45, seed=2)
    done = trained(body, bench, replace(RECIPE, epochs=12), watch=Watch(texts, labels))
    assert done.recipe.epochs == 6.0
    assert len(done.record["evaluations"]) == 8, "patience is two looks"
    said = predictor_of(done, tiny_tokenizer(), bench).predict_proba(texts).argmax(axis=1)
    assert (said == labels).mean() > 0.8


def test_watched_classes_that_fit_lacks_are_misses(body, bench):
    targets = one_hot(np.where(LABELS == 1, 0, LABELS), 3)
    done = trained(body, bench, targets=targets, watch=Watch(TEXTS, LABELS))
    assert done.bias[1] == -10_000
    assert all(seen["accuracy"] <= 2 / 3 for seen in done.record["evaluations"])


def test_a_diverged_loss_starts_again_slower(body, bench, monkeypatch):
    real, calls = Network.forward, []

    def diverging(self, batch):
        calls.append(1)
        return real(self, batch) * (float("nan") if len(calls) == 5 else 1.0)

    monkeypatch.setattr(Network, "forward", diverging)
    done = trained(body, bench)
    monkeypatch.undo()
    same(done, trained(body, bench, replace(RECIPE, learning_rate=attempt.SLOWER * RECIPE.learning_rate)))
    assert done.recipe.learning_rate == pytest.approx(RECIPE.learning_rate / 3)
    assert done.record["notes"] == ["the loss diverged: starting again at a learning rate of 0.00067"]


def test_a_training_killed_in_its_second_attempt_goes_on_with_that(body, bench, tmp_path, monkeypatch):
    """The first one again would put its own checkpoint in the place of what is there."""
    bench.scratch = tmp_path / "scratch"
    monkeypatch.setattr(checkpoint, "SECONDS", 0.0)
    slower = attempt.SLOWER * RECIPE.learning_rate
    whole = trained(body, bench, replace(RECIPE, learning_rate=slower))
    real, rates, stop = Steps.step, [], [True]

    def step(self, *args):
        rates.append(self.optimiser.param_groups[0]["highest"])
        if rates[-1] > slower and len(rates) == 4:
            raise Diverged
        if stop and len(rates) == 15:
            raise KeyboardInterrupt
        return real(self, *args)

    monkeypatch.setattr(Steps, "step", step)
    with pytest.raises(KeyboardInterrupt):
        trained(body, bench)
    rates.clear()
    stop.clear()
    done = trained(body, bench)
    assert max(rates) < 0.5 * RECIPE.learning_rate
    assert done.record["resumed_at"] == 10
    assert done.record["notes"] == ["the loss diverged: starting again at a learning rate of 0.00067"]
    same(done, whole)


def test_diverged_twice_is_a_failure(body, bench):
    with pytest.raises(RungFailed, match="diverged twice, at learning rates of 1e\\+38 and"):
        trained(body, bench, replace(RECIPE, learning_rate=1e38))


def test_too_little_time_says_how_much_is_needed(body, bench):
    bench.fit_minutes = 1e-6
    with pytest.raises(RungFailed, match=r"60 rows takes .* minutes at least"):
        trained(body, bench)


def test_a_budget_is_kept_and_said(body, bench):
    """Far more epochs are asked for than fit into three seconds."""
    said = told(bench)
    bench.fit_minutes = 0.05
    began = time.monotonic()
    done = trained(body, bench, replace(RECIPE, epochs=9000))
    assert time.monotonic() - began < 60 * bench.fit_minutes + 2
    assert done.recipe.epochs < 9000
    assert any("to keep within 0.05 minutes" in what for what in said)
    assert any("to keep within 0.05 minutes" in note for note in done.record["notes"])
    assert done.record["wanted"]["epochs"] == 9000


def test_timing_the_steps_takes_little_of_the_time(body, bench, monkeypatch):
    """Each takes a third of all there is: one says enough."""
    clock, calls, real = UnevenClock(0), [], Steps.step

    def slow(self, batch, *args):
        calls.append(len(batch))
        clock.now += 30.0
        return real(self, batch, *args)

    monkeypatch.setattr(Steps, "step", slow)
    bench.fit_minutes = 1.5
    with pytest.raises(RungFailed, match=r"takes .* minutes at least on this machine .*, and 0\.7\d are left"):
        trained(body, bench, clock=clock)
    assert calls == [8]
    calls.clear()
    monkeypatch.setattr(job, "TIMED_TOKENS", 20)
    with pytest.raises(RungFailed, match="minutes at least"):
        trained(body, bench, clock=clock)
    assert len(calls) == 1
    assert 1 <= calls[0] < 8, "fewer of long texts"


def test_looking_at_rows_of_all_lengths_takes_no_more_tokens_than_it_should(body, bench, monkeypatch):
    """Most are short, and stand before the long ones: padded to those, they would be many times as many tokens."""
    texts = [" ".join(["card"] * n) for n in [1] * 60 + [2, 30] * 10]
    seen, real = [], Network.forward

    def watched(self, batch):
        if not self.training:
            seen.append(batch.ids.numel())
        return real(self, batch)

    monkeypatch.setattr(Network, "forward", watched)
    monkeypatch.setattr(steps, "LOOK_TOKENS", 128)
    trained(body, bench, replace(RECIPE, epochs=1), watch=Watch(texts, np.zeros(80, np.int64)))
    assert max(seen) <= 128
    assert sum(seen) < 1.3 * sum(len(text.split()) + 2 for text in texts)


def test_a_plenty_of_time_changes_nothing(body, bench):
    plain = trained(body, bench)
    bench.fit_minutes = 60.0
    again = trained(body, bench)
    same(again, plain)
    assert again.record["notes"] == []


class UnevenClock:
    """Every look at it is some milliseconds later, and how many ``seed`` decides: a machine that is busy otherwise."""

    def __init__(self, seed):
        self.rng, self.now = np.random.default_rng(seed), 0.0

    def __call__(self):
        self.now += self.rng.uniform(0.001, 0.1)
        return self.now


def test_time_that_suffices_decides_nothing(body, bench):
    """About two fifths of the minutes are used, at another pace each time."""
    plain = trained(body, bench)
    bench.fit_minutes = 0.2
    for seed in (0, 1):
        timed = trained(body, bench, clock=UnevenClock(seed))
        assert 0.3 < timed.record["seconds"] / (60 * bench.fit_minutes) < 0.5
        same(timed, plain)


def test_time_that_does_not_suffice_shortens_the_schedule_only_then(body, bench, monkeypatch):
    """The plan's pace is kept for 30 steps; from there on each takes ten times as long."""
    rates, schedule = [], attempt.learning_rate_at
    monkeypatch.setattr(attempt, "learning_rate_at", lambda *args: rates.append(schedule(*args)) or rates[-1])
    recipe = replace(RECIPE, epochs=10)
    trained(body, bench, recipe)
    planned, rates[:] = list(rates), []
    clock = UnevenClock(0)
    real = Steps.step

    def slower(self, *args):
        clock.now += 2.0 if len(rates) > 30 else 0.2
        return real(self, *args)

    monkeypatch.setattr(Steps, "step", slower)
    bench.fit_minutes = 0.9
    done = trained(body, bench, recipe, clock=clock)
    assert rates[:30] == planned[:30]
    assert 30 < len(rates) < 80
    assert rates[-1] < 0.1 * max(rates)
    assert any("the machine got slower" in note for note in done.record["notes"])


def test_token_ids_beyond_the_table(body, bench):
    with pytest.raises(UnsupportedModel, match="have vectors for 50 tokens"):
        trained(replace(body, words=body.words[:50]), bench)


KILLED = """
import os, signal, sys
from pathlib import Path
from rungs.training.test_loop import *
folder, after = Path(sys.argv[1]), int(sys.argv[2])
checkpoint.SECONDS = 0.0
real, calls = Steps.step, []
def step(self, *args):
    if len(calls) == after:
        os.kill(os.getpid(), signal.SIGKILL)
    calls.append(1)
    return real(self, *args)
Steps.step = step
bench = Workbench(seed=3, threads=1, cache=folder, offline=True, scratch=folder / "scratch", fit_minutes=5.0)
texts, labels = sentences(45, seed=2)
trained(read_bert(folder / "model"), bench, watch=Watch(texts, labels))
"""


def test_a_killed_training_goes_on_to_the_same_result(body, bench, tmp_path):
    texts, labels = sentences(45, seed=2)
    whole = trained(body, bench, watch=Watch(texts, labels))
    path = os.pathsep.join([*sys.path, str(Path(__file__).parents[2])])
    after = str(13 + job.TIMED_STEPS)
    run = subprocess.run(
        [sys.executable, "-c", KILLED, str(tmp_path), after], env={**os.environ, "PYTHONPATH": path}, check=False
    )
    assert run.returncode == -signal.SIGKILL
    scratch = tmp_path / "scratch"
    assert len(list(scratch.iterdir())) == 1
    # What other work has left of a budget differs a little from run to run.
    bench.scratch, bench.fit_minutes = scratch, 4.99
    other = trained(body, bench, replace(RECIPE, seed_offset=4))
    assert other.record["resumed_at"] is None, "another training's checkpoint is not taken"
    resumed = trained(body, bench, watch=Watch(texts, labels))
    assert resumed.record["resumed_at"] == 13
    same(resumed, whole)
    assert resumed.record["evaluations"] == whole.record["evaluations"]
    assert list(scratch.iterdir()) == [], "nothing is left once it is done"


def test_a_damaged_checkpoint_is_no_checkpoint(tmp_path):
    path = tmp_path / "training.safetensors"
    kept = checkpoint.Checkpoint(path)
    kept.write(checkpoint.State({"x": torch.ones(3)}, {"done": 2}))
    assert kept.read().facts == {"done": 2}
    path.write_bytes(path.read_bytes()[:20])
    assert kept.read() is None


def test_a_checkpoint_of_another_form_is_no_checkpoint(tmp_path, monkeypatch):
    import safetensors.torch

    kept = checkpoint.Checkpoint(tmp_path / "training.safetensors")
    monkeypatch.setattr(checkpoint, "_FORM", "1")
    kept.write(checkpoint.State({"x": torch.ones(3)}, {"done": 2}))
    monkeypatch.undo()
    assert kept.read() is None
    safetensors.torch.save_file({"x": torch.ones(3)}, kept.path, {"facts": '{"done": 2}'})
    assert kept.read() is None, "forms had no names at first"
