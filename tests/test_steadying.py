"""The shot solve of the landmarks."""

from __future__ import annotations

import numpy as np

from bodydouble.alignment.registering import Motion
from bodydouble.alignment.steadying import steady

FRAMES, MARKS = 40, 6
T = np.arange(FRAMES)


def true_path() -> np.ndarray:
    """(FRAMES, MARKS, 2) a quick nod in the middle of a drift: much acceleration within three frames."""
    nod = 12 * np.exp(-((T - 20.0) ** 2) / 4)
    path = np.stack([0.3 * T + nod, 5 * np.sin(T / 6)], axis=1)[:, None]
    return path + 10 * np.arange(MARKS)[None, :, None]


def motions_of(path: np.ndarray, slip: float = 0.0, noise: float = 0.0) -> dict[tuple[int, int], Motion]:
    rng = np.random.default_rng(5)
    motions = {}
    for distance in (1, 2):
        for first in range(FRAMES - distance):
            shift = path[first + distance] - path[first] + slip * distance + rng.normal(size=(MARKS, 2)) * noise
            information = np.tile(np.eye(2) * 25.0, (MARKS, 1, 1))
            motions[first, first + distance] = Motion(shift, information, np.ones(MARKS))
    return motions


def found_path(noise: float, seed: int = 1) -> np.ndarray:
    return true_path() + np.random.default_rng(seed).normal(size=(FRAMES, MARKS, 2)) * noise


def bend(error: np.ndarray) -> float:
    return float(np.sqrt((np.diff(error, 2, axis=0) ** 2).mean()) / 2)


def test_motions_take_the_noise_away_and_leave_the_motion() -> None:
    found = found_path(1.0)
    path = steady(found, np.ones(FRAMES), motions_of(true_path(), noise=0.05))
    assert bend(path - true_path()) < 0.12 * bend(found - true_path())
    assert np.abs(path - true_path())[18:23].mean() < 0.6, "the quick nod is neither rounded off nor late"


def test_without_motions_the_quick_nod_would_be_rounded_off() -> None:
    blind = steady(true_path(), np.ones(FRAMES), {}, smoothing=10.0)
    seeing = steady(true_path(), np.ones(FRAMES), motions_of(true_path()), smoothing=1.0)
    assert np.abs(seeing - true_path()).max() < 0.15 * np.abs(blind - true_path()).max()


def test_a_registration_that_slips_steadily_does_not_drag_the_landmarks_away() -> None:
    path = steady(true_path(), np.ones(FRAMES), motions_of(true_path(), slip=0.3))
    assert np.abs(path - true_path())[5:-5].max() < 0.4, "a chain of slips would be 12 px"


def test_one_wild_motion_is_not_believed() -> None:
    motions = motions_of(true_path())
    shift = motions[10, 11].shift_px + 15.0
    motions[10, 11] = Motion(shift, motions[10, 11].information, np.ones(MARKS))
    path = steady(true_path(), np.ones(FRAMES), motions)
    assert np.abs(path - true_path()).max() < 0.5


def test_one_wild_landmark_is_not_believed() -> None:
    found = true_path()
    found[12, 3] += 25.0
    path = steady(found, np.ones(FRAMES), motions_of(true_path()))
    assert np.abs(path - true_path()).max() < 1.5


def test_frames_of_no_weight_are_filled_in() -> None:
    found, weights = true_path(), np.ones(FRAMES)
    weights[30:34] = 0
    found[30:34] = np.nan
    path = steady(found, weights, {})
    assert np.abs(path - true_path())[30:34].max() < 0.3


def test_the_solution_does_not_depend_on_far_frames() -> None:
    found, motions = found_path(1.0), motions_of(true_path(), noise=0.05)
    whole = steady(found, np.ones(FRAMES), motions)
    near = {pair: motion for pair, motion in motions.items() if pair[1] < 30}
    part = steady(found[:30], np.ones(30), near)
    assert np.abs(whole[:12] - part[:12]).max() < 0.1


def test_a_blink_is_not_rounded_off_where_the_pixels_saw_it() -> None:
    blink = np.zeros((FRAMES, MARKS, 2))
    blink[19:22, :, 1] = np.array([4.0, 9.0, 3.0])[:, None]
    true = true_path() + blink
    found = found_path(0.3) + 0.5 * blink  # dlib sees half of it
    seeing = steady(found, np.ones(FRAMES), motions_of(true, noise=0.05))
    blind = steady(found, np.ones(FRAMES), {})
    assert bend(seeing - true) < 0.5 * bend(blind - true)
    depth = (seeing - true_path())[20, :, 1] - (seeing - true_path())[[17, 23], :, 1].mean(axis=0)
    assert (depth > 6.5).all(), "most of what the lid travels is there"
