"""Registration of a face's pictures in neighbouring frames."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType

import numpy as np
import pytest

from bodydouble.alignment import grouping, registering
from bodydouble.alignment.chips import PICTURE_SIDE
from bodydouble.alignment.geometry import CANONICAL_LANDMARKS, apply, crop_from_unit
from bodydouble.alignment.normalising import normalised
from bodydouble.alignment.registering import LOWER_LIP, UPPER_LIP, Motion, measure_motions, patches_of

POINTS = apply(crop_from_unit(PICTURE_SIDE), CANONICAL_LANDMARKS)
NOSE_TIP = 30


def textured(
    shift: tuple[float, float] = (0.0, 0.0),
    stretch: float = 1.0,
    gain: float = 1.0,
    sideways: Callable[[np.ndarray], np.ndarray] | None = None,
) -> np.ndarray:
    """A smooth random picture, its content moved by `shift` (x, y) and stretched about the middle.

    `sideways`: (..., 2) places in the picture → by how much their content comes from farther left.
    """
    rng = np.random.default_rng(7)
    y, x = np.mgrid[:PICTURE_SIDE, :PICTURE_SIDE].astype(float)
    if sideways is not None:
        x = x - sideways(np.stack([x, y], axis=-1))
    middle = (PICTURE_SIDE - 1) / 2
    x, y = (x - shift[0] - middle) / stretch + middle, (y - shift[1] - middle) / stretch + middle
    total = np.zeros_like(x)
    for fx, fy, phase in zip(*rng.uniform(-0.35, 0.35, (2, 60)), rng.uniform(0, 6.3, 60), strict=True):
        total += np.cos(fx * x + fy * y + phase)
    return np.clip(128 + gain * 8 * total, 0, 255).astype(np.uint8)


def motion(one: np.ndarray, other: np.ndarray, guess: np.ndarray = POINTS) -> Motion:
    both, first, second = np.stack([normalised(one), normalised(other)]), np.array([0]), np.array([1])
    (found,) = patches_of(both, first, POINTS[None]).find(both, second, guess[None])
    return found


@pytest.mark.parametrize("shift", [(0.0, 0.0), (0.4, -0.3), (1.7, 1.1), (-2.6, 0.5)])
def test_a_shift_is_found_to_a_twentieth_of_a_pixel(shift: tuple[float, float]) -> None:
    found = motion(textured(), textured(shift))
    assert np.abs(found.shift_px - shift).max() < 0.05
    assert found.agreement.min() > 0.95


@pytest.mark.parametrize("module, name", [(grouping, "TOGETHER"), (registering, "AT_ONCE"), (registering, "THREADS")])
def test_motions_are_the_same_however_many_frames_are_registered_together(
    monkeypatch: pytest.MonkeyPatch, module: ModuleType, name: str
) -> None:
    pictures = {frame: textured((0.5 * frame, 0.0), gain=1.0 + frame) for frame in (0, 1, 2, 4)}
    points = np.repeat(POINTS[None], 5, axis=0)
    together = measure_motions(pictures, points)
    monkeypatch.setattr(module, name, 1)
    apart = measure_motions(pictures, points)
    assert list(together) == list(apart) == [(0, 1), (0, 2), (1, 2), (2, 4)]
    for pair, found in together.items():
        np.testing.assert_array_equal(found.shift_px, apart[pair].shift_px)
        np.testing.assert_array_equal(found.information, apart[pair].information)


def test_the_prior_of_the_shifts_is_the_inverse_of_their_covariance() -> None:
    either, modes = registering._either_covariance(POINTS), registering._modes()
    information = registering._prior_information(np.linalg.inv(either))
    covariance = modes.T @ modes + np.kron(np.eye(2), either)
    np.testing.assert_allclose(information @ covariance, np.eye(2 * len(POINTS)), atol=1e-8)


def test_a_stretched_face_moves_every_landmark_by_its_own_way() -> None:
    middle = (PICTURE_SIDE - 1) / 2
    found = motion(textured(), textured(stretch=1.02))
    np.testing.assert_allclose(found.shift_px, 0.02 * (POINTS - middle), atol=0.04)


def test_a_nose_that_swings_farther_than_the_cheeks_is_followed_with_its_patches_bent() -> None:
    def swing(places: np.ndarray) -> np.ndarray:
        squared = ((places - POINTS[NOSE_TIP]) ** 2).sum(axis=-1)
        return np.asarray(5.0 * np.exp(-squared / (2 * 35.0**2)))

    moved = POINTS.copy()
    for _ in range(40):  # where content lands that comes from so much farther left
        moved[:, 0] = POINTS[:, 0] + swing(moved)
    true = moved - POINTS
    found = motion(textured(), textured(sideways=swing), POINTS + 0.7 * true)
    away = np.hypot(*(found.shift_px - true)[17:].T)
    assert away.mean() < 0.06 and away.max() < 0.2, "patches that only shift are 0.15 and 0.4 off"


def test_what_is_on_the_other_side_of_the_mouth_does_not_drag_a_lip() -> None:
    slit = POINTS[[61, 62, 63, 65, 66, 67], 1].mean()

    def opening(by: float) -> np.ndarray:
        """The lower half of the picture moved down by so much, the mouth dark in between."""
        still, moved = textured(), textured((0.0, by))
        row = np.arange(PICTURE_SIDE)[:, None]
        return np.where(row < slit - 1, still, np.where(row > slit + 1 + by, moved, 20)).astype(np.uint8)

    true = np.zeros_like(POINTS)
    true[POINTS[:, 1] > slit, 1] = 3.0
    true[[48, 54, 60, 64], 1] = 1.5
    found = motion(opening(0.0), opening(3.0), POINTS + 0.5 * true)
    away = np.hypot(*(found.shift_px - true).T)
    assert away[UPPER_LIP + LOWER_LIP].mean() < 0.55, "patches that see both lips are 0.77 off"


def test_light_that_changes_moves_nothing() -> None:
    dimmed = (textured() * 0.6).astype(np.uint8)
    assert np.abs(motion(textured(), dimmed).shift_px).max() < 0.1


def test_without_texture_the_landmarks_move_as_expected() -> None:
    flat = np.full((PICTURE_SIDE, PICTURE_SIDE), 90, np.uint8)
    expected = POINTS + np.array([1.5, -2.0])
    found = motion(flat, flat, expected)
    np.testing.assert_allclose(found.shift_px, expected - POINTS, atol=1e-6)
    known = np.linalg.eigvalsh(motion(textured(), textured()).information)
    assert np.linalg.eigvalsh(found.information).max() < 0.1 * known.min(), "and little is known about it"


def test_an_edge_says_nothing_about_the_way_along_it() -> None:
    upright = np.tile(textured()[:1], (PICTURE_SIDE, 1))
    information = motion(upright, upright).information
    assert (information[:, 0, 0] > 5 * information[:, 1, 1]).all()


def test_pictures_with_nothing_in_common_do_not_agree() -> None:
    other = np.random.default_rng(3).integers(0, 255, (PICTURE_SIDE, PICTURE_SIDE)).astype(np.uint8)
    assert np.median(motion(textured(), other).agreement) < 0.3


def test_frames_one_and_two_apart_are_registered_and_missing_ones_are_left_out() -> None:
    pictures = {frame: textured((0.5 * frame, 0.0)) for frame in (0, 1, 2, 4)}
    motions = measure_motions(pictures, np.repeat(POINTS[None], 5, axis=0))
    assert sorted(motions) == [(0, 1), (0, 2), (1, 2), (2, 4)]
    for (one, other), found in motions.items():
        np.testing.assert_allclose(found.shift_px[:, 0], 0.5 * (other - one), atol=0.05)
