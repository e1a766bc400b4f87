"""`bodydouble align`: once per shot."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from bodydouble.errors import UsageError
from bodydouble.events import FrameDone, FrameFailed
from bodydouble.settings import AlignSettings
from bodydouble_cli.exits import EXIT_CODES
from bodydouble_cli.options import (
    chosen_frames,
    colorspace_option,
    frames_option,
    json_option,
    ocio_option,
    open_colour,
    part_option,
    plate_argument,
    view_option,
)
from bodydouble_cli.progress import open_run

if TYPE_CHECKING:
    from bodydouble.aligning import FrameDetections
    from bodydouble.frames import FrameRange

DEFAULT = AlignSettings()


@click.command(short_help="Find, follow and steady the faces of a shot.", epilog=EXIT_CODES)
@plate_argument
@click.option("-o", "--out", type=click.Path(path_type=Path), required=True, help="Sidecar to write: *.faces.json.")
@frames_option
@part_option
@view_option
@ocio_option
@colorspace_option
@click.option(
    "--stills", is_flag=True, help="The frames are pictures in no order: take each for itself, follow nobody."
)
@click.option(
    "--beta", type=float, default=DEFAULT.beta, show_default=True, help="Shift of the nine-fold average, in box widths."
)
@click.option(
    "--smoothing",
    type=float,
    default=DEFAULT.smoothing,
    show_default=True,
    help="Strength of the smoothing over the shot; 0 for none.",
)
@click.option("--overwrite", is_flag=True, help="Replace an existing sidecar.")
@json_option
def align(
    plate: str,
    out: Path,
    frames: FrameRange | None,
    part: str | None,
    view: str | None,
    ocio: Path | None,
    colorspace: str | None,
    stills: bool,
    beta: float,
    smoothing: float,
    overwrite: bool,
    as_json: bool,
) -> None:
    """Find the faces of a plate, follow each person through the shot and steady the landmarks.

    Writes the shot faces, a sidecar that extract, swap and review read. Run it once per shot, over the whole shot:
    people are told apart over time, so a swap gives the same result however a farm cuts it into chunks. Frames in
    which no face is found are listed and make the exit code 4; the sidecar is written all the same.

    \b
    Example:
      bodydouble align plates/sh010.####.exr -o sh010.faces.json
      bodydouble align portraits/anna_####.jpg --stills -o anna.faces.json
    """
    from bodydouble.aligning import align_shot
    from bodydouble.reading import colour_notice, find_plate
    from bodydouble.shotfaces import write_shot_faces

    if out.exists() and not overwrite:
        raise UsageError(f"{out} exists; say --overwrite to replace it.")
    settings = AlignSettings(beta=beta, smoothing=smoothing, stills=stills)
    sequence = find_plate(plate, part, view)
    wanted = chosen_frames(sequence, frames)
    empty: list[int] = []
    colour = open_colour(ocio)
    with open_run("align", frames=len(wanted), as_json=as_json) as run:
        if colorspace is None and (notice := colour_notice(sequence, sequence.frames[0], colour)):
            run.notice(notice)

        def on_frame(found: FrameDetections) -> None:
            if found.faces:
                faces = "1 face" if len(found.faces) == 1 else f"{len(found.faces)} faces"
                run.emit(FrameDone(found.frame, seconds={"align": found.seconds}, message=faces))
            else:
                empty.append(found.frame)

        shot = align_shot(sequence, wanted, colour, colorspace, settings, on_frame=on_frame)
        # The shot solve may have filled a gap that the detector left.
        for frame in empty:
            if shot.frames.get(frame):
                run.emit(FrameDone(frame, message="filled in from its neighbours"))
            else:
                run.emit(FrameFailed(frame, "no_face", "no face was found"))
        write_shot_faces(out, shot)
        run.output("shot faces", out)
