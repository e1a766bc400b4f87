"""Grey pictures without their light and contrast."""

from __future__ import annotations

import numpy as np
import pytest

from bodydouble.alignment.normalising import MOUTH_NORMAL_RADIUS, NORMAL_FLOOR, NORMAL_RADIUS, normalised

TAPS = np.array([1, 4, 6, 4, 1]) / 16
SIDE = 128


def waves(gain: float = 1.0) -> np.ndarray:
    """A picture whose light and contrast change from place to place."""
    y, x = np.mgrid[:SIDE, :SIDE]
    return (gain * (110 + 0.3 * x + (10 + 0.3 * y) * np.sin(x / 3) * np.cos(y / 4))).astype(np.uint8)


@pytest.mark.parametrize(("plane", "reach", "within"), [(0, NORMAL_RADIUS, 1e-4), (1, MOUTH_NORMAL_RADIUS, 0.02)])
def test_pixels_are_normalised_by_the_smoothed_box_around_them(plane: int, reach: int, within: float) -> None:
    picture, y, x = waves(), 64, 61
    near = picture[y - reach - 2 : y + reach + 3, x - reach - 2 : x + reach + 3].astype(float)
    side = 2 * reach + 1
    smooth = sum(a * b * near[i : i + side, j : j + side] for i, a in enumerate(TAPS) for j, b in enumerate(TAPS))
    expected = (smooth[reach, reach] - smooth.mean()) / np.sqrt(smooth.var() + NORMAL_FLOOR**2)
    assert normalised(picture)[plane, y, x] == pytest.approx(expected, abs=within)


def test_dimmed_light_leaves_what_is_normalised_nearly_as_it_was() -> None:
    away = np.abs(normalised(waves()) - normalised(waves(0.7)))
    assert away.mean() < 0.1, "the picture itself changes by 40 codes"
