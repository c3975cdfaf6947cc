# SPDX-License-Identifier: Apache-2.0
import numpy as np
import pytest
from simple_icd_10_cm import get_all_codes, get_ancestors, get_description

from bigenough.task.audit.label_errors import noise_ceiling, suspects
from bigenough.task.audit.out_of_fold import FOLDS, deal_folds, out_of_fold


@pytest.fixture(scope="module")
def diagnoses():
    """1,500 real descriptions of diseases in five chapters of ICD-10-CM."""
    chapters = ["2", "7", "10", "14", "19"]
    of_chapter = {chapter: [] for chapter in chapters}
    for code in get_all_codes(with_dots=False):
        chapter = ([code, *get_ancestors(code)])[-1]
        if chapter in of_chapter and len(code) > 3:
            of_chapter[chapter].append(get_description(code))
    rng = np.random.default_rng(1)
    texts, labels = [], []
    for number, chapter in enumerate(chapters):
        chosen = rng.choice(sorted(set(of_chapter[chapter])), 300, replace=False)
        texts += [str(text) for text in chosen]
        labels += [number] * 300
    return texts, np.array(labels)


def turned(labels, share, seed=0):
    """Labels of which a share was turned into another class, and which those are."""
    rng = np.random.default_rng(seed)
    bad = rng.random(len(labels)) < share
    wrong = (labels + rng.integers(1, labels.max() + 1, len(labels))) % (labels.max() + 1)
    return np.where(bad, wrong, labels), bad


def test_planted_label_errors_lead_the_list(diagnoses):
    texts, labels = diagnoses
    noisy, bad = turned(labels, 0.05)
    guessed = out_of_fold(texts, noisy, 5)
    found = suspects(noisy, guessed.probability)
    assert bad[found.places].sum() >= 0.7 * bad.sum()
    assert bad[found.places[:50]].mean() >= 0.8
    hits = found.places[bad[found.places]]
    right = found.suggested[bad[found.places]] == labels[hits]
    assert right.mean() >= 0.8
    assert np.all(np.diff(found.given) >= -1e-9)


@pytest.mark.parametrize("share", [0.05, 0.15])
def test_the_noise_ceiling_brackets_the_truth(diagnoses, share):
    texts, labels = diagnoses
    noisy, bad = turned(labels, share)
    ceiling = noise_ceiling(noisy, out_of_fold(texts, noisy, 5).probability)
    assert ceiling.provenance == "modelled"
    assert ceiling.low <= 1 - bad.mean() <= ceiling.high
    assert ceiling.value == pytest.approx(1 - bad.mean(), abs=0.04)


def test_the_ceiling_never_passes_what_contradictions_leave(diagnoses):
    texts, labels = diagnoses
    ceiling = noise_ceiling(labels, out_of_fold(texts, labels, 5).probability, hard_ceiling=0.9)
    assert ceiling.value <= 0.9
    assert ceiling.low <= ceiling.value <= ceiling.high


def test_too_few_rows_have_no_ceiling():
    ceiling = noise_ceiling(np.zeros(20, np.int64), np.full((20, 2), 0.5))
    assert ceiling.value is None
    assert "fewer than 100 rows" in ceiling.source


def test_planted_errors_are_reported_at_their_rows_but_never_in_certify(desk):
    rows = [*desk.rows("fit")[:8], *desk.rows("select")[:4]]
    certify = desk.rows("certify")[:12]
    for row in rows + certify:
        desk.labels[row - 1] = (desk.labels[row - 1] + 1) % 4
    result = desk.audit()
    (found,) = [each for each in result.findings if each.kind == "label_errors"]
    assert len(set(found.rows) & set(rows)) >= 11
    assert not set(found.rows) & set(certify)
    assert found.severity == "warning"
    assert "rather" in found.examples[0].text
    assert any("certify rows were not examined" in decision for decision in result.decisions)
    assert result.noise_ceiling.low <= 1 - 12 / 600 <= result.noise_ceiling.high


def test_a_model_that_is_mostly_wrong_does_not_raise_an_alarm(desk):
    rng = np.random.default_rng(0)
    desk.labels = [int(label) if rng.random() < 0.5 else int(rng.integers(0, 4)) for label in desk.labels]
    (found,) = [each for each in desk.audit().findings if each.kind == "label_errors"]
    assert found.severity == "info"
    assert "most of these may well be right" in found.message


def test_certify_labels_change_nothing_in_the_label_search(desk):
    before = desk.audit()
    for row in desk.rows("certify"):
        desk.labels[row - 1] = (desk.labels[row - 1] + 1) % 4
    assert desk.audit().noise_ceiling == before.noise_ceiling


def test_probabilities_come_from_models_that_have_not_seen_the_text():
    # Random labels of texts that occur twice: a model that saw the twin would be right, any other can only guess.
    rng = np.random.default_rng(0)
    words = ["".join(rng.choice(list("abcdefghijklmnop"), 6)) for _ in range(600)]
    texts = [" ".join(rng.choice(words, 8)) for _ in range(300)] * 2
    labels = np.tile(rng.integers(0, 2, 300), 2)
    guessed = out_of_fold(texts, labels, 2)
    assert abs((guessed.probability.argmax(1) == labels[guessed.positions]).mean() - 0.5) < 0.12


def test_rows_of_a_group_are_predicted_by_models_that_have_not_seen_the_group():
    # Each customer has a vocabulary and, by chance, a label: whoever has seen the customer knows the label.
    rng = np.random.default_rng(0)
    customers = np.repeat(np.arange(120), 5)
    labels = rng.integers(0, 2, 120)[customers]
    texts = [" ".join(f"word{customer}x{word}" for word in rng.choice(8, 6)) for customer in customers]
    for groups, low, high in ((None, 0.9, 1.0), (customers, 0.35, 0.65)):
        guessed = out_of_fold(texts, labels, 2, groups=groups)
        assert low <= (guessed.probability.argmax(1) == labels[guessed.positions]).mean() <= high


def test_probabilities_are_probabilities_and_small_classes_are_left_out(diagnoses):
    texts, labels = diagnoses
    labels = labels.copy()
    labels[:3] = 5
    guessed = out_of_fold(texts, labels, 7, max_rows=1500)
    assert guessed.probability.shape == (1497, 7)
    assert guessed.probability.sum(axis=1) == pytest.approx(np.ones(1497))
    assert not guessed.probability[:, 5:].any()
    assert not set(guessed.positions.tolist()) & {0, 1, 2}


def test_large_data_are_sampled_and_the_same_seed_gives_the_same_sample(diagnoses):
    texts, labels = diagnoses
    one, two = (out_of_fold(texts, labels, 5, max_rows=400, seed=5) for _ in range(2))
    assert len(one.positions) == 400
    assert np.array_equal(one.positions, two.positions)
    assert np.array_equal(one.probability, two.probability)


def test_one_class_or_no_text_gives_no_rows():
    assert len(out_of_fold(["some text"] * 50, np.zeros(50, np.int64), 2).positions) == 0
    assert len(out_of_fold([""] * 50, np.arange(50) % 2, 2).positions) == 0


def test_folds_keep_groups_whole_and_spread_classes():
    rng = np.random.default_rng(0)
    groups = rng.integers(0, 200, 1000)
    labels = groups % 5
    folds = deal_folds(labels, groups, FOLDS, rng)
    assert all(len(set(folds[groups == group])) == 1 for group in np.unique(groups))
    for label in range(5):
        sizes = [len(np.unique(groups[(labels == label) & (folds == fold)])) for fold in range(FOLDS)]
        assert max(sizes) - min(sizes) <= 1
