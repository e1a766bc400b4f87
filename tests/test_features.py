"""Maps of eyes and mouth over training crops, and facesets that have no landmarks to make them from."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from bodydouble.alignment.geometry import CANONICAL_LANDMARKS
from bodydouble.errors import FacesetError
from bodydouble.settings import TrainSettings
from bodydouble.training.facesets import Faceset
from bodydouble.training.features import MAP_SIZE, feature_maps, require_landmarks
from tiny import tiny_faceset

REACH = 0.1
OURS = TrainSettings()
FACE = torch.tensor(CANONICAL_LANDMARKS, dtype=torch.float32)[None]


def map_of(landmarks: torch.Tensor, reach: float = REACH) -> torch.Tensor:
    maps = feature_maps(landmarks, OURS, 6, reach)
    assert maps is not None
    return maps[:, 0].float()


def at(maps: torch.Tensor, x: float, y: float) -> float:
    """The first map at a place of the unit crop."""
    column, row = (int((one + REACH) / (1 + 2 * REACH) * MAP_SIZE) for one in (x, y))
    return float(maps[0, row, column])


def test_eyes_and_lips_are_in_the_map_and_cheeks_brows_and_edges_are_not():
    found = map_of(FACE)
    eye, lips, cheek, brow = FACE[0, 36:42].mean(0), FACE[0, 48:60].mean(0), FACE[0, [2, 31]].mean(0), FACE[0, 19]
    assert at(found, *eye.tolist()) > 0.6 and at(found, *lips.tolist()) > 0.6
    assert at(found, *cheek.tolist()) < 0.01 and at(found, *(brow - torch.tensor([0.0, 0.05])).tolist()) < 0.1
    assert found[0, 0].max() < 1e-3 and found[0, -1].max() < 1e-3
    assert 0.03 < found.mean() < 0.15


def test_a_closed_eye_has_as_much_of_the_map_as_an_open_one():
    closed = FACE.clone()
    closed[:, 36:48, 1] = closed[:, 36:48, 1].mean()
    assert float(map_of(closed).sum()) == pytest.approx(float(map_of(FACE).sum()), rel=0.15)


def test_the_map_moves_with_the_landmarks():
    shift = 8 * (1 + 2 * REACH) / MAP_SIZE  # eight of its pixels
    moved = map_of(FACE + torch.tensor([shift, 0.0]))
    torch.testing.assert_close(moved[:, :, 8:], map_of(FACE)[:, :, :-8], atol=1e-3, rtol=0)


@pytest.mark.parametrize(("settings", "level"), [(OURS, 2), (replace(OURS, eyes_mouth_weight=1.0), 6)])
def test_there_is_no_map_where_eyes_and_mouth_count_like_the_rest(settings, level):
    assert feature_maps(FACE, settings, level, REACH) is None


def test_a_faceset_without_landmarks_says_how_to_go_on(tmp_path: Path):
    folder = tiny_faceset(tmp_path / "anna", "anna")
    index = json.loads((folder / "faceset.json").read_text())
    for entry in index["crops"]:
        del entry["landmarks"]
    (folder / "faceset.json").write_text(json.dumps(index))
    old = {"anna": [Faceset.load(folder)]}
    with pytest.raises(FacesetError, match=r"extract it again.*--eyes-mouth-weight 1"):
        require_landmarks(old, OURS)
    require_landmarks(old, replace(OURS, eyes_mouth_weight=1.0))


@pytest.mark.parametrize("wrong", [[[0.1, 0.2]], [[0.5, None]] * 68, "x"])
def test_landmarks_that_are_none_are_damage(tmp_path, wrong):
    folder = tiny_faceset(tmp_path / "anna", "anna")
    index = json.loads((folder / "faceset.json").read_text())
    index["crops"][0]["landmarks"] = wrong
    (folder / "faceset.json").write_text(json.dumps(index))
    with pytest.raises(FacesetError, match="damaged"):
        Faceset.load(folder)
