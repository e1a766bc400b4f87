"""Plates of a few small frames with a known face in each, and a faceset cut out of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from bodydouble.alignment.geometry import CANONICAL_LANDMARKS, apply
from bodydouble.alignment.shotfaces import Face, ShotFaces
from bodydouble.plates.colour import Colour
from bodydouble.plates.images import write_image
from bodydouble.plates.sequences import PlateSequence
from bodydouble.settings import ExtractSettings
from bodydouble.training.extracting import ExtractedFrame, extract

SMALL = ExtractSettings(size=24, pad=4, min_confidence=0.5, min_sharpness=0, min_difference=0)
"""Every trustworthy face gives a crop: frames of these plates are all alike."""
SIDE = 32
RIGHTS = {"schema": "bodydouble.rights", "version": 1, "performer": "Anna"}
WIDTH, HEIGHT = 96, 80
PLATE_FROM_UNIT = np.array([[40.0, 6.0, 20.0], [-6.0, 40.0, 18.0], [0.0, 0.0, 1.0]])


def make_plate(folder: Path, name: str = "anna", frames: range = range(1001, 1005)) -> PlateSequence:
    """Frames in ACEScg: a ramp to the right in red, down in green; blue is the frame number's last digit / 10."""
    x, y = np.meshgrid(np.arange(WIDTH) / 100, np.arange(HEIGHT) / 100)
    for frame in frames:
        rgb = np.stack([x, y, np.full_like(x, frame % 10 / 10)], axis=2).astype(np.float32)
        path = folder / f"{name}.{frame:04d}.exr"
        write_image(path, rgb, ("R", "G", "B"), {"colorInteropID": "lin_ap1_scene"}, format="float")
    return PlateSequence.find(folder / f"{name}.####.exr")


def face(confidence: float = 1.0, person: int = 0) -> Face:
    landmarks = apply(PLATE_FROM_UNIT, CANONICAL_LANDMARKS)
    box = np.array([*landmarks.min(0), *landmarks.max(0)])
    return Face(box, landmarks, 1.0, confidence, person, unit_from_plate=np.linalg.inv(PLATE_FROM_UNIT))


def faces_of(plate: PlateSequence, **confidences: float) -> ShotFaces:
    """One trustworthy face per frame; `f1002=0.1` makes that of frame 1002 less so."""
    frames = {frame: (face(confidences.get(f"f{frame}", 1.0)),) for frame in plate.frames}
    return ShotFaces(plate.pattern, WIDTH, HEIGHT, frames)


def cut(
    plate: PlateSequence, out: Path, colour: Colour, shot: ShotFaces | None = None, **more: Any
) -> list[ExtractedFrame]:
    options = {"persona": "anna", "settings": SMALL, "rights": RIGHTS, "frames": plate.frames, "person": None} | more
    return list(extract(plate=plate, shot=shot or faces_of(plate), out=out, colour=colour, colorspace=None, **options))


def picture(seed: int = 0) -> np.ndarray:
    """240×240×3 scene-linear light: patches of many sizes around 0.2, another pattern for each seed."""
    rng = np.random.default_rng(seed)
    light = np.zeros((240, 240))
    for cell in (2, 4, 8, 16, 40):
        coarse = rng.normal(0, 0.35, (240 // cell, 240 // cell))
        light += np.kron(coarse, np.ones((cell, cell)))
    return (0.2 * np.exp(light))[..., None] * np.array([1.0, 0.9, 0.8])


def moved(light: np.ndarray, pixels: int) -> np.ndarray:
    """Light smeared along x, as by motion."""
    return np.mean([np.roll(light, shift, axis=1) for shift in range(-(pixels // 2), pixels - pixels // 2)], axis=0)


def painted_plate(folder: Path, pictures: dict[int, np.ndarray], name: str = "anna") -> PlateSequence:
    """A frame of each picture, in ACEScg; `painted_faces` are its faces."""
    for frame, light in pictures.items():
        path = folder / f"{name}.{frame:04d}.exr"
        attributes = {"colorInteropID": "lin_ap1_scene"}
        write_image(path, light.astype(np.float32), ("R", "G", "B"), attributes, format="half")
    return PlateSequence.find(folder / f"{name}.####.exr")


def painted_faces(plate: PlateSequence) -> ShotFaces:
    """A face that fills the pictures, the same in every frame: 200 px across the crop, its corner at (20, 20)."""
    landmarks = 200 * CANONICAL_LANDMARKS + 19.5
    unit_from_plate = np.array([[1 / 200, 0, -19.5 / 200], [0, 1 / 200, -19.5 / 200], [0, 0, 1]])
    box = np.array([*landmarks.min(0), *landmarks.max(0)])
    one = Face(box, landmarks, 1.0, 1.0, unit_from_plate=unit_from_plate)
    return ShotFaces(plate.pattern, 240, 240, {frame: (one,) for frame in plate.frames})
