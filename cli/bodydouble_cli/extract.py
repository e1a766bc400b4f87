"""`bodydouble extract`: training crops of one persona."""

from __future__ import annotations

import time
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click

from bodydouble.errors import FacesetError
from bodydouble.events import FrameDone, FrameFailed, FrameSkipped, Progress
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
    setting_option,
)
from bodydouble_cli.progress import open_run

if TYPE_CHECKING:
    from bodydouble.plates.frames import FrameRange


DEFAULT = ExtractSettings()
TELL_EVERY_S = 2.0


@click.command(short_help="Cut training crops of one persona out of a plate.", epilog=EXIT_CODES)
@plate_argument
@click.option("--faces", type=click.Path(path_type=Path), required=True, help="Shot faces of this plate, from align.")
@click.option("--persona", required=True, metavar="NAME", help="Name the persona will be asked for by.")
@click.option("-o", "--out", type=click.Path(path_type=Path), required=True, help="Faceset folder; is added to.")
@frames_option
@person_option("Which person of the shot")
@setting_option(DEFAULT, "--size", "Pixels across a crop.")
@setting_option(DEFAULT, "--min-confidence", "Leave out frames whose landmarks are less certain, 0 to 1.")
@setting_option(
    DEFAULT,
    "--min-sharpness",
    "Leave out blurred crops: those below this share of the plate's usual sharpness; 0 for none.",
)
@setting_option(
    DEFAULT,
    "--min-difference",
    "Leave out near-duplicates: crops that differ less from one that stays, 0 to 1; 0 for none.",
)
@setting_option(DEFAULT, "--forehead", "Matte's reach: 0 brows, 1 hairline.")
@setting_option(DEFAULT, "--grow", "Move the matte's outline outwards, inwards below 0, in hundredths of the crop.")
@setting_option(
    DEFAULT, "--format", "Crops as half-float EXR, or as 16-bit PNG in model space, which ends at scene-linear 16."
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
    min_sharpness: float,
    min_difference: float,
    forehead: float,
    grow: float,
    format: Literal["exr", "png"],
    rights: Path | None,
    part: str | None,
    view: str | None,
    ocio: Path | None,
    colorspace: str | None,
    as_json: bool,
) -> None:
    """Cut aligned training crops and mattes of one persona out of a plate.

    Frames without a trustworthy face, blurred ones and near-duplicates are left out and named, which is no failure; a
    frame that cannot be read makes the exit code 4. Call it once per shot with the same -o to gather a persona from
    many shots: a few hundred crops, every head pose, expression and light the plates will need. Look at
    contact_sheet.png and poses.png in the faceset.

    \b
    Example:
      bodydouble align footage/anna.####.exr -o anna.faces.json
      bodydouble extract footage/anna.####.exr --faces anna.faces.json --persona anna -o facesets/anna
    """
    from bodydouble.alignment.shotfaces import read_shot_faces
    from bodydouble.plates.reading import colour_notice, find_plate
    from bodydouble.rights import read_rights, rights_to_document
    from bodydouble.training.extracting import CUT_RULES, FAILED
    from bodydouble.training.extracting import extract as extract_crops
    from bodydouble.training.facesetpictures import draw_faceset

    settings = ExtractSettings(
        size=size,
        forehead=forehead,
        grow=grow,
        min_confidence=min_confidence,
        min_sharpness=min_sharpness,
        min_difference=min_difference,
        format=format,
    )
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
        who = chosen_person(person, shot, colour)
        left_out: Counter[str] = Counter()
        looked, told_at = 0, time.monotonic()

        def on_frame(frame: int) -> None:
            nonlocal looked, told_at
            looked += 1
            if looked == len(wanted) or time.monotonic() - told_at > TELL_EVERY_S:
                told_at = time.monotonic()
                run.emit(Progress("cutting", looked, len(wanted), message=f"frame {frame}"))
            if looked == len(wanted):
                run.emit(Progress("choosing", 0, len(wanted)))

        for found in extract_crops(
            sequence, wanted, shot, who, persona, out, colour, colorspace, settings, record, on_frame
        ):
            if found.path is not None:
                run.emit(FrameDone(found.frame, str(found.path)))
            elif found.rule == FAILED:
                run.emit(FrameFailed(found.frame, found.rule, found.message))
            else:
                left_out[found.rule] += 1
                run.emit(FrameSkipped(found.frame, message=found.message))
        run.notice(_counted(run.done, left_out))
        if not run.done and not run.failures and not any(left_out[rule] for rule in CUT_RULES):
            raise FacesetError(f"{plate}: none of the {len(wanted)} frames gave a crop; look at {faces}.")
        if not run.failures or run.done:
            run.output("faceset", out)
            for name, picture in zip(("contact sheet", "poses"), draw_faceset(out, colour), strict=True):
                run.output(name, picture)


def _counted(done: int, left_out: Counter[str]) -> str:
    """How many crops there are, and how many frames each rule left out."""
    told = ", ".join(f"{count} {rule}" for rule, count in left_out.most_common())
    return f"{done} crops" + (f"; left out: {told}" if told else "")
