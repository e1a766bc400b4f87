"""One frame of a run from file to file: is it done already, read it, compute it, write it, say what became of it.

Frames are independent of each other and of how a run is cut into chunks: everything that needs the whole shot (people,
steady alignment, the blend's resolution) is in the shot faces and in the job's settings.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from bodydouble import __version__
from bodydouble.colour import Colour
from bodydouble.errors import BodydoubleError, NoFaceError
from bodydouble.images import lossy_compression, output_compression, read_headers, write_plate
from bodydouble.lookfile import ShotLook
from bodydouble.plate import Plate
from bodydouble.provenance import PREFIX, Origin, Value, stamp_of, stamped
from bodydouble.reading import read_frame
from bodydouble.sequences import PlateSequence
from bodydouble.shotfaces import Face, ShotFaces
from bodydouble.swapframe import SwapModel, SwappedFrame, swap_frame
from bodydouble.swaplayers import black_crop, with_layers, write_patch
from bodydouble.swapstages import face_matte


@dataclass(frozen=True)
class FrameResult:
    """What became of one frame of a run.

    Attributes:
        status: "done", "skipped" (already there, made by the same job), "no_face", "missing" (the plate has no such
            frame) or "failed".
        path: the file written or found, None if there is none.
        message: why not done, or a notice.
        confidence: of the alignment, 0..1; None without a face.
        seconds: by stage: read, crop, network, blend, write.
        patch: the patch file written, None if there is none.
    """

    frame: int
    status: Literal["done", "skipped", "no_face", "missing", "failed"]
    path: Path | None
    message: str
    confidence: float | None
    seconds: Mapping[str, float]
    patch: Path | None = None


@dataclass(frozen=True, eq=False)
class Arrived:
    """A frame as the reader hands it on: a plate to compute, or a result that needs no computing."""

    outcome: Plate | FrameResult
    job_hash: str = ""
    content: str = ""
    """Digest of the plate's file."""
    seconds: float = 0.0


