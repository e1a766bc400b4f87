"""`bodydouble review`: the quality page."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from bodydouble.events import FrameDone, FrameFailed
from bodydouble_cli.exits import EXIT_CODES
from bodydouble_cli.options import (
    chosen_frames,
    colorspace_option,
    frames_option,
    ocio_option,
    open_colour,
    part_option,
    reporting_options,
)
from bodydouble_cli.progress import Reporting, open_run

if TYPE_CHECKING:
    from bodydouble.frames import FrameRange
    from bodydouble.reviewing import FrameReview


@click.command(short_help="Make the quality page of a finished swap.", epilog=EXIT_CODES)
@click.argument("result", metavar="OUT")
@click.option("--plate", required=True, metavar="PLATE", help="The plate that the result was made from.")
@click.option("-o", "--out", type=click.Path(path_type=Path), required=True, help="Folder for the page.")
@click.option("--faces", type=click.Path(path_type=Path), help="Shot faces: adds close-ups and figures of the face.")
@frames_option
@click.option("--view", metavar="NAME", help="OpenColorIO view of the pictures.  [default: the display's own]")
@click.option("--look", metavar="NAME", help="OpenColorIO look of the pictures, before the view.  [default: none]")
@part_option
@click.option(
    "--plate-view", metavar="NAME", help="View of a stereo plate, such as left; also what %V in a pattern stands for."
)
@ocio_option
@colorspace_option
@reporting_options
def review(
    result: str,
    plate: str,
    out: Path,
    faces: Path | None,
    frames: FrameRange | None,
    ocio: Path | None,
    colorspace: str | None,
    view: str | None,
    look: str | None,
    part: str | None,
    plate_view: str | None,
    reporting: Reporting,
) -> None:
    """Make the quality page of a finished swap: contact sheet, plots and numbers.

    The page is one HTML file that needs nothing else, beside the contact sheet as PNG and the numbers as JSON. A frame
    without a result is shown as missing, and makes the exit code 4.

    \b
    Example:
      bodydouble review swap/sh010.####.exr --plate plates/sh010.####.exr --faces sh010.faces.json -o review
    """
    from bodydouble.reading import find_plate
    from bodydouble.reviewing import review as make_review
    from bodydouble.shotfaces import read_shot_faces

    source = find_plate(plate, part, plate_view)
    finished = find_plate(result, part, plate_view)
    shot = read_shot_faces(faces) if faces else None
    wanted = chosen_frames(source, frames)
    with open_run("review", frames=len(wanted), reporting=reporting) as run:

        def on_frame(reviewed: FrameReview) -> None:
            if reviewed.status == "done":
                run.emit(FrameDone(reviewed.frame, confidence=reviewed.confidence, message=reviewed.message))
            else:
                run.emit(FrameFailed(reviewed.frame, reviewed.status, reviewed.message))

        report = make_review(
            finished,
            source,
            out,
            shot=shot,
            frames=wanted,
            colour=open_colour(ocio),
            colorspace=colorspace,
            view=view,
            look=look,
            on_frame=on_frame,
        )
        run.output("page", report.html)
        run.output("contact sheet", report.contact_sheet)
