"""dlib behind numpy: boxes, sub-pixel landmarks, identity."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from bodydouble.alignment.aligning import vouched_score
from bodydouble.alignment.chips import box_from_unit, resample
from bodydouble.alignment.faces import (
    EMBEDDING_MODEL,
    HALF_BELIEVED,
    LANDMARK_MODEL,
    MODELS_VARIABLE,
    Detection,
    DlibLandmarker,
    FaceFinder,
    find_model,
)
from bodydouble.alignment.geometry import apply, similarity_matrix, unit_from_landmarks
from bodydouble.alignment.views import PictureViews
from bodydouble.errors import InputError


@pytest.fixture(scope="module")
def finder() -> FaceFinder:
    return FaceFinder()


def test_a_portrait_is_one_face_around_its_landmarks(finder: FaceFinder, portraits: dict) -> None:
    image, truth = portraits["A_0000"]
    (found,) = finder.detect(image)
    left, top, right, bottom = found.box_px
    assert found.score > 1
    inner = truth[17:]
    assert (inner > (left, top)).all()
    assert (inner < (right, bottom)).all()


def test_landmarks_are_near_the_truth_without_a_half_pixel_shift(finder: FaceFinder, portraits: dict) -> None:
    for image, truth in portraits.values():
        (found,) = finder.detect(image)
        points = finder.landmarks(image, found.box_px)
        eyes = np.linalg.norm(truth[36] - truth[45])
        assert np.linalg.norm(points - truth, axis=1)[17:].mean() < 0.05 * eyes


@pytest.mark.parametrize(("scale", "angle"), [(2.0, 0.0), (1.3, 0.35), (0.6, 0.0)])
def test_a_turned_or_scaled_picture_has_turned_or_scaled_landmarks(
    finder: FaceFinder, portraits: dict, scale: float, angle: float
) -> None:
    image, truth = portraits["A_0000"]
    other_from_image = similarity_matrix(scale, angle, (160.0, 160.0), (240.0, 240.0))
    other = resample(image, other_from_image, 480)
    start = unit_from_landmarks(truth)
    here = finder.refined_landmarks(image, start).points_px
    there = finder.refined_landmarks(other, start @ np.linalg.inv(other_from_image)).points_px
    difference = apply(np.linalg.inv(other_from_image), there) - here
    # A wrong half pixel anywhere would be a common shift of 0.25 px and more.
    assert np.abs(difference.mean(axis=0)).max() < 0.2
    assert np.abs(difference).mean() < 0.6


def test_nine_predictions_are_steadier_than_one_when_the_box_moves(finder: FaceFinder, portraits: dict) -> None:
    image, _ = portraits["A_0000"]
    (found,) = finder.detect(image)
    boxes = [found.box_px + np.array([dx, dy, dx, dy]) for dx, dy in [(0, 0), (4, 0), (0, 4), (-4, 2), (3, -4)]]
    nine = np.stack([finder.landmarks(image, box) for box in boxes])
    predictor = DlibLandmarker()
    one = np.stack([predictor._shape(image, box) for box in boxes])
    assert nine.std(axis=0).mean() < 0.5 * one.std(axis=0).mean()


def test_landmarks_are_not_whole_pixels(finder: FaceFinder, portraits: dict) -> None:
    image, truth = portraits["A_0000"]
    points = finder.refined_landmarks(image, unit_from_landmarks(truth)).points_px
    assert np.abs(points - np.rint(points)).mean() > 0.1


def test_boxes_of_a_shrunk_search_are_given_in_the_full_picture(finder: FaceFinder, portraits: dict) -> None:
    image, _ = portraits["A_0000"]
    large = resample(image, similarity_matrix(3.0, 0.0, (-0.5, -0.5), (-0.5, -0.5)), 960)
    (full,) = finder.detect(large)
    (found,) = finder.detect(large, size=320)
    assert np.abs(found.box_px - full.box_px).max() < 0.2 * (full.box_px[2] - full.box_px[0])


def test_a_picture_without_a_face_has_no_detections(finder: FaceFinder) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (120, 160, 3), np.uint8)
    assert finder.detect(noise) == []
    assert finder.detect(np.zeros((40, 30, 3), np.uint8)) == []


def test_the_detector_is_the_one_inside_dlib(portraits: dict) -> None:
    import dlib

    from bodydouble.alignment.faces import DETECTOR_FILE

    ours, theirs = dlib.fhog_object_detector(str(DETECTOR_FILE)), dlib.get_frontal_face_detector()
    for image, _ in portraits.values():
        found, expected = (detector.run(image, 0, -1.0) for detector in (ours, theirs))
        assert [str(box) for box in found[0]] == [str(box) for box in expected[0]]
        assert (list(found[1]), list(found[2])) == (list(expected[1]), list(expected[2]))
        assert found[1]


def test_the_score_says_whether_a_face_is_where_it_is_expected(finder: FaceFinder, portraits: dict) -> None:
    image, truth = portraits["A_0000"]
    unit_from_plate = unit_from_landmarks(truth)
    assert (finder.score_at(image, unit_from_plate) or -1) > 1
    beside = unit_from_plate @ np.array([[1, 0, 150], [0, 1, 150], [0, 0, 1.0]])
    assert finder.score_at(image, beside) is None


@pytest.mark.parametrize("name", ["B_0087", "C_0144"])
def test_the_search_finds_faces_that_the_detector_misses(finder: FaceFinder, hard: dict, name: str) -> None:
    image, truth = hard[name]
    assert finder.detect(image, threshold=-0.4) == []
    assert finder.search(image, threshold=-0.4, network=False) == []
    (found,) = finder.search(image, threshold=-0.4)
    assert 0 < found.score < 0.2
    unit = unit_from_landmarks(truth)
    marks = finder.landmarks(image, found.box_px)
    assert np.linalg.norm(apply(unit, marks) - apply(unit, truth), axis=1)[17:].mean() < 0.06  # the far side is a guess


def test_the_network_finds_the_face_where_the_detector_does(finder: FaceFinder, portraits: dict) -> None:
    image, _ = portraits["A_0000"]
    (one,), (other,) = finder.detect(image), finder.detect_by_network(image, 160)
    assert np.abs(one.box_px - other.box_px).max() < 0.2 * (one.box_px[2] - one.box_px[0])


def test_a_sure_face_costs_no_network_and_an_unsure_one_is_vouched_for(
    finder: FaceFinder, portraits: dict, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []
    monkeypatch.setattr(FaceFinder, "detect_by_network", lambda self, image, size=None: asked.append(image.shape) or [])
    image, _ = portraits["A_0000"]
    assert len(finder.search(image, threshold=-0.4)) == 1
    assert asked == []
    unsure = Detection(np.array([40.0, 40.0, 140.0, 140.0]), -0.2)
    monkeypatch.setattr(FaceFinder, "detect", lambda *arguments: [unsure])
    assert finder.search(image, threshold=-0.4, network=False) == [unsure]
    assert finder.search(image, threshold=-0.4) == []  # nobody vouches for it, on a chip or in the picture
    assert [shape[0] < 200 for shape in asked] == [True, False]


def test_a_face_suspected_in_two_sizes_is_one_face(
    finder: FaceFinder, portraits: dict, monkeypatch: pytest.MonkeyPatch
) -> None:
    image, truth = portraits["A_0000"]
    box = box_from_unit(unit_from_landmarks(truth))
    width = box[2] - box[0]
    larger = box + 0.3 * width * np.array([-1, -1, 1, 1])
    beside = box + width * np.array([1, 0, 1, 0])
    weak = [Detection(box, -0.2), Detection(larger, -0.3), Detection(beside, -0.4)]
    monkeypatch.setattr(FaceFinder, "detect", lambda *arguments: weak)
    monkeypatch.setattr(FaceFinder, "network_score_at", lambda *arguments: 0.1)
    assert [find.box_px is box or find.box_px is beside for find in finder.search(image, threshold=-0.5)] == [
        True,
        True,
    ]


def test_the_network_is_asked_where_the_detector_hardly_believes_in_a_face(finder: FaceFinder, hard: dict) -> None:
    image, truth = hard["B_0087"]
    unit_from_plate = unit_from_landmarks(truth)
    assert (finder.score_at(image, unit_from_plate) or -1) < HALF_BELIEVED
    views = PictureViews(image)
    view = views.close_up(unit_from_plate)
    assert (vouched_score(finder, views, view, unit_from_plate) or -1) > 0
    beside = unit_from_plate @ np.array([[1, 0, 120], [0, 1, 120], [0, 0, 1.0]])
    assert (vouched_score(finder, views, view, beside) or -1) < HALF_BELIEVED


def test_the_embedding_tells_people_apart(finder: FaceFinder, portraits: dict) -> None:
    vectors = {name: finder.embedding(image, truth) for name, (image, truth) in portraits.items()}
    assert all(v.shape == (128,) and v.dtype == np.float32 for v in vectors.values())
    same = np.linalg.norm(vectors["A_0000"] - vectors["A_0031"])
    other = min(np.linalg.norm(vectors[a] - vectors[b]) for a in ("A_0000", "A_0031") for b in ("B_0000", "B_0031"))
    assert same < 0.6
    assert same < other


@pytest.mark.parametrize(
    "image", [np.zeros((9, 9), np.uint8), np.zeros((9, 9, 3), np.float32), np.zeros((9, 9, 4), np.uint8)]
)
def test_pictures_of_another_kind_are_refused(finder: FaceFinder, image: np.ndarray) -> None:
    with pytest.raises(ValueError, match="H×W×3 uint8"):
        finder.detect(image)


def test_a_missing_model_file_says_how_to_get_it(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=rf"{EMBEDDING_MODEL}.*pip install face_recognition_models.*{MODELS_VARIABLE}"):
        find_model(EMBEDDING_MODEL, tmp_path)


def test_the_environment_names_the_models_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / LANDMARK_MODEL).touch()
    monkeypatch.setenv(MODELS_VARIABLE, str(tmp_path))
    assert find_model(LANDMARK_MODEL) == tmp_path / LANDMARK_MODEL
    with pytest.raises(InputError, match=EMBEDDING_MODEL):
        find_model(EMBEDDING_MODEL)
