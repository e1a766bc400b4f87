"""One swapped frame of anybody's against the plate and, where it is known, the true picture.

Every result is seen in the same pixels: display code values of linear Rec.709 around the face of the shot faces, under
that face's outline (or the truth's own matte), landmarks and identity by dlib at the place where the shot faces say the
face is. So two tools, or two versions of one, differ only in what they made.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray

from bodydouble.alignment.faces import FaceFinder
from bodydouble.alignment.geometry import apply, crop_from_unit, translation
from bodydouble.alignment.shotfaces import ShotFaces
from bodydouble.errors import NoFaceError
from bodydouble.plates.colour import WORKING_SPACE, Colour
from bodydouble.plates.plate import Plate, Region
from bodydouble.plates.reading import read_frame
from bodydouble.plates.sequences import PlateSequence
from bodydouble.reviews import likeness, quality
from bodydouble.reviews.measuring import MATTE_CHANNEL
from bodydouble.swap.matte import polygon_matte
from bodydouble.swap.swapstages import face_region, unit_outline
from bodydouble.swap.warp import warp

CROP_PX = 192
"""Side of the aligned crop in which change over time is measured."""
FACE_PX = 480
"""Side of the wider crop in which landmarks and identity are looked for: the unit crop with half its side around."""
FOREHEAD = 0.6
EQUAL_DB = 100.0
"""PSNR of a result that equals the truth: infinity has no place in a mean, nor in JSON."""
FAR_REACH = 0.5
"""Unit-crop sides around the face's crop that any tool may change; beyond it no pixel may differ."""
_FACE_FROM_UNIT = np.array([[FACE_PX / 2, 0, FACE_PX / 4 - 0.5], [0, FACE_PX / 2, FACE_PX / 4 - 0.5], [0, 0, 1.0]])


@dataclass(frozen=True)
class Scores:
    """The figures of one frame of one entry, None where not measured; `status` is "done", "missing", "unreadable" or
    "no_face". Units and directions: `evaluationtable.FIGURES`. `nearest` is the name of the person it reads as."""

    frame: int
    status: str
    message: str = ""
    psnr: float | None = None
    ssim: float | None = None
    tone: float | None = None
    truth_flicker: float | None = None
    truth_landmarks: float | None = None
    truth_pose: float | None = None
    nearest: str | None = None
    to_persona: float | None = None
    margin: float | None = None
    pose: float | None = None
    expression: float | None = None
    jitter: float | None = None
    flicker: float | None = None
    wobble: float | None = None
    seam: float | None = None
    colour_step: float | None = None
    contrast: float | None = None
    highlights: float | None = None
    outside: float | None = None
    far: float | None = None


@dataclass(frozen=True)
class Setting:
    """What is the same for all entries.

    Attributes:
        plate, shot, person: the performance; person None for the most prominent one.
        colour, colorspace: of all sequences; None to take it from the plate's files.
        people: name → embeddings (N, 128) of everybody whom a face might read as; empty to leave identity out.
        truth_matte: channel of the truth that says where it holds; the face's outline where it has none.
    """

    plate: PlateSequence
    shot: ShotFaces
    person: int | None
    colour: Colour
    colorspace: str | None
    people: Mapping[str, NDArray[np.float32]]
    truth_matte: str = "matte.face"


@dataclass(frozen=True, eq=False)
class Seen:
    """One picture as the protocol sees it.

    `light`: H×W×3 linear Rec.709 of the region; `code`: its display code values; `crop`: of them, the aligned crop;
    `face_u8`: a wider one in 8 bits, in square pixels whatever the plate's are; `landmarks_px`: (68, 2) in that.
    """

    light: NDArray[np.float32]
    code: NDArray[np.float32]
    crop: NDArray[np.float32]
    face_u8: NDArray[np.uint8]
    landmarks_px: NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Scene:
    """One frame of the plate: what all entries are held against."""

    frame: int
    plate: Plate
    region: Region
    unit_from_region: NDArray[np.float64]
    weight: NDArray[np.float32]
    crop_weight: NDArray[np.float32]
    seen: Seen


def read_scene(setting: Setting, frame: int, finder: FaceFinder) -> Scene | None:
    """A frame of the plate, None without a face in the picture. Errors: PlateError."""
    face = setting.shot.face(frame, setting.person)
    if face is None:
        return None
    plate = read_frame(setting.plate, frame)
    try:
        x0, y0, x1, y1 = face_region(plate, face)
    except NoFaceError:
        return None
    wide, high = (x1 - x0) // 2, (y1 - y0) // 2
    region = max(0, x0 - wide), max(0, y0 - high), min(plate.width, x1 + wide), min(plate.height, y1 + high)
    if region[0] >= region[2] or region[1] >= region[3]:
        return None
    unit_from_region = np.asarray(face.unit_from_plate @ translation(*region[:2]))
    outline, size = unit_outline(face, FOREHEAD), (region[3] - region[1], region[2] - region[0])
    weight = np.asarray(polygon_matte(apply(np.linalg.inv(unit_from_region), outline), size))
    crop_weight = np.asarray(polygon_matte(apply(crop_from_unit(CROP_PX), outline), (CROP_PX, CROP_PX)))
    seen = see(light_of(plate, region, setting), unit_from_region, finder)
    return Scene(frame, plate, region, unit_from_region, weight, crop_weight, seen)


