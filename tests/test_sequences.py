"""Sequences on disk."""

from __future__ import annotations

from pathlib import Path

import pytest

from bodydouble.errors import PlateError, UsageError
from bodydouble.plates.sequences import PlateSequence


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for frame in (1001, 1002, 1004):
        (tmp_path / f"sh010_v002.{frame}.exr").touch()
    (tmp_path / "notes.txt").touch()
    (tmp_path / ".sh010_v002.1003.77.tmp.exr").touch()
    return tmp_path


@pytest.mark.parametrize("place", ["####", "%04d", "@@@@", "$F4"])
def test_every_way_to_write_the_frame_number_finds_the_same_frames(folder: Path, place: str):
    plate = PlateSequence.find(folder / f"sh010_v002.{place}.exr")
    assert plate.frames == (1001, 1002, 1004) and plate.missing == (1003,)
    assert plate.path(1002) == folder / "sh010_v002.1002.exr"
    assert plate.exists(1004) and not plate.exists(1003)


def test_a_folder_with_one_sequence_is_that_sequence(folder: Path):
    assert PlateSequence.find(folder) == PlateSequence.find(folder / "sh010_v002.####.exr")


def test_a_folder_with_two_sequences_is_an_error_that_lists_them(folder: Path):
    (folder / "other.1.exr").touch()
    with pytest.raises(PlateError, match=r"no single sequence.*other.*sh010_v002"):
        PlateSequence.find(folder)


def test_a_folder_without_images_is_an_error_that_says_what_is_there(tmp_path: Path):
    (tmp_path / "notes.txt").touch()
    with pytest.raises(PlateError, match=r"no image sequence.*notes\.txt"):
        PlateSequence.find(tmp_path)


def test_one_file_of_a_sequence_is_one_frame(folder: Path):
    plate = PlateSequence.find(folder / "sh010_v002.1002.exr")
    assert plate.frames == (1002,) and plate.path(1002) == folder / "sh010_v002.1002.exr"


def test_a_still_without_a_number_is_frame_1_and_a_version_is_no_number(tmp_path: Path):
    still = tmp_path / "poster_v012.exr"
    still.touch()
    plate = PlateSequence.find(still)
    assert plate.frames == (1,) and plate.path(1) == still
    assert PlateSequence.find(tmp_path).frames == (1,)


def test_versions_of_a_still_are_no_sequence(tmp_path: Path):
    for version in (1, 2):
        (tmp_path / f"poster_v{version:03d}.exr").touch()
    with pytest.raises(PlateError, match="no single sequence"):
        PlateSequence.find(tmp_path)


def test_numbered_stills_are_a_sequence(tmp_path: Path):
    for index in (0, 1, 2):
        (tmp_path / f"A_{index:04d}.jpg").touch()
        (tmp_path / f"A_{index:04d}_face.png").touch()
    assert PlateSequence.find(tmp_path / "A_####.jpg").frames == (0, 1, 2)


def test_negative_frames_are_found_and_named(tmp_path: Path):
    for name in ("a.-002.exr", "a.-001.exr", "a.0000.exr"):
        (tmp_path / name).touch()
    plate = PlateSequence.find(tmp_path / "a.####.exr")
    assert plate.frames == (-2, -1, 0) and plate.path(-2).name == "a.-002.exr"


@pytest.mark.parametrize("names", [("-2", "-1", "0", "1"), ("-0002", "-0001", "00000", "00001"), ("8", "9", "10")])
def test_a_folder_of_frames_below_zero_or_unpadded_is_the_whole_sequence(tmp_path: Path, names: tuple[str, ...]):
    for name in names:
        (tmp_path / f"a.{name}.exr").touch()
    plate = PlateSequence.find(tmp_path)
    assert plate.frames == tuple(map(int, names))
    assert [plate.path(frame).name for frame in plate.frames] == [f"a.{name}.exr" for name in names]


def test_files_padded_otherwise_do_not_belong_to_the_pattern(tmp_path: Path):
    for name in ("a.001.exr", "a.0002.exr", "a.10003.exr"):
        (tmp_path / name).touch()
    assert PlateSequence.find(tmp_path / "a.%04d.exr").frames == (2, 10003)


def test_names_with_brackets_and_dots_are_taken_as_they_are(tmp_path: Path):
    (tmp_path / "sh[1]+x.y.0007.exr").touch()
    assert PlateSequence.find(tmp_path / "sh[1]+x.y.####.exr").frames == (7,)


