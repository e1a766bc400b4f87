"""What a swap gives to comp: layers and patches."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
import torch

from bodydouble.alignment.geometry import apply
from bodydouble.alignment.shotfaces import ShotFaces
from bodydouble.plates.colour import Colour
from bodydouble.plates.images import read_headers, read_image, read_plate, write_image
from bodydouble.plates.plate import Plate
from bodydouble.plates.sequences import PlateSequence
from bodydouble.settings import SwapSettings
from bodydouble.swap.swapframe import SwapModel, load_swap_model, swap_frame
from bodydouble.swap.swaplayers import CONFIDENCE, FACE, LAYERS, MATTE, ST
from bodydouble.swap.swapping import swap_sequence
from bodydouble.swap.warp import warp
from tiny import face_at, tiny_comb

WIDTH, HEIGHT = 96, 80
WITH_LAYERS = SwapSettings(layers=True, on_no_face="plate")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_comb(tmp_path_factory.mktemp("model") / "tiny.comb")


@pytest.fixture(scope="module")
def model(folder: Path) -> SwapModel:
    return load_swap_model(folder, "anna", "cpu")


@pytest.fixture(scope="module")
def colour() -> Colour:
    return Colour("ocio://studio-config-latest")


@pytest.fixture(scope="module")
def shot(tmp_path_factory: pytest.TempPathFactory) -> tuple[PlateSequence, ShotFaces]:
    """Three frames; the second has no face."""
    where = tmp_path_factory.mktemp("plate")
    random = np.random.default_rng(0)
    for frame in (1, 2, 3):
        light = random.uniform(0.1, 0.6, (HEIGHT, WIDTH, 3)).astype(np.float32)
        write_image(where / f"p.{frame:04d}.exr", light, ("R", "G", "B"), {"colorInteropID": "lin_ap1_scene"})
    face = face_at(50, 40, 50, 0.2, confidence=0.5)
    plate = PlateSequence.find(where / "p.####.exr")
    return plate, ShotFaces(plate.pattern, WIDTH, HEIGHT, {1: (face,), 2: (), 3: (face,)})


@pytest.fixture(scope="module")
def swapped(shot: tuple[PlateSequence, ShotFaces], model: SwapModel, colour: Colour) -> tuple[Plate, torch.Tensor]:
    plate, faces = shot
    result = swap_frame(read_plate(plate.path(1)), faces.frames[1][0], model, colour, None, WITH_LAYERS)
    assert result.swap is not None
    return result.plate, result.swap


def test_every_frame_has_the_same_channels_and_those_without_a_face_are_black(
    shot: tuple[PlateSequence, ShotFaces], folder: Path, colour: Colour, tmp_path: Path
):
    plate, faces = shot
    out, patches = (PlateSequence.output(tmp_path / name, like=plate) for name in ("out", "patches"))
    results = list(
        swap_sequence(
            plate, out, folder, "anna", faces, plate.frames, colour, None, WITH_LAYERS, device="cpu", patches=patches
        )
    )
    assert [result.status for result in results] == ["done"] * 3 and results[0].patch == patches.path(1)
    for name in (out, patches):
        headers = [read_headers(name.path(frame))[0] for frame in plate.frames]
        assert len({(header.channels, header.formats, header.data_window) for header in headers}) == 1
    empty = read_plate(out.path(2)).main
    assert set(LAYERS) < set(empty.channels)
    assert not any(empty.channel(name).any() for name in LAYERS)
    assert not read_image(patches.path(2)).any() and read_image(patches.path(1)).any()


def test_the_patch_is_skipped_only_when_it_is_there_too(
    shot: tuple[PlateSequence, ShotFaces], folder: Path, colour: Colour, tmp_path: Path
):
    plate, faces = shot
    out, patches = (PlateSequence.output(tmp_path / name, like=plate) for name in ("out", "patches"))

    def status(patch: PlateSequence | None) -> str:
        (result,) = swap_sequence(
            plate, out, folder, "anna", faces, (1,), colour, None, SwapSettings(), device="cpu", patches=patch
        )
        return result.status

    assert [status(None), status(None), status(patches), status(patches)] == ["done", "skipped", "done", "skipped"]


def test_the_matte_and_the_confidence_lie_where_the_picture_changed(
    swapped: tuple[Plate, torch.Tensor], shot: tuple[PlateSequence, ShotFaces]
):
    main, before = swapped[0].main, read_plate(shot[0].path(1)).main
    matte, confidence = main.channel(MATTE), main.channel(CONFIDENCE)
    changed = np.any([main.channel(name) != before.channel(name) for name in "RGB"], axis=0)
    assert changed.any() and not changed[matte == 0].any()
    assert (confidence[matte > 0] == 0.5).all() and not confidence[matte == 0].any()
    assert main.formats[main.channels.index(MATTE)] == "half" and main.formats[main.channels.index(ST[0])] == "float"


def test_the_unblended_face_through_the_matte_is_another_picture_than_the_blend_but_the_same_size(
    swapped: tuple[Plate, torch.Tensor],
):
    main = swapped[0].main
    face = np.stack([main.channel(name) for name in FACE], axis=-1)
    inside = main.channel(MATTE) == 1
    assert np.isfinite(face).all() and face[inside].min() >= 0
    assert np.abs(face[inside] - np.stack([main.channel(name) for name in "RGB"], axis=-1)[inside]).max() > 0.01


def test_the_st_map_looks_a_patch_up_so_that_it_lies_on_the_plate_as_the_face_does(
    swapped: tuple[Plate, torch.Tensor], shot: tuple[PlateSequence, ShotFaces]
):
    """Nuke's STMap: u from the left, v from the bottom, 0 and 1 the outer edges of the picture looked up."""
    main = swapped[0].main
    u, v = (main.channel(name) for name in ST)
    face = shot[1].frames[1][0]
    y, x = np.nonzero((u > 0) & (v > 0))
    unit = apply(face.unit_from_plate, np.stack([x, y], axis=1))
    np.testing.assert_allclose(np.stack([u[y, x], 1 - v[y, x]], axis=1), unit, atol=1e-6)
    assert ((unit >= 0) & (unit <= 1)).all() and len(y) == pytest.approx(50 * 50, rel=0.05)
    assert v[25:30, 50].mean() > v[50:55, 50].mean()  # the forehead is nearer to the top


