"""Swapping a sequence: everything that is settled once for all frames, then the loop over them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import torch

from bodydouble.alignment.aligning import align_shot
from bodydouble.alignment.geometry import similarity_scale
from bodydouble.alignment.shotfaces import ShotFaces
from bodydouble.errors import UsageError
from bodydouble.network.devices import intra_op_threads, keep_memory
from bodydouble.plates.colour import Colour
from bodydouble.plates.images import check_compression, use_threads
from bodydouble.plates.reading import check_fit
from bodydouble.plates.sequences import PlateSequence
from bodydouble.settings import AlignSettings, RunSettings, SwapSettings
from bodydouble.swap.framejob import FrameJob, FrameResult
from bodydouble.swap.frameloop import Plan, run_frames
from bodydouble.swap.guides import Guides
from bodydouble.swap.lookfile import ShotLook, shot_look
from bodydouble.swap.swapframe import load_swap_model, mean_latents
from bodydouble.swap.swapstages import blend_size
from bodydouble.swap.warm import Warm
from bodydouble.writing import remove_stale

CORES = 8
"""Used at most where nobody says how many: each frame that is computed on the CPU needs memory of its own."""
GPU_BATCH = 4
SMALL_BLEND, PAIRED = 256, 2
"""Side up to which blends take less time together on a CPU, and how many: larger ones outgrow its cache."""


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
    run: RunSettings | None = None,
    warm: Warm | None = None,
    guides: Guides | None = None,
    draft: bool = False,
) -> Iterator[FrameResult]:
    """Swap frames of a plate; yields each frame's result in order as it is finished.

    A frame that fails leaves no file. Reading, computing and writing run side by side on a bounded number of frames, so
    memory does not grow with the shot.

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
        compression: of the EXR files; None keeps the plate's, or zip where that is lossy, and packs no draft.
        production: what it is for, checked against the persona's rights.
        patches: where to write the crop-space swap of each frame too, see `write_patch`.
        run: what happens where something is missing or fails, and what may be used of the machine.
        warm: what a worker keeps between runs; None to keep nothing.
        guides: an artist's mattes and the shot's grain; None without any.
        draft: write no more of each frame than the rectangle around the face, of the layers no others than matte and
            confidence, which alone depend on the look. Quick, for a look at it. The pixels are those of the whole frame
            there; around it the plate stays. Of a frame without a face one pixel is written.

    Raises:
        UsageError, InputError, ModelError, RightsError: before the first frame, where nothing could be done for any.
        OutOfMemoryError: a frame does not even fit alone.
    """
    run = run or RunSettings()
    if run.max_memory is None:
        keep_memory()
    check_compression(compression)
    load = warm.model if warm is not None else load_swap_model
    model = load(comb_path, persona, device, production)
    colour.resolve(model.card.model_space.primaries)  # or say so before the first frame
    if colorspace is not None:
        colorspace = colour.resolve(colorspace)
    if shot is not None:
        check_fit(plate, shot)
    else:
        # A frame that cannot be read says so when its turn comes.
        shot = align_shot(
            plate, plate.frames, colour, colorspace, AlignSettings(), on_unread=lambda frame, problem: None
        )
    if person is not None and person not in shot.people:
        raise UsageError(f"the shot has no person {person}; there are: {', '.join(map(str, shot.people)) or 'none'}.")
    look = shot_look(settings)
    if look.settings.performer is not None:
        mean_latents(model, look.settings.performer)  # or say before the first frame that the model knows none
    size = look.settings.blend_size or _shot_blend_size(shot, person, model.comb.dims.size)
    look = look.with_settings(blend_size=size)
    job = FrameJob(
        plate,
        out,
        model,
        shot,
        person,
        colour,
        colorspace,
        look,
        "none" if draft and compression is None else compression,
        overwrite,
        patches,
        run.on_missing,
        warm,
        guides,
        draft,
    )
    for sequence in (out, *([] if patches is None else [patches])):
        remove_stale(sequence.path(frame) for frame in frames)
    if run.threads is not None:
        use_threads(run.threads)
    plan = plan_for(model.device, len(frames), run, size or 0)
    # torch adds up in another order for another number of threads: with one the pixels are the same on every machine.
    with intra_op_threads(1):
        yield from run_frames(job, frames, plan, run.on_error)


def plan_for(device: torch.device, frames: int, run: RunSettings, size: int) -> Plan:
    """How the cores are shared. On the CPU whole frames are computed side by side, one core each: that wastes less of
    the cores than sharing one frame among them. A GPU computes one batch at a time; the cores read and write for it.
    `size`: of the blend.
    """
    cores = run.threads or min(torch.get_num_threads(), CORES)
    hands = max(1, cores // 4)
    if device.type == "cpu":
        computers = max(1, min(cores, frames))
        batch = run.batch or 1
        together = max(batch, PAIRED if size <= SMALL_BLEND else 1)
        in_flight = together * computers + 3 * hands + together - 1
        return Plan(hands, computers, 2 * hands, batch, together, in_flight, run.max_memory)
    batch = run.batch or GPU_BATCH
    return Plan(2 * hands, 1, 2 * hands, batch, batch, 2 * batch + 4 * hands, run.max_memory)


def _shot_blend_size(shot: ShotFaces, person: int | None, network_size: int) -> int | None:
    """One size for all frames of the shot: a face that grows must not change the blend half-way."""
    faces = [shot.face(frame, person) for frame in shot.frames]
    sides = [1 / similarity_scale(face.unit_from_plate) for face in faces if face is not None]
    return blend_size(max(sides), network_size) if sides else None
