# SPDX-License-Identifier: Apache-2.0
"""Which rows are to be labelled, and with what."""

from __future__ import annotations

from pathlib import Path

import pytest

from bigenough.errors import BadOption, ColumnNotFound, InputError, NotEnoughLabels
from bigenough.generalist import Generalist
from bigenough.labelling.assignment import parse_labels, read_assignment

TEXTS = {"id": [1, 2, 3], "message": ["my card is gone", "where is my parcel", "  "]}
SOMEBODY = Generalist("http://127.0.0.1:9/v1", "m")


@pytest.mark.parametrize("given", ["refund", "refund,", "", ",", "a,,b"])
def test_fewer_than_two_labels_are_refused(given: str) -> None:
    with pytest.raises((NotEnoughLabels, BadOption), match="--labels"):
        parse_labels(given)


@pytest.mark.parametrize("given", ["a,b,a", "a, a ,b"])
def test_doubled_labels_are_refused(given: str) -> None:
    with pytest.raises(BadOption, match="'a' more than once"):
        parse_labels(given)


@pytest.mark.parametrize("empty", ["nan", "null", "<NA>", "one\x1btwo"])
def test_what_means_no_label_in_a_table_is_none(empty: str) -> None:
    with pytest.raises(BadOption, match="no label that a table can hold"):
        parse_labels(f"a,{empty}")


def test_rows_without_a_text_are_left_out_and_keep_their_numbers() -> None:
    work = read_assignment(TEXTS, ("a", "b"), text="message")
    assert work.rows.tolist() == [1, 2]
    assert len(work) == 2
    assert any("1 rows without a text" in sentence for sentence in work.decisions)


def test_a_table_that_has_the_column_is_refused() -> None:
    with pytest.raises(BadOption, match="bigenough fit"):
        read_assignment({**TEXTS, "label": ["a", "b", ""]}, ("a", "b"))
    assert read_assignment({**TEXTS, "label": ["a", "b", ""]}, ("a", "b"), text="message", label="gold").label == "gold"


def test_bad_columns_and_descriptions_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ColumnNotFound, match="message"):
        read_assignment(TEXTS, ("a", "b"), text="massage")
    with pytest.raises(InputError, match="'c'"):
        read_assignment(TEXTS, ("a", "b"), descriptions={"c": "unheard of"})


def test_identity_is_of_data_labels_and_generalist_not_of_money() -> None:
    work = read_assignment(TEXTS, ("a", "b"))
    rich = Generalist(SOMEBODY.url, SOMEBODY.model, usd=5.0, price_in=1.0, price_out=1.0)
    assert work.identity(SOMEBODY, 0) == work.identity(rich, 0)
    others = [
        read_assignment(TEXTS, ("b", "a")).identity(SOMEBODY, 0),
        work.identity(SOMEBODY, 1),
        work.identity(Generalist(SOMEBODY.url, "n"), 0),
        read_assignment(TEXTS, ("a", "b"), descriptions={"a": "what"}).identity(SOMEBODY, 0),
    ]
    assert len({work.default_folder(each) for each in [work.identity(SOMEBODY, 0), *others]}) == 5
