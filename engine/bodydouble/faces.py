"""Adapter for dlib: find faces, the 68-point landmarker, identity embeddings. The only module that imports dlib.

Pictures are H×W×3 uint8, display-encoded RGB. Points and boxes are pixels, x right, y down, (0, 0) the *centre* of the
first pixel (dlib's own convention for landmarks); a box is (left, top, right, bottom).

dlib's 68-point predictor answers in whole pixels of the picture it is given. So it is never given the picture itself
but a chip: the face cut out upright and resampled until its box is `CHIP_BOX_PX` wide.
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

from bodydouble.chips import BOX_WIDTH, cut_chip, halved, shrink
from bodydouble.errors import InputError
from bodydouble.geometry import unit_from_landmarks
from bodydouble.landmarking import Landmarker, Landmarks, Prediction, landmarks_in_box, refined_landmarks

LANDMARK_MODEL = "shape_predictor_68_face_landmarks.dat"
EMBEDDING_MODEL = "dlib_face_recognition_resnet_model_v1.dat"
MODELS_VARIABLE = "BODYDOUBLE_FACE_MODELS"

CHIP_BOX_PX = 240.0
"""Width of the face box in the chip that the landmarks are predicted on."""
FIRST_BOX_PX = 160.0
"""The same of the chip that only tells roughly how the face lies."""
SCORE_BOX_PX = CHIP_BOX_PX / 2
"""Width of the face box in the picture that `score_at` runs the detector on; its window is 80 px."""


@dataclass(frozen=True, eq=False)
class Detection:
    """One face that the detector found: box in pixels (left, top, right, bottom), score (0 is its usual threshold)."""

    box_px: NDArray[np.float64]
    score: float


class DlibLandmarker:
    """dlib's 68-point predictor; see `landmarking.Landmarker`. `models`: as for `FaceFinder`."""

    def __init__(self, models: str | Path | None = None) -> None:
        self._models = Path(models) if models is not None else None

    @cached_property
    def _predictor(self) -> Any:
        return dlib.shape_predictor(str(find_model(LANDMARK_MODEL, self._models)))

    def first(self, image_u8: NDArray[np.uint8], unit_from_plate: NDArray[np.float64]) -> NDArray[np.float64]:
        """As `landmarking.Landmarker.first`."""
        chip = cut_chip(_checked(image_u8), unit_from_plate, FIRST_BOX_PX)
        return chip.to_image(self._shape(chip.image, chip.box))

    def predict(
        self, image_u8: NDArray[np.uint8], unit_from_plate: NDArray[np.float64], shifts: NDArray[np.float64]
    ) -> Prediction:
        """As `landmarking.Landmarker.predict`: one chip, and in it a box for each shift."""
        chip = cut_chip(_checked(image_u8), unit_from_plate, CHIP_BOX_PX)
        shifts_px = shifts * (CHIP_BOX_PX / BOX_WIDTH)
        shapes = [self._shape(chip.image, chip.box + np.array([x, y, x, y])) for x, y in shifts_px]
        return Prediction(np.stack([chip.to_image(shape) for shape in shapes]))

    def _shape(self, image: NDArray[np.uint8], box: NDArray[np.float64]) -> NDArray[np.float64]:
        shape = self._predictor(image, _rectangle(box))
        return np.array([(p.x, p.y) for p in shape.parts()], np.float64)


class FaceFinder:
    """dlib's frontal HOG detector and ResNet embedding, and a landmarker, behind numpy arrays.

    `models`: folder of dlib's model files; else `$BODYDOUBLE_FACE_MODELS`; else the installed package
    `face_recognition_models`. `landmarker`: None for dlib's. Raises InputError if a needed file is in none of them.
    Models load when first used. One finder belongs to one thread.
    """

    def __init__(self, models: str | Path | None = None, landmarker: Landmarker | None = None) -> None:
        self._models = Path(models) if models is not None else None
        self.landmarker: Landmarker = DlibLandmarker(models) if landmarker is None else landmarker

    @cached_property
    def _detector(self) -> Any:
        return dlib.get_frontal_face_detector()

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
        """Nine-fold landmarks of the face in a detector's box (`landmarking.landmarks_in_box`)."""
        return landmarks_in_box(self.landmarker, _checked(image_u8), box_px, beta)

    def first_landmarks(self, image_u8: NDArray[np.uint8], unit_from_plate: ArrayLike) -> NDArray[np.float64]:
        """(68, 2) one prediction on the face that lies somewhere near `unit_from_plate`: enough to align it."""
        return self.landmarker.first(_checked(image_u8), np.asarray(unit_from_plate, np.float64))

    def refined_landmarks(
        self, image_u8: NDArray[np.uint8], unit_from_plate: ArrayLike, beta: float = 0.05
    ) -> Landmarks:
        """Nine-fold landmarks of the upright face about at `unit_from_plate` (`landmarking.refined_landmarks`)."""
        return refined_landmarks(self.landmarker, _checked(image_u8), unit_from_plate, beta)

    def landmarks(self, image_u8: NDArray[np.uint8], box_px: ArrayLike, beta: float = 0.05) -> NDArray[np.float64]:
        """(68, 2) stabilised sub-pixel landmarks; `stabilised_landmarks` also says how sure they are."""
        return self.stabilised_landmarks(image_u8, box_px, beta).points_px

    def score_at(self, image_u8: NDArray[np.uint8], unit_from_plate: ArrayLike) -> float | None:
        """The detector's score of the upright face that should lie at `unit_from_plate`; None below -1 or elsewhere."""
        chip = cut_chip(_checked(image_u8), np.asarray(unit_from_plate, np.float64), CHIP_BOX_PX)
        boxes, scores, _ = self._detector.run(np.rint(halved(chip.image)).astype(np.uint8), 0, -1.0)
        middle = (chip.box[:2] + chip.box[2:]) / 4
        return max(
            (
                float(score)
                for box, score in zip(boxes, scores, strict=True)
                if np.abs((box.center().x, box.center().y) - middle).max() < SCORE_BOX_PX / 4
            ),
            default=None,
        )

    def embedding(self, image_u8: NDArray[np.uint8], landmarks_px: ArrayLike) -> NDArray[np.float32]:
        """(128,) identity of a face; faces of one person lie nearer than about 0.6 in Euclidean distance."""
        points = np.asarray(landmarks_px, np.float64)
        if points.shape != (68, 2):
            raise ValueError(f"need (68, 2) landmarks, got {points.shape}")
        # On an enlarged chip dlib's whole pixels cost nothing.
        chip = cut_chip(_checked(image_u8), unit_from_landmarks(points), CHIP_BOX_PX)
        parts = [dlib.point(round(x), round(y)) for x, y in chip.to_chip(points)]
        shape = dlib.full_object_detection(_rectangle(chip.box), dlib.points(parts))
        return np.asarray(self._resnet.compute_face_descriptor(chip.image, shape), np.float32)


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
