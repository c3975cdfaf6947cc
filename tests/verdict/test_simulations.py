# SPDX-License-Identifier: Apache-2.0
"""The verdict's promises, held against worlds whose truth is known.

A world draws rows with a gold class, models that share hard rows (so that candidates are correlated with the reference
and with each other), and a true score that is computed from the generating distribution. The unworthy candidates stand
exactly at the null's edge: their true score is the reference's less the margin.
"""

from functools import partial
from typing import NamedTuple

import numpy as np
import pytest
from scipy.optimize import brentq

from bigenough.verdict import Nominee, Reference, decide, metric_intervals, power
from bigenough.verdict.exact import exact_level
from bigenough.verdict.noninferiority import exact_pvalue, paired_counts, tango_lower, tango_upper
from bigenough.verdict.resampling import resample
from bigenough.verdict.sequence import climb_up, walk_down

pytestmark = pytest.mark.slow

ALPHA = 0.05
STUDIES = 2000
CEILING = ALPHA + 2 * np.sqrt(ALPHA * (1 - ALPHA) / STUDIES)


class World(NamedTuple):
    """Rows are hard with chance ``hard``; on those the reference is right with chance ``skill``."""

    shares: np.ndarray
    wrong: np.ndarray
    hard: float
    skill: float

    @classmethod
    def of(cls, k, rarest, hard, skill):
        rng = np.random.default_rng(k)
        shares = np.linspace(1, rarest, k) / np.linspace(1, rarest, k).sum()
        wrong = rng.dirichlet(np.ones(k), size=k) * (1 - np.eye(k))
        return cls(shares, wrong / wrong.sum(axis=1, keepdims=True), hard, skill)

    def truth(self, metric, rights):
        """The population's score of a model that is right on a row of class k with chance rights[k]."""
        if metric == "accuracy":
            return float(self.shares @ rights)
        if metric == "balanced_accuracy":
            return float(rights.mean())
        confusion = self.shares[:, None] * (1 - rights)[:, None] * self.wrong + np.diag(self.shares * rights)
        return float(np.mean(2 * np.diag(confusion) / (self.shares + confusion.sum(axis=0))))

    def rights(self, skill):
        """The chance by class that a model of this skill is right."""
        return np.full(len(self.shares), 1 - self.hard * (1 - skill))

    def skill_at(self, metric, margin):
        """The skill with which a candidate is worse than the reference by exactly the margin."""
        edge = self.truth(metric, self.rights(self.skill)) - margin
        return brentq(lambda skill: self.truth(metric, self.rights(skill)) - edge, 0, 1, xtol=1e-14)

    def draw(self, rng, n, skills):
        """Gold and the predictions of models with these skills."""
        gold = rng.choice(len(self.shares), n, p=self.shares)
        hard = rng.random(n) < self.hard
        common = rng.random(n)  # what all models find hard, they find hard together, half of the time
        return gold, [self._predict(rng, gold, hard, common, skill) for skill in skills]

    def _predict(self, rng, gold, hard, common, skill):
        n = len(gold)
        luck = np.where(rng.random(n) < 0.5, common, rng.random(n))
        mistaken = (self.wrong.cumsum(axis=1)[gold] < rng.random(n)[:, None]).sum(axis=1)
        return np.where(~hard | (luck < skill), gold, np.minimum(mistaken, len(self.shares) - 1))


def _false_verdicts(world, metric, n, margin, mode, skills, n_unworthy, *, n_resamples=200):
    """How often one of the unworthy nominees (the last of the list) is crowned."""
    rng = np.random.default_rng(20_25)
    false = 0
    for study in range(STUDIES):
        gold, (big, *small) = world.draw(rng, n, [world.skill, *skills])
        nominees = [Nominee(str(i), 10 - i, partial(np.asarray, said)) for i, said in enumerate(small)]
        unworthy = {nominee.name for nominee in nominees[len(nominees) - n_unworthy :]}
        verdict = decide(
            gold, nominees if mode == "down" else nominees[::-1], Reference("big", big, 100),
            metric=metric, margin=margin, alpha=ALPHA, mode=mode, seed=study, n_resamples=n_resamples, describe=False,
        )  # fmt: skip
        false += verdict.winner in unworthy
    return false / STUDIES


