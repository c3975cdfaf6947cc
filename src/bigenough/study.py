# SPDX-License-Identifier: Apache-2.0
"""The story of a study: read, split, audit, fit each rung, measure, nominate, certify, decide, package, tell.

``_Run.tell`` is that story, top to bottom. Every step keeps its result in the study's folder the moment it is finished,
so that the same command after a kill takes up where the work was left. Certify is opened in one place, after the
nomination has been written down.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bigenough.chat.terms import Terms, in_force
from bigenough.errors import BadOption, InputError
from bigenough.generalist import Generalist
from bigenough.job import Job, read_job
from bigenough.ladder import SEARCHING, SHRINKING
from bigenough.measure.energy import EnergyMeter
from bigenough.options import Options
from bigenough.packaging import package, write_next_rows
from bigenough.pool import Lessons, lessons
from bigenough.progress import Progress, Silence, Step
from bigenough.race import Race
from bigenough.rungs.candidate import Candidate
from bigenough.rungs.protocol import Rung, Workbench
from bigenough.rungs.registry import find_rungs, usable
from bigenough.storage import user_cache
from bigenough.study_folder import StudyFolder
from bigenough.task import Limits
from bigenough.task.audit import audit
from bigenough.task.descriptions import read_descriptions
from bigenough.task.reading import read_table
from bigenough.task.table import Table
from bigenough.verdict import Verdict

if TYPE_CHECKING:
    from bigenough.specialist import Specialist

__all__ = ["Study", "fit"]


def fit(
    data: Any,
    label: str | None = None,
    *,
    text: str | None = None,
    test: Any = None,
    unlabelled: Any = None,
    descriptions: Mapping[str, str] | str | Path | None = None,
    out: str | Path | None = None,
    name: str | None = None,
    limits: Limits | Mapping[str, float] | None = None,
    generalist: Generalist | Mapping[str, Any] | None = None,
    progress: Progress | None = None,
    **options: Any,
) -> Study:
    """Race the ladder on a table of examples and settle which is the smallest model that is good enough.

    Args:
        data: a CSV, TSV, JSONL or Parquet file, a Hugging Face datasets folder, or a pandas or polars frame.
        label: the column with the gold labels; guessed, and the guess explained, when None.
        text: the column with the texts; guessed when None.
        test: an official test set, in any of the same forms; it becomes certify, whole.
        unlabelled: texts without labels: they show a student what its teacher says of them, and say which rows to label
            next when the answer is not "proved".
        descriptions: what each class means, by its label, or a table of two columns that says so.
        out: the study's folder, by default ``studies/<name>-<hash>``; a study in it is resumed, never overwritten.
        name: what to call the task; by default the file's name.
        limits: hard requirements, as in ``{"latency_p95_ms": 5, "size_mb": 20}``.
        generalist: a large model behind an endpoint, as in ``{"url": "https://api.openai.com/v1", "model": "..."}``; it
            is raced with the others, and is whom they must not be worse than. Its key is read from the environment.
        progress: told what is going on.
        **options: the fields of ``bigenough.options.Options``: metric, margin, against, bar, group, time, seed, ...

    Returns:
        The finished study.

    Raises:
        InputError: the table or the options cannot be used; nothing was started.
        StudyMismatch: ``out`` holds something else, or another process works on it.
        OutOfDisk: finished work is kept; the same call goes on from there.
    """
    progress = progress or Silence()
    asked = Generalist.of(generalist)
    choices = _options(text=text, label=label, limits=_limits(limits), generalist=asked, **options)
    rungs = find_rungs(choices.rungs, encoder=choices.encoder, llm=choices.llm, report=progress.note)
    if asked is not None:
        rungs.append(_generalist_rung(asked, described=descriptions is not None))
    _check_reference(choices, rungs)
    meter = EnergyMeter(choices.country)
    progress.start("reading")
    job = read_job(data, test, choices, name)
    pool = None if unlabelled is None else read_table(unlabelled, named=[job.read.text])
    meanings = read_descriptions(descriptions, job.task.classes)
    job = job.told(choices, pool, meanings)
    taught = lessons(pool, job)
    folder = StudyFolder(Path(out) if out is not None else Path("studies") / f"{job.task.name}-{job.key}")
    with folder.opened(job.identity(choices), job.facts(choices)):
        job = replace(job, key=folder.read("study.json")["key"])
        run = _Run(folder, job, choices, progress, rungs, meter, pool, taught, meanings)
        with nullcontext() if asked is None else in_force(_terms(asked, run)):
            run.tell()
    return Study(folder.path)


def _terms(generalist: Generalist, run: _Run) -> Terms:
    return generalist.terms(account=run.job.key, cache=run.home, study=run.folder.path, offline=run.options.offline)


def _generalist_rung(generalist: Generalist, *, described: bool) -> Rung:
    from bigenough.rungs.generalist import GeneralistRung

    rung = GeneralistRung(generalist.url, generalist.model, described=described)
    rung.reply_tokens = generalist.reply_tokens or rung.reply_tokens
    return usable(rung)


def _limits(given: Limits | Mapping[str, float] | None) -> Limits:
    if given is None or isinstance(given, Limits):
        return given or Limits()
    known = Limits.__dataclass_fields__
    unknown = sorted(set(given) - set(known))
    if unknown:
        raise BadOption(f"Unknown limits {unknown}. The limits are {list(known)}.")
    return Limits(**given)


def _options(**given: Any) -> Options:
    known = Options.__dataclass_fields__
    unknown = sorted(set(given) - set(known))
    if unknown:
        raise BadOption(f"Unknown options {unknown}. The options are {sorted(known)}.")
    return Options(**given)


def _check_reference(options: Options, rungs: list[Rung]) -> None:
    names = [rung.name for rung in rungs]
    if options.teacher is not None and options.teacher not in names:
        raise BadOption(f"The teacher must be one of the rungs {names}. Got {options.teacher!r}.")
    if options.bar is None and options.reference not in ("best", *names):
        raise BadOption(f"The reference must be 'best' or one of the rungs {names}. Got {options.reference!r}.")


@dataclass
class _Run:
    """One telling of the story."""

    folder: StudyFolder
    job: Job
    options: Options
    progress: Progress
    rungs: list[Rung]
    meter: EnergyMeter
    pool: Table | None
    lessons: Lessons
    descriptions: Mapping[str, str]

    def tell(self) -> None:
        """Do whatever is not done yet."""
        if self.folder.has("verdict.json") and (self._other_pool() or not self._may_go_on()):
            self._finish()
            return
        for sentence in (*self.job.decisions, *self.lessons.decisions):
            self.progress.note(sentence)
        self._plan_steps()
        self._audit()
        race = Race(self.folder, self.job, self.options, self.bench, self.meter, self.progress)
        verdict = race.climb(self.rungs) if self.options.search == "up" else race.race(self.rungs)
        self.folder.write("verdict.json", verdict.to_json())
        self._finish()

    def _other_pool(self) -> bool:
        """Whether the finished study's models were made with other unlabelled texts than those given now, or none."""
        learned, given = (each.get("unlabelled") for each in (self._made_as, self.job.further))
        if given is None or given == learned:
            return False
        kind = "without" if learned is None else "with other"
        self.progress.note(
            f"This study is finished and was made {kind} unlabelled texts, so its models know nothing of these, which "
            "say at most what to label next. For models that learn from them name another folder (--out DIR)."
        )
        return True

    @property
    def _made_as(self) -> Mapping[str, Any]:
        identity: Mapping[str, Any] = self.folder.read("study.json")["identity"]
        return identity

    def _may_go_on(self) -> bool:
        """Whether a budget ended the asking: with more of it the same test goes on, as valid as before."""
        early = self.folder.read("verdict.json").get("early") or {}
        if early.get("stopped_because") != "budget spent":
            return False
        shutil.rmtree(self.folder.specialist, ignore_errors=True)
        return True

    def _plan_steps(self) -> None:
        work = [Step(rung.name, 1.0 if rung.place == 0 else 10.0) for rung in self.rungs]
        if self.options.budget_minutes is not None:
            work = [Step(SEARCHING, 30.0), *(Step(rung.name, 3.0) for rung in self.rungs)]
        smaller = [Step(SHRINKING, 10.0)] if self.options.shrink != "none" and self.options.search == "down" else []
        end = [Step("certify", 2), Step("packaging", 2)]
        self.progress.plan([Step("reading", 1), Step("audit", 2), *work, *smaller, *end])

    def _audit(self) -> None:
        job, decisions = self.job, [*self.job.splits.decisions, *self.lessons.decisions]
        if self.folder.has("audit.json"):
            kept = self.folder.read("audit.json")
            # Until the plan is written, texts without labels may be others than at first.
            if kept["splits"]["decisions"] != decisions and not self.folder.has("plan.json"):
                self.folder.write("audit.json", {**kept, "splits": {**kept["splits"], "decisions": decisions}})
            return
        self.progress.start("audit")
        self.folder.write_data(job.examples, job.task.classes, job.splits)
        found = audit(
            job.examples, job.task.classes, job.splits,
            seed=self.options.seed, decisions=decisions, say=self.progress.say,
        )  # fmt: skip
        self.folder.write("audit.json", found.to_json())

    def _finish(self) -> None:
        """Package what the verdict names, say what to label next, write the page."""
        self.progress.start("packaging")
        study = Study(self.folder.path)
        package(self.folder, study.candidates, self.job, threads=self.threads)
        if self.pool is not None and study.verdict.answer != "proved":
            self.progress.say("which rows to label next")
            write_next_rows(self.folder, study.candidates, study.verdict, self.pool, self.job, seed=self.options.seed)
        self.progress.say("the report")
        from bigenough.report.page import write_report

        write_report(self.folder.path)

    @cached_property
    def threads(self) -> int:
        return self.options.threads or len(os.sched_getaffinity(0))

    @property
    def home(self) -> Path:
        """Where what all studies of a user share is kept: weights, and replies that were paid for."""
        return user_cache(os.environ)

    @cached_property
    def bench(self) -> Workbench:
        return Workbench(
            seed=self.options.seed, threads=self.threads, cache=self.home,
            offline=self.options.offline, class_names=self.job.task.classes, descriptions=self.descriptions,
            unlabelled=self._unlabelled(), say=self.progress.say,
        )  # fmt: skip

    def _unlabelled(self) -> list[str]:
        if self.lessons.texts and self.options.search == "down" and not self.options.teaches:
            self.progress.note(
                f"No student learns from the {len(self.lessons.texts):,} unlabelled texts with "
                f"shrink={self.options.shrink!r}: with 'taught', the best candidate teaches the smaller rungs what it "
                "says of them."
            )
        return list(self.lessons.texts)


