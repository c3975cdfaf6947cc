# SPDX-License-Identifier: Apache-2.0
"""What the page says of shrunk models and of more labels, from candidates that were really made."""

from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from bigenough.evidence import certify, describe_quality
from bigenough.quantity import unknown
from bigenough.report.ahead import forecasts
from bigenough.report.files import read_study
from bigenough.report.page import render
from bigenough.report.shrinking import paired, refused, shrunk, steps
from bigenough.report.view import view
from bigenough.rungs.candidate import Budget, make_candidate
from bigenough.rungs.extrapolation import Law, NoLaw, extrapolate
from bigenough.rungs.fit_memory import FitMemory
from bigenough.rungs.linear import LinearRung
from bigenough.rungs.protocol import Workbench
from bigenough.storage import write_json
from bigenough.task import Examples, Task
from bigenough.verdict import LeftOut, Nominee, Reference, decide

CHAPTERS = ("2", "4", "6")


class FewFeatures(LinearRung):
    """The linear rung without the features that only one text has, as a step made from another candidate."""

    name = "linear-few-features"
    summary = "linear, without its rarest features"
    curve = False

    def __init__(self, made_from):
        self.made_from = made_from

    def fit(self, examples, n_classes, settings, bench):
        return super().fit(examples, n_classes, {**settings, "min_texts": 3}, bench)


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A study's folder with a candidate, one that was made from it, and the reason why another was refused."""
    import simple_icd_10_cm as icd

    folder = tmp_path_factory.mktemp("shrunk")
    found = {}
    for chapter in CHAPTERS:
        codes = [code for code in icd.get_descendants(chapter) if len(code) in (3, 5)]
        found[chapter] = [icd.get_description(codes[i]) for i in np.linspace(0, len(codes) - 1, 160).astype(int)]
    texts = [found[chapter][row] for row in range(160) for chapter in CHAPTERS]
    every = Examples(texts, np.tile(np.arange(3), 160), np.arange(1, 481))
    turn = np.arange(480) // 3 % 4
    fit, select, held = (every.take(np.flatnonzero(np.isin(turn, part))) for part in ((0, 3), (1,), (2,)))
    task = Task("diagnoses", CHAPTERS, "accuracy", 0.015)
    bench = Workbench(seed=0, threads=1, cache=folder / "cache", offline=True)
    nothing = {"wh": unknown("Wh", "not counted").to_json(), "co2e_g": unknown("g", "not counted").to_json()}
    made = {}
    for rung in (LinearRung(), FewFeatures("linear-0a")):
        made[rung.name] = make_candidate(
            rung, folder / "candidates" / f"{rung.name}-0a", fit=fit, select=select, task=task,
            budget=Budget(1, 5.0), bench=bench, meter=lambda: nullcontext(SimpleNamespace(to_json=lambda: nothing)),
            memory=FitMemory(),
        )  # fmt: skip
    said = {name: certify(each, held, threads=1) for name, each in made.items()}
    for name, each in made.items():
        describe_quality(each, said[name], held, task, seed=0)
    large, small = made["linear"], made["linear-few-features"]
    verdict = decide(
        held.labels, [Nominee(small.name, small.size_bytes, said[small.name].predicted)],
        Reference(large.name, said[large.name].predicted, large.size_bytes), margin=0.015, n_resamples=200,
        left_out=(LeftOut("linear-8bit", "could not be fitted (RungFailed: 9.0 % of the labels change)"),),
    )  # fmt: skip
    write_json(folder / "verdict.json", verdict.to_json())
    write_json(folder / "study.json", {"name": "diagnoses"})
    return folder


def test_each_step_has_its_line(home):
    seen = view(read_study(home))
    (step,) = shrunk(seen)
    assert (step.child.name, step.parent.name) == ("linear-few-features", "linear")
    page = render(read_study(home))
    assert "Smaller still" in page
    assert "made from linear" in page
    assert "smaller</small>" in page
    assert "Hollow marks" in page


def test_the_change_in_quality_is_that_of_the_verdict(home):
    seen = view(read_study(home))
    (step,) = shrunk(seen)
    found = paired(step, seen)
    tested = seen.comparisons[0]
    assert found.difference == pytest.approx(tested["difference"])
    assert (found.lower, found.upper) == pytest.approx((tested["lower"], tested["upper"]))
    assert found.interval.low <= found.difference <= found.interval.high
    turned = replace(step, child=step.parent, parent=step.child)
    assert paired(turned, seen).difference == pytest.approx(-found.difference)


