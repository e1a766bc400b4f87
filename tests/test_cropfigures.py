"""What a crop's figures say, and what they do not care about."""

from __future__ import annotations

import math

import numpy as np
import pytest

from bodydouble.alignment.geometry import CANONICAL_LANDMARKS
from bodydouble.alignment.shotfaces import Face
from bodydouble.training.cropfigures import CropFigures, Prints, crop_figures, crop_print
from cutting import moved, picture

PAD = 20


def crop_of(light: np.ndarray) -> np.ndarray:
    """240×240×4 with 20 px around the unit crop, a round matte."""
    y, x = np.mgrid[:240, :240] - 119.5
    matte = (np.hypot(x, y) < 70).astype(float)[..., None]
    return np.concatenate([np.broadcast_to(light, (240, 240, 3)), matte], axis=2).astype(np.float32)


def face(aspect: float = 1.0, angle_deg: float = 0.0) -> Face:
    """The canonical face, 200 square pixels across the crop, turned clockwise, on a plate of such pixels."""
    turn = np.radians(angle_deg)
    points = (CANONICAL_LANDMARKS - 0.5) @ np.array([[np.cos(turn), np.sin(turn)], [-np.sin(turn), np.cos(turn)]])
    points = 200 * points + 300
    points[:, 0] /= aspect
    return Face(np.array([*points.min(0), *points.max(0)]), points, 1.0, 1.0)


def figures(light: np.ndarray, aspect: float = 1.0, angle_deg: float = 0.0) -> CropFigures:
    return crop_figures(crop_of(light), PAD, face(aspect, angle_deg), aspect)


def away(one: np.ndarray, other: np.ndarray) -> float:
    return Prints([("other", crop_print(crop_of(other), PAD))]).nearest(crop_print(crop_of(one), PAD))[1]


def test_sharpness_falls_with_motion_of_either_direction_and_with_nothing_else():
    sharp = [figures(moved(picture(), pixels)).sharpness for pixels in (1, 3, 6)]
    assert sharp == sorted(sharp, reverse=True) and sharp[2] < 0.8 * sharp[0]
    upwards = moved(picture().transpose(1, 0, 2), 6).transpose(1, 0, 2)
    assert figures(upwards).sharpness < 0.8 * sharp[0]
    assert figures(4 * picture()).sharpness == pytest.approx(sharp[0], rel=0.02)


def test_exposure_is_stops_over_middle_grey():
    assert figures(np.full(3, 0.18)).exposure_stops == pytest.approx(0, abs=1e-3)
    assert figures(np.full(3, 1.44)).exposure_stops == pytest.approx(3, abs=1e-3)
    before = figures(picture()).exposure_stops
    assert figures(picture() / 2).exposure_stops == pytest.approx(before - 1, abs=0.01)


def test_light_outside_the_matte_does_not_count():
    light = np.full((240, 240, 3), 0.18)
    light[:40] = 50.0
    assert figures(light).exposure_stops == pytest.approx(0, abs=1e-3)
    assert away(light, np.full(3, 0.18)) == pytest.approx(0, abs=1e-3)


def test_black_and_negative_light_have_finite_figures():
    for value in (0.0, -1.0):
        assert all(map(math.isfinite, figures(np.full(3, value)).as_dict().values()))


@pytest.mark.parametrize("aspect", [1.0, 2.0])
def test_pose_is_that_of_the_head_whatever_the_shape_of_the_pixels(aspect):
    upright, tilted = figures(picture(), aspect), figures(picture(), aspect, angle_deg=20)
    assert abs(upright.yaw_deg) < 2 and abs(upright.roll_deg) < 1
    assert tilted.roll_deg - upright.roll_deg == pytest.approx(20, abs=0.5)
    assert upright.side_px == pytest.approx(200 / math.sqrt(aspect), rel=0.15)


def test_a_crop_differs_from_itself_by_nothing_and_from_another_as_much_as_that_from_it():
    assert away(picture(1), picture(1)) == 0
    assert away(picture(1), picture(2)) == pytest.approx(away(picture(2), picture(1)))


def test_the_nearest_of_many_is_found_with_its_name():
    prints = Prints((f"crop {seed}", crop_print(crop_of(picture(seed)), PAD)) for seed in range(4))
    name, difference = prints.nearest(crop_print(crop_of(1.1 * picture(2)), PAD))
    assert name == "crop 2" and difference < 0.01
    assert Prints().nearest(crop_print(crop_of(picture()), PAD)) == ("", math.inf)


def test_figures_come_back_from_json():
    before = figures(picture())
    again = CropFigures.from_dict(before.as_dict())
    assert again is not None and again.as_dict() == before.as_dict()
    assert CropFigures.from_dict({"file": "a.exr"}) is None
