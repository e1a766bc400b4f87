"""The pieces of smoothing over time: the banded systems of Whittaker's smoother, and local fits.

It sees both sides of a frame, so it does not lag, and missing frames are simply frames of weight 0.
P. H. C. Eilers, *A perfect smoother*, Analytical Chemistry 75(14), 2003.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def local_fit(
    values: NDArray[np.float64], weights: NDArray[np.float64], reach: int, sigma: float
) -> NDArray[np.float64]:
    """(N, K) the cubic through the rows near each row, at that row: weighted least squares.

    `weights`: (N,), 0 where a row is not known. Rows farther away than `reach` do not matter at all; nearer ones by a
    Gaussian of `sigma` rows. It is a parabola, a line or a constant where there are not two known rows on either side
    and four in all, or less; where none is within reach, the nearest known row.
    W. S. Cleveland, *Robust locally weighted regression*, JASA 74(368), 1979.
    """
    known = np.flatnonzero(weights > 0)
    result = np.empty_like(values)
    for row in range(len(values)):
        near = known[np.abs(known - row) <= reach]
        if not len(near):
            result[row] = values[known[np.argmin(np.abs(known - row))]]
            continue
        offset = (near - row).astype(np.float64)
        both_sides = min((offset < 0).sum(), (offset > 0).sum()) >= 2
        root = np.sqrt(weights[near] * np.exp(-(offset**2) / (2 * sigma**2)))[:, None]
        basis = offset[:, None] ** np.arange(min(4 if both_sides else 3, len(near)))
        result[row] = np.linalg.lstsq(root * basis, root * values[near], rcond=None)[0][0]
    return result


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