@dataclass(frozen=True, eq=False)
class FrameJob:
    """What stays the same for all frames of a run."""

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

    def read(self, frame: int) -> Arrived:
        """Read the frame, or find out that it is missing, done already, or unreadable."""
        start = time.perf_counter()
        source, target = self.plate.path(frame), self.out.path(frame)
        face = self._face(frame)
        try:
            if not source.exists():
                return Arrived(
                    _settled(frame, "missing", f"{source} does not exist; render it, or leave it out with --frames")
                )
            content = self._content(source)
            digest = self._hash(frame, content, face)
            if target.exists() and not self.overwrite:
                found = _found(frame, target, digest)
                patch_is_there = self.patches is None or self.patches.exists(frame)
                if patch_is_there or found.status == "failed":
                    return Arrived(found)
            plate = read_frame(self.plate, frame)
        except (BodydoubleError, OSError) as error:
            return Arrived(_settled(frame, "failed", str(error)))
        if face is None and self.look.at(frame).on_no_face == "fail":
            return Arrived(_settled(frame, "no_face", f"{source.name}: {self._why_no_face(frame)}"))
        return Arrived(plate, digest, content, time.perf_counter() - start)

    def finish(self, frame: int, arrived: Arrived, writers: ThreadPoolExecutor) -> Future[FrameResult]:
        """Compute the frame and hand it to a writer."""
        plate = arrived.outcome
        if isinstance(plate, FrameResult):
            return _ready(plate)
        face = self._face(frame)
        seconds = {"read": arrived.seconds}
        try:
            if face is None:
                swapped = SwappedFrame(plate, np.zeros((plate.height, plate.width), np.float32), {})
                message = f"no face: a copy of the plate ({self._why_no_face(frame)})"
            else:
                swapped = swap_frame(plate, face, self.model, self.colour, self.colorspace, self.look.at(frame))
                message = ""
        except NoFaceError as error:
            return _ready(FrameResult(frame, "no_face", None, f"frame {frame}: {error}", None, seconds))
        except BodydoubleError as error:
            return _ready(FrameResult(frame, "failed", None, str(error), None, seconds))
        seconds |= swapped.seconds
        return writers.submit(self._write, frame, swapped, face, message, seconds, arrived)

    def _write(
        self,
        frame: int,
        swapped: SwappedFrame,
        face: Face | None,
        message: str,
        seconds: dict[str, float],
        arrived: Arrived,
    ) -> FrameResult:
        start = time.perf_counter()
        path, patch = self.out.path(frame), None
        confidence = None if face is None else face.confidence
        stamp = stamp_of(self._origin(frame, face, arrived, swapped.plate))
        plate = with_layers(swapped.plate, None) if self.look.settings.layers and face is None else swapped.plate
        try:
            if self.patches is not None:
                patch = self.patches.path(frame)
                self._write_patch(patch, frame, swapped, face, stamp)
            write_plate(path, stamped(plate, stamp, lossy_compression(plate, self.compression)), self.compression)
        except BodydoubleError as error:
            return FrameResult(frame, "failed", None, str(error), confidence, seconds)
        except OSError as error:
            return FrameResult(frame, "failed", None, f"{path}: {error.strerror}", confidence, seconds)
        seconds["write"] = time.perf_counter() - start
        note = message or output_compression(swapped.plate, self.compression)[1]
        return FrameResult(frame, "done", path, note, confidence, seconds, patch)

    def _write_patch(
        self, path: Path, frame: int, swapped: SwappedFrame, face: Face | None, stamp: Mapping[str, Value]
    ) -> None:
        space = self.model.card.model_space
        swap, matte = black_crop(self.model.comb.dims.size)
        if swapped.swap is not None and face is not None:
            swap = swapped.swap.cpu()
            matte = face_matte(face, swap.shape[-1], self.look.at(frame).forehead)
        from_working = self.colour.converter(space.primaries, str(stamp[PREFIX + "colorspace"]))
        write_patch(path, swap, matte, face, from_working, space, stamp)

    def _face(self, frame: int) -> Face | None:
        face = self.shot.face(frame, self.person)
        return face if face is not None and face.confidence >= self.look.at(frame).min_confidence else None

    def _why_no_face(self, frame: int) -> str:
        face = self.shot.face(frame, self.person)
        if face is None:
            who = "no face" if self.person is None else f"no face of person {self.person}"
            return f"{who} in the shot faces; check the alignment of frame {frame}, or allow it with --on-no-face plate"
        return f"confidence {face.confidence:.2f} is below {self.look.at(frame).min_confidence}"

    def _origin(self, frame: int, face: Face | None, arrived: Arrived, plate: Plate) -> Origin:
        card = self.model.card
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
            confidence=None if face is None else face.confidence,
            person=None if face is None else face.person,
        )

    def _content(self, source: Path) -> str:
        """What tells one content of the plate's file from another."""
        if self.plate.is_movie:
            # Reading a whole movie for every frame of it would take longer than the swap.
            return f"{source.stat().st_size} {source.stat().st_mtime_ns}"
        with source.open("rb") as handle:
            return hashlib.file_digest(handle, "sha256").hexdigest()

    def _hash(self, frame: int, content: str, face: Face | None) -> str:
        """What the frame is made of: plate content, face, model, persona, settings, version."""
        card = self.model.card
        parts = {
            "version": __version__,
            "plate": [content, frame if self.plate.is_movie else None, self.plate.part, self.plate.view],
            "model": [card.encoder_digest, card.trunk_digest, card.persona(self.model.persona).digest],
            "persona": self.model.persona,
            "face": None if face is None else [face.landmarks_px.tolist(), np.asarray(face.unit_from_plate).tolist()],
            "colour": [self.colour.name, self.colorspace],
            "settings": asdict(self.look.at(frame)),
            "compression": self.compression,
        }
        return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def _found(frame: int, target: Path, digest: str) -> FrameResult:
    """An output that is there already: skipped when this very job made it, else an error."""
    jobs: list[Any] = []
    with suppress(BodydoubleError):
        jobs = [header.attributes.get(PREFIX + "job") for header in read_headers(target)]
    if digest in jobs:
        return _settled(frame, "skipped", "already there, made by the same job", target)
    return _settled(
        frame, "failed", f"{target} exists and was made otherwise; write elsewhere or replace it with --overwrite"
    )


def _settled(
    frame: int, status: Literal["skipped", "no_face", "missing", "failed"], message: str, path: Path | None = None
) -> FrameResult:
    return FrameResult(frame, status, path, message, None, {})


def _ready(result: FrameResult) -> Future[FrameResult]:
    future: Future[FrameResult] = Future()
    future.set_result(result)
    return future