@dataclass(frozen=True)
class Study:
    """A finished study: what was decided, on what evidence, and the model that came of it.

    Attributes:
        path: the study's folder.
    """

    path: Path

    def __post_init__(self) -> None:
        object.__setattr__(self, "path", Path(self.path))
        if not (self.path / "verdict.json").exists():
            raise InputError(f"{self.path} holds no finished study (no verdict.json). Run the fit command on it again.")

    @cached_property
    def verdict(self) -> Verdict:
        """What was decided."""
        return Verdict.from_json(StudyFolder(self.path).read("verdict.json"))

    @cached_property
    def candidates(self) -> dict[str, Candidate]:
        """The fitted rungs by name, smallest first."""
        folder = StudyFolder(self.path)
        judged = [Candidate(folder.candidates / name) for name in folder.read("judged.json").values()]
        return {each.name: each for each in sorted(judged, key=lambda each: each.serving_bytes)}

    @cached_property
    def specialist(self) -> Specialist:
        """The packaged winner, or the safe choice while nothing smaller is proved."""
        from bigenough.specialist import load

        if not StudyFolder(self.path).specialist.exists():
            raise InputError(f"{self.path} packaged no model: {self.verdict.sentence}")
        return load(StudyFolder(self.path).specialist)

    @property
    def report(self) -> Path:
        """The page."""
        return StudyFolder(self.path).report

    def __repr__(self) -> str:
        return f"Study({str(self.path)!r}: {self.verdict.sentence})"
