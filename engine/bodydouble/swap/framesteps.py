"""The three steps of a frame from file to file: read it, compute it, write it.

A frame that cannot be done leaves no file, and its result says why.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal

import numpy as np
import torch

from bodydouble.errors import BodydoubleError, InputError, NoFaceError, from_system, system_reason
from bodydouble.plates.images import lossy_compression, output_compression, write_plate
from bodydouble.plates.plate import Plate, Region
from bodydouble.plates.reading import misfit, read_frame
from bodydouble.swap.framejob import Arrived, Computed, FrameJob, FrameResult
from bodydouble.swap.provenance import PREFIX, Value, stamp_of, stamped
from bodydouble.swap.resuming import Shows, standing
from bodydouble.swap.swapframe import (
    BlendedFace,
    LookedFace,
    PreparedFrame,
    SwappedFace,
    SwappedFrame,
    blend_faces,
    finish_face,
    prepare_frame,
    read_guides,
    swap_faces,
    swapped_face,
    timed,
)
from bodydouble.swap.swaplayers import black_crop, with_layers, with_matte, write_patch
from bodydouble.swap.swapstages import face_matte
from bodydouble.writing import file_version


def read(job: FrameJob, frame: int) -> Arrived | FrameResult:
    """Read the frame, or find out that it is missing, done already, or unreadable."""
    try:
        source = job.plate.path(frame)
        if source.exists():
            return _read_plate(job, frame, source)
        if not source.parent.is_dir():
            raise InputError(f"{source.parent} cannot be reached; is its disk mounted?")
        return _read_missing(job, frame, source)
    except BodydoubleError as error:
        return _without_result(frame, "failed", str(error))
    except OSError as error:
        return _without_result(frame, "failed", str(from_system(error)))


def _read_plate(job: FrameJob, frame: int, source: Path) -> Arrived | FrameResult:
    start = time.perf_counter()
    begun = file_version(source)
    face, rule = job.face(frame), job.look.at(frame).on_no_face
    if face is None and rule == "fail":
        return _without_result(frame, "no_face", f"{source.name}: {job.why_no_face(frame)}")
    content = job.content(source)
    job_hash = job.job_hash(frame, content, face)
    note = _look_for(job, frame, job_hash)
    if isinstance(note, FrameResult):
        return note
    kept = job.kept(frame, content, face)
    plate = read_frame(job.plate, frame) if kept is None else kept.frame.plate
    if problem := misfit((plate.width, plate.height), job.shot):
        return _without_result(frame, "failed", f"{source} {problem}")
    if file_version(source) != begun:  # its digest must be that of the pixels that were read after it
        return _without_result(frame, "failed", f"{source} was written while it was read; wait for it, run it again")
    arrived = Arrived(frame, plate, face, content, job_hash, time.perf_counter() - start, note=note, kept=kept)
    return arrived if face is not None else _without_face(job, arrived, job.why_no_face(frame))


def _read_missing(job: FrameJob, frame: int, source: Path) -> Arrived | FrameResult:
    if job.on_missing == "skip":
        return _without_result(frame, "skipped", f"{source} does not exist")
    if job.on_missing == "fail":
        message = f"{source} does not exist; render it, leave it out with --frames, or allow it with --on-missing"
        return _without_result(frame, "missing", message)
    start = time.perf_counter()
    like = min(job.plate.frames, key=lambda have: (abs(have - frame), have))
    job_hash = job.job_hash(frame, f"missing, as {job.content(job.plate.path(like))}", None)
    note = _look_for(job, frame, job_hash)
    if isinstance(note, FrameResult):
        return note
    plate = read_frame(job.plate, like).blackened()
    note = f"black: {source.name} does not exist"
    return Arrived(frame, plate, None, "", job_hash, time.perf_counter() - start, "black", note)


def compute(job: FrameJob, arrived: Sequence[Arrived], batch: int = 1) -> list[Computed | FrameResult]:
    """The pixels of some frames, in their order; or why there are none. `batch`: as in `Plan`.

    A device that has no room for a frame's pictures beside the network leaves them to the CPU.
    """
    try:
        return _compute(job, arrived, batch, job.model.device)
    except torch.OutOfMemoryError:
        if len(arrived) > 1 or job.model.device.type == "cpu":
            raise
    torch.cuda.empty_cache()
    return _compute(job, arrived, batch, torch.device("cpu"))


def _compute(
    job: FrameJob, arrived: Sequence[Arrived], batch: int, device: torch.device
) -> list[Computed | FrameResult]:
    begun = [_prepare(job, one, device) for one in arrived]
    ready = {one.frame: made for one, made in zip(arrived, begun, strict=True) if isinstance(made, PreparedFrame)}
    swaps = _swaps(job, {one.frame: one for one in arrived if one.frame in ready}, ready, batch)
    looked = [_looked(job, one, made, swaps) for one, made in zip(arrived, begun, strict=True)]
    blended = iter(blend_faces([one for one in looked if isinstance(one, LookedFace)], job.model))
    return [
        _finish(job, one, next(blended)) if isinstance(look, LookedFace) else look
        for one, look in zip(arrived, looked, strict=True)
    ]


def _prepare(
    job: FrameJob, arrived: Arrived, device: torch.device
) -> PreparedFrame | SwappedFace | Computed | FrameResult:
    """The frame on its way to the network; or further, if it does not need to go there."""
    if not job.overwrite and _made_meanwhile(job, arrived):
        return _already_there(arrived.frame, job.out.path(arrived.frame), arrived.shows)
    if arrived.face is None:
        return _as_it_is(arrived)
    if arrived.kept is not None:
        return arrived.kept
    try:
        prepared = prepare_frame(arrived.plate, arrived.face, job.model, job.colour, job.colorspace, device)
        return replace(prepared, plate=arrived.plate.cropped(prepared.piece.region)) if job.draft else prepared
    except NoFaceError as error:
        without = _without_face(job, arrived, f"frame {arrived.frame}: {error}")
        return without if isinstance(without, FrameResult) else _as_it_is(without)
    except BodydoubleError as error:
        return _without_result(arrived.frame, "failed", str(error))


def _swaps(
    job: FrameJob, arrived: Mapping[int, Arrived], ready: Mapping[int, PreparedFrame], batch: int
) -> dict[int, tuple[torch.Tensor, dict[str, float]]]:
    """What the network returns for each frame, and the seconds that took."""
    keys, kept = dict[int, str](), dict[int, torch.Tensor | None]()
    if job.warm is not None:
        keys = {frame: job.swap_key(frame, one.content, one.face) for frame, one in arrived.items()}
        kept = {frame: job.warm.swaps.get(key) for frame, key in keys.items()}
    result = {
        frame: (swap.to(ready[frame].piece.picture.device), dict[str, float]())
        for frame, swap in kept.items()
        if swap is not None
    }
    wanted = [frame for frame in ready if frame not in result]
    for first in range(0, len(wanted), batch):
        part = wanted[first : first + batch]
        swaps, seconds = swap_faces([ready[frame] for frame in part], job.model, job.look.settings, batch)
        for frame, swap in zip(part, swaps, strict=True):
            result[frame] = swap, seconds
            if job.warm is not None:
                job.warm.swaps.keep(keys[frame], swap)
    return result


def _swapped(
    job: FrameJob, arrived: Arrived, ready: PreparedFrame, swap: torch.Tensor, seconds: dict[str, float]
) -> SwappedFace:
    """All of the frame that does not depend on its look; a worker keeps that of drafts, of which more will come."""
    with timed(seconds, "blend"):
        face = swapped_face(ready, swap, job.model, job.look.settings.blend_size)
    if job.draft and job.warm is not None:
        job.warm.faces.keep(job.face_key(arrived.frame, arrived.content, arrived.face), face)
    return face


def _looked(
    job: FrameJob,
    arrived: Arrived,
    made: PreparedFrame | SwappedFace | Computed | FrameResult,
    swaps: Mapping[int, tuple[torch.Tensor, dict[str, float]]],
) -> LookedFace | Computed | FrameResult:
    """The frame's face and all that its look needs; or the frame as it is, where it has none to be blended."""
    seconds: dict[str, float] = {}
    if isinstance(made, PreparedFrame):
        swap, spent = swaps[arrived.frame]
        seconds = {**made.seconds, **spent}
        made = _swapped(job, arrived, made, swap, seconds)
    if not isinstance(made, SwappedFace):
        return made
    try:
        guides = None if job.guides is None else read_guides(job.guides, arrived.frame, made.frame)
        return LookedFace(made, job.look.at(arrived.frame), guides, seconds)
    except BodydoubleError as error:
        return _without_result(arrived.frame, "failed", str(error))


