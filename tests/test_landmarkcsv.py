"""Landmarks as CSV."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from bodydouble.alignment.geometry import CANONICAL_LANDMARKS, unit_from_landmarks
from bodydouble.alignment.landmarkcsv import read_landmarks_csv, write_landmarks_csv
from bodydouble.alignment.shotfaces import Face, ShotFaces
from bodydouble.errors import SidecarError

BOX = np.array([10.0, 20.0, 110.0, 120.0])


def face(person: int = 0, interpolated: bool = False) -> Face:
    return Face(BOX, CANONICAL_LANDMARKS * 200 + 17.3 * person, 1.0, 0.75, person, interpolated)


def test_what_is_written_is_read_again(tmp_path: Path) -> None:
    shot = ShotFaces("p.####.exr", 960, 540, {1001: (face(), face(1)), 1002: (), 1003: (face(interpolated=True),)})
    write_landmarks_csv(tmp_path / "marks.csv", shot)
    again = read_landmarks_csv(tmp_path / "marks.csv", "p.####.exr", 960, 540)
    assert list(again.frames) == [1001, 1003], "a frame without faces has no line"
    assert again.people == (0, 1)
    one, other = shot.face(1001, 1), again.face(1001, 1)
    assert one is not None
    assert other is not None
    np.testing.assert_allclose(other.landmarks_px, one.landmarks_px, atol=6e-4)
    assert (other.confidence, other.score) == (0.75, None)
    assert again.face(1003).interpolated  # type: ignore[union-attr]


def test_foreign_landmarks_need_frame_and_places_only(tmp_path: Path) -> None:
    names = ",".join(f"{axis}{mark}" for mark in range(68) for axis in "xy")
    values = ",".join(f"{value}" for value in (CANONICAL_LANDMARKS * 300).ravel())
    (tmp_path / "marks.csv").write_text(f"frame,{names}\n7,{values}\n")
    found = read_landmarks_csv(tmp_path / "marks.csv", "p", 400, 300).face(7)
    assert found is not None
    assert (found.confidence, found.interpolated) == (1.0, False)
    np.testing.assert_allclose(found.unit_from_plate, unit_from_landmarks(CANONICAL_LANDMARKS * 300), atol=1e-12)


def test_anamorphic_landmarks_are_aligned_in_square_pixels(tmp_path: Path) -> None:
    squeezed = CANONICAL_LANDMARKS * [150.0, 300.0]
    names = ",".join(f"{axis}{mark}" for mark in range(68) for axis in "xy")
    (tmp_path / "m.csv").write_text(f"frame,{names}\n7,{','.join(map(str, squeezed.ravel()))}\n")
    found = read_landmarks_csv(tmp_path / "m.csv", "p", 400, 300, pixel_aspect=2.0).face(7)
    assert found is not None
    homogeneous = np.column_stack([squeezed, np.ones(68)]) @ found.unit_from_plate.T
    np.testing.assert_allclose(homogeneous[:, :2], CANONICAL_LANDMARKS, atol=1e-6)


@pytest.mark.parametrize(
    ("text", "message"),
    [("frame,x0\n1,2\n", "line 2"), ("a,b\n", "no landmarks in it"), ("frame\nx\n", "line 2")],
)
def test_a_wrong_file_says_where(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "marks.csv").write_text(text)
    with pytest.raises(SidecarError, match=message):
        read_landmarks_csv(tmp_path / "marks.csv", "p", 1, 1)
    with pytest.raises(SidecarError, match="not a readable CSV"):
        read_landmarks_csv(tmp_path / "none.csv", "p", 1, 1)
