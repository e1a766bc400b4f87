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
    mean, contrast = _mean_and_contrast(grey[::2, ::2], MOUTH_NORMAL_RADIUS // 2)
    result = np.empty((2, *grey.shape), np.float32)
    np.subtract(grey, near[0], out=result[0])
    result[0] /= near[1]
    for row, column in ((0, 0), (0, 1), (1, 0), (1, 1)):
        np.subtract(grey[row::2, column::2], mean, out=result[1, row::2, column::2])
        result[1, row::2, column::2] /= contrast
    return result


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
    side, (height, width) = 2 * radius + 1, grey.shape
    tall = np.empty((height + 2 * radius, width), np.float32)
    tall[:radius], tall[radius : radius + height], tall[radius + height :] = grey[0], grey, grey[-1]
    sums = _running_sums(tall, side)
    wide = np.empty((height, width + 2 * radius), np.float32)
    wide[:, :radius], wide[:, radius : radius + width], wide[:, radius + width :] = sums[:, :1], sums, sums[:, -1:]
    result = _running_sums(wide.T, side).T
    result *= np.float32(1 / side**2)
    return result


def _running_sums(values: Picture, side: int) -> Picture:
    """Sums of `side` rows each, out of sums of 1, 2, 4, … rows: (H - side + 1, W)."""
    count, done, power, bits = len(values) - side + 1, 0, values, side.bit_length()
    total: Picture | None = None
    for bit in range(bits):
        if side >> bit & 1:
            part = power[done : done + count]
            total = part.copy(order="K") if total is None else np.add(total, part, out=total)
            done += 1 << bit
        if bit + 1 < bits:
            power = power[: -(1 << bit)] + power[1 << bit :]
    assert total is not None, "side is at least 1"
    return total
