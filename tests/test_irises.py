"""Irises and oval over time."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from bodydouble.alignment.geometry import CANONICAL_LANDMARKS, apply, similarity_matrix
from bodydouble.alignment.irises import with_irises
from bodydouble.alignment.people import FoundFace
from bodydouble.alignment.shotfaces import Face

IRISES = np.array([[0.36, 0.35], [0.64, 0.35]])
OVAL = np.stack([0.5 + 0.3 * np.sin(np.linspace(0, 6, 36)), 0.45 - 0.4 * np.cos(np.linspace(0, 6, 36))], axis=1)


def place(frame: int) -> np.ndarray:
    return similarity_matrix(0.004, 0.02 * frame, (200.0 + 3 * frame, 150.0))


def found(frame: int, error_px: float, irises: np.ndarray = IRISES) -> FoundFace:
    """A face whose crop was found `error_px` beside the true one; irises and oval are on the true places."""
    crop = place(frame) @ np.array([[1, 0, error_px], [0, 1, 0], [0, 0, 1.0]])
    landmarks = apply(np.linalg.inv(crop), CANONICAL_LANDMARKS)
    from_true = crop @ np.linalg.inv(place(frame))
    return FoundFace(
        np.zeros(4), landmarks, crop, 1.0, 0.004,
        irises_unit=apply(from_true, irises), oval_unit=apply(from_true, OVAL),
    )  # fmt: skip


def solved(frames: range) -> dict[int, Face]:
    return {
        frame: Face(
            np.zeros(4), apply(np.linalg.inv(place(frame)), CANONICAL_LANDMARKS), 1.0, 1.0, 0, False, place(frame)
        )
        for frame in frames
    }


def test_irises_and_oval_come_into_the_solved_crop_and_gaps_are_filled() -> None:
    measured = {frame: found(frame, error_px=(-1.0) ** frame) for frame in range(10) if frame != 4}
    result = with_irises(measured, solved(range(10)))
    assert sorted(result) == list(range(10))
    for face in result.values():
        np.testing.assert_allclose(face.irises_unit, IRISES, atol=1e-9)
        np.testing.assert_allclose(face.oval_unit, OVAL, atol=1e-9)


def test_eyes_may_jump_and_the_skull_may_not() -> None:
    looking = {frame: found(frame, 0.0, IRISES + (0.02 if frame >= 6 else 0.0)) for frame in range(12)}
    noise = np.random.default_rng(0).normal(0, 0.01, (12, 36, 2))
    looking = {frame: replace(face, oval_unit=face.oval_unit + noise[frame]) for frame, face in looking.items()}
    result = with_irises(looking, solved(range(12)))
    x = [face.irises_unit[0, 0] - IRISES[0, 0] for face in result.values()]
    assert max(abs(value - (0.02 if frame >= 6 else 0.0)) for frame, value in enumerate(x)) < 0.004
    ovals = np.stack([face.oval_unit for face in result.values()])
    assert np.diff(ovals, 2, axis=0).std() < 0.08 * np.diff(OVAL + noise, 2, axis=0).std()


def test_faces_without_irises_come_back_as_they_are() -> None:
    plain = {frame: replace(found(frame, 0.0), irises_unit=None, oval_unit=None) for frame in range(3)}
    faces = solved(range(3))
    assert with_irises(plain, faces) == faces
