"""Whom a face looks like and what it does."""

from __future__ import annotations

import numpy as np
import pytest

from bodydouble.alignment.geometry import CANONICAL_LANDMARKS
from bodydouble.reviews import likeness


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(7)


def test_landmark_error_is_in_percent_of_the_eye_distance_and_leaves_out_the_jaw(rng):
    truth = rng.uniform(0, 500, (68, 2))
    truth[36], truth[45] = (100, 200), (300, 200)
    moved = truth + np.array([0.0, 4.0])
    moved[:17] += 1000
    assert likeness.landmark_error(moved, truth) == pytest.approx(2.0)


def test_the_identity_margin_is_positive_for_the_persona_and_negative_for_the_performer(rng):
    persona, performer = rng.normal(size=(2, 128))
    references = {
        "ann": persona + rng.normal(0, 0.1, (20, 128)),
        "bob": performer + rng.normal(0, 0.1, (20, 128)),
    }
    assert likeness.identity_margin(persona, references, "ann") > 0
    assert likeness.identity_margin(performer, references, "ann") < 0
    assert likeness.identity(persona, references["ann"]).cosine < likeness.identity(persona, references["bob"]).cosine


def test_a_reference_itself_has_nearest_distance_zero(rng):
    faces = rng.normal(size=(5, 128))
    assert likeness.identity(faces[3], faces).nearest == 0


def turned(yaw: float = 0.0, pitch: float = 0.0, roll: float = 0.0, scale: float = 100.0) -> np.ndarray:
    """(68, 2) landmarks of the mean head seen from far away; only the rigid ones are set."""
    y, p, r = np.radians([yaw, pitch, roll])
    about_y = np.array([[np.cos(y), 0, -np.sin(y)], [0, 1, 0], [np.sin(y), 0, np.cos(y)]])
    about_x = np.array([[1, 0, 0], [0, np.cos(p), np.sin(p)], [0, -np.sin(p), np.cos(p)]])
    about_z = np.array([[np.cos(r), -np.sin(r), 0], [np.sin(r), np.cos(r), 0], [0, 0, 1]])
    landmarks = np.zeros((68, 2))
    landmarks[list(likeness.RIGID)] = (scale * likeness._RIGID_HEAD @ (about_z @ about_y @ about_x).T)[:, :2]
    return landmarks + np.array([300.0, 200.0])


@pytest.mark.parametrize("angles", [(0, 0, 0), (25, 0, 0), (-25, 0, 0), (0, 15, 0), (0, 0, 20), (20, -10, 0)])
def test_the_pose_of_a_turned_head_comes_back(angles):
    assert likeness.head_pose(turned(*angles)) == pytest.approx(angles, abs=1e-6)


def test_a_nose_to_image_right_is_positive_yaw_and_one_upwards_positive_pitch():
    tip, middle = 30, likeness.OUTER_EYE_CORNERS
    right, up = turned(yaw=20), turned(pitch=20)
    assert right[tip, 0] > right[list(middle), 0].mean()
    assert up[tip, 1] < turned()[tip, 1]


def test_pose_errors_are_of_motion_not_of_another_faces_shape():
    performer = np.stack([turned(yaw) for yaw in range(-10, 11, 5)])
    same = np.stack([turned(yaw + 6, 2) for yaw in range(-10, 11, 5)])
    assert likeness.pose_errors(same, performer) == pytest.approx(0, abs=1e-6)
    late = same.copy()
    late[4] = turned(10 + 6 + 3, 2)
    assert likeness.pose_errors(late, performer)[4] == pytest.approx(3 / np.sqrt(3), abs=0.2)


def test_the_landmarks_of_the_pose_agree_with_those_of_the_rendered_head_it_was_made_from(shared):
    """Yaw of the rendered performer's true landmarks follows the true yaw."""
    import json

    frames = json.loads((shared / "synth" / "shots" / "sh010" / "sh010.json").read_text())["frames"]
    records = [frame["versions"]["B"] for frame in frames.values()]
    true = np.array([record["yaw_pitch_roll"][0] for record in records])
    found = np.array([likeness.head_pose(np.array(record["landmarks"]))[0] for record in records])
    assert np.corrcoef(true, found)[0, 1] > 0.995
    assert 1.0 < np.polyfit(true, found, 1)[0] < 1.4  # B's nose is longer than the mean head's


def test_expression_errors_see_a_mouth_that_stays_shut_and_no_other_mouth(rng):
    face = 192 * CANONICAL_LANDMARKS
    speaks = np.stack([face.copy() for _ in range(5)])
    speaks[2, 57] += (0, 20)
    other = speaks + rng.normal(0, 3, (1, 68, 2))
    assert likeness.expression_errors(other, speaks) == pytest.approx(0, abs=1e-9)
    silent = np.stack([face] * 5)
    errors = likeness.expression_errors(silent, speaks)
    assert errors[2] > 0 and errors[[0, 1, 3, 4]] == pytest.approx(0, abs=1e-9)
    expected = 100 * 20 / len(likeness.MOVING) / likeness.eye_distance(face)
    assert errors[2] == pytest.approx(expected)


def test_jitters_cancel_the_performers_motion_and_a_steady_drift(rng):
    face = 192 * CANONICAL_LANDMARKS
    performer = np.stack([face + np.array([4 * t**2, t]) for t in range(5)])
    drifting = performer + np.array([[(2 * t + 5, -t)] for t in range(5)])
    assert likeness.jitters(drifting, performer) == pytest.approx(0, abs=1e-9)
    shaking = performer + np.array([[(2.0 * (t % 2), 0)] for t in range(5)])
    assert likeness.jitters(shaking, performer) == pytest.approx(100 * 4 / float(likeness.eye_distance(face)))
