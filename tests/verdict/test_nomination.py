# SPDX-License-Identifier: Apache-2.0
"""Who is tested against whom: what was made from another candidate has to be tested, whatever it scores on select."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from bigenough.verdict.nomination import Contender, nominate

CONTENDERS = st.lists(
    st.builds(
        Contender,
        name=st.uuids().map(str),
        cost=st.integers(1, 9).map(float),
        select_score=st.integers(0, 10).map(lambda tenths: tenths / 10),
        missed_limits=st.sampled_from([(), ("is too large",)]),
        made=st.booleans(),
    ),
    min_size=1,
    max_size=8,
)


def test_a_smaller_model_that_looks_better_than_its_parent_is_tested_against_it():
    parent = Contender("frozen", 90.0, 0.716)
    small = Contender("frozen-layers-int8", 12.0, 0.754, made=True)
    cheap = Contender("linear", 1.0, 0.65)
    found = nominate([parent, small, cheap], against="best")
    assert found.reference == "frozen"
    assert found.nominees == ("frozen-layers-int8", "linear")
    assert nominate([parent, small, cheap], against="frozen-layers-int8").reference == "frozen-layers-int8"


def test_a_smaller_model_that_is_no_smaller_is_left_out():
    parent, bloated = Contender("linear", 1.0, 0.65), Contender("linear-few-features", 1.0, 0.7, made=True)
    found = nominate([parent, bloated], against="best")
    assert (found.reference, found.nominees) == ("linear", ())
    assert [each.candidate for each in found.left_out] == ["linear-few-features"]


@given(CONTENDERS)
def test_the_best_is_a_rung_of_its_own_and_nobody_is_lost(contenders):
    found = nominate(contenders, against="best")
    by_name = {each.name: each for each in contenders}
    own = [each for each in contenders if not each.made] or contenders
    reference = by_name[found.reference]
    assert reference in own
    assert reference.select_score == max(each.select_score for each in own)
    nominees = [by_name[name] for name in found.nominees]
    assert all(each.cost < reference.cost and not each.missed_limits for each in nominees)
    assert [each.cost for each in nominees] == sorted((each.cost for each in nominees), reverse=True)
    assert [each.select_score for each in nominees] == sorted((each.select_score for each in nominees), reverse=True)
    gone = {each.candidate for each in found.left_out}
    assert gone | set(found.nominees) | {found.reference} == set(by_name)
    assert not gone & set(found.nominees)
