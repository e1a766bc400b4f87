"""The pictures of a faceset show its crops and its poses."""

from __future__ import annotations

import json

import numpy as np
import pytest

from bodydouble.plates.colour import Colour
from bodydouble.plates.images import read_image
from bodydouble.training.facesetpictures import contact_sheet, draw_faceset, pose_chart
from bodydouble.training.facesets import Faceset
from cutting import cut, make_plate
from tiny import tiny_faceset


@pytest.fixture(scope="module")
def colour() -> Colour:
    return Colour()


def test_both_pictures_lie_in_the_faceset_and_show_what_the_engine_drew(colour, tmp_path):
    cut(make_plate(tmp_path), tmp_path / "faceset", colour)
    sheet, poses = draw_faceset(tmp_path / "faceset", colour)
    assert [path.name for path in (sheet, poses)] == ["contact_sheet.png", "poses.png"]
    faceset = Faceset.load(tmp_path / "faceset")
    np.testing.assert_allclose(read_image(sheet), contact_sheet(faceset, colour), atol=0.5 / 255 + 1e-6)
    np.testing.assert_allclose(read_image(poses), pose_chart(faceset), atol=0.5 / 255 + 1e-6)


def test_the_sheet_shows_crops_through_the_view(colour, tmp_path):
    faceset = Faceset.load(tiny_faceset(tmp_path / "anna", "anna", crops=3))
    sheet = contact_sheet(faceset, colour)
    cell = sheet[64 : 64 + 144, 6 : 6 + 144]
    crop = faceset.pixels(faceset.crops[0])
    shown = colour.display("ACEScg")(np.ascontiguousarray(crop[..., :3]))
    # Stripes run down; far from the matte's outline each row is one colour.
    assert cell[2, 10] == pytest.approx(np.clip(shown[0, 2], 0, 1), abs=0.02)


def test_crops_without_figures_are_counted_and_not_invented(colour, tmp_path):
    with_figures = Faceset.load(_of_poses(tmp_path / "some", 3))
    without = Faceset.load(tiny_faceset(tmp_path / "none", "anna", crops=3))
    assert without.figures == (None,) * 3
    assert not np.array_equal(pose_chart(with_figures), pose_chart(without))


def _of_poses(folder, crops: int):
    tiny_faceset(folder, "anna", crops=crops)
    index = json.loads((folder / "faceset.json").read_text())
    for number, entry in enumerate(index["crops"]):
        entry |= {"yaw_deg": 20.0 * number, "pitch_deg": -99.0, "roll_deg": 0.0, "sharpness": 0.5}
        entry |= {"exposure_stops": -1.0, "side_px": 300.0}
    (folder / "faceset.json").write_text(json.dumps(index))
    return folder
