"""The outer line of a face."""

from __future__ import annotations

import numpy as np
import pytest

from bodydouble.alignment.geometry import CANONICAL_LANDMARKS, apply, similarity_matrix, unit_from_landmarks
from bodydouble.alignment.outline import face_outline


def area(polygon: np.ndarray) -> float:
    """Shoelace; positive is clockwise on screen, y down."""
    x, y = polygon.T
    return float(np.sum(x * np.roll(y, -1) - np.roll(x, -1) * y) / 2)


def contains(polygon: np.ndarray, point: np.ndarray) -> bool:
    """Even-odd rule."""
    x, y = polygon.T
    x1, y1 = np.roll(x, -1), np.roll(y, -1)
    crosses = (y > point[1]) != (y1 > point[1])
    with np.errstate(divide="ignore", invalid="ignore"):
        at = x + (point[1] - y) / (y1 - y) * (x1 - x)
    return bool(np.sum(crosses & (at > point[0])) % 2)


@pytest.mark.parametrize("forehead", [0.0, 0.3, 0.6, 1.0, 1.5])
def test_the_outline_is_clockwise_on_screen_and_holds_every_inner_landmark(forehead: float) -> None:
    outline = face_outline(CANONICAL_LANDMARKS, forehead)
    assert area(outline) > 0
    inside = CANONICAL_LANDMARKS[17:] - [(0, 0)]
    inside[:10, 1] += 0.005  # the brows lie on the line at 0
    assert all(contains(outline, point) for point in inside)


def test_more_forehead_is_more_face() -> None:
    areas = [area(face_outline(CANONICAL_LANDMARKS, f)) for f in (0, 0.25, 0.5, 0.75, 1, 1.5)]
    assert areas == sorted(areas)
    assert areas[-1] > 1.2 * areas[0]


def test_the_jaw_is_part_of_the_outline() -> None:
    outline = face_outline(CANONICAL_LANDMARKS)
    for point in CANONICAL_LANDMARKS[:17]:
        assert np.linalg.norm(outline - point, axis=1).min() < 1e-9


def test_the_default_outline_stays_inside_the_crop() -> None:
    outline = face_outline(CANONICAL_LANDMARKS)
    assert outline.min() > 0.03
    assert outline.max() < 0.97


def test_the_outline_moves_with_the_landmarks() -> None:
    plate_from_unit = np.linalg.inv(similarity_matrix(0.003, 0.6, (400.0, 300.0)))
    expected = apply(plate_from_unit, face_outline(CANONICAL_LANDMARKS, 0.8))
    np.testing.assert_allclose(face_outline(apply(plate_from_unit, CANONICAL_LANDMARKS), 0.8), expected)


@pytest.mark.parametrize("forehead", [0.6, 1.5])
def test_brows_and_mouth_do_not_move_the_forehead(forehead: float) -> None:
    talking = CANONICAL_LANDMARKS.copy()
    talking[17:27, 1] -= 0.03  # raised brows
    talking[48:68, 1] += 0.04  # an open mouth
    rest, moved = face_outline(CANONICAL_LANDMARKS, forehead), face_outline(talking, forehead)
    # Raised brows enlarge the aligned crop a little, so the same skull is a little narrower in it.
    away = apply(unit_from_landmarks(talking), moved) - apply(unit_from_landmarks(CANONICAL_LANDMARKS), rest)
    top = slice(8, -20)
    assert np.abs(away[top, 1]).max() < 0.002
    assert np.abs(away[top, 0]).max() < 0.015


def test_brows_raised_over_a_low_line_stay_inside() -> None:
    raised = CANONICAL_LANDMARKS.copy()
    raised[17:27, 1] -= 0.08
    outline = face_outline(raised, 0.2)
    assert all(contains(outline, brow + np.array([0, 0.012])) for brow in raised[18:26])


def test_the_forehead_turns_with_the_brows() -> None:
    turned = CANONICAL_LANDMARKS.copy()
    turned[17:27, 0] = 0.55 + 0.8 * (turned[17:27, 0] - 0.5)
    top = apply(unit_from_landmarks(turned), face_outline(turned, 1.0))[16:25]  # the middle third of the arc
    assert 0.52 < top[:, 0].mean() < 0.6


@pytest.mark.parametrize("grow", [-0.05, -0.01, 0.02, 0.05])
def test_growing_moves_the_whole_line_by_that_much(grow: float) -> None:
    place = similarity_matrix(0.004, 0.4, (300.0, 200.0))
    landmarks = apply(np.linalg.inv(place), CANONICAL_LANDMARKS)
    line, moved = (apply(place, face_outline(landmarks, 0.6, g)) for g in (0.0, grow))
    np.testing.assert_allclose(np.linalg.norm(moved - line, axis=1), abs(grow))
    assert (area(moved) > area(line)) == (grow > 0)
    # Near enough a parallel line: the area changes by its length times the distance.
    length = np.linalg.norm(line - np.roll(line, 1, axis=0), axis=1).sum()
    assert area(moved) - area(line) == pytest.approx(grow * length, rel=0.25)


def test_no_line_crosses_itself_when_the_far_brow_reaches_past_the_jaw() -> None:
    turned = CANONICAL_LANDMARKS.copy()
    turned[0:4, 0] += 0.08  # the far side of a turned head
    outline = face_outline(turned, 0.6)
    assert np.isfinite(outline).all()
    assert area(outline) > 0


def test_landmarks_or_foreheads_that_make_no_sense_are_refused() -> None:
    with pytest.raises(ValueError, match=r"\(68, 2\)"):
        face_outline(np.zeros((67, 2)))
    with pytest.raises(ValueError, match="forehead"):
        face_outline(CANONICAL_LANDMARKS, 1.6)
    with pytest.raises(ValueError, match="forehead"):
        face_outline(CANONICAL_LANDMARKS, -0.1)
    with pytest.raises(ValueError, match="grow"):
        face_outline(CANONICAL_LANDMARKS, 0.5, 0.2)
