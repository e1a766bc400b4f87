"""Shot faces: every frame's faces of one plate, people kept apart over time, and their sidecar `*.faces.json`.

Boxes and landmarks are plate pixels: x right, y down, (0, 0) the centre of the first pixel of the display window.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bodydouble.alignment.geometry import unit_from_landmarks
from bodydouble.documents import read_document
from bodydouble.errors import SidecarError
from bodydouble.writing import atomic_path

SCHEMA = "bodydouble.shotfaces"
VERSION = 2


@dataclass(frozen=True, eq=False)
class Face:
    """One person's face in one frame.

    `box_px`: (4,) left, top, right, bottom. `landmarks_px`: (68, 2), iBUG order. `score`: the detector's, 0 its
    usual threshold; None where it found nothing and the face was tracked or interpolated. `confidence`: 0..1, how
    far the landmarks can be trusted. `person`: 0 is the most prominent of the shot. `interpolated`: no picture was
    measured, only the frames around.
    `unit_from_plate`: 3×3, what `align` settled on; computed from the landmarks if not given.
    `irises_unit`: (2, 2) centres of the irises, image left first, `oval_unit`: (36, 2) outline with the forehead,
    clockwise from the middle of the hairline: both in the unit crop, where the landmarker knows them.
    """

    box_px: NDArray[np.float64]
    landmarks_px: NDArray[np.float64]
    score: float | None
    confidence: float
    person: int = 0
    interpolated: bool = False
    unit_from_plate: NDArray[np.float64] = field(default=None)  # type: ignore[arg-type]
    irises_unit: NDArray[np.float64] | None = None
    oval_unit: NDArray[np.float64] | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "box_px", _array("box_px", self.box_px, (4,)))
        object.__setattr__(self, "landmarks_px", _array("landmarks_px", self.landmarks_px, (68, 2)))
        matrix = unit_from_landmarks(self.landmarks_px) if self.unit_from_plate is None else self.unit_from_plate
        object.__setattr__(self, "unit_from_plate", _array("unit_from_plate", matrix, (3, 3)))
        if self.irises_unit is not None:
            object.__setattr__(self, "irises_unit", _array("irises_unit", self.irises_unit, (2, 2)))
        if self.oval_unit is not None:
            object.__setattr__(self, "oval_unit", _array("oval_unit", self.oval_unit, (36, 2)))
        if not 0.0 <= self.confidence <= 1.0:
            raise ValueError(f"confidence must be in 0..1, got {self.confidence}")
        if self.person < 0:
            raise ValueError(f"person must not be negative, got {self.person}")


@dataclass(frozen=True, eq=False)
class ShotFaces:
    """The faces of a plate: `plate` is its pattern, `frames` maps a frame number to its faces, sorted by person.

    `width`, `height`: the display window. `pixel_aspect`: width of a pixel over its height. `settings`: what `align`
    ran with. `identities`: person → (128,) mean embedding, where somebody asked who it is.
    `tool`: which version wrote it.
    """

    plate: str
    width: int
    height: int
    frames: Mapping[int, tuple[Face, ...]]
    pixel_aspect: float = 1.0
    settings: Mapping[str, Any] = field(default_factory=dict)
    tool: str = ""
    identities: Mapping[int, NDArray[np.float64]] = field(default_factory=dict)

    def face(self, frame: int, person: int | None = None) -> Face | None:
        """The face of a person in a frame, None if there is none. `person` None: the most prominent one."""
        wanted = 0 if person is None else person
        return next((face for face in self.frames.get(frame, ()) if face.person == wanted), None)

    @property
    def people(self) -> tuple[int, ...]:
        """The ids of everybody in the shot."""
        return tuple(sorted({face.person for faces in self.frames.values() for face in faces}))

    def span(self, person: int) -> tuple[int, int, int]:
        """First and last frame of a person, and in how many frames there is a face."""
        frames = [frame for frame, faces in self.frames.items() if any(face.person == person for face in faces)]
        return min(frames), max(frames), len(frames)

    def only(self, person: int) -> ShotFaces:
        """The shot with one person alone, who becomes person 0."""
        frames = {
            frame: tuple(replace(face, person=0) for face in faces if face.person == person)
            for frame, faces in self.frames.items()
        }
        identities = {0: self.identities[person]} if person in self.identities else {}
        return replace(self, frames=frames, identities=identities)


def read_shot_faces(path: str | Path) -> ShotFaces:
    """Read a sidecar. Raises SidecarError that names the file and, where one is wrong, the field."""
    data = read_document(path, SidecarError, "`bodydouble align` makes it.")
    if not isinstance(data, dict) or data.get("schema") != SCHEMA:
        raise SidecarError(f"{path}: not shot faces (its `schema` is not {SCHEMA}).")
    return _shot(_upgraded(data, path), path)


def write_shot_faces(path: str | Path, shot: ShotFaces) -> None:
    """Write a sidecar as a whole or not at all. Landmarks and boxes are rounded to 0.01 px. Raises OutputError."""
    with atomic_path(Path(path)) as temporary:
        temporary.write_text(_text(shot), encoding="utf-8")


def _upgraded(data: dict[str, Any], path: str | Path) -> dict[str, Any]:
    """The data as the newest version has it; each version adds its step here."""
    version = data.get("version")
    if version not in (1, VERSION):
        raise SidecarError(
            f"{path}: `version` is {version!r}, and this Bodydouble reads 1 to {VERSION}. "
            "Run `bodydouble align` again, or update Bodydouble."
        )
    return data  # version 2 added irises and oval, which a face may lack


def _shot(data: dict[str, Any], path: str | Path) -> ShotFaces:
    where = "frames"
    try:
        frames: dict[int, tuple[Face, ...]] = {}
        for number, faces in data["frames"].items():
            where = f"frames.{number}"
            frames[int(number)] = tuple(_face(face) for face in faces)
        where = "plate, width, height, pixel_aspect, settings, people or tool"
        return ShotFaces(
            plate=str(data["plate"]),
            width=int(data["width"]),
            height=int(data["height"]),
            frames=frames,
            pixel_aspect=float(data["pixel_aspect"]),
            settings=dict(data["settings"]),
            tool=str(data["tool"]),
            identities={
                int(person["person"]): _array("identity", person["identity"], (128,))
                for person in data.get("people", ())
                if person.get("identity")
            },
        )
    except KeyError as error:
        raise SidecarError(f"{path}: {where}: the field {error} is missing. Run `bodydouble align` again.") from error
    except (TypeError, ValueError, AttributeError) as error:
        raise SidecarError(f"{path}: {where}: {error}. Run `bodydouble align` again.") from error


def _face(data: dict[str, Any]) -> Face:
    return Face(
        box_px=data["box_px"],
        landmarks_px=data["landmarks_px"],
        score=None if data["score"] is None else float(data["score"]),
        confidence=float(data["confidence"]),
        person=int(data["person"]),
        interpolated=bool(data["interpolated"]),
        unit_from_plate=data["unit_from_plate"],
        irises_unit=data.get("irises_unit"),
        oval_unit=data.get("oval_unit"),
    )


def _face_data(face: Face) -> dict[str, Any]:
    known = {"irises_unit": face.irises_unit, "oval_unit": face.oval_unit}
    return {
        "person": face.person,
        "score": None if face.score is None else round(face.score, 4),
        "confidence": round(face.confidence, 4),
        "interpolated": face.interpolated,
        "box_px": face.box_px.round(2).tolist(),
        "unit_from_plate": [[float(f"{v:.10g}") for v in row] for row in face.unit_from_plate.tolist()],
        "landmarks_px": face.landmarks_px.round(2).tolist(),
        **{name: points.round(5).tolist() for name, points in known.items() if points is not None},
    }


def _person_data(shot: ShotFaces, person: int) -> dict[str, Any]:
    first, last, count = shot.span(person)
    known = shot.identities.get(person)
    return {
        "person": person,
        "first": first,
        "last": last,
        "frames": count,
        "identity": None if known is None else np.asarray(known).round(4).tolist(),
    }


def _text(shot: ShotFaces) -> str:
    """JSON with one face a line: readable, and a diff of two sidecars shows the faces that changed."""
    head = {
        "schema": SCHEMA,
        "version": VERSION,
        "tool": shot.tool,
        "plate": shot.plate,
        "width": shot.width,
        "height": shot.height,
        "pixel_aspect": shot.pixel_aspect,
        "settings": dict(shot.settings),
        "people": [],
    }
    rows = []
    for number in sorted(shot.frames):
        faces = ",\n".join("      " + json.dumps(_face_data(face)) for face in shot.frames[number])
        rows.append(f'    "{number}": [\n{faces}\n    ]' if faces else f'    "{number}": []')
    people = ",\n".join("    " + json.dumps(_person_data(shot, person)) for person in shot.people)
    opening = json.dumps(head, indent=2, ensure_ascii=False)[:-2]
    opening = opening.replace('"people": []', f'"people": [\n{people}\n  ]' if people else '"people": []')
    return f'{opening},\n  "frames": {{\n' + ",\n".join(rows) + "\n  }\n}\n"


def _array(name: str, value: ArrayLike, shape: tuple[int, ...]) -> NDArray[np.float64]:
    array = np.array(value, np.float64)
    if array.shape != shape or not np.isfinite(array).all():
        raise ValueError(f"{name} must be finite and have shape {shape}, got {array.shape}")
    array.setflags(write=False)
    return array
