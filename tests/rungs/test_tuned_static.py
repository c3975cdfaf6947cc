# SPDX-License-Identifier: Apache-2.0
"""The tuned static rung beyond the contract."""

import tracemalloc

import numpy as np
import pytest
from models.tiny_bert import VOCABULARY, write_model
from scipy.sparse import csr_array
from tokenizers import Tokenizer, models, pre_tokenizers

from bigenough.errors import BadOption, RungFailed
from bigenough.models.token_table import TokenTable
from bigenough.rungs.predictors import load_predictor
from bigenough.rungs.protocol import Workbench
from bigenough.rungs.tuned_static import TunedStaticRung
from bigenough.task import Examples

torch = pytest.importorskip("torch")


@pytest.fixture(scope="module")
def own(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tuned-static")
    return TunedStaticRung(str(write_model(folder / "model"))), Workbench(0, 1, folder / "cache", offline=True)


def of_order(n, seed):
    """The label hangs on which of two words stands before the other, among words that say nothing."""
    rng = np.random.default_rng(seed)
    words = [word for word in VOCABULARY[5:] if len(word) > 2 and not word.startswith("##")][:9]
    words = [word for word in words if word not in ("not", "good")]
    texts, labels = [], rng.integers(0, 2, n)
    for label in labels:
        noise = list(rng.choice(words, 3))
        pair = ["not", "good"] if label else ["good", "not"]
        place = int(rng.integers(4))
        texts.append(" ".join([*noise[:place], *pair, *noise[place:]]))
    return Examples(texts, labels.astype(np.int64), np.arange(1, n + 1))


def accuracy_of(predictor, examples):
    return np.mean(predictor.predict_proba(examples.texts).argmax(axis=1) == examples.labels)


def test_pairs_tell_what_tokens_cannot(own):
    rung, bench = own
    fit, unseen = of_order(200, 0), of_order(100, 1)
    settings = rung.first_settings(fit, 2)
    assert accuracy_of(rung.fit(fit, 2, settings, bench), unseen) > 0.95
    assert accuracy_of(rung.fit(fit, 2, {**settings, "pairs": 0.0}, bench), unseen) < 0.7


def test_it_stops_where_select_no_longer_gains(own):
    rung, bench = own
    fit, watch = of_order(200, 0), of_order(80, 2)
    seen = rung.fit_watching(fit, 2, rung.first_settings(fit, 2), bench, watch)
    scores = [tuple(score) for score in seen.record["scores"]]
    assert seen.settings["epochs"] == scores.index(max(scores)) + 1
    again = rung.fit(fit, 2, seen.settings, bench)
    np.testing.assert_allclose(again.predict_proba(watch.texts), seen.predictor.predict_proba(watch.texts), atol=1e-6)


def test_a_tuning_that_diverges_says_so():
    from bigenough.rungs.table_training import Recipe, Rows, tune

    rows = Rows(np.full((4, 2), 1e38, np.float32), csr_array(np.eye(4)))
    recipe = Recipe(rate=100.0, batch=2, dropout=0.0, smoothing=0.0, patience=2, epochs=3, seed=0)
    with pytest.raises(RungFailed, match=r"diverged: after epoch 1 at rate 100 some .* Take a lower rate"):
        tune(rows, np.eye(2)[[0, 1, 0, 1]], np.zeros((2, 2)), np.zeros(2), recipe)


def test_smoothing_makes_it_less_sure(own):
    rung, bench = own
    fit = of_order(200, 0)
    settings = rung.first_settings(fit, 2)
    sure, unsure = (
        rung.fit(fit, 2, {**settings, "smoothing": share}, bench).predict_proba(fit.texts).max(axis=1).mean()
        for share in (0.0, 0.4)
    )
    assert unsure < 0.85 < sure


def test_torch_is_left_as_it_was(own):
    rung, bench = own
    fit = of_order(30, 0)
    threads, state = torch.get_num_threads(), torch.get_rng_state()
    torch.set_num_threads(threads + 1)
    try:
        rung.fit(fit, 2, {**rung.first_settings(fit, 2), "epochs": 1}, bench)
        assert torch.get_num_threads() == threads + 1
    finally:
        torch.set_num_threads(threads)
    assert torch.equal(torch.get_rng_state(), state)


def test_a_one_and_zeros_are_a_label(own):
    rung, bench = own
    fit = of_order(60, 0)
    settings = {**rung.first_settings(fit, 2), "epochs": 3}
    hard = rung.fit(fit, 2, settings, bench).predict_proba(fit.texts)
    soft = rung.fit_soft(fit.texts, np.eye(2)[fit.labels], 2, settings, bench).predict_proba(fit.texts)
    np.testing.assert_array_equal(soft, hard)


def test_pairs_are_saved(own, tmp_path):
    rung, bench = own
    fit = of_order(60, 0)
    predictor = rung.fit(fit, 2, rung.first_settings(fit, 2), bench).with_temperature(1.3)
    predictor.save(tmp_path)
    loaded = load_predictor(tmp_path, threads=1)
    np.testing.assert_array_equal(loaded.predict_proba(fit.texts), predictor.predict_proba(fit.texts))
    assert loaded.n_parameters == predictor.n_parameters
    assert len(loaded.table.pairs) > 10


@pytest.mark.parametrize("change", [{"freedom": -1}, {"pairs": -0.5}, {"dropout": 1.0}, {"rate": float("nan")}])
def test_settings_that_make_no_sense(own, change):
    rung, bench = own
    fit = of_order(10, 0)
    with pytest.raises(BadOption, match=next(iter(change))):
        rung.fit(fit, 2, {**rung.first_settings(fit, 2), **change}, bench)


def test_a_pair_takes_no_vector(own):
    """Half a million pairs 256 wide would be gigabytes of zeros."""
    rung, bench = own
    words = {f"w{i}": i for i in range(300)}
    tokenizer = Tokenizer(models.WordLevel({**words, "[UNK]": len(words)}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    rng = np.random.default_rng(0)
    texts = [" ".join(rng.choice(list(words), 40)) for _ in range(1500)]
    fit = Examples(texts, np.arange(len(texts)) % 2, np.arange(1, len(texts) + 1))
    rung = rung.on_table(TokenTable(rng.standard_normal((len(words) + 1, 256)).astype(np.float32), tokenizer))
    rung.fit(fit.take(np.arange(20)), 2, {**rung.first_settings(fit, 2), "epochs": 1}, bench)  # imports
    tracemalloc.start()
    made = rung.fit(fit, 2, {**rung.first_settings(fit, 2), "epochs": 1}, bench)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert len(made.table.pairs) > 40_000
    assert peak < len(made.table.pairs) * 256 * 4
