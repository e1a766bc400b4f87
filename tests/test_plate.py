"""Properties of plates in memory and through a file, over windows, channel sets and types."""

from __future__ import annotations

import struct
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import OpenImageIO as oiio
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bodydouble.errors import PlateError
from bodydouble.plates.exrheader import RawAttribute, put_attributes, read_attributes
from bodydouble.plates.images import read_plate, write_image, write_plate
from bodydouble.plates.plate import Part, Plate

QUICK = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
KINDS = {"half": (oiio.HALF, np.float16), "float": (oiio.FLOAT, np.float32), "uint": (oiio.UINT32, np.uint32)}
LOSSLESS = ("none", "rle", "zips", "zip", "piz")
EXTRA = ("A", "Z", "id", "diffuse.R", "cryptomatte00.R", "N.x", "a name with blanks", "zz")


@st.composite
def exr_files(draw: st.DrawFn) -> dict[str, Any]:
    """A description of a file: windows of any sort, channels of mixed types, every bit pattern as a pixel."""
    extra = draw(st.lists(st.sampled_from(EXTRA), unique=True, max_size=5))
    names = ("R", "G", "B", *extra)
    one_kind = draw(st.sampled_from(["half", "float"]))
    mixed = draw(st.booleans())
    kinds = [one_kind] * 3 + [draw(st.sampled_from(sorted(KINDS))) if mixed else one_kind for _ in extra]
    return {
        "names": names,
        "kinds": kinds,
        "data": (draw(st.integers(-40, 40)), draw(st.integers(-40, 40)), draw(st.integers(1, 70)),
                 draw(st.integers(1, 70))),
        "display": (draw(st.integers(-40, 40)), draw(st.integers(-40, 40)), draw(st.integers(1, 70)),
                    draw(st.integers(1, 70))),
        "tile": draw(st.sampled_from([None, (16, 16), (32, 16)])),
        "compression": draw(st.sampled_from(LOSSLESS)),
        "aspect": draw(st.sampled_from([1.0, 2.0, 0.5])),
        "seed": draw(st.integers(0, 2**32 - 1)),
    }  # fmt: skip


def make(path: Path, file: dict[str, Any]) -> None:
    """Write it with OpenImageIO alone, channel by channel in native types."""
    x, y, width, height = file["data"]
    spec = oiio.ImageSpec(width, height, len(file["names"]), oiio.FLOAT)
    spec.x, spec.y, spec.full_x, spec.full_y, spec.full_width, spec.full_height = (x, y, *file["display"])
    spec.channelnames = file["names"]
    spec.attribute("compression", file["compression"])
    spec.attribute("PixelAspectRatio", file["aspect"])
    if file["tile"]:
        spec.tile_width, spec.tile_height = file["tile"]
    random = np.random.default_rng(file["seed"])
    kinds = set(file["kinds"])
    if len(kinds) == 1:
        kind, dtype = KINDS[kinds.pop()]
        spec.format = kind
        size = np.dtype(dtype).itemsize
        pixels = random.integers(0, 256, (height, width, len(file["names"]) * size), np.uint8).view(dtype)
    else:
        # Through float only whole numbers below 2^11 are the same in every type.
        spec.channelformats = tuple(KINDS[kind][0] for kind in file["kinds"])
        pixels = random.integers(0, 2048, (height, width, len(file["names"]))).astype(np.float32)
    output = oiio.ImageOutput.create("openexr")
    assert output.open(str(path), spec) and output.write_image(np.ascontiguousarray(pixels)) and output.close()


def bits(plate: Plate) -> dict[str, bytes]:
    return {name: np.ascontiguousarray(plate.main.channel(name)).tobytes() for name in plate.main.channels}


@given(file=exr_files())
@QUICK
def test_any_plate_comes_back_from_the_disk_with_every_bit_and_attribute(tmp_path: Path, file: dict[str, Any]):
    make(tmp_path / "in.exr", file)
    plate = read_plate(tmp_path / "in.exr")
    write_plate(tmp_path / "out.exr", plate)
    assert bits(read_plate(tmp_path / "out.exr")) == bits(plate)
    assert plate.main.formats == tuple(
        kind for _, kind in sorted(zip(file["names"], file["kinds"], strict=True), key=lambda pair: _order(plate, pair))
    )
    invented = {"capDate"}  # by the OpenImageIO that made the file
    before, after = read_attributes(tmp_path / "in.exr"), read_attributes(tmp_path / "out.exr")
    assert [{**part} for part in before] == [{**part} for part in after] and invented <= set(before[0])


def _order(plate: Plate, pair: tuple[str, str]) -> int:
    return plate.main.channels.index(pair[0])


