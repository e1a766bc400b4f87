"""Whittaker's smoother, and the banded systems it leads to.

It sees both sides of a frame, so it does not lag, and missing frames are simply frames of weight 0.
P. H. C. Eilers, *A perfect smoother*, Analytical Chemistry 75(14), 2003.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def whittaker(
    values: NDArray[np.float64], weights: NDArray[np.float64], strength: float, order: int = 3
) -> NDArray[np.float64]:
    """(N, K) values smoothed along N: least Σ w (y − z)² + `strength` · Σ (Δ^order z)². Frames of weight 0 are filled.

    Needs `order` or more positive weights.
    """
    bands = difference_bands(len(values), strength, order)
    bands[0] += weights
    return solve_bands(bands[..., None], values * weights[:, None])


def difference_bands(count: int, strength: float, order: int) -> NDArray[np.float64]:
    """(order + 1, count) upper bands of `strength` · DᵀD, D the differences of `order`; [k, i] is (i, i + k)."""
    bands = np.zeros((order + 1, count))
    difference = np.array([1.0])
    for _ in range(order):
        difference = np.convolve(difference, [-1.0, 1.0])
    for j, one in enumerate(difference):
        for k, other in enumerate(difference[j:]):
            bands[k, j : j + max(0, count - order)] += strength * one * other
    return bands


def solve_bands(bands: NDArray[np.float64], right: NDArray[np.float64]) -> NDArray[np.float64]:
    """(n, L) solutions of L symmetric positive definite systems at once, by LDLᵀ.

    `bands`: (B, n, L), or (B, n, 1) for one matrix and many right sides; [k, i] is the element (i, i + k). `right`:
    (n, L).
    """
    a, x = bands.copy(), right.copy()
    count, width = a.shape[1], a.shape[0] - 1
    for i in range(count):
        reach = min(width, count - 1 - i)
        factors = a[1 : reach + 1, i] / a[0, i]
        for k in range(1, reach + 1):
            a[: reach + 1 - k, i + k] -= factors[k - 1] * a[k : reach + 1, i]
        x[i + 1 : i + 1 + reach] -= factors * x[i]
        a[1 : reach + 1, i] = factors
    x /= a[0]
    for i in range(count - 2, -1, -1):
        reach = min(width, count - 1 - i)
        x[i] -= (a[1 : reach + 1, i] * x[i + 1 : i + 1 + reach]).sum(axis=0)
    return x
