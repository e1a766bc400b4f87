"""Chips: where a pixel of a cut-out comes from."""

from __future__ import annotations

import numpy as np
import pytest

from bodydouble.alignment.chips import (
    DETECTOR_BOX,
    PICTURE_SIDE,
    Sampler,
    box_from_unit,
    cut_chip,
    face_picture,
    resample,
    shrink,
    unit_from_box,
)
from bodydouble.alignment.faces import sampled
from bodydouble.alignment.geometry import apply, similarity_matrix


def ramp(height: int, width: int) -> np.ndarray:
    """Red is 2x, green is 2y: a chip pixel says where it was taken."""
    y, x = np.mgrid[:height, :width]
    return np.stack([2 * x, 2 * y, np.zeros_like(x)], axis=-1).astype(np.uint8)


@pytest.mark.parametrize("sample", [None, sampled], ids=["numpy", "dlib"])
@pytest.mark.parametrize(("scale", "angle"), [(1.0, 0.0), (4.0, 0.0), (2.5, 0.5), (0.5, 0.0), (0.6, -0.4), (1.2, 2.9)])
def test_a_chip_pixel_holds_the_plate_point_it_maps_to(scale: float, angle: float, sample: Sampler | None) -> None:
    chip_from_plate = similarity_matrix(scale, angle, (62.25, 60.25), (20.0, 20.0))
    chip = resample(ramp(125, 125), chip_from_plate, 41, sample)
    y, x = np.mgrid[4:37, 4:37]
    expected = apply(np.linalg.inv(chip_from_plate), np.stack([x, y], axis=-1))
    error = chip[4:37, 4:37, :2] / 2 - expected
    assert np.abs(error).max() < 0.51  # codes are whole
    assert np.abs(error.mean(axis=(0, 1))).max() <= 0.26  # no shift: half a pixel would show here


@pytest.mark.parametrize("angle", [0.0, 0.4])
def test_the_picture_for_registration_is_the_luma_of_the_crop(angle: float) -> None:
    red, green = np.meshgrid(np.arange(125), np.arange(125))
    image = np.stack([2 * red, 2 * green, np.full_like(red, 60)], axis=-1).astype(np.uint8)
    unit_from_plate = similarity_matrix(1 / 60, angle, (62.0, 60.0))
    y, x = (np.mgrid[:PICTURE_SIDE, :PICTURE_SIDE] + 0.5) / PICTURE_SIDE
    at = 2 * apply(np.linalg.inv(unit_from_plate), np.stack([x, y], axis=-1))
    expected = 0.299 * at[..., 0] + 0.587 * at[..., 1] + 0.114 * 60
    assert np.abs(face_picture(image, unit_from_plate, sampled) - expected).max() < 2


@pytest.mark.parametrize("sample", [None, sampled], ids=["numpy", "dlib"])
def test_a_chip_is_black_beyond_the_picture(sample: Sampler | None) -> None:
    white = np.full((20, 20, 3), 255, np.uint8)
    chip = resample(white, similarity_matrix(1.0, 0.0, (0.0, 0.0), (10.0, 10.0)), 40, sample)
    assert not chip[:9].any()
    assert not chip[:, 31:].any()
    assert (chip[11:29, 11:29] == 255).all()


def test_shrinking_keeps_the_outer_corners_and_the_mean() -> None:
    small = shrink(ramp(80, 120), 20, 30)
    assert small.shape == (20, 30, 3)
    # Four columns 4i … 4i+3 have their middle at 4i + 1.5.
    np.testing.assert_allclose(small[15, 5:25, 0] / 2, np.arange(5, 25) * 4 + 1.5, atol=0.26)


def test_shrinking_does_not_alias() -> None:
    stripes = np.zeros((64, 64, 3), np.uint8)
    stripes[:, ::2] = 255
    assert np.ptp(shrink(stripes, 16, 16)[:, 2:-2]) < 10


def test_the_face_box_lies_in_the_chip_where_it_says() -> None:
    unit_from_plate = similarity_matrix(0.004, 0.2, (300.0, 200.0))
    chip = cut_chip(np.zeros((400, 600, 3), np.uint8), unit_from_plate, 100.0, sampled)
    plate_corner = apply(np.linalg.inv(unit_from_plate), DETECTOR_BOX[:2])
    np.testing.assert_allclose(chip.to_chip(plate_corner), chip.box[:2], atol=1e-9)
    assert chip.box[2] - chip.box[0] == pytest.approx(100)
    np.testing.assert_allclose(chip.to_image(chip.to_chip(plate_corner)), plate_corner)


def test_a_detector_box_and_an_upright_alignment_are_inverse() -> None:
    box = np.array([100.0, 50.0, 300.0, 250.0])
    np.testing.assert_allclose(box_from_unit(unit_from_box(box)), box)


@pytest.mark.parametrize("box", [(0, 0, 0, 10), (5, 5, 1, 9), (0, 9, 9, 0), (0, 0, np.nan, 4)])
def test_a_box_without_an_area_is_refused(box: tuple[float, ...]) -> None:
    with pytest.raises(ValueError, match="area"):
        unit_from_box(box)
