"""MediaPipe's mesh as a landmarker; the tests that need its model file skip where there is none."""

from __future__ import annotations

import importlib.util
import os
import zipfile
from pathlib import Path

import numpy as np
import pytest

from bodydouble.alignment.faces import FaceFinder
from bodydouble.alignment.geometry import apply, similarity_matrix, unit_from_landmarks
from bodydouble.alignment.landmarking import refined_landmarks
from bodydouble.alignment.mesh import (
    MESH_68,
    MESH_BETWEEN,
    MESH_IRISES,
    MESH_OVAL,
    MODEL_VARIABLE,
    POINTS,
    MeshLandmarker,
    find_mesh_model,
    landmarks_of,
)
from bodydouble.errors import InputError

SHARED = Path(os.environ.get("BODYDOUBLE_SHARED") or Path(__file__).parent.parent.parent / "shared")


@pytest.fixture(scope="module")
def mesh() -> MeshLandmarker:
    if importlib.util.find_spec("ai_edge_litert") is None:
        pytest.skip("LiteRT is not installed (extra `mesh`)")
    model = Path(os.environ.get(MODEL_VARIABLE) or SHARED / "real" / "models" / "face_landmarker.task")
    if not model.is_file():
        pytest.skip(f"no mesh model: set {MODEL_VARIABLE} to a face_landmarker.task")
    return MeshLandmarker(model)


def test_every_landmark_has_a_place_of_its_own_in_the_mesh() -> None:
    assert MESH_68.shape == (68,)
    pairs = [(first, *MESH_BETWEEN.get(mark, (first, 0.0))) for mark, first in enumerate(MESH_68.tolist())]
    assert len(set(pairs)) == 68
    assert MESH_OVAL.shape == (36,)
    assert MESH_IRISES.shape == (2,)
    for table in (MESH_OVAL, MESH_IRISES):
        assert len(set(table.tolist())) == len(table)
    used = [
        *MESH_68.tolist(),
        *MESH_OVAL.tolist(),
        *MESH_IRISES.tolist(),
        *(second for second, _ in MESH_BETWEEN.values()),
    ]
    assert 0 <= min(used) <= max(used) < POINTS


def test_a_landmark_between_two_points_of_the_mesh_lies_on_their_line() -> None:
    points = np.random.default_rng(0).uniform(size=(2, POINTS, 2))
    found = landmarks_of(points)
    assert found.shape == (2, 68, 2)
    np.testing.assert_array_equal(found[:, 30], points[:, 4])
    np.testing.assert_allclose(found[1, 1], 0.8 * points[1, 234] + 0.2 * points[1, 93])


def test_the_mesh_lies_on_the_true_landmarks_with_the_irises_in_the_eyes(mesh: MeshLandmarker, portraits: dict) -> None:
    for image, truth in portraits.values():
        found = FaceFinder(landmarker=mesh).refined_landmarks(image, unit_from_landmarks(truth))
        eyes = np.linalg.norm(truth[36] - truth[45])
        assert np.linalg.norm(found.points_px - truth, axis=1)[17:].mean() < 0.05 * eyes
        for iris, lids in zip(found.irises_px, (truth[36:42], truth[42:48]), strict=True):
            assert np.linalg.norm(iris - lids.mean(axis=0)) < 0.12 * eyes
        assert found.presence > 0.9
        top, chin = found.oval_px[0], found.oval_px[18]
        assert top[1] < truth[17:27, 1].min() < truth[57, 1] < chin[1]


def test_a_turned_and_scaled_picture_has_turned_and_scaled_points(mesh: MeshLandmarker, portraits: dict) -> None:
    from bodydouble.alignment.chips import resample

    image, truth = portraits["A_0000"]
    other_from_image = similarity_matrix(1.6, 0.35, (160.0, 160.0), (256.0, 256.0))
    start = unit_from_landmarks(truth)
    here = refined_landmarks(mesh, image, start)
    there = refined_landmarks(mesh, resample(image, other_from_image, 512), start @ np.linalg.inv(other_from_image))
    eyes = 1.6 * np.linalg.norm(truth[36] - truth[45])
    away = there.points_px - apply(other_from_image, here.points_px)
    assert np.linalg.norm(away, axis=1).mean() < 0.01 * eyes


def test_where_no_face_is_the_mesh_says_so(mesh: MeshLandmarker) -> None:
    empty = np.full((200, 200, 3), 90, np.uint8)
    assert refined_landmarks(mesh, empty, similarity_matrix(0.005, 0.0, (100.0, 100.0))).presence < 0.5


def test_a_missing_model_says_how_to_get_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(MODEL_VARIABLE, raising=False)
    with pytest.raises(InputError, match=rf"face_landmarker\.task.*--mesh-model.*{MODEL_VARIABLE}"):
        find_mesh_model()
    with pytest.raises(InputError, match=r"none\.task: no such file"):
        find_mesh_model(tmp_path / "none.task")
    monkeypatch.setenv(MODEL_VARIABLE, str(tmp_path / "by_variable.task"))
    with pytest.raises(InputError, match="by_variable"):
        find_mesh_model()


def test_a_file_that_holds_another_model_is_named(tmp_path: Path) -> None:
    if importlib.util.find_spec("ai_edge_litert") is None:
        pytest.skip("LiteRT is not installed (extra `mesh`)")
    with zipfile.ZipFile(tmp_path / "hand.task", "w") as task:
        task.writestr("hand_detector.tflite", b"")
    with pytest.raises(InputError, match=r"hand\.task: holds no face_landmarks_detector"):
        MeshLandmarker(tmp_path / "hand.task").first(np.zeros((9, 9, 3), np.uint8), np.eye(3))
    (tmp_path / "text.task").write_bytes(b"not a network")
    with pytest.raises(InputError, match=r"text\.task: not"):
        MeshLandmarker(tmp_path / "text.task").first(np.zeros((9, 9, 3), np.uint8), np.eye(3))
