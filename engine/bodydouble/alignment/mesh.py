"""Adapter for LiteRT: MediaPipe's Face Landmarker as a landmarker. The only module that imports ai_edge_litert.

The model file is Google's `face_landmarker.task` (Apache-2.0), a zip of networks. We run its landmark network alone, on
our own upright chips: MediaPipe's graph around it would add a detector that misses what ours finds, and a tracker whose
answer depends on the frames before, so a shot's result would depend on how a farm cuts it.

Of its 478 points (Kartynnik et al., *Real-time Facial Surface Geometry from Monocular Video on Mobile GPUs*, CVPR
workshop 2019; irises: Ablavatski et al., *Real-time Pupil Tracking from Monocular Video*, 2020) those that lie where
the 68 of iBUG do are kept, the centres of the irises, and the oval of the face.
"""

from __future__ import annotations

import os
import zipfile
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bodydouble.alignment.chips import resample
from bodydouble.alignment.geometry import apply
from bodydouble.alignment.landmarking import Prediction
from bodydouble.errors import InputError, how_to_install

MODEL_VARIABLE = "BODYDOUBLE_MESH_MODEL"
NETWORK = "face_landmarks_detector.tflite"
INSTALL = how_to_install("mesh")

CHIP_PX = 256
"""Side of the picture that the network takes."""
CHIP_SIDE, CHIP_CENTRE = 1.2, (0.5, 0.48)
"""The chip in the unit crop: the mesh of an upright face lies in its middle and fills two thirds, as in MediaPipe."""
POINTS = 478

# fmt: off
MESH_68 = np.array([
    127, 234, 132, 58, 172, 136, 149, 148, 152, 377, 378, 365, 397, 288, 361, 454, 356,  # jaw
    70, 63, 66, 66, 55, 285, 296, 296, 293, 300,  # brows
    168, 197, 5, 4, 75, 97, 2, 326, 305,  # nose
    33, 160, 158, 133, 153, 144, 362, 385, 387, 263, 373, 380,  # eyes
    61, 39, 37, 0, 267, 269, 291, 405, 314, 17, 84, 181,  # lips outside
    78, 82, 13, 312, 308, 317, 14, 87,  # lips inside
])
"""Points of the mesh that lie where the 68 of iBUG do, in iBUG order."""
MESH_BETWEEN = {
    1: (93, 0.20), 2: (93, 0.62), 3: (132, 0.53), 4: (58, 0.40), 6: (150, 0.42), 7: (176, 0.58),
    15: (323, 0.20), 14: (323, 0.62), 13: (361, 0.53), 12: (288, 0.40), 10: (379, 0.42), 9: (400, 0.58),
    17: (156, 0.36), 18: (105, 0.15), 19: (105, 0.65), 20: (107, 0.33), 21: (107, 0.55),
    26: (383, 0.36), 25: (334, 0.15), 24: (334, 0.65), 23: (336, 0.33), 22: (336, 0.55),
}
"""Landmark → how far it lies on the way to a second point of the mesh: jaw and brows have no points where iBUG has
them. Fitted to dlib's on every second of the stills of docs/alignment.md, both sides alike."""
MESH_IRISES = np.array([468, 473])
"""Centres of the irises, image left first."""
MESH_OVAL = np.array([
    10, 338, 297, 332, 284, 251, 389, 356, 454, 323, 361, 288, 397, 365, 379, 378, 400, 377,
    152, 148, 176, 149, 150, 136, 172, 58, 132, 93, 234, 127, 162, 21, 54, 103, 67, 109,
])
"""MediaPipe's face oval, clockwise on screen from the middle of the hairline."""
# fmt: on


