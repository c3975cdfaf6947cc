# SPDX-License-Identifier: Apache-2.0
"""The minimiser against problems whose answer is known, and against SciPy's."""

import numpy as np
import pytest
from scipy.optimize import minimize

from bigenough.rungs.lbfgs import minimise


@pytest.mark.parametrize("condition", [1.0, 100.0, 10_000.0])
def test_a_quadratic_bowl(condition):
    rng = np.random.default_rng(0)
    axes = np.linalg.qr(rng.standard_normal((30, 30)))[0]
    hessian = axes @ np.diag(np.geomspace(1, condition, 30)) @ axes.T
    bottom = rng.standard_normal(30)

    def loss(x):
        away = x - bottom
        return 1 + 0.5 * float(away @ hessian @ away), hessian @ away

    found = minimise(loss, np.zeros(30), steps=500, tolerance=1e-14)
    np.testing.assert_allclose(loss(found)[0], 1.0, atol=1e-6)


def test_scipy_finds_nothing_lower_on_a_curved_function():
    rng = np.random.default_rng(1)
    x, sign = rng.standard_normal((80, 10)), rng.choice([-1.0, 1.0], 80)

    def loss(w):
        margins = sign * (x @ w)
        slope = -(sign / (1 + np.exp(margins))) @ x + 0.1 * w
        return float(np.logaddexp(0, -margins).sum() + 0.05 * w @ w), slope

    found = minimise(loss, np.zeros(10), steps=200, tolerance=1e-12)
    theirs = minimize(loss, np.zeros(10), jac=True, method="L-BFGS-B", options={"ftol": 1e-15})
    assert loss(found)[0] == pytest.approx(theirs.fun, rel=1e-8)


def test_it_never_goes_up_and_keeps_to_its_steps():
    values = []

    def loss(x):
        value = float((x**4).sum() + (x**2).sum())
        values.append(value)
        return value, 4 * x**3 + 2 * x

    start = np.full(5, 3.0)
    found = minimise(loss, start, steps=3, tolerance=0.0)
    assert loss(found)[0] < values[0]
    np.testing.assert_array_equal(start, np.full(5, 3.0))


def test_at_the_bottom_it_stays():
    np.testing.assert_array_equal(minimise(lambda x: (0.0, 0 * x), np.ones(3), steps=9, tolerance=1e-3), np.ones(3))
