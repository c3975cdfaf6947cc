# SPDX-License-Identifier: Apache-2.0
"""What the report tells of the fits: what they gave up, before select was learned from and after."""

from __future__ import annotations

from dataclasses import replace

from bigenough.report.page import render


def noted(study, **records):
    one, *others = study.candidates
    return replace(study, candidates=(replace(one, candidate={**one.candidate, **records}), *others))


def test_both_fits_say_what_they_gave_up(study):
    page = render(
        noted(study, record={"notes": ["2.2 epochs instead of 3.0"]}, refit_record={"notes": ["4 rows at a time"]})
    )
    first, second = page.index("2.2 epochs instead of 3.0"), page.index("4 rows at a time")
    alone, both = page.index("Said of the fits on fit alone"), page.index("Said of the fits that are shipped")
    assert alone < first < both < second


def test_nothing_is_said_where_nothing_was_given_up(study):
    page = render(noted(study, record={"notes": []}, refit_record={}))
    assert "Said of the fits" not in page


def test_a_refit_alone_may_have_something_to_say(study):
    page = render(noted(study, refit_record={"notes": ["memory ran out: 32 texts a step"]}))
    assert "memory ran out: 32 texts a step" in page
    assert "Said of the fits on fit alone" not in page
