"""Movies as plates."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from bodydouble.errors import PlateError, UnknownColourSpaceError, UsageError
from bodydouble.plates.colour import Colour
from bodydouble.plates.images import read_plate, write_plate
from bodydouble.plates.movies import read_movie, read_movie_frame
from bodydouble.plates.reading import colour_notice, find_plate, find_space, read_frame

av = pytest.importorskip("av", reason="PyAV is the optional extra 'movie'")

WIDTH, HEIGHT, COUNT = 64, 48, 20
BT709, UNTAGGED, SRGB, PQ = (1, 1, 1), (2, 2, 2), (1, 13, 1), (9, 16, 9)


def colour_of(frame: int) -> np.ndarray:
    return np.array([0.2 + 0.02 * frame, 0.5, 0.3])


def make(
    path: Path, codec: str, pixel_format: str, tags: tuple[int, int, int] = BT709, late: Sequence[float] = ()
) -> Path:
    """Twenty frames of one flat colour each. tags: primaries, transfer, matrix, by ITU-T H.273. late: by how much each
    frame is, in frames; none for not at all.
    """
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=24)
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, pixel_format
        context = stream.codec_context
        if late:
            context.time_base = Fraction(1, 24000)
        context.color_primaries, context.color_trc, context.colorspace = tags
        for index in range(COUNT):
            rgb = np.empty((HEIGHT, WIDTH, 3), np.uint16)
            rgb[:] = np.rint(colour_of(index + 1) * 65535)
            frame = av.VideoFrame.from_ndarray(rgb, format="rgb48le")
            frame.pts = index
            if late:
                frame.pts, frame.time_base = round(1000 * (index + late[index])), Fraction(1, 24000)
            matrix = tags[2] if tags[2] == 1 else None
            container.mux(stream.encode(frame.reformat(format=pixel_format, dst_colorspace=matrix)))
        container.mux(stream.encode(None))
    return path


@pytest.mark.parametrize(
    ("name", "codec", "pixel_format", "tolerance"),
    [
        ("prores.mov", "prores_ks", "yuv422p10le", 0.005),
        ("prores4444.mov", "prores_ks", "yuva444p10le", 0.005),
        ("h264.mp4", "libx264", "yuv420p", 0.01),
        ("rgb.mov", "png", "rgb24", 0.003),
    ],
)
@pytest.mark.parametrize("tags", [BT709, UNTAGGED])
def test_every_frame_is_found_from_anywhere_and_has_its_colour(
    tmp_path: Path, name: str, codec: str, pixel_format: str, tolerance: float, tags: tuple[int, int, int]
):
    path = make(tmp_path / name, codec, pixel_format, tags)
    plate = find_plate(path)
    assert plate.frames == tuple(range(1, COUNT + 1)) and plate.is_movie
    for frame in (20, 1, 2, 13):
        rgb = read_frame(plate, frame).rgb()
        assert rgb.shape == (HEIGHT, WIDTH, 3)
        np.testing.assert_allclose(rgb[8:-8, 8:-8].mean(axis=(0, 1)), colour_of(frame), atol=tolerance)


def test_every_ten_bit_code_keeps_its_own_value_also_outside_the_legal_range(tmp_path: Path):
    codes, neutral = np.tile(np.arange(1024, dtype=np.uint16), (16, 1)), np.full((16, 512), 512, np.uint16)
    with av.open(str(tmp_path / "ramp.mkv"), "w") as container:
        stream = container.add_stream("ffv1", rate=24)  # lossless
        stream.width, stream.height, stream.pix_fmt = 1024, 16, "yuv422p10le"
        frame = av.VideoFrame(1024, 16, "yuv422p10le")
        for plane, values in zip(frame.planes, (codes, neutral, neutral), strict=True):
            padded = np.zeros((16, plane.line_size // 2), np.uint16)
            padded[:, : values.shape[1]] = values
            plane.update(padded.tobytes())
        frame.pts = 0
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    rgb = read_movie_frame(tmp_path / "ramp.mkv", 1)
    expected = (np.arange(1024) - 64) / 876
    np.testing.assert_allclose(rgb[8], np.repeat(expected[:, None], 3, axis=1), atol=1e-5)


def test_alpha_comes_along(tmp_path: Path):
    plate = read_frame(find_plate(make(tmp_path / "a.mov", "prores_ks", "yuva444p10le")), 1)
    assert plate.picture.alpha == "A" and np.allclose(plate.alpha(), 1)


def test_a_frame_that_is_not_there_is_refused(tmp_path: Path):
    path = make(tmp_path / "a.mov", "prores_ks", "yuv422p10le")
    with pytest.raises(PlateError, match=r"a\.mov: there is no frame 21"):
        read_movie_frame(path, COUNT + 1)


def test_a_frame_between_the_times_of_a_variable_rate_is_told_as_that(tmp_path: Path):
    late = [0.8 if index in (9, 10) else 0.0 for index in range(COUNT)]
    path = make(tmp_path / "phone.mp4", "libx264", "yuv420p", late=late)
    assert read_movie(path).frames == COUNT
    with pytest.raises(PlateError, match=r"phone\.mp4: has no picture at the time of frame 10: a variable frame rate"):
        read_movie_frame(path, 10)
    rgb = read_movie_frame(path, 9)
    np.testing.assert_allclose(rgb[8:-8, 8:-8].mean(axis=(0, 1)), colour_of(9), atol=0.02)


def test_the_tags_name_the_colour_space_and_an_untagged_one_is_assumed_with_a_notice(tmp_path: Path):
    colour = Colour("ocio://studio-config-latest")
    named = {}
    for name, tags in (("video", BT709), ("screen", SRGB), ("untagged", UNTAGGED)):
        plate = find_plate(make(tmp_path / f"{name}.mov", "prores_ks", "yuv422p10le", tags))
        named[name] = find_space(plate, 1, colour).name
        notice = colour_notice(plate, 1, colour)
        assert (notice is None) == (name != "untagged")
        assert colour.space_of(read_frame(plate, 1).attributes, plate.path(1)) == named[name]
    assert named["screen"] == "sRGB Encoded Rec.709 (sRGB)"
    assert named["video"] == named["untagged"] == "Gamma 2.4 Encoded Rec.709"
    plate = find_plate(make(tmp_path / "pq.mov", "prores_ks", "yuv422p10le", PQ))
    with pytest.raises(UnknownColourSpaceError, match="--colorspace"):
        find_space(plate, 1, colour)


def test_a_frame_is_written_as_exr_that_says_its_colour_space(tmp_path: Path):
    plate = find_plate(make(tmp_path / "a.mov", "prores_ks", "yuv422p10le", SRGB))
    write_plate(tmp_path / "out.exr", read_frame(plate, 3))
    back = read_plate(tmp_path / "out.exr")
    np.testing.assert_array_equal(back.rgb(), read_frame(plate, 3).rgb())
    assert Colour().space_of(back.attributes, back.path) == "sRGB Encoded Rec.709 (sRGB)"


def test_what_is_no_movie_is_refused_by_name(tmp_path: Path):
    (tmp_path / "text.mov").write_text("no movie")
    for path in (tmp_path / "text.mov", tmp_path / "gone.mp4"):
        with pytest.raises(PlateError, match=path.name):
            find_plate(path)
    with pytest.raises(UsageError, match="one picture"):
        find_plate(tmp_path / "text.mov", view="left")


def test_without_pyav_the_error_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    path = make(tmp_path / "a.mov", "prores_ks", "yuv422p10le")
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(PlateError, match=r"a\.mov.*pip install .*\[movie\]"):
        read_movie(path)


def test_a_frame_read_many_times_is_the_same_to_the_bit(tmp_path: Path) -> None:
    path = tmp_path / "odd.mov"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("prores_ks", rate=24)
        stream.width, stream.height, stream.pix_fmt = 72, 60, "yuv422p10le"
        frame = av.VideoFrame.from_ndarray(np.full((60, 72, 3), 25000, np.uint16), format="rgb48le")
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    first, *others = [read_movie_frame(path, 1) for _ in range(16)]
    assert all(np.array_equal(first, other) for other in others)
