"""What comes with Bodydouble is complete, small and says whose it is."""

from __future__ import annotations

from pathlib import Path

import pytest

from bodydouble.demo import BUNDLED, PERSONA, demo
from bodydouble.errors import OutputError
from bodydouble.network.checkpoint import load_comb
from bodydouble.plates.images import read_plate
from bodydouble.plates.sequences import PlateSequence
from bodydouble.rights import rights_from_document


def size(folder: str) -> int:
    return sum(path.stat().st_size for path in (BUNDLED / folder).rglob("*") if path.is_file())


def test_the_bundled_shot_has_24_frames_with_highlights_in_at_most_8_mb() -> None:
    plate = PlateSequence.find(BUNDLED / "sh010")
    assert len(plate.frames) == 24
    assert plate.missing == ()
    assert size("sh010") <= 8e6
    last = read_plate(plate.path(plate.frames[-4])).main
    face = last.channel("matte.face") > 0.5
    assert (last.channel("R")[face] > 1.0).sum() > 100


def test_the_bundled_model_loads_every_persona_and_is_small() -> None:
    folder = BUNDLED / "rendered.comb"
    comb, card = load_comb(folder, ["A", "B", "C"])
    assert card.dims.size >= 128
    assert PERSONA in comb.personas
    assert size("rendered.comb") <= 16e6
    assert not (folder / "training").exists()


def test_every_bundled_persona_carries_a_rights_record() -> None:
    _, card = load_comb(BUNDLED / "rendered.comb", [])
    for one in card.personas:
        assert one.rights is not None
        assert "rendered" in rights_from_document(one.rights).performer


def test_a_folder_that_cannot_be_made_is_told_before_the_work(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match=r"file/demo.*cannot be written"):
        next(demo(tmp_path / "file" / "demo"))
