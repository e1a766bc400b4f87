"""Facesets: crops cut out of a plate lie where they should, and a folder that is damaged or foreign says so."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from bodydouble.alignment.geometry import CANONICAL_LANDMARKS, apply
from bodydouble.alignment.shotfaces import Face, ShotFaces
from bodydouble.errors import FacesetError, UsageError
from bodydouble.plates.colour import Colour
from bodydouble.plates.images import read_image, write_image
from bodydouble.plates.sequences import PlateSequence
from bodydouble.settings import ExtractSettings
from bodydouble.training.facesets import ExtractedFrame, Faceset, extract

SMALL = ExtractSettings(size=24, pad=4, min_confidence=0.5)
SIDE = 32
RIGHTS = {"schema": "bodydouble.rights", "version": 1, "performer": "Anna"}
WIDTH, HEIGHT = 96, 80
PLATE_FROM_UNIT = np.array([[40.0, 6.0, 20.0], [-6.0, 40.0, 18.0], [0.0, 0.0, 1.0]])


@pytest.fixture(scope="module")
def colour() -> Colour:
    return Colour()


def make_plate(folder: Path, name: str = "anna", frames: range = range(1001, 1005)) -> PlateSequence:
    """Frames in ACEScg: a ramp to the right in red, down in green; blue is the frame number's last digit / 10."""
    x, y = np.meshgrid(np.arange(WIDTH) / 100, np.arange(HEIGHT) / 100)
    for frame in frames:
        rgb = np.stack([x, y, np.full_like(x, frame % 10 / 10)], axis=2).astype(np.float32)
        path = folder / f"{name}.{frame:04d}.exr"
        write_image(path, rgb, ("R", "G", "B"), {"colorInteropID": "lin_ap1_scene"}, format="float")
    return PlateSequence.find(folder / f"{name}.####.exr")


def face(confidence: float = 1.0, person: int = 0) -> Face:
    landmarks = apply(PLATE_FROM_UNIT, CANONICAL_LANDMARKS)
    box = np.array([*landmarks.min(0), *landmarks.max(0)])
    return Face(box, landmarks, 1.0, confidence, person, unit_from_plate=np.linalg.inv(PLATE_FROM_UNIT))


def faces_of(plate: PlateSequence, **confidences: float) -> ShotFaces:
    """One trustworthy face per frame; `f1002=0.1` makes that of frame 1002 less so."""
    frames = {frame: (face(confidences.get(f"f{frame}", 1.0)),) for frame in plate.frames}
    return ShotFaces(plate.pattern, WIDTH, HEIGHT, frames)


def cut(
    plate: PlateSequence, out: Path, colour: Colour, shot: ShotFaces | None = None, **more: Any
) -> list[ExtractedFrame]:
    options = {"persona": "anna", "settings": SMALL, "rights": RIGHTS, "frames": plate.frames, "person": None} | more
    return list(extract(plate=plate, shot=shot or faces_of(plate), out=out, colour=colour, colorspace=None, **options))


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, colour: Colour) -> tuple[PlateSequence, Path]:
    folder = tmp_path_factory.mktemp("made")
    plate = make_plate(folder)
    cut(plate, folder / "faceset", colour)
    return plate, folder / "faceset"


@pytest.fixture
def copied(made: tuple[PlateSequence, Path], tmp_path: Path) -> Path:
    """A faceset to damage."""
    return Path(shutil.copytree(made[1], tmp_path / "faceset"))


def pixels_of(folder: Path) -> torch.Tensor:
    """All crops of a faceset, N×4×S×S."""
    faceset = Faceset.load(folder)
    return torch.stack([faceset.crop(crop) for crop in faceset.crops])


def edit(folder: Path, **values: Any) -> None:
    path = folder / "faceset.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


def test_a_faceset_that_was_made_can_be_loaded(made):
    plate, folder = made
    faceset = Faceset.load(folder)
    assert (faceset.persona, faceset.size, faceset.pad, faceset.primaries) == ("anna", 24, 4, "ACEScg")
    assert faceset.rights == RIGHTS
    assert [crop.name for crop in faceset.crops] == [f"anna_{frame}.exr" for frame in plate.frames]


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
    shot = ShotFaces(shot.plate, WIDTH, HEIGHT, {**shot.frames, 1003: ()})
    results = cut(plate, tmp_path / "faceset", colour, shot)
    assert [result.path is None for result in results] == [False, True, True, False]
    assert "confidence" in results[1].message and results[2].message == "no face"
    assert len(Faceset.load(tmp_path / "faceset").crops) == 2


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


@pytest.mark.parametrize("other", [{"persona": "ben"}, {"settings": ExtractSettings(size=32, pad=4)}])
def test_another_persona_or_geometry_does_not_enter_a_faceset(other, made, copied, colour):
    with pytest.raises(FacesetError, match="holds persona 'anna'"):
        cut(made[0], copied, colour, **other)
    assert len(Faceset.load(copied).crops) == 4


@pytest.mark.parametrize("name", ["", "../x", "a/b", "a.b", "train", " anna"])
def test_a_name_that_no_persona_can_have_is_refused_before_anything_is_written(name, made, colour, tmp_path):
    with pytest.raises(UsageError, match="persona's name"):
        cut(made[0], tmp_path / "faceset", colour, persona=name)
    assert not (tmp_path / "faceset").exists()


def test_a_folder_that_is_no_faceset_is_named(tmp_path):
    with pytest.raises(FacesetError, match=str(tmp_path)):
        Faceset.load(tmp_path)


@pytest.mark.parametrize("text", ["", "{", "[]", "null", "3", "{}", "[" * 100_000])
def test_a_faceset_json_that_is_not_one_is_named(text, copied):
    (copied / "faceset.json").write_text(text)
    with pytest.raises(FacesetError, match=r"faceset\.json"):
        Faceset.load(copied)


@pytest.mark.parametrize(
    "values",
    [
        {"schema": "bodydouble.comb"},
        {"version": 2},
        {"version": "1"},
        {"persona": "../anna"},
        {"persona": 3},
        {"crops": [{"file": "../../secret.exr"}]},
        {"crops": [{"file": "/etc/passwd"}]},
        {"crops": [{}]},
        {"crops": 7},
    ],
)
def test_a_faceset_json_that_says_what_cannot_be_is_named(values, copied):
    edit(copied, **values)
    with pytest.raises(FacesetError, match=r"faceset\.json"):
        Faceset.load(copied)


def test_missing_crops_are_counted_and_named(copied):
    (copied / "crops" / "anna_1002.exr").unlink()
    with pytest.raises(FacesetError, match=r"1 of 4 .*anna_1002\.exr"):
        Faceset.load(copied)
    edit(copied, crops=[])
    with pytest.raises(FacesetError, match="no crop at all"):
        Faceset.load(copied)


def test_a_crop_that_is_unreadable_or_of_another_size_is_named(copied):
    crop = copied / "crops" / "anna_1001.exr"
    crop.write_bytes(b"not an image")
    with pytest.raises(FacesetError, match=r"anna_1001\.exr"):
        pixels_of(copied)
    write_image(crop, np.zeros((SIDE, SIDE + 1, 4), np.float32), ("R", "G", "B", "matte"))
    with pytest.raises(FacesetError, match=r"anna_1001\.exr"):
        pixels_of(copied)
