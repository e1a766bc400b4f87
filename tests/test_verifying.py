"""Finished frames held against their stamp, their plate and their model; the command `verify`."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from bodydouble.alignment.shotfaces import ShotFaces
from bodydouble.plates.colour import Colour
from bodydouble.plates.images import read_plate, write_image, write_plate
from bodydouble.plates.sequences import PlateSequence
from bodydouble.settings import SwapSettings
from bodydouble.swap.swapping import swap_sequence
from bodydouble_cli.main import run
from tiny import face_at, tiny_comb

FRAMES = (1001, 1002, 1003)


@pytest.fixture(scope="module")
def swapped(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with plates, a model, and the frames and patches of a swap."""
    folder = tmp_path_factory.mktemp("swapped")
    random = np.random.default_rng(2)
    for frame in FRAMES:
        light = random.uniform(0, 1, (64, 64, 3)).astype(np.float32)
        attributes = {"colorInteropID": "lin_rec709_scene"}
        write_image(folder / "plates" / f"plate.{frame}.exr", light, ("R", "G", "B"), attributes)
    plate = PlateSequence.find(folder / "plates")
    shot = ShotFaces(plate.pattern, 64, 64, {frame: (face_at(32, 30, 40),) for frame in FRAMES})
    results = swap_sequence(
        plate,
        PlateSequence.output(folder / "out", like=plate),
        tiny_comb(folder / "cast.comb"),
        "anna",
        shot,
        FRAMES,
        Colour(None),
        None,
        SwapSettings(layers=True),
        device="cpu",
        production="Show",
        patches=PlateSequence.output(folder / "patches", like=plate),
    )
    assert [result.status for result in results] == ["done"] * 3
    return folder


@pytest.fixture
def copy(swapped: Path, tmp_path: Path) -> Path:
    shutil.copytree(swapped, tmp_path / "swapped")
    return tmp_path / "swapped"


def verify(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, dict[int, str], dict[str, object]]:
    """Exit code, status by frame, and the whole document."""
    code = run(["verify", *map(str, arguments), "--json"])
    document = json.loads(capsys.readouterr().out)
    return code, {frame["frame"]: frame["status"] for frame in document["frames"]}, document


def test_frames_of_a_swap_are_intact_and_fit_their_plate_and_model(swapped: Path, capsys):
    code, found, document = verify(
        capsys, swapped / "out", "--plate", swapped / "plates", "--model", swapped / "cast.comb"
    )
    assert (code, set(found.values())) == (0, {"intact"})
    facts = document["frames"][0]["facts"]  # type: ignore[index]
    assert (facts["persona"], facts["production"], facts["rights"]) == ("anna", "Show", "no rights record")
    assert "permission" in facts["notice"]


def test_patches_carry_a_stamp_of_their_own_pixels(swapped: Path, capsys):
    assert verify(capsys, swapped / "patches")[:2] == (0, dict.fromkeys(FRAMES, "intact"))


def test_what_happened_to_each_frame_is_listed_and_the_exit_code_is_4(copy: Path, capsys):
    first = copy / "out" / "plate.1001.exr"
    plate = read_plate(first)
    red = plate.main.channel("R").astype(np.float32)
    red[30, 30] += 0.25
    write_plate(copy / "touched.exr", plate.with_channels({"R": red}))
    shutil.move(copy / "touched.exr", first)
    (copy / "out" / "plate.1002.exr").unlink()
    third = copy / "out" / "plate.1003.exr"
    third.write_bytes(third.read_bytes()[:2000])
    code, found, _ = verify(capsys, copy / "out")
    assert (code, found) == (4, {1001: "changed", 1002: "missing", 1003: "unreadable"})


def test_a_plate_is_unstamped_and_another_plate_or_model_is_told(copy: Path, capsys):
    assert verify(capsys, copy / "plates")[:2] == (4, dict.fromkeys(FRAMES, "unstamped"))
    shutil.copy(copy / "plates" / "plate.1002.exr", copy / "plates" / "plate.1001.exr")
    code, found, document = verify(capsys, copy / "out", "--plate", copy / "plates", "--frames", "1001-1002")
    assert (code, found) == (4, {1001: "forged", 1002: "intact"})
    assert "not made from plate.1001.exr" in document["frames"][0]["message"]  # type: ignore[index]
    other = tiny_comb(copy / "other.comb", seed=9)
    code, found, document = verify(capsys, copy / "out", "--model", other, "--frames", "1002")
    assert (code, found) == (4, {1002: "forged"})
    assert "not made by this model" in document["frames"][0]["message"]  # type: ignore[index]


def test_people_read_what_the_frames_share_once_and_then_what_is_wrong(copy: Path, capsys):
    (copy / "out" / "plate.1002.exr").unlink()
    assert run(["verify", str(copy / "out")]) == 4
    out, err = capsys.readouterr()
    assert out.count("persona: anna") == 1
    assert "found: 2 intact, 1 missing" in out
    assert "1002 missing" in out
    assert "1 of 3 are not as they were stamped" in err
