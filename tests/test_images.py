"""Image files: what goes in comes out, to the bit; what is broken is refused by name."""

from __future__ import annotations

import os
import textwrap
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import OpenImageIO as oiio
import pytest

from bodydouble.errors import OutputError, PlateError, UsageError
from bodydouble.plates.exrscratch import write_scratch
from bodydouble.plates.images import (
    glance_at_picture,
    output_compression,
    read_headers,
    read_image,
    read_plate,
    write_image,
    write_plate,
)
from bodydouble.plates.plate import Plate
from bodydouble.plates.sequences import PlateSequence
from bodydouble.writing import atomic_path
from imagefiles import save

# Every half there is: NaNs of all payloads, infinities, denormals, -0.0.
ALL_HALVES = np.arange(65536, dtype=np.uint16).view(np.float16).reshape(256, 256)
FLOATS = np.random.default_rng(1).integers(0, 2**32, (256, 256), np.uint32).view(np.float32)
IDS = np.random.default_rng(2).integers(0, 2**32, (256, 256), np.uint32)


def bits(pixels: np.ndarray) -> bytes:
    return np.ascontiguousarray(pixels).tobytes()


def assert_same_pixels(a, b):
    assert [part.channels for part in a.parts] == [part.channels for part in b.parts]
    assert [part.formats for part in a.parts] == [part.formats for part in b.parts]
    for one, other in zip(a.parts, b.parts, strict=True):
        for name in one.channels:
            assert bits(one.channel(name)) == bits(other.channel(name)), name


def save_overscan(path: Path, **changes: object) -> Path:
    """Half RGBA, display window 20×10 at (100, 50), data window two pixels larger on each side but the right."""
    pixels = np.random.default_rng(0).random((14, 20, 4)).astype(np.float16)
    pixels[3, 3], pixels[4, 4, 1] = (np.nan, np.inf, -np.inf, 1), -3.5
    place = {"x": 98, "y": 48, "full_x": 100, "full_y": 50, "full_width": 20, "full_height": 10}
    return save(path, pixels, oiio.HALF, **place, compression="piz", shot="sh010", **changes)


@pytest.fixture
def overscan(tmp_path: Path) -> Path:
    return save_overscan(tmp_path / "overscan.1001.exr")


def test_the_picture_alone_is_that_of_the_whole_file(tmp_path: Path):
    tiles = {"tile_width": 16, "tile_height": 16}  # which are not read row by row
    overscan = save_overscan(tmp_path / "overscan.1001.exr", **tiles)
    layered = save(
        tmp_path / "layers.exr",
        np.random.default_rng(0).random((6, 9, 6)).astype(np.float32),
        oiio.FLOAT,
        channelnames=("A", "beauty.R", "beauty.G", "beauty.B", "id", "Z"),
        **tiles,
    )
    for path in (overscan, layered):
        whole, seen = read_plate(path), glance_at_picture(path)
        assert isinstance(seen, Plate)
        assert bits(seen.rgb()) == bits(whole.rgb())
        assert (seen.width, seen.height, seen.attributes) == (whole.width, whole.height, whole.attributes)
        assert set(seen.main.channels) == set(whole.picture.rgb)
    with pytest.raises(PlateError, match=r"gone\.exr"):
        glance_at_picture(tmp_path / "gone.exr")


def test_every_half_float_and_uint_bit_pattern_survives_in_one_mixed_part(tmp_path: Path):
    write_scratch(tmp_path / "in.exr", ["Z", "R", "G", "B", "id"], [FLOATS, *[ALL_HALVES] * 3, IDS])
    plate = read_plate(tmp_path / "in.exr")
    assert plate.main.formats == ("half", "half", "half", "float", "uint")
    write_plate(tmp_path / "out.exr", plate)
    back = read_plate(tmp_path / "out.exr")
    assert_same_pixels(plate, back)
    assert bits(back.main.channel("id")) == bits(IDS) and bits(back.main.channel("Z")) == bits(FLOATS)
    assert bits(back.main.channel("R")) == bits(ALL_HALVES)