@pytest.mark.parametrize("mode", ["down", "up"])
@pytest.mark.parametrize(
    ("n", "margin", "hard", "skill", "n_worthy"),
    [(1000, 0.02, 0.2, 0.6, 1), (3000, 0.015, 0.1, 0.8, 0), (400, 0.03, 0.1, 0.9, 0)],
)
def test_accuracy_crowns_no_unworthy_size_more_often_than_alpha(mode, n, margin, hard, skill, n_worthy):
    """2,000 studies by the very test and sequence of ``decide``, which is asked itself in every fiftieth."""
    world = World.of(3, 0.5, hard, skill)
    skills = [skill + 0.02] * n_worthy + [world.skill_at("accuracy", margin)] * 3
    k, rng, false = len(skills), np.random.default_rng(20_25), 0
    for study in range(STUDIES):
        gold, (big, *small) = world.draw(rng, n, [skill, *skills])
        order = range(k) if mode == "down" else range(k)[::-1]
        pairs = np.array([paired_counts(small[i] == gold, big == gold) for i in order])
        level = exact_level(n, margin, ALPHA if mode == "down" else ALPHA / k)
        lower = tango_lower(pairs[:, 0], pairs[:, 1], n, level)
        steps = (walk_down if mode == "down" else climb_up)(k, lambda i, level, found=lower: found[i] > -margin, ALPHA)
        passed = [step.place for step in steps if step.passed]
        winner = None if not passed else str(order[passed[-1]])
        false += winner is not None and int(winner) >= n_worthy
        if study % 50 == 0:
            nominees = [Nominee(str(i), 10 - i, small[i]) for i in order]
            verdict = decide(gold, nominees, Reference("big", big, 100), margin=margin, alpha=ALPHA, mode=mode)
            assert verdict.winner == winner or (winner is None and verdict.winner == "big")
    assert false / STUDIES <= CEILING


@pytest.mark.parametrize(("n", "margin"), [(180, 0.005), (275, 0.0075), (550, 0.005), (1000, 0.01), (3080, 0.015)])
@pytest.mark.parametrize("claim", ["proved", "shown worse"])
def test_candidate_that_is_never_right_alone_is_not_misjudged_more_often_than_alpha(n, margin, claim):
    """The corner of discordance where Tango's test itself is too bold, in both directions."""
    rng = np.random.default_rng(20_26)
    lost = rng.binomial(n, margin, size=20_000)
    if claim == "proved":
        false = tango_lower(0, lost, n, exact_level(n, margin, ALPHA)) > -margin
    else:
        false = tango_upper(0, lost, n, exact_level(n, margin, ALPHA, worse=True)) < -margin
    assert false.mean() <= ALPHA + 2 * np.sqrt(ALPHA * (1 - ALPHA) / len(lost))


@pytest.mark.parametrize(
    ("mode", "metric", "n", "k", "rarest", "margin", "hard", "skill"),
    [
        ("down", "macro_f1", 600, 4, 0.5, 0.03, 0.2, 0.6),
        ("up", "macro_f1", 600, 4, 0.5, 0.03, 0.2, 0.6),
        ("down", "macro_f1", 400, 3, 0.1, 0.04, 0.1, 0.9),
        ("up", "balanced_accuracy", 400, 3, 0.1, 0.04, 0.1, 0.9),
        ("down", "macro_f1", 1000, 8, 1.0, 0.02, 0.15, 0.7),
    ],
)
def test_class_averages_crown_no_unworthy_size_more_often_than_alpha(mode, metric, n, k, rarest, margin, hard, skill):
    world = World.of(k, rarest, hard, skill)
    edge = world.skill_at(metric, margin)
    assert _false_verdicts(world, metric, n, margin, mode, [skill, edge, edge], 2) <= CEILING


