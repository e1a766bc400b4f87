"""`bodydouble swap`: the farm's command."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from bodydouble.errors import UsageError
from bodydouble.events import Event, FrameDone, FrameFailed, FrameSkipped
from bodydouble.settings import RunSettings
from bodydouble_cli.exits import EXIT_CODES
from bodydouble_cli.farming import FrameChoice, frame_options, run_options
from bodydouble_cli.guides import chosen_guides, guide_options, measures_notice
from bodydouble_cli.look import chosen_look, look_options
from bodydouble_cli.options import (
    chosen_person,
    device_option,
    open_colour,
    person_option,
    plate_argument,
    plate_options,
    reporting_options,
)
from bodydouble_cli.progress import Reporting, open_run, served

if TYPE_CHECKING:
    from bodydouble.swap.framejob import FrameResult


@click.command(short_help="Replace the face in a plate with a persona.", epilog=EXIT_CODES)
@plate_argument
@click.option("-o", "--out", required=True, metavar="OUT", help="Frames to write: a pattern or a folder.")
@click.option("--model", type=click.Path(path_type=Path), required=True, help="Trained model: a NAME.comb folder.")
@click.option("--persona", required=True, metavar="NAME", help="Who appears; `bodydouble info MODEL` lists them.")
@click.option(
    "--faces", type=click.Path(path_type=Path), help="Shot faces from align.  [default: aligns the whole plate first]"
)
@frame_options
@person_option("Whose face to replace")
@click.option("--production", metavar="NAME", help="Production this is for; some personas may appear only in some.")
@click.option("--compression", metavar="NAME", help="EXR compression of the result.  [default: the plate's]")
@click.option("--patch", metavar="OUT", help="Also write the crop-space swap, with its matrix: a pattern or a folder.")
@click.option(
    "--draft", is_flag=True, help="Write only the rectangle around each face, with its matte: quick, to try a look."
)
@guide_options
@look_options
@click.option("--overwrite", is_flag=True, help="Replace frames that exist, whoever made them.")
@run_options
@device_option
@plate_options
@reporting_options
def swap(
    plate: str,
    out: str,
    model: Path,
    persona: str,
    faces: Path | None,
    frames: FrameChoice,
    person: str | None,
    production: str | None,
    compression: str | None,
    patch: str | None,
    draft: bool,
    overwrite: bool,
    device: str,
    part: str | None,
    view: str | None,
    ocio: Path | None,
    colorspace: str | None,
    run_settings: RunSettings,
    reporting: Reporting,
    matte_in: str | None,
    matte_channel: str | None,
    holdout: str | None,
    holdout_channel: str | None,
    measures: Path | None,
    settings_file: Path | None,
    **flags: Any,
) -> None:
    """Replace a performer's face in a plate with a persona.

    Every other channel, part, attribute and pixel of the plate is kept; outside the matte the result is bit-identical.
    A frame that fails, or that shows no face, leaves no file and makes the exit code 4; the rest is done. Run the same
    command again to fill the gaps: what this very job finished before is skipped. Give --faces on a farm: then each
    chunk needs only its own frames.

    \b
    Example:
      bodydouble swap plates/sh010.####.exr -o swap/sh010.####.exr \\
          --model cast.comb --persona anna --faces sh010.faces.json --frames 1001-1024
    """
    from bodydouble.alignment.shotfaces import read_shot_faces
    from bodydouble.network.checkpoint import notes_latents, read_card
    from bodydouble.network.devices import limit_memory
    from bodydouble.plates.reading import colour_notice, find_plate
    from bodydouble.plates.sequences import PlateSequence
    from bodydouble.rights import check_rights
    from bodydouble.swap.platemeasures import read_measures
    from bodydouble.swap.swapping import swap_sequence

    worker = served()
    if run_settings.max_memory is not None and worker is None:
        limit_memory(run_settings.max_memory)
    look = chosen_look(settings_file, flags)
    measured = None if measures is None else read_measures(measures)
    guides = chosen_guides(matte_in, matte_channel, holdout, holdout_channel, measured)
    sequence = find_plate(plate, part, view)
    target = PlateSequence.output(out, like=sequence)
    shot = read_shot_faces(faces) if faces else None
    wanted = frames.of(sequence)
    colour = open_colour(ocio)
    patches = PlateSequence.output(patch, like=sequence) if patch else None
    if patches is not None and patches.path(target.frames[0]).resolve() == target.path(target.frames[0]).resolve():
        raise UsageError(f"{patch}: --patch would replace the frames of --out; name another folder or pattern.")
    with open_run("swap", frames=len(wanted), reporting=reporting) as run:
        if colorspace is None and (notice := colour_notice(sequence, sequence.frames[0], colour)):
            run.notice(notice)
        if notice := measures_notice(measures, measured, sequence):
            run.notice(notice)
        card = read_card(model)
        if card.persona(persona).rights is None:
            run.notice(check_rights(None, persona, date.today(), production) or "")
        if look.settings.performer is None and len(card.names) > 1 and notes_latents(card, persona):
            others = [name for name in card.names if name != persona]
            *most, last = others if len(others) < 7 else [*others[:6], "another of them"]
            known = f"{', '.join(most)} or {last}" if most else last
            run.notice(f"does {known} play the face? Then --performer NAME makes the result more like {persona}.")
        if shot is None:
            run.notice("no --faces: the whole plate is aligned first.")
        there = False
        for result in swap_sequence(
            sequence,
            target,
            model,
            persona,
            shot,
            wanted,
            colour,
            colorspace,
            look,
            device=device,
            overwrite=overwrite,
            person=chosen_person(person, shot, colour),
            compression=compression,
            production=production,
            patches=patches,
            run=run_settings,
            warm=worker.warm if worker else None,
            guides=guides,
            draft=draft,
        ):
            run.emit(_event(result))
            there = there or result.path is not None
        if there:
            run.output("frames", target.pattern)
            if patches is not None:
                run.output("patches", patches.pattern)


def _event(result: FrameResult) -> Event:
    path = str(result.path) if result.path is not None else None
    if result.status == "done":
        return FrameDone(result.frame, path, result.confidence, dict(result.seconds), result.message, result.shows)
    if result.status == "skipped":
        return FrameSkipped(result.frame, path, result.message, result.shows)
    return FrameFailed(result.frame, result.status, result.message)