@pytest.mark.parametrize(("kind", "values"), [(oiio.HALF, ALL_HALVES), (oiio.FLOAT, FLOATS), (oiio.UINT32, IDS)])
def test_every_bit_pattern_survives_in_a_part_of_one_type(tmp_path: Path, kind, values):
    source = save(tmp_path / "in.exr", np.stack([values] * 3, axis=-1), kind, compression="zip")
    plate = read_plate(source)
    write_plate(tmp_path / "out.exr", plate)
    assert bits(read_plate(tmp_path / "out.exr").main.channel("G")) == bits(values)


def test_windows_attributes_and_compression_survive(overscan: Path, tmp_path: Path):
    plate = read_plate(overscan)
    write_plate(tmp_path / "out.exr", plate)
    (before,), (after,) = read_headers(overscan), read_headers(tmp_path / "out.exr")
    assert after.data_window == before.data_window == (98, 48, 118, 62)
    assert after.display_window == before.display_window == (100, 50, 120, 60)
    assert after.compression == "piz" and before.attributes.items() <= after.attributes.items()
    assert_same_pixels(plate, read_plate(tmp_path / "out.exr"))


def test_a_mixed_part_keeps_windows_and_attributes_too(overscan: Path, tmp_path: Path):
    plate = read_plate(overscan).with_channels({"depth.Z": np.ones((10, 20), np.float32)}, format="float")
    write_plate(tmp_path / "out.exr", plate)
    back = read_plate(tmp_path / "out.exr")
    assert_same_pixels(plate, back)
    assert back.main.data_window == plate.main.data_window and back.attributes["shot"] == "sh010"


def test_channels_added_beside_ids_do_not_take_each_others_place(tmp_path: Path):
    names = ["R", "G", "B", "zebra", "id"]
    write_scratch(tmp_path / "in.exr", names, [*[ALL_HALVES] * 3, np.flip(ALL_HALVES), IDS])
    plate = read_plate(tmp_path / "in.exr").with_channels({"bodydouble.matte": np.full((256, 256), 0.5, np.float32)})
    write_plate(tmp_path / "out.exr", plate)
    back = read_plate(tmp_path / "out.exr").main
    for name in plate.main.channels:
        assert bits(back.channel(name)) == bits(plate.main.channel(name)), name


def test_tiles_survive(tmp_path: Path):
    pixels = np.random.default_rng(0).random((70, 90, 3)).astype(np.float32)
    source = save(tmp_path / "in.exr", pixels, oiio.FLOAT, tile_width=32, tile_height=16, compression="zips")
    write_plate(tmp_path / "out.exr", read_plate(source))
    assert read_headers(tmp_path / "out.exr")[0].tile == (32, 16)
    assert_same_pixels(read_plate(source), read_plate(tmp_path / "out.exr"))


def test_every_part_survives_and_the_picture_is_found_among_them(tmp_path: Path):
    path, output = tmp_path / "in.exr", oiio.ImageOutput.create("x.exr")
    specs = []
    for index, names in enumerate((("depth.Z",), ("rgba.R", "rgba.G", "rgba.B"), ("R", "G", "B"))):
        specs.append(oiio.ImageSpec(8, 6, len(names), oiio.FLOAT if index == 0 else oiio.HALF))
        specs[-1].channelnames = names
        specs[-1].attribute("oiio:subimagename", f"part{index}")
    assert output.open(str(path), tuple(specs))
    for index, spec in enumerate(specs):
        assert index == 0 or output.open(str(path), spec, "AppendSubimage")
        assert output.write_image(np.full((6, 8, spec.nchannels), index, np.float32))
    assert output.close()
    plate = read_plate(path)
    assert plate.main_index == 2 and [part.name for part in plate.parts] == ["part0", "part1", "part2"]
    write_plate(tmp_path / "out.exr", plate)
    back = read_plate(tmp_path / "out.exr")
    assert_same_pixels(plate, back)
    assert [part.name for part in back.parts] == ["part0", "part1", "part2"]