@pytest.mark.parametrize("metric", ["macro_f1", "balanced_accuracy"])
def test_loss_that_sits_in_the_rarest_class_alone_is_not_overlooked(metric):
    """BCa alone crowns such a candidate in 15 to 44 % of studies; the guard's worst case is there for it."""
    world, n, margin = World.of(10, 0.02, 0.1, 0.8), 1000, 0.02
    base = world.rights(world.skill)
    rarest = world.shares.argmin()

    def with_right(right):
        rights = base.copy()
        rights[rarest] = right
        return rights

    edge = world.truth(metric, base) - margin
    right = brentq(lambda x: world.truth(metric, with_right(x)) - edge, 0, base[0])
    rng, false, bca = np.random.default_rng(7), 0, 0
    for study in range(STUDIES):
        gold, (big,) = world.draw(rng, n, [world.skill])
        small = big.copy()
        broken = (gold == rarest) & (big == gold) & (rng.random(n) < 1 - right / base[rarest])
        mistaken = (world.wrong.cumsum(axis=1)[gold] < rng.random(n)[:, None]).sum(axis=1)
        small[broken] = mistaken[broken]
        result = resample(metric, gold, small, big, seed=study, n_resamples=200)
        false += result.bound(ALPHA, "lower") > -margin
        bca += result.bca_bound(ALPHA, "lower") > -margin
    assert false / STUDIES <= CEILING
    assert bca / STUDIES > 2 * ALPHA  # else this world tests nothing


@pytest.mark.parametrize(("n_groups", "size"), [(60, 5), (150, 12)])
def test_grouped_rows_crown_no_unworthy_size_more_often_than_alpha(n_groups, size):
    """Whole groups are hard, and each model masters a group or does not; Tango's test is far too hopeful here."""
    rng = np.random.default_rng(3)
    margin, base, share = 0.03, 0.25, 0.8
    groups = np.repeat(np.arange(n_groups), size)
    false = naive = 0
    for study in range(STUDIES):
        gold = np.zeros(n_groups * size, dtype=np.int64)
        models = []
        for error in (base, base + margin):
            failing = rng.random(n_groups) < error / share
            models.append((failing[groups] & (rng.random(len(gold)) < share)).astype(np.int64))
        verdict = decide(
            gold, [Nominee("small", 1, models[1])], Reference("big", models[0], 2),
            margin=margin, groups=groups, seed=study, n_resamples=300,
        )  # fmt: skip
        false += verdict.winner == "small"
        naive += verdict.comparisons[0].ignores_groups.lower > -margin
    assert false / STUDIES <= CEILING
    assert naive / STUDIES > 1.5 * ALPHA  # else this world tests nothing


@pytest.mark.parametrize(("n_groups", "size"), [(100, 10), (50, 20), (200, 5)])
def test_a_loss_of_whole_groups_that_few_samples_show_is_allowed_for(n_groups, size):
    """The candidate loses 1.5 % of the groups whole; some scattered rows differ besides, both ways alike."""
    rng = np.random.default_rng(5)
    groups, margin, false = np.repeat(np.arange(n_groups), size), 0.015, 0
    gold = np.zeros(n_groups * size, dtype=np.int64)
    for study in range(STUDIES):
        candidate, reference = (rng.random(len(gold)) < 0.0025 for _ in range(2))
        candidate |= (rng.random(n_groups) < margin)[groups]
        result = resample(
            "accuracy", gold, candidate.astype(np.int64), reference.astype(np.int64), groups=groups, seed=study,
            n_resamples=50,
        )  # fmt: skip
        false += result.bound(ALPHA, "lower") > -margin
    assert false / STUDIES <= CEILING


def test_bar_is_passed_by_a_model_at_the_bar_no_more_often_than_alpha():
    hits = np.random.default_rng(0).binomial(700, 0.92, 20_000)
    passed = np.mean([exact_pvalue(int(x), 700, 0.92) < ALPHA for x in hits])
    assert passed <= ALPHA + 2 * np.sqrt(ALPHA * (1 - ALPHA) / 20_000)


