"""A faceset that is read: what its index says, and a folder that is damaged or foreign says so."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from bodydouble.errors import FacesetError
from bodydouble.plates.colour import Colour
from bodydouble.plates.images import write_image
from bodydouble.plates.sequences import PlateSequence
from bodydouble.training.facesets import Faceset
from cutting import RIGHTS, SIDE, SMALL, cut, make_plate


@pytest.fixture(scope="module")
def colour() -> Colour:
    return Colour()


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
        {"version": 3},
        {"version": "1"},
        {"persona": "../anna"},
        {"persona": 3},
        {"crops": [{"file": "../../secret.exr"}]},
        {"crops": [{"file": "/etc/passwd"}]},
        {"crops": [{}]},
        {"crops": 7},
        {"model_space": {"gamma": "much"}},
        {"model_space": 3},
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


def test_a_faceset_of_version_1_is_read_and_can_be_added_to(copied, colour, tmp_path):
    index = json.loads((copied / "faceset.json").read_text())
    old = [{name: entry[name] for name in ("file", "plate", "frame", "confidence")} for entry in index["crops"]]
    del index["model_space"]
    (copied / "faceset.json").write_text(json.dumps({**index, "version": 1, "crops": old}))
    assert Faceset.load(copied).figures == (None,) * 4
    cut(make_plate(tmp_path, "ben", range(1, 3)), copied, colour)
    faceset = Faceset.load(copied)
    assert [figures is None for figures in faceset.figures] == [True] * 4 + [False] * 2
    assert json.loads((copied / "faceset.json").read_text())["version"] == 2


@pytest.mark.parametrize("value", ["much", None, float("nan")])
def test_figures_that_are_no_numbers_are_damage(value, copied):
    index = json.loads((copied / "faceset.json").read_text())
    index["crops"][2]["sharpness"] = value
    (copied / "faceset.json").write_text(json.dumps(index))
    with pytest.raises(FacesetError, match=r"faceset\.json is damaged"):
        Faceset.load(copied)


def test_a_png_crop_without_its_matte_is_missing(colour, tmp_path):
    cut(make_plate(tmp_path), tmp_path / "faceset", colour, settings=replace(SMALL, format="png"))
    (tmp_path / "faceset" / "mattes" / "anna_1003.png").unlink()
    with pytest.raises(FacesetError, match=r"1 of 4 .*anna_1003\.png"):
        Faceset.load(tmp_path / "faceset")