def _finish(job: FrameJob, arrived: Arrived, blended: BlendedFace) -> Computed | FrameResult:
    try:
        return Computed(arrived, finish_face(blended, job.model, job.colour, job.draft))
    except BodydoubleError as error:
        return _without_result(arrived.frame, "failed", str(error))


def write(job: FrameJob, computed: Computed) -> FrameResult:
    """Write the frame and its patch."""
    start = time.perf_counter()
    arrived, swapped = computed.arrived, computed.swapped
    frame, face = arrived.frame, arrived.face
    path, patch = job.out.path(frame), None if job.patches is None else job.patches.path(frame)
    confidence = None if face is None else face.confidence
    seconds = {"read": arrived.seconds, **swapped.seconds}
    if not job.overwrite and _made_meanwhile(job, arrived):
        return _already_there(frame, path, arrived.shows)
    stamp = stamp_of(job.origin(arrived, swapped.plate))
    plate = swapped.plate
    if face is None and job.draft:
        plate = with_matte(plate.cropped(_one_pixel(plate)), np.zeros((1, 1), np.float32), 0, _one_pixel(plate))
    elif face is None and job.look.settings.layers:
        plate = with_layers(plate, None)
    try:
        if patch is not None:
            _write_patch(job, patch, arrived, swapped, stamp)
        write_plate(path, stamped(plate, stamp, lossy_compression(plate, job.compression)), job.compression)
    except BodydoubleError as error:
        return FrameResult(frame, "failed", None, str(error), confidence, seconds)
    except OSError as error:
        return FrameResult(frame, "failed", None, f"{path}: {system_reason(error)}", confidence, seconds)
    seconds["write"] = time.perf_counter() - start
    note = arrived.note or output_compression(swapped.plate, job.compression)[1]
    return FrameResult(frame, "done", path, note, confidence, seconds, patch, arrived.shows)


