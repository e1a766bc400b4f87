"""Every figure of a swapped shot, beside the same figure of the plate as it is and of the perfect composite."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bodydouble.alignment.aligning import measure_faces
from bodydouble.alignment.faces import FaceFinder
from bodydouble.alignment.views import PictureViews
from bodydouble.plates.images import read_image, read_plate
from bodydouble.plates.plate import Plate
from bodydouble.plates.sequences import PlateSequence
from bodydouble.reviews import likeness, quality
from bodydouble.reviews.measuring import MATTE_CHANNEL
from bodydouble.reviews.quality import display_code
from bodydouble.settings import AlignSettings
from synth import SynthShot, Truth, training_frames

Points = NDArray[np.float64]
Embeddings = Mapping[str, NDArray[np.float32]]

REFERENCE_YAW_DEG, REFERENCE_COUNT = 35.0, 16
NAN = math.nan


@dataclass(frozen=True)
class Swapped:
    """A swapped sequence: the frames that came out, what happened to the others, mean seconds per frame and stage."""

    sequence: PlateSequence
    frames: tuple[int, ...]
    failed: Mapping[int, str] = field(default_factory=dict)
    seconds: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Look:
    """What the figures see of one picture.

    `code`: display code values H×W×3. `landmarks_px`: dlib's nine-fold, None where it found no face. `distances`:
    person → distance of the face to that person's training pictures.
    """

    code: NDArray[np.float32]
    landmarks_px: Points | None
    distances: Mapping[str, float]


@dataclass(frozen=True)
class FrameFigures:
    """One frame's figures; units and directions as in `bodydouble.reviews.quality`, nan where there is none.

    `plate_…` is the plate as it is and `truth_…` the perfect composite, by the same measure. `spill_percent`: pixels
    that changed where the true matte is 0, in percent of the true matte's pixels.
    """

    frame: int
    psnr: float
    plate_psnr: float
    ssim: float
    plate_ssim: float
    to_persona: float
    to_performer: float
    truth_to_persona: float
    truth_to_performer: float
    landmark_error: float
    truth_landmark_error: float
    seam: float
    truth_seam: float
    colour_step: float
    truth_colour_step: float
    highlights: float
    plate_highlights: float
    truth_highlights: float
    outside_pixels: float
    spill_percent: float


@dataclass(frozen=True)
class ShotFigures:
    """One shot with one persona; `seconds` per frame and stage.

    Change over time is in milli-codes, over pairs of consecutive frames; nan if no two of them are.
    """

    shot: str
    persona: str
    truth: str
    frames: tuple[FrameFigures, ...]
    failed: Mapping[int, str]
    flicker: float
    plate_flicker: float
    truth_change: float
    seconds: Mapping[str, float]

    def known(self, name: str) -> list[float]:
        """A frame figure of all frames that have it."""
        return [value for frame in self.frames if not math.isnan(value := getattr(frame, name))]

    def mean(self, name: str) -> float:
        """Mean of a frame figure over the frames that have it; nan if none has."""
        return float(np.mean(self.known(name))) if self.known(name) else NAN

    def total(self, name: str) -> float:
        """Sum of a frame figure over the frames that have it; nan if none has."""
        return float(np.sum(self.known(name))) if self.known(name) else NAN

    @property
    def persona_share(self) -> float:
        """Share of the frames whose face is nearer to the persona than to the performer."""
        return float(np.mean([frame.to_persona < frame.to_performer for frame in self.frames])) if self.frames else NAN


def references(personas: Sequence[str], folder: Path, finder: FaceFinder) -> dict[str, NDArray[np.float32]]:
    """Persona → embeddings (N, 128) of its training pictures, cut by their true landmarks."""
    return {
        persona: np.stack(
            [
                finder.embedding(_u8(read_image(picture.path)), picture.landmarks_px)
                for picture in training_frames(persona, folder, REFERENCE_YAW_DEG, REFERENCE_COUNT)
            ]
        )
        for persona in personas
    }


def look(rgb: NDArray[np.float32], true_px: Points, people: Embeddings, finder: FaceFinder) -> Look:
    """A scene-linear Rec.709 picture as the figures see it.

    Landmarks are detected afresh: the face nearest to the true one. The embedding's chip is cut by the true landmarks,
    so that a poor detection is not counted as a poor identity.
    """
    code = display_code(rgb)
    image = _u8(code)
    embedding = finder.embedding(image, true_px)
    distances = {name: likeness.identity(embedding, faces).euclidean for name, faces in people.items()}
    return Look(code, _face_at(image, true_px, finder), distances)


def measure(
    shot: SynthShot, persona: str, result: Swapped, finder: FaceFinder, people: Embeddings, align_seconds: float
) -> ShotFigures:
    """All figures of a swapped shot. `people` holds the persona and the performer."""
    version = shot.personas[persona]
    gain = None if "_on_" in version else shot.tone_gain(version, shot.frames[::8])
    figures: list[FrameFigures] = []
    pairs: list[tuple[float, float, float]] = []
    before: _Moment | None = None
    for frame in result.frames:
        plate, picture = read_plate(shot.plate.path(frame)), read_plate(result.sequence.path(frame))
        truth, true_px = shot.truth(frame, version, gain), shot.landmarks_px(frame, version)
        seen = look(picture.rgb(), true_px, people, finder)
        ideal = look(truth.rgb, true_px, people, finder)
        names = (persona, shot.performer)
        figures.append(_frame_figures(frame, plate, picture, truth, seen, ideal, true_px, names))
        now = _Moment(frame, seen.code, display_code(plate.rgb()), ideal.code, truth.matte)
        if before is not None and before.frame == frame - 1:
            pairs.append(_change(before, now))
        before = now
    flicker, plate_flicker, truth_change = np.mean(pairs, axis=0).tolist() if pairs else (NAN, NAN, NAN)
    told = version if gain is None else f"{version}, toned"
    seconds = {"align": align_seconds, **result.seconds}
    return ShotFigures(
        shot.name, persona, told, tuple(figures), result.failed, flicker, plate_flicker, truth_change, seconds
    )


@dataclass(frozen=True)
class _Moment:
    """Code values of one frame and the true matte; two of them make a figure over time."""

    frame: int
    result: NDArray[np.float32]
    plate: NDArray[np.float32]
    truth: NDArray[np.float32]
    matte: NDArray[np.float32]


def _change(before: _Moment, now: _Moment) -> tuple[float, float, float]:
    """Flicker of the result and of the plate against the truth, and the truth's own change, in milli-codes."""
    truths, mattes = (before.truth, now.truth), (before.matte, now.matte)
    still = (np.zeros_like(now.truth),) * 2
    return (
        quality.flicker((before.result, now.result), truths, mattes),
        quality.flicker((before.plate, now.plate), truths, mattes),
        quality.flicker(truths, still, mattes),
    )


