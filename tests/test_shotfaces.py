"""Shot faces and their sidecar."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from bodydouble.alignment.geometry import CANONICAL_LANDMARKS, apply, similarity_matrix, unit_from_landmarks
from bodydouble.alignment.shotfaces import Face, ShotFaces, read_shot_faces, write_shot_faces
from bodydouble.errors import OutputError, SidecarError


def face(person: int = 0, shift: float = 0.0, **fields: object) -> Face:
    landmarks = apply(np.linalg.inv(similarity_matrix(0.004, 0.1, (300.0 + shift, 200.0))), CANONICAL_LANDMARKS)
    values = {"score": 1.25, "confidence": 0.875, "person": person, **fields}
    return Face(np.array([200.0, 100.25, 400.0, 300.0]), landmarks, **values)  # type: ignore[arg-type]


def shot() -> ShotFaces:
    frames = {1001: (face(), face(1, 120.0)), 1002: (), 1003: (face(score=None, interpolated=True),)}
    return ShotFaces("plates/sh010.####.exr", 1920, 1080, frames, 2.0, {"beta": 0.05}, "bodydouble 0.1.0")


def test_a_sidecar_comes_back_as_it_was_written(tmp_path: Path) -> None:
    written = shot()
    write_shot_faces(tmp_path / "a.faces.json", written)
    back = read_shot_faces(tmp_path / "a.faces.json")
    assert (back.plate, back.width, back.height, back.pixel_aspect) == ("plates/sh010.####.exr", 1920, 1080, 2.0)
    assert (back.settings, back.tool, list(back.frames)) == ({"beta": 0.05}, "bodydouble 0.1.0", [1001, 1002, 1003])
    for frame, faces in written.frames.items():
        for one, other in zip(faces, back.frames[frame], strict=True):
            assert (one.score, one.confidence, one.person, one.interpolated) == (
                other.score,
                other.confidence,
                other.person,
                other.interpolated,
            )
            np.testing.assert_allclose(other.landmarks_px, one.landmarks_px, atol=0.00501)
            np.testing.assert_allclose(other.unit_from_plate, one.unit_from_plate, rtol=1e-8)


def test_writing_what_was_read_changes_nothing(tmp_path: Path) -> None:
    write_shot_faces(tmp_path / "a.json", shot())
    write_shot_faces(tmp_path / "b.json", read_shot_faces(tmp_path / "a.json"))
    assert (tmp_path / "a.json").read_bytes() == (tmp_path / "b.json").read_bytes()


def test_a_face_is_found_by_frame_and_person() -> None:
    faces = shot()
    assert faces.face(1001) is faces.frames[1001][0]
    assert faces.face(1001, 1) is faces.frames[1001][1]
    assert faces.face(1003, 1) is None
    assert faces.face(1002) is None
    assert faces.face(2000) is None
    assert faces.people == (0, 1)


def test_the_alignment_comes_from_the_landmarks_unless_the_shot_solve_gives_one() -> None:
    plain = face()
    np.testing.assert_array_equal(plain.unit_from_plate, unit_from_landmarks(plain.landmarks_px))
    smoothed = similarity_matrix(0.005, 0.0, (301.0, 200.0))
    np.testing.assert_array_equal(face(unit_from_plate=smoothed).unit_from_plate, smoothed)


def test_a_face_cannot_be_changed() -> None:
    with pytest.raises(ValueError, match="read-only"):
        face().landmarks_px[0, 0] = 1


@pytest.mark.parametrize("wrong", [{"confidence": 1.5}, {"person": -1}, {"unit_from_plate": np.full((3, 3), np.nan)}])
def test_faces_that_make_no_sense_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        face(**wrong)  # type: ignore[arg-type]


def test_a_missing_sidecar_says_which_command_makes_it(tmp_path: Path) -> None:
    with pytest.raises(SidecarError, match=r"none\.faces\.json: no such file.*bodydouble align"):
        read_shot_faces(tmp_path / "none.faces.json")


@pytest.mark.parametrize("text", ["", "{", "[]", '{"schema": "other"}', "\udcff"])
def test_a_file_that_is_no_sidecar_is_named(tmp_path: Path, text: str) -> None:
    path = tmp_path / "odd.json"
    path.write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(SidecarError, match=r"odd\.json"):
        read_shot_faces(path)


def test_irises_and_oval_come_back_as_they_were_written_and_move_with_the_crop(tmp_path: Path) -> None:
    irises, oval = np.array([[0.36, 0.35], [0.64, 0.35]]), np.linspace(0, 1, 72).reshape(36, 2)
    written = ShotFaces("p.####.exr", 64, 64, {1: (face(irises_unit=irises, oval_unit=oval),)})
    write_shot_faces(tmp_path / "a.json", written)
    (back,) = read_shot_faces(tmp_path / "a.json").frames[1]
    np.testing.assert_allclose(back.irises_unit, irises, atol=5.1e-6)
    np.testing.assert_allclose(back.oval_unit, oval, atol=5.1e-6)
    with pytest.raises(ValueError, match="oval_unit"):
        face(oval_unit=oval[:5])


def test_a_sidecar_of_version_1_is_read(tmp_path: Path) -> None:
    shot_1 = read_shot_faces(_edited(tmp_path, lambda data: data.update(version=1)))
    assert shot_1.people == (0, 1)
    assert shot_1.frames[1001][0].irises_unit is None


def test_a_sidecar_of_a_newer_version_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SidecarError, match="`version` is 99"):
        read_shot_faces(_edited(tmp_path, lambda data: data.update(version=99)))


def test_a_missing_field_is_named_with_its_frame(tmp_path: Path) -> None:
    path = _edited(tmp_path, lambda data: data["frames"]["1003"][0].pop("score"))
    with pytest.raises(SidecarError, match=r"frames\.1003.*'score'"):
        read_shot_faces(path)


def test_a_damaged_field_is_named_with_its_frame(tmp_path: Path) -> None:
    path = _edited(tmp_path, lambda data: data["frames"]["1001"][0]["landmarks_px"].pop())
    with pytest.raises(SidecarError, match=r"frames\.1001.*landmarks_px"):
        read_shot_faces(path)


def test_a_missing_width_is_named(tmp_path: Path) -> None:
    with pytest.raises(SidecarError, match="'width'"):
        read_shot_faces(_edited(tmp_path, lambda data: data.pop("width")))


def test_a_sidecar_that_cannot_be_written_leaves_the_old_one(tmp_path: Path) -> None:
    (tmp_path / "folder").write_text("a file")
    with pytest.raises(OutputError):
        write_shot_faces(tmp_path / "folder" / "a.json", shot())
    assert [p.name for p in tmp_path.iterdir()] == ["folder"]


def _edited(folder: Path, edit: object) -> Path:
    path = folder / "edited.faces.json"
    write_shot_faces(path, shot())
    data = json.loads(path.read_text())
    edit(data)  # type: ignore[operator]
    path.write_text(json.dumps(data))
    return path


def test_the_sidecar_says_from_when_to_when_each_person_is_there_and_who_it_is(tmp_path: Path) -> None:
    who = np.linspace(-0.3, 0.3, 128)
    write_shot_faces(tmp_path / "a.json", replace(shot(), identities={0: who}))
    people = json.loads((tmp_path / "a.json").read_text())["people"]
    assert [(p["person"], p["first"], p["last"], p["frames"]) for p in people] == [
        (0, 1001, 1003, 2),
        (1, 1001, 1001, 1),
    ]
    back = read_shot_faces(tmp_path / "a.json")
    np.testing.assert_allclose(back.identities[0], who, atol=5.1e-5)
    assert list(back.identities) == [0]
    write_shot_faces(tmp_path / "b.json", back)
    assert (tmp_path / "a.json").read_bytes() == (tmp_path / "b.json").read_bytes()


def test_one_person_alone_becomes_person_0() -> None:
    alone = replace(shot(), identities={0: np.zeros(128), 1: np.ones(128)}).only(1)
    assert alone.people == (0,)
    assert [len(faces) for faces in alone.frames.values()] == [1, 0, 0]
    assert alone.identities[0].all()


def test_a_sidecar_from_before_people_were_listed_is_read(tmp_path: Path) -> None:
    write_shot_faces(tmp_path / "a.json", shot())
    data = json.loads((tmp_path / "a.json").read_text())
    del data["people"]
    (tmp_path / "a.json").write_text(json.dumps(data))
    assert read_shot_faces(tmp_path / "a.json").identities == {}