def _write_patch(
    job: FrameJob, path: Path, arrived: Arrived, swapped: SwappedFrame, stamp: Mapping[str, Value]
) -> None:
    space = job.model.card.model_space
    swap, matte = black_crop(job.model.comb.dims.size)
    if swapped.swap is not None and arrived.face is not None:
        swap = swapped.swap.cpu()
        look = job.look.at(arrived.frame)
        matte = face_matte(arrived.face, swap.shape[-1], look.forehead, look.grow)
    from_working = job.colour.converter(space.primaries, str(stamp[PREFIX + "colorspace"]))
    write_patch(path, swap, matte, arrived.face, from_working, space, stamp)


def _without_face(job: FrameJob, arrived: Arrived, why: str) -> Arrived | FrameResult:
    """A frame in which there is nothing to replace, by the rule for such frames."""
    rule = job.look.at(arrived.frame).on_no_face
    if rule == "fail":
        return _without_result(arrived.frame, "no_face", why)
    plate = arrived.plate.blackened() if rule == "black" else arrived.plate
    what = "black" if rule == "black" else "a copy of the plate"
    return replace(arrived, plate=plate, face=None, shows=rule, note=f"no face: {what} ({why})")


def _look_for(job: FrameJob, frame: int, job_hash: str) -> str | FrameResult:
    """The result of a frame that needs no work, or cannot be written; else what is to be said of what was there."""
    if job.overwrite:
        return ""
    path, accepted = job.out.path(frame), job.accepted(frame)
    found = standing(path, frame, job_hash, accepted)
    patch = found if job.patches is None else standing(job.patches.path(frame), frame, job_hash, accepted)
    for one in (found, patch):
        if one.state == "other":
            return _without_result(frame, "failed", one.message)
    if found.state == patch.state == "done":
        return _already_there(frame, path, found.shows)
    return found.message if found.state == "free" else ""


def _made_meanwhile(job: FrameJob, arrived: Arrived) -> bool:
    """Whether another worker has finished the frame since it was read."""
    frame = arrived.frame
    places = [job.out.path(frame), *([] if job.patches is None else [job.patches.path(frame)])]
    try:
        return all(
            place.exists() and standing(place, frame, arrived.job_hash, (arrived.shows,)).state == "done"
            for place in places
        )
    except OSError:
        return False


def _one_pixel(plate: Plate) -> Region:
    """The draft of a frame in which nothing changes: a file cannot be smaller."""
    x0, y0, _, _ = plate.main.data_region
    return x0, y0, x0 + 1, y0 + 1


def _as_it_is(arrived: Arrived) -> Computed:
    """A frame without a face, which is written as it was read."""
    plate = arrived.plate
    return Computed(arrived, SwappedFrame(plate, np.zeros((plate.height, plate.width), np.float32), {}))


def _already_there(frame: int, path: Path, shows: Shows) -> FrameResult:
    message = "already there, made by the same job"
    return FrameResult(frame, "skipped", path, message, None, {}, shows=shows)


def _without_result(
    frame: int, status: Literal["skipped", "no_face", "missing", "failed"], message: str
) -> FrameResult:
    return FrameResult(frame, status, None, message, None, {})
