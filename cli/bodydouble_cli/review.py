"""`bodydouble review`: the quality page."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click

from bodydouble.events import FrameDone, FrameFailed
from bodydouble_cli.exits import EXIT_CODES
from bodydouble_cli.options import (
    FractionType,
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
    from fractions import Fraction

    from bodydouble.plates.frames import FrameRange
    from bodydouble.reviews.reviewing import FrameReview


@click.command(short_help="Make the quality page of a finished swap.", epilog=EXIT_CODES)
@click.argument("result", metavar="OUT")
@click.option("--plate", required=True, metavar="PLATE", help="The plate that the result was made from.")
@click.option("-o", "--out", type=click.Path(path_type=Path), required=True, help="Folder for the page.")
@click.option("--faces", type=click.Path(path_type=Path), help="Shot faces: adds close-ups and figures of the face.")
@frames_option
@click.option(
    "--display", metavar="NAME", help="OpenColorIO display that the pictures are for.  [default: the config's own]"
)
@click.option("--view", metavar="NAME", help="OpenColorIO view of the pictures.  [default: the display's own]")
@click.option("--look", metavar="NAME", help="OpenColorIO look of the pictures, before the view.  [default: none]")
@click.option(
    "--movie",
    type=click.Choice(["h264", "prores"]),
    help="Also a movie, plate beside result: review.mp4 or review.mov.  [default: none]",
)
@click.option(
    "--fps", type=FractionType(), help="Frames per second of the movie.  [default: what the plate says, else 24]"
)
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
    display: str | None,
    view: str | None,
    look: str | None,
    movie: Literal["h264", "prores"] | None,
    fps: Fraction | None,
    part: str | None,
    plate_view: str | None,
    reporting: Reporting,
) -> None:
    """Make the quality page of a finished swap: wipe, contact sheet, movie, plots and numbers.

    The page is one HTML file that needs nothing else, beside the contact sheet as PNG and the numbers as JSON. A frame
    without a result is shown as missing, and makes the exit code 4.

    \b
    Example:
      bodydouble review swap/sh010.####.exr --plate plates/sh010.####.exr --faces sh010.faces.json -o review
    """
    from bodydouble.alignment.shotfaces import read_shot_faces
    from bodydouble.plates.reading import find_plate
    from bodydouble.reviews.reviewing import review as make_review

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
            display=display,
            view=view,
            look=look,
            movie=movie,
            rate=fps,
            on_frame=on_frame,
        )
        run.output("page", report.html)
        run.output("contact sheet", report.contact_sheet)
        if report.movie is not None:
            run.output("movie", report.movie)
