"""Swapping a frame and a sequence: the stages of `swapstages`, composed.

Frames are independent of each other and of how a run is cut into chunks: everything that needs the whole shot (people,
steady alignment, the blend's resolution) is in the shot faces.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from datetime import date
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray

from bodydouble import __version__
from bodydouble.aligning import align_shot
from bodydouble.checkpoint import CombCard, load_comb
from bodydouble.colour import Colour
from bodydouble.comb import Comb
from bodydouble.devices import keep_memory, pick_device
from bodydouble.errors import BodydoubleError, NoFaceError, UsageError
from bodydouble.geometry import similarity_scale
from bodydouble.images import check_compression, output_compression, read_headers, write_plate
from bodydouble.plate import Plate
from bodydouble.reading import read_frame
from bodydouble.rights import check_rights, rights_from_document
from bodydouble.sequences import PlateSequence
from bodydouble.settings import AlignSettings, SwapSettings
from bodydouble.shotfaces import Face, ShotFaces
from bodydouble.swaplayers import black_crop, face_layers, with_layers, write_patch
from bodydouble.swapstages import (
    blend_crop,
    blend_size,
    composite,
    decode,
    encode,
    face_matte,
    face_region,
    model_space_to_plate,
    plate_to_model_space,
    warp_to_crop,
)

_WAITING_WRITES = 1
_WRITERS = 2


@dataclass(frozen=True, eq=False)
class SwapModel:
    """A loaded model and the persona it shall show."""

    comb: Comb
    card: CombCard
    persona: str
    device: torch.device
    notice: str | None = None
    """What must be shown to the user about the persona's rights."""


@dataclass(frozen=True, eq=False)
class SwappedFrame:
    """One finished frame in memory.

    Attributes:
        plate: with the face replaced, and with the layers if the settings ask for them.
        matte: H×W of the display window.
        seconds: by stage.
        swap: what the network returned, 1×3×s×s in model space; None where there is no face.
    """

    plate: Plate
    matte: NDArray[np.float32]
    seconds: Mapping[str, float]
    swap: torch.Tensor | None = None


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


def load_swap_model(
    folder: Path, persona: str, device: str = "auto", production: str | None = None, today: date | None = None
) -> SwapModel:
    """Load a model with one persona, after checking the persona's rights.

    Raises:
        ModelError, UnknownPersonaError: see `load_comb`.
        RightsError: the rights are over, or do not cover `production`.
    """
    where = pick_device(device)
    comb, card = load_comb(folder, [persona], where)
    record = card.persona(persona).rights
    rights = None if record is None else rights_from_document(record, f"rights of {persona} in {folder}")
    notice = check_rights(rights, persona, today or date.today(), production)
    comb = comb.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return SwapModel(comb, card, persona, where, notice)


def swap_frame(
    plate: Plate, face: Face, model: SwapModel, colour: Colour, colorspace: str | None, settings: SwapSettings
) -> SwappedFrame:
    """Replace one face in one plate.

    Args:
        plate: as read; nothing in it is changed.
        face: whose face, aligned.
        model: network and persona.
        colour: OpenColorIO config.
        colorspace: of the plate; None to take it from the file.
        settings: matte and blend. Without ``blend_size`` it is chosen from this face alone.

    Raises:
        NoFaceError: the face lies outside the picture.
        UnknownColourSpaceError: see `Colour`.
    """
    seconds: dict[str, float] = {}
    space = model.card.model_space
    source = colorspace or colour.space_of(plate.attributes, plate.path)
    with _timed(seconds, "crop"):
        region = face_region(plate, face)
        piece = plate_to_model_space(plate, region, colour.converter(source, space.primaries), space, model.device)
        crop = warp_to_crop(piece, face, model.comb.dims.size)
    with _timed(seconds, "network"):
        latent = encode(model.comb, crop, settings.precision)
        swap = decode(model.comb, latent, model.persona, settings.precision)
    with _timed(seconds, "blend"):
        size = settings.blend_size or blend_size(1 / similarity_scale(face.unit_from_plate))
        matte = face_matte(face, size, settings.forehead, model.device)
        blended = blend_crop(swap, warp_to_crop(piece, face, size), matte, settings)
        picture, region_matte = composite(blended, piece, face, settings)
        from_working = colour.converter(space.primaries, source)
        result = model_space_to_plate(plate, picture, region_matte, region, from_working, space)
        if settings.layers:
            result = with_layers(result, face_layers(swap, piece, region_matte, face, from_working, space))
    whole = np.zeros((plate.height, plate.width), np.float32)
    _paste(whole, region_matte, region)
    return SwappedFrame(result, whole, seconds, swap)