def _frame_figures(
    frame: int,
    plate: Plate,
    picture: Plate,
    truth: Truth,
    seen: Look,
    ideal: Look,
    true_px: Points,
    names: tuple[str, str],
) -> FrameFigures:
    persona, performer = names
    code, matte = display_code(plate.rgb()), truth.matte
    changed = quality.changed_pixels(picture.rgb(), plate.rgb()).any(axis=2)
    outline = np.asarray(changed, np.float32)
    light = quality.highlights(picture.rgb(), plate.rgb(), matte)
    return FrameFigures(
        frame,
        psnr=quality.psnr(seen.code, ideal.code, matte),
        plate_psnr=quality.psnr(code, ideal.code, matte),
        ssim=quality.ssim(seen.code, ideal.code, matte),
        plate_ssim=quality.ssim(code, ideal.code, matte),
        to_persona=seen.distances[persona],
        to_performer=seen.distances[performer],
        truth_to_persona=ideal.distances[persona],
        truth_to_performer=ideal.distances[performer],
        landmark_error=_landmark_error(seen, true_px),
        truth_landmark_error=_landmark_error(ideal, true_px),
        seam=quality.seam(seen.code, code, outline).added,
        truth_seam=quality.seam(ideal.code, code, matte).added,
        colour_step=quality.colour_step(seen.code, code, outline),
        truth_colour_step=quality.colour_step(ideal.code, code, matte),
        highlights=light.result_light,
        plate_highlights=light.plate_light,
        truth_highlights=quality.highlights(truth.rgb, plate.rgb(), matte).result_light,
        outside_pixels=_outside(picture, plate),
        spill_percent=float(100 * (changed & (matte == 0)).sum() / max(1, (matte > 0).sum())),
    )


def _landmark_error(seen: Look, true_px: Points) -> float:
    return NAN if seen.landmarks_px is None else likeness.landmark_error(seen.landmarks_px, true_px)


def _outside(picture: Plate, plate: Plate) -> float:
    """Pixels changed where the result's own matte is 0; nan if it does not carry one."""
    if MATTE_CHANNEL not in picture.main.channels:
        return NAN
    return float(quality.outside_differences(picture, plate, quality.display_channel(picture, MATTE_CHANNEL)).pixels)


def _face_at(image: NDArray[np.uint8], true_px: Points, finder: FaceFinder) -> Points | None:
    """Landmarks of the detected face nearest to the true one, None if none is within half its width."""
    centre, reach = true_px.mean(axis=0), np.ptp(true_px[:, 0]) / 2
    found = [face.landmarks_px for face in measure_faces(finder, PictureViews(image), AlignSettings())]
    near = [points for points in found if np.linalg.norm(points.mean(axis=0) - centre) < reach]
    return min(near, key=lambda points: float(np.linalg.norm(points.mean(axis=0) - centre)), default=None)


def _u8(code: NDArray[np.float32]) -> NDArray[np.uint8]:
    return np.round(np.clip(code, 0, 1) * 255).astype(np.uint8)
