"""Plates of every kind, found, read and swapped."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import OpenImageIO as oiio
import pytest

from bodydouble.alignment.shotfaces import ShotFaces
from bodydouble.errors import PlateError, UnknownColourSpaceError, UsageError
from bodydouble.plates.colour import Colour
from bodydouble.plates.images import read_headers, read_plate, write_image
from bodydouble.plates.reading import chosen, colour_notice, find_plate, find_space, main_header, read_frame
from bodydouble.plates.sequences import PlateSequence
from bodydouble.settings import SwapSettings
from bodydouble.swap.swapping import swap_sequence
from tiny import face_at, tiny_comb

WIDTH, HEIGHT = 72, 60


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_comb(tmp_path_factory.mktemp("model") / "tiny.comb")


@pytest.fixture(scope="module")
def colour() -> Colour:
    return Colour("ocio://studio-config-latest")


@pytest.fixture
def stereo(tmp_path: Path) -> Path:
    """Two views and a depth, a part each, of different types and compressions."""
    parts = (("left", "RGB", oiio.HALF, "piz"), ("right", "RGB", oiio.FLOAT, "zips"), ("depth", "Z", oiio.FLOAT, "zip"))
    specs = []
    for view, names, kind, compression in parts:
        spec = oiio.ImageSpec(WIDTH, HEIGHT, len(names), kind)
        spec.channelnames = tuple(names)
        spec.attribute("oiio:subimagename", view)
        spec.attribute("compression", compression)
        spec.attribute("colorInteropID", "lin_ap1_scene")
        if view != "depth":
            spec.attribute("view", view)
        specs.append(spec)
    output = oiio.ImageOutput.create("openexr")
    path = tmp_path / "stereo.0001.exr"
    assert output.open(str(path), tuple(specs))
    random = np.random.default_rng(0)
    for index, spec in enumerate(specs):
        assert index == 0 or output.open(str(path), spec, "AppendSubimage")
        assert output.write_image(random.uniform(0.1, 0.9, (HEIGHT, WIDTH, spec.nchannels)).astype(np.float32))
    assert output.close()
    return path


def swap(plate: PlateSequence, out: PlateSequence, model: Path, colour: Colour, space: str | None = None) -> None:
    shot = ShotFaces(plate.pattern, WIDTH, HEIGHT, {frame: (face_at(36, 30, 40),) for frame in plate.frames})
    settings = SwapSettings(layers=True)
    results = list(
        swap_sequence(plate, out, model, "anna", shot, plate.frames[:2], colour, space, settings, device="cpu")
    )
    assert all(result.status == "done" for result in results), results


def test_the_view_asked_for_is_swapped_and_every_other_part_is_carried_through(
    stereo: Path, model: Path, colour: Colour, tmp_path: Path
):
    right = find_plate(stereo, view="right")
    out = PlateSequence.output(tmp_path / "out" / "one.exr", like=right)
    swap(right, out, model, colour)
    before, after = read_plate(stereo), read_plate(out.path(1))
    assert [part.name for part in after.parts] == ["left", "right", "depth"]
    assert [part.compression for part in after.parts] == ["piz", "zips", "zip"]
    for index in (0, 2):
        for name in before.parts[index].channels:
            assert before.parts[index].channel(name).tobytes() == after.parts[index].channel(name).tobytes()
        assert before.parts[index].raw == after.parts[index].raw
    assert (before.parts[1].channel("R") != after.parts[1].channel("R")).any()
    # Then the other view, with the first result as its plate.
    left = find_plate(out.path(1), part="left")
    both = PlateSequence.output(tmp_path / "both" / "two.exr", like=left)
    swap(left, both, model, colour)
    last = read_plate(both.path(1))
    assert last.parts[1].channel("R").tobytes() == after.parts[1].channel("R").tobytes()
    assert (last.parts[0].channel("R") != before.parts[0].channel("R")).any()
    assert all("bodydouble/job" in header.attributes for header in read_headers(both.path(1))[:2])


def test_a_part_or_view_that_is_not_there_is_refused_before_pixels_are_used(stereo: Path):
    with pytest.raises(UsageError, match=r"stereo\.0001\.exr: there is no view middle; views: left, right"):
        read_frame(find_plate(stereo, view="middle"), 1)
    with pytest.raises(PlateError, match="no R, G, B"):
        read_frame(find_plate(stereo, part="depth"), 1)


def test_finished_frames_are_read_with_the_choice_of_their_plate(stereo: Path):
    plate = find_plate(stereo, view="right")
    assert main_header(chosen(find_plate(stereo), plate), 1).name == "right" == main_header(plate, 1).name


def save(path: Path, kind: oiio.TypeDesc, bits: int = 0) -> Path:
    spec = oiio.ImageSpec(WIDTH, HEIGHT, 3, kind)
    if bits:
        spec.attribute("oiio:BitsPerSample", bits)
    output = oiio.ImageOutput.create(str(path))
    pixels = np.random.default_rng(0).uniform(0.1, 0.9, (HEIGHT, WIDTH, 3)).astype(np.float32)
    assert output.open(str(path), spec) and output.write_image(pixels) and output.close()
    return path


FORMATS = {
    "a.png": (oiio.UINT8, 0), "b.png": (oiio.UINT16, 0), "a.tif": (oiio.UINT8, 0), "b.tif": (oiio.UINT16, 0),
    "c.tif": (oiio.FLOAT, 0), "a.jpg": (oiio.UINT8, 0), "a.dpx": (oiio.UINT16, 10), "b.dpx": (oiio.UINT16, 16),
}  # fmt: skip


@pytest.mark.parametrize("name", FORMATS)
def test_pictures_of_other_formats_are_plates_that_become_exr_in_their_own_encoding(
    model: Path, colour: Colour, tmp_path: Path, name: str
):
    plate = find_plate(save(tmp_path / name, *FORMATS[name]))
    out = PlateSequence.output(tmp_path / "out", like=plate)
    space = "ARRI LogC3 (EI800)" if name.endswith("dpx") else None
    swap(plate, out, model, colour, space)
    before, after = read_plate(plate.path(1)), read_plate(out.path(1))
    matte = after.main.channel("bodydouble.matte")
    assert out.path(1).suffix == ".exr" and matte.any()
    np.testing.assert_array_equal(before.rgb()[matte == 0], after.rgb()[matte == 0])
    assert (before.rgb()[matte > 0] != after.rgb()[matte > 0]).any()
    assert find_space(out, 1, colour).name == (space or find_space(plate, 1, colour).name)


def test_a_dpx_plate_must_be_told_its_space(colour: Colour, tmp_path: Path):
    plate = find_plate(save(tmp_path / "a.dpx", oiio.UINT16, 10))
    with pytest.raises(UnknownColourSpaceError, match=r"a\.dpx: a DPX file does not say.*--colorspace"):
        colour_notice(plate, 1, colour)


def test_an_untagged_plate_gives_a_notice_and_a_tagged_one_none(colour: Colour, tmp_path: Path):
    write_image(tmp_path / "a.exr", np.ones((4, 4, 3), np.float32))
    write_image(tmp_path / "b.exr", np.ones((4, 4, 3), np.float32), attributes={"colorInteropID": "lin_ap1_scene"})
    notice = colour_notice(find_plate(tmp_path / "a.exr"), 1, colour)
    assert notice is not None and "a.exr does not say its colour space; taken as ACES2065-1" in notice
    assert colour_notice(find_plate(tmp_path / "b.exr"), 1, colour) is None


def test_a_movie_is_swapped_frame_by_frame_into_numbered_exr(model: Path, colour: Colour, tmp_path: Path):
    av = pytest.importorskip("av", reason="PyAV is the optional extra 'movie'")
    with av.open(str(tmp_path / "take.mov"), "w") as container:
        stream = container.add_stream("prores_ks", rate=24)
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv422p10le"
        for index in range(3):
            rgb = np.full((HEIGHT, WIDTH, 3), 20000 + 5000 * index, np.uint16)
            frame = av.VideoFrame.from_ndarray(rgb, format="rgb48le")
            frame.pts = index
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    plate = find_plate(tmp_path / "take.mov")
    out = PlateSequence.output(tmp_path / "out", like=plate)
    swap(plate, out, model, colour)
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["take.0001.exr", "take.0002.exr"]
    result = read_plate(out.path(2))
    matte = result.main.channel("bodydouble.matte")
    np.testing.assert_array_equal(result.rgb()[matte == 0], read_frame(plate, 2).rgb()[matte == 0])


@pytest.mark.parametrize("empty", ["", " "])
def test_an_empty_path_is_not_the_current_folder(empty: str):
    with pytest.raises(UsageError, match="path is empty"):
        find_plate(empty)
