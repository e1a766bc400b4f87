"""Pictures of half floats made smaller by their bits, which grow with what they stand for.

A mean of the bits lies between the mean of what they stand for and that of its logarithm, as one of display-encoded
pixels does: highlights do not drown what is beside them.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Codes = NDArray[np.uint16]

ROWS_AT_ONCE = 16
"""Rows of a picture that are made at once."""
INFINITE = 0x7C00
"""The bits of Inf as a half float; what is above, up to the sign, is NaN."""


def averaged(halves: NDArray[np.float16], step: int) -> Codes:
    """The bits of half floats, H×W×3, averaged over squares of `step` pixels."""
    rows = max(step, len(halves) // step * step)
    band = ROWS_AT_ONCE * step  # so many stay in the processor's cache
    return np.concatenate([_averaged_band(halves[top : min(top + band, rows)], step) for top in range(0, rows, band)])


def _averaged_band(halves: NDArray[np.float16], step: int) -> Codes:
    codes = _codes(halves)
    for _ in range(step.bit_length() - 1):
        codes = _halved(codes)
    return codes


def _codes(halves: NDArray[np.float16]) -> Codes:
    """The bits of half floats, which grow with what they stand for; NaN and what is below 0 become 0. Read-only."""
    bits = halves.view(np.uint16)
    if bits.max(initial=0) > INFINITE:  # those below 0 have the highest bit
        return bits * (bits <= INFINITE)
    return bits


def _halved(codes: Codes) -> Codes:
    """Means of squares of four pixels of H×W×3, an odd last row or column left out; one alone stays.

    Two codes fit into their type.
    """
    height, width = codes.shape[0] // 2 * 2, codes.shape[1] // 2 * 2
    if height:
        codes = codes[:height:2] + codes[1:height:2]
        codes = np.right_shift(codes, 1, out=codes)
    if width:
        left = np.empty((len(codes), width // 2, 3), np.uint16)
        for channel in range(3):  # far quicker than over rows of three
            np.add(codes[:, :width:2, channel], codes[:, 1:width:2, channel], out=left[..., channel])
        codes = np.right_shift(left, 1, out=left)
    return codes


def interpolated(codes: Codes, rows: int, columns: int) -> Codes:
    """H×W×3, at most twice as large as wanted, at `rows` × `columns`: linear, outer corners on outer corners."""
    upper, lower, down = _between(len(codes), rows)
    left, right, along = _between(codes.shape[1], columns)
    left, right = (((3 * at)[:, None] + np.arange(3)).ravel() for at in (left, right))
    flat, along = codes.reshape(len(codes), -1), np.repeat(along, 3)
    result = np.empty((rows, columns, 3), np.uint16)
    for top in range(0, rows, ROWS_AT_ONCE):
        band = slice(top, top + ROWS_AT_ONCE)
        lines = _mixed(flat.take(upper[band], 0), flat.take(lower[band], 0), down[band, None])
        result[band] = _mixed(lines.take(left, 1), lines.take(right, 1), along).reshape(-1, columns, 3)
    return result


def _between(length: int, count: int) -> tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.float32]]:
    """The neighbours of each of `count` places along a side, and how far it is from the first to the second."""
    at = (np.arange(count) + 0.5) * (length / count) - 0.5
    low = np.clip(at.astype(np.intp), 0, max(0, length - 2))
    return low, np.minimum(low + 1, length - 1), (at - low).astype(np.float32)


def _mixed(one: NDArray[Any], other: NDArray[Any], share: NDArray[np.float32]) -> NDArray[np.float32]:
    result = np.subtract(other, one, dtype=np.float32)
    result *= share
    result += one
    return result
