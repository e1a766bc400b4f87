"""The outer line of a face."""

from __future__ import annotations

import numpy as np
import pytest

from bodydouble.geometry import CANONICAL_LANDMARKS, apply, similarity_matrix
from bodydouble.outline import face_outline


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
