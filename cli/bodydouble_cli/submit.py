"""`bodydouble submit`: a shot as a job of the farm engine that is there."""

from __future__ import annotations

import functools
import json
import os
import shlex
from collections.abc import Callable
from getpass import getuser
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from bodydouble.errors import FramesFailedError, UsageError
from bodydouble_cli.exits import EXIT_CODES
from bodydouble_cli.farming import BytesType
from bodydouble_cli.options import (
    FramesType,
    chosen_frames,
    colorspace_option,
    ocio_option,
    part_option,
    plate_argument,
    view_option,
)
from bodydouble_cli.swap import swap

if TYPE_CHECKING:
    from bodydouble.farm.submission import Submission
    from bodydouble.plates.frames import FrameRange

Command = TypeVar("Command", bound=Callable[..., Any])

_OPTIONS = (
    plate_argument,
    click.argument("extra", metavar="[-- SWAP_OPTIONS]", nargs=-1, type=click.UNPROCESSED),
    click.option("-o", "--out", required=True, metavar="OUT", help="Frames to write: a pattern or a folder."),
    click.option("--model", type=click.Path(path_type=Path), required=True, help="Trained model: a NAME.comb folder."),
    click.option("--persona", required=True, metavar="NAME", help="Who appears."),
    click.option(
        "--faces",
        metavar="FILE",
        help="Shot faces; where the file does not exist yet the job makes it.  [default: OUT.faces.json]",
    ),
    click.option("--person", type=int, help="Whose face.  [default: the most prominent person]"),
    click.option("--fix", metavar="FILE", help="Frames placed by hand, where the job makes the shot faces."),
    click.option("--settings", metavar="FILE", help="The look with its key frames: *.settings.json."),
    click.option(
        "--measures", metavar="FILE", help="Measures of the plate; where the file does not exist yet the job makes it."
    ),
    click.option("--matte-in", metavar="MATTE", help="Where the new face may show: images or a folder."),
    click.option("--holdout", metavar="MATTE", help="What lies in front of it: images or a folder."),
    click.option("--review", metavar="DIR", help="Folder for the quality page.  [default: OUT.review]"),
    click.option("--frames", type=FramesType(), help="Frames, such as 1001-1100x2,1120.  [default: all of the plate]"),
    click.option(
        "--frames-per-task", type=click.IntRange(1), default=10, show_default=True, help="Frames that one task swaps."
    ),
    click.option("--name", help="Name of the job.  [default: the plate's and the persona's]"),
    click.option("--production", metavar="NAME", help="Production this is for; some personas may appear only in some."),
    click.option("--gpu", is_flag=True, help="Swap only on machines with a GPU."),
    click.option("--memory", type=BytesType(), metavar="SIZE", help="Memory that swapping needs, such as 8G."),
    click.option(
        "--command", default="bodydouble", show_default=True, help="What starts Bodydouble on the farm's machines."
    ),
    part_option,
    view_option,
    ocio_option,
    colorspace_option,
    click.option("--dry-run", is_flag=True, help="Print the job and do nothing."),
)


def submission_options(command: Command) -> Command:
    """Adds what every engine's job is made from; the command takes `submission` and `dry_run`."""

    @functools.wraps(command)
    def call(dry_run: bool, **options: Any) -> Any:
        own = {
            name: options.pop(name) for name in ("bundle", "show", "shot", "user", "backend", "warm") if name in options
        }
        return command(submission=_submission(**options), dry_run=dry_run, **own)

    return functools.reduce(lambda made, option: option(made), reversed(_OPTIONS), call)  # type: ignore[return-value]


@click.group(short_help="Make a shot a job of a farm engine.", epilog=EXIT_CODES)
def submit() -> None:
    """Make a shot a job of the farm engine that is there: align and measure once, swap in pieces, review once.

    Everything after -- is given to `swap` as it stands. Paths must be those that the farm's machines know, or can map:
    what an option of this command names is mapped, what stands after -- is not.

    \b
    Example:
      bodydouble submit openjd plates/sh010.####.exr -o swap/sh010.####.exr --model cast.comb --persona anna \\
          --bundle jobs/sh010 -- --layers
    """