def test_nothing_found_names_the_pattern_and_near_files(folder: Path):
    with pytest.raises(PlateError, match=r"sh010_v003\.####\.exr: no frames found\. Near it: sh010_v002\.1001\.exr"):
        PlateSequence.find(folder / "sh010_v003.####.exr")
    with pytest.raises(PlateError, match="does not exist"):
        PlateSequence.find(folder / "nowhere" / "a.####.exr")
    with pytest.raises(PlateError, match=r"Its folder has notes\.txt, sh010_v002\.1001\.exr"):
        PlateSequence.find(folder / "q.####.tif")


def test_two_places_for_the_number_are_a_usage_error(folder: Path):
    with pytest.raises(UsageError, match="one place"):
        PlateSequence.find(folder / "a.####.%04d.exr")


def test_an_output_folder_gives_the_plates_names_as_exr(folder: Path, tmp_path: Path):
    plate = PlateSequence(str(folder / "A_####.jpg"), (1, 2))
    out = PlateSequence.output(tmp_path / "out", like=plate)
    assert out.frames == (1, 2) and out.path(2) == tmp_path / "out" / "A_0002.exr"


def test_an_output_pattern_is_used_as_it_is(folder: Path, tmp_path: Path):
    plate = PlateSequence.find(folder)
    assert PlateSequence.output(tmp_path / "o" / "x.%05d.exr", like=plate).path(1001).name == "x.01001.exr"


def test_the_plate_itself_is_no_output(folder: Path):
    plate = PlateSequence.find(folder)
    for path in (folder, folder / "sh010_v002.%04d.exr"):
        with pytest.raises(UsageError, match="the plate itself"):
            PlateSequence.output(path, like=plate)


def test_many_frames_need_a_pattern_that_is_exr(folder: Path, tmp_path: Path):
    plate = PlateSequence.find(folder)
    with pytest.raises(UsageError, match="need a pattern"):
        PlateSequence.output(tmp_path / "one.exr", like=plate)
    with pytest.raises(UsageError, match="EXR"):
        PlateSequence.output(tmp_path / "x.####.png", like=plate)


@pytest.fixture
def stereo(tmp_path: Path) -> Path:
    for view in ("left", "right"):
        (tmp_path / view).mkdir()
        for frame in (-1, 0, 1, 3):
            (tmp_path / view / f"sh_{view[:1]}.{view}.{str(frame).zfill(4)}.exr").touch()
    return tmp_path


def test_a_view_in_the_path_is_put_there_and_one_of_several_must_be_named(stereo: Path):
    pattern = stereo / "%V" / "sh_%v.%V.####.exr"
    plate = PlateSequence.find(pattern, view="right")
    assert plate.path(3) == stereo / "right" / "sh_r.right.0003.exr" and plate.view == "right" and plate.view_in_name
    assert plate.frames == (-1, 0, 1, 3) and plate.missing == (2,)
    with pytest.raises(UsageError, match=r"views left, right; name one with --view"):
        PlateSequence.find(pattern)
    with pytest.raises(PlateError, match="no frames found"):
        PlateSequence.find(pattern, view="middle")
    with pytest.raises(PlateError, match="no frames found of any view"):
        PlateSequence.find(stereo / "%V" / "other.####.exr")


def test_the_only_view_that_is_there_needs_no_name(stereo: Path):
    for path in (stereo / "left").iterdir():
        path.unlink()
    assert PlateSequence.find(stereo / "%V" / "sh_%v.%V.%04d.exr").view == "right"


def test_the_output_takes_the_plates_view(stereo: Path):
    plate = PlateSequence.find(stereo / "%V" / "sh_%v.%V.####.exr", view="left")
    out = PlateSequence.output(stereo / "out" / "%V" / "sh_%v.####.exr", like=plate)
    assert out.path(1) == stereo / "out" / "left" / "sh_l.0001.exr"
    with pytest.raises(UsageError, match="--view"):
        PlateSequence.output(stereo / "%V.####.exr", like=PlateSequence("a.####.exr", (1,)))


def test_a_movie_in_an_output_folder_becomes_numbered_frames(tmp_path: Path):
    movie = PlateSequence(str(tmp_path / "take1.mov"), tuple(range(1, 25)))
    out = PlateSequence.output(tmp_path / "out", like=movie)
    assert movie.is_movie and movie.path(7) == tmp_path / "take1.mov" and movie.missing == ()
    assert out.path(7) == tmp_path / "out" / "take1.0007.exr"
