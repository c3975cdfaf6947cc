# SPDX-License-Identifier: Apache-2.0
"""What the report tells of a model that runs elsewhere: when it was asked, who answered, what came of it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from bigenough.chat.prompt import Prompt
from bigenough.report.costs import determinism
from bigenough.report.elsewhere import elsewhere
from bigenough.report.files import read_study
from bigenough.report.view import view
from bigenough.report.words import limits_of_the_claim

FAILURES = {"empty": 0, "refusal": 2, "no known label": 1, "several labels": 0}


def answers(rows, first, last, *fingerprints, failures=FAILURES):
    asked = {"n": rows, "first": first, "last": last, "fingerprints": list(fingerprints)}
    return {"rows": rows, "failures": failures, "cut_off": 7, "examples_left_out": 0, "texts_cut": 0, "replies": asked}


def moved(study, *fingerprints, note=""):
    """The study with its reference at an endpoint, asked on two days."""
    select = answers(1420, "2026-11-20T10:00:59Z", "2026-11-20T11:00:00Z", *fingerprints[:1])
    certify = answers(2400, "2026-11-21T08:00:00Z", "2026-11-21T09:30:00Z", *fingerprints)
    prompt = Prompt(("<ham>", "spam"), instructions="Sort these.", form="json").as_json()
    again = {"check": "asked 3 times at temperature 0", "label_flips": 2, "max_probability_difference": 0.4}
    checks = {"rows": 8, "checks": [again]}

    def asked(one):
        if one.name != "frozen":
            return one
        candidate = {
            **one.candidate, "remote": True, "size_bytes": None, "record": {"prompt": prompt, "select": select},
            "weights": {"name": "a-model at https://host/v1", "licence": "unknown"},
        }  # fmt: skip
        performance = {**one.performance, "replies": select["replies"], "determinism": {**checks, "note": note}}
        return replace(one, candidate=candidate, performance=performance, evidence={**one.evidence, "answers": certify})

    return replace(study, candidates=tuple(map(asked, study.candidates)))


@pytest.mark.parametrize(
    ("fingerprints", "told"),
    [
        ((), "names no system (system_fingerprint)"),
        (("fp_1",), "came from one system: fp_1."),
        (("fp_1", "fp_2"), "came from 2 systems (system_fingerprint): fp_1, fp_2. The model may have changed"),
        (tuple(f"fp_{n}" for n in range(7)), "fp_3 and 3 more."),
    ],
)
def test_when_it_was_asked_and_which_systems_answered(study, fingerprints, told):
    page = str(elsewhere(view(moved(study, *fingerprints))))
    assert "a-model at https://host/v1" in page
    assert "from 2026-11-20 10:00 to 2026-11-21 09:30 (UTC)" in page
    assert told in page


def test_failures_are_counted_by_kind_on_both_splits(study):
    found = str(elsewhere(view(moved(study, "fp")))).partition("</table>")[0]
    for head in ("Replies", "named a label", *FAILURES, "cut off"):
        assert f">{head}</th>" in found
    for figure in ("1,420", "1,417", "2,400", "2,397"):
        assert f">{figure}</td>" in found


def test_the_prompt_is_there_word_for_word_and_stays_text(study):
    page = str(elsewhere(view(moved(study))))
    assert "Sort these." in page
    assert "- &lt;ham&gt;" in page
    assert "Write it as JSON" in page


def test_what_changed_when_it_was_asked_again_is_said(study):
    page = str(determinism(view(moved(study, note="The budget stops here."))))
    assert "Labels of frozen that changed, of 8 rows: asked 3 times at temperature 0, 2." in page
    assert "frozen was not checked further: The budget stops here." in page


def test_nothing_is_said_where_all_runs_here(study):
    assert elsewhere(view(study)) is None


def test_labels_of_a_generalist_are_told_from_those_of_people(study, save, tmp_path):
    save(study, tmp_path / "round-1")
    assert read_study(tmp_path / "round-1").labelled is None
    (tmp_path / "round-1.json").write_text('{"by_generalist": 1234, "by_people": 60, "copies": 0}')
    told = " ".join(limits_of_the_claim(view(read_study(tmp_path / "round-1"))))
    assert "1,234 have the label of a generalist, 60 that of people" in told
    assert "The generalist itself is not in this race" in told
