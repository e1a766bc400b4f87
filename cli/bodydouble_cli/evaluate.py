"""`bodydouble evaluate`: results of any tool by one fixed protocol, in one table."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from bodydouble.errors import FramesFailedError, UsageError
from bodydouble_cli.exits import EXIT_CODES
from bodydouble_cli.options import (
    chosen_frames,
    device_option,
    frames_option,
    open_colour,
    plate_argument,
    plate_options,
)

if TYPE_CHECKING:
    from bodydouble.plates.frames import FrameRange
    from bodydouble.reviews.evaluating import Evaluation


@click.command(short_help="Measure results of any tool against each other.", epilog=EXIT_CODES)
@plate_argument
@click.option(
    "--result", "results", metavar="NAME=FRAMES", multiple=True, help="Swapped frames and what to call them; repeat it."
)
@click.option("--persona", metavar="NAME", help="Who ought to be seen; one of --people.")
@click.option(
    "--people",
    metavar="NAME=PATH",
    multiple=True,
    help="Everybody whom the face might read as, the performer too: a faceset, or pictures. Repeat it.",
)
@click.option("--truth", metavar="FRAMES", help="What the results ought to look like, where it is known.")
@click.option(
    "--truth-matte", default="matte.face", metavar="CHANNEL", show_default=True, help="Where in its files it holds."
)
@click.option(
    "--faces", type=click.Path(path_type=Path), help="Shot faces from align.  [default: aligns the whole plate first]"
)
@click.option("--person", type=int, help="Whose face was replaced.  [default: the most prominent person]")
@frames_option
@click.option(
    "--model", type=click.Path(path_type=Path), help="Also swap --performer with their own persona: how much is lost."
)
@click.option("--performer", metavar="NAME", help="The performer's own persona in --model.")
@click.option("--production", metavar="NAME", help="Production this is for, where that persona asks for one.")
@device_option
@plate_options
@click.option("--csv", "as_csv", is_flag=True, help="Write the table as CSV on standard output.")
@click.option("--json", "as_json", is_flag=True, help="Write one JSON document on standard output, frames included.")
def evaluate(
    plate: str,
    results: tuple[str, ...],
    persona: str | None,
    people: tuple[str, ...],
    truth: str | None,
    truth_matte: str,
    faces: Path | None,
    person: int | None,
    frames: FrameRange | None,
    model: Path | None,
    performer: str | None,
    production: str | None,
    device: str,
    part: str | None,
    view: str | None,
    ocio: Path | None,
    colorspace: str | None,
    as_csv: bool,
    as_json: bool,
) -> None:
    """Measure results of any tool against the plate, and against the truth where it is known.

    One column per result, one line per figure; the best is starred. All are seen in the same pixels, so that two
    versions or two tools can be compared: identity among everybody named, pose and expression against the performer,
    shaking and boiling over time, the outline, what changed where nothing may change. docs/quality.md defines them.
    A frame that a result lacks makes the exit code 4.

    \b
    Example:
      bodydouble evaluate plates/sh010.####.exr --faces sh010.faces.json \\
          --result new=swap/sh010.####.exr --result old=archive/sh010.####.exr \\
          --persona anna --people anna=facesets/anna --people ben=facesets/ben
    """
    from bodydouble.alignment.aligning import align_shot
    from bodydouble.alignment.faces import FaceFinder
    from bodydouble.alignment.knownfaces import known_face
    from bodydouble.alignment.shotfaces import read_shot_faces
    from bodydouble.plates.reading import chosen, find_plate
    from bodydouble.reviews.evaluating import Entry, self_swap
    from bodydouble.reviews.evaluating import evaluate as measure
    from bodydouble.reviews.scoring import Setting
    from bodydouble.settings import AlignSettings

    if as_csv and as_json:
        raise UsageError("--csv and --json: standard output holds one of them.")
    if bool(people) != bool(persona):
        raise UsageError("--persona and --people go together: who ought to be seen, and what everybody looks like.")
    if bool(model) != bool(performer):
        raise UsageError("--model and --performer go together: the self-swap needs both.")
    if not results and model is None:
        raise UsageError("nothing to evaluate; name frames with --result NAME=FRAMES.")
    sequence = find_plate(plate, part, view)
    wanted, colour, finder = chosen_frames(sequence, frames), open_colour(ocio), FaceFinder()
    entries = [
        Entry(name, chosen(find_plate(path), sequence), persona, find_plate(truth) if truth else None)
        for name, path in (_named(text, "--result") for text in results)
    ]
    known = {
        name: known_face(Path(path), finder, colour) for name, path in (_named(text, "--people") for text in people)
    }
    if faces is None:
        click.echo("no --faces: the whole plate is aligned first.", err=True)
    shot = (
        read_shot_faces(faces) if faces else align_shot(sequence, sequence.frames, colour, colorspace, AlignSettings())
    )
    setting = Setting(sequence, shot, person, colour, colorspace, known, truth_matte)
    with tempfile.TemporaryDirectory(prefix="bodydouble-") as folder:
        if model is not None and performer is not None:
            entries.append(self_swap(setting, wanted, model, performer, Path(folder), device, production))
        evaluations = measure(
            entries, setting, wanted, finder, lambda frame: click.echo(f"frame {frame} measured", err=True)
        )
    _show(evaluations, as_csv, as_json)


def _named(text: str, option: str) -> tuple[str, str]:
    name, equals, path = text.partition("=")
    if not (name and equals and path):
        raise UsageError(f"{option} {text}: write it as NAME=PATH.")
    return name, path


def _show(evaluations: Sequence[Evaluation], as_csv: bool, as_json: bool) -> None:
    from bodydouble.reviews import evaluationtable

    rows = evaluationtable.rows_of(evaluations)
    if as_json:
        click.echo(json.dumps(evaluationtable.as_document(evaluations, rows), indent=1, allow_nan=False))
    else:
        click.echo(evaluationtable.as_csv(rows) if as_csv else evaluationtable.as_text(rows))
    failed = sum(len(row.failed) for row in rows)
    if failed:
        raise FramesFailedError(f"{failed} frames could not be measured; they are listed with the table.")
