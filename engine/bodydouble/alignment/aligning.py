"""Align a shot: find the faces of every frame, keep people apart over time, steady their landmarks.

Two steps: `align_frames` measures each frame (the slow part, one frame after the other), `solve_shot` makes one
picture of the whole shot out of the measurements. `align_shot` is both.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

import bodydouble
from bodydouble.alignment.chips import box_from_unit, unit_from_box
from bodydouble.alignment.cuts import CHANGE, PEAK, picture_change, shot_changes
from bodydouble.alignment.faces import HALF_BELIEVED, STILL_BOX_PX, DlibLandmarker, FaceFinder
from bodydouble.alignment.geometry import apply, plate_from_square, unit_from_landmarks
from bodydouble.alignment.landmarkcsv import read_landmarks_csv
from bodydouble.alignment.landmarking import NINE, THREES, Landmarks
from bodydouble.alignment.mesh import MeshLandmarker
from bodydouble.alignment.people import (
    FACE_SPREAD,
    MEMORY,
    FoundFace,
    confidence,
    crowded,
    identity,
    link_people,
    same_place,
)
from bodydouble.alignment.readahead import read_ahead
from bodydouble.alignment.shotfaces import Face, ShotFaces, read_shot_faces
from bodydouble.alignment.tracks import solve_person, still_faces
from bodydouble.alignment.views import FACE_PX, PlateViews, View, Views, rows_of_faces
from bodydouble.errors import PlateError
from bodydouble.plates.glances import Glance, Rows
from bodydouble.plates.reading import OnUnread, fail_unread, look_at_frame, read_frame
from bodydouble.settings import AlignSettings

if TYPE_CHECKING:
    from bodydouble.plates.colour import Colour
    from bodydouble.plates.plate import Plate
    from bodydouble.plates.sequences import PlateSequence

WORKING_SPACE = "ACEScg"
NEAR_FRAMES = 2
"""A face is followed from a frame at most this far away."""
ANCHOR_FRAMES = 16
"""The detector looks at frames whose number is a multiple of it, whatever the frames before say."""
IDENTITY_FRAMES = 4 * ANCHOR_FRAMES
"""Frames whose number is a multiple of it ask every face for its identity again."""
FOLLOW_STEPS, FOLLOW_NEAR = 3, 0.08
"""A face is followed in at most so many steps, until one moves the corners of its crop by less than so much of it."""
EVEN_MOTION = 0.03
"""A face that is found this near to where its motion takes it is looked at by three predictions, any other by nine."""
NETWORK_FRAMES = ANCHOR_FRAMES
"""The slow detector may look at frames whose number is a multiple of it: a plate without anybody costs little more."""
MOTION_ROOM = 0.035
"""How far a face may have moved, in sides of its crop, until a frame that is read now is looked at, so that its rows
are there; where it is farther off they are read then."""
FOLLOW_SCORE, SCORE_FRAMES = -0.7, 4
"""Detector score, on an upright chip, above which a followed face is one. A face that moves evenly is scored in frames
whose number is a multiple of the second; in between it has the score that it had."""
_CORNERS = np.array([(0.0, 0.0), (1.0, 0.0), (0.0, 1.0), (1.0, 1.0)])


@dataclass(frozen=True, eq=False)
class FrameDetections:
    """The faces of one frame, best score first; the display window's size; how long it took.

    Where pixels are not square (`pixel_aspect`, width over height) the faces are in *square* pixels, the picture being
    made that much wider: a face that is squeezed is found badly, and no similarity lays it on an upright one.
    `solve_shot` brings them back to the plate's own.

    `small`: strips of the frame as a small grey picture (`cuts.small_picture`), which tells where the shot changes;
    `change`: how far it is from that of the frame before.
    """

    frame: int
    faces: tuple[FoundFace, ...]
    seconds: float
    width: int
    height: int
    small: NDArray[np.uint8]
    pixel_aspect: float = 1.0
    change: float = 0.0

    @property
    def confidence(self) -> float | None:
        """Of the most convincing face as found, 0..1, before the shot solve; None where there is none."""
        return max((confidence(face.score, face.spread) for face in self.faces), default=None)


def align_shot(
    plate: PlateSequence,
    frames: Sequence[int],
    colour: Colour,
    colorspace: str | None,
    settings: AlignSettings,
    on_frame: Callable[[FrameDetections], None] | None = None,
    mesh_model: Path | None = None,
    on_unread: OnUnread = fail_unread,
) -> ShotFaces:
    """The shot faces of some frames of a plate. `colorspace` None: taken from the files.

    The plate's frames up to `settings.handles` before and after are measured, too, so that these get the faces that
    they have in the whole shot. `on_frame` hears of each frame that was asked for when it is measured.
    `mesh_model`: file of the mesh landmarker, see `mesh.find_mesh_model`. `on_unread`: hears of each frame, asked for
    or around those, that is missing or cannot be read; unless that raises, it is a gap then, filled in where gaps are.
    Raises PlateError where no frame can be read, InputError where a model file is missing.
    """
    measured = []
    unread: dict[int, PlateError] = {}

    def left_out(frame: int, problem: PlateError) -> None:
        unread[frame] = problem
        on_unread(frame, problem)

    wanted = set(frames)
    looked_at = frames if settings.stills else with_handles(frames, plate.frames, settings.handles)
    finder = open_finder(settings, mesh_model)
    for found in align_frames(plate, looked_at, colour, colorspace, settings, on_unread=left_out, finder=finder):
        measured.append(found)
        if on_frame is not None and found.frame in wanted:
            on_frame(found)
    if unread and not measured:
        raise next(iter(unread.values()))
    if not settings.stills:
        measured = _follow_back(plate, measured, colour, colorspace, settings, finder, left_out)
    shot = solve_shot(plate.pattern, measured, settings, unread)
    return replace(shot, frames={frame: faces for frame, faces in shot.frames.items() if frame in wanted})


def with_handles(frames: Sequence[int], there: Sequence[int], handles: int) -> list[int]:
    """The frames, and those of the plate (`there`) that lie up to `handles` before the first or after the last."""
    if not frames:
        return []
    first, last = min(frames), max(frames)
    near = (f for f in there if first - handles <= f < first or last < f <= last + handles)
    return sorted({*frames, *near})


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


def open_finder(settings: AlignSettings, mesh_model: Path | None = None) -> FaceFinder:
    """The detectors, with the landmarker that the settings name. Models load when first used."""
    if settings.landmarker == "mesh":
        return FaceFinder(landmarker=MeshLandmarker(mesh_model))
    return FaceFinder(landmarker=DlibLandmarker(box_px=STILL_BOX_PX) if settings.stills else None)


def align_frames(
    plate: PlateSequence,
    frames: Sequence[int],
    colour: Colour,
    colorspace: str | None,
    settings: AlignSettings,
    mesh_model: Path | None = None,
    on_unread: OnUnread = fail_unread,
    finder: FaceFinder | None = None,
) -> Iterator[FrameDetections]:
    """Measure each frame in turn, the next one being read meanwhile. One that cannot be read is left out, unless
    `on_unread` raises. `finder`: who looks; None for one that is opened for this (`open_finder`). Until the last frame
    has come, or this is closed, files that the process reads elsewhere share OpenImageIO's threads with these, too.

    The detector looks where tracking demands it: at every `ANCHOR_FRAMES`-th frame number, where nobody is followed,
    where two faces are close to each other, where the picture changes abruptly, and where a face was lost. In the
    frames between, the faces of the frame before are followed. What is measured in a frame so depends on the frames
    since the last anchor, not on where the range begins.
    """
    finder = finder or open_finder(settings, mesh_model)
    before: FrameDetections | None = None
    earlier: FrameDetections | None = None  # the one before that, with no anchor after it
    lost: dict[tuple[int, int], FoundFace] = {}  # of people who may come out again from behind somebody

    def views_of(picture: Plate | Glance) -> PlateViews:
        return frame_views(picture, colour, colorspace, STILL_BOX_PX if settings.stills else FACE_PX)

    def rows_of(frame: int) -> Rows | None:
        return None if settings.stills or before is None else _rows_ahead(before, frame)

    load = finder.landmarker.load if settings.stills else finder.load
    for frame, coming in read_ahead(plate, frames, views_of, rows_of, load):
        try:
            views = coming.result()
            started = time.perf_counter()
            change = 0.0
            if settings.stills:
                faces = list(measure_faces(finder, views, settings))
            else:
                near = before if before is not None and abs(frame - before.frame) <= NEAR_FRAMES else None
                lost = {at: face for at, face in lost.items() if abs(frame - at[0]) <= MEMORY}
                change = picture_change(near.small, views.small) if near is not None else 0.0
                abrupt = near is not None and change > max(CHANGE, PEAK * near.change)
                followed = None if abrupt else _followed(finder, views, frame, near, earlier, settings)
                asked = abrupt or frame % IDENTITY_FRAMES == 0
                faces = _detected(finder, views, frame, near, lost, settings, asked) if followed is None else followed
                lost |= {
                    (frame, number): face for number, face in enumerate(_missing(near.faces if near else (), faces))
                }
        except PlateError as problem:
            on_unread(frame, problem)
            continue
        picture, seconds = views.picture, time.perf_counter() - started
        earlier = before if before is not None and frame == before.frame + 1 and frame % ANCHOR_FRAMES else None
        before = FrameDetections(
            frame, tuple(faces), seconds, picture.width, picture.height, views.small, picture.pixel_aspect, change
        )
        yield before


def frame_views(
    picture: Plate | Glance, colour: Colour, colorspace: str | None, face_px: float = FACE_PX
) -> PlateViews:
    """What the detector sees of a frame. `colorspace` None: taken from the file. `face_px`: as in `PlateViews`."""
    space = colorspace or colour.space_of(picture.attributes, picture.path)
    return PlateViews(picture, colour.converter(space, WORKING_SPACE), colour.is_linear(space), face_px)


def measure_faces(
    finder: FaceFinder, views: Views, settings: AlignSettings, network: bool = True
) -> Iterator[FoundFace]:
    """Every face in a frame, best score first (`FaceFinder.search`).

    `network`: whether the slow detector may look, too, where the fast one is not sure.
    """
    whole = views.whole(settings.detect_size)
    finds = finder.search(whole.image_u8, settings.upsample, None, settings.threshold, network, vouched=settings.stills)
    for found in finds:
        box = whole.to_plate(found.box_px.reshape(2, 2)).ravel()
        view = views.around(unit_from_box(box))
        here = apply(view.view_from_plate, box.reshape(2, 2)).ravel()
        marks = finder.stabilised_landmarks(view.image_u8, here, settings.beta)
        face = _found(view, box, marks, found.score)
        yield face if settings.stills else _pictured(finder, view, face)


def follow_faces(
    finder: FaceFinder,
    views: Views,
    faces: Iterable[FoundFace],
    settings: AlignSettings,
    frame: int,
    earlier: Sequence[FoundFace] = (),
    vouched: bool = False,
) -> Iterator[FoundFace]:
    """Faces of a neighbouring frame looked for in `frame`; only those that the detector half believes in.

    `earlier`: those of the neighbour's own neighbour, on the far side: a face is looked for where its motion takes it.
    `vouched`: a face found there keeps its score, as the detector saw it in the neighbour or just before.
    """
    for face in faces:
        unit_from_plate = _carried_on(face, earlier)
        looks, near = THREES[frame % len(THREES)], EVEN_MOTION
        for _ in range(FOLLOW_STEPS):
            view = views.close_up(unit_from_plate)
            marks = finder.refined_landmarks(view.image_u8, view.unit_here(unit_from_plate), settings.beta, looks)
            found = _found(view, None, marks, 0.0)
            moved = found.unit_from_plate @ np.linalg.inv(unit_from_plate)
            unit_from_plate = found.unit_from_plate
            if np.abs(apply(moved, _CORNERS) - _CORNERS).max() < near:
                break
            looks, near = NINE, FOLLOW_NEAR
        if marks.spread >= FACE_SPREAD or not same_place(face, found, 1.0):
            continue
        score: float | None = face.score
        if looks is NINE or not vouched:
            score = vouched_score(finder, views, view, found.unit_from_plate)
        if score is not None and score > FOLLOW_SCORE:
            yield _pictured(finder, view, replace(found, score=score))


def vouched_score(finder: FaceFinder, views: Views, view: View, unit_from_plate: NDArray[np.float64]) -> float | None:
    """The detector's score of a face in a view, or where it hardly believes in it that of the network, which looks at
    more around it; None where neither sees one.
    """
    score = finder.score_at(view.image_u8, view.unit_here(unit_from_plate))
    if score is not None and score >= HALF_BELIEVED:
        return score
    more = views.around(unit_from_plate)
    vouched = finder.network_score_at(more.image_u8, more.unit_here(unit_from_plate))
    return score if vouched is None else vouched


def _carried_on(face: FoundFace, earlier: Sequence[FoundFace]) -> NDArray[np.float64]:
    """The alignment of a face one frame on, at the speed at which it came from the frame before, if that is known."""
    same = [other for other in earlier if same_place(other, face, 1.0)]
    if len(same) != 1:
        return face.unit_from_plate
    return np.asarray(face.unit_from_plate @ np.linalg.inv(same[0].unit_from_plate) @ face.unit_from_plate)


def solve_shot(
    pattern: str, measured: Iterable[FrameDetections], settings: AlignSettings, unread: Iterable[int] = ()
) -> ShotFaces:
    """Make the measurements of all frames into shot faces: stable people, bridged gaps, steady alignment.

    `unread`: frames that were asked for and could not be measured; who was seen around them is filled in.
    """
    shot = sorted(measured, key=lambda found: found.frame)
    numbers = sorted({*(found.frame for found in shot), *unread})
    frames: dict[int, tuple[Face, ...]] = {number: () for number in numbers}
    identities: dict[int, NDArray[np.float64]] = {}
    if settings.stills:
        frames |= {found.frame: still_faces(found.faces) for found in shot}
    else:
        cuts = shot_changes({found.frame: found.small for found in shot})
        for person, track in enumerate(link_people({found.frame: found.faces for found in shot}, cuts)):
            if (known := identity(track)) is not None:
                identities[person] = known.astype(np.float64)
            for frame, face in solve_person(person, track, numbers, settings, cuts).items():
                frames[frame] += (face,)
    width, height, aspect = (shot[0].width, shot[0].height, shot[0].pixel_aspect) if shot else (0, 0, 1.0)
    if aspect != 1:
        frames = {number: tuple(_squeezed(face, aspect) for face in faces) for number, faces in frames.items()}
    tool = f"bodydouble {bodydouble.__version__}"
    return ShotFaces(pattern, width, height, frames, aspect, asdict(settings), tool, identities)


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
    finder: FaceFinder,
    on_unread: OnUnread,
) -> list[FrameDetections]:
    """The same frames, with faces that only a later frame shows clearly: the last frame first, each from the next."""
    result = list(measured)
    for index in range(len(result) - 2, -1, -1):
        here, later = result[index], result[index + 1]
        missing = _missing(later.faces, here.faces) if abs(later.frame - here.frame) <= NEAR_FRAMES else []
        if missing:
            try:
                views = frame_views(look_at_frame(plate, here.frame), colour, colorspace)
                found = list(follow_faces(finder, views, missing, settings, here.frame))
            except PlateError as problem:  # damaged elsewhere than where it was looked at before
                on_unread(here.frame, problem)
                continue
            result[index] = replace(here, faces=(*here.faces, *found))
    return result


def _followed(
    finder: FaceFinder,
    views: Views,
    frame: int,
    near: FrameDetections | None,
    earlier: FrameDetections | None,
    settings: AlignSettings,
) -> list[FoundFace] | None:
    """The faces of the frame before, followed; None where the detector has to look. `earlier`: see `align_frames`."""
    if near is None or not (wanted := _to_follow(near, frame)):
        return None
    past, vouched = () if earlier is None else earlier.faces, frame % SCORE_FRAMES > 0
    faces = list(follow_faces(finder, views, wanted, settings, frame, past, vouched))
    return faces if len(faces) == len(wanted) else None


def _to_follow(near: FrameDetections, frame: int) -> list[FoundFace]:
    """The faces of a frame that may be followed to another one; none where the detector has to look there."""
    if frame % ANCHOR_FRAMES == 0:
        return []
    # What hardly looked like a face is not worth a search.
    wanted = [face for face in near.faces if face.spread < FACE_SPREAD and face.score > FOLLOW_SCORE]
    return [] if any(crowded(face, wanted) for face in wanted) else wanted


def _rows_ahead(before: FrameDetections, frame: int) -> Rows | None:
    """The rows of a frame in which the faces of an earlier one will be looked for; None for all of them."""
    wanted = _to_follow(before, frame)
    if not wanted or before.pixel_aspect != 1:
        return None
    return rows_of_faces((face.unit_from_plate for face in wanted), MOTION_ROOM)


def _detected(
    finder: FaceFinder,
    views: Views,
    frame: int,
    near: FrameDetections | None,
    lost: Mapping[tuple[int, int], FoundFace],
    settings: AlignSettings,
    asked: bool,
) -> list[FoundFace]:
    """The faces that the detector finds, and those of the frame before that it misses.

    `asked`: who everybody is, not only those whose place does not tell.
    """
    past = near.faces if near is not None else ()
    network = near is None or frame % NETWORK_FRAMES == 0
    faces = list(measure_faces(finder, views, settings, network))
    faces += follow_faces(finder, views, _missing(past, faces), settings, frame)
    hidden = list(lost.values())
    known = () if asked else past
    return [_identified(finder, views, face, [*faces, *hidden], known) for face in faces]


def _found(view: View, box_px: NDArray[np.float64] | None, marks: Landmarks, score: float) -> FoundFace:
    """A face measured on a view, in the plate's square pixels."""
    landmarks = view.to_plate(marks.points_px)
    unit_from_plate = unit_from_landmarks(landmarks)
    box = box_from_unit(unit_from_plate) if box_px is None else box_px
    irises, oval = (
        None if points is None else apply(unit_from_plate, view.to_plate(points))
        for points in (marks.irises_px, marks.oval_px)
    )
    return FoundFace(box, landmarks, unit_from_plate, score, marks.spread, irises_unit=irises, oval_unit=oval)


def _pictured(finder: FaceFinder, view: View, face: FoundFace) -> FoundFace:
    return replace(face, picture=finder.picture(view.image_u8, view.unit_here(face.unit_from_plate)))


def _identified(
    finder: FaceFinder,
    views: Views,
    face: FoundFace,
    faces: Sequence[FoundFace],
    before: Sequence[FoundFace],
) -> FoundFace:
    """The face with its embedding, where its place does not tell who it is: it is new, or another is near."""
    known = [other for other in before if same_place(other, face)]
    if face.spread > FACE_SPREAD or (len(known) == 1 and not crowded(face, faces) and not crowded(known[0], before)):
        return face
    view = views.around(face.unit_from_plate)
    return replace(face, embedding=finder.embedding(view.image_u8, apply(view.view_from_plate, face.landmarks_px)))


def _missing(wanted: Iterable[FoundFace], present: Sequence[FoundFace]) -> list[FoundFace]:
    return [face for face in wanted if not any(same_place(face, other) for other in present)]
