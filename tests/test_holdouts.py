"""Holdouts of a shot: written frame by frame, the same whatever the chunk."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from bodydouble.alignment.shotfaces import ShotFaces
from bodydouble.errors import NoFaceError
from bodydouble.plates.colour import Colour
from bodydouble.plates.images import read_plate, write_image
from bodydouble.plates.sequences import PlateSequence
from bodydouble.swap.holdouts import Holdout, find_holdouts
from tiny import face_at, tiny_comb

FRAMES = tuple(range(1001, 1014))
COVERED = range(1004, 1010)
WITHOUT_FACE = 1011
SIZE = (80, 96)


def disc(frame: int) -> np.ndarray:
    """80×96 bool: where a grey disc is that crosses the face in a few frames."""
    y, x = np.mgrid[: SIZE[0], : SIZE[1]]
    return ((x - 30 - 5 * (frame - 1004)) ** 2 + (y - 48) ** 2 < 81) & (frame in COVERED)


@pytest.fixture(scope="module")
def shot(tmp_path_factory: pytest.TempPathFactory) -> tuple[PlateSequence, ShotFaces, Path]:
    """Plates of brown skin that a disc crosses, their faces, and an untrained model: it shows a plain face."""
    folder = tmp_path_factory.mktemp("shot")
    for frame in FRAMES:
        skin = np.array([0.35, 0.2, 0.14, 1.0], np.float32) + np.zeros((*SIZE, 4), np.float32)
        pixels = np.where(disc(frame)[..., None], np.array([0.03, 0.03, 0.03, 1], np.float32), skin)
        pixels[..., :3] += np.random.default_rng(frame).normal(0, 0.004, (*SIZE, 3))
        attributes = {"colorInteropID": "lin_rec709_scene"}
        write_image(folder / f"plate.{frame}.exr", pixels.astype(np.float32), attributes=attributes, compression="zip")
    plate = PlateSequence(str(folder / "plate.####.exr"), FRAMES)
    faces = {frame: () if frame == WITHOUT_FACE else (face_at(48, 42, 60),) for frame in FRAMES}
    return plate, ShotFaces(plate.pattern, 96, 80, faces), tiny_comb(folder / "cast.comb")


def held_out(
    shot: tuple[PlateSequence, ShotFaces, Path], out: Path, frames: tuple[int, ...]
) -> tuple[dict[int, np.ndarray], list[Holdout]]:
    """The mattes of some frames, and what was said of them."""
    plate, faces, model = shot
    out.mkdir(exist_ok=True)
    target = PlateSequence(str(out / "holdout.####.exr"), frames)
    said = list(find_holdouts(plate, target, faces, model, "anna", frames, Colour(), device="cpu"))
    return {frame: np.array(read_plate(target.path(frame)).parts[0].channel("A")) for frame in frames}, said


def test_a_disc_is_held_out_where_it_is_and_nothing_where_it_is_not(shot, tmp_path):
    mattes, said = held_out(shot, tmp_path / "all", FRAMES)
    for one in said:
        truth, matte = disc(one.frame), mattes[one.frame]
        assert matte.shape == SIZE
        if one.frame in range(1005, 1009):
            assert matte[truth].mean() > 0.7
            assert matte[~truth].sum() < 0.25 * truth.sum()
        elif one.frame not in COVERED:
            assert not matte.any()


def test_a_frame_without_a_face_gets_an_empty_holdout_and_no_share(shot, tmp_path):
    mattes, said = held_out(shot, tmp_path / "one", (WITHOUT_FACE,))
    assert np.isnan(said[0].share)
    assert mattes[WITHOUT_FACE].shape == SIZE
    assert not mattes[WITHOUT_FACE].any()


def test_a_frame_gets_the_same_holdout_alone_in_a_chunk_and_in_any_order(shot, tmp_path):
    whole, _ = held_out(shot, tmp_path / "whole", FRAMES)
    for number, chunk in enumerate(((1006,), (1008, 1007), (1012, 1001, 1005))):
        part, _ = held_out(shot, tmp_path / f"part{number}", chunk)
        for frame, matte in part.items():
            assert np.array_equal(matte, whole[frame])


def test_a_shot_that_never_shows_the_face_is_an_error(shot, tmp_path):
    plate, _, model = shot
    nobody = ShotFaces(plate.pattern, 96, 80, {frame: () for frame in FRAMES})
    target = PlateSequence(str(tmp_path / "holdout.####.exr"), FRAMES)
    with pytest.raises(NoFaceError, match="no frame shows the face"):
        list(find_holdouts(plate, target, nobody, model, "anna", FRAMES, Colour(), device="cpu"))
