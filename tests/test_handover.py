"""The script that hands a shot over to Nuke: read by Tcl and by nkparser, and evaluated by a few lines of our own."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from bodydouble.alignment.geometry import apply
from bodydouble.alignment.shotfaces import Face, ShotFaces, write_shot_faces
from bodydouble.demo import BUNDLED
from bodydouble.errors import NoFaceError
from bodydouble.exports.handover import Handover, handover_text, outline_px, write_handover
from bodydouble.plates.modelspace import ModelSpace
from bodydouble.plates.sequences import PlateSequence
from bodydouble.swap.swaplayers import black_crop, write_patch
from bodydouble_cli.main import run
from nukeread import (
    ReadScript,
    nkparser_complaints,
    read_script,
    roto_points,
    tcl_list,
    tclsh_says,
    unknown_links,
    value_at,
)
from nukewords import EVERY_NODE, KNOBS, USER_KNOBS
from tiny import face_at

WIDTH, HEIGHT, SIZE = 960, 540, 256
FRAMES = [1001, 1002, 1003, 1005, 1006]


def moving_face(frame: int) -> Face:
    step = frame - 1001
    return face_at(400.3 + 7.7 * step, 260.9 - 3.1 * step, 300 + 11 * step, angle=0.15 - 0.07 * step)


SHOT = ShotFaces("plate", WIDTH, HEIGHT, {f: (moving_face(f),) if f != 1004 else () for f in range(1001, 1007)})


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("shot")


@pytest.fixture(scope="module")
def handover(folder: Path) -> Handover:
    def frames(name: str) -> PlateSequence:
        return PlateSequence(str(folder / name / f"{name}.####.exr"), tuple(range(1001, 1007)))

    return Handover(frames("plate"), SHOT, None, frames("swap"), frames("patch"), SIZE)


@pytest.fixture(scope="module")
def text(handover: Handover, folder: Path) -> str:
    return handover_text(handover, folder / "comp")


@pytest.fixture(scope="module")
def script(text: str) -> ReadScript:
    return read_script(text)


def from_nuke(x: float, y: float) -> np.ndarray:
    """Nuke counts from the lower left corner, y up; the plate from the centre of the upper left pixel, y down."""
    return np.array([x - 0.5, HEIGHT - y - 0.5])


def homography(source: np.ndarray, target: np.ndarray) -> np.ndarray:
    """3×3 of four point pairs, each row pair of the eight equations as in any text book."""
    rows = [row for (x, y), (u, v) in zip(source, target, strict=True) for row in (
        [x, y, 1, 0, 0, 0, -u * x, -u * y], [0, 0, 0, x, y, 1, -v * x, -v * y])]  # fmt: skip
    return np.append(np.linalg.solve(np.array(rows), target.ravel()), 1).reshape(3, 3)


def plate_points(frame: int) -> np.ndarray:
    """Where the engine puts a grid of unit-crop points in the plate."""
    grid = np.stack(np.meshgrid(np.linspace(0, 1, 5), np.linspace(0, 1, 5)), -1).reshape(-1, 2)
    return apply(np.linalg.inv(moving_face(frame).unit_from_plate), grid)


def patch_points() -> np.ndarray:
    """The same points in the patch as Nuke counts it: u to the right, v down from its top."""
    grid = np.stack(np.meshgrid(np.linspace(0, 1, 5), np.linspace(0, 1, 5)), -1).reshape(-1, 2)
    return np.stack([grid[:, 0] * SIZE, SIZE - grid[:, 1] * SIZE], -1)


@pytest.mark.parametrize("frame", FRAMES)
def test_the_corner_pin_places_the_patch_where_the_engine_does(script: ReadScript, frame: int):
    knobs = script.node("BD_place").knobs
    start = np.array([value_at(knobs[f"from{pin}"], frame) for pin in range(1, 5)])
    end = np.array([value_at(knobs[f"to{pin}"], frame) for pin in range(1, 5)])
    placed = (homography(start, end) @ np.c_[patch_points(), np.ones(25)].T).T
    found = np.array([from_nuke(x / w, y / w) for x, y, w in placed])
    assert np.abs(found - plate_points(frame)).max() < 0.05


@pytest.mark.parametrize("frame", FRAMES)
def test_the_transform_holds_the_face_where_the_patch_has_it(script: ReadScript, frame: int):
    knobs = script.node("BD_stabilise").knobs
    assert knobs["invert_matrix"] == "true"
    (turn,), (scale,) = value_at(knobs["rotate"], frame), value_at(knobs["scale"], frame)
    centre, shift = np.array(value_at(knobs["center"], frame)), np.array(value_at(knobs["translate"], frame))
    cos, sin = np.cos(np.radians(turn)), np.sin(np.radians(turn))
    placed = (patch_points() - centre) @ (scale * np.array([[cos, -sin], [sin, cos]])).T + centre + shift
    found = np.array([from_nuke(x, y) for x, y in placed])
    assert np.abs(found - plate_points(frame)).max() < 0.05


@pytest.mark.parametrize("frame", FRAMES)
def test_the_roto_follows_the_outline_that_the_engine_fills(script: ReadScript, frame: int):
    found = np.array([from_nuke(x, y) for x, y in roto_points(script.node("BD_outline").knobs["curves"], frame)])
    assert np.abs(found - outline_px(moving_face(frame), 0.6)).max() < 0.05


@pytest.mark.parametrize("frame", FRAMES)
def test_the_tracker_has_every_landmark(script: ReadScript, frame: int):
    _, _, rows = tcl_list(script.node("BD_landmarks").knobs["tracks"])
    tracks = [tcl_list(row) for row in tcl_list(rows)]
    assert [track[1] for track in tracks] == [f"landmark_{index:02d}" for index in range(68)]
    found = np.array([from_nuke(*(value_at("{" + axis + "}", frame)[0] for axis in track[2:4])) for track in tracks])
    assert np.abs(found - moving_face(frame).landmarks_px).max() < 0.05


def test_the_matte_is_off_where_nobody_is(script: ReadScript):
    gain = script.node("BD_face_found").knobs["value"]
    assert [value_at(gain, frame) for frame in (1001, 1003, 1004, 1005)] == [[1], [1], [0], [1]]


def test_the_nodes_hang_together(script: ReadScript):
    links = {node.name: node.inputs for node in script.nodes}
    assert links["BD_choose"] == ["BD_result", "BD_over_plate"]
    assert links["BD_over_plate"] == ["BD_plate", "BD_from_model", "BD_touched"]
    assert links["BD_place"] == ["BD_patch_format"]
    assert links["BD_matte"] == ["BD_face_found", "BD_soften"]
    assert len(links) == len(script.nodes), "two nodes of one name"


def test_files_are_named_from_the_script_with_no_absolute_path_and_no_back_slash(text: str, script: ReadScript):
    assert script.node("BD_plate").knobs["file"] == "[value BD_shot.folder]/../plate/plate.####.exr"
    assert script.node("BD_shot").knobs["folder"] == "[file dirname [value root.name]]"
    assert "\\" not in text
    assert not re.search(r"[\s{\"]/|[A-Za-z]:/", text), "an absolute path"


def test_every_class_and_knob_is_one_that_nuke_has(script: ReadScript):
    for node in script.everything():
        own = {words[1] for words in node.user_knobs}
        assert {words[0] for words in node.user_knobs} <= set(USER_KNOBS)
        assert set(node.knobs) <= KNOBS[node.kind] | EVERY_NODE | own, node.name


def test_every_link_leads_somewhere_and_was_looked_up(text: str):
    script = read_script(text)
    assert unknown_links(script.nodes) == set()
    script.node("BD_soften").knobs["size"] = "{{BD_gone.side}}"
    script.node("BD_matte").knobs["expr3"] = "smootherstep(0,1,Aa)"
    assert unknown_links(script.nodes) == {"BD_gone.side", "smootherstep"}


def test_nkparser_and_tclsh_read_the_script_without_complaint(text: str, script: ReadScript):
    assert nkparser_complaints(text) == []
    assert [line.split()[0] for line in tclsh_says(text)] == [node.kind for node in script.nodes]


def test_without_patches_the_tracks_and_the_matte_are_handed_over(handover: Handover, folder: Path):
    lean = read_script(handover_text(replace(handover, patch=None, result=None), folder))
    names = {node.name for node in lean.nodes}
    assert {"BD_plate", "BD_outline", "BD_matte", "BD_stabilise", "BD_landmarks"} <= names
    assert not {"BD_place", "BD_choose", "BD_patch"} & names


def test_a_plate_with_wide_pixels_gets_no_transform(handover: Handover, folder: Path):
    wide = replace(handover, shot=replace(SHOT, pixel_aspect=2.0))
    assert "BD_stabilise" not in {node.name for node in read_script(handover_text(wide, folder)).nodes}


def test_a_shot_without_the_person_has_nothing_to_hand_over(handover: Handover, tmp_path: Path):
    with pytest.raises(NoFaceError):
        write_handover(tmp_path / "shot.nk", replace(handover, person=3))
    assert not list(tmp_path.iterdir())


def test_the_command_writes_the_script_of_a_shot_on_disk(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    plate = PlateSequence.find(BUNDLED / "sh010")
    write_shot_faces(
        tmp_path / "s.faces.json", replace(SHOT, frames={frame: (moving_face(1001),) for frame in plate.frames})
    )
    write_patch(
        tmp_path / "patch" / "patch.1015.exr",
        *black_crop(64),
        None,
        lambda image: image,
        ModelSpace(),
        {"bodydouble/frame": 1},
    )
    words = [
        "--faces",
        str(tmp_path / "s.faces.json"),
        "--patch",
        str(tmp_path / "patch"),
        "-o",
        str(tmp_path / "s.nk"),
    ]
    assert run(["export", "nuke", str(BUNDLED / "sh010"), *words]) == 0
    assert "s.nk" in capsys.readouterr().out
    script = read_script((tmp_path / "s.nk").read_text(encoding="utf-8"))
    assert script.node("BD_patch").knobs["format"].startswith("64 64")
    assert script.node("BD_patch").knobs["file"] == "[value BD_shot.folder]/patch/patch.####.exr"
    assert run(["export", "nuke", str(BUNDLED / "sh010"), *words]) == 2, "it is not replaced unasked"
