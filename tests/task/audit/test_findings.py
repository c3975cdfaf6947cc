# SPDX-License-Identifier: Apache-2.0
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bigenough.task import Examples
from bigenough.task.audit.findings import MAX_EXCERPT_CHARS, MAX_ROWS, Finding, excerpt, finding, share


def test_a_finding_names_fifty_rows_and_counts_all():
    examples = Examples(["text"] * 80, np.zeros(80, np.int64), np.arange(1, 81))
    found = finding("kind", "info", examples, range(80), "message", "advice")
    assert found.count == 80
    assert found.rows == tuple(range(1, MAX_ROWS + 1))
    assert 0 < len(found.examples) <= 6


def test_an_unknown_severity_or_too_many_rows_are_refused():
    with pytest.raises(ValueError, match="Got 'grave'"):
        Finding("kind", "grave", 1, (1,), "message", "advice")
    with pytest.raises(ValueError, match=r"at most 50 rows\. Got 51"):
        Finding("kind", "info", 51, tuple(range(51)), "message", "advice")


@given(st.text(max_size=1000))
def test_an_excerpt_is_one_short_line(text):
    assert len(excerpt(text)) <= MAX_EXCERPT_CHARS
    assert len(excerpt(text).splitlines()) <= 1


@given(st.integers(1, 10**6), st.integers(1, 10**6))
def test_something_is_never_called_zero_percent(part, whole):
    assert share(part, whole) != "0 %"


@pytest.mark.parametrize("at", range(120, 162, 3))
@pytest.mark.parametrize("told", ["john.smith@example.com", "4111 1111 1111 1111"])
def test_an_excerpt_never_ends_within_what_identifies_a_person(at, told):
    text = "word " * 40
    text = f"{text[:at].rstrip()} {told} and more {text}"
    found = finding("duplicates", "info", Examples([text], np.zeros(1, np.int64), np.ones(1, np.int64)), [0], "m", "a")
    assert told[:6] not in found.examples[0].text
