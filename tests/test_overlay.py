"""Pictures for checking an alignment, and the command's files around it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from bodydouble.alignment.geometry import CANONICAL_LANDMARKS
from bodydouble.alignment.shotfaces import Face, ShotFaces, read_shot_faces, write_shot_faces
from bodydouble.plates.images import read_image, write_image
from bodydouble_cli.main import run


@pytest.fixture
def plate(tmp_path: Path) -> str:
    for frame in (1001, 1002):
        write_image(tmp_path / f"plate.{frame}.exr", np.full((240, 320, 3), 0.18, np.float32))
    return str(tmp_path / "plate.####.exr")


@pytest.fixture
def sidecar(tmp_path: Path, plate: str) -> Path:
    face = Face(np.array([100.0, 60.0, 220.0, 180.0]), CANONICAL_LANDMARKS * 200 + [60, 20], 1.0, 0.9)
    write_shot_faces(tmp_path / "shot.faces.json", ShotFaces(plate, 320, 240, {1001: (face,), 1002: (face,)}))
    return tmp_path / "shot.faces.json"


def test_shot_faces_are_drawn_corrected_and_listed_without_measuring_again(
    plate: str, sidecar: Path, tmp_path: Path
) -> None:
    fix = tmp_path / "fix.json"
    frames = {"1002": [{"points_px": {"30": [170.0, 130.0]}}], "1001": [{}]}
    fix.write_text(json.dumps({"schema": "bodydouble.corrections", "version": 1, "frames": frames}))
    out, csv, overlay = tmp_path / "new.faces.json", tmp_path / "marks.csv", tmp_path / "seen"
    arguments = ["align", plate, "--faces", str(sidecar), "--fix", str(fix), "-o", str(out), "--csv", str(csv)]
    assert run([*arguments, "--overlay", str(overlay), "--colorspace", "ACEScg"]) == 0
    placed = read_shot_faces(out).face(1002)
    assert placed is not None
    np.testing.assert_allclose(placed.landmarks_px[30], [170, 130], atol=0.01)
    seen = read_image(overlay / "overlay.1002.png")
    assert seen.shape == (240, 320, 3)
    assert seen[130, 170, 1] > 0.9, "the nose is drawn where it was put"
    np.testing.assert_allclose(seen[2, 2], seen[2, 3], atol=0.01)
    assert len(csv.read_text().splitlines()) == 3
    again = tmp_path / "again.faces.json"
    assert run(["align", plate, "--faces", str(csv), "-o", str(again), "--colorspace", "ACEScg"]) == 0
    marks = read_shot_faces(again).face(1002)
    assert marks is not None
    np.testing.assert_allclose(marks.landmarks_px, placed.landmarks_px, atol=0.011)


def test_a_wrong_file_of_corrections_is_3_before_anything_is_measured(plate: str, tmp_path: Path) -> None:
    (tmp_path / "fix.json").write_text("{}")
    out = tmp_path / "shot.faces.json"
    assert run(["align", plate, "--fix", str(tmp_path / "fix.json"), "-o", str(out)]) == 3
    assert not out.exists()
