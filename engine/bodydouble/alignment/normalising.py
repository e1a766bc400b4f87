"""Grey pictures of a face with light and contrast taken out of them, so that they can be compared over time."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Picture = NDArray[np.float32]

NORMAL_RADIUS = 12
NORMAL_FLOOR = 10.0
"""Local normalisation: radius of the box, and the standard deviation in code values that counts as texture."""
MOUTH_NORMAL_RADIUS = 40
"""That of the mouth: how far it opens must not change how the skin around it looks."""


def normalised(picture_u8: NDArray[np.uint8]) -> Picture:
    """(2, H, W) of an H×W grey picture: local mean 0, local contrast about 1, so that light may change between frames.

    First by small surroundings, then by the wide ones that the mouth is looked at with. H and W are even.
    """
    grey = _binomial(picture_u8)
    near = _mean_and_contrast(grey, NORMAL_RADIUS)
    # Wide surroundings change slowly: every second pixel of them is enough.
    wide = [part.repeat(2, 0).repeat(2, 1) for part in _mean_and_contrast(grey[::2, ::2], MOUTH_NORMAL_RADIUS // 2)]
    return np.stack([(grey - mean) / contrast for mean, contrast in (near, wide)])


def _mean_and_contrast(grey: Picture, radius: int) -> tuple[Picture, Picture]:
    """Mean over the box around each pixel, and the standard deviation in it, no less than `NORMAL_FLOOR`."""
    mean = _box_mean(grey, radius)
    variance = np.maximum(_box_mean(grey * grey, radius) - mean * mean, 0.0)
    return mean, np.sqrt(variance + np.float32(NORMAL_FLOOR**2))


def _binomial(picture_u8: NDArray[np.uint8]) -> Picture:
    """Smoothed by the binomial filter of five taps (σ = 1 px), edges repeated."""
    padded = np.pad(picture_u8.astype(np.uint16), 2, mode="edge")
    for _ in range(4):  # of two taps, four times: at most 255 · 16 · 16, which 16 bits hold
        padded = padded[:-1] + padded[1:]
    for _ in range(4):
        padded = padded[:, :-1] + padded[:, 1:]
    return np.asarray(padded * np.float32(1 / 256), np.float32)


def _box_mean(grey: Picture, radius: int) -> Picture:
    """Mean over a box of 2 · radius + 1 pixels, edges repeated."""
    side = 2 * radius + 1
    padded = np.pad(grey, radius, mode="edge")
    sums = _running_sums(_running_sums(padded, side).T, side).T
    return np.asarray(sums * np.float32(1 / side**2), np.float32)


def _running_sums(values: Picture, side: int) -> Picture:
    """Sums of `side` rows each, out of sums of 1, 2, 4, … rows: (H - side + 1, W)."""
    count, done, power = len(values) - side + 1, 0, values
    total = np.zeros((count, *values.shape[1:]), np.float32)
    for bit in range(side.bit_length()):
        if side >> bit & 1:
            total += power[done : done + count]
            done += 1 << bit
        power = power[: -(1 << bit)] + power[1 << bit :]
    return total
