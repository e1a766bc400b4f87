"""Frames placed by hand."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bodydouble.alignment.corrections import correct_shot, read_corrections
from bodydouble.alignment.geometry import (
    CANONICAL_LANDMARKS,
    apply,
    plate_from_square,
    similarity_matrix,
    unit_from_landmarks,
)
from bodydouble.alignment.shotfaces import Face, ShotFaces
from bodydouble.errors import SidecarError

FRAMES = range(1001, 1041)
SIDE = 360.0


def shot(pixel_aspect: float = 1.0) -> ShotFaces:
    squeeze = plate_from_square(pixel_aspect)
    frames = {}
    for n, frame in enumerate(FRAMES):
        unit_from_plate = similarity_matrix(1 / SIDE, 0.1, (400.0 + 3 * n, 250.0)) @ np.linalg.inv(squeeze)
        landmarks = apply(np.linalg.inv(unit_from_plate), CANONICAL_LANDMARKS)
        box = np.array([300.0, 150.0, 500.0, 350.0])
        frames[frame] = (Face(box, landmarks, 1.0, 0.7, 0, False, unit_from_plate),)
    return ShotFaces("p.####.exr", 960, 540, frames, pixel_aspect)


def corrected(tmp_path: Path, frames: dict[str, Any], plate: ShotFaces | None = None, **more: Any) -> ShotFaces:
    path = tmp_path / "corrections.json"
    path.write_text(json.dumps({"schema": "bodydouble.corrections", "version": 1, "frames": frames, **more}))
    return correct_shot(plate or shot(), read_corrections(path))


def centre(face: Face | None) -> np.ndarray:
    assert face is not None
    return apply(np.linalg.inv(face.unit_from_plate), [0.5, 0.5])


def test_placed_points_are_passed_through_and_far_ones_stay(tmp_path: Path) -> None:
    before = shot().face(1012)
    assert before is not None
    corner = before.landmarks_px[48] + [6.0, -4.0]
    done = corrected(tmp_path, {"1012": [{"person": 0, "points_px": {"48": corner.tolist()}}]}).face(1012)
    assert done is not None
    np.testing.assert_allclose(done.landmarks_px[48], corner, atol=1e-6)
    assert np.hypot(*(done.landmarks_px[60] - before.landmarks_px[60])) > 3, "the inner corner comes along"
    assert np.abs(done.landmarks_px[36:42] - before.landmarks_px[36:42]).max() < 0.1
    assert (done.confidence, done.interpolated) == (1.0, False)
    np.testing.assert_allclose(done.unit_from_plate, unit_from_landmarks(done.landmarks_px), atol=1e-9)


@pytest.mark.parametrize("pixel_aspect", [1.0, 2.0])
def test_a_placed_crop_is_where_it_was_put(tmp_path: Path, pixel_aspect: float) -> None:
    plate = shot(pixel_aspect)
    crop = {"centre_px": [250.0, 260.0], "side_px": 380.0, "angle_deg": 4.0}
    done = corrected(tmp_path, {"1020": [{"crop": crop}]}, plate).face(1020)
    assert done is not None
    np.testing.assert_allclose(centre(done), [250.0, 260.0], atol=1e-6)
    square = done.unit_from_plate @ plate_from_square(pixel_aspect)
    right = apply(np.linalg.inv(square), [1.0, 0.0]) - apply(np.linalg.inv(square), [0.0, 0.0])
    assert np.hypot(*right) == pytest.approx(380.0)
    assert np.degrees(np.arctan2(right[1], right[0])) == pytest.approx(4.0), "clockwise on screen"
    np.testing.assert_allclose(apply(done.unit_from_plate, done.landmarks_px), CANONICAL_LANDMARKS, atol=1e-9)


def test_crop_and_points_may_stand_together(tmp_path: Path) -> None:
    crop = {"centre_px": [440.0, 260.0], "side_px": 380.0, "angle_deg": 0.0}
    done = corrected(tmp_path, {"1020": [{"crop": crop, "points_px": {"8": [441.0, 395.0]}}]}).face(1020)
    assert done is not None
    np.testing.assert_allclose(centre(done), [440.0, 260.0], atol=1e-6)
    np.testing.assert_allclose(done.landmarks_px[8], [441.0, 395.0], atol=1e-6)


def test_the_difference_passes_smoothly_between_keys_and_fades_beyond(tmp_path: Path) -> None:
    plate = shot()

    def crop(frame: int, away: float) -> dict[str, Any]:
        x, y = centre(plate.face(frame))
        return {"crop": {"centre_px": [x, y + away], "side_px": SIDE, "angle_deg": -np.degrees(0.1)}}

    done = corrected(tmp_path, {"1015": [crop(1015, 10.0)], "1025": [crop(1025, 20.0)]}, plate)
    moved = np.array([centre(done.face(f)) - centre(plate.face(f)) for f in FRAMES])
    np.testing.assert_allclose(moved[:, 0], 0, atol=1e-6)
    np.testing.assert_allclose(moved[[14, 24], 1], [10, 20], atol=1e-6)
    assert (np.diff(moved[:25, 1]) >= -1e-9).all(), "nothing overshoots"
    np.testing.assert_allclose(moved[:2, 1], 0, atol=1e-6)
    np.testing.assert_allclose(moved[37:, 1], 0, atol=1e-6)
    assert np.abs(np.diff(moved[:, 1], 2)).max() < 1.0, "a jump would be 10 px"
    assert done.face(1003).confidence == 0.7  # type: ignore[union-attr]


def test_an_empty_entry_keeps_a_frame_as_it_is(tmp_path: Path) -> None:
    plate = shot()
    entry = {"points_px": {"30": [0.0, 0.0]}}
    done = corrected(tmp_path, {"1018": [{}], "1020": [entry], "1022": [{}]}, plate)
    for frame in (1017, 1018, 1022, 1023):
        one, other = done.face(frame), plate.face(frame)
        assert one is not None
        assert other is not None
        np.testing.assert_array_equal(one.landmarks_px, other.landmarks_px)


def test_other_people_are_left_alone(tmp_path: Path) -> None:
    plate = shot()
    (only,) = plate.frames[1020]
    two = Face(only.box_px, only.landmarks_px + 300, 1.0, 0.6, 1)
    crowded = ShotFaces("p", 960, 540, {1020: (only, two)})
    done = corrected(tmp_path, {"1020": [{"person": 1, "points_px": {"30": [700.0, 500.0]}}]}, crowded)
    assert done.face(1020, 0) is only
    np.testing.assert_allclose(done.face(1020, 1).landmarks_px[30], [700.0, 500.0])  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("frames", "message"),
    [
        ({"1012": [{"points_px": {"68": [1, 2]}}]}, r"frames\.1012: landmarks are numbered"),
        ({"1012": [{"points_px": {"3": [1]}}]}, r"frames\.1012: need 2 finite"),
        ({"1012": [{"point": {}}]}, r"unknown field point"),
        ({"1012": [{"crop": {"centre_px": [1, 2]}}]}, r"frames\.1012: 'side_px'"),
        ({"1012": [{}, {}]}, "corrected twice"),
        ({"1012": [{"person": 3, "points_px": {"3": [1, 2]}}]}, "frame 1012: person 3 has no face"),
    ],
)
def test_a_wrong_file_says_where(tmp_path: Path, frames: dict[str, Any], message: str) -> None:
    with pytest.raises(SidecarError, match=message):
        corrected(tmp_path, frames)


def test_another_schema_or_version_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SidecarError, match="version"):
        corrected(tmp_path, {}, version=2)
    with pytest.raises(SidecarError, match="no such file"):
        read_corrections(tmp_path / "none.json")
