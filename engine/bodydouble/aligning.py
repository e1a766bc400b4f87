"""Align a shot: find the faces of every frame, keep people apart over time, steady their landmarks.

Two steps: `align_frames` measures each frame (the slow part, one frame after the other), `solve_shot` makes one
picture of the whole shot out of the measurements. `align_shot` is both.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

import bodydouble
from bodydouble.faces import FaceFinder
from bodydouble.images import read_plate
from bodydouble.settings import AlignSettings
from bodydouble.shotfaces import Face, ShotFaces

if TYPE_CHECKING:
    from bodydouble.colour import Colour
    from bodydouble.sequences import PlateSequence

WORKING_SPACE = "ACEScg"


@dataclass(frozen=True, eq=False)
class FoundFace:
    """One face as measured in one frame, in plate pixels; `spread` of the nine predictions, in box widths."""

    box_px: NDArray[np.float64]
    landmarks_px: NDArray[np.float64]
    score: float | None
    spread: float


@dataclass(frozen=True, eq=False)
class FrameDetections:
    """The faces of one frame, best score first; the display window's size; how long it took."""

    frame: int
    faces: tuple[FoundFace, ...]
    seconds: float
    width: int
    height: int


def align_shot(
    plate: PlateSequence,
    frames: Sequence[int],
    colour: Colour,
    colorspace: str | None,
    settings: AlignSettings,
    on_frame: Callable[[FrameDetections], None] | None = None,
) -> ShotFaces:
    """The shot faces of a plate. `colorspace` None: taken from the files. `on_frame` hears of each measured frame.

    Raises PlateError for a frame that is missing or cannot be read.
    """
    measured = []
    for found in align_frames(plate, frames, colour, colorspace, settings):
        measured.append(found)
        if on_frame is not None:
            on_frame(found)
    return solve_shot(plate.pattern, measured, settings)


def align_frames(
    plate: PlateSequence, frames: Sequence[int], colour: Colour, colorspace: str | None, settings: AlignSettings
) -> Iterator[FrameDetections]:
    """Measure each frame in turn: detect, nine-fold landmarks. Raises PlateError as `align_shot`."""
    finder = FaceFinder()
    for frame in frames:
        started = time.perf_counter()
        path = plate.path(frame)
        picture = read_plate(path)
        space = colorspace or colour.space_of(picture.attributes, path)
        image = to_detection_image(colour.converter(space, WORKING_SPACE)(picture.rgb()))
        faces = tuple(measure_faces(finder, image, settings))
        height, width = image.shape[:2]
        yield FrameDetections(frame, faces, time.perf_counter() - started, width, height)


def measure_faces(finder: FaceFinder, image_u8: NDArray[np.uint8], settings: AlignSettings) -> Iterator[FoundFace]:
    """Every face of one display-encoded H×W×3 picture."""
    for found in finder.detect(image_u8, settings.upsample, settings.detect_size, settings.threshold):
        marks = finder.stabilised_landmarks(image_u8, found.box_px, settings.beta)
        yield FoundFace(found.box_px, marks.points_px, found.score, marks.spread)


def to_detection_image(rgb: NDArray[np.float32]) -> NDArray[np.uint8]:
    """What the detector sees of a scene-linear H×W×3 picture: H×W×3 uint8, exposed and display-encoded.

    The exposure brings the picture's median luminance to mid grey, at most four stops either way, so that a face in
    a dark or an over-bright plate has contrast; a shoulder keeps highlights apart. NaN and Inf count as black and
    bright.
    """
    clean = np.clip(np.nan_to_num(rgb, nan=0.0, posinf=65504.0, neginf=0.0), 0.0, 65504.0)
    luminance = clean @ np.array([0.2722, 0.6741, 0.0537], np.float32)  # ACEScg
    visible = luminance[luminance > 1e-4]
    middle = float(np.median(visible)) if visible.size else 0.18
    exposed = clean * np.float32(np.clip(0.18 / middle, 1 / 16, 16))
    shown = np.where(exposed <= 0.5, exposed, 1.0 - 0.5 * np.exp(1.0 - 2.0 * exposed))  # C1 at one half, below 1
    encoded = np.where(shown <= 0.0031308, 12.92 * shown, 1.055 * np.maximum(shown, 1e-6) ** (1 / 2.4) - 0.055)
    return np.rint(encoded * 255).astype(np.uint8)


def solve_shot(pattern: str, measured: Iterable[FrameDetections], settings: AlignSettings) -> ShotFaces:
    """Make the measurements of all frames into shot faces: stable people, bridged gaps, steady alignment."""
    measured = sorted(measured, key=lambda found: found.frame)
    frames = {
        found.frame: tuple(
            Face(face.box_px, face.landmarks_px, face.score, confidence(face.score, face.spread), person)
            for person, face in enumerate(found.faces)
        )
        for found in measured
    }
    width, height = (measured[0].width, measured[0].height) if measured else (0, 0)
    tool = f"bodydouble {bodydouble.__version__}"
    return ShotFaces(pattern, width, height, frames, settings=asdict(settings), tool=tool)


def confidence(score: float | None, spread: float) -> float:
    """How far landmarks can be trusted, 0..1, from the detector's score and the spread of the nine (box widths)."""
    seen = 0.5 if score is None else float(np.clip(0.5 + score, 0.0, 1.0))
    agreed = float(np.clip((0.02 - spread) / 0.01, 0.0, 1.0))
    return seen * agreed
