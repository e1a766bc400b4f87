"""A crop comes back from its file as the format promises."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from bodydouble.errors import PlateError
from bodydouble.plates.modelspace import ModelSpace
from bodydouble.training.cropfiles import files_of, matte_path, read_crop, stored, write_crop

SPACE = ModelSpace()


@pytest.fixture
def crop() -> np.ndarray:
    """Light from deep shadow to far above white, some below 0, and a matte of many values."""
    light = np.geomspace(1e-3, 30, 16 * 16 * 3, dtype=np.float32).reshape(16, 16, 3)
    light[0, :4] = -0.5
    matte = np.linspace(0, 1, 16 * 16, dtype=np.float32).reshape(16, 16, 1)
    return np.concatenate([light, matte], axis=2)


@pytest.mark.parametrize("format", ["exr", "png"])
def test_a_file_holds_exactly_what_stored_says(format, crop, tmp_path):
    path = tmp_path / "crops" / f"anna.{format}"
    write_crop(path, crop, SPACE)
    np.testing.assert_array_equal(read_crop(path, SPACE), stored(crop, format, SPACE))
    assert all(file.is_file() for file in files_of(path))


def test_half_keeps_every_value_to_a_part_in_two_thousand(crop):
    np.testing.assert_allclose(stored(crop, "exr", SPACE), crop, rtol=2**-11)


def test_png_keeps_light_between_0_and_16_finer_than_half_and_ends_there(crop):
    kept = stored(crop, "png", SPACE)
    inside = (crop > 0.01) & (crop < 16)
    inside[..., 3] = False
    np.testing.assert_allclose(kept[inside], crop[inside], rtol=2**-11)
    assert (kept[crop < 0] == 0).all()
    above = kept[..., :3][crop[..., :3] > 16.1]
    np.testing.assert_allclose(above, 16, rtol=0.01)


def test_light_outside_the_matte_is_kept(crop, tmp_path):
    crop[..., 3] = 0
    path = tmp_path / "crops" / "anna.png"
    write_crop(path, crop, SPACE)
    assert read_crop(path, SPACE)[8, 8, 0] == pytest.approx(crop[8, 8, 0], rel=1e-3)


def test_a_png_whose_matte_is_missing_is_named(crop, tmp_path):
    path: Path = tmp_path / "crops" / "anna.png"
    write_crop(path, crop, SPACE)
    matte_path(path).unlink()
    with pytest.raises(PlateError, match=r"mattes.anna\.png"):
        read_crop(path, SPACE)
