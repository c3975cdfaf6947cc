# SPDX-License-Identifier: Apache-2.0
"""The race: the ladder's candidates are nominated, certify is opened once, and the verdict falls.

Two ways, one promise. ``race`` fits every rung and tests from the most expensive nominee down, all at α; ``climb`` fits
from the cheapest rung up, tests each at its share of α, and stops at the first that is good enough, so that the costly
rungs need not be fitted at all.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bigenough import early, evidence
from bigenough.errors import OutOfDisk, RungFailed
from bigenough.job import Job
from bigenough.ladder import Ladder
from bigenough.measure.energy import EnergyMeter
from bigenough.options import Options
from bigenough.progress import Progress
from bigenough.rungs.candidate import Candidate, Predictions
from bigenough.rungs.protocol import Rung, Workbench
from bigenough.study_folder import StudyFolder
from bigenough.verdict import Bar, EarlyPlan, LeftOut, Nominee, Reference, Verdict, decide
from bigenough.verdict.nomination import Nomination, nominate

__all__ = ["Race"]


@dataclass(frozen=True)
class Race:
    """One study's rungs on their way to a verdict; all it knows is on disk, so it can be run again after a kill."""

    folder: StudyFolder
    job: Job
    options: Options
    bench: Workbench
    meter: EnergyMeter
    progress: Progress

    @cached_property
    def ladder(self) -> Ladder:
        """What makes and measures the candidates."""
        return Ladder(self.folder, self.job, self.options, self.bench, self.meter, self.progress)

    def race(self, rungs: Sequence[Rung]) -> Verdict:
        """Fit every rung, write the nomination down, open certify, test from the most expensive nominee down."""
        if not self.folder.has("plan.json"):
            candidates, failures = self.ladder.fit_all(rungs)
            smaller, refused = self.ladder.shrink(candidates, rungs)
            self._plan_race({**candidates, **smaller}, [*failures, *refused])
        plan = self.folder.read("plan.json")
        nomination = Nomination.from_json(plan)
        candidates = {name: Candidate(self.folder.candidates / home) for name, home in plan["candidates"].items()}
        self.progress.start("certify")
        if plan.get("early") is not None:
            return self._judged(candidates, self._ask_early(candidates, nomination, EarlyPlan(**plan["early"])))
        part = (nomination.reference, *nomination.nominees)  # who runs elsewhere and plays none is not paid for
        opened = {name: self._open(candidates[name]) for name in part if name is not None}
        self._open_others(each for name, each in candidates.items() if name not in part and not each.remote)
        nominees = [opened[name] for name in nomination.nominees]
        verdict = self._decide(nominees, self._reference(nomination, candidates), nomination)
        return self._judged(candidates, verdict)

    def climb(self, rungs: Sequence[Rung]) -> Verdict:
        """Fit from the cheapest rung up, test each at its share of α, stop at the first that is good enough."""
        candidates: dict[str, Candidate] = {}
        if self.options.bar is None:
            named = [rung for rung in rungs if rung.name == self.options.reference]
            candidates |= self._fitted_reference(named)
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
        for rung, made in self.ladder.fitted([by_name[name] for name in planned.nominees]):
            missed = made.reason if isinstance(made, LeftOut) else "; ".join(self.ladder.missed(made))
            if isinstance(made, LeftOut) or missed:
                left_out.append(LeftOut(rung.name, missed))
                continue
            candidates[rung.name] = made
            nominees.append(self._open(made))
            verdict = self._decide(nominees, opponent, replace(planned, left_out=tuple(left_out)))
            if verdict.winner == rung.name:  # and not the reference, which is chosen once all are shown worse
                return self._judged(candidates, verdict)
        verdict = self._decide(nominees, opponent, replace(planned, left_out=tuple(left_out)))
        return self._judged(candidates, verdict)

    def _fitted_reference(self, named: Sequence[Rung]) -> Mapping[str, Candidate]:
        try:
            return self.ladder.fit_all(named)[0]
        except RungFailed as error:
            raise RungFailed(
                f"There is no reference to climb towards. {error} Certify was not opened: the same command goes on "
                f"once that is mended, and with --against another rung and --out {self._quoted} it goes on at once."
            ) from error

    @property
    def _quoted(self) -> str:
        """The study's folder, as a shell takes it."""
        return shlex.quote(str(self.folder.path))

    def _judged(self, candidates: Mapping[str, Candidate], verdict: Verdict) -> Verdict:
        """Keep which folder was judged under which name: another version may have left others beside it."""
        self.folder.write("judged.json", {name: each.folder.name for name, each in candidates.items()})
        return verdict

    def _plan_race(self, candidates: Mapping[str, Candidate], failures: Sequence[LeftOut]) -> None:
        """Settle who is tested before certify is opened; once written down, it stands."""
        against = None if self.options.bar is not None else self.options.reference
        if against not in (None, "best") and against not in candidates:
            reasons = [each.reason for each in failures if each.candidate == against]
            scores = {each.name: each.record["select"][self.options.metric] for each in candidates.values()}
            so_far = ", ".join(f"{name} {100 * score:.1f} %" for name, score in scores.items())
            metric = self.options.metric.replace("_", " ")
            raise RungFailed(
                f"The reference {against!r} {''.join(reasons)}, so there is nothing to compare with. The other rungs "
                f"are fitted and kept ({metric} on select: {so_far}), and certify was not opened. The same "
                "command goes on from here once that is mended; with --against best and --out "
                f"{self._quoted} `bigenough fit` goes on without that reference."
            )
        nomination = nominate(
            [self.ladder.contender(each) for each in candidates.values()],
            against=against, order_by=self.options.order_by,
        )  # fmt: skip
        self._write_plan(replace(nomination, left_out=(*nomination.left_out, *failures)), candidates)

    def _plan_climb(self, rungs: Sequence[Rung], reference: Mapping[str, Candidate]) -> None:
        """Only rungs that stand below the reference are climbed: a larger one cannot be the smallest."""
        places = [rung.place for rung in rungs if rung.name in reference]
        below = [rung.name for rung in rungs if not places or rung.place < places[0]]
        above = [
            LeftOut(rung.name, f"stands above the reference {self.options.reference} on the ladder")
            for rung in rungs
            if places and rung.place >= places[0] and rung.name not in reference
        ]
        within = all(not self.ladder.missed(each) for each in reference.values()) and bool(reference)
        self._write_plan(Nomination(next(iter(reference), None), within, tuple(below), tuple(above)), reference)

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
        opened = {name: self._open(candidates[name]) for name in nomination.nominees}
        self._open_others(each for name, each in candidates.items() if each is not paid and name not in opened)
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
        self.progress.note(asking_sentence(verdict.to_json(), self.ladder.performance(paid)))
        return verdict

    def _open(self, candidate: Candidate) -> Nominee:
        """Let a candidate meet the certify rows, and keep what it said of each."""
        self.progress.say(f"{candidate.name} on the certify rows")
        predictions = evidence.certify(candidate, self.job.certify, threads=self.bench.threads)
        evidence.describe_quality(candidate, predictions, self.job.certify, self.job.task, seed=self.options.seed)
        return Nominee(candidate.name, candidate.size_bytes, predictions.predicted)

    def _open_others(self, candidates: Iterable[Candidate]) -> None:
        """Let those meet certify too that nobody tests; what one of them raises costs its figures, not the verdict."""
        for candidate in candidates:
            try:
                self._open(candidate)
            except OutOfDisk:
                raise
            except Exception as error:  # a plugin may raise anything
                (candidate.folder / "certify.npz").unlink(missing_ok=True)  # with its evidence or not at all
                self.progress.note(
                    f"{candidate.name} has no figures on certify ({type(error).__name__}: {error}). The verdict does "
                    "not stand on them."
                )

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