def test_a_layers_rgb_is_the_picture_when_there_is_no_plain_one(tmp_path: Path):
    names = ("beauty.R", "beauty.G", "beauty.B", "Z")
    source = save(tmp_path / "in.exr", np.ones((4, 4, 4), np.float32), oiio.FLOAT, channelnames=names)
    assert read_plate(source).picture.rgb == names[:3] and read_plate(source).picture.alpha is None


def test_a_file_without_rgb_is_refused_with_its_channels(tmp_path: Path):
    source = save(tmp_path / "in.exr", np.ones((4, 4, 1), np.float32), oiio.FLOAT, channelnames=("Z",))
    with pytest.raises(PlateError, match=r"in\.exr: no R, G, B.*Z"):
        read_plate(source).rgb()


def test_a_region_counts_from_the_display_window_and_is_black_outside_the_data(overscan: Path):
    plate = read_plate(overscan)
    stored = np.stack([plate.main.channel(name) for name in "RGB"], axis=-1).astype(np.float32)
    assert (plate.width, plate.height) == (20, 10)
    np.testing.assert_array_equal(plate.rgb((-2, -2, 18, 12)), stored)
    wide, inside = plate.rgb((-5, -5, 30, 20)), plate.inside((-5, -5, 30, 20))
    np.testing.assert_array_equal(wide[3:17, 3:23], stored)
    assert inside.sum() == 14 * 20 and inside[3:17, 3:23].all() and not wide[~inside].any()
    assert plate.rgb().shape == (10, 20, 3) and not plate.rgb((50, 50, 55, 55)).any()


def test_only_pixels_where_the_mask_holds_change(overscan: Path):
    plate = read_plate(overscan)
    where = np.zeros((6, 6), bool)
    where[2:4, 2:4] = True
    changed = plate.with_rgb((-3, -3, 3, 3), np.full((6, 6, 3), 2.5, np.float32), where)
    differs = np.zeros((14, 20), bool)
    for name in "RGB":
        before, after = plate.main.channel(name).view(np.uint16), changed.main.channel(name).view(np.uint16)
        differs |= before != after
        assert changed.main.channel(name).dtype == np.float16
    assert differs.sum() == 4 and differs[1:3, 1:3].all()
    assert (changed.main.channel("R")[1:3, 1:3] == 2.5).all()
    assert bits(changed.main.channel("A")) == bits(plate.main.channel("A"))


def test_values_beyond_half_stay_finite_and_nan_and_inf_pass(overscan: Path):
    rgb = np.array([[[1e9, -1e9, np.nan], [np.inf, -np.inf, 65520]]], np.float32)
    plate = read_plate(overscan).with_rgb((0, 0, 2, 1), rgb, np.ones((1, 2), bool))
    expected = np.array([[[65504, -65504, np.nan], [np.inf, -np.inf, 65504]]], np.float32)
    np.testing.assert_array_equal(plate.rgb((0, 0, 2, 1)), expected)


def test_a_wrong_shape_is_refused_with_both_shapes(overscan: Path):
    with pytest.raises(ValueError, match=r"\(2, 2, 3\).*\(3, 3, 3\)"):
        read_plate(overscan).with_rgb((0, 0, 2, 2), np.zeros((3, 3, 3), np.float32), np.ones((2, 2), bool))


def test_our_attributes_survive_the_file(overscan: Path, tmp_path: Path):
    ours = {"bodydouble/persona": "Zoë", "bodydouble/frame": 1001, "bodydouble/confidence": 0.25}
    write_plate(tmp_path / "out.exr", read_plate(overscan).with_attributes(ours))
    assert ours.items() <= read_plate(tmp_path / "out.exr").attributes.items()


def test_added_channels_lie_in_the_display_window_and_are_zero_outside(overscan: Path, tmp_path: Path):
    matte = np.random.default_rng(3).random((10, 20)).astype(np.float32)
    plate = read_plate(overscan).with_channels({"matte.face": matte, "swap.A": None})
    write_plate(tmp_path / "out.exr", plate)
    back = read_plate(tmp_path / "out.exr").main
    assert back.channels == ("R", "G", "B", "A", "matte.face", "swap.A") and set(back.formats) == {"half"}
    stored = back.channel("matte.face")
    np.testing.assert_array_equal(stored[2:12, 2:], matte[:, :18].astype(np.float16))
    assert not stored[:2].any() and not stored[12:].any() and not stored[:, :2].any()
    assert not back.channel("swap.A").any()