class MeshLandmarker:
    """MediaPipe's Face Landmarker network behind numpy arrays; see `landmarking.Landmarker`.

    `model`: path of `face_landmarker.task` or of the landmark network alone; else `$BODYDOUBLE_MESH_MODEL`. Raises
    InputError, when it loads, if there is none, it is not that model, or LiteRT is not installed.
    """

    def __init__(self, model: str | Path | None = None) -> None:
        self._model = None if model is None else Path(model)

    @cached_property
    def _network(self) -> Any:
        path = find_mesh_model(self._model)
        try:
            from ai_edge_litert.interpreter import Interpreter
        except ImportError as error:
            raise InputError(f"The mesh landmarker needs LiteRT ({error}). Run `{INSTALL}`.") from error
        try:
            network = Interpreter(model_content=_network_bytes(path), num_threads=1)
            network.allocate_tensors()
        except (ValueError, RuntimeError) as error:
            raise InputError(f"{path}: not a network that LiteRT can run ({error}).") from error
        if network.get_output_details()[0]["shape"][-1] != 3 * POINTS:
            raise InputError(f"{path}: not MediaPipe's Face Landmarker with irises (it gives other than 478 points).")
        return network

    def load(self) -> None:
        """As `landmarking.Landmarker.load`."""
        _ = self._network

    def first(self, image_u8: NDArray[np.uint8], unit_from_plate: NDArray[np.float64]) -> NDArray[np.float64]:
        """As `landmarking.Landmarker.first`."""
        return self.predict(image_u8, unit_from_plate, np.zeros((1, 2))).points_px[0]

    def predict(
        self, image_u8: NDArray[np.uint8], unit_from_plate: NDArray[np.float64], shifts: NDArray[np.float64]
    ) -> Prediction:
        """As `landmarking.Landmarker.predict`, with irises, oval and presence."""
        found = [self._mesh(image_u8, _chip_from_unit(shift) @ unit_from_plate) for shift in shifts]
        points = np.stack([mesh for mesh, _ in found])  # K, 478, 2
        presence = np.array([sure for _, sure in found])
        return Prediction(landmarks_of(points), points[:, MESH_IRISES], points[:, MESH_OVAL], presence)

    def _mesh(
        self, image_u8: NDArray[np.uint8], chip_from_plate: NDArray[np.float64]
    ) -> tuple[NDArray[np.float64], float]:
        """(478, 2) points in the picture, and whether a face is there, 0..1, from one chip."""
        network = self._network
        chip = resample(image_u8, chip_from_plate, CHIP_PX)
        network.set_tensor(network.get_input_details()[0]["index"], chip[None].astype(np.float32) / 255)
        network.invoke()
        points, presence = (network.get_tensor(output["index"]) for output in network.get_output_details()[:2])
        # The network counts from the outer corner of the first pixel: mirrored chips give 256 - x, not 255 - x.
        in_chip = points.reshape(POINTS, 3)[:, :2].astype(np.float64) - 0.5
        return apply(np.linalg.inv(chip_from_plate), in_chip), float(1 / (1 + np.exp(-presence.item())))


def landmarks_of(mesh: NDArray[np.float64]) -> NDArray[np.float64]:
    """(..., 68, 2) iBUG landmarks of (..., 478, 2) points of the mesh."""
    landmarks = mesh[..., MESH_68, :]
    for mark, (second, share) in MESH_BETWEEN.items():
        landmarks[..., mark, :] += share * (mesh[..., second, :] - landmarks[..., mark, :])
    return landmarks


def find_mesh_model(model: Path | None = None) -> Path:
    """The path of the model file: the given one, or that of the environment. Raises InputError."""
    variable = os.environ.get(MODEL_VARIABLE)
    path = model or (Path(variable) if variable else None)
    if path is None:
        raise InputError(
            "The mesh landmarker's model file is not named. Download MediaPipe's face_landmarker.task (Apache-2.0) and "
            f"name it by --mesh-model or in ${MODEL_VARIABLE}."
        )
    if not path.is_file():
        raise InputError(f"{path}: no such file (the mesh landmarker's model, face_landmarker.task).")
    return path


def _network_bytes(path: Path) -> bytes:
    if not zipfile.is_zipfile(path):
        return path.read_bytes()
    with zipfile.ZipFile(path) as task:
        if NETWORK not in task.namelist():
            raise InputError(f"{path}: holds no {NETWORK}; it is not MediaPipe's face_landmarker.task.")
        return task.read(NETWORK)


def _chip_from_unit(shift: NDArray[np.float64]) -> NDArray[np.float64]:
    """3×3 from the unit crop to pixels of the chip, the chip moved by `shift`."""
    scale = CHIP_PX / CHIP_SIDE
    corner = np.array(CHIP_CENTRE) + shift - CHIP_SIDE / 2
    return np.array([[scale, 0, -corner[0] * scale - 0.5], [0, scale, -corner[1] * scale - 0.5], [0, 0, 1.0]])
