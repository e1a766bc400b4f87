"""Frames in order, read while others are measured."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
import OpenImageIO as oiio
import pytest

from bodydouble.alignment import readahead
from bodydouble.alignment.readahead import AHEAD, FIRST_AHEAD, NICENESS, read_ahead
from bodydouble.alignment.views import PlateViews
from bodydouble.errors import InputError, PlateError
from bodydouble.plates.glances import Glance
from bodydouble.plates.images import write_image
from bodydouble.plates.plate import Plate
from bodydouble.plates.sequences import PlateSequence

FRAMES = range(1001, 1015)


@pytest.fixture(scope="module")
def plate(tmp_path_factory: pytest.TempPathFactory) -> PlateSequence:
    """Frames of 512 rows, each as bright as its number says."""
    folder = tmp_path_factory.mktemp("ahead")
    for frame in FRAMES:
        pixels = np.full((512, 64, 3), frame - 1000, np.float32)
        write_image(folder / f"a.{frame}.exr", pixels, channel_names=("R", "G", "B"), compression="zip")
    return PlateSequence.find(folder / "a.####.exr")


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The frames that have been opened."""
    look, frames = readahead.look_at_frame, []

    def counted(plate: PlateSequence, frame: int) -> Plate | Glance:
        frames.append(frame)
        return look(plate, frame)

    monkeypatch.setattr(readahead, "look_at_frame", counted)
    return frames


def views_of(picture: Plate | Glance) -> PlateViews:
    return PlateViews(picture, lambda rgb: rgb)


def nothing() -> None:
    """What is done meanwhile."""


def rows_at_first(frame: int) -> tuple[int, int]:
    return 0, 32


def test_frames_come_in_order_with_their_own_pixels_and_the_rows_that_were_asked_for(plate: PlateSequence) -> None:
    found = list(read_ahead(plate, FRAMES, views_of, rows_at_first, nothing))
    assert [frame for frame, _ in found] == list(FRAMES)
    rows = []
    for frame, coming in found:
        views = coming.result()
        assert isinstance(views, PlateViews) and isinstance(views.picture, Glance)
        assert views.picture.half_rgb((0, 0, 64, 16))[0, 0, 0] == frame - 1000
        rows.append(views.picture.rows_read)
    assert rows[:FIRST_AHEAD] == [512] * FIRST_AHEAD
    assert all(read < 512 for read in rows[FIRST_AHEAD:])


def test_what_is_done_meanwhile_is_done_once_by_who_asked(plate: PlateSequence) -> None:
    then: list[bool] = []

    def load() -> None:
        then.append(threading.current_thread() is threading.main_thread())

    list(read_ahead(plate, FRAMES, views_of, rows_at_first, load))
    assert then == [True]
    assert list(read_ahead(plate, (), views_of, rows_at_first, load)) == []
    assert then == [True], "without frames there is nothing to load for"


def test_no_more_frames_are_read_than_will_soon_be_wanted(plate: PlateSequence, opened: list[int]) -> None:
    frames = read_ahead(plate, FRAMES, views_of, rows_at_first, nothing)
    for number in range(1, 6):
        next(frames)
        assert len(opened) <= max(FIRST_AHEAD, number + AHEAD)
    frames.close()
    assert len(opened) < len(FRAMES)


@pytest.mark.parametrize("spoil", [lambda path: path.unlink(), lambda path: path.write_bytes(b"no picture")])
def test_a_frame_that_cannot_be_read_is_named_in_its_place(tmp_path: Path, spoil: Callable[[Path], object]) -> None:
    for frame in FRAMES[:3]:
        write_image(tmp_path / f"a.{frame}.exr", np.ones((32, 32, 3), np.float32), channel_names=("R", "G", "B"))
    plate = PlateSequence.find(tmp_path / "a.####.exr")
    spoil(plate.path(1002))
    found = dict(read_ahead(plate, FRAMES[:3], views_of, rows_at_first, nothing))
    assert all(isinstance(found[frame].result(), PlateViews) for frame in (1001, 1003))
    with pytest.raises(PlateError, match=r"a\.1002\.exr"):
        found[1002].result()


def test_a_model_that_is_missing_is_told_before_the_first_frame(plate: PlateSequence) -> None:
    def load() -> None:
        raise InputError("the model is missing")

    with pytest.raises(InputError, match="the model is missing"):
        next(read_ahead(plate, FRAMES, views_of, rows_at_first, load))


def test_readers_share_openimageio_s_threads_and_come_after_who_measures(plate: PlateSequence) -> None:
    before = oiio.get_int_attribute("threads"), oiio.get_int_attribute("exr_threads")
    usual = os.getpriority(os.PRIO_PROCESS, threading.get_native_id())
    seen = set()

    def noting(picture: Plate | Glance) -> PlateViews:
        behind = os.getpriority(os.PRIO_PROCESS, threading.get_native_id()) - usual
        seen.add((behind, oiio.get_int_attribute("threads"), oiio.get_int_attribute("exr_threads")))
        return views_of(picture)

    frames = read_ahead(plate, FRAMES, noting, rows_at_first, nothing)
    next(frames)
    frames.close()
    shares = (max(1, count // AHEAD) for count in before)
    assert seen == {(min(NICENESS, 19 - usual) if sys.platform == "linux" else 0, *shares)}
    assert (oiio.get_int_attribute("threads"), oiio.get_int_attribute("exr_threads")) == before
    assert os.getpriority(os.PRIO_PROCESS, threading.get_native_id()) == usual


def test_two_shots_at_a_time_give_openimageio_s_threads_back(plate: PlateSequence) -> None:
    before = oiio.get_int_attribute("threads")
    oiio.attribute("threads", 4 * AHEAD)
    try:
        one, other = (read_ahead(plate, FRAMES, views_of, rows_at_first, nothing) for _ in range(2))
        next(one)
        next(other)
        one.close()
        assert oiio.get_int_attribute("threads") == 4
        other.close()
        assert oiio.get_int_attribute("threads") == 4 * AHEAD
    finally:
        oiio.attribute("threads", before)