def swap_sequence(
    plate: PlateSequence,
    out: PlateSequence,
    comb_path: Path,
    persona: str,
    shot: ShotFaces | None,
    frames: Sequence[int],
    colour: Colour,
    colorspace: str | None,
    settings: SwapSettings,
    *,
    device: str = "auto",
    overwrite: bool = False,
    person: int | None = None,
    compression: str | None = None,
    production: str | None = None,
    patches: PlateSequence | None = None,
) -> Iterator[FrameResult]:
    """Swap frames of a plate; yields each frame's result in order as it is finished.

    A frame that fails leaves no file and the others go on. Reading and writing run beside the computation; at most one
    frame waits to be computed and two are being written, so memory does not grow with the shot.

    Args:
        plate, out: sequences to read and to write.
        comb_path, persona: model folder and who shall appear.
        shot: shot faces; None aligns the whole plate first, so that a part of it gives the same pixels.
        frames: which frames.
        colour, colorspace: see `swap_frame`.
        settings: matte and blend.
        device: "auto", "cpu", "cuda", …
        overwrite: write frames again that exist.
        person: whose face; None for the most prominent person.
        compression: of the EXR files; None keeps the plate's, or zip where that is lossy.
        production: what it is for, checked against the persona's rights.
        patches: where to write the crop-space swap of each frame too, see `write_patch`.

    Raises:
        UsageError, InputError, RightsError: before the first frame, when nothing could be done for any of them.
    """
    keep_memory()
    check_compression(compression)
    model = load_swap_model(comb_path, persona, device, production)
    if colorspace is not None:
        colorspace = colour.resolve(colorspace)
    if shot is None:
        shot = align_shot(plate, plate.frames, colour, colorspace, AlignSettings())
    if person is not None and person not in shot.people:
        raise UsageError(f"the shot has no person {person}; there are: {', '.join(map(str, shot.people)) or 'none'}.")
    settings = replace(settings, blend_size=settings.blend_size or _shot_blend_size(shot, person))
    job = _Job(plate, out, model, shot, person, colour, colorspace, settings, compression, overwrite, patches)
    with ThreadPoolExecutor(1) as readers, ThreadPoolExecutor(_WRITERS) as writers:
        waiting: list[Future[FrameResult]] = []
        ahead = [readers.submit(job.read, frame) for frame in frames[:1]]
        for index, frame in enumerate(frames):
            arrived = ahead.pop().result()
            if index + 1 < len(frames):
                ahead = [readers.submit(job.read, frames[index + 1])]
            waiting.append(job.finish(frame, arrived, writers))
            while waiting and (waiting[0].done() or len(waiting) > _WAITING_WRITES):
                yield waiting.pop(0).result()
        for future in waiting:
            yield future.result()


@dataclass(frozen=True, eq=False)
class _Arrived:
    """A frame as the reader hands it on: a plate to compute, or a result that needs no computing."""

    outcome: Plate | FrameResult
    job_hash: str = ""
    seconds: float = 0.0


