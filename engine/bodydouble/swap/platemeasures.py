"""What a shot's plate is like: measured once, kept in `*.measures.json`, and used by every frame of the shot.

What is measured on single frames would flicker; what is measured on a chunk would differ from chunk to chunk. So it is
measured on a few pairs of frames spread over the whole shot, and all frames share it.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from bodydouble import __version__
from bodydouble.alignment.shotfaces import ShotFaces
from bodydouble.documents import read_document
from bodydouble.errors import BodydoubleError, NoFaceError, SidecarError
from bodydouble.plates.colour import Colour
from bodydouble.plates.modelspace import ModelSpace
from bodydouble.plates.reading import check_fit, read_frame
from bodydouble.plates.sequences import PlateSequence
from bodydouble.swap.grain import (
    GrainSamples,
    ShotGrain,
    estimate_grain,
    frame_samples,
    grain_from_document,
    pair_samples,
)
from bodydouble.swap.spread import ShotSpread, spread_from_document
from bodydouble.swap.spreadmeasures import measure_spread, spread_frames
from bodydouble.swap.swapframe import SwapModel
from bodydouble.swap.swapstages import face_region, plate_to_model_space
from bodydouble.writing import atomic_path

SCHEMA, VERSION = "bodydouble.measures", 2
PAIRS = 6


@dataclass(frozen=True)
class ShotMeasures:
    """The measures of a shot.

    Attributes:
        plate: its pattern.
        space: the model space they are given in.
        frames: what was measured.
        grain: None where too little could be seen of it.
        spread: defocus and motion blur that one persona's swaps lack; None where no model was asked.
    """

    plate: str
    space: ModelSpace
    frames: tuple[int, ...]
    grain: ShotGrain | None
    spread: ShotSpread | None = None


def measured_frames(plate: PlateSequence, shot: ShotFaces, person: int | None) -> list[tuple[int, int]]:
    """Up to six pairs of neighbouring frames, spread over those that show the face; a pair of one where none has a
    neighbour.
    """
    there = set(plate.frames)
    with_face = [frame for frame in sorted(there) if shot.face(frame, person) is not None]
    pairs = [(frame, frame + 1) for frame in with_face if frame + 1 in there] or [(frame, frame) for frame in with_face]
    picks = np.unique(np.linspace(0, len(pairs) - 1, PAIRS).round().astype(int)).tolist() if pairs else []
    return [pairs[index] for index in picks]


def measure_plate(
    plate: PlateSequence,
    shot: ShotFaces,
    colour: Colour,
    colorspace: str | None = None,
    person: int | None = None,
    model: SwapModel | None = None,
    on_step: Callable[[int, int], None] | None = None,
) -> ShotMeasures:
    """Measure a shot around one person's face.

    Args:
        plate, shot: the frames and where the faces are.
        colour, colorspace: see `swap_frame`.
        person: whose face; None for the most prominent person.
        model: measures count in its model space, and its persona's swaps are what the plate's blur is measured
            against; None for the usual space, and no blur.
        on_step: hears how many of how many looks at the plate are done.

    Raises:
        NoFaceError: nobody in the shot.
        PlateError: a frame cannot be read.
        UsageError: the shot faces are of a plate of another size.
    """
    check_fit(plate, shot)
    space = ModelSpace() if model is None else model.card.model_space
    wanted = measured_frames(plate, shot, person)
    if not wanted:
        raise NoFaceError(f"{plate.pattern}: no frame shows the face; run `bodydouble align` and look at it.")
    total = len(wanted) + (0 if model is None else len(spread_frames(plate, shot, person)))
    done = itertools.count(1)

    def step() -> None:
        if on_step is not None:
            on_step(next(done), total)

    pairs, singles = [], []
    for first, second in wanted:
        before, after = _pieces(plate, shot, (first, second), person, colour, colorspace, space)
        singles.append(before)
        if after is not None:
            pairs.append(after)
        step()
    used = tuple(sorted({frame for pair in wanted for frame in pair}))
    spread = None
    if model is not None:
        spread = measure_spread(plate, shot, model, colour, colorspace, person, lambda frame: step())
    return ShotMeasures(plate.pattern, space, used, estimate_grain(pairs, singles), spread)


def _pieces(
    plate: PlateSequence,
    shot: ShotFaces,
    frames: Sequence[int],
    person: int | None,
    colour: Colour,
    colorspace: str | None,
    space: ModelSpace,
) -> tuple[GrainSamples, GrainSamples | None]:
    """Samples of the first frame, and of both, over the first one's face region."""
    first = read_frame(plate, frames[0])
    face = shot.face(frames[0], person)
    if face is None:
        raise NoFaceError(f"frame {frames[0]} shows no face.")
    region = face_region(first, face)
    source = colorspace or colour.space_of(first.attributes, first.path)
    to_working = colour.converter(source, space.primaries)
    before = plate_to_model_space(first, region, to_working, space).picture
    if frames[1] == frames[0]:
        return frame_samples(before), None
    after = plate_to_model_space(read_frame(plate, frames[1]), region, to_working, space).picture
    return frame_samples(before), pair_samples(before, after)


def write_measures(path: str | Path, measures: ShotMeasures) -> None:
    """Write `*.measures.json`, whole or not at all. Raises OutputError."""
    document = {
        "schema": SCHEMA,
        "version": VERSION,
        "tool": __version__,
        "plate": measures.plate,
        "space": measures.space.as_dict(),
        "frames": list(measures.frames),
        "grain": None if measures.grain is None else measures.grain.to_document(),
        "spread": None if measures.spread is None else measures.spread.to_document(),
    }
    with atomic_path(Path(path)) as temporary:
        temporary.write_text(json.dumps(document) + "\n", encoding="utf-8")


def read_measures(path: str | Path) -> ShotMeasures:
    """Read `*.measures.json`. Raises SidecarError that names the file and what is wrong."""
    data = read_document(path, SidecarError, "`bodydouble measure` makes it.")
    if not isinstance(data, dict) or data.get("schema") != SCHEMA or data.get("version") not in (1, VERSION):
        raise SidecarError(f"{path}: no measures of a version up to {VERSION} (`schema` {SCHEMA}).")
    try:
        grain = None if data["grain"] is None else grain_from_document(data["grain"])
        frames = tuple(int(frame) for frame in data["frames"])
        blur = data.get("spread")  # version 1 knew of none
        spread = None if blur is None else spread_from_document(blur)
        return ShotMeasures(str(data["plate"]), ModelSpace(**data["space"]), frames, grain, spread)
    except (AttributeError, KeyError, TypeError, ValueError, BodydoubleError) as error:
        raise SidecarError(f"{path}: {error}. Run `bodydouble measure` again.") from error
