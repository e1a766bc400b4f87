"""Whittaker's smoother and its banded systems."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from bodydouble.alignment.smoothing import difference_bands, solve_bands


def whittaker(
    values: NDArray[np.float64], weights: NDArray[np.float64], strength: float, order: int = 3
) -> NDArray[np.float64]:
    """The plain smoother out of the pieces that the shot solve is made of."""
    bands = difference_bands(len(values), strength, order)
    bands[0] += weights
    return solve_bands(bands[..., None], values * weights[:, None])


def test_the_smoother_is_exact_on_what_its_penalty_does_not_see() -> None:
    t = np.arange(30.0)
    parabola = (0.3 * t**2 - 2 * t + 5)[:, None]
    weights = np.ones(30)
    weights[[4, 11, 12, 13]] = 0
    holes = np.where(weights[:, None] > 0, parabola, 1e6)
    np.testing.assert_allclose(whittaker(holes, weights, 10.0), parabola, atol=1e-6)


def test_the_smoother_solves_its_normal_equations() -> None:
    rng = np.random.default_rng(1)
    values, weights = rng.normal(size=(25, 3)), rng.uniform(0.1, 1, 25)
    d = np.diff(np.eye(25), 2, axis=0)
    expected = np.linalg.solve(np.diag(weights) + 4.0 * d.T @ d, weights[:, None] * values)
    np.testing.assert_allclose(whittaker(values, weights, 4.0, order=2), expected, atol=1e-10)


def test_systems_of_their_own_are_solved_at_once() -> None:
    rng = np.random.default_rng(2)
    count, many = 12, 5
    bands = rng.normal(size=(4, count, many)) * 0.2
    bands[0] += 3
    right = rng.normal(size=(count, many))
    answer = solve_bands(bands, right)
    for k in range(many):
        full = np.diag(bands[0, :, k])
        for offset in (1, 2, 3):
            side = np.diag(bands[offset, : count - offset, k], offset)
            full += side + side.T
        np.testing.assert_allclose(answer[:, k], np.linalg.solve(full, right[:, k]), atol=1e-12)