def test_a_plate_is_not_changed_by_what_is_made_from_it(overscan: Path):
    plate, before = read_plate(overscan), bits(read_plate(overscan).main.channel("R"))
    plate.with_attributes({"bodydouble/persona": "A"}).with_channels({"extra": None})
    plate.with_rgb((0, 0, 20, 10), np.zeros((10, 20, 3), np.float32), np.ones((10, 20), bool))
    assert "bodydouble/persona" not in plate.attributes and plate.main.channels == ("R", "G", "B", "A")
    assert bits(plate.main.channel("R")) == before


@pytest.mark.parametrize("compression", ["none", "rle", "zip", "zips", "piz"])
def test_a_lossless_compression_is_kept(tmp_path: Path, compression: str):
    source = save(tmp_path / "in.exr", np.ones((4, 4, 3), np.float16), oiio.HALF, compression=compression)
    assert output_compression(read_plate(source)) == (compression, "")


@pytest.mark.parametrize("compression", ["dwaa", "dwab", "b44", "b44a", "pxr24"])
def test_a_lossy_compression_becomes_zip_and_says_so(tmp_path: Path, compression: str):
    source = save(tmp_path / "in.exr", FLOATS[:32, :32, None].repeat(3, 2), oiio.FLOAT, compression=compression)
    plate = read_plate(source)
    name, note = output_compression(plate)
    assert name == "zip" and compression in note
    write_plate(tmp_path / "out.exr", plate)
    assert read_headers(tmp_path / "out.exr")[0].compression == "zip"
    assert_same_pixels(plate, read_plate(tmp_path / "out.exr"))


def test_pxr24_is_kept_where_it_loses_nothing(tmp_path: Path):
    source = save(tmp_path / "in.exr", np.stack([ALL_HALVES] * 3, axis=-1), oiio.HALF, compression="pxr24")
    write_plate(tmp_path / "out.exr", read_plate(source))
    assert read_headers(tmp_path / "out.exr")[0].compression == "pxr24"
    assert_same_pixels(read_plate(source), read_plate(tmp_path / "out.exr"))


def test_an_explicit_compression_wins_and_a_lossy_one_is_noted(overscan: Path, tmp_path: Path):
    plate = read_plate(overscan)
    assert output_compression(plate, "zips") == ("zips", "")
    assert "lossy" in output_compression(plate, "dwaa:60")[1]
    write_plate(tmp_path / "out.exr", plate, compression="dwaa:60")
    assert read_headers(tmp_path / "out.exr")[0].compression == "dwaa"


