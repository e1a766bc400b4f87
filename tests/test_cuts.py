"""Where the shot changes."""

from __future__ import annotations

import numpy as np

from bodydouble.alignment.cuts import STRIP_ROWS, shot_changes, small_picture, strips


def scene(seed: int, pan: int = 0) -> np.ndarray:
    """An H×W×3 picture of one scene, smooth at the size of a face; `pan` moves the camera."""
    coarse = np.random.default_rng(seed).integers(20, 235, (7, 24)).astype(np.float64)
    wide = np.kron(coarse, np.ones((16, 16)))
    return np.repeat(wide[:, pan : pan + 192, None], 3, axis=2).astype(np.uint8)


def changes(pictures: list[np.ndarray]) -> tuple[int, ...]:
    return shot_changes({1001 + n: small_of(picture) for n, picture in enumerate(pictures)})


def small_of(picture: np.ndarray) -> np.ndarray:
    rows = [picture[top:end] for top, end in strips(len(picture))]
    return small_picture(np.concatenate(rows), len(rows))


def test_a_cut_begins_a_new_shot() -> None:
    assert changes([scene(1, p) for p in range(5)] + [scene(2, p) for p in range(5)]) == (1006,)


def test_neither_a_pan_nor_a_light_that_goes_on_is_a_cut() -> None:
    assert changes([scene(1, 8 * max(0, p - 4)) for p in range(14)]) == ()
    assert changes([(scene(1) * (0.3 if p < 5 else 1.0)).astype(np.uint8) for p in range(10)]) == ()


def test_a_flash_is_no_cut() -> None:
    flash = np.full((112, 192, 3), 255, np.uint8)
    flash[:40] = 200
    assert changes([scene(1)] * 5 + [flash] + [scene(1)] * 5) == ()


def test_a_black_frame_and_a_single_frame_are_no_cut() -> None:
    black = np.zeros((112, 192, 3), np.uint8)
    assert changes([black, black, black]) == ()
    assert changes([scene(1)]) == ()


def test_strips_lie_all_over_a_picture_and_begin_where_files_begin_to_unpack() -> None:
    for height in (1, 5, 16, 112, 270, 540, 1080, 1252, 2160, 4320):
        found = strips(height)
        assert 1 <= len(found) <= 24
        assert all(top % STRIP_ROWS == 0 and top < end <= height for top, end in found)
        tops = [top for top, _ in found]
        assert height - tops[-1] <= max(STRIP_ROWS, height / 5) and tops[0] <= height / 8
    assert small_of(np.zeros((1080, 1920, 3), np.uint8)).shape == (8, 48)


def test_a_cut_that_leaves_half_of_the_frame_as_it_is_is_found() -> None:
    """A locked camera: what is above or below somebody is in another shot, the rest is the same wall."""
    for half in (slice(0, 56), slice(56, 112)):
        pictures = [scene(1, p % 2) for p in range(10)]
        for picture in pictures[5:]:
            picture[half] = scene(3)[half]
        assert changes(pictures) == (1006,)