def light_of(picture: Plate, region: Region, setting: Setting) -> NDArray[np.float32]:
    """H×W×3 linear Rec.709 of a region. Errors: UnknownColourSpaceError."""
    space = setting.colorspace or setting.colour.space_of(picture.attributes, picture.path)
    return quality.rec709_from_acescg(setting.colour.converter(space, WORKING_SPACE)(picture.rgb(region)))


def see(light: NDArray[np.float32], unit_from_region: NDArray[np.float64], finder: FaceFinder) -> Seen:
    """A picture as the protocol sees it."""
    code = quality.display_code(light)
    stack = torch.from_numpy(np.ascontiguousarray(code.transpose(2, 0, 1)))[None]

    def aligned(matrix: NDArray[np.float64], side: int) -> NDArray[np.float32]:
        crop = warp(stack, np.asarray(matrix @ unit_from_region, np.float64), (side, side))
        return np.ascontiguousarray(crop[0].numpy().transpose(1, 2, 0))

    face_u8 = np.round(np.clip(aligned(_FACE_FROM_UNIT, FACE_PX), 0, 1) * 255).astype(np.uint8)
    found = finder.refined_landmarks(face_u8, np.linalg.inv(_FACE_FROM_UNIT))
    return Seen(light, code, aligned(crop_from_unit(CROP_PX), CROP_PX), face_u8, found.points_px)


def score_against_plate(scene: Scene, result: Plate, seen: Seen) -> Scores:
    """The figures that need the plate alone. The outline is that of the result's own matte, else of what changed."""
    x0, y0, x1, y1 = scene.region
    own = result.picture.own_channel(MATTE_CHANNEL)
    outside, inside = None, np.asarray((seen.light != scene.seen.light).any(axis=2), np.float32)
    if own in result.main.channels:
        matte = quality.display_channel(result, own)
        outside, inside = float(quality.outside_differences(result, scene.plate, matte).pixels), matte[y0:y1, x0:x1]
    edge = quality.seam(seen.code, scene.seen.code, inside)
    light = quality.highlights(seen.light, scene.seen.light, scene.weight)
    return Scores(
        scene.frame,
        "done",
        seam=known(edge.added),
        colour_step=known(quality.colour_step(seen.code, scene.seen.code, inside)),
        contrast=known(100 * quality.contrast(seen.crop, scene.seen.crop, scene.crop_weight)),
        highlights=known(100 * light.kept),
        outside=outside,
        far=float(_far(scene, result)),
    )


def score_against_truth(scores: Scores, scene: Scene, seen: Seen, truth: Seen, weight: NDArray[np.float32]) -> Scores:
    """The scores with the figures that need the true picture, under the truth's weight."""
    return replace(
        scores,
        psnr=known(min(quality.psnr(seen.code, truth.code, weight), EQUAL_DB)),
        ssim=known(quality.ssim(seen.code, truth.code, weight)),
        tone=known(quality.tone_error(seen.code, truth.code, weight)),
        truth_landmarks=likeness.landmark_error(seen.landmarks_px, truth.landmarks_px),
    )


def score_identity(
    scores: Scores,
    persona: str,
    people: Mapping[str, NDArray[np.float32]],
    scene: Scene,
    seen: Seen,
    finder: FaceFinder,
) -> Scores:
    """The scores with whom the face reads as, among the people."""
    # By the performer's landmarks: a poor detection on the result must not count as a poor identity.
    embedding = finder.embedding(seen.face_u8, scene.seen.landmarks_px)
    near = {name: likeness.identity(embedding, faces).euclidean for name, faces in people.items()}
    margin = likeness.identity_margin(embedding, people, persona) if len(people) > 1 else None
    return replace(scores, nearest=min(near, key=near.__getitem__), to_persona=near[persona], margin=margin)


def true_light(
    sequence: PlateSequence, setting: Setting, scene: Scene
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """The true light of the region and where it holds; where the truth's file has no data it is the plate."""
    picture = read_frame(sequence, scene.frame)
    light = light_of(picture, scene.region, setting)
    light = np.where(picture.inside(scene.region)[..., None], light, scene.seen.light)
    if setting.truth_matte not in picture.main.channels:
        return light, scene.weight
    x0, y0, x1, y1 = scene.region
    return light, quality.display_channel(picture, setting.truth_matte)[y0:y1, x0:x1]


def known(value: float) -> float | None:
    """None for what could not be measured."""
    return float(value) if np.isfinite(value) else None


def _far(scene: Scene, result: Plate) -> int:
    """Pixels that differ from the plate in any bit further from the face than any tool needs to go."""
    changed = quality.changed_pixels(result.rgb(), scene.plate.rgb()).any(axis=2)
    corners = np.array([(0, 0), (1, 0), (1, 1), (0, 1)]) * (1 + 2 * FAR_REACH) - FAR_REACH
    around = apply(np.linalg.inv(scene.unit_from_region), corners) + np.array(scene.region[:2])
    size = changed.shape[0], changed.shape[1]
    return int((changed & ~(np.asarray(polygon_matte(around, size)) > 0)).sum())
