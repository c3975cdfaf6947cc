# SPDX-License-Identifier: Apache-2.0
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bigenough.duration import duration_seconds, duration_text
from bigenough.errors import BadOption


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("20m", 1200), ("1h30m", 5400), ("90s", 90), ("1.5h", 5400), (" 2 H ", 7200), ("1h 1m 1s", 3661),
        ("20min", 1200), ("0.5s", 0.5), ("90m", 5400),
    ],
)  # fmt: skip
def test_what_people_write_is_read(text, seconds):
    assert duration_seconds(text) == seconds


@given(st.integers(0, 99), st.integers(0, 99), st.integers(1, 99))
def test_parts_add_up(hours, minutes, seconds):
    assert duration_seconds(f"{hours}h{minutes}m{seconds}s") == 3600 * hours + 60 * minutes + seconds


@pytest.mark.parametrize("text", ["", " ", "m", "20x", "1m1h", "20m20m", "-5m", "1e3s", "inf", "nan", "h30m", "٣m"])
def test_anything_else_is_refused_and_quoted(text):
    with pytest.raises(BadOption, match=r"--budget is a length of time, as in 90s, 20m or 1h30m\. Got") as caught:
        duration_seconds(text)
    assert repr(text) in str(caught.value)


def test_a_bare_number_is_asked_back():
    with pytest.raises(BadOption, match=r"Write 20m for minutes or 20s for seconds\."):
        duration_seconds("20")


@pytest.mark.parametrize("text", ["0s", "0h0m"])
def test_no_time_at_all_is_refused(text):
    with pytest.raises(BadOption, match="longer than no time"):
        duration_seconds(text, "budget")


@given(st.integers(1, 10**6), st.integers(0, 4))
def test_what_was_read_is_written_so_that_it_reads_the_same(number, digits):
    for unit in ("s", "m", "h"):
        minutes = duration_seconds(f"{number / 10**digits:.{digits}f}{unit}") / 60
        assert duration_seconds(duration_text(minutes)) / 60 == minutes


@pytest.mark.parametrize(
    ("minutes", "text"), [(20, "20m"), (120, "2h"), (90, "1h30m"), (1.5, "1m30s"), (0.005, "0.3s")]
)
def test_a_budget_is_written_shortly(minutes, text):
    assert duration_text(minutes) == text
