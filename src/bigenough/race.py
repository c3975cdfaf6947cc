# SPDX-License-Identifier: Apache-2.0
"""The race: rungs become candidates, candidates are nominated, certify is opened once, and the verdict falls.

Two ways, one promise. ``race`` fits every rung and tests from the most expensive nominee down, all at α; ``climb`` fits
from the cheapest rung up, tests each at its share of α, and stops at the first that is good enough, so that the costly
rungs need not be fitted at all. Whatever one rung fails at, the others go on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bigenough import early, evidence
from bigenough.errors import OutOfDisk, RungFailed
from bigenough.job import Job
from bigenough.measure.energy import EnergyMeter
from bigenough.options import Options
from bigenough.progress import Progress
from bigenough.rungs.candidate import Budget, Candidate, Found, Predictions, candidate_key, make_candidate
from bigenough.rungs.fit_memory import FitMemory
from bigenough.rungs.halving import SHARES, tournament
from bigenough.rungs.protocol import Rung, Workbench, is_remote
from bigenough.shrinking import parent_of, steps
from bigenough.storage import content_hash
from bigenough.study_folder import StudyFolder
from bigenough.verdict import Bar, EarlyPlan, LeftOut, Nominee, Reference, Verdict, decide
from bigenough.verdict.nomination import Contender, Nomination, nominate

__all__ = ["SEARCHING", "SHRINKING", "Race"]

SEARCHING = "search over all rungs"
"""The name of the step in which a budget for all rungs is spent."""

SHRINKING = "smaller models"
"""The name of the step in which candidates are shrunk."""
KEY = "[0-9a-f]" * 12
"""A candidate's key in its folder's name; "frozen-*" would find "frozen-int8" too."""
SHRINKING_SHARE = {"none": 0.0, "fast": 0.1, "all": 0.35}
"""How much of a budget for all rungs is kept for making smaller models: healing and teaching train again."""
REMOTE_TRIALS = 4
"""Prompts that are tried at most of a model that runs elsewhere."""
LEAST_FLIPS = 0.005
"""With a margin of zero, shrinking may still change this share of the labels: the verdict looks at what they cost."""


@dataclass(frozen=True)
class Race:
    """One study's rungs on their way to a verdict; all it knows is on disk, so it can be run again after a kill."""

    folder: StudyFolder
    job: Job
    options: Options
    bench: Workbench
    meter: EnergyMeter
    progress: Progress

    def race(self, rungs: Sequence[Rung]) -> Verdict:
        """Fit every rung, write the nomination down, open certify, test from the most expensive nominee down."""
        if not self.folder.has("plan.json"):
            candidates, failures = self._fit_all(rungs)
            smaller, refused = self._shrink(candidates, rungs)
            self._plan_race({**candidates, **smaller}, [*failures, *refused])
        plan = self.folder.read("plan.json")
        nomination = Nomination.from_json(plan)
        candidates = {name: Candidate(self.folder.candidates / home) for name, home in plan["candidates"].items()}
        self.progress.start("certify")
        if plan.get("early") is not None:
            return self._judged(candidates, self._ask_early(candidates, nomination, EarlyPlan(**plan["early"])))
        part = (nomination.reference, *nomination.nominees)  # who runs elsewhere and plays none is not paid for
        opened = {name: self._open(each) for name, each in candidates.items() if name in part or not each.remote}
        nominees = [opened[name] for name in nomination.nominees]
        verdict = self._decide(nominees, self._reference(nomination, candidates), nomination)
        return self._judged(candidates, verdict)

    def climb(self, rungs: Sequence[Rung]) -> Verdict:
        """Fit from the cheapest rung up, test each at its share of α, stop at the first that is good enough."""
        candidates: dict[str, Candidate] = {}
        if self.options.bar is None:
            named = [rung for rung in rungs if rung.name == self.options.reference]
            candidates |= self._fit_all(named)[0]
        if not self.folder.has("plan.json"):
            self._plan_climb(rungs, candidates)
        planned = Nomination.from_json(self.folder.read("plan.json"))
        opponent = self._reference(planned, candidates)
        by_name = {rung.name: rung for rung in rungs}
        missing = [name for name in planned.nominees if name not in by_name]
        if missing:
            raise RungFailed(
                f"The rungs {missing} were planned when this study began and are gone. Install them again."
            )
        nominees: list[Nominee] = []
        left_out = list(planned.left_out)
        verdict: Verdict | None = None
        for rung, made in self._fitted([by_name[name] for name in planned.nominees]):
            missed = made.reason if isinstance(made, LeftOut) else "; ".join(self._missed(made))
            if isinstance(made, LeftOut) or missed:
                left_out.append(LeftOut(rung.name, missed))
                continue
            candidates[rung.name] = made
            nominees.append(self._open(made))
            verdict = self._decide(nominees, opponent, replace(planned, left_out=tuple(left_out)))
            if verdict.answer == "proved":
                return self._judged(candidates, verdict)
        verdict = self._decide(nominees, opponent, replace(planned, left_out=tuple(left_out)))
        return self._judged(candidates, verdict)

    def _judged(self, candidates: Mapping[str, Candidate], verdict: Verdict) -> Verdict:
        """Keep which folder was judged under which name: another version may have left others beside it."""
        self.folder.write("judged.json", {name: each.folder.name for name, each in candidates.items()})
        return verdict

    def _fit_all(self, rungs: Sequence[Rung]) -> tuple[dict[str, Candidate], list[LeftOut]]:
        candidates: dict[str, Candidate] = {}
        failures: list[LeftOut] = []
        searched: dict[str, Found] = {}
        if self.options.budget_minutes is not None:
            rungs, searched, failures = self._search_all(rungs, self.options.budget_minutes)
        for rung, made in self._fitted(rungs, searched):
            if isinstance(made, LeftOut):
                failures.append(made)
            else:
                candidates[rung.name] = made
        if not candidates:
            reasons = " ".join(f"{each.candidate} {each.reason}." for each in failures)
            raise RungFailed(f"No rung could be fitted: {reasons}")
        return candidates, failures

    def _search_all(self, rungs: Sequence[Rung], minutes: float) -> tuple[list[Rung], dict[str, Found], list[LeftOut]]:
        """One search over all rungs within the study's budget; what each ended with, and who is left out."""
        self.progress.start(SEARCHING)
        left_out = [LeftOut(rung.name, reason) for rung in rungs if (reason := self._unable(rung))]
        unable = {each.candidate for each in left_out}
        able = [rung for rung in rungs if rung.name not in unable and not is_remote(rung)]
        with self.meter.metered() as reading:
            held = tournament(
                able, self.job.fit, self.job.select, len(self.job.task.classes), self.job.task.metric,
                minutes=minutes * (1 - self._shrinking_share), trials=self.options.trials, bench=self.bench,
                memory_of=self._memory,
            )  # fmt: skip
        self.folder.write("search.json", held.record)
        whole = sum(result.seconds for result in held.results.values()) or 1.0
        found = {
            name: Found(result, SHARES, held.fit_minutes.get(name), _share(reading.to_json(), result.seconds / whole))
            for name, result in held.results.items()
        }
        left_out += [LeftOut(name, reason) for name, reason in held.left_out.items()]
        # Every part of fit would be paid for at an endpoint: what runs elsewhere has a search of its own.
        elsewhere = [rung for rung in rungs if rung.name not in unable and is_remote(rung)]
        return [*(rung for rung in able if rung.name in found), *elsewhere], found, left_out

    def _shrink(
        self, candidates: Mapping[str, Candidate], rungs: Sequence[Rung]
    ) -> tuple[dict[str, Candidate], list[LeftOut]]:
        """Make smaller models of the candidates that stand a chance: the best on select, and whoever it would face."""
        here = [self._contender(each) for each in candidates.values() if not each.remote]
        if self.options.shrink == "none" or not here:
            return {}, []
        self.progress.start(SHRINKING)
        field = nominate(here, against="best", order_by=self.options.order_by)
        chosen = [name for name in (field.reference, *field.nominees) if name and candidates[name].record["place"] > 0]
        makers = {rung.name: rung for rung in rungs}
        made: dict[str, Candidate] = {}
        refused: list[LeftOut] = []
        plan = list(steps(
            candidates, chosen, rungs, allowed_flips=max(self.options.margin_fraction, LEAST_FLIPS),
            all_=self.options.shrink == "all", teacher=self.options.teacher,
        ))  # fmt: skip
        budget = self._budget
        if self.options.budget_minutes is not None:
            budget = replace(budget, minutes=self.options.budget_minutes * self._shrinking_share / max(1, len(plan)))
        for step in plan:
            known = {**candidates, **made}
            parent = next(name for name in step.parents if name in known)
            rung = step.make(parent_of(known[parent], makers[parent], self.job, self.bench))
            makers[rung.name] = rung
            for _, product in self._fitted([rung], step=False, budget=budget):
                if isinstance(product, LeftOut):
                    refused.append(product)
                else:
                    made[rung.name] = product
        return made, refused

    def _fitted(
        self,
        rungs: Sequence[Rung],
        searched: Mapping[str, Found] | None = None,
        *,
        step: bool = True,
        budget: Budget | None = None,
    ) -> Iterator[tuple[Rung, Candidate | LeftOut]]:
        """Each rung fitted and measured when it is asked for; a failure costs that rung only."""
        for rung in rungs:
            if step:
                self.progress.start(rung.name)
            made: Candidate | LeftOut
            try:
                unsuited = self._unsuited(rung)
                found = (searched or {}).get(rung.name)
                made = LeftOut(rung.name, unsuited) if unsuited else self._fit_one(rung, found, budget)
            except OutOfDisk:
                raise
            except Exception as error:  # a plugin or a library may raise anything
                reason = f"could not be fitted ({type(error).__name__}: {error})"
                self.progress.note(f"{rung.name} {reason} and is left out.")
                made = LeftOut(rung.name, reason)
            yield rung, made

    def _unable(self, rung: Rung) -> str | None:
        """Why a rung cannot take part in a common search: it is nothing for these data, or its weights are missing."""
        try:
            unsuited = self._unsuited(rung)
            self._memory(rung)
        except OutOfDisk:
            raise
        except Exception as error:  # a plugin or a library may raise anything
            return f"could not be fitted ({type(error).__name__}: {error})"
        return unsuited

    def _unsuited(self, rung: Rung) -> str | None:
        asked: Callable[..., str | None] | None = getattr(rung, "unsuited", None)
        return None if asked is None else asked(self.job.fit, len(self.job.task.classes))

    def _fit_one(self, rung: Rung, searched: Found | None = None, budget: Budget | None = None) -> Candidate:
        opened = sorted(self.folder.candidates.glob(f"{rung.name}-{KEY}/certify.npz"))
        if opened:  # it has met certify: another version of its recipe must not get a second look
            return Candidate(opened[0].parent)
        candidate = make_candidate(
            rung, self.folder.candidates / f"{rung.name}-{self._key(rung)}",
            fit=self.job.fit, select=self.job.select, task=self.job.task, budget=self._bounded(rung, budget),
            bench=self.bench, meter=self.meter.metered, memory=self._memory(rung), searched=searched,
        )  # fmt: skip
        self.progress.say("measuring speed and memory in a fresh process")
        self._performance(candidate)
        return candidate

    def _bounded(self, rung: Rung, budget: Budget | None) -> Budget:
        """Each prompt that is tried is paid for on every select row, so few are; its money has a bound of its own."""
        budget = budget or self._budget
        return replace(budget, trials=min(budget.trials, REMOTE_TRIALS)) if is_remote(rung) else budget

    @property
    def _shrinking_share(self) -> float:
        return SHRINKING_SHARE[self.options.shrink]

    @property
    def _budget(self) -> Budget:
        return Budget(self.options.trials, self.options.budget_minutes or self.options.minutes)

    def _key(self, rung: Rung) -> str:
        """By what a rung's fits and its candidate are found again."""
        told = [list(self.bench.unlabelled), dict(self.bench.descriptions), self.options.budget_minutes]
        data = content_hash(self.job.key, told) if any(told) else self.job.key
        return candidate_key(rung, data, self.job.task, self._budget, rung.weights(self.bench), self.options.seed)

    def _memory(self, rung: Rung) -> FitMemory:
        return FitMemory(self.folder.path / "fits" / self._key(rung))

    def _plan_race(self, candidates: Mapping[str, Candidate], failures: Sequence[LeftOut]) -> None:
        """Settle who is tested before certify is opened; once written down, it stands."""
        against = None if self.options.bar is not None else self.options.reference
        if against not in (None, "best") and against not in candidates:
            reasons = [each.reason for each in failures if each.candidate == against]
            raise RungFailed(f"The reference {against!r} {''.join(reasons)}, so there is nothing to compare with.")
        nomination = nominate(
            [self._contender(each) for each in candidates.values()], against=against, order_by=self.options.order_by
        )
        self._write_plan(replace(nomination, left_out=(*nomination.left_out, *failures)), candidates)

    def _plan_climb(self, rungs: Sequence[Rung], reference: Mapping[str, Candidate]) -> None:
        """Only rungs that stand below the reference are climbed: a larger one cannot be the smallest."""
        places = [rung.place for rung in rungs if rung.name in reference]
        ladder = [rung.name for rung in rungs if not places or rung.place < places[0]]
        above = [
            LeftOut(rung.name, f"stands above the reference {self.options.reference} on the ladder")
            for rung in rungs
            if places and rung.place >= places[0] and rung.name not in reference
        ]
        within = all(not self._missed(each) for each in reference.values()) and bool(reference)
        self._write_plan(Nomination(next(iter(reference), None), within, tuple(ladder), tuple(above)), reference)

    def _contender(self, candidate: Candidate) -> Contender:
        cost = candidate.serving_bytes
        if self.options.order_by == "latency" and not candidate.remote:
            cost = float(self._performance(candidate)["latency_p50_ms"]["value"])
        score = candidate.record["select"][self.options.metric]
        return Contender(candidate.name, cost, score, self._missed(candidate))

    def _write_plan(self, nomination: Nomination, candidates: Mapping[str, Candidate]) -> None:
        options = self.options
        settled = {
            "metric": options.metric,
            "margin": options.margin_fraction,
            "alpha": options.alpha,
            "mode": options.search,
            "order_by": options.order_by,
            "bar": options.bar,
            "candidates": {name: each.folder.name for name, each in candidates.items()},
            "early": self._plan_early(nomination, candidates),
        }
        self.folder.write("plan.json", {**settled, **nomination.to_json()})

    def _plan_early(self, nomination: Nomination, candidates: Mapping[str, Candidate]) -> dict[str, Any] | None:
        """How the reference is asked until the question is settled; None to ask it about every row."""
        options, certify = self.options, self.job.certify
        if options.generalist is None or not options.generalist.stop_early:
            return None
        reason = early.why_all_rows(nomination, candidates, certify)
        if reason is not None:
            self.progress.note(f"Every certify row is asked, early stop or not: {reason}.")
            return None
        return asdict(
            early.plan_asking(
                nomination, candidates, rows=len(certify), margin=options.margin_fraction, seed=options.seed
            )
        )

    def _ask_early(self, candidates: Mapping[str, Candidate], nomination: Nomination, plan: EarlyPlan) -> Verdict:
        """Ask the reference until the nominees' cases are settled, and judge on the rows that were asked."""
        from bigenough.report.asking import asking_sentence

        paid = candidates[str(nomination.reference)]
        opened = {name: self._open(each) for name, each in candidates.items() if each is not paid}
        said = early.ask(
            paid, {name: candidates[name].predictions("certify").predicted for name in nomination.nominees},
            self.job.certify, plan, margin=self.options.margin_fraction, alpha=self.options.alpha,
            threads=self.bench.threads, say=self.progress.say,
        )  # fmt: skip
        evidence.describe_quality(paid, said, self.job.certify, self.job.task, seed=self.options.seed)
        nominees = [
            replace(opened[name], predicted=candidates[name].predictions("certify").predicted[said.positions])
            for name in nomination.nominees
        ]
        reference = self._as_reference(paid, said, nomination)
        verdict = self._decide(nominees, reference, nomination, gold=said.gold, plan=plan)
        self.progress.note(asking_sentence(verdict.to_json(), self._performance(paid)))
        return verdict

    def _open(self, candidate: Candidate) -> Nominee:
        """Let a candidate meet the certify rows, and keep what it said of each."""
        self.progress.say(f"{candidate.name} on the certify rows")
        predictions = evidence.certify(candidate, self.job.certify, threads=self.bench.threads)
        evidence.describe_quality(candidate, predictions, self.job.certify, self.job.task, seed=self.options.seed)
        return Nominee(candidate.name, candidate.size_bytes, predictions.predicted)

    def _reference(self, nomination: Nomination, candidates: Mapping[str, Candidate]) -> Reference | Bar:
        if nomination.reference is None:
            return Bar(float(self.options.bar or 0.0))
        candidate = candidates[nomination.reference]
        self._open(candidate)
        return self._as_reference(candidate, candidate.predictions("certify"), nomination)

    def _as_reference(self, candidate: Candidate, said: Predictions, nomination: Nomination) -> Reference:
        return Reference(
            candidate.name, said.predicted, candidate.size_bytes,
            within_limits=nomination.reference_within_limits,
            chosen="best" if self.options.reference == "best" else "named",
        )  # fmt: skip

    def _decide(
        self,
        nominees: Sequence[Nominee],
        reference: Reference | Bar,
        nomination: Nomination,
        *,
        gold: NDArray[np.int64] | None = None,
        plan: EarlyPlan | None = None,
    ) -> Verdict:
        options = self.options
        return decide(
            self.job.certify.labels if gold is None else gold, nominees, reference,
            metric=options.metric, margin=options.margin_fraction, alpha=options.alpha, mode=options.search,
            groups=self.job.certify.groups, left_out=nomination.left_out, seed=options.seed,
            order_by="size_bytes" if options.order_by == "size" else "latency",
            planned=len(nomination.nominees), early=plan,
        )  # fmt: skip

    def _performance(self, candidate: Candidate) -> dict[str, Any]:
        """What was measured of it; measured anew in another setting, as long as nothing was settled by it."""
        texts = self.job.select.texts
        return evidence.measure(candidate, texts, threads=self.bench.threads, meter=self.meter)

    def _missed(self, candidate: Candidate) -> tuple[str, ...]:
        return evidence.missed_limits(self._performance(candidate), self.options.limits)


def _share(energy: Mapping[str, Any], share: float) -> dict[str, Any]:
    """A part of some energy, as JSON values."""
    return {
        name: {
            part: value * share if part in ("value", "low", "high") and value is not None else value
            for part, value in quantity.items()
        }
        for name, quantity in energy.items()
    }
