"""Who is who over time."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from bodydouble.alignment.aligning import align_shot
from bodydouble.alignment.chips import box_from_unit
from bodydouble.alignment.geometry import CANONICAL_LANDMARKS, apply, similarity_matrix
from bodydouble.alignment.people import FoundFace, confidence, crowded, identity, link_people, nearest_person
from bodydouble.alignment.shotfaces import read_shot_faces, write_shot_faces
from bodydouble.errors import InputError, UsageError
from bodydouble.plates.colour import Colour
from bodydouble.plates.images import read_plate, write_image
from bodydouble.plates.sequences import PlateSequence
from bodydouble.reviews.identifying import choose_person
from bodydouble.reviews.quality import display_channel
from bodydouble.settings import AlignSettings

FRAMES = range(1001, 1041)
PORTRAITS = Path(__file__).parent / "data" / "portraits"


def face_at(x: float, y: float = 200.0, width: float = 140.0, score: float = 1.0, spread: float = 0.005) -> FoundFace:
    unit_from_plate = similarity_matrix(0.7 / width, 0.0, (x, y))
    landmarks = apply(np.linalg.inv(unit_from_plate), CANONICAL_LANDMARKS)
    return FoundFace(box_from_unit(unit_from_plate), landmarks, unit_from_plate, score, spread)


def known(face: FoundFace, who: int) -> FoundFace:
    """The face with the embedding of somebody."""
    embedding = np.zeros(128, np.float32)
    embedding[who] = 0.5  # people are 0.7 apart
    return replace(face, embedding=embedding)


def moving() -> dict[int, FoundFace]:
    """A face that sways over the plate."""
    phase = (np.arange(40)) / 40 * 2 * np.pi
    return {frame: face_at(400 + 120 * np.sin(p), 200 + 20 * np.cos(p)) for frame, p in zip(FRAMES, phase, strict=True)}


def test_two_people_keep_their_ids_in_whatever_order_they_are_found() -> None:
    frames = {}
    for n, frame in enumerate(FRAMES):
        pair = [face_at(200 + 2 * n, width=120), face_at(800 - 2 * n, width=160)]
        frames[frame] = pair if n % 2 else pair[::-1]
    people = link_people(frames)
    assert [len(person) for person in people] == [40, 40]
    assert all(face.width_px == pytest.approx(160) for face in people[0].values()), "the larger face comes first"
    assert all(face.width_px == pytest.approx(120) for face in people[1].values())


def test_a_person_is_known_again_after_a_few_frames_behind_something() -> None:
    faces = moving()
    assert len(link_people({f: [face] for f, face in faces.items() if not 1010 <= f < 1016})) == 1


def test_something_that_never_convinces_the_detector_is_no_person() -> None:
    faint = {frame: [face_at(300, score=-0.2)] for frame in FRAMES}
    assert link_people(faint) == []
    wall = {frame: [face_at(300, score=0.3, spread=0.05)] for frame in FRAMES}
    assert link_people(wall) == []


def test_faint_frames_of_a_convincing_face_stay() -> None:
    frames = {frame: [face_at(300, score=1.0 if frame == 1001 else -0.3)] for frame in FRAMES}
    assert [len(person) for person in link_people(frames)] == [40]


def test_confidence_grows_with_the_score_and_falls_with_the_spread() -> None:
    assert 0.9 < confidence(2.0, 0.005) < confidence(2.0, 0.0) == 1.0
    assert confidence(-1.0, 0.005) == 0.0
    assert confidence(2.0, 0.05) == 0.0
    assert 0 < confidence(-0.3, 0.005) < confidence(0.1, 0.005) < 1
    assert confidence(2.0, 0.025) < confidence(2.0, 0.015)
    assert confidence(0.1, 0.03, 0.01) > 0.2, "a followed face with something before it is still one"
    assert confidence(2.0, 0.005, 0.02) < confidence(2.0, 0.005, 0.005) < confidence(2.0, 0.005)


def test_a_person_who_leaves_and_comes_back_elsewhere_keeps_the_id() -> None:
    frames = {f: [known(face_at(200), 0)] if f < 1010 else [] for f in FRAMES}
    frames |= {f: [known(face_at(800), 0)] for f in range(1030, 1041)}
    (person,) = link_people(frames)
    assert len(person) == 9 + 11


def test_another_person_at_the_same_place_gets_another_id() -> None:
    frames = {f: [known(face_at(200), 0 if f < 1020 else 1)] for f in FRAMES}
    assert [min(person) for person in link_people(frames)] == [1020, 1001]


def test_a_person_is_known_again_after_a_shot_change_but_not_by_place() -> None:
    frames = {f: [known(face_at(200), 0), known(face_at(700), 1)] for f in range(1001, 1020)}
    frames |= {f: [known(face_at(700), 0), known(face_at(200), 1)] for f in range(1020, 1041)}
    for person in link_people(frames, cuts=(1020,)):
        assert len({int(np.argmax(face.embedding)) for face in person.values()}) == 1  # type: ignore[arg-type]
        assert len(person) == 40


def test_people_who_cross_keep_their_ids() -> None:
    frames = {f: [known(face_at(200 + 15 * n), 0), known(face_at(800 - 15 * n), 1)] for n, f in enumerate(FRAMES)}
    for f in range(1018, 1023):
        frames[f] = frames[f][:1]  # the other one is hidden
    people = link_people(frames)
    assert sorted(len(person) for person in people) == [35, 40]
    for person in people:
        assert len({int(np.argmax(face.embedding)) for face in person.values()}) == 1  # type: ignore[arg-type]


def test_faces_side_by_side_are_crowded() -> None:
    one, near, far = face_at(200), face_at(340), face_at(700)
    assert crowded(one, [one, near, far])
    assert not crowded(one, [one, far])


def test_no_faces_are_no_people() -> None:
    assert link_people({}) == []
    assert link_people({1001: [], 1002: []}) == []


STEP, WIDTH = 60, 480
"""The two pass each other at 60 px a frame each; their pictures start 480 px apart."""


@pytest.fixture(scope="module")
def crossing(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> PlateSequence:
    """Two rendered people who pass each other, the one from the left in front."""
    heads = []
    for version in ("B", "C"):
        plate = read_plate(shared / "synth" / "shots" / "sh010" / version / f"sh010_{version}.1040.exr")
        heads.append((plate.rgb(), display_channel(plate, "matte.person")[..., None]))
    folder = tmp_path_factory.mktemp("crossing")
    for n in range(9):
        picture = np.full((540, 960 + WIDTH, 3), 0.15, np.float32)
        for (rgb, matte), left in zip(heads, (WIDTH - STEP * n, STEP * n), strict=True):
            under = picture[:, left : left + 960]
            under += matte * (rgb - under)
        write_image(folder / f"crossing.{1001 + n}.exr", picture, channel_names=("R", "G", "B"))
    return PlateSequence.find(folder / "crossing.####.exr")


def test_rendered_people_who_cross_keep_their_ids(crossing: PlateSequence) -> None:
    shot = align_shot(crossing, crossing.frames, Colour(), "lin_rec709_scene", AlignSettings())
    assert shot.people == (0, 1)
    assert all(len(shot.frames[frame]) == 2 for frame in (1001, 1002, 1008, 1009)), "both are seen before and after"
    for person in shot.people:
        walked = {
            frame: face.landmarks_px[30, 0]
            for frame in crossing.frames
            if (face := shot.face(frame, person)) is not None and face.confidence > 0.4 and not face.interpolated
        }
        assert len(walked) >= 5
        steps = np.array([(walked[b] - walked[a]) / (b - a) for a, b in pairwise(walked)])
        assert (np.sign(steps) == np.sign(steps[0])).all(), "nobody turns back or jumps to the other"
        assert np.abs(np.abs(steps) - STEP).max() < 0.25 * STEP


def test_the_nearest_person_is_told_and_how_far_they_are() -> None:
    identities = {0: np.zeros(128), 1: np.full(128, 0.1)}
    assert nearest_person(identities, np.full(128, 0.09)) == (1, pytest.approx(0.01 * np.sqrt(128)))
    assert nearest_person({}, np.zeros(128)) is None
    faces = {1: known(face_at(1), 3), 2: face_at(2), 3: known(face_at(3), 5)}
    mean = identity(faces)
    assert mean is not None
    assert (mean[3], mean[5], mean.sum()) == (0.25, 0.25, 0.5)
    assert identity({2: face_at(2)}) is None


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory) -> PlateSequence:
    """Two rendered people side by side; B leaves for five frames, comes back elsewhere; then B alone, where A was."""
    portraits = {who: read_plate(PORTRAITS / f"{who}_0031.jpg").rgb() for who in "AB"}
    folder = tmp_path_factory.mktemp("story")
    for n in range(21):
        picture = np.full((340, 720, 3), 0.35 if n < 16 else 0.7, np.float32)
        if n < 16:
            picture[10:330, 10 + n : 330 + n] = portraits["A"]
        if n < 5 or n >= 10:
            left = 380 - n if n < 5 else 395 if n < 16 else 20 + n
            picture[10:330, left : left + 320] = portraits["B"]
        write_image(folder / f"story.{1001 + n}.png", picture)
    return PlateSequence.find(folder / "story.####.png")


def test_a_reference_picture_finds_its_person_through_leaving_returning_and_a_cut(
    story: PlateSequence, tmp_path: Path
) -> None:
    colour = Colour()
    shot = align_shot(story, story.frames, colour, None, AlignSettings())
    write_shot_faces(tmp_path / "story.faces.json", shot)
    shot = read_shot_faces(tmp_path / "story.faces.json")
    assert shot.people == (0, 1)
    a, b = (choose_person(str(PORTRAITS / f"{who}_0000.jpg"), shot, colour) for who in "AB")
    assert {a, b} == {0, 1}
    assert shot.span(a) == (1001, 1016, 16)
    assert shot.span(b) == (1001, 1021, 16)
    seen = {frame: face for frame in story.frames if (face := shot.face(frame, b)) is not None}
    assert set(seen) == {*range(1001, 1006), *range(1011, 1022)}
    assert seen[1016].landmarks_px[30, 0] - seen[1017].landmarks_px[30, 0] > 300, "nothing is smoothed across the cut"
    assert choose_person("1", shot, colour) == 1
    with pytest.raises(UsageError, match=r"0 \(frames 1001-"):
        choose_person("2", shot, colour)
    with pytest.raises(UsageError, match="neither the number"):
        choose_person("nobody.jpg", shot, colour)
    with pytest.raises(UsageError, match="nobody in the shot looks like that"):
        choose_person(str(PORTRAITS / "A_0000.jpg"), replace(shot, identities={b: shot.identities[b]}), colour)
    with pytest.raises(UsageError, match="do not say who"):
        choose_person(str(PORTRAITS / "A_0000.jpg"), replace(shot, identities={}), colour)
    write_image(tmp_path / "wall.png", np.full((200, 200, 3), 0.5, np.float32))
    with pytest.raises(InputError, match="no face in it"):
        choose_person(str(tmp_path / "wall.png"), shot, colour)
