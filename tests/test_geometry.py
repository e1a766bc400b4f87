"""Alignment maths."""

from __future__ import annotations

import numpy as np
import pytest

from bodydouble.alignment.geometry import (
    ALIGNMENT_WEIGHTS,
    CANONICAL_LANDMARKS,
    EYE_LINE,
    INTEROCULAR,
    alignment_residual,
    apply,
    crop_from_unit,
    fit_similarity,
    similarity_matrix,
    similarity_parts,
    similarity_scale,
    unit_from_landmarks,
)

RNG = np.random.default_rng(4)


@pytest.mark.parametrize("angle", [0.0, 0.4, -2.0, 3.1])
def test_a_similarity_is_found_again_from_its_own_points(angle: float) -> None:
    truth = similarity_matrix(0.37, angle, (12.0, -7.0))
    points = RNG.normal(size=(9, 2)) * 50
    np.testing.assert_allclose(fit_similarity(points, apply(truth, points)), truth, atol=1e-12)


def test_mirrored_points_are_never_fitted_by_a_mirror() -> None:
    points = RNG.normal(size=(20, 2))
    found = fit_similarity(points, points * [-1, 1])
    assert np.linalg.det(found[:2, :2]) > 0


def test_points_of_weight_zero_do_not_move_the_fit() -> None:
    source = RNG.normal(size=(6, 2))
    destination = source * 2 + 1
    destination[5] += 100
    found = fit_similarity(source, destination, [1, 1, 1, 1, 1, 0])
    np.testing.assert_allclose(apply(found, source[:5]), destination[:5], atol=1e-12)


def test_two_points_are_enough() -> None:
    found = fit_similarity([(0, 0), (2, 0)], [(5, 5), (5, 9)])
    np.testing.assert_allclose(apply(found, [(1, 0)]), [(5, 7)], atol=1e-12)


@pytest.mark.parametrize(
    ("source", "destination", "weights"),
    [
        (np.zeros((4, 2)), np.ones((4, 2)), None),
        (np.zeros((4, 3)), np.ones((4, 3)), None),
        (np.eye(2), np.ones((3, 2)), None),
        (np.eye(2), np.ones((2, 2)), [0, 0]),
        (np.eye(2), np.ones((2, 2)), [1, -1]),
        (np.full((3, 2), np.nan), np.ones((3, 2)), None),
    ],
)
def test_points_without_an_answer_are_refused(source: object, destination: object, weights: object) -> None:
    with pytest.raises(ValueError, match=r"need|coincide"):
        fit_similarity(source, destination, weights)  # type: ignore[arg-type]


def test_the_canonical_eyes_are_level_and_at_the_fixed_distance() -> None:
    left, right = CANONICAL_LANDMARKS[36:42].mean(axis=0), CANONICAL_LANDMARKS[42:48].mean(axis=0)
    np.testing.assert_allclose(left, (0.5 - INTEROCULAR / 2, EYE_LINE), atol=1e-4)
    np.testing.assert_allclose(right, (0.5 + INTEROCULAR / 2, EYE_LINE), atol=1e-4)


def test_the_canonical_face_is_its_own_mirror_image() -> None:
    mirrored = CANONICAL_LANDMARKS * [-1, 1] + [1, 0]
    # Every point has a partner; the jaw's are 0-16, 1-15, ...
    distance = np.linalg.norm(CANONICAL_LANDMARKS[:, None] - mirrored[None], axis=2)
    np.testing.assert_allclose(distance.min(axis=1), 0, atol=2e-4)
    np.testing.assert_allclose(mirrored[:17], CANONICAL_LANDMARKS[16::-1], atol=2e-4)


def test_landmarks_are_laid_on_the_canonical_face() -> None:
    plate_from_unit = np.linalg.inv(similarity_matrix(0.004, 0.3, (500.0, 240.0)))
    found = unit_from_landmarks(apply(plate_from_unit, CANONICAL_LANDMARKS))
    np.testing.assert_allclose(found @ plate_from_unit, np.eye(3), atol=1e-9)


def test_the_jaw_does_not_move_the_crop() -> None:
    opened = CANONICAL_LANDMARKS.copy()
    opened[:17] += (0, 0.2)
    np.testing.assert_allclose(unit_from_landmarks(opened), np.eye(3), atol=1e-9)
    assert not ALIGNMENT_WEIGHTS[:17].any()


def test_a_wide_open_mouth_hardly_moves_the_crop() -> None:
    opened = CANONICAL_LANDMARKS.copy()
    opened[[55, 56, 57, 58, 59, 65, 66, 67]] += (0, 0.12)
    assert abs(similarity_scale(unit_from_landmarks(opened)) - 1) < 0.025


def test_wrong_landmarks_are_refused() -> None:
    with pytest.raises(ValueError, match=r"\(68, 2\)"):
        unit_from_landmarks(np.zeros((5, 2)))


@pytest.mark.parametrize("size", [1, 4, 127, 512])
def test_pixels_of_a_crop_are_centred_where_the_conventions_say(size: int) -> None:
    pixels = np.array([(0, 0), (size - 1, 0), (size // 2, size - 1)], float)
    np.testing.assert_allclose(apply(crop_from_unit(size), (pixels + 0.5) / size), pixels, atol=1e-12)


def test_parts_and_matrix_are_inverse() -> None:
    matrix = similarity_matrix(0.01, -0.7, (300.0, 200.0))
    scale, angle, centre = similarity_parts(matrix)
    assert (scale, angle) == (pytest.approx(0.01), pytest.approx(-0.7))
    np.testing.assert_allclose(centre, (300, 200))
    np.testing.assert_allclose(similarity_matrix(scale, angle, centre), matrix)


def test_a_positive_angle_turns_clockwise_on_screen() -> None:
    turned = apply(similarity_matrix(1.0, np.pi / 2, (0, 0), (0, 0)), [(1.0, 0.0)])
    np.testing.assert_allclose(turned, [(0, 1)], atol=1e-12)  # right goes to down


def test_the_alignment_residual_is_nothing_for_the_canonical_face_and_counts_a_shift_in_eye_distances():
    plate_from_unit = np.array([[200, 0, 40], [0, 200, 60], [0, 0, 1.0]])
    landmarks = apply(plate_from_unit, CANONICAL_LANDMARKS)
    unit_from_plate = np.linalg.inv(plate_from_unit)
    assert alignment_residual(unit_from_plate, landmarks) == pytest.approx(0, abs=1e-9)
    shifted = landmarks + np.array([0.1 * INTEROCULAR * 200, 0])
    assert alignment_residual(unit_from_plate, shifted) == pytest.approx(10)
