"""`bodydouble measure`: once per shot, what its plate is like."""

from __future__ import annotations

from pathlib import Path

import click

from bodydouble.errors import UsageError
from bodydouble.events import Progress
from bodydouble_cli.exits import EXIT_CODES
from bodydouble_cli.options import (
    device_option,
    open_colour,
    plate_argument,
    plate_options,
    reporting_options,
)
from bodydouble_cli.progress import Reporting, open_run, served


@click.command(short_help="Measure a plate's grain and blur around the face.", epilog=EXIT_CODES)
@plate_argument
@click.option("--faces", type=click.Path(path_type=Path), required=True, help="Shot faces from align.")
@click.option("-o", "--out", type=click.Path(path_type=Path), required=True, help="Sidecar to write: *.measures.json.")
@click.option("--person", type=int, help="Whose face.  [default: the most prominent person]")
@click.option("--model", type=click.Path(path_type=Path), help="Model of the swap; with --persona, blur is measured.")
@click.option("--persona", metavar="NAME", help="Whose swaps the plate's blur is measured against.")
@click.option("--production", metavar="NAME", help="Production this is for; some personas may appear only in some.")
@device_option
@plate_options
@reporting_options
def measure(
    plate: str,
    faces: Path,
    out: Path,
    person: int | None,
    model: Path | None,
    persona: str | None,
    production: str | None,
    device: str,
    part: str | None,
    view: str | None,
    ocio: Path | None,
    colorspace: str | None,
    reporting: Reporting,
) -> None:
    """Measure what a plate is like around the face: its grain; with a persona its blur, too.

    Once per shot. `swap --measures` lays the grain over the new face, and gives it the defocus and motion blur that the
    persona's swaps lack.

    \b
    Example:
      bodydouble measure plates/sh010.####.exr --faces sh010.faces.json \\
          --model cast.comb --persona anna -o sh010.measures.json
    """
    from bodydouble.alignment.shotfaces import read_shot_faces
    from bodydouble.plates.reading import find_plate
    from bodydouble.swap.platemeasures import measure_plate, write_measures
    from bodydouble.swap.swapframe import load_swap_model

    if (model is None) != (persona is None):
        raise UsageError("--model and --persona go together: blur is measured against one persona's swaps.")
    sequence, shot, colour = find_plate(plate, part, view), read_shot_faces(faces), open_colour(ocio)
    worker, loaded = served(), None
    if model is not None and persona is not None:
        load = load_swap_model if worker is None else worker.warm.model
        loaded = load(model, persona, device, production)
    with open_run("measure", reporting=reporting) as run:
        space = colorspace and colour.resolve(colorspace)
        measures = measure_plate(
            sequence,
            shot,
            colour,
            space,
            person,
            loaded,
            lambda done, total: run.emit(Progress("measuring", done, total)),
        )
        if measures.grain is None:
            run.notice("too little of the plate is seen to measure its grain; none will be added.")
        if loaded is not None and measures.spread is None:
            run.notice("no edges of the face are seen well enough to measure its blur; none will be added.")
        write_measures(out, measures)
        run.output("measures", out)
