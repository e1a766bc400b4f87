"""Shot faces to Nuke and back, and what was moved there."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from bodydouble.alignment.corrections import correct_shot
from bodydouble.alignment.geometry import CANONICAL_LANDMARKS, apply, plate_from_square, similarity_matrix
from bodydouble.alignment.landmarkcsv import write_landmarks_csv
from bodydouble.alignment.nuketracks import parse_tracks, tracker_text
from bodydouble.alignment.shotfaces import Face, ShotFaces
from bodydouble.alignment.trackexchange import CORNERS, read_moved, tracked_corrections, write_nuke_tracks
from bodydouble.errors import SidecarError
from nukeread import nkparser_complaints, tclsh_says

FRAMES = range(1001, 1031)
SIDE = 360.0


def shot(pixel_aspect: float = 1.0, people: int = 2) -> ShotFaces:
    squeeze = plate_from_square(pixel_aspect)
    frames = {}
    for n, frame in enumerate(FRAMES):
        faces = []
        for person in range(people):
            unit_from_plate = similarity_matrix(1 / SIDE, 0.1, (400.0 + 3 * n + 300 * person, 250.0)) @ np.linalg.inv(
                squeeze
            )
            landmarks = apply(np.linalg.inv(unit_from_plate), CANONICAL_LANDMARKS)
            faces.append(
                Face(np.array([300.0, 150.0, 500.0, 350.0]), landmarks, 1.0, 0.7, person, False, unit_from_plate)
            )
        frames[frame] = tuple(faces)
    return ShotFaces("p.####.exr", 960, 540, frames, pixel_aspect)


def corners(shot: ShotFaces, frame: int, person: int = 0) -> np.ndarray:
    face = shot.face(frame, person)
    assert face is not None
    return apply(np.linalg.inv(face.unit_from_plate), CORNERS)


@pytest.mark.parametrize("suffix", ["nk", "csv"])
def test_what_nobody_moved_corrects_nothing(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"tracks.{suffix}"
    (write_nuke_tracks if suffix == "nk" else write_landmarks_csv)(path, shot())
    assert read_moved(path, shot()).entries == ()


def test_nukes_tracks_are_the_landmarks_in_its_own_coordinates(tmp_path: Path) -> None:
    write_nuke_tracks(tmp_path / "tracks.nk", shot())
    text = (tmp_path / "tracks.nk").read_text(encoding="utf-8")
    assert nkparser_complaints(text) == []
    assert {line.split()[0] for line in tclsh_says(text)} == {"Tracker4", "CornerPin2D"}
    text = (tmp_path / "tracks.nk").read_text()
    assert text.count("Tracker4 {") == text.count("CornerPin2D {") == 2
    face = shot().face(1001, 1)
    assert face is not None
    x, y = face.landmarks_px[30]
    row = next(line for line in text.splitlines() if "person1.point30" in line)
    assert f"{{curve x1001 {x + 0.5:.4f}".rstrip("0") in row
    assert f"{{curve x1001 {540 - 0.5 - y:.4f}".rstrip("0") in row


def test_a_landmark_moved_in_nuke_is_passed_through_and_neighbours_move_smoothly() -> None:
    solved = shot()
    place = solved.face(1012).landmarks_px[48] + [6.0, -4.0]  # type: ignore[union-attr]
    tracks = {"48": {1012: (float(place[0]), float(place[1]))}}
    text = tracker_text("T", [1012], {name: np.array(list(keys.values())) for name, keys in tracks.items()}, 540)
    moved = correct_shot(solved, tracked_corrections(parse_tracks(text, 540), solved))
    face = moved.face(1012)
    assert face is not None
    assert np.abs(face.landmarks_px[48] - place).max() < 1e-3
    away = [np.hypot(*(moved.face(f).landmarks_px[48] - solved.face(f).landmarks_px[48])) for f in FRAMES]  # type: ignore[union-attr]
    assert max(away) == pytest.approx(np.hypot(6, 4), abs=1e-3)
    assert np.abs(np.diff(away, 2)).max() < 0.5, "nothing kinks"
    assert moved.face(1012, 1).landmarks_px.tolist() == solved.face(1012, 1).landmarks_px.tolist()  # type: ignore[union-attr]


@pytest.mark.parametrize("pixel_aspect", [1.0, 2.0])
def test_a_crop_moved_in_nuke_is_where_it_was_put(tmp_path: Path, pixel_aspect: float) -> None:
    """Within a tenth of a pixel at the crop's scale; the other person and the other frames stay."""
    solved = shot(pixel_aspect)
    write_nuke_tracks(tmp_path / "tracks.nk", solved)
    tracks = parse_tracks((tmp_path / "tracks.nk").read_text(), 540)
    squeeze = plate_from_square(pixel_aspect)
    wanted = apply(
        squeeze @ similarity_matrix(1.1, 0.05, (400, 250), (410, 255)) @ np.linalg.inv(squeeze),
        corners(solved, 1010, 1),
    )
    for corner in range(4):
        tracks[f"BodyDouble_person1_crop.to{corner + 1}"][1010] = (float(wanted[corner, 0]), float(wanted[corner, 1]))
    corrections = tracked_corrections(tracks, solved)
    assert [(entry.frame, entry.person) for entry in corrections.entries] == [(1010, 1)]
    moved = correct_shot(solved, corrections)
    face = moved.face(1010, 1)
    assert face is not None
    assert np.abs(apply(face.unit_from_plate, wanted) - CORNERS).max() * SIDE < 0.1
    assert np.array_equal(corners(moved, 1010), corners(solved, 1010))


def test_a_line_of_a_csv_that_was_edited_is_a_correction(tmp_path: Path) -> None:
    solved = shot(people=1)
    write_landmarks_csv(tmp_path / "marks.csv", solved)
    lines = (tmp_path / "marks.csv").read_text().splitlines()
    head, row = lines[0].split(","), lines[5].split(",")
    row[head.index("x30")] = str(float(row[head.index("x30")]) + 3)
    lines[5] = ",".join(row)
    (tmp_path / "marks.csv").write_text("\n".join(lines))
    (entry,) = read_moved(tmp_path / "marks.csv", solved).entries
    assert (entry.frame, list(entry.points_px)) == (1005, [30])


@pytest.mark.parametrize(
    ("name", "frame", "says"),
    [("tip of the nose", 1001, "names no landmark"), ("68", 1001, "names no landmark"), ("3", 7, "no face")],
)
def test_a_track_that_fits_nothing_is_named(name: str, frame: int, says: str) -> None:
    with pytest.raises(SidecarError, match=says):
        tracked_corrections({name: {frame: (1.0, 2.0)}}, shot())


@pytest.mark.parametrize(
    ("name", "person", "mark"),
    [
        ("person1.point36", 1, 36),
        ("36", 0, 36),
        ("point 8", 0, 8),
        ("landmark_07", 0, 7),
        ("person_1_landmark_07", 1, 7),
    ],
)
def test_names_say_person_and_landmark(name: str, person: int, mark: int) -> None:
    (entry,) = tracked_corrections({name: {1003: (1.0, 2.0)}}, shot()).entries
    assert (entry.person, list(entry.points_px)) == (person, [mark])
