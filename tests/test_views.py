"""What the detector sees of a frame."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from bodydouble.alignment.geometry import apply, similarity_matrix
from bodydouble.alignment.views import (
    CLOSE_UP,
    PictureViews,
    PlateViews,
    close_box,
    encoding_table,
    rows_of_faces,
)
from bodydouble.plates.images import picture_plate
from bodydouble.plates.plate import Plate


@pytest.mark.parametrize("exposure", [1e-3, 0.05, 1.0, 30.0])
def test_the_detection_picture_hardly_depends_on_exposure(exposure: float) -> None:
    rgb = np.random.default_rng(0).uniform(0.02, 1.0, (64, 64, 3)).astype(np.float32)
    shown = shown_whole(rgb * np.float32(exposure))
    assert shown.dtype == int
    if 0.1 < exposure < 10:
        assert np.abs(shown - shown_whole(rgb)).max() <= 1
    assert 2 < shown.mean() < 250


def test_highlights_stay_apart_in_the_detection_picture() -> None:
    rgb = np.full((8, 8, 3), 0.18, np.float32)
    rgb[0, 0], rgb[0, 1], rgb[0, 2] = 0.6, 1.0, np.inf
    shown = shown_whole(rgb)[0, :4, 0]
    assert shown[3] < shown[0] < shown[1] < shown[2] == 255


def test_nan_and_below_nothing_are_black() -> None:
    table = encoding_table(1.0)
    codes = [table[np.float16(value).view(np.uint16)] for value in (np.nan, -np.inf, -1.0, 0.0, np.inf)]
    assert codes == [0, 0, 0, 0, 255]


def plate(height: int, width: int, pixel_aspect: float = 1.0) -> Plate:
    """Red grows along x, green along y."""
    y, x = np.mgrid[:height, :width].astype(np.float32)
    rgb = np.stack([0.02 + 0.4 * x / width, 0.02 + 0.4 * y / height, np.full_like(x, 0.1)], axis=-1)
    return picture_plate(Path("ramp.exr"), rgb, {"PixelAspectRatio": pixel_aspect})


def views(picture: Plate) -> PlateViews:
    return PlateViews(picture, lambda rgb: rgb)


def shown_whole(rgb: np.ndarray) -> np.ndarray:
    """All of a small scene-linear ACEScg picture as the detector sees it."""
    return views(picture_plate(Path("small.exr"), rgb, {})).whole(1280).image_u8.astype(int)


@pytest.mark.parametrize("face_px", [60.0, 300.0, 700.0])
def test_a_region_shows_what_the_whole_shows_at_the_same_place(face_px: float) -> None:
    """A face of 700 px is looked at at half size; its pixels stand for the middle of four."""
    picture = plate(900, 1000)
    full = views(picture).whole(2000).image_u8.astype(float)
    unit_from_plate = similarity_matrix(0.7 / face_px, 0.0, (520.0, 430.0))
    view = views(picture).around(unit_from_plate)
    assert max(view.image_u8.shape) < 1200
    y, x = np.mgrid[5 : view.image_u8.shape[0] - 5, 5 : view.image_u8.shape[1] - 5]
    at = view.to_plate(np.stack([x, y], axis=-1).astype(float))
    low = np.floor(at).astype(int)
    share = (at - low)[..., None]
    expected = full[low[..., 1], low[..., 0]] * (1 - share[..., :1, 0]) * (1 - share[..., 1:, 0])
    expected += full[low[..., 1], low[..., 0] + 1] * share[..., :1, 0] * (1 - share[..., 1:, 0])
    expected += full[low[..., 1] + 1, low[..., 0]] * (1 - share[..., :1, 0]) * share[..., 1:, 0]
    expected += full[low[..., 1] + 1, low[..., 0] + 1] * share[..., :1, 0] * share[..., 1:, 0]
    assert np.abs(view.image_u8[5:-5, 5:-5] - expected).max() <= 1.6
    corner = apply(view.unit_here(unit_from_plate), apply(view.view_from_plate, np.array([520.0, 430.0])))
    np.testing.assert_allclose(corner, [0.5, 0.5], atol=1e-12)


@pytest.mark.parametrize("aspect", [1.0, 2.0])
def test_the_whole_is_shrunk_to_the_size_and_knows_where_its_pixels_are(aspect: float) -> None:
    picture = plate(400, 600, aspect)
    view = views(picture).whole(256)
    assert max(view.image_u8.shape) == 256
    # The outer corner of the picture stays the outer corner.
    rows, columns = view.image_u8.shape[:2]
    np.testing.assert_allclose(view.to_plate(np.array([-0.5, -0.5])), [-0.5, -0.5], atol=1e-9)
    np.testing.assert_allclose(
        view.to_plate(np.array([columns - 0.5, rows - 0.5])), [600 * aspect - 0.5, 399.5], atol=2.1
    )


def test_a_face_at_the_border_is_seen_as_far_as_the_plate_goes() -> None:
    view = views(plate(200, 300)).around(similarity_matrix(0.7 / 100, 0.0, (-20.0, 190.0)))
    assert view.image_u8.size > 0
    np.testing.assert_array_equal(view.to_plate(np.array([0.0, 0.0]))[0], 0.0)


def test_a_close_up_shows_what_the_surroundings_show_and_needs_fewer_rows() -> None:
    unit_from_plate = similarity_matrix(0.7 / 300, 0.15, (500.0, 450.0))
    wide, close = views(plate(900, 1000)).around(unit_from_plate), views(plate(900, 1000)).close_up(unit_from_plate)
    assert close.image_u8.size < 0.75 * wide.image_u8.size
    x, y = np.rint(apply(wide.view_from_plate, close.to_plate(np.zeros(2)))).astype(int)
    height, width = close.image_u8.shape[:2]
    np.testing.assert_array_equal(close.image_u8, wide.image_u8[y : y + height, x : x + width])
    corners = apply(close.view_from_plate, apply(np.linalg.inv(unit_from_plate), CLOSE_UP))
    assert (corners > -1.5).all() and (corners < [width + 0.5, height + 0.5]).all()
    top, end = rows_of_faces([unit_from_plate], 0.0)
    seen = close.to_plate(np.array([(0.0, -0.5), (0.0, height - 0.5)]))[:, 1]
    assert top - 1 <= seen[0] and seen[1] <= end + 1 and end - top < 0.8 * wide.image_u8.shape[0]


def test_the_rows_of_faces_are_those_of_all_of_them_and_of_where_they_move() -> None:
    high, low = similarity_matrix(1 / 200, 0.0, (300.0, 200.0)), similarity_matrix(1 / 200, 0.5, (300.0, 600.0))
    assert rows_of_faces([high, low], 0.0) == (rows_of_faces([high], 0.0)[0], rows_of_faces([low], 0.0)[1])
    still, moved = rows_of_faces([high], 0.0), rows_of_faces([high], 0.1)
    assert (still[0] - moved[0], moved[1] - still[1]) == (20, 20)
    assert close_box(low)[3] - close_box(low)[1] > close_box(high)[3] - close_box(high)[1], "it is tilted"


def test_a_picture_is_its_own_view() -> None:
    image = np.random.default_rng(0).integers(0, 255, (60, 80, 3)).astype(np.uint8)
    assert PictureViews(image).close_up(np.eye(3)).image_u8 is image
    view = PictureViews(image).around(similarity_matrix(0.01, 0.0, (40.0, 30.0)))
    assert view.image_u8 is image
    np.testing.assert_array_equal(view.view_from_plate, np.eye(3))


def test_a_whole_frame_that_is_shrunk_bears_nan_and_inf_and_shows_the_rest() -> None:
    picture = plate(300, 400)
    broken = picture.rgb().copy()
    broken[100, 200], broken[100, 201], broken[101, 200] = np.nan, np.inf, -np.inf
    broken[10:12, 10:12] = np.inf
    wanted = views(picture).whole(260).image_u8.astype(int)
    shown = views(picture_plate(Path("broken.exr"), broken, {})).whole(260).image_u8.astype(int)
    away = np.abs(shown - wanted).max(axis=2)
    assert (away > 2).sum() <= 16, "only around what is broken"
    assert shown[7, 7].tolist() == [0, 0, 0] or shown[7, 7].tolist() == [255, 255, 255]


def test_a_linear_plate_is_looked_at_in_its_own_primaries_and_any_other_is_converted() -> None:
    picture = plate(60, 80)
    doubled = [PlateViews(picture, lambda rgb: 2 * rgb, linear).whole(200).image_u8 for linear in (False, True)]
    # The exposure is that of the converted frame, so what is not converted looks half as bright.
    assert (doubled[0][30, 40] > doubled[1][30, 40]).all()
    halved = PlateViews(picture, lambda rgb: rgb, True).whole(200).image_u8
    np.testing.assert_array_equal(halved, views(picture).whole(200).image_u8)


def test_a_shrunk_linear_face_shows_no_nan_and_what_is_infinite_stays_beside_the_rest() -> None:
    rgb = plate(900, 1000).rgb()
    broken = rgb.copy()
    broken[400, 500], broken[402, 500], broken[404, 500] = np.nan, -np.inf, np.inf
    unit_from_plate = similarity_matrix(0.7 / 700, 0.0, (520.0, 430.0))
    shown = [
        PlateViews(picture_plate(Path("a.exr"), pixels, {}), lambda rgb: rgb, True).around(unit_from_plate).image_u8
        for pixels in (rgb, broken)
    ]
    assert (np.abs(shown[0].astype(int) - shown[1]) > 2).any(axis=2).sum() <= 3
