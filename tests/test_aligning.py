"""Aligning a shot, from files to shot faces."""

from __future__ import annotations

import json
import shutil
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import bodydouble
from bodydouble.alignment import aligning, readahead
from bodydouble.alignment.aligning import FrameDetections, align_frames, align_shot, solve_shot, with_handles
from bodydouble.alignment.cuts import shot_changes
from bodydouble.alignment.geometry import apply
from bodydouble.alignment.shotfaces import ShotFaces, write_shot_faces
from bodydouble.errors import PlateError
from bodydouble.plates.colour import Colour
from bodydouble.plates.glances import Glance
from bodydouble.plates.images import read_plate, write_image
from bodydouble.plates.sequences import PlateSequence
from bodydouble.settings import AlignSettings

BUNDLED = Path(bodydouble.__file__).parent / "bundled"
FRAMES = (1015, 1016, 1017)


@pytest.fixture(scope="module")
def plate() -> PlateSequence:
    return PlateSequence.find(BUNDLED / "sh010")


@pytest.fixture(scope="module")
def write_frames(plate: PlateSequence) -> Callable[..., PlateSequence]:
    """Writes EXR frames of the shot that a function changed, with its frame number at hand."""

    def write(folder: Path, change: Callable[[int, np.ndarray], np.ndarray]) -> PlateSequence:
        for frame in FRAMES:
            pixels = change(frame, read_plate(plate.path(frame)).rgb())
            write_image(folder / f"changed.{frame}.exr", pixels, channel_names=("R", "G", "B"))
        return PlateSequence.find(folder / "changed.####.exr")

    return write


def test_a_shot_with_one_person_gives_that_person_in_every_frame(plate: PlateSequence) -> None:
    heard: list[FrameDetections] = []
    shot = align_shot(plate, FRAMES, Colour(), None, AlignSettings(handles=0), on_frame=heard.append)
    assert [found.frame for found in heard] == list(FRAMES)
    assert all(found.seconds > 0 for found in heard)
    assert all(found.confidence is not None and 0.3 < found.confidence <= 1 for found in heard)
    assert replace(heard[0], faces=()).confidence is None
    assert (shot.width, shot.height, shot.people, tuple(shot.frames)) == (960, 540, (0,), FRAMES)
    assert all(face.confidence > 0.5 and not face.interpolated for (face,) in shot.frames.values())
    assert shot.settings["beta"] == 0.05
    assert shot.tool.startswith("bodydouble ")


def test_a_face_the_detector_misses_is_followed_from_both_sides(
    plate: PlateSequence, monkeypatch: pytest.MonkeyPatch
) -> None:
    from bodydouble.alignment.faces import FaceFinder

    detect, calls = FaceFinder.detect, iter(range(100))

    def forgetful(self: FaceFinder, image: np.ndarray, *arguments: object) -> list:
        # Each frame without a face is searched twice; 1016 is the only one that is seen.
        return detect(self, image, *arguments) if next(calls) == 2 else []  # type: ignore[arg-type]

    monkeypatch.setattr(FaceFinder, "detect", forgetful)
    shot = align_shot(plate, FRAMES, Colour(), None, AlignSettings(handles=0))
    assert [len(faces) for faces in shot.frames.values()] == [1, 1, 1]
    assert not any(face.interpolated for (face,) in shot.frames.values())