@dataclass(frozen=True, eq=False)
class _Job:
    """What stays the same for all frames of a run."""

    plate: PlateSequence
    out: PlateSequence
    model: SwapModel
    shot: ShotFaces
    person: int | None
    colour: Colour
    colorspace: str | None
    settings: SwapSettings
    compression: str | None
    overwrite: bool
    patches: PlateSequence | None

    def read(self, frame: int) -> _Arrived:
        """Read the frame, or find out that it is missing, done already, or unreadable."""
        start = time.perf_counter()
        source, target = self.plate.path(frame), self.out.path(frame)
        face = self._face(frame)
        try:
            if not source.exists():
                return _Arrived(
                    _settled(frame, "missing", f"{source} does not exist; render it, or leave it out with --frames")
                )
            digest = self._hash(frame, source, face)
            if target.exists() and not self.overwrite:
                found = _found(frame, target, digest)
                patch_is_there = self.patches is None or self.patches.exists(frame)
                if patch_is_there or found.status == "failed":
                    return _Arrived(found)
            plate = read_frame(self.plate, frame)
        except (BodydoubleError, OSError) as error:
            return _Arrived(_settled(frame, "failed", str(error)))
        if face is None and self.settings.on_no_face == "fail":
            return _Arrived(_settled(frame, "no_face", f"{source.name}: {self._why_no_face(frame)}"))
        return _Arrived(plate, digest, time.perf_counter() - start)

    def finish(self, frame: int, arrived: _Arrived, writers: ThreadPoolExecutor) -> Future[FrameResult]:
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
                swapped = swap_frame(plate, face, self.model, self.colour, self.colorspace, self.settings)
                message = ""
        except NoFaceError as error:
            return _ready(FrameResult(frame, "no_face", None, f"frame {frame}: {error}", None, seconds))
        except BodydoubleError as error:
            return _ready(FrameResult(frame, "failed", None, str(error), None, seconds))
        seconds |= swapped.seconds
        return writers.submit(self._write, frame, swapped, face, message, seconds, arrived.job_hash)

    def _write(
        self, frame: int, swapped: SwappedFrame, face: Face | None, message: str, seconds: dict[str, float], digest: str
    ) -> FrameResult:
        start = time.perf_counter()
        path, patch = self.out.path(frame), None
        confidence = None if face is None else face.confidence
        made_by = self._provenance(frame, face, digest, swapped.plate)
        plate = swapped.plate.with_attributes(made_by)
        if self.settings.layers and face is None:
            plate = with_layers(plate, None)
        try:
            if self.patches is not None:
                patch = self.patches.path(frame)
                self._write_patch(patch, swapped, face, made_by)
            write_plate(path, plate, self.compression)
        except BodydoubleError as error:
            return FrameResult(frame, "failed", None, str(error), confidence, seconds)
        except OSError as error:
            return FrameResult(frame, "failed", None, f"{path}: {error.strerror}", confidence, seconds)
        seconds["write"] = time.perf_counter() - start
        note = message or output_compression(swapped.plate, self.compression)[1]
        return FrameResult(frame, "done", path, note, confidence, seconds, patch)

    def _write_patch(
        self, path: Path, swapped: SwappedFrame, face: Face | None, made_by: Mapping[str, str | int | float]
    ) -> None:
        space = self.model.card.model_space
        swap, matte = black_crop(self.model.comb.dims.size)
        if swapped.swap is not None and face is not None:
            swap = swapped.swap.cpu()
            matte = face_matte(face, swap.shape[-1], self.settings.forehead)
        from_working = self.colour.converter(space.primaries, str(made_by["bodydouble/colorspace"]))
        write_patch(path, swap, matte, face, from_working, space, made_by)

    def _face(self, frame: int) -> Face | None:
        face = self.shot.face(frame, self.person)
        return face if face is not None and face.confidence >= self.settings.min_confidence else None

    def _why_no_face(self, frame: int) -> str:
        face = self.shot.face(frame, self.person)
        if face is None:
            who = "no face" if self.person is None else f"no face of person {self.person}"
            return f"{who} in the shot faces; check the alignment of frame {frame}, or allow it with --on-no-face plate"
        return f"confidence {face.confidence:.2f} is below {self.settings.min_confidence}"

    def _provenance(self, frame: int, face: Face | None, digest: str, plate: Plate) -> dict[str, str | int | float]:
        card = self.model.card
        persona = card.persona(self.model.persona)
        record = persona.rights or {}
        made_by: dict[str, str | int | float] = {
            "bodydouble/version": __version__,
            "bodydouble/persona": persona.name,
            "bodydouble/persona_sha256": persona.digest,
            "bodydouble/encoder_sha256": card.encoder_digest,
            "bodydouble/rights": str(record.get("performer", "")) or "no rights record",
            "bodydouble/settings": json.dumps(asdict(self.settings), sort_keys=True),
            "bodydouble/plate": self.plate.path(frame).name,
            "bodydouble/frame": frame,
            "bodydouble/colorspace": self.colorspace or self.colour.space_of(plate.attributes, plate.path),
            "bodydouble/swapped": int(face is not None),
            "bodydouble/job": digest,
        }
        if face is not None:
            made_by |= {"bodydouble/confidence": float(face.confidence), "bodydouble/person": face.person}
        return made_by

    def _hash(self, frame: int, source: Path, face: Face | None) -> str:
        """What the frame is made of: plate content, face, model, persona, settings, version."""
        card = self.model.card
        if self.plate.is_movie:
            # Reading a whole movie for every frame of it would take longer than the swap.
            content = f"{source.stat().st_size} {source.stat().st_mtime_ns}"
        else:
            with source.open("rb") as handle:
                content = hashlib.file_digest(handle, "sha256").hexdigest()
        parts = {
            "version": __version__,
            "plate": [content, frame if self.plate.is_movie else None, self.plate.part, self.plate.view],
            "model": [card.encoder_digest, card.trunk_digest, card.persona(self.model.persona).digest],
            "persona": self.model.persona,
            "face": None if face is None else [face.landmarks_px.tolist(), np.asarray(face.unit_from_plate).tolist()],
            "colour": [self.colour.name, self.colorspace],
            "settings": asdict(self.settings),
            "compression": self.compression,
        }
        return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def _found(frame: int, target: Path, digest: str) -> FrameResult:
    """An output that is there already: skipped when this very job made it, else an error."""
    jobs: list[Any] = []
    with suppress(BodydoubleError):
        jobs = [header.attributes.get("bodydouble/job") for header in read_headers(target)]
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


def _shot_blend_size(shot: ShotFaces, person: int | None) -> int | None:
    """One size for all frames of the shot: a face that grows must not change the blend half-way."""
    faces = [shot.face(frame, person) for frame in shot.frames]
    sides = [1 / similarity_scale(face.unit_from_plate) for face in faces if face is not None]
    return blend_size(max(sides)) if sides else None


def _paste(whole: NDArray[np.float32], matte: NDArray[np.float32], region: tuple[int, int, int, int]) -> None:
    """Put the region's matte into the display window's, dropping what lies outside."""
    height, width = whole.shape
    x0, y0, x1, y1 = max(0, region[0]), max(0, region[1]), min(width, region[2]), min(height, region[3])
    if x0 < x1 and y0 < y1:
        whole[y0:y1, x0:x1] = matte[y0 - region[1] : y1 - region[1], x0 - region[0] : x1 - region[0]]


@contextmanager
def _timed(seconds: dict[str, float], stage: str) -> Iterator[None]:
    start = time.perf_counter()
    yield
    seconds[stage] = seconds.get(stage, 0.0) + time.perf_counter() - start
