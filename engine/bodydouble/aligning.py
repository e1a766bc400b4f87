"""Align a shot: find the faces of every frame, keep people apart over time, steady their landmarks.

Two steps: `align_frames` measures each frame (the slow part, one frame after the other), `solve_shot` makes one
picture of the whole shot out of the measurements. `align_shot` is both.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

import bodydouble
from bodydouble.chips import box_from_unit, face_picture
from bodydouble.cuts import shot_changes, small_picture
from bodydouble.faces import FaceFinder
from bodydouble.geometry import apply, plate_from_square, unit_from_landmarks
from bodydouble.landmarkcsv import read_landmarks_csv
from bodydouble.people import FACE_SPREAD, MEMORY, FoundFace, crowded, link_people, same_place
from bodydouble.reading import read_frame
from bodydouble.settings import AlignSettings
from bodydouble.shotfaces import Face, ShotFaces, read_shot_faces
from bodydouble.tracks import solve_person, still_faces

if TYPE_CHECKING:
    from bodydouble.colour import Colour
    from bodydouble.plate import Plate
    from bodydouble.sequences import PlateSequence

WORKING_SPACE = "ACEScg"
NEAR_FRAMES = 2
"""A face is followed from a frame at most this far away."""
IDENTITY_FRAMES = 12
"""Frames after which every face is asked for its identity again."""
FOLLOW_SCORE = -0.7
"""Detector score, on an upright chip, above which a followed face is one."""


@dataclass(frozen=True, eq=False)
class FrameDetections:
    """The faces of one frame, best score first; the display window's size; how long it took.

    Where pixels are not square (`pixel_aspect`, width over height) the faces are in *square* pixels, the picture being
    made that much wider: a face that is squeezed is found badly, and no similarity lays it on an upright one.
    `solve_shot` brings them back to the plate's own.

    `small`: the whole frame as a small grey picture (`cuts.small_picture`), which tells where the shot changes.
    """

    frame: int
    faces: tuple[FoundFace, ...]
    seconds: float
    width: int
    height: int
    small: NDArray[np.uint8]
    pixel_aspect: float = 1.0


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
    if not settings.stills:
        measured = _follow_back(plate, measured, colour, colorspace, settings)
    return solve_shot(plate.pattern, measured, settings)


def given_faces(path: Path, plate: PlateSequence, frames: Sequence[int]) -> ShotFaces:
    """The shot faces of some frames from a sidecar, or from landmarks in a `.csv`, instead of measuring the plate.

    Raises SidecarError, or PlateError where the size of the plate cannot be read.
    """
    if path.suffix.lower() == ".csv":
        first = read_frame(plate, frames[0])
        shot = read_landmarks_csv(path, plate.pattern, first.width, first.height, first.pixel_aspect)
    else:
        shot = read_shot_faces(path)
    return replace(shot, frames={frame: shot.frames.get(frame, ()) for frame in frames})


def align_frames(
    plate: PlateSequence, frames: Sequence[int], colour: Colour, colorspace: str | None, settings: AlignSettings
) -> Iterator[FrameDetections]:
    """Measure each frame in turn: detect, nine-fold landmarks; a face of the frame before that the detector misses is
    looked for where it was. Raises PlateError as `align_shot`.
    """
    finder = FaceFinder()
    before: FrameDetections | None = None
    lost: dict[tuple[int, int], FoundFace] = {}  # of people who may come out again from behind somebody
    for count, frame in enumerate(frames):
        started = time.perf_counter()
        due = count % IDENTITY_FRAMES == 0
        picture = read_frame(plate, frame)
        image = detection_image(picture, colour, colorspace)
        faces = list(measure_faces(finder, image, settings))
        if before is not None and not settings.stills and abs(frame - before.frame) <= NEAR_FRAMES:
            faces += follow_faces(finder, image, _missing(before.faces, faces), settings)
        if not settings.stills:
            lost = {at: face for at, face in lost.items() if abs(frame - at[0]) <= MEMORY}
            past = before.faces if before is not None else ()
            hidden = list(lost.values())
            faces = [_identified(finder, image, face, [*faces, *hidden], () if due else past) for face in faces]
            lost |= {(frame, number): face for number, face in enumerate(_missing(past, faces))}
        small = small_picture(image)
        seconds = time.perf_counter() - started
        before = FrameDetections(
            frame, tuple(faces), seconds, picture.width, picture.height, small, picture.pixel_aspect
        )
        yield before


def measure_faces(finder: FaceFinder, image_u8: NDArray[np.uint8], settings: AlignSettings) -> Iterator[FoundFace]:
    """Every face that the detector finds in one display-encoded H×W×3 picture, best score first.

    A picture where it finds none is searched once more at double size.
    """
    upsample, size, threshold = settings.upsample, settings.detect_size, settings.threshold
    detections = finder.detect(image_u8, upsample, size, threshold)
    for found in detections or finder.detect(image_u8, upsample + 1, size, threshold):
        marks = finder.stabilised_landmarks(image_u8, found.box_px, settings.beta)
        unit_from_plate = unit_from_landmarks(marks.points_px)
        picture = None if settings.stills else face_picture(image_u8, unit_from_plate)
        yield FoundFace(found.box_px, marks.points_px, unit_from_plate, found.score, marks.spread, picture)


def follow_faces(
    finder: FaceFinder, image_u8: NDArray[np.uint8], faces: Iterable[FoundFace], settings: AlignSettings
) -> Iterator[FoundFace]:
    """Faces of a neighbouring frame looked for near the same place; only those that the detector half believes in."""
    for face in faces:
        unit_from_plate = face.unit_from_plate
        for _ in range(2):  # the first step catches up with the motion
            marks = finder.refined_landmarks(image_u8, unit_from_plate, settings.beta)
            unit_from_plate = unit_from_landmarks(marks.points_px)
        score = finder.score_at(image_u8, unit_from_plate)
        found = FoundFace(box_from_unit(unit_from_plate), marks.points_px, unit_from_plate, score or 0.0, marks.spread)
        if score is not None and score > FOLLOW_SCORE and marks.spread < FACE_SPREAD and same_place(face, found, 1.0):
            yield replace(found, picture=face_picture(image_u8, unit_from_plate))


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
    shot = sorted(measured, key=lambda found: found.frame)
    numbers = [found.frame for found in shot]
    frames: dict[int, tuple[Face, ...]] = {number: () for number in numbers}
    if settings.stills:
        frames |= {found.frame: still_faces(found.faces) for found in shot}
    else:
        cuts = shot_changes({found.frame: found.small for found in shot})
        for person, track in enumerate(link_people({found.frame: found.faces for found in shot}, cuts)):
            for frame, face in solve_person(person, track, numbers, settings, cuts).items():
                frames[frame] += (face,)
    width, height, aspect = (shot[0].width, shot[0].height, shot[0].pixel_aspect) if shot else (0, 0, 1.0)
    if aspect != 1:
        frames = {number: tuple(_squeezed(face, aspect) for face in faces) for number, faces in frames.items()}
    return ShotFaces(pattern, width, height, frames, aspect, asdict(settings), f"bodydouble {bodydouble.__version__}")


def _squeezed(face: Face, pixel_aspect: float) -> Face:
    """A face in square pixels, in those of a plate."""
    squeeze = plate_from_square(pixel_aspect)
    return replace(
        face,
        box_px=apply(squeeze, face.box_px.reshape(2, 2)).ravel(),
        landmarks_px=apply(squeeze, face.landmarks_px),
        unit_from_plate=face.unit_from_plate @ np.linalg.inv(squeeze),
    )


def _follow_back(
    plate: PlateSequence,
    measured: Sequence[FrameDetections],
    colour: Colour,
    colorspace: str | None,
    settings: AlignSettings,
) -> list[FrameDetections]:
    """The same frames, with faces that only a later frame shows clearly: the last frame first, each from the next."""
    finder = FaceFinder()
    result = list(measured)
    for index in range(len(result) - 2, -1, -1):
        here, later = result[index], result[index + 1]
        missing = _missing(later.faces, here.faces) if abs(later.frame - here.frame) <= NEAR_FRAMES else []
        if missing:
            image = detection_image(read_frame(plate, here.frame), colour, colorspace)
            result[index] = replace(here, faces=(*here.faces, *follow_faces(finder, image, missing, settings)))
    return result


def detection_image(picture: Plate, colour: Colour, colorspace: str | None) -> NDArray[np.uint8]:
    """What the detector sees of a frame, H×W×3 uint8 in square pixels (`to_detection_image`)."""
    space = colorspace or colour.space_of(picture.attributes, picture.path)
    image = to_detection_image(colour.converter(space, WORKING_SPACE)(picture.rgb()))
    return image if picture.pixel_aspect == 1 else _unsqueezed(image, picture.pixel_aspect)


def _unsqueezed(image_u8: NDArray[np.uint8], pixel_aspect: float) -> NDArray[np.uint8]:
    """The picture in square pixels: as high as it was, `pixel_aspect` times as wide."""
    width = image_u8.shape[1]
    x = np.clip((np.arange(round(width * pixel_aspect)) + 0.5) / pixel_aspect - 0.5, 0, width - 1)
    left = np.minimum(x.astype(int), max(0, width - 2))
    share = (x - left)[:, None].astype(np.float32)
    right = np.minimum(left + 1, width - 1)
    return np.rint(image_u8[:, left] * (1 - share) + image_u8[:, right] * share).astype(np.uint8)


def _identified(
    finder: FaceFinder,
    image_u8: NDArray[np.uint8],
    face: FoundFace,
    faces: Sequence[FoundFace],
    before: Sequence[FoundFace],
) -> FoundFace:
    """The face with its embedding, where its place does not tell who it is: it is new, or another is near."""
    known = [other for other in before if same_place(other, face)]
    if face.spread > FACE_SPREAD or (len(known) == 1 and not crowded(face, faces) and not crowded(known[0], before)):
        return face
    return replace(face, embedding=finder.embedding(image_u8, face.landmarks_px))


def _missing(wanted: Iterable[FoundFace], present: Sequence[FoundFace]) -> list[FoundFace]:
    return [face for face in wanted if not any(same_place(face, other) for other in present)]
