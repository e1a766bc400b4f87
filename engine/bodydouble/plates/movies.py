"""Frames of QuickTime and MP4 files, and review movies: the only module that imports PyAV, the optional extra `movie`.

Frames are numbered from 1. R'G'B' is computed here from the decoder's own Y'CbCr in float32, so ten and twelve bits
stay what they are, and whites above and blacks below the legal range are kept. The matrix and the range come from the
stream's tags; where it has none, from its size: BT.709 from 720 lines on, BT.601 below (ITU-R BT.601-7, BT.709-6,
BT.2020-2).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from bodydouble.errors import InputError, OutputError, PlateError, how_to_install
from bodydouble.writing import atomic_path

# By the numbers of ITU-T H.273: matrix coefficients -> Kr, Kb.
KR_KB = {1: (0.2126, 0.0722), 5: (0.299, 0.114), 6: (0.299, 0.114), 9: (0.2627, 0.0593)}
RGB_MATRIX, UNSPECIFIED, FULL_RANGE = 0, 2, 2
HD_LINES = 720
# (transfer, primaries) -> Color Interop Forum's name. Video that is graded for a monitor is decoded as that monitor
# shows it, by BT.1886: a power of 2.4.
SPACES = {
    (1, 1): "g24_rec709_scene", (6, 1): "g24_rec709_scene", (4, 1): "g22_rec709_scene", (13, 1): "srgb_rec709_scene",
    (8, 1): "lin_rec709_scene", (13, 12): "srgb_p3d65_scene", (8, 12): "lin_p3d65_scene", (8, 9): "lin_rec2020_scene",
}  # fmt: skip
ASSUMED_SPACE = "g24_rec709_scene"
ONE_THREAD = 1
"""The libraries' converter gives other pixels now and then, where its threads meet, when it has several."""
VARIABLE_RATE = "a variable frame rate. Conform it, or convert it to EXR frames"
MISSING = f"movies need PyAV. Install it with: {how_to_install('movie')}"
Codec = Literal["h264", "prores"]
# Encoder, pixel format, options. H.264: what every browser and phone plays, at a quality where its own loss is not what
# one sees. ProRes: 422 HQ.
ENCODERS: dict[Codec, tuple[str, str, dict[str, str]]] = {
    "h264": ("libx264", "yuv420p", {"crf": "16", "preset": "medium"}),
    "prores": ("prores_ks", "yuv422p10le", {"profile": "hq", "vendor": "apl0"}),
}
MOVIE_SUFFIX: dict[Codec, str] = {"h264": ".mp4", "prores": ".mov"}
_MUXING = {"movflags": "+faststart"}
_BT709, _LEGAL = 1, 1


@dataclass(frozen=True)
class Movie:
    """What a movie file says of itself.

    Attributes:
        frames: how many.
        rate: frames per second.
        width, height: of the picture, in pixels.
        pixel_aspect: width of a pixel over its height.
        codec, pixel_format: FFmpeg's names.
        space: the Color Interop Forum's name of its colour space; "" where its tags name one that has no such name.
        tagged: False where the tags say nothing and `space` is assumed.
    """

    frames: int
    rate: Fraction
    width: int
    height: int
    pixel_aspect: float
    codec: str
    pixel_format: str
    space: str
    tagged: bool


def read_movie(path: str | Path) -> Movie:
    """What a movie is. Errors: PlateError for a missing or damaged file, a variable frame rate, or PyAV missing."""
    with _opened(Path(path)) as container:
        stream = _video(container, Path(path))
        context = stream.codec_context
        rate = Fraction(stream.average_rate or stream.base_rate or 24)
        seconds = float(stream.duration * stream.time_base) if stream.duration else (container.duration or 0) / 1e6
        frames = stream.frames or round(seconds * rate)
        if frames < 1:
            raise PlateError(f"{path}: has no frames.")
        if stream.frames and abs(seconds * rate - frames) > 1.5:
            raise PlateError(f"{path}: has {VARIABLE_RATE}.")
        space, tagged = _space(int(context.color_trc), int(context.color_primaries))
        aspect = float(stream.sample_aspect_ratio or 1)
        return Movie(frames, rate, context.width, context.height, aspect, context.name, context.pix_fmt, space, tagged)


def read_movie_frame(path: str | Path, frame: int) -> NDArray[np.float32]:
    """H×W×3 or H×W×4 float32 R'G'B'(A) of a frame, from 1, in the movie's own encoding: nominally 0 to 1, not clipped.

    Errors: PlateError for a frame that is not there or cannot be decoded.
    """
    with _opened(Path(path)) as container:
        stream = _video(container, Path(path))
        stream.thread_type = "AUTO"
        rate = Fraction(stream.average_rate or stream.base_rate or 24)
        one = Fraction(1) / rate / stream.time_base
        target = (stream.start_time or 0) + (frame - 1) * one
        try:
            container.seek(int(target), stream=stream, backward=True)
            for decoded in container.decode(stream):
                if decoded.pts is not None and decoded.pts > target - one / 2:
                    if decoded.pts > target + one / 2:
                        raise PlateError(f"{path}: has no picture at the time of frame {frame}: {VARIABLE_RATE}.")
                    return _rgb(decoded)
        except (OSError, ValueError) as error:
            raise PlateError(f"{path}: frame {frame} cannot be decoded ({error}).") from error
    raise PlateError(f"{path}: there is no frame {frame}.")