@given(file=exr_files(), box=st.tuples(*[st.integers(-90, 90)] * 2, *[st.integers(1, 90)] * 2), seed=st.integers(0, 99))
@QUICK
def test_replacing_pixels_touches_those_and_no_other(
    tmp_path: Path, file: dict[str, Any], box: tuple[int, int, int, int], seed: int
):
    make(tmp_path / "in.exr", file)
    plate = read_plate(tmp_path / "in.exr")
    x, y, width, height = box
    region = (x, y, x + width, y + height)
    where = np.random.default_rng(seed).random((height, width)) < 0.5
    changed = plate.with_rgb(region, np.full((height, width, 3), 0.25, np.float32), where)
    np.testing.assert_array_equal(changed.rgb(region)[where & plate.inside(region)], 0.25)
    x0, y0, x1, y1 = plate.main.data_region
    free = np.ones((y1 - y0, x1 - x0), bool)
    rows, columns = np.nonzero(where)
    inside = (rows + y >= y0) & (rows + y < y1) & (columns + x >= x0) & (columns + x < x1)
    free[rows[inside] + y - y0, columns[inside] + x - x0] = False
    for name in plate.main.channels:
        before, after = plate.main.channel(name), changed.main.channel(name)
        assert before[free].tobytes() == after[free].tobytes()
        assert name in "RGB" or before is after


@given(file=exr_files())
@QUICK
def test_added_channels_change_no_other(tmp_path: Path, file: dict[str, Any]):
    make(tmp_path / "in.exr", file)
    plate = read_plate(tmp_path / "in.exr")
    values = np.full((plate.height, plate.width), 0.5, np.float32)
    more = plate.with_channels({"bodydouble.matte": values}).with_channels({"bodydouble.st.u": values}, "float")
    write_plate(tmp_path / "out.exr", more)
    back = read_plate(tmp_path / "out.exr")
    assert bits(plate).items() <= bits(back).items()
    shown = back.main.channel("bodydouble.st.u")
    x0, y0, x1, y1 = back.main.data_region
    y, x = np.mgrid[y0:y1, x0:x1]
    np.testing.assert_array_equal(shown == 0.5, (x >= 0) & (x < plate.width) & (y >= 0) & (y < plate.height))


@pytest.mark.parametrize("aspect", [0.0, float("nan"), float("inf"), 1e9, -1.0])
def test_a_pixel_aspect_that_cannot_be_is_1_or_refused(tmp_path: Path, aspect: float):
    write_image(tmp_path / "a.exr", np.zeros((2, 2, 3), np.float32))
    odd = RawAttribute("float", struct.pack("<f", aspect))
    put_attributes(tmp_path / "a.exr", lambda _, attributes: {**attributes, "pixelAspectRatio": odd})
    with suppress(PlateError):
        assert read_plate(tmp_path / "a.exr").pixel_aspect == 1.0


@pytest.mark.parametrize("window", [(0, 0, 40, 30), (-3, 5, 33, 26), (7, -2, 50, 40)])
@pytest.mark.parametrize("step", [2, 3, 7])
def test_every_nth_pixel_is_that_of_the_whole(tmp_path: Path, window: tuple[int, int, int, int], step: int) -> None:
    """Whatever part of the display window the file has data for."""
    x0, y0, x1, y1 = window
    spec = oiio.ImageSpec(x1 - x0, y1 - y0, 3, oiio.FLOAT)
    spec.x, spec.y, spec.full_x, spec.full_y, spec.full_width, spec.full_height = x0, y0, 0, 0, 40, 30
    pixels = np.random.default_rng(0).random((y1 - y0, x1 - x0, 3)).astype(np.float32)
    plate = Plate(tmp_path, (Part(spec, ("R", "G", "B"), ("float",) * 3, pixels=tuple(np.moveaxis(pixels, -1, 0))),))
    np.testing.assert_array_equal(plate.rgb(step=step), plate.rgb()[::step, ::step])
    np.testing.assert_array_equal(plate.rgb((5, 3, 38, 29), step), plate.rgb((5, 3, 38, 29))[::step, ::step])


@pytest.mark.parametrize("together", [False, True])
@pytest.mark.parametrize("dtype", [np.float16, np.float32])
def test_a_region_in_half_is_that_in_float_and_what_half_cannot_hold_is_infinite(
    tmp_path: Path, together: bool, dtype: type
) -> None:
    """However the channels lie in memory, and also where the file has no data."""
    spec = oiio.ImageSpec(20, 10, 4, oiio.FLOAT)
    pixels = np.random.default_rng(0).normal(0, 1, (10, 20, 4)).astype(np.float32)
    pixels[4, 6, 0], pixels[4, 7, 1] = 1e6, np.nan
    with np.errstate(over="ignore"):
        pixels = pixels.astype(dtype)
    channels = tuple(np.moveaxis(pixels, -1, 0) if together else np.moveaxis(pixels, -1, 0).copy())
    plate = Plate(tmp_path, (Part(spec, ("R", "G", "B", "A"), ("float",) * 4, pixels=channels),))
    for region in ((-2, 3, 17, 12), (3, 2, 17, 9), (0, 0, 20, 10)):
        half = plate.half_rgb(region)
        with np.errstate(over="ignore"):
            np.testing.assert_array_equal(half, plate.rgb(region).astype(np.float16))
        assert half.dtype == np.float16 and half[4 - region[1], 6 - region[0], 0] == np.inf
