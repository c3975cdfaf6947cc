# SPDX-License-Identifier: Apache-2.0
"""Asking a paid reference about certify rows in batches, and ending when the nominees' cases are settled.

It decides which rows are asked, never what they prove: the test is ``bigenough.verdict.stopping``. Everything that the
test stands on is fixed by ``plan_asking`` before the first row is asked and written into plan.json.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from bigenough.errors import BudgetSpent, TamperedArtefact
from bigenough.rungs.candidate import Candidate, Predictions
from bigenough.rungs.protocol import Predictor
from bigenough.task import Examples
from bigenough.verdict import EarlyPlan, stopping
from bigenough.verdict.anytime import SequentialWalk, asking_order
from bigenough.verdict.nomination import Nomination
from bigenough.verdict.stopping import idle, start

__all__ = ["BATCH_ROWS", "ask", "plan_asking", "why_all_rows"]

BATCH_ROWS = 50
"""Rows asked at a time: enough to keep an endpoint busy, and at most so many are paid after the question is settled."""
LEAST_DISCORDANCE, MOST_DISCORDANCE = 0.02, 0.5
"""Between these the discordance seen on select is believed; a few hundred rows say no more."""

Floats = NDArray[np.float64]


def why_all_rows(nomination: Nomination, candidates: Mapping[str, Candidate], certify: Examples) -> str | None:
    """Why asking cannot be stopped early, although it was wished; None if it can."""
    paid = nomination.reference is not None and candidates[nomination.reference].remote
    return stopping.why_all_rows(paid=paid, nominees=len(nomination.nominees), grouped=certify.groups is not None)


def plan_asking(
    nomination: Nomination, candidates: Mapping[str, Candidate], *, rows: int, margin: float, seed: int
) -> EarlyPlan:
    """What is fixed before the first of so many certify rows is asked.

    The discordance that is expected is that of the reference and the first nominee on select.
    """
    reference, first = (
        candidates[str(name)].predictions("select") for name in (nomination.reference, nomination.nominees[0])
    )
    apart = np.mean((reference.predicted == reference.gold) != (first.predicted == first.gold))
    least = min(max(margin, LEAST_DISCORDANCE), MOST_DISCORDANCE)
    return EarlyPlan(rows, seed, BATCH_ROWS, float(np.clip(apart, least, MOST_DISCORDANCE)))


def ask(
    reference: Candidate,
    nominees: Mapping[str, NDArray[np.int64]],
    certify: Examples,
    plan: EarlyPlan,
    *,
    margin: float,
    alpha: float,
    threads: int,
    say: Callable[[str, float | None], None] = lambda what, done: None,
) -> Predictions:
    """Ask the reference about certify rows in the planned order until asking more can change nothing.

    Every batch is kept in its ``certify.npz`` the moment it is answered, so that a run that was killed goes on from
    there; so does one whose budget had been spent, if there is more now.

    Args:
        reference: the candidate that is asked.
        nominees: in the order of testing, each with its (n,) codes on all n certify rows.
        certify: the rows.
        plan: what was fixed beforehand.
        margin: of the verdict, a fraction.
        alpha: of the verdict.
        threads: for a reference that computes here.
        say: told how far it is.

    Returns:
        What the reference said of the asked rows, in the order of asking; fewer than would settle the question only
        when its budget is spent.

    Raises:
        BudgetSpent: the budget does not allow a single row.
        RungFailed: the endpoint cannot be asked; what was answered is kept.
        TamperedArtefact: the rows that were kept are not the planned ones.
    """
    order = asking_order(plan.of, plan.order_seed)
    gold = certify.labels[order]
    right = np.stack([predicted[order] == gold for predicted in nominees.values()], axis=1)
    walk = start(plan, list(nominees), margin, alpha)
    said = _kept(reference, order, gold)
    if said is not None:
        walk.update(right[: len(said.gold)], said.predicted == said.gold)
    predictor = None if idle(walk) else reference.predictor(threads)
    while predictor is not None and not idle(walk):
        say(f"{reference.name}: {walk.asked:,} of {plan.of:,} certify rows asked", walk.asked / plan.of)
        rows = order[walk.asked : (walk.asked // plan.batch_rows + 1) * plan.batch_rows]
        answers, spent = _answered(predictor, [certify.texts[row] for row in rows])
        if len(answers):
            said = _added(reference, said, answers, order, gold)
            _walk_on(walk, right, said)
        if spent is not None and said is None:
            raise spent
        if spent is not None:
            break
    assert said is not None  # noqa: S101  (an undecided walk asks at least one batch)
    return said


def _kept(reference: Candidate, order: NDArray[np.int64], gold: NDArray[np.int64]) -> Predictions | None:
    """What an earlier run had asked."""
    if not reference.has("certify.npz"):
        return None
    said = reference.predictions("certify")
    n = len(said.gold)
    planned = said.positions is not None and np.array_equal(said.positions, order[:n])
    if not planned or not np.array_equal(said.gold, gold[:n]):
        raise TamperedArtefact(
            f"{reference.folder / 'certify.npz'} does not hold the first rows of the order that plan.json fixed. "
            "Begin the study again in another folder (--out DIR)."
        )
    return said


def _answered(predictor: Predictor, texts: Sequence[str]) -> tuple[Floats, BudgetSpent | None]:
    """The probabilities of as many of these texts, from the first, as the budget allows, and what ended it."""
    try:
        return predictor.predict_proba(texts), None
    except BudgetSpent as error:
        spent = error
    # Of the batch that was broken off some rows are paid for: they count, as far as none is missing before them.
    rows: list[Floats] = []
    for text in texts:
        try:
            rows.append(predictor.predict_proba([text])[0])
        except BudgetSpent:
            break
    return np.array(rows, np.float64).reshape(len(rows), predictor.n_classes), spent


def _added(
    reference: Candidate,
    said: Predictions | None,
    answers: Floats,
    order: NDArray[np.int64],
    gold: NDArray[np.int64],
) -> Predictions:
    """The answers with those before them, kept; evidence that was written on fewer rows is out of date."""
    probability = answers if said is None else np.concatenate([said.probability, answers])
    n = len(probability)
    together = Predictions.of(gold[:n], probability, order[:n])
    (reference.folder / "evidence.json").unlink(missing_ok=True)  # first: a kill in between must not leave it
    together.save(reference.folder / "certify.npz")
    return together


def _walk_on(walk: SequentialWalk, right: NDArray[np.bool_], said: Predictions) -> None:
    new = slice(walk.asked, len(said.gold))
    walk.update(right[new], said.predicted[new] == said.gold[new])