def test_a_patch_goes_back_to_the_plate_by_its_own_matrix(
    shot: tuple[PlateSequence, ShotFaces], folder: Path, colour: Colour, tmp_path: Path
):
    plate, faces = shot
    out, patches = (PlateSequence.output(tmp_path / name, like=plate) for name in ("out", "patches"))
    list(
        swap_sequence(plate, out, folder, "anna", faces, (1,), colour, None, WITH_LAYERS, device="cpu", patches=patches)
    )
    patch = read_plate(patches.path(1))
    plate_from_crop = np.array(json.loads(patch.attributes["bodydouble/plate_from_crop"]))
    crop_from_plate = np.array(json.loads(patch.attributes["bodydouble/crop_from_plate"]))
    np.testing.assert_allclose(plate_from_crop @ crop_from_plate, np.eye(3), atol=1e-9)
    assert patch.attributes["bodydouble/crop_size"] == patch.width == patch.height == 32
    assert colour.space_of(patch.attributes, patch.path) == "ACEScg"
    main = read_plate(out.path(1)).main
    picture = torch.from_numpy(patch.rgb()).permute(2, 0, 1)[None]
    back = warp(picture, plate_from_crop, (HEIGHT, WIDTH))[0].permute(1, 2, 0).numpy()
    inside = main.channel(MATTE) == 1
    shown = np.stack([main.channel(name) for name in FACE], axis=-1).astype(np.float32)
    np.testing.assert_allclose(back[inside], shown[inside], rtol=0.02, atol=0.01)


def test_two_views_in_one_part_keep_layers_of_their_own(model: SwapModel, colour: Colour, tmp_path: Path):
    light = np.random.default_rng(0).uniform(0.1, 0.6, (HEIGHT, WIDTH, 6)).astype(np.float32)
    names = ("R", "G", "B", "left.R", "left.G", "left.B")
    write_image(tmp_path / "s.exr", light, names)
    stereo = read_plate(tmp_path / "s.exr")
    spec = stereo.main.spec.copy()
    spec.attribute("multiView", "string[2]", ("right", "left"))
    plate = dataclasses.replace(stereo, parts=(dataclasses.replace(stereo.main, spec=spec),), view="left")
    result = swap_frame(plate, face_at(50, 40, 50), model, colour, "ACEScg", WITH_LAYERS).plate
    assert "bodydouble.left.matte" in result.main.channels and MATTE not in result.main.channels
    for name in "RGB":
        assert (result.main.channel(name) == plate.main.channel(name)).all()
        assert (result.main.channel(f"left.{name}") != plate.main.channel(f"left.{name}")).any()