@pytest.mark.parametrize(("suffix", "kind", "scale"), [("png", np.uint8, 255), ("tif", np.uint16, 65535)])
def test_integer_pictures_are_plates_of_floats_from_0_to_1(tmp_path: Path, suffix: str, kind, scale: int):
    values = np.arange(48, dtype=kind).reshape(4, 4, 3) * (scale // 48)
    source = save(tmp_path / f"in.{suffix}", values, oiio.UINT8 if kind is np.uint8 else oiio.UINT16)
    plate = read_plate(source)
    np.testing.assert_allclose(plate.rgb(), values / scale, atol=1e-7)
    write_plate(tmp_path / "out.exr", plate)
    np.testing.assert_array_equal(read_plate(tmp_path / "out.exr").rgb(), plate.rgb())


def test_a_grey_picture_is_a_plate(tmp_path: Path):
    source = save(tmp_path / "in.png", np.full((4, 4, 1), 51, np.uint8), oiio.UINT8)
    np.testing.assert_allclose(read_plate(source).rgb(), 0.2, atol=1e-7)


def test_images_come_back_as_they_were_written(tmp_path: Path):
    pixels = np.random.default_rng(5).random((6, 5, 4)).astype(np.float32)
    pixels[0, 0], pixels[1, 1, 0] = -2.0, 7.5
    write_image(tmp_path / "f.exr", pixels, ["R", "G", "B", "matte"], {"bodydouble/size": 6}, "float", "zip")
    np.testing.assert_array_equal(read_image(tmp_path / "f.exr"), pixels)
    assert read_headers(tmp_path / "f.exr")[0].channels == ("R", "G", "B", "matte")
    write_image(tmp_path / "h.exr", pixels)
    np.testing.assert_array_equal(read_image(tmp_path / "h.exr"), pixels.astype(np.float16).astype(np.float32))


def test_a_png_is_clipped_and_rounded_to_8_bits(tmp_path: Path):
    pixels = np.array([[-1.0, 0.0, 0.2, 0.5, 1.0, 9.0, np.nan, np.inf]], np.float32)
    write_image(tmp_path / "p.png", pixels)
    assert (read_image(tmp_path / "p.png")[0, :, 0] * 255).round().tolist() == [0, 0, 51, 128, 255, 255, 0, 255]
    write_image(tmp_path / "q.png", np.full((2, 2, 3), 7, np.uint8))
    assert (read_image(tmp_path / "q.png") * 255).round().tolist() == [[[7] * 3] * 2] * 2


def test_a_missing_file_and_a_folder_are_refused_by_name(tmp_path: Path):
    with pytest.raises(PlateError, match=r"gone\.exr: no such file"):
        read_plate(tmp_path / "gone.exr")
    with pytest.raises(PlateError, match="a folder"):
        read_plate(tmp_path)


def test_a_name_that_is_not_utf_8_is_refused_in_a_sentence(overscan: Path, tmp_path: Path):
    odd = tmp_path / os.fsdecode(b"plate\xff.exr")
    odd.write_bytes(overscan.read_bytes())
    with pytest.raises(PlateError, match=r"plate.*\.exr.*not UTF-8; rename it"):
        read_plate(odd)


def test_a_file_that_is_no_image_is_refused_by_name(tmp_path: Path):
    (tmp_path / "text.exr").write_text("no image")
    (tmp_path / "empty.exr").touch()
    for name in ("text.exr", "empty.exr"):
        with pytest.raises(PlateError, match=name):
            read_plate(tmp_path / name)


@pytest.mark.parametrize("kept", [0.02, 0.3, 0.6, 0.99])
def test_a_truncated_file_is_refused_by_name(tmp_path: Path, kept: float):
    pixels = np.random.default_rng(0).random((64, 64, 3)).astype(np.float32)
    whole = save(tmp_path / "cut.exr", pixels, oiio.FLOAT, compression="zip").read_bytes()
    (tmp_path / "cut.exr").write_bytes(whole[: int(len(whole) * kept)])
    with pytest.raises(PlateError, match=r"cut\.exr"):
        read_plate(tmp_path / "cut.exr")


def test_a_header_that_claims_far_more_than_the_file_can_hold_is_refused(tmp_path: Path):
    write_scratch(tmp_path / "bomb.exr", ["R", "G", "B"], [np.zeros((4, 4), np.float16)] * 3)
    data = (tmp_path / "bomb.exr").read_bytes()
    small, large = np.array([0, 0, 3, 3], "<i4").tobytes(), np.array([0, 0, 9999, 9999], "<i4").tobytes()
    (tmp_path / "bomb.exr").write_bytes(data.replace(small, large))
    with pytest.raises(PlateError, match="claims"):
        read_plate(tmp_path / "bomb.exr")


def test_the_plate_itself_is_never_overwritten(overscan: Path, tmp_path: Path):
    plate, before = read_plate(overscan), overscan.read_bytes()
    os.link(overscan, tmp_path / "link.exr")
    for path in (overscan, tmp_path / "link.exr"):
        with pytest.raises(UsageError, match="the plate itself"):
            write_plate(path, plate)
    with pytest.raises(UsageError, match="EXR"):
        write_plate(tmp_path / "out.png", plate)
    assert overscan.read_bytes() == before


def test_a_failed_write_leaves_no_file_and_names_the_path(overscan: Path, tmp_path: Path):
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match=r"out\.exr"):
        write_plate(tmp_path / "file" / "out.exr", read_plate(overscan))
    (tmp_path / "out.exr").mkdir()
    with pytest.raises(OutputError, match=r"out\.exr.*directory"):
        write_plate(tmp_path / "out.exr", read_plate(overscan))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "out.exr", "overscan.1001.exr"]


