"""Frame ranges."""

from __future__ import annotations

import pytest

from bodydouble.errors import UsageError
from bodydouble.plates.frames import FrameRange


def test_a_range_with_a_step_and_a_single_frame_lists_its_frames_in_order():
    frames = FrameRange.parse("1001-1007x2, 1120")
    assert list(frames) == [1001, 1003, 1005, 1007, 1120]
    assert len(frames) == 5 and 1003 in frames and 1002 not in frames


def test_frames_below_zero_are_frames():
    assert list(FrameRange.parse("-3-1")) == [-3, -2, -1, 0, 1]


def test_a_range_prints_as_its_constructor_call():
    frames = FrameRange.parse("1001-1007x2,1120")
    assert repr(frames) == "FrameRange('1001-1007x2,1120')"
    assert eval(repr(frames)) == frames and hash(eval(repr(frames))) == hash(frames)


def test_a_range_of_numbers_prints_compactly():
    assert str(FrameRange.of([1001, 1002, 1003, 1010])) == "1001-1003,1010"
    assert str(FrameRange.of([])) == "" and eval(repr(FrameRange.of([]))) == FrameRange.of([])


def test_chunks_are_contiguous_and_near_equal_and_together_the_whole():
    frames = FrameRange.parse("1-100x3")
    chunks = [frames.chunk(index, 5) for index in range(1, 6)]
    assert [frame for chunk in chunks for frame in chunk] == list(frames)
    assert {len(chunk) for chunk in chunks} == {6, 7}


def test_chunks_beyond_the_frames_are_empty():
    assert sum(len(FrameRange.parse("1-2").chunk(index, 4)) for index in range(1, 5)) == 2


@pytest.mark.parametrize(("index", "count"), [(0, 4), (5, 4), (1, 0)])
def test_a_chunk_outside_one_to_count_is_a_usage_error(index: int, count: int):
    with pytest.raises(UsageError, match="1/4"):
        FrameRange.parse("1-10").chunk(index, count)


@pytest.mark.parametrize("text", ["", "abc", "1-", "1..10", "1-10x-2", "1-10x0", "1.5-3", "1-999999999999"])
def test_a_bad_range_is_a_usage_error_with_an_example(text: str):
    with pytest.raises(UsageError, match="1001-1100x2,1120"):
        FrameRange.parse(text)
