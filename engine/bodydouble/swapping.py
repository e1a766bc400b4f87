"""Swapping a sequence: reading ahead, computing, writing behind."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

from bodydouble.aligning import align_shot
from bodydouble.colour import Colour
from bodydouble.devices import keep_memory
from bodydouble.errors import UsageError
from bodydouble.framejob import FrameJob, FrameResult
from bodydouble.geometry import similarity_scale
from bodydouble.images import check_compression
from bodydouble.lookfile import ShotLook, shot_look
from bodydouble.sequences import PlateSequence
from bodydouble.settings import AlignSettings, SwapSettings
from bodydouble.shotfaces import ShotFaces
from bodydouble.swapframe import load_swap_model
from bodydouble.swapstages import blend_size

_WAITING_WRITES = 1
_WRITERS = 2


def swap_sequence(
    plate: PlateSequence,
    out: PlateSequence,
    comb_path: Path,
    persona: str,
    shot: ShotFaces | None,
    frames: Sequence[int],
    colour: Colour,
    colorspace: str | None,
    settings: SwapSettings | ShotLook,
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
        settings: matte and blend, of all frames or with key frames.
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
    look = shot_look(settings)
    look = look.with_settings(
        blend_size=look.settings.blend_size or _shot_blend_size(shot, person, model.comb.dims.size)
    )
    job = FrameJob(plate, out, model, shot, person, colour, colorspace, look, compression, overwrite, patches)
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


def _shot_blend_size(shot: ShotFaces, person: int | None, network_size: int) -> int | None:
    """One size for all frames of the shot: a face that grows must not change the blend half-way."""
    faces = [shot.face(frame, person) for frame in shot.frames]
    sides = [1 / similarity_scale(face.unit_from_plate) for face in faces if face is not None]
    return blend_size(max(sides), network_size) if sides else None
