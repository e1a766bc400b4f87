"""Where people mark the lips that dlib puts too regularly."""

from __future__ import annotations

import numpy as np

from bodydouble.alignment.geometry import CANONICAL_LANDMARKS, unit_from_landmarks
from bodydouble.alignment.lips import LIPS, NOSE_BASE, placed_lips, placed_nose_base

SIDE = 343.0
MIRROR = [*range(16, -1, -1), *range(26, 16, -1), 27, 28, 29, 30, *range(35, 30, -1)]
MIRROR += [45, 44, 43, 42, 47, 46, 39, 38, 37, 36, 41, 40]
MIRROR += [54, 53, 52, 51, 50, 49, 48, 59, 58, 57, 56, 55, 64, 63, 62, 61, 60, 67, 66, 65]


def turned_face() -> np.ndarray:
    """The canonical face in pixels with its nose a little to the right."""
    face = CANONICAL_LANDMARKS * SIDE
    face[27:36, 0] += 0.04 * SIDE
    return face


def mirrored(face: np.ndarray) -> np.ndarray:
    return np.asarray(face[MIRROR] * (-1, 1) + (SIDE, 0))


def test_only_the_mouth_is_moved_and_by_a_few_percent_of_the_eyes_distance() -> None:
    face = turned_face()
    away = np.hypot(*(placed_lips(face, SIDE) - face).T)
    assert not np.delete(away, np.r_[LIPS]).any()
    assert 0.002 * SIDE < away[LIPS].mean() < 0.012 * SIDE
    assert away.max() < 0.025 * SIDE


def test_the_crop_stays_where_it_was() -> None:
    face = turned_face()
    corners = np.array([(0, 0, 1), (1, 0, 1), (0, 1, 1), (1, 1, 1.0)]).T
    moved = unit_from_landmarks(placed_lips(face, SIDE)) @ np.linalg.inv(unit_from_landmarks(face)) @ corners
    assert np.abs(moved - corners).max() < 1e-3, "to a thousandth of its side"


def test_a_mirrored_face_gets_mirrored_lips() -> None:
    face = turned_face()
    np.testing.assert_allclose(placed_lips(mirrored(face), SIDE), mirrored(placed_lips(face, SIDE)), atol=1e-9)


def test_it_goes_with_the_size_and_the_place_of_the_face() -> None:
    face = turned_face()
    np.testing.assert_allclose(placed_lips(3 * face + 20, 3 * SIDE), 3 * placed_lips(face, SIDE) + 20, atol=1e-9)


def test_several_predictions_are_placed_each_on_its_own() -> None:
    faces = np.stack([turned_face(), CANONICAL_LANDMARKS * SIDE, turned_face() + 5])
    one_by_one = np.stack([placed_lips(face, SIDE) for face in faces])
    np.testing.assert_array_equal(placed_lips(faces, SIDE), one_by_one)
    assert np.abs(one_by_one[0] - faces[0] - (one_by_one[1] - faces[1]))[LIPS].max() > 0.5, "the turn matters"


def test_a_turn_beyond_what_was_measured_changes_nothing_more() -> None:
    far, farther = CANONICAL_LANDMARKS * SIDE, CANONICAL_LANDMARKS * SIDE
    far[30, 0] += 0.12 * SIDE
    farther[30, 0] += 0.5 * SIDE
    np.testing.assert_array_equal((placed_lips(far, SIDE) - far)[LIPS], (placed_lips(farther, SIDE) - farther)[LIPS])


def test_only_the_mark_under_the_nose_is_moved_a_little_upwards() -> None:
    faces = np.stack([turned_face(), CANONICAL_LANDMARKS * SIDE])
    moved = placed_nose_base(faces, SIDE) - faces
    assert not np.delete(moved, NOSE_BASE, axis=1).any() and not moved[..., 0].any()
    assert (moved[:, NOSE_BASE, 1] < 0).all() and np.abs(moved).max() < 0.004 * SIDE
