# SPDX-License-Identifier: Apache-2.0
"""The ladder of one study: rungs become candidates, smaller ones are made of the best, and each is measured.

Whatever one rung fails at, the others go on. All of it is found again on disk, under keys of what it was made of.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from bigenough import evidence
from bigenough.errors import OutOfDisk, RungFailed
from bigenough.job import Job
from bigenough.measure.energy import EnergyMeter
from bigenough.options import Options
from bigenough.progress import Progress
from bigenough.rungs.candidate import Budget, Candidate, Found, candidate_key, make_candidate
from bigenough.rungs.fit_memory import FitMemory
from bigenough.rungs.halving import Tournament, tournament
from bigenough.rungs.parent import Parent
from bigenough.rungs.protocol import Rung, Workbench, is_remote
from bigenough.rungs.shared_energy import Energy, SharedEnergy, shared_out, whole_energy
from bigenough.shrinking import forget_answers, parent_of, steps
from bigenough.storage import content_hash
from bigenough.study_folder import StudyFolder
from bigenough.verdict import LeftOut
from bigenough.verdict.nomination import Contender, nominate

__all__ = ["SEARCHING", "SHRINKING", "Ladder", "training_minutes"]

SEARCHING = "search over all rungs"
"""The name of the step in which a budget for all rungs is spent."""
SHRINKING = "smaller models"
"""The name of the step in which candidates are shrunk."""
KEY = "[0-9a-f]" * 12
"""A candidate's key in its folder's name; "frozen-*" would find "frozen-int8" too."""
SHRINKING_SHARE = {"none": 0.0, "fast": 0.1, "taught": 0.25, "all": 0.35}
"""How much of a budget for all rungs is kept for making smaller models: healing and teaching train again."""
REMOTE_TRIALS = 4
"""Prompts that are tried at most of a model that runs elsewhere."""
LEAST_FLIPS = 0.005
"""With a margin of zero, shrinking may still change this share of the labels: the verdict looks at what they cost."""


@dataclass(frozen=True)
class Ladder:
    """One study's rungs on their way to candidates; all it knows is on disk, so a kill costs no finished fit."""

    folder: StudyFolder
    job: Job
    options: Options
    bench: Workbench
    meter: EnergyMeter
    progress: Progress
    _told: set[str] = field(default_factory=set, init=False, repr=False, compare=False)

    def fit_all(self, rungs: Sequence[Rung]) -> tuple[dict[str, Candidate], list[LeftOut]]:
        """The candidates of all rungs by name, and who is left out.

        Raises ``RungFailed`` when no rung could be fitted.
        """
        candidates: dict[str, Candidate] = {}
        failures: list[LeftOut] = []
        searched: dict[str, Found] = {}
        if self.options.budget_minutes is not None:
            rungs, searched, failures = self._search_all(rungs, self.options.budget_minutes)
        for rung, made in self.fitted(rungs, searched):
            if isinstance(made, LeftOut):
                failures.append(made)
            else:
                candidates[rung.name] = made
        if not candidates:
            reasons = " ".join(f"{each.candidate} {each.reason}." for each in failures)
            raise RungFailed(f"No rung could be fitted: {reasons}")
        return candidates, failures

    def shrink(
        self, candidates: Mapping[str, Candidate], rungs: Sequence[Rung]
    ) -> tuple[dict[str, Candidate], list[LeftOut]]:
        """Make smaller models of the candidates that stand a chance: the best on select, and whoever it would face.

        A teacher that was named is made smaller too.

        Returns:
            The smaller ones by name, and those that were refused.
        """
        here = [self.contender(each) for each in candidates.values() if not each.remote]
        if self.options.shrink == "none" or not here:
            return {}, []
        self.progress.start(SHRINKING)
        field = nominate(here, against="best", order_by=self.options.order_by)
        named = self.options.teacher if self.options.teacher in {each.name for each in here} else None
        if self.options.teacher is not None and self.options.teacher not in candidates:
            self.progress.note(f"The teacher {self.options.teacher} has no model: the best on select teaches instead.")
        promising = dict.fromkeys((field.reference, *field.nominees, named))
        chosen = [name for name in promising if name and candidates[name].record["place"] > 0]
        makers = {rung.name: rung for rung in rungs}
        made: dict[str, Candidate] = {}
        refused: list[LeftOut] = []
        plan = list(steps(
            candidates, chosen, rungs, allowed_flips=max(self.options.margin_fraction, LEAST_FLIPS),
            lessons=self.options.teaches, layers=self.options.shrink == "all",
            teacher=self.options.teacher,
        ))  # fmt: skip
        spent = 0.0
        for place, step in enumerate(plan):
            known = {**candidates, **made}
            parent_name = next((name for name in step.parents if name in known), None)
            if parent_name is None:
                continue
            began = time.monotonic()
            budget = self._part(spent, [each.trains for each in plan], place)
            parent = parent_of(known[parent_name], makers[parent_name], self.job, self.bench)
            rung = step.make(parent, budget.minutes)
            makers[rung.name] = rung
            seconds = 0.0
            for _, product in self.fitted([rung], step=False, budget=budget):
                if isinstance(product, LeftOut):
                    refused.append(product)
                else:
                    made[rung.name] = product
                    seconds = float(product.record["search_seconds"]) + float(product.record["fit_seconds"])
                    self._tell_processor(product)
            for maker in makers.values():  # a parent may have been fitted again, from a parent of its own
                if isinstance(of := getattr(maker, "parent", None), Parent):
                    of.release()  # or the models of all would lie in memory until the last step is done
            spent += max(time.monotonic() - began, seconds) / 60
        forget_answers(candidates.values())
        return made, refused

    def _part(self, spent_minutes: float, trains: Sequence[bool], place: int) -> Budget:
        """What the step at this place may take."""
        if self.options.budget_minutes is None:
            return self._budget
        whole = self.options.budget_minutes * self._shrinking_share
        return replace(self._budget, minutes=training_minutes(whole, spent_minutes, sum(trains[place:]), sum(trains)))

    def _tell_processor(self, product: Candidate) -> None:
        """8-bit products differ between processors: on which the choice was made."""
        features = (product.record.get("record") or {}).get("processor_features")
        if features is not None:
            told = ", ".join(features) or "none of the known features"
            self.progress.note(f"{product.name}: 8-bit variants were tried on a processor with {told}.")

    def fitted(
        self,
        rungs: Sequence[Rung],
        searched: Mapping[str, Found] | None = None,
        *,
        step: bool = True,
        budget: Budget | None = None,
    ) -> Iterator[tuple[Rung, Candidate | LeftOut]]:
        """Each rung fitted and measured when it is asked for; a failure costs that rung only.

        Args:
            rungs: which, in this order.
            searched: what a search over all rungs found, by rung; the others search for themselves.
            step: whether each rung is a step of the progress.
            budget: another than the options'.

        Raises:
            OutOfDisk: what is finished is kept.
        """
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

    def contender(self, candidate: Candidate) -> Contender:
        """What a nomination looks at: its cost to serve, its score on select, the limits that it misses."""
        cost = candidate.serving_bytes
        if self.options.order_by == "latency" and not candidate.remote:
            cost = float(self.performance(candidate)["latency_p50_ms"]["value"])
        score = candidate.record["select"][self.options.metric]
        made = bool(candidate.record.get("made_from"))
        return Contender(candidate.name, cost, score, self.missed(candidate), made)

    def performance(self, candidate: Candidate) -> dict[str, Any]:
        """What was measured of it; measured anew in another setting, as long as nothing was settled by it."""
        texts = self.job.select.texts
        return evidence.measure(candidate, texts, threads=self.bench.threads, meter=self.meter)

    def missed(self, candidate: Candidate) -> tuple[str, ...]:
        """The limits that it misses, each in words."""
        return evidence.missed_limits(self.performance(candidate), self.options.limits)

    def _search_all(self, rungs: Sequence[Rung], minutes: float) -> tuple[list[Rung], dict[str, Found], list[LeftOut]]:
        """One search over all rungs within the study's budget; what each ended with, and who is left out."""
        self.progress.start(SEARCHING)
        left_out = [LeftOut(rung.name, reason) for rung in rungs if (reason := self._unable(rung))]
        unable = {each.candidate for each in left_out}
        able = [rung for rung in rungs if rung.name not in unable and not is_remote(rung)]
        # Every part of fit would be paid for at an endpoint: what runs elsewhere has a search of its own.
        elsewhere = [rung for rung in rungs if rung.name not in unable and is_remote(rung)]
        if not able:
            return elsewhere, {}, left_out
        memories = {rung.name: self._memory(rung) for rung in able}
        with self.meter.metered() as reading:
            held = tournament(
                able, self.job.fit, self.job.select, len(self.job.task.classes), self.job.task.metric,
                minutes=minutes * (1 - self._shrinking_share), trials=self.options.trials, bench=self.bench,
                memory_of=lambda rung: memories[rung.name],
            )  # fmt: skip
        shares = self._write_search(held, {rung.name: self._key(rung) for rung in able}, memories, reading.to_json())
        found = {
            name: Found(result, held.points[name], held.fit_minutes.get(name), shares[name])
            for name, result in held.results.items()
        }
        left_out += [LeftOut(name, reason) for name, reason in held.left_out.items()]
        return [*(rung for rung in able if rung.name in found), *elsewhere], found, left_out

    def _write_search(
        self, held: Tournament, keys: Mapping[str, str], memories: Mapping[str, FitMemory], metered: Energy
    ) -> dict[str, SharedEnergy]:
        """Keep what was tried and what it took, with what an earlier run had metered of it; the rungs' energy."""
        before = self.folder.read("search.json")["rungs"] if self.folder.has("search.json") else {}
        same = {name: rung for name, rung in before.items() if rung.get("key") == keys.get(name)}
        shares = shared_out(held.record["rungs"], memories, metered, same)
        rungs = {
            name: {"key": keys[name], **rung, **shares[name].to_json()} for name, rung in held.record["rungs"].items()
        }
        self.folder.write("search.json", {**held.record, "energy": whole_energy(shares), "rungs": rungs})
        return shares

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
        return None if asked is None else asked(self.job.fit, len(self.job.task.classes), self.bench)

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
        self.performance(candidate)
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
        return candidate_key(rung, data, self.job.task, self._budget, self._weights(rung), self.options.seed)

    def _weights(self, rung: Rung) -> Mapping[str, str]:
        """What a rung stands on; what should be known of that is told before anything is fitted, once."""
        weights = rung.weights(self.bench)
        if "note" in weights:
            note = f"The encoder {weights['name']}: {weights['note']}."
            if note not in self._told:
                self._told.add(note)
                self.progress.note(note)
        return weights

    def _memory(self, rung: Rung) -> FitMemory:
        return FitMemory(self.folder.path / "fits" / self._key(rung))


def training_minutes(whole: float, spent: float, left: int, trainings: int) -> float:
    """What the next of the trainings that are left may take: an equal part of the minutes that are.

    Coding and cutting are among what was spent. A training has a quarter of an equal part of the whole at least, or one
    that overdrew would leave the others nothing.

    >>> training_minutes(12, 0, 4, 4), training_minutes(12, 6, 3, 4), training_minutes(12, 12, 1, 4)
    (3.0, 2.0, 0.75)
    """
    return max((whole - spent) / max(1, left), whole / max(1, trainings) / 4)