@submit.command(short_help="Open Job Description, and AWS Deadline Cloud.", epilog=EXIT_CODES)
@submission_options
@click.option("--warm", is_flag=True, help="Keep the model loaded between the tasks that a machine swaps.")
@click.option(
    "--bundle", type=click.Path(path_type=Path, file_okay=False), help="Folder to write the job bundle to; required."
)
def openjd(submission: Submission, dry_run: bool, bundle: Path | None, warm: bool) -> None:
    """Write a job bundle of Open Job Description: `openjd run` does it here, AWS Deadline Cloud on its farm.

    \b
    Example:
      bodydouble submit openjd plates/sh010.####.exr -o swap --model cast.comb --persona anna --bundle jobs/sh010
      openjd run jobs/sh010/template.json --job-param file://jobs/sh010/parameters.json --step Review --run-dependencies
      deadline bundle submit jobs/sh010
    """
    from bodydouble.farm.openjdjobs import openjd_template, write_bundle

    if dry_run:
        click.echo(json.dumps(openjd_template(submission, warm), indent=2))
        return
    if bundle is None:
        raise UsageError("name the folder for the job with --bundle, or see the job with --dry-run.")
    for path in write_bundle(bundle, submission, warm):
        click.echo(path)


@submit.command(short_help="OpenCue, through PyOutline.", epilog=EXIT_CODES)
@submission_options
@click.option("--show", default="testing", show_default=True, help="Show of the job.")
@click.option("--shot", default="default", show_default=True, help="Shot of the job.")
@click.option("--user", help="Whose job it is.  [default: you]")
@click.option(
    "--backend",
    type=click.Choice(["cue", "local"]),
    default="cue",
    show_default=True,
    help="Hand it to Cuebot, or run it here.",
)
def opencue(submission: Submission, dry_run: bool, show: str, shot: str, user: str | None, backend: str) -> None:
    """Hand a job to OpenCue. Which Cuebot, and how commands are started, is what PyOutline's own settings say.

    \b
    Example:
      bodydouble submit opencue plates/sh010.####.exr -o swap --model cast.comb --persona anna --show film --shot sh010
    """
    from bodydouble.farm.opencuejobs import launch_opencue, opencue_outline, opencue_specification

    job = opencue_outline(submission, show, shot, user or getuser())
    if dry_run:
        click.echo(opencue_specification(job))
    else:
        launch_opencue(job, backend)
    if backend == "local" and not dry_run:
        _check_made(submission)


def _absolute(path: str | None) -> str:
    return "" if path is None else os.path.abspath(path)


def _check_made(submission: Submission) -> None:
    """PyOutline's local backend does not tell of a task that failed. Errors: FramesFailedError."""
    from bodydouble.plates.frames import FrameRange
    from bodydouble.plates.reading import find_plate
    from bodydouble.plates.sequences import PlateSequence

    plate = find_plate(submission.plate, submission.part, submission.view)
    out = PlateSequence.output(submission.out, like=plate)
    lacking = FrameRange.of(frame for frame in submission.frames if not out.exists(frame))
    if lacking:
        raise FramesFailedError(f"frames {lacking} were not made; see what the job printed.")


def _submission(
    plate: str,
    extra: tuple[str, ...],
    out: str,
    model: Path,
    persona: str,
    faces: str | None,
    person: int | None,
    fix: str | None,
    settings: str | None,
    measures: str | None,
    matte_in: str | None,
    holdout: str | None,
    review: str | None,
    frames: FrameRange | None,
    frames_per_task: int,
    name: str | None,
    production: str | None,
    gpu: bool,
    memory: int | None,
    command: str,
    part: str | None,
    view: str | None,
    ocio: Path | None,
    colorspace: str | None,
) -> Submission:
    from bodydouble.farm.submission import Submission, plain_place
    from bodydouble.plates.reading import find_plate

    sequence = find_plate(plate, part, view)
    beside = Path(os.path.abspath(out))
    beside = beside.parent if beside.suffix else beside
    faces_path = os.path.abspath(faces or beside.parent / f"{beside.name}.faces.json")
    submission = Submission(
        name=name or f"{Path(plate).name.split('.')[0]} {persona}",
        plate=os.path.abspath(plate),
        out=os.path.abspath(out),
        model=os.path.abspath(model),
        persona=persona,
        faces=faces_path,
        review=os.path.abspath(review or beside.parent / f"{beside.name}.review"),
        frames=chosen_frames(sequence, frames),
        chunk=frames_per_task,
        align=not os.path.exists(faces_path),
        measure=measures is not None and not os.path.exists(measures),
        person=person,
        fix=_absolute(None if os.path.exists(faces_path) else fix),
        settings=_absolute(settings),
        measures=_absolute(measures),
        matte=_absolute(matte_in),
        holdout=_absolute(holdout),
        colorspace=colorspace,
        ocio=None if ocio is None else os.path.abspath(ocio),
        part=part,
        view=view,
        production=production,
        extra=extra,
        gpu=gpu,
        memory_gib=None if memory is None else memory / 2**30,
        command=tuple(shlex.split(command)),
    )
    words = submission.swap_words(plain_place(submission), "none", "1")
    # A wrong option must not come to light on a hundred machines.
    swap.make_context("swap", words[len(submission.command) :])
    return submission
