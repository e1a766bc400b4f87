"""`bodydouble extract`: training crops of one persona."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from bodydouble.errors import FacesetError
from bodydouble.events import FrameDone, FrameSkipped
from bodydouble.settings import ExtractSettings
from bodydouble_cli.exits import EXIT_CODES
from bodydouble_cli.options import (
    chosen_person,
    frames_option,
    json_option,
    open_colour,
    person_option,
    plate_argument,
    plate_options,
)
from bodydouble_cli.progress import open_run

if TYPE_CHECKING:
    from bodydouble.plates.frames import FrameRange


@click.command(short_help="Cut training crops of one persona out of a plate.", epilog=EXIT_CODES)
@plate_argument
@click.option("--faces", type=click.Path(path_type=Path), required=True, help="Shot faces of this plate, from align.")
@click.option("--persona", required=True, metavar="NAME", help="Name the persona will be asked for by.")
@click.option("-o", "--out", type=click.Path(path_type=Path), required=True, help="Faceset folder; is added to.")
@frames_option
@person_option("Which person of the shot")
@click.option("--size", type=int, default=ExtractSettings.size, show_default=True, help="Pixels across a crop.")
@click.option(
    "--min-confidence",
    type=float,
    default=ExtractSettings.min_confidence,
    show_default=True,
    help="Leave out frames whose face is less certain, 0 to 1.",
)
@click.option("--rights", type=click.Path(path_type=Path), help="Rights record (JSON): who allowed what, until when.")
@plate_options
@json_option
def extract(
    plate: str,
    faces: Path,
    persona: str,
    out: Path,
    frames: FrameRange | None,
    person: str | None,
    size: int,
    min_confidence: float,
    rights: Path | None,
    part: str | None,
    view: str | None,
    ocio: Path | None,
    colorspace: str | None,
    as_json: bool,
) -> None:
    """Cut aligned training crops and mattes of one persona out of a plate.

    Frames without a trustworthy face are left out and named. Call it once per shot with the same -o to gather a persona
    from many shots: a few hundred crops, every head pose, expression and light the plates will need.

    \b
    Example:
      bodydouble align footage/anna.####.exr -o anna.faces.json
      bodydouble extract footage/anna.####.exr --faces anna.faces.json --persona anna -o facesets/anna
    """
    from bodydouble.alignment.shotfaces import read_shot_faces
    from bodydouble.plates.reading import colour_notice, find_plate
    from bodydouble.rights import read_rights, rights_to_document
    from bodydouble.training.facesets import extract as extract_crops

    sequence = find_plate(plate, part, view)
    shot = read_shot_faces(faces)
    record = rights_to_document(read_rights(rights)) if rights else None
    wanted = tuple(frames) if frames is not None else sequence.frames
    colour = open_colour(ocio)
    with open_run("extract", frames=len(wanted), as_json=as_json) as run:
        if colorspace is None and (notice := colour_notice(sequence, sequence.frames[0], colour)):
            run.notice(notice)
        if record is None:
            run.notice(f"no --rights: {persona!r} will carry no rights record; make sure you may use this face.")
        for found in extract_crops(
            sequence,
            wanted,
            shot,
            chosen_person(person, shot, colour),
            persona,
            out,
            colour,
            colorspace,
            ExtractSettings(size=size, min_confidence=min_confidence),
            rights=record,
        ):
            if found.path is not None:
                run.emit(FrameDone(found.frame, str(found.path), message=found.message))
            else:
                run.emit(FrameSkipped(found.frame, message=found.message))
        if not run.done:
            raise FacesetError(f"{plate}: none of the {len(wanted)} frames gave a crop; look at {faces}.")
        run.output("faceset", out)
