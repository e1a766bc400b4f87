"""The main job on the bundled shot with the bundled model: align, swap, review."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from bodydouble.alignment.aligning import align_frames, solve_shot
from bodydouble.alignment.shotfaces import write_shot_faces
from bodydouble.errors import FramesFailedError
from bodydouble.plates.colour import Colour
from bodydouble.plates.sequences import PlateSequence
from bodydouble.reviews.reviewing import review
from bodydouble.settings import AlignSettings, SwapSettings
from bodydouble.swap.swapping import swap_sequence
from bodydouble.writing import check_writable

BUNDLED = Path(__file__).parent / "bundled"
PERSONA, PERFORMER = "A", "B"


@dataclass(frozen=True)
class DemoEvent:
    """Progress of the demo: stage "align", "swap" or "review", how many of how many steps are done, what happened."""

    stage: str
    done: int
    total: int
    message: str = ""


def demo(out: Path, device: str = "auto") -> Iterator[DemoEvent]:
    """Write ``shot.faces.json``, the frames of ``swap/`` and the pages of ``review/`` into the folder `out`.

    Raises:
        FramesFailedError: a frame was not swapped.
    """
    plate = PlateSequence.find(BUNDLED / "sh010")
    frames = plate.frames
    colour = Colour(None)
    check_writable(out / "shot.faces.json")
    settings = AlignSettings()
    measured = []
    for found in align_frames(plate, frames, colour, None, settings):
        measured.append(found)
        yield DemoEvent("align", len(measured), len(frames))
    shot = solve_shot(plate.pattern, measured, settings)
    write_shot_faces(out / "shot.faces.json", shot)
    result = PlateSequence.output(out / "swap", like=plate)
    model = BUNDLED / "rendered.comb"
    swapping = swap_sequence(
        plate,
        result,
        model,
        PERSONA,
        shot,
        frames,
        colour,
        None,
        SwapSettings(layers=True, performer=PERFORMER),
        device=device,
        overwrite=True,
    )
    failed = []
    for done, one in enumerate(swapping, start=1):
        if one.status != "done":
            failed.append(f"{one.frame}: {one.message}")
        yield DemoEvent("swap", done, len(frames))
    if failed:
        raise FramesFailedError(f"{len(failed)} of {len(frames)} frames were not swapped: {'; '.join(failed[:5])}")
    yield DemoEvent("review", 0, 1)
    report = review(result, plate, out / "review", shot=shot, frames=frames, colour=colour, colorspace=None)
    yield DemoEvent("review", 1, 1, f"contact sheet {report.contact_sheet}, page {report.html}")
