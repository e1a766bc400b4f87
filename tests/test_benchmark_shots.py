"""The benchmark's own arithmetic; the figures themselves are tested in test_quality."""

from __future__ import annotations

import json
import math
import sys
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest

from bodydouble.errors import InputError
from bodydouble.plates.images import write_image

BENCHMARKS = Path(__file__).parent.parent / "benchmarks"


@pytest.fixture(autouse=True)
def benchmarks_importable(monkeypatch: pytest.MonkeyPatch) -> None:
    """The benchmarks are scripts beside the product, not a package of it."""
    monkeypatch.syspath_prepend(str(BENCHMARKS))


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A shot of one frame: plate 0.2 all over, composite 0.6 in a smaller data window, full render 0.3."""
    shot = tmp_path / "synth" / "shots" / "sh900"
    landmarks = [[0.5, 0.5]] * 68
    versions = {name: {"landmarks": landmarks} for name in ("B", "A_on_B", "C")}
    record = {"shot": "sh900", "performer": "B", "versions": versions, "frames": {"1001": {"versions": versions}}}
    shot.mkdir(parents=True)
    (shot / "sh900.json").write_text(json.dumps(record), encoding="utf-8")
    for version, level in (("B", 0.2), ("A_on_B", 0.6), ("C", 0.3)):
        pixels = np.full((8, 16, 4), level, np.float32)
        pixels[..., 3] = 0
        pixels[2:6, 4:12, 3] = 1
        names = ("R", "G", "B", "matte.face")
        write_image(shot / version / f"sh900_{version}.1001.exr", pixels, channel_names=names, format="float")
    monkeypatch.setenv("BODYDOUBLE_SHARED", str(tmp_path))
    return tmp_path / "synth"


def test_the_corner_convention_of_the_data_becomes_our_centre_convention(folder: Path):
    """Half a pixel from the outer corner of the first pixel is its centre, which is (0, 0) here."""
    from synth import load_shot

    np.testing.assert_array_equal(load_shot("sh900", folder).landmarks_px(1001, "B"), np.zeros((68, 2)))


def test_real_records_move_by_the_half_pixel_too(shared: Path):
    from synth import load_shot

    shot = load_shot("sh010", shared / "synth")
    record = shot.records["1001"]["versions"]["B"]
    np.testing.assert_allclose(shot.landmarks_px(1001, "B") + 0.5, record["landmarks"])


def test_a_composite_is_taken_before_a_full_render_and_the_performer_never(folder: Path):
    from synth import load_shot

    assert load_shot("sh900", folder).personas == {"C": "C", "A": "A_on_B"}


def test_a_full_render_gets_the_performers_tone_and_only_inside_the_face(folder: Path):
    from synth import load_shot

    shot = load_shot("sh900", folder)
    gain = shot.tone_gain("C", (1001,))
    np.testing.assert_allclose(gain, 2 / 3, rtol=1e-6)
    truth = shot.truth(1001, "C", gain * 2)
    np.testing.assert_allclose(truth.rgb[3, 5], 0.4, rtol=1e-6)
    np.testing.assert_allclose(truth.rgb[0, 0], 0.2, rtol=1e-6)


def test_outside_its_data_window_a_composite_is_the_plate(shared: Path):
    from bodydouble.plates.images import read_plate
    from synth import load_shot

    shot = load_shot("sh010", shared / "synth")
    truth, plate = shot.truth(1001, "A_on_B"), read_plate(shot.plate.path(1001))
    inside = read_plate(shot.sequence("A_on_B").path(1001)).inside()
    assert 0 < inside.sum() < inside.size
    np.testing.assert_array_equal(truth.rgb[~inside], plate.rgb()[~inside])
    assert not truth.matte[~inside].any() and truth.matte.max() > 0.99


def test_missing_data_is_an_error_that_names_the_variable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    from synth import synth_folder

    monkeypatch.setenv("BODYDOUBLE_SHARED", str(tmp_path))
    with pytest.raises(InputError, match="BODYDOUBLE_SHARED"):
        synth_folder()


def test_an_unknown_shot_is_an_error_that_lists_the_shots(folder: Path):
    from synth import load_shot

    with pytest.raises(InputError, match="sh900"):
        load_shot("sh999", folder)


def test_figures_that_could_not_be_measured_are_dashes_in_the_table_and_null_in_json():
    from figures import FrameFigures, ShotFigures
    from shots import as_json, table

    names = [field.name for field in fields(FrameFigures) if field.name != "frame"]
    frame = FrameFigures(1001, **(dict.fromkeys(names, 1.0) | {"landmark_error": math.nan, "psnr": math.inf}))
    figures = ShotFigures("sh900", "A", "A_on_B", (frame,), {}, math.nan, math.nan, math.nan, {"read": 0.5})
    lines = {line.split("|")[1].strip(): line.split("|")[2].strip() for line in table([figures]).splitlines()}
    assert lines["landmark error, % ↓"] == "– (truth 1.00)"
    assert lines["PSNR in the face, dB ↑"] == "inf (plate 1.00)"
    assert lines["seconds per frame: read"] == "0.500"
    document = json.loads(as_json([figures]))
    assert document["shots"][0]["frames"][0]["landmark_error"] is None
    assert document["shots"][0]["flicker"] is None


def test_frames_swapped_before_are_found_under_the_plates_names(folder: Path, tmp_path: Path):
    from shots import found_in
    from synth import load_shot

    shot = load_shot("sh900", folder)
    assert found_in(tmp_path / "out", shot, (1001,)).failed == {1001: "missing"}
    write_image(tmp_path / "out" / "sh900_B.1001.exr", np.zeros((8, 16, 3), np.float32), ("R", "G", "B"))
    assert found_in(tmp_path / "out", shot, (1001,)).frames == (1001,)


@pytest.fixture(autouse=True)
def modules_forgotten():
    """`figures`, `shots` and `synth` are common names: no other test shall find them imported."""
    yield
    for name in ("figures", "shots", "synth"):
        sys.modules.pop(name, None)
