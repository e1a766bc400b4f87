"""The store of decoded crops: each file decoded once, the right size for each level, held-out crops apart."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from bodydouble.errors import FacesetError
from bodydouble.training.cropstore import CropStore, by_persona, split
from bodydouble.training.facesets import Faceset
from tiny import tiny_faceset


@pytest.fixture
def faceset(tmp_path: Path) -> Faceset:
    return Faceset.load(tiny_faceset(tmp_path / "anna", "anna", crops=12))


def store_of(faceset: Faceset, folder: Path, held_out: float = 0.1, top: int = 2) -> CropStore:
    return CropStore(folder, by_persona([faceset]), top, held_out)


def test_crops_are_decoded_once_and_come_from_the_store_afterwards(faceset, tmp_path, monkeypatch):
    decoded: list[Path] = []
    crop = Faceset.crop
    monkeypatch.setattr(Faceset, "crop", lambda self, path: decoded.append(path) or crop(self, path))
    for _ in range(2):
        store = store_of(faceset, tmp_path / "store")
        assert [store.crops("anna", level).pixels.shape[0] for level in (0, 1, 2)] == [12] * 3
    assert sorted(decoded) == sorted(faceset.crops)


def test_a_level_gets_crops_a_quarter_denser_than_its_pictures(faceset, tmp_path):
    store = store_of(faceset, tmp_path / "store")
    # 24 px across the unit crop, 32 with the padding.
    sides = [store.crops("anna", level).pixels.shape[-1] for level in (0, 1, 2)]
    assert sides == [round(32 * 1.25 * size / 24) for size in (4, 8, 16)]


def test_crops_are_never_enlarged(faceset, tmp_path):
    store = store_of(faceset, tmp_path / "store", top=4)
    pixels = store.crops("anna", 4).pixels
    assert pixels.shape[-1] == 32 and pixels.dtype == torch.float16
    assert torch.equal(pixels[3], faceset.crop(faceset.crops[3]))


def test_landmarks_come_with_the_crops(faceset, tmp_path):
    given = store_of(faceset, tmp_path / "store").crops("anna", 0).landmarks
    assert given.shape == (12, 68, 2)
    torch.testing.assert_close(given[5].numpy(), faceset.landmarks[5])


def test_other_crops_make_another_store(faceset, tmp_path):
    store_of(faceset, tmp_path / "store").crops("anna", 0)
    os.utime(faceset.crops[0], (0, 0))
    store_of(faceset, tmp_path / "store").crops("anna", 0)
    assert len(list((tmp_path / "store").iterdir())) == 2


def test_a_file_that_was_cut_short_is_made_again(faceset, tmp_path):
    before = store_of(faceset, tmp_path / "store").crops("anna", 1).pixels.clone()
    (path,) = (tmp_path / "store").glob("*/anna.13.f16")
    path.write_bytes(path.read_bytes()[:-2])
    assert torch.equal(store_of(faceset, tmp_path / "store").crops("anna", 1).pixels, before)


def test_an_unreadable_crop_is_named_and_leaves_no_store(faceset, tmp_path):
    faceset.crops[5].write_bytes(b"not an image")
    with pytest.raises(FacesetError, match="anna_0005"):
        store_of(faceset, tmp_path / "store").crops("anna", 2)
    assert not list((tmp_path / "store").rglob("*.f16"))


def test_held_out_are_the_last_crops_of_every_faceset_unless_it_is_tiny():
    trained, held_out = split([20, 9, 10], 0.1)
    assert held_out == [18, 19, 38]
    assert sorted(trained + held_out) == list(range(39))
    assert split([20], 0.0) == (list(range(20)), [])


def test_facesets_whose_mattes_reach_differently_are_not_mixed(faceset):
    with pytest.raises(FacesetError, match="reach 1 over the forehead"):
        by_persona([faceset, replace(faceset, persona="ben", forehead=1.0)])
