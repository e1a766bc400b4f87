"""`bodydouble holdout`: mattes of what is in front of the face."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from bodydouble.events import FrameDone
from bodydouble_cli.exits import EXIT_CODES
from bodydouble_cli.options import (
    check_holes,
    chosen_frames,
    chosen_person,
    device_option,
    frames_option,
    open_colour,
    person_option,
    plate_argument,
    plate_options,
    reporting_options,
)
from bodydouble_cli.progress import Reporting, open_run

if TYPE_CHECKING:
    from bodydouble.plates.frames import FrameRange


@click.command(short_help="Find hands, microphones and the like in front of the face.", epilog=EXIT_CODES)
@plate_argument
@click.option("-o", "--out", required=True, metavar="OUT", help="Mattes to write: a pattern or a folder.")
@click.option(
    "--model", type=click.Path(path_type=Path), required=True, help="Model that was trained on the performer."
)
@click.option("--performer", required=True, metavar="NAME", help="The performer's name in the model.")
@click.option("--faces", type=click.Path(path_type=Path), required=True, help="Shot faces from align.")
@frames_option
@person_option("Whose face")
@device_option
@plate_options
@reporting_options
def holdout(
    plate: str,
    out: str,
    model: Path,
    performer: str,
    faces: Path,
    frames: FrameRange | None,
    person: str | None,
    device: str,
    part: str | None,
    view: str | None,
    ocio: Path | None,
    colorspace: str | None,
    reporting: Reporting,
) -> None:
    """Find what is in front of the face, and write it as mattes for `swap --holdout`.

    The model must know the performer: where the performer's own decoder cannot reproduce the plate, something else is
    in front. Look at the mattes, and mend them in comp where they are wrong.

    \b
    Example:
      bodydouble holdout plates/sh020.####.exr -o holdout/sh020.####.exr \\
          --model cast.comb --performer bob --faces sh020.faces.json
      bodydouble swap plates/sh020.####.exr -o swap/sh020.####.exr --model cast.comb --persona anna \\
          --faces sh020.faces.json --holdout holdout/sh020.####.exr
    """
    from bodydouble.alignment.shotfaces import read_shot_faces
    from bodydouble.plates.reading import find_plate
    from bodydouble.plates.sequences import PlateSequence
    from bodydouble.swap.holdouts import find_holdouts

    sequence, shot, colour = find_plate(plate, part, view), read_shot_faces(faces), open_colour(ocio)
    target, wanted = PlateSequence.output(out, like=sequence), chosen_frames(sequence, frames)
    check_holes(sequence, wanted)
    space = colorspace and colour.resolve(colorspace)
    with open_run("holdout", frames=len(wanted), reporting=reporting) as run:
        who = chosen_person(person, shot, colour)
        for found in find_holdouts(sequence, target, shot, model, performer, wanted, colour, space, who, device):
            covered = "no face" if found.share != found.share else f"{100 * found.share:.1f} % of the face covered"
            run.emit(FrameDone(found.frame, str(found.path), None, {}, covered))
        run.output("holdout", target.pattern)
