# SPDX-License-Identifier: Apache-2.0
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from bigenough.verdict.exact import exact_level, exact_size, passing_chance
from bigenough.verdict.noninferiority import tango_z
from bigenough.verdict.recompute.size import largest_size

ALPHA = 0.05


def _size(n, margin, level, only_candidate, *, worse):
    """The chance of a false claim, summed over every table there is."""
    b, c = np.meshgrid(np.arange(n + 1), np.arange(n + 1))
    b, c = b[b + c <= n], c[b + c <= n]
    p = [only_candidate, only_candidate + margin, 1 - 2 * only_candidate - margin]
    chance = stats.multinomial.pmf(np.column_stack([b, c, n - b - c]), n, p)
    z = tango_z(b, c, n, -margin)
    return chance[z < -stats.norm.isf(level) if worse else z > stats.norm.isf(level)].sum()


@pytest.mark.parametrize("worse", [False, True])
@pytest.mark.parametrize(("n", "margin"), [(60, 0.05), (90, 0.03), (120, 0.0), (150, 0.02)])
def test_at_its_level_the_test_keeps_alpha_at_every_discordance(n, margin, worse):
    level = exact_level(n, margin, ALPHA, worse=worse)
    for only_candidate in np.linspace(0, (1 - margin) / 2, 30):
        assert _size(n, margin, level, only_candidate, worse=worse) <= ALPHA + 3e-4


def test_tango_itself_does_not():
    """Why a level of its own is needed: counts are coarse where the candidate is never right alone."""
    assert exact_size(180, 0.005, ALPHA) > 0.06
    assert exact_size(100, 0.03, ALPHA, worse=True) > 0.085
    assert exact_level(180, 0.005, ALPHA) < ALPHA
    assert exact_level(100, 0.03, ALPHA, worse=True) < ALPHA


@settings(max_examples=20)
@given(
    st.integers(30, 3000), st.floats(0.0, 0.05), st.sampled_from([0.05, 0.025, 0.01]), st.booleans(), st.floats(0, 1)
)
def test_size_is_kept_anywhere(n, margin, alpha, worse, place):
    level = exact_level(n, margin, alpha, worse=worse)
    assert 0 < level <= alpha
    z, share = stats.norm.isf(level), place**3 * (1 - margin) / 2
    if worse:
        size = passing_chance(n, -margin, z, share + margin, share)
    else:
        size = passing_chance(n, margin, z, share, share + margin)
    assert size <= alpha * 1.02


@settings(max_examples=5)
@given(st.integers(40, 1500), st.floats(0.003, 0.05), st.booleans())
def test_the_other_code_finds_the_same_size(n, margin, worse):
    for level in (0.05, exact_level(n, margin, 0.05, worse=worse)):
        found = largest_size(n, margin, level, worse=worse)
        assert found <= exact_size(n, margin, level, worse=worse) + 3e-4


def test_the_price_is_small_where_studies_are():
    """Rows by the hundred and margins of some points: most levels are within a fifth of alpha."""
    levels = [exact_level(n, m, ALPHA) for n in (400, 700, 1000, 2000, 3000, 5000) for m in (0.01, 0.015, 0.02, 0.03)]
    assert np.median(levels) > 0.047
    assert min(levels) > 0.04