def _covered(low, high, truth):
    return np.mean((np.asarray(low) <= truth) & (truth <= np.asarray(high)))


@pytest.mark.parametrize(("b", "c", "n"), [(0.04, 0.06, 400), (0.01, 0.03, 1000), (0.1, 0.1, 200)])
def test_tangos_interval_covers(b, c, n):
    draws = np.random.default_rng(1).multinomial(n, [b, c, 1 - b - c], size=20_000)
    low, high = tango_lower(draws[:, 0], draws[:, 1], n, 0.025), tango_upper(draws[:, 0], draws[:, 1], n, 0.025)
    assert _covered(low, high, b - c) == pytest.approx(0.95, abs=0.01)


@pytest.mark.parametrize("grouped", [False, True])
def test_intervals_of_every_score_cover(grouped):
    """1,000 tables of 500 rows; the truth of log loss and calibration error comes from two million rows."""
    rng = np.random.default_rng(2)

    def rows(n):
        # Overconfident by a temperature of 0.7, so that the calibration error is not zero.
        groups = np.arange(n) // 2
        logits = np.repeat(rng.normal(size=(n // 2, 3)), 2, axis=0) if grouped else rng.normal(size=(n, 3))
        honest = np.exp(2 * logits) / np.exp(2 * logits).sum(axis=1, keepdims=True)
        told = honest ** (1 / 0.7) / (honest ** (1 / 0.7)).sum(axis=1, keepdims=True)
        gold = (honest.cumsum(axis=1) < rng.random(n)[:, None]).sum(axis=1).clip(0, 2)
        return gold, told.argmax(axis=1), told, groups if grouped else None

    gold, predicted, told, _ = rows(2_000_000)
    truth = {name: one.value for name, one in metric_intervals(gold, predicted, told, n_resamples=2).items()}
    hits = dict.fromkeys(truth, 0)
    for study in range(1000):
        gold, predicted, told, groups = rows(500)
        found = metric_intervals(gold, predicted, told, groups=groups, seed=study, n_resamples=500)
        for name, one in found.items():
            hits[name] += one.low <= truth[name] <= one.high
    cover = {name: count / 1000 for name, count in hits.items()}
    assert all(share >= 0.95 - 2 * np.sqrt(0.95 * 0.05 / 1000) for share in cover.values()), cover
    assert all(cover[name] <= 0.985 for name in ("accuracy", "log_loss")), cover


@pytest.mark.parametrize(
    ("n", "discordance", "difference"), [(1500, 0.1, 0.0), (700, 0.03, -0.005), (3000, 0.2, 0.005)]
)
def test_power_is_what_studies_show(n, discordance, difference):
    b, c = (discordance + difference) / 2, (discordance - difference) / 2
    draws = np.random.default_rng(4).multinomial(n, [b, c, 1 - b - c], size=20_000)
    shown = np.mean(tango_lower(draws[:, 0], draws[:, 1], n, exact_level(n, 0.02, ALPHA)) > -0.02)
    assert power(n, 0.02, discordance, difference=difference) == pytest.approx(shown, abs=0.03)


def test_an_honest_loss_is_usually_recognised():
    """The guards must not make the bootstrap blind: with balanced classes an equal candidate passes as power says."""
    world, rng, n, margin = World.of(4, 1.0, 0.2, 0.6), np.random.default_rng(5), 1500, 0.03
    passed, disagree = 0, []
    for study in range(400):
        gold, (big, small) = world.draw(rng, n, [0.6, 0.6])
        passed += resample("macro_f1", gold, small, big, seed=study, n_resamples=300).bound(ALPHA, "lower") > -margin
        disagree.append(np.mean((big == gold) != (small == gold)))
    assert passed / 400 >= power(n, margin, float(np.mean(disagree))) - 0.08