def test_who_moves_evenly_is_looked_at_by_three_predictions_and_others_by_nine(
    plate: PlateSequence, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """And the detector scores who moves evenly in every fourth frame, others always."""
    from bodydouble.alignment.faces import DlibLandmarker, FaceFinder

    predict, looks = DlibLandmarker.predict, []
    score_at, scores = FaceFinder.score_at, []

    def counted(self: DlibLandmarker, image: np.ndarray, unit: np.ndarray, shifts: np.ndarray) -> object:
        looks.append(len(shifts))
        return predict(self, image, unit, shifts)

    def scored(self: FaceFinder, image: np.ndarray, unit: np.ndarray) -> float | None:
        scores.append(score_at(self, image, unit))
        return scores[-1]

    monkeypatch.setattr(DlibLandmarker, "predict", counted)
    monkeypatch.setattr(FaceFinder, "score_at", scored)
    monkeypatch.setattr(aligning, "picture_change", lambda one, other: 0.0)  # or the jump would pass for another shot
    rgb = read_plate(plate.path(1016)).rgb()
    for second, third, expected, often in ((0, 0, [9, 3, 3], 1), (0, 20, [9, 3, 3, 9], 1), (20, 40, [9, 3, 9, 3], 2)):
        name = f"by_{second}_{third}"
        for frame, shift in ((1018, 0), (1019, second), (1020, third)):
            write_image(tmp_path / f"{name}.{frame}.exr", np.roll(rgb, shift, axis=1), channel_names=("R", "G", "B"))
        shot = PlateSequence.find(tmp_path / f"{name}.####.exr")
        looks.clear()
        scores.clear()
        measured = list(align_frames(shot, shot.frames, Colour(), None, AlignSettings()))
        assert looks == expected, "two frames tell the motion of the third"
        assert [len(found.faces) for found in measured] == [1, 1, 1]
        assert [found.faces[0].score for found in measured][-often:] == scores


def test_a_plate_without_a_face_gives_frames_without_faces(
    tmp_path: Path, write_frames: Callable[..., PlateSequence]
) -> None:
    empty = write_frames(tmp_path, lambda frame, rgb: np.full((120, 160, 3), 0.18, np.float32))
    shot = align_shot(empty, FRAMES, Colour(), "ACEScg", AlignSettings(handles=0))
    assert list(shot.frames.values()) == [(), (), ()]
    assert shot.people == ()


def test_exposure_nan_and_highlights_do_not_move_the_landmarks(
    plate: PlateSequence, tmp_path: Path, write_frames: Callable[..., PlateSequence]
) -> None:
    def damage(frame: int, rgb: np.ndarray) -> np.ndarray:
        changed = rgb * 2.0 ** (2 * (frame - 1017))  # four stops down to none
        changed[5:9, 5:9] = np.nan
        changed[20, 20], changed[21, 21], changed[22, 22] = np.inf, -np.inf, -3.0
        return changed

    damaged = write_frames(tmp_path, damage)
    one = align_shot(plate, FRAMES, Colour(), None, AlignSettings(handles=0))
    other = align_shot(damaged, FRAMES, Colour(), "lin_rec709_scene", AlignSettings(handles=0))
    for frame in FRAMES:
        difference = one.face(frame).landmarks_px - other.face(frame).landmarks_px  # type: ignore[union-attr]
        assert np.abs(difference)[17:].mean() < 0.5


def test_a_missing_frame_is_named(plate: PlateSequence) -> None:
    with pytest.raises(PlateError, match="1048"):
        align_shot(plate, (1048, 1049), Colour(), None, AlignSettings(handles=0))


def test_a_damaged_frame_is_named(tmp_path: Path, write_frames: Callable[..., PlateSequence]) -> None:
    shot = write_frames(tmp_path, lambda frame, rgb: rgb[:64, :64])
    shot.path(1016).write_bytes(b"not an EXR")
    with pytest.raises(PlateError, match=r"changed\.1016\.exr"):
        align_shot(shot, FRAMES, Colour(), "ACEScg", AlignSettings(handles=0))


def test_damaged_and_missing_frames_are_told_and_the_faces_around_them_fill_them_in(
    plate: PlateSequence, tmp_path: Path
) -> None:
    frames = plate.frames[:8]
    for frame in frames:
        shutil.copy(plate.path(frame), tmp_path / f"shot.{frame}.exr")
    damaged, missing = frames[3], frames[6]
    (tmp_path / f"shot.{damaged}.exr").write_bytes(b"not an EXR")
    (tmp_path / f"shot.{missing}.exr").unlink()
    shot, settings = PlateSequence(str(tmp_path / "shot.####.exr"), frames), AlignSettings(handles=0)
    told: dict[int, str] = {}

    def on_unread(frame: int, problem: PlateError) -> None:
        told[frame] = str(problem)

    faces = align_shot(shot, frames, Colour(), None, settings, on_unread=on_unread)
    whole = align_shot(plate, frames, Colour(), None, settings)
    assert sorted(told) == [damaged, missing] and all(f"shot.{frame}.exr" in told[frame] for frame in told)
    for frame in frames:
        here, there = faces.face(frame), whole.face(frame)
        assert here is not None and there is not None and here.interpolated == (frame in told)
        width = there.box_px[2] - there.box_px[0]
        assert np.abs(here.landmarks_px - there.landmarks_px)[17:].mean() < 0.02 * width


def test_a_frame_that_cannot_be_read_a_second_time_keeps_what_was_found_in_it_and_is_told(
    plate: PlateSequence, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = list(align_frames(plate, FRAMES[:2], Colour(), None, AlignSettings(handles=0)))
    hidden = [replace(found[0], faces=()), found[1]]

    def damaged(plate: PlateSequence, frame: int) -> None:
        raise PlateError(f"{plate.path(frame)} is damaged")

    monkeypatch.setattr(aligning, "align_frames", lambda *asked, **how: iter(hidden))
    monkeypatch.setattr(aligning, "look_at_frame", damaged)
    told: list[int] = []
    settings = AlignSettings(handles=0)
    shot = align_shot(plate, FRAMES[:2], Colour(), None, settings, on_unread=lambda frame, _: told.append(frame))
    assert told == [FRAMES[0]] and shot.face(FRAMES[1]) is not None
    with pytest.raises(PlateError, match="is damaged"):
        align_shot(plate, FRAMES[:2], Colour(), None, settings)


def test_models_are_opened_once_though_a_frame_is_looked_at_again(
    plate: PlateSequence, monkeypatch: pytest.MonkeyPatch
) -> None:
    open_finder, align_frames, opened = aligning.open_finder, aligning.align_frames, []

    def hiding(*asked: object, **how: object) -> Iterator[FrameDetections]:
        first, *rest = align_frames(*asked, **how)  # type: ignore[arg-type]
        yield replace(first, faces=())
        yield from rest

    monkeypatch.setattr(aligning, "open_finder", lambda *asked: opened.append(asked) or open_finder(*asked))
    monkeypatch.setattr(aligning, "align_frames", hiding)
    shot = align_shot(plate, FRAMES[:2], Colour(), None, AlignSettings(handles=0))
    assert shot.face(FRAMES[0]) is not None, "found from the frame after it"
    assert len(opened) == 1


def test_where_no_frame_can_be_read_the_first_is_named(tmp_path: Path) -> None:
    shot = PlateSequence(str(tmp_path / "shot.####.exr"), (1001, 1002))
    with pytest.raises(PlateError, match=r"shot\.1001\.exr"):
        align_shot(shot, shot.frames, Colour(), None, AlignSettings(), on_unread=lambda frame, problem: None)


@pytest.fixture(scope="module")
def moving(plate: PlateSequence, tmp_path_factory: pytest.TempPathFactory) -> PlateSequence:
    """Somebody who sits still, then moves down, and from 1029 on is in another shot."""
    folder = tmp_path_factory.mktemp("moving")
    person = read_plate(plate.path(1016)).rgb().reshape(270, 2, 480, 2, 3).mean(axis=(1, 3))
    wall = np.kron(np.random.default_rng(0).uniform(0.1, 0.2, (9, 16, 1)), np.ones((60, 60, 3))).astype(np.float32)
    for frame in range(1017, 1031):
        shown, top = wall.copy(), 40 + 7 * max(0, frame - 1024)
        if frame < 1029:
            shown[top : top + 270, 240:720] = person
        else:
            shown[200:470, :480] = person[:, ::-1]
        write_image(folder / f"moving.{frame}.exr", shown, channel_names=("R", "G", "B"), compression="zip")
    return PlateSequence.find(folder / "moving.####.exr")


def test_what_is_found_is_the_same_whether_frames_are_read_whole_or_only_where_the_face_is(
    moving: PlateSequence, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings, colour, read = AlignSettings(handles=0), Colour(), []
    look = Glance.look

    def counted(self: Glance, rows: tuple[int, int]) -> None:
        before = self.rows_read
        look(self, rows)
        read.append((self.path, self.rows_read - before, threading.current_thread() is threading.main_thread()))

    monkeypatch.setattr(Glance, "look", counted)
    few = list(align_frames(moving, moving.frames, colour, "lin_rec709_scene", settings))
    known = [moving.path(frame) for frame in range(1025, 1029)]  # the first eight, and the new shot, are read whole
    assert sum(rows for path, rows, _ in read if path in known) < 0.8 * len(known) * 540
    assert sum(rows > 0 and late for _, rows, late in read) >= 2, "it leaves the rows where it was expected"
    monkeypatch.setattr(readahead, "look_at_frame", lambda plate, frame: read_plate(plate.path(frame)))
    all_of_them = list(align_frames(moving, moving.frames, colour, "lin_rec709_scene", settings))
    for one, other in zip(few, all_of_them, strict=True):
        assert len(one.faces) == len(other.faces) == 1
        assert one.change == other.change and one.small.tobytes() == other.small.tobytes()
        for mine, theirs in zip(one.faces, other.faces, strict=True):
            assert mine.landmarks_px.tobytes() == theirs.landmarks_px.tobytes()
            assert mine.picture is not None and theirs.picture is not None
            assert (mine.score, mine.spread) == (theirs.score, theirs.spread)
            assert mine.picture.tobytes() == theirs.picture.tobytes()
    assert shot_changes({found.frame: found.small for found in few}) == (1029,)


def test_a_frame_that_is_damaged_where_a_face_is_looked_for_is_named(moving: PlateSequence, tmp_path: Path) -> None:
    content, frames = moving.path(1017).read_bytes(), range(1017, 1027)
    for frame in frames:
        (tmp_path / f"half.{frame}.exr").write_bytes(content if frame < 1026 else content[: len(content) // 2])
    shot = PlateSequence.find(tmp_path / "half.####.exr")
    settings = AlignSettings(handles=0)
    told: list[int] = []
    with pytest.raises(PlateError, match=r"half\.1026\.exr"):
        list(align_frames(shot, frames, Colour(), "lin_rec709_scene", settings))
    found = align_frames(
        shot, frames, Colour(), "lin_rec709_scene", settings, None, lambda frame, _: told.append(frame)
    )
    assert [one.frame for one in found] == list(frames)[:-1] and told == [1026]


def test_the_order_of_the_measured_frames_does_not_matter(plate: PlateSequence) -> None:
    settings = AlignSettings(handles=0)
    measured = list(align_frames(plate, FRAMES, Colour(), None, settings))
    forward = solve_shot(plate.pattern, measured, settings)
    backward = solve_shot(plate.pattern, [replace(found) for found in reversed(measured)], settings)
    for frame in FRAMES:
        one, other = forward.face(frame), backward.face(frame)
        assert one is not None
        assert other is not None
        np.testing.assert_array_equal(one.landmarks_px, other.landmarks_px)
        corners = apply(np.linalg.inv(one.unit_from_plate), [(0, 0), (1, 1)])
        assert (corners > 0).all()


def test_stills_are_taken_each_for_itself(plate: PlateSequence) -> None:
    shot = align_shot(plate, FRAMES[:2], Colour(), None, AlignSettings(stills=True))
    together = align_shot(plate, FRAMES, Colour(), None, AlignSettings(stills=True))
    for frame in FRAMES[:2]:
        assert np.array_equal(shot.frames[frame][0].landmarks_px, together.frames[frame][0].landmarks_px)
        assert not shot.frames[frame][0].interpolated


def test_a_squeezed_plate_gives_the_same_face_as_the_square_one(plate: PlateSequence, tmp_path: Path) -> None:
    """Anamorphic 2:1, made by averaging pairs of columns: landmarks agree, and so does where the crop lies."""
    frame = plate.frames[0]
    picture = read_plate(plate.path(frame))
    height, width, _ = picture.rgb().shape
    squeezed = picture.rgb().reshape(height, width // 2, 2, 3).mean(axis=2)
    write_image(
        tmp_path / f"squeezed.{frame}.exr",
        squeezed,
        channel_names=("R", "G", "B"),
        attributes={"PixelAspectRatio": 2.0, "colorInteropID": "lin_rec709_scene"},
    )
    colour, settings = Colour(None), AlignSettings(handles=0)
    narrow = align_shot(PlateSequence.find(tmp_path), (frame,), colour, None, settings)
    wide = align_shot(plate, (frame,), colour, None, settings)
    assert (narrow.pixel_aspect, narrow.width, narrow.height) == (2.0, width // 2, height)
    one, other = narrow.frames[frame][0], wide.frames[frame][0]
    in_square = one.landmarks_px * [2, 1] + [0.5, 0]  # pixel 0 of the squeezed plate is centred between two
    eyes = np.linalg.norm(other.landmarks_px[36] - other.landmarks_px[45])
    assert np.linalg.norm(in_square - other.landmarks_px, axis=1)[17:].mean() < 0.03 * eyes
    corners = np.array([[100.0, 100], [100, 300], [400, 200]])
    apart = apply(one.unit_from_plate, (corners - [0.5, 0]) / [2, 1]) - apply(other.unit_from_plate, corners)
    assert np.abs(apart).max() < 0.03


def test_handles_are_the_frames_of_the_plate_around_those_asked_for() -> None:
    assert with_handles((5, 6), range(1, 20), 3) == [2, 3, 4, 5, 6, 7, 8, 9]
    assert with_handles((5, 9), (1, 5, 6, 9, 11, 15), 4) == [1, 5, 9, 11], "nothing is filled in between"
    assert with_handles((), (1, 2), 4) == []


@pytest.fixture(scope="module")
def rendered(shared: Path) -> PlateSequence:
    return PlateSequence.find(shared / "synth" / "shots" / "sh010" / "B")


def test_parts_of_a_shot_give_the_sidecar_of_the_whole(rendered: PlateSequence, tmp_path: Path) -> None:
    """To the last digit, although the parts begin at other frames and each part knows only of its own handles."""
    # The shot's frames over and over again make one long enough for two halves that share nothing but handles.
    there = rendered.frames
    order = [there[0], *there[1:47:2], *there[46:0:-2]] * 3
    for number, frame in enumerate(order[:112], start=1001):
        (tmp_path / f"long.{number}.exr").symlink_to(rendered.path(frame))
    plate, settings, colour = PlateSequence.find(tmp_path / "long.####.exr"), AlignSettings(handles=48), Colour()
    measured = list(align_frames(plate, plate.frames, colour, None, settings))
    whole = lines_of(solve_shot(plate.pattern, measured, settings), tmp_path)
    assert len(whole) == 112
    for frames in (range(1001, 1057), range(1057, 1113)):
        # The first fifteen frames of each half may have been followed from another frame than in the whole.
        looked_at = with_handles(frames, plate.frames, settings.handles)
        assert len(looked_at) < 112
        part = list(align_frames(plate, looked_at[:16], colour, None, settings)) + measured[looked_at[16] - 1001 :]
        solved = solve_shot(plate.pattern, [found for found in part if found.frame in looked_at], settings)
        lines = lines_of(solved, tmp_path)
        assert {frame: lines[frame] for frame in frames} == {frame: whole[frame] for frame in frames}


def lines_of(shot: ShotFaces, folder: Path) -> dict[int, object]:
    """What the sidecar says of each frame."""
    write_shot_faces(folder / "shot.faces.json", shot)
    frames = json.loads((folder / "shot.faces.json").read_text(encoding="utf-8"))["frames"]
    return {int(frame): faces for frame, faces in frames.items()}