def check_movies(codec: Codec) -> None:
    """Raises InputError where movies cannot be written: PyAV is missing, or has no such encoder."""
    try:
        import av
    except ImportError as error:
        raise InputError(f"{MISSING}.") from error
    try:
        av.Codec(ENCODERS[codec][0], "w")
    except ValueError as error:  # UnknownCodecError
        raise InputError(f"this PyAV has no {ENCODERS[codec][0]} encoder; install PyAV's own wheel.") from error


@contextmanager
def movie_writer(path: Path, rate: Fraction, codec: Codec) -> Iterator[Callable[[NDArray[np.float32]], None]]:
    """A function that appends a picture to a new movie, which is there, whole, when the block ends well.

    Pictures are H×W×3 display code values in [0, 1], of one size, both sides even. They are written as BT.709 in legal
    range and tagged so (1-1-1): players then show code values as they are. The same pictures give the same bytes.

    Errors: InputError, see `check_movies`; OutputError when it cannot be written.
    """
    check_movies(codec)
    import av

    name, layout, options = ENCODERS[codec]
    container_format = MOVIE_SUFFIX[codec].removeprefix(".")
    with atomic_path(path) as temporary:
        with _writing(path):
            container = av.open(str(temporary), "w", format=container_format, options=_MUXING)
        with container:
            stream: Any = container.add_stream(name, rate=rate, options=options)
            stream.pix_fmt = layout
            _tag(stream.codec_context)

            def append(picture: NDArray[np.float32]) -> None:
                if not stream.codec_context.is_open:
                    stream.height, stream.width = picture.shape[:2]
                whole = np.ascontiguousarray(np.round(np.clip(picture, 0, 1) * 65535).astype(np.uint16))
                frame = av.VideoFrame.from_ndarray(whole, format="rgb48le")
                with _writing(path):
                    coded = frame.reformat(
                        format=layout, dst_colorspace=_BT709, dst_color_range=_LEGAL, threads=ONE_THREAD
                    )
                    container.mux(stream.encode(coded))

            yield append
            with _writing(path):
                container.mux(stream.encode(None))


@contextmanager
def _writing(path: Path) -> Iterator[None]:
    try:
        yield
    except (OSError, ValueError) as error:  # av.FFmpegError is either
        raise OutputError(f"{path}: the movie cannot be written ({error}).") from error


def _tag(context: Any) -> None:
    context.thread_count = ONE_THREAD
    context.color_primaries = context.color_trc = context.colorspace = _BT709
    context.color_range = _LEGAL


def _opened(path: Path) -> Any:
    try:
        import av
    except ImportError as error:
        raise PlateError(f"{path}: {MISSING}, or convert the movie to EXR frames.") from error
    if not path.is_file():
        raise PlateError(f"{path}: no such file.")
    try:
        return av.open(str(path))
    except (OSError, ValueError) as error:  # av.FFmpegError is either
        raise PlateError(f"{path}: cannot be read as a movie ({error}).") from error


def _video(container: Any, path: Path) -> Any:
    if not container.streams.video:
        raise PlateError(f"{path}: has no picture.")
    return container.streams.video[0]


def _space(transfer: int, primaries: int) -> tuple[str, bool]:
    if transfer == UNSPECIFIED:
        return ASSUMED_SPACE, False
    return SPACES.get((transfer, 1 if primaries == UNSPECIFIED else primaries), ""), True


def _rgb(frame: Any) -> NDArray[np.float32]:
    """R'G'B'(A) of a decoded frame."""
    names = {component.is_alpha for component in frame.format.components}
    alpha = True in names
    matrix = int(frame.colorspace)
    if frame.format.is_rgb or matrix == RGB_MATRIX:
        whole = frame.reformat(format="rgba64le" if alpha else "rgb48le", threads=ONE_THREAD).to_ndarray()
        return (whole / np.float32(65535)).astype(np.float32)
    # Only the chroma is enlarged here; matrix and range stay the stream's.
    layout = "yuva444p16le" if alpha else "yuv444p16le"
    planes = frame.reformat(format=layout, dst_colorspace=frame.colorspace, threads=ONE_THREAD)
    luma, blue, red, *rest = (_plane(plane, frame.width, frame.height) for plane in planes.planes)
    if int(frame.color_range) == FULL_RANGE or frame.format.name.startswith("yuvj"):
        y, cb, cr = luma / 65535, blue / 65535 - np.float32(0.5), red / 65535 - np.float32(0.5)
    else:
        y, cb, cr = (luma / 256 - 16) / 219, (blue / 256 - 128) / 224, (red / 256 - 128) / 224
    kr, kb = KR_KB.get(matrix, KR_KB[1] if frame.height >= HD_LINES else KR_KB[6])
    r, b = y + (2 - 2 * kr) * cr, y + (2 - 2 * kb) * cb
    g = (y - kr * r - kb * b) / (1 - kr - kb)
    return np.stack([r, g, b, *(plane / 65535 for plane in rest)], axis=-1).astype(np.float32)


def _plane(plane: Any, width: int, height: int) -> NDArray[np.float32]:
    samples = np.frombuffer(plane, "<u2").reshape(-1, plane.line_size // 2)
    return samples[:height, :width].astype(np.float32)
