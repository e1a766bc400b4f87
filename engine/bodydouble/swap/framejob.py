"""A frame job: what stays the same for all frames of a run, and what each frame is made of.

Frames are independent of each other and of how a run is cut into chunks: everything that needs the whole shot (people,
steady alignment, the blend's resolution) is in the shot faces and in the job's look.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from bodydouble import __version__
from bodydouble.alignment.shotfaces import Face, ShotFaces
from bodydouble.plates.colour import Colour
from bodydouble.plates.plate import Plate
from bodydouble.plates.sequences import PlateSequence
from bodydouble.swap.guides import Guides
from bodydouble.swap.lookfile import ShotLook
from bodydouble.swap.provenance import Origin
from bodydouble.swap.resuming import Shows
from bodydouble.swap.swapframe import SwapModel, SwappedFace, SwappedFrame
from bodydouble.swap.warm import Warm


@dataclass(frozen=True)
class FrameResult:
    """What became of one frame of a run.

    Attributes:
        status: "done", "skipped" (already there, made by the same job; or missing, where that is allowed), "no_face",
            "missing" (the plate has no such frame) or "failed".
        path: the file written or found, None if there is none.
        message: why not done, or a notice.
        confidence: of the alignment, 0..1; None without a face.
        seconds: by stage: read, crop, network, blend, write. What a worker had kept is left out.
        patch: the patch file written, None if there is none.
        shows: what the file shows; "" without a file.
    """

    frame: int
    status: Literal["done", "skipped", "no_face", "missing", "failed"]
    path: Path | None
    message: str
    confidence: float | None
    seconds: Mapping[str, float]
    patch: Path | None = None
    shows: Shows | Literal[""] = ""

    @property
    def failed(self) -> bool:
        """Whether the frame has no result though one was asked for."""
        return self.status not in ("done", "skipped")


@dataclass(frozen=True, eq=False)
class Arrived:
    """A frame as the reader hands it on.

    Attributes:
        frame, plate: which, and its pixels (black ones for a frame that shall be black).
        face: whose face is replaced; None where the file shall show the plate or black.
        content: digest of the plate's file; "" for a frame that the plate does not have.
        job_hash: what the frame is made of.
        seconds: that reading took.
        kept: all of the frame that does not depend on its look, from a run before; None where it is not kept.
        shows, note: what the file will show, and what is to be said of it.
    """

    frame: int
    plate: Plate
    face: Face | None
    content: str
    job_hash: str
    seconds: float
    shows: Shows = "swap"
    note: str = ""
    kept: SwappedFace | None = None


@dataclass(frozen=True, eq=False)
class Computed:
    """A frame as it is handed to a writer."""

    arrived: Arrived
    swapped: SwappedFrame


@dataclass(frozen=True, eq=False)
class FrameJob:
    """What stays the same for all frames of a run, and what is done with each: read, compute, write.

    Attributes:
        plate, out, patches: sequences to read, to write, and of the crop-space swaps (None: not written).
        model, shot, person, colour, colorspace, look, compression, overwrite, on_missing: see `swap_sequence`.
        guides: mattes and grain of the shot; None without any.
        warm: what a worker kept of runs before; None where nothing is kept.
        draft: see `swap_sequence`.
    """

    plate: PlateSequence
    out: PlateSequence
    model: SwapModel
    shot: ShotFaces
    person: int | None
    colour: Colour
    colorspace: str | None
    look: ShotLook
    compression: str | None
    overwrite: bool
    patches: PlateSequence | None
    on_missing: Literal["fail", "skip", "black"] = "fail"
    warm: Warm | None = None
    guides: Guides | None = None
    draft: bool = False

    def accepted(self, frame: int) -> tuple[Shows, ...]:
        """What a finished frame may show. The rule is in no hash: changing it must not make swaps worthless."""
        rules: tuple[str, str] = (self.look.at(frame).on_no_face, self.on_missing)
        return ("swap", *(shows for shows in ("plate", "black") if shows in rules))

    def face(self, frame: int) -> Face | None:
        face = self.shot.face(frame, self.person)
        return face if face is not None and face.confidence >= self.look.at(frame).min_confidence else None

    def why_no_face(self, frame: int) -> str:
        face = self.shot.face(frame, self.person)
        if face is None:
            who = "no face" if self.person is None else f"no face of person {self.person}"
            return f"{who} in the shot faces; check the alignment of frame {frame}, or allow it with --on-no-face"
        return f"confidence {face.confidence:.2f} is below {self.look.at(frame).min_confidence}"

    def origin(self, arrived: Arrived, plate: Plate) -> Origin:
        card, frame, face = self.model.card, arrived.frame, arrived.face
        persona = card.persona(self.model.persona)
        return Origin(
            version=__version__,
            persona=persona.name,
            persona_sha256=persona.digest,
            encoder_sha256=card.encoder_digest,
            trunk_sha256=card.trunk_digest,
            settings=asdict(self.look.at(frame)),
            plate=self.plate.path(frame).name,
            # Of a movie the content is not read for every frame.
            plate_sha256="" if self.plate.is_movie else arrived.content,
            frame=frame,
            colorspace=self.colorspace or self.colour.space_of(plate.attributes, plate.path),
            production=self.model.production,
            rights=persona.rights,
            job=arrived.job_hash,
            swapped=face is not None,
            shows=arrived.shows,
            confidence=None if face is None else face.confidence,
            person=None if face is None else face.person,
        )

    def content(self, source: Path) -> str:
        """What tells one content of the plate's file from another."""
        if self.plate.is_movie:
            # Reading a whole movie for every frame of it would take longer than the swap.
            return f"{source.stat().st_size} {source.stat().st_mtime_ns}"
        if self.draft and self.warm is not None:
            return self.warm.digest(source, _file_digest)
        return _file_digest(source)

    def job_hash(self, frame: int, content: str, face: Face | None) -> str:
        """What the frame is made of: plate content, face, model, persona, settings, version."""
        look = asdict(self.look.at(frame))
        del look["on_no_face"]
        return _digest(
            {
                **self._swap_parts(frame, content, face),
                "landmarks": None if face is None else face.landmarks_px.tolist(),
                "settings": look,
                "guides": {} if self.guides is None or face is None else self.guides.content(frame),
                "compression": self.compression,
                **({"draft": True} if self.draft else {}),
            }
        )

    def swap_key(self, frame: int, content: str, face: Face | None) -> str:
        """What the network's part of a frame is made of: it stays the same when another look is tried."""
        parts, look = self._swap_parts(frame, content, face), self.look.settings
        shot_wide = {"precision": look.precision, "likeness": look.likeness, "device": str(self.model.device)}
        return _digest({**parts, **shot_wide})

    def face_key(self, frame: int, content: str, face: Face | None) -> str:
        """What all of a frame is made of that stays the same when another look is tried."""
        landmarks = None if face is None else face.landmarks_px.tolist()
        confidence = None if face is None else face.confidence
        size = self.look.settings.blend_size
        return _digest({"swap": self.swap_key(frame, content, face), "face": [landmarks, confidence], "size": size})

    def kept(self, frame: int, content: str, face: Face | None) -> SwappedFace | None:
        """All of a draft that does not depend on its look, where a worker has it from a run before."""
        if not self.draft or self.warm is None:
            return None
        return self.warm.faces.get(self.face_key(frame, content, face))

    def _swap_parts(self, frame: int, content: str, face: Face | None) -> dict[str, Any]:
        card, performer = self.model.card, self.look.settings.performer
        people = [self.model.persona, *([] if performer is None else [performer])]
        return {
            "version": __version__,
            "plate": [content, frame if self.plate.is_movie else None, self.plate.part, self.plate.view],
            "model": [card.encoder_digest, card.trunk_digest, *(card.persona(name).digest for name in people)],
            "persona": self.model.persona,
            "face": None if face is None else np.asarray(face.unit_from_plate).tolist(),
            "colour": [self.colour.name, self.colorspace],
        }


def _file_digest(path: Path) -> str:
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def _digest(parts: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()
