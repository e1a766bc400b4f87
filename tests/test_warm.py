"""What a worker keeps between runs, and the drafts that live on it."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from bodydouble.alignment.shotfaces import ShotFaces, write_shot_faces
from bodydouble.farm.jobs import Job, job_to_line
from bodydouble.plates.images import read_plate, write_image
from bodydouble.plates.plate import Plate
from bodydouble.swap.verifying import verify_frame
from bodydouble.swap.warm import Recent, Warm
from bodydouble_cli.main import cli
from bodydouble_cli.serve import Inbox, serve_jobs
from tiny import face_at, tiny_comb, tiny_shot

Swap = Callable[..., list[dict[str, Any]]]


def given(folder: Path, frames: range = range(1001, 1003), without_face: tuple[int, ...] = ()) -> dict[str, object]:
    words = tiny_shot(folder, frames, without_face)
    return {"plate": words[1], "faces": words[3], "model": words[5], "persona": "anna", "overwrite": True}


@pytest.fixture
def swaps() -> Swap:
    """Swaps one after the other in one worker; returns the events of their frames."""

    def swap(*jobs: dict[str, object]) -> list[dict[str, Any]]:
        inbox, written = Inbox(), []
        inbox.listen(iter([job_to_line(Job(str(index), "swap", job)) for index, job in enumerate(jobs)]))
        serve_jobs(cli, inbox, lambda line: written.append(json.loads(line)), Warm())
        ends = [one for one in written if one["event"] == "run_done"]
        assert [one["exit_code"] for one in ends] == [0] * len(jobs), ends
        return [one for one in written if one["event"] == "frame_done"]

    return swap


def assert_part_of(draft: Plate, whole: Plate) -> None:
    """A draft's channels are the whole frame's in its rectangle, and nothing that changed lies outside."""
    x0, y0, x1, y1 = draft.main.data_window
    left, top, _, _ = whole.main.data_window
    inside = np.s_[y0 - top : y1 - top, x0 - left : x1 - left]
    assert draft.main.display_window == whole.main.display_window
    for name in draft.main.channels:
        assert np.array_equal(draft.main.channel(name), whole.main.channel(name)[inside], equal_nan=True), name
    outside = whole.main.channel("bodydouble.matte").copy()
    assert outside.any()
    outside[inside] = 0
    assert not outside.any()


def test_a_draft_has_the_pixels_of_a_fresh_swap_whether_anything_was_kept_or_not(tmp_path: Path, swaps: Swap):
    shot = given(tmp_path, range(1001, 1002))
    looks = [{"edge": 3}, {"edge": 6, "sigma": 2.5}, {"plate_levels": 4, "forehead": 0.2}]
    drafts = [{**shot, **look, "draft": True, "out": str(tmp_path / f"draft{i}")} for i, look in enumerate(looks)]
    wholes = [{**shot, **look, "layers": True, "out": str(tmp_path / f"whole{i}")} for i, look in enumerate(looks)]
    events = swaps(*drafts)
    assert [sorted(event["seconds"]) for event in events] == [
        ["blend", "crop", "network", "read", "write"],
        ["blend", "read", "write"],
        ["blend", "read", "write"],
    ]
    seen = []
    for index, whole in enumerate(wholes):
        swaps(whole)  # a worker of its own, with nothing kept
        draft = read_plate(tmp_path / f"draft{index}" / "plate.1001.exr")
        assert_part_of(draft, read_plate(tmp_path / f"whole{index}" / "plate.1001.exr"))
        assert draft.main.channels == ("R", "G", "B", "A", "bodydouble.confidence", "bodydouble.matte")
        assert draft.main.compression == "none"
        assert verify_frame(draft, 1001).status == "intact"
        seen.append(draft.main.channel("G"))
    assert not np.array_equal(seen[0], seen[1])


def test_a_draft_sees_that_its_plate_was_rendered_again_and_its_face_moved(tmp_path: Path, swaps: Swap):
    shot = {**given(tmp_path, range(1001, 1002)), "draft": True, "out": str(tmp_path / "draft")}
    plate, written = tmp_path / "plates" / "plate.1001.exr", []
    inbox = Inbox()

    def write(line: str) -> None:
        event = json.loads(line)
        if event["event"] == "frame_done":
            written.append((sorted(event["seconds"]), read_plate(tmp_path / "draft" / "plate.1001.exr")))
        if event["event"] == "run_done" and event["job"] == "1":
            light = np.full((80, 96, 4), 0.4, np.float32)
            write_image(plate, light, attributes={"colorInteropID": "lin_rec709_scene"}, compression="zip")
        if event["event"] == "run_done" and event["job"] == "2":
            faces = {1001: (face_at(40, 40, 60),)}
            write_shot_faces(tmp_path / "shot.faces.json", ShotFaces(str(shot["plate"]), 96, 80, faces))

    inbox.listen(iter([job_to_line(Job(name, "swap", shot)) for name in ("0", "1", "2", "3")]))
    serve_jobs(cli, inbox, write, Warm())
    stages = [stages for stages, _ in written]
    assert ["crop" in one for one in stages] == [True, False, True, True]
    assert not np.array_equal(written[1][1].main.channel("R"), written[2][1].main.channel("R"))
    assert written[2][1].main.data_window != written[3][1].main.data_window


def test_the_draft_of_a_frame_without_a_face_is_one_pixel_of_the_plate(tmp_path: Path, swaps: Swap):
    shot = given(tmp_path, range(1001, 1002), (1001,))
    swaps({**shot, "draft": True, "on_no_face": "plate", "out": str(tmp_path / "draft")})
    draft = read_plate(tmp_path / "draft" / "plate.1001.exr").main
    assert draft.data_window == (0, 0, 1, 1)
    assert not draft.channel("bodydouble.matte").any()


def test_a_draft_holds_nothing_of_a_plate_but_its_picture(tmp_path: Path, swaps: Swap):
    """Overscan, tiles and other layers: the rectangle ends at the data window."""
    import OpenImageIO as oiio

    shot = given(tmp_path, range(1001, 1002))
    spec = oiio.ImageSpec(100, 90, 5, oiio.FLOAT)
    spec.x, spec.y, spec.full_width, spec.full_height = -2, -6, 96, 80
    spec.channelnames = ("R", "G", "B", "A", "depth.Z")
    spec.tile_width = spec.tile_height = 32
    spec.attribute("compression", "piz")
    spec.attribute("colorInteropID", "lin_rec709_scene")
    spec.attribute("studio:shot", "sh010")
    pixels = np.random.default_rng(5).uniform(-0.1, 3, (90, 100, 5)).astype(np.float32)
    pixels[40, 50] = np.nan
    output = oiio.ImageOutput.create("exr")
    assert output.open(str(tmp_path / "plates" / "plate.1001.exr"), spec)
    assert output.write_image(pixels)
    output.close()
    faces = {1001: (face_at(48, 20, 60),)}
    write_shot_faces(tmp_path / "shot.faces.json", ShotFaces(str(shot["plate"]), 96, 80, faces))
    swaps(
        {**shot, "draft": True, "out": str(tmp_path / "draft")},
        {**shot, "layers": True, "out": str(tmp_path / "whole")},
    )
    draft, whole = (read_plate(tmp_path / name / "plate.1001.exr") for name in ("draft", "whole"))
    assert_part_of(draft, whole)
    assert draft.main.data_window[1] == -6
    assert "depth.Z" not in draft.main.channels
    assert draft.main.tile is None
    assert draft.attributes["studio:shot"] == "sh010"


def test_a_model_that_was_trained_on_is_loaded_anew(tmp_path: Path):
    folder, warm = tiny_comb(tmp_path / "cast.comb", seed=1), Warm()
    first = warm.model(folder, "anna", "cpu", None)
    assert warm.model(folder, "anna", "cpu", None).comb is first.comb
    tiny_comb(folder, seed=2)
    assert warm.model(folder, "anna", "cpu", None).comb is not first.comb


def test_a_config_and_a_digest_are_kept_until_their_file_changes(tmp_path: Path):
    warm, file, asked = Warm(), tmp_path / "plate.exr", []

    def digest(path: Path) -> str:
        asked.append(path)
        return path.read_text()

    for text in ("one", "one", "two"):
        if not file.exists() or file.read_text() != text:
            file.write_text(text)
            os.utime(file, ns=(len(asked), len(asked)))
        assert warm.digest(file, digest) == text
    assert len(asked) == 2
    assert warm.colour(None) is warm.colour(None)
    assert warm.colour(None) is not warm.colour("ocio://cg-config-latest")


def test_kept_things_are_dropped_oldest_first_when_there_is_no_more_room():
    kept: Recent[torch.Tensor] = Recent(100, lambda swap: swap.nbytes)
    for key in ("a", "b", "c"):
        kept.keep(key, torch.zeros(10))  # 40 bytes each
    assert kept.get("a") is None
    assert kept.get("b") is not None
    kept.keep("d", torch.zeros(10))
    assert kept.get("c") is None
    kept.keep("e", torch.zeros(100))
    assert kept.get("e") is None, "larger than all the room"
    kept.keep("f", torch.zeros(10))
    kept.drop()
    assert kept.get("f") is None