def test_groups_are_resampled_whole(home):
    files = read_study(home)
    n = files.verdict["n_certify"]
    grouped = view(replace(files, groups=np.repeat(np.arange(n // 4), 4)))
    (step,) = shrunk(grouped)
    assert "over groups" in paired(step, grouped).method


def test_other_rows_are_not_compared(home):
    seen = view(read_study(home))
    (step,) = shrunk(seen)
    few = replace(step.child.files.certify, gold=step.child.files.certify.gold[:-1])
    assert paired(replace(step, child=replace(step.child, files=replace(step.child.files, certify=few))), seen) is None


def test_a_parent_that_was_asked_in_an_order_of_its_own_is_not_compared(home):
    files = read_study(home)
    seen = view(files)
    (step,) = shrunk(seen)
    held = step.parent.files.certify
    asked = replace(held, positions=np.arange(len(held.gold))[::-1])
    parent = replace(step.parent.files, certify=asked)
    turned = replace(step, parent=replace(step.parent, files=parent))
    assert paired(turned, seen) is None
    told = [parent if one.name == parent.name else one for one in files.candidates]
    page = render(replace(files, candidates=tuple(told)))
    assert "Smaller still" in page
    assert page != render(files)


def test_refused_steps_are_told_with_their_reasons(home):
    seen = view(read_study(home))
    assert list(refused(seen)) == ["linear-8bit"]
    assert "Tried and refused:" in render(read_study(home))
    assert "9.0 % of the labels change" in render(read_study(home))


def test_a_rung_that_is_named_like_a_step_is_none(home):
    """The ladder has tuned and tuned-static."""
    files = read_study(home)
    seen = view(files)
    tuned = replace(seen.contenders[0], files=replace(seen.contenders[0].files, name="tuned"), role="failed")
    lost = [
        replace(tuned, files=replace(tuned.files, name=name), role="no result", reason="could not be fitted")
        for name in ("tuned-static", "tuned-layers")
    ]
    assert list(refused(replace(seen, contenders=(tuned, *lost)))) == ["tuned-layers"]


def test_refusals_are_told_when_every_step_was_refused(home):
    seen = view(read_study(home))
    alone = replace(seen, contenders=tuple(one for one in seen.contenders if one.name != "linear-few-features"))
    assert shrunk(alone) == []
    told = str(steps(alone))
    assert "Tried and refused:" in told
    assert "linear-8bit" in told


def _with_record(files, name, record):
    return replace(
        files,
        candidates=tuple(
            replace(one, candidate={**one.candidate, "record": record}) if one.name == name else one
            for one in files.candidates
        ),
    )


def test_the_processor_is_told_where_8_bit_variants_were_tried(home):
    files = read_study(home)
    assert "processor (" not in render(files)
    changed = _with_record(files, "linear-few-features", {"processor_features": ["avx2", "avx512_vnni"]})
    assert "processor (avx2, avx512_vnni)" in render(changed)


def test_what_a_fit_gave_up_and_its_parity_are_told(home):
    export = {"reference": "its teacher", "texts": 512, "max_probability_difference": 3.2e-6, "flips": 1}
    notes = ["to keep within 2 minutes: 1.5 epochs instead of 4.0"]
    page = render(_with_record(read_study(home), "linear", {"notes": notes, "export": export}))
    assert "1.5 epochs instead of 4.0" in page
    assert "on 512 select rows its graph and its teacher differ by" in page
    assert "3e−06 in a probability at most, and in 1 label." in page


def test_what_was_not_compared_says_why(home):
    export = {"not_compared": "torch is not installed (pip install it)"}
    page = render(_with_record(read_study(home), "linear", {"export": export}))
    assert "its graph was not compared with another implementation: torch is not installed (pip install it)." in page


def test_refused_variants_are_told(home):
    files = read_study(home)
    variants = [
        {"settings": {"bits": 4}, "refused": "4 bits lose too much"},
        {"settings": {"bits": 8}, "refused": None},
    ]
    changed = tuple(
        replace(one, candidate={**one.candidate, "record": {"variants": variants}}) if "few" in one.name else one
        for one in files.candidates
    )
    page = render(replace(files, candidates=changed))
    assert "a variant of linear-few-features (bits=4): 4 bits lose too much" in page
    assert "bits=8" not in page


def test_without_a_shrunk_candidate_there_is_no_section(study, rendered):
    assert steps(view(study)) is None
    assert "Smaller still" not in rendered["proved"]


def test_curves_are_continued_with_their_interval(study, rendered):
    known = {one.name: one for one in forecasts(view(study))}
    assert isinstance(known["linear"].law, Law)
    assert known["linear"].ahead[-1][0] == 2 * known["linear"].rows[-1]
    assert isinstance(known["majority"].law, NoLaw)
    assert known["majority"].ahead == []
    page = rendered["proved"]
    twice = known["static"].law.at(10_400)
    assert f"{100 * twice.low:.1f} to {100 * twice.high:.1f}" in page
    assert "cannot be foretold: the score does not rise" in page
    assert "asked for at about" in page


@pytest.mark.parametrize("all_rows", [4000, 3999])
def test_a_curve_is_tested_backwards(study, all_rows):
    """The points up to a half of the rows foretell the last one; half of an odd number is drawn rounded up."""
    points = [(500, 0.80), (1000, 0.84), (2000, 0.87), (all_rows, 0.89)]
    curve = [{"rows": rows, "score": score} for rows, score in points]
    changed = tuple(
        replace(one, candidate={**one.candidate, "learning_curve": curve, "fit_rows": 6000}) for one in study.candidates
    )
    page, (one, *_) = render(replace(study, candidates=changed)), forecasts(view(replace(study, candidates=changed)))
    assert one.tested == extrapolate([500, 1000, 2000], [0.80, 0.84, 0.87], 6000 - all_rows).at(all_rows)
    assert one.tested.low <= 0.89 <= one.tested.high
    assert "Tested backwards, half of the rows foretold" in page
    short = tuple(
        replace(one, candidate={**one.candidate, "learning_curve": curve[1:], "fit_rows": 6000})
        for one in study.candidates
    )
    assert all(one.tested is None for one in forecasts(view(replace(study, candidates=short))))


def test_without_the_number_of_select_rows_nothing_is_foretold(study):
    page = render(replace(study, audit=None))
    assert "the number of its select rows is not known" in page


def test_trials_on_parts_say_how_far_they_came(study):
    part = {
        "settings": {"C": 1.0},
        "score": 0.8,
        "seconds": 1.0,
        "rows": 578,
        "share": 1 / 9,
        "stopped": "too far below",
    }
    changed = tuple(replace(one, candidate={**one.candidate, "trials": [part]}) for one in study.candidates)
    page = render(replace(study, candidates=changed))
    assert "Went no further because" in page
    assert "too far below" in page
    assert ">578<" in page


def test_a_failed_trial_says_why(study):
    lost = {"settings": {"C": 1.0}, "score": None, "seconds": 1.0, "failure": "RungFailed: the loss diverged twice"}
    changed = tuple(replace(one, candidate={**one.candidate, "trials": [lost]}) for one in study.candidates)
    assert "failed: RungFailed: the loss diverged twice" in render(replace(study, candidates=changed))


def test_groups_come_from_the_examples(home):
    import polars as pl

    files = read_study(home)
    assert files.groups is None
    rows = pl.DataFrame(
        {"row": [3, 1, 2], "text": ["c", "a", "b"], "group": ["z", "x", "y"], "split": ["certify"] * 2 + ["fit"]}
    )
    rows.write_parquet(Path(home) / "examples.parquet")
    try:
        assert read_study(home).groups.tolist() == ["x", "z"]
    finally:
        (Path(home) / "examples.parquet").unlink()


def test_models_that_were_all_made_from_others_have_a_chart_too(home):
    """As where an endpoint, which has no size, taught all that come near the best."""
    whole = read_study(home)
    small = [one for one in whole.candidates if one.candidate.get("made_from")]
    assert small
    parent = next(one for one in whole.candidates if one.candidate.get("made_from") is None)
    twin = replace(
        small[0], name="another", candidate={**small[0].candidate, "size_bytes": 3 * small[0].candidate["size_bytes"]}
    )
    bare = replace(parent, candidate={**parent.candidate, "remote": True, "size_bytes": None})
    page = render(replace(whole, candidates=(bare, small[0], twin)))
    assert "before shrinking none near" in page
