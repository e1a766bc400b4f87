"""Crops cut out of a plate lie where they should, and each rule leaves out what it says and nothing else."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from bodydouble.alignment.geometry import apply
from bodydouble.alignment.shotfaces import ShotFaces
from bodydouble.errors import FacesetError, UsageError
from bodydouble.plates.colour import Colour
from bodydouble.plates.images import read_image, write_image
from bodydouble.plates.sequences import PlateSequence
from bodydouble.settings import ExtractSettings
from bodydouble.training.facesets import Faceset
from cutting import (
    HEIGHT,
    PLATE_FROM_UNIT,
    RIGHTS,
    SIDE,
    SMALL,
    WIDTH,
    cut,
    face,
    faces_of,
    make_plate,
    moved,
    painted_faces,
    painted_plate,
    picture,
)


@pytest.fixture(scope="module")
def colour() -> Colour:
    return Colour()


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, colour: Colour) -> tuple[PlateSequence, Path]:
    folder = tmp_path_factory.mktemp("made")
    plate = make_plate(folder)
    cut(plate, folder / "faceset", colour)
    return plate, folder / "faceset"


def pixels_of(folder: Path) -> torch.Tensor:
    """All crops of a faceset, N×4×S×S."""
    faceset = Faceset.load(folder)
    return torch.stack([faceset.crop(crop) for crop in faceset.crops])


def test_pixels_are_half_precision_crops_with_their_matte(made):
    pixels = pixels_of(made[1])
    assert pixels.shape == (4, 4, SIDE, SIDE) and pixels.dtype == torch.float16
    matte = pixels[:, 3]
    assert matte.min() == 0 and matte.max() == 1
    assert matte[0, SIDE // 2, SIDE // 2] == 1 and matte[0, 0, 0] == 0


def test_a_crop_pixel_shows_the_plate_where_the_alignment_says(made):
    crop = read_image(Faceset.load(made[1]).crops[2])
    row, column = np.mgrid[6:26:5, 6:26:5]
    unit = np.stack([(column - SMALL.pad + 0.5) / SMALL.size, (row - SMALL.pad + 0.5) / SMALL.size], axis=-1)
    plate_px = apply(PLATE_FROM_UNIT, unit.reshape(-1, 2)).reshape(*unit.shape)
    np.testing.assert_allclose(crop[row, column, :2], plate_px / 100, atol=2e-3)
    np.testing.assert_allclose(crop[row, column, 2], 0.3, atol=1e-3)


def test_crops_are_in_the_working_primaries_whatever_the_plate_is_in(colour, tmp_path):
    rgb = np.full((HEIGHT, WIDTH, 3), (0.8, 0.1, 0.1), np.float32)
    write_image(tmp_path / "red.0001.exr", rgb, ("R", "G", "B"), {"colorInteropID": "lin_rec709_scene"}, format="float")
    plate = PlateSequence.find(tmp_path / "red.####.exr")
    cut(plate, tmp_path / "faceset", colour)
    expected = colour.converter("lin_rec709_scene", "ACEScg")(rgb[:1, :1])[0, 0]
    crop = read_image(Faceset.load(tmp_path / "faceset").crops[0])
    np.testing.assert_allclose(crop[SIDE // 2, SIDE // 2, :3], expected, rtol=1e-3)


def test_frames_without_a_trustworthy_face_are_left_out_with_the_reason(colour, tmp_path):
    plate = make_plate(tmp_path)
    shot = faces_of(plate, f1002=0.1)
    filled_in = replace(face(), interpolated=True)
    shot = ShotFaces(shot.plate, WIDTH, HEIGHT, {**shot.frames, 1003: (), 1004: (filled_in,)})
    results = cut(plate, tmp_path / "faceset", colour, shot)
    assert [result.rule for result in results] == ["", "unsure", "no face", "interpolated"]
    assert "confidence" in results[1].message and results[2].message == "no face"
    assert len(Faceset.load(tmp_path / "faceset").crops) == 1


def test_another_person_of_the_shot_can_be_asked_for(colour, tmp_path):
    plate = make_plate(tmp_path, frames=range(1, 3))
    shot = ShotFaces(plate.pattern, WIDTH, HEIGHT, {1: (face(),), 2: (face(), face(person=1))})
    results = cut(plate, tmp_path / "faceset", colour, shot, person=1)
    assert [result.path is None for result in results] == [True, False]


def test_nan_inf_negative_and_fireflies_in_a_plate_give_finite_crops(colour, tmp_path):
    rgb = np.full((HEIGHT, WIDTH, 3), 0.5, np.float32)
    for place, value in enumerate((np.nan, np.inf, -np.inf, -2.0, 1e9)):
        rgb[30 + 3 * place, 40] = value
    write_image(tmp_path / "hot.0001.exr", rgb, ("R", "G", "B"), {"colorInteropID": "lin_ap1_scene"}, format="float")
    cut(PlateSequence.find(tmp_path / "hot.####.exr"), tmp_path / "faceset", colour)
    assert torch.isfinite(pixels_of(tmp_path / "faceset")).all()


def test_several_plates_gather_in_one_faceset_and_one_plate_again_replaces_its_own(colour, tmp_path):
    first, second = make_plate(tmp_path, "one"), make_plate(tmp_path, "two", range(1, 3))
    cut(first, tmp_path / "faceset", colour)
    cut(second, tmp_path / "faceset", colour)
    assert len(Faceset.load(tmp_path / "faceset").crops) == 6
    cut(first, tmp_path / "faceset", colour, frames=first.frames[:1])
    assert [crop.name for crop in Faceset.load(tmp_path / "faceset").crops] == [
        "one_1001.exr",
        "two_0001.exr",
        "two_0002.exr",
    ]


def test_crops_of_equal_names_from_different_folders_do_not_replace_each_other(colour, tmp_path):
    first, second = make_plate(tmp_path / "day1", frames=range(1, 3)), make_plate(tmp_path / "day2", frames=range(1, 4))
    for _ in range(2):  # the second time each replaces its own
        cut(first, tmp_path / "faceset", colour)
        cut(second, tmp_path / "faceset", colour)
    crops = [crop.name for crop in Faceset.load(tmp_path / "faceset").crops]
    assert len(crops) == len(set(crops)) == 5
    assert sorted(name for name in crops if len(name) == len("anna_0001.exr")) == [
        "anna_0001.exr",
        "anna_0002.exr",
        "anna_0003.exr",
    ]
    origins = {entry["origin"] for entry in json.loads((tmp_path / "faceset" / "faceset.json").read_text())["crops"]}
    assert len(origins) == 2


def test_rights_once_given_stay_when_more_crops_are_added_without_them(colour, tmp_path):
    cut(make_plate(tmp_path, "one"), tmp_path / "faceset", colour)
    cut(make_plate(tmp_path, "two"), tmp_path / "faceset", colour, rights=None)
    assert Faceset.load(tmp_path / "faceset").rights == RIGHTS
    cut(make_plate(tmp_path, "three"), tmp_path / "faceset", colour, rights={**RIGHTS, "performer": "Anna B."})
    assert Faceset.load(tmp_path / "faceset").rights == {**RIGHTS, "performer": "Anna B."}


@pytest.mark.parametrize(
    "other",
    [{"persona": "ben"}, {"settings": ExtractSettings(size=32, pad=4)}, {"settings": replace(SMALL, forehead=1.0)}],
)
def test_another_persona_or_geometry_does_not_enter_a_faceset(other, made, colour):
    with pytest.raises(FacesetError, match="holds persona 'anna'"):
        cut(made[0], made[1], colour, **other)
    assert len(Faceset.load(made[1]).crops) == 4


@pytest.mark.parametrize("name", ["", "../x", "a/b", "a.b", "train", " anna"])
def test_a_name_that_no_persona_can_have_is_refused_before_anything_is_written(name, made, colour, tmp_path):
    with pytest.raises(UsageError, match="persona's name"):
        cut(made[0], tmp_path / "faceset", colour, persona=name)
    assert not (tmp_path / "faceset").exists()


# ---------------------------------------------------------------- rules

RULED = ExtractSettings(size=96, pad=8)


def judged(
    folder: Path, pictures: dict[int, np.ndarray], colour: Colour, name: str = "anna", **more: Any
) -> dict[int, str]:
    """Frame → the rule that left it out, of a plate of these pictures."""
    plate = painted_plate(folder, pictures, name)
    results = cut(plate, folder / "faceset", colour, painted_faces(plate), **{"settings": RULED, **more})
    return {result.frame: result.rule for result in results}


def files_in(folder: Path) -> set[str]:
    return {path.name for path in (folder / "faceset" / "crops").iterdir()}


def test_a_blurred_frame_is_left_out_and_its_file_is_gone(colour, tmp_path):
    pictures = {frame: picture(frame) for frame in range(1, 6)} | {6: moved(picture(6), 12)}
    assert judged(tmp_path, pictures, colour) == {**dict.fromkeys(range(1, 6), ""), 6: "blurred"}
    assert files_in(tmp_path) == {f"anna_{frame:04d}.exr" for frame in range(1, 6)}
    kept = judged(tmp_path, pictures, colour, settings=replace(RULED, min_sharpness=0.0))
    assert set(kept.values()) == {""}


def test_a_frame_that_differs_in_noise_and_exposure_alone_is_a_near_duplicate(colour, tmp_path):
    noise = np.random.default_rng(0).normal(1, 0.01, (240, 240, 3))
    lid_closed = picture(1)
    lid_closed[85:100, 75:105] = 0.1
    pictures = {1: picture(1), 2: picture(1) * noise, 3: 2 * picture(1), 4: lid_closed, 5: lid_closed * noise}
    expected = {1: "", 2: "near-duplicate", 3: "near-duplicate", 4: "", 5: "near-duplicate"}
    assert judged(tmp_path, pictures, colour) == expected
    kept = judged(tmp_path, pictures, colour, settings=replace(RULED, min_difference=0.0))
    assert set(kept.values()) == {""}


def test_what_stays_does_not_depend_on_the_order_of_the_frames_or_on_running_again(colour, tmp_path):
    pictures = {frame: picture(frame // 2) for frame in range(2, 8)}
    once = judged(tmp_path, pictures, colour)
    assert list(once.values()) == ["", "near-duplicate"] * 3
    assert judged(tmp_path, pictures, colour, frames=(7, 3, 5, 2, 4, 6)) == once
    assert judged(tmp_path, pictures, colour) == once


def test_a_second_plate_is_held_against_the_first_and_never_changes_it(colour, tmp_path):
    first = {frame: picture(frame) for frame in (1, 2)}
    judged(tmp_path, first, colour)
    before = {path.name: path.read_bytes() for path in (tmp_path / "faceset" / "crops").iterdir()}
    second = {11: picture(2), 12: picture(3)}
    assert judged(tmp_path, second, colour, name="ben") == {11: "near-duplicate", 12: ""}
    after = {path.name: path.read_bytes() for path in (tmp_path / "faceset" / "crops").iterdir()}
    assert after.keys() - before.keys() == {"ben_0012.exr"}
    assert all(after[name] == content for name, content in before.items())
    assert judged(tmp_path, first, colour) == {1: "", 2: ""}


def test_a_soft_plate_is_not_blurred_beside_a_sharp_one(colour, tmp_path):
    judged(tmp_path, {frame: picture(frame) for frame in (1, 2, 3)}, colour)
    soft = {frame: moved(picture(frame), 12) for frame in (4, 5, 6)}
    assert set(judged(tmp_path, soft, colour, name="ben").values()) == {""}


def test_a_plate_that_gives_nothing_leaves_no_faceset_behind(colour, tmp_path):
    plate = make_plate(tmp_path)
    shot = ShotFaces(plate.pattern, WIDTH, HEIGHT, {frame: () for frame in plate.frames})
    assert {result.rule for result in cut(plate, tmp_path / "faceset", colour, shot)} == {"no face"}
    assert not (tmp_path / "faceset").exists()
    assert len(cut(plate, tmp_path / "faceset", colour)) == 4


def test_a_frame_that_cannot_be_read_fails_alone(colour, tmp_path):
    plate = make_plate(tmp_path)
    plate.path(1002).write_bytes(b"no image")
    results = cut(plate, tmp_path / "faceset", colour)
    assert [result.rule for result in results] == ["", "failed", "", ""]
    assert "anna.1002.exr" in results[1].message
    assert len(Faceset.load(tmp_path / "faceset").crops) == 3


def test_a_matte_can_be_grown_and_shrunk(colour, tmp_path):
    plate = make_plate(tmp_path, frames=range(1, 2))
    areas = []
    for grow in (-5.0, 0.0, 5.0):
        cut(plate, tmp_path / "faceset", colour, settings=replace(SMALL, grow=grow))
        areas.append(float(pixels_of(tmp_path / "faceset")[0, 3].sum()))
    assert areas == sorted(areas) and areas[2] - areas[0] > 0.1 * areas[1]


def test_png_and_exr_crops_of_one_plate_are_the_same_picture(colour, tmp_path):
    plate = make_plate(tmp_path)
    cut(plate, tmp_path / "faceset", colour)
    exr = pixels_of(tmp_path / "faceset")
    cut(plate, tmp_path / "faceset", colour, settings=replace(SMALL, format="png"))
    assert {path.suffix for path in Faceset.load(tmp_path / "faceset").crops} == {".png"}
    assert files_in(tmp_path) == {f"anna_{frame}.png" for frame in plate.frames}  # the others are gone
    torch.testing.assert_close(pixels_of(tmp_path / "faceset"), exr, atol=1e-3, rtol=1e-3)


def test_the_index_has_the_figures_of_every_crop(made):
    faceset = Faceset.load(made[1])
    for figures, entry in zip(faceset.figures, faceset.entries, strict=True):
        assert figures is not None and figures.side_px == pytest.approx(np.hypot(40, 6), rel=1e-3)
        assert figures.roll_deg == pytest.approx(-np.degrees(np.arctan2(6, 40)), abs=2)
        assert {"sharpness", "yaw_deg", "pitch_deg", "roll_deg", "exposure_stops"} < entry.keys()