def test_a_write_that_runs_out_of_room_leaves_the_old_file_and_no_temporary(tmp_path: Path, python):
    program = """
        import resource, sys
        import numpy as np
        from bodydouble.errors import OutputError
        from bodydouble.plates.images import write_image
        resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
        noise = np.random.default_rng(0).random((200, 200, 3)).astype(np.float32)
        try:
            write_image(sys.argv[1], noise, format="float", compression="none")
        except OutputError as error:
            sys.exit(7 if sys.argv[1] in str(error) else 8)
    """
    path = tmp_path / "crop.exr"
    path.write_bytes(b"old")
    result = python("-c", textwrap.dedent(program), path)
    assert result.returncode == 7, result.stderr
    assert [entry.name for entry in tmp_path.iterdir()] == ["crop.exr"] and path.read_bytes() == b"old"


def test_threads_read_and_write_at_once(overscan: Path, tmp_path: Path):
    def copy(index: int) -> None:
        write_plate(tmp_path / f"{index}.exr", read_plate(overscan).with_channels({"z": None}, format="float"))

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(copy, range(12)))
    for index in range(12):
        assert bits(read_plate(tmp_path / f"{index}.exr").main.channel("R")) == bits(
            read_plate(overscan).main.channel("R")
        )


CONFORMANCE = Path(__file__).parent.parent / "benchmarks" / "exr_conformance.py"


def test_odd_but_valid_files_come_back_bit_identical_or_are_refused_by_name(shared: Path, python):
    result = python(CONFORMANCE, "valid", timeout=300)
    assert result.returncode == 0, result.stdout + result.stderr
    refused = [line for line in result.stdout.splitlines() if " refused: " in line]
    assert len(refused) == 4 and sum("subsampled" in line for line in refused) == 3 and "flatten" in refused[-1]
    assert "valid: 65 identical, 18 identical but for its compression, which is said, 4 refused" in result.stdout


def test_damaged_files_end_in_a_short_error_or_a_good_read_through_the_real_commands(shared: Path, python):
    result = python(CONFORMANCE, "damaged", "--every", "24", timeout=300)
    assert result.returncode == 0 and "damaged: 0 faults in 24 runs" in result.stdout, result.stdout + result.stderr


def test_a_picture_of_whole_numbers_is_refused(tmp_path: Path):
    write_scratch(tmp_path / "ids.exr", ["R", "G", "B"], [IDS] * 3)
    with pytest.raises(PlateError, match=r"ids\.exr: R, G, B hold whole numbers"):
        read_plate(tmp_path / "ids.exr").rgb()


@pytest.mark.parametrize("name", ["foo", "zipp", "dwaa:x", "dwaa:-1"])
def test_a_compression_that_exr_does_not_have_is_refused(overscan: Path, tmp_path: Path, name: str):
    with pytest.raises(UsageError, match="compression"):
        write_plate(tmp_path / "out.exr", read_plate(overscan), compression=name)


def test_a_texture_of_several_resolutions_is_refused_with_the_way_out(tmp_path: Path):
    image = oiio.ImageBuf(oiio.ImageSpec(64, 64, 3, oiio.HALF))
    assert oiio.ImageBufAlgo.make_texture(oiio.MakeTxTexture, image, str(tmp_path / "mip.exr"))
    with pytest.raises(PlateError, match=r"mip\.exr: part 1 is a texture of several resolutions.*oiiotool"):
        read_plate(tmp_path / "mip.exr")


def test_while_a_frame_is_written_nothing_in_the_folder_looks_like_a_frame(tmp_path: Path):
    with atomic_path(tmp_path / "plate.1001.exr") as temporary:
        temporary.write_bytes(b"half")
        assert temporary.parent == tmp_path and temporary.suffix == ".tmp" and temporary.name.startswith(".")
        with pytest.raises(PlateError, match="no image sequence"):
            PlateSequence.find(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["plate.1001.exr"]
