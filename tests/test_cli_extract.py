"""`bodydouble extract`: what it says of every frame, and which exit code that means."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from bodydouble.alignment.shotfaces import write_shot_faces
from bodydouble_cli.main import run
from cutting import painted_faces, painted_plate, picture


@pytest.fixture
def shot(tmp_path: Path) -> list[str]:
    """A command line without options: three frames, of which the second repeats the first."""
    plate = painted_plate(tmp_path, {1: picture(1), 2: picture(1), 3: picture(2)})
    write_shot_faces(tmp_path / "shot.faces.json", painted_faces(plate))
    out = str(tmp_path / "faceset")
    return ["extract", plate.pattern, "--faces", str(tmp_path / "shot.faces.json"), "--persona", "anna", "-o", out]


def events_of(capsys: pytest.CaptureFixture[str]) -> list[dict]:
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def test_what_a_rule_leaves_out_is_named_and_counted_and_no_failure(shot, tmp_path, capsys):
    assert run([*shot, "--size", "96", "--json"]) == 0
    told = events_of(capsys)
    (skipped,) = [event for event in told if event["event"] == "frame_skipped"]
    assert skipped["frame"] == 2 and "near-duplicate of anna_0001.exr" in skipped["message"]
    assert [event["frame"] for event in told if event["event"] == "frame_done"] == [1, 3]
    assert any("2 crops; left out: 1 near-duplicate" in event.get("message", "") for event in told)
    assert told[-1]["exit_code"] == 0 and told[-1]["skipped"] == 1
    for name in ("contact sheet", "poses"):
        assert Path(told[-1]["outputs"][name]).is_file()


def test_a_plate_that_repeats_what_is_there_adds_nothing_and_is_no_failure(shot, tmp_path, capsys):
    assert run([*shot, "--size", "96", "--frames", "1,3"]) == 0
    again = painted_plate(tmp_path, {7: picture(2)}, "again")
    write_shot_faces(tmp_path / "again.faces.json", painted_faces(again))
    faces = str(tmp_path / "again.faces.json")
    assert run([shot[0], again.pattern, "--faces", faces, *shot[4:], "--size", "96"]) == 0
    assert "0 crops; left out: 1 near-duplicate" in capsys.readouterr().err


def test_a_frame_that_cannot_be_read_is_4_and_the_others_are_cut(shot, tmp_path, capsys):
    (tmp_path / "anna.0003.exr").write_bytes(b"no image")
    assert run([*shot, "--size", "96", "--format", "png"]) == 4
    assert "anna.0003.exr" in capsys.readouterr().err
    assert [path.name for path in (tmp_path / "faceset" / "crops").iterdir()] == ["anna_0001.png"]


@pytest.mark.parametrize(
    "option", [("--min-sharpness", "1.1"), ("--min-difference", "-1"), ("--grow", "20"), ("--format", "tif")]
)
def test_a_setting_that_cannot_be_meant_is_2(option, shot, tmp_path):
    assert run([*shot, *option]) == 2
    assert not (tmp_path / "faceset").exists()
