# SPDX-License-Identifier: Apache-2.0
"""Every step on an encoder passes the contract of rungs, of the encoder itself and of a pruned one."""

from __future__ import annotations

import numpy as np
import pytest
from rungs.contract import Case, RungContract
from shrink.tiny_parent import FittedParent, tiny_parent, topic_examples

from bigenough.shrink.int8 import Int8Rung
from bigenough.shrink.layers import LayersRung
from bigenough.shrink.structure import StructureRung
from bigenough.shrink.vocabulary import VocabularyRung


class HeadLayers(LayersRung):
    def first_settings(self, examples, n_classes):
        return {"layers": [-1], "healing": "head"}


class HeadStructure(StructureRung):
    def first_settings(self, examples, n_classes):
        return {"neurons": 0.5, "heads": 0.25, "healing": "head"}


class RoomyVocabulary(VocabularyRung):
    """The tiny vocabulary is all domain; a tenth of it would be the letters."""

    def first_settings(self, examples, n_classes):
        return {"share": 0.22}


def chained(parent):
    """8 bits of a pruned vocabulary."""
    first = RoomyVocabulary(parent)
    return Int8Rung(
        FittedParent(first.name, "x", "encoder", 10**9, lambda: None, lambda: None, parent.frozen, parent.bench, first)
    )


MAKERS = {
    "int8": Int8Rung,
    "vocabulary": RoomyVocabulary,
    "vocabulary-int8": chained,
    "layers": HeadLayers,
    "structure": HeadStructure,
}


@pytest.fixture(scope="module", params=MAKERS)
def case(request, tmp_path_factory):
    parent = tiny_parent(tmp_path_factory.mktemp("parent"))
    rung = MAKERS[request.param](parent)
    return Case.of(rung, parent.bench, topic_examples(160, 0), topic_examples(80, 1), 4)


class TestEverySteps(RungContract):
    def test_a_class_that_no_row_has_is_known_to_the_parent_only(self, case):
        assert case.rung.name.startswith("frozen-")
        assert case.rung.made_from in ("frozen-abc", "x")
        assert case.rung.curve is False

    # The parent decides how many classes there are; these two ask a rung that fits by itself.
    test_classes_without_rows = None
    test_single_rows = None


def test_a_step_is_named_after_its_parent(tmp_path):
    parent = tiny_parent(tmp_path)
    made = [step(parent, allowed_flips=0.2) for step in (VocabularyRung, Int8Rung, LayersRung, StructureRung)]
    assert [step.name for step in made] == ["frozen-vocabulary", "frozen-int8", "frozen-layers", "frozen-structure"]
    assert {step.allowed_flips for step in made} == {0.2}


@pytest.mark.parametrize("step", [Int8Rung, VocabularyRung, LayersRung, StructureRung])
def test_the_parents_temperature_is_left_behind(step, tmp_path):
    """The product gets one of its own; both would count twice."""
    parent = tiny_parent(tmp_path)
    examples = topic_examples(40, 0)
    warm = parent.of(examples).with_temperature(3.0)
    object.__setattr__(parent, "rung", Fixed(warm))
    assert step(parent).model_of(examples).head.temperature == 1.0
    assert np.ptp(warm.predict_proba(examples.texts), axis=1).mean() > 0


class Fixed:
    def __init__(self, predictor):
        self.predictor = predictor

    def first_settings(self, examples, n_classes):
        return {}

    def fit(self, *arguments):
        return self.predictor
