"""Frames of which only the rows that are looked at are read."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import OpenImageIO as oiio
import pytest

import imagefiles
from bodydouble.errors import PlateError
from bodydouble.plates.glances import Glance
from bodydouble.plates.images import glance_at_picture, read_plate
from bodydouble.plates.plate import Plate

WIDTH, HEIGHT = 40, 200
ROW_BY_ROW = ("none", "rle", "zips", "zip", "pxr24", "piz", "b44", "b44a", "dwaa")


def save(path: Path, channels: Sequence[str] = "RGBA", kind: oiio.TypeDesc = oiio.HALF, **changes: object) -> Path:
    """A file of noise; `changes` as there."""
    pixels = np.random.default_rng(0).uniform(0.1, 0.9, (HEIGHT, WIDTH, len(channels))).astype(np.float32)
    return imagefiles.save(path, pixels, kind, channelnames=tuple(channels), **changes)


def glance(path: Path) -> Glance:
    found = glance_at_picture(path)
    assert isinstance(found, Glance)
    return found


def same(seen: Glance | Plate, whole: Plate, *regions: tuple[int, int, int, int]) -> None:
    for region in regions:
        assert seen.half_rgb(region).tobytes() == whole.half_rgb(region).tobytes(), region


@pytest.mark.parametrize("compression", ROW_BY_ROW)
def test_rows_are_those_of_the_whole_file_in_any_order(tmp_path: Path, compression: str) -> None:
    path = save(tmp_path / "a.exr", compression=compression)
    whole, seen = read_plate(path), glance(path)
    assert (seen.width, seen.height, seen.pixel_aspect) == (WIDTH, HEIGHT, 1.0)
    assert (seen.attributes, seen.path, seen.rows_read) == (whole.attributes, path, 0)
    seen.look((70, 90))
    assert 20 <= seen.rows_read < 100
    same(seen, whole, (3, 75, 30, 88), (0, 120, 40, 122), (5, 60, 35, 130), (0, 0, WIDTH, HEIGHT), (-5, -4, 50, 210))
    assert seen.rows_read == HEIGHT, "no row twice"


def test_rows_that_are_unpacked_together_are_kept_together(tmp_path: Path) -> None:
    seen = glance(save(tmp_path / "a.exr", compression="zip"))
    seen.look((17, 18))
    assert seen.rows_read == 16
    seen.half_rgb((0, 16, 10, 32))
    assert seen.rows_read == 16
    seen.look((199, 260))
    assert seen.rows_read == 24, "the last packet has eight rows"
    seen.look((300, 320))
    assert seen.rows_read == 24


def test_a_data_window_of_its_own_is_black_outside(tmp_path: Path) -> None:
    """Overscan, a window that ends within the picture, and rows packed from the first of the data."""
    for y, full_y, full_height in ((-7, 0, 100), (23, 10, 300), (40, 0, 45)):
        place = {"x": 5, "y": y, "full_x": 0, "full_y": full_y, "full_width": 60, "full_height": full_height}
        path = save(tmp_path / f"{y}.exr", compression="piz", **place)
        whole, seen = read_plate(path), glance(path)
        same(
            seen,
            whole,
            (0, 20, 60, 35),
            (0, 0, 60, full_height),
            (10, 50, 20, 60),
            (0, full_height - 2, 9, full_height),
        )
    assert seen.rows_read < HEIGHT, "overscan below the picture is not read"


@pytest.mark.parametrize("kind", [oiio.FLOAT, oiio.HALF])
def test_a_layer_and_floats_are_looked_at_likewise(tmp_path: Path, kind: oiio.TypeDesc) -> None:
    names = ("Z", "beauty.R", "beauty.G", "beauty.B", "id")
    path = save(tmp_path / "a.exr", names, kind, PixelAspectRatio=2.0)
    whole, seen = read_plate(path), glance(path)
    assert seen.pixel_aspect == 2.0
    same(seen, whole, (0, 50, WIDTH, 60), (0, 0, WIDTH, HEIGHT))


def test_the_view_asked_for_is_looked_at(tmp_path: Path) -> None:
    specs = []
    for view in ("left", "right"):
        spec = oiio.ImageSpec(WIDTH, HEIGHT, 3, oiio.HALF)
        spec.attribute("oiio:subimagename", view)
        spec.attribute("view", view)
        spec.attribute("compression", "zip")
        specs.append(spec)
    path, output = tmp_path / "stereo.exr", oiio.ImageOutput.create("openexr")
    assert output.open(str(path), tuple(specs))
    for index, spec in enumerate(specs):
        assert index == 0 or output.open(str(path), spec, "AppendSubimage")
        assert output.write_image(np.random.default_rng(index).uniform(0, 1, (HEIGHT, WIDTH, 3)).astype(np.float32))
    assert output.close()
    seen = glance_at_picture(path, view="right")
    assert isinstance(seen, Glance)
    same(seen, read_plate(path, view="right"), (0, 50, WIDTH, 60), (2, 0, 30, HEIGHT))
    with pytest.raises(PlateError, match="no such file"):
        glance_at_picture(tmp_path / "gone.exr")


def test_files_that_give_no_single_rows_are_read_whole(tmp_path: Path) -> None:
    tiled = save(tmp_path / "tiled.exr", tile_width=16, tile_height=16)
    much = save(tmp_path / "dwab.exr", compression="dwab")
    picture = save(tmp_path / "a.png", "RGB", oiio.UINT8)
    for path in (tiled, much, picture):
        found = glance_at_picture(path)
        assert isinstance(found, Plate)
        same(found, read_plate(path), (0, 0, WIDTH, HEIGHT))


def test_damaged_rows_are_named_when_they_are_looked_at(tmp_path: Path) -> None:
    path = save(tmp_path / "broken.1001.exr", compression="zip")
    content = bytearray(path.read_bytes())
    content[-3000:] = bytes(3000)  # zeros are no packed rows
    path.write_bytes(bytes(content))
    seen = glance(path)
    assert seen.half_rgb((0, 0, WIDTH, 16)).any()
    with pytest.raises(PlateError, match=r"broken\.1001\.exr: pixels cannot be read"):
        seen.look((0, HEIGHT))
