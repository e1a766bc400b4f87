"""`bodydouble measure`: once per shot, what its plate is like."""

from __future__ import annotations

from pathlib import Path

import click

from bodydouble_cli.exits import EXIT_CODES
from bodydouble_cli.options import (
    open_colour,
    plate_argument,
    plate_options,
    reporting_options,
)
from bodydouble_cli.progress import Reporting, open_run


@click.command(short_help="Measure a plate's grain around the face.", epilog=EXIT_CODES)
@plate_argument
@click.option("--faces", type=click.Path(path_type=Path), required=True, help="Shot faces from align.")
@click.option("-o", "--out", type=click.Path(path_type=Path), required=True, help="Sidecar to write: *.measures.json.")
@click.option("--person", type=int, help="Whose face.  [default: the most prominent person]")
@click.option(
    "--model", type=click.Path(path_type=Path), help="Model whose model space counts.  [default: the usual one]"
)
@plate_options
@reporting_options
def measure(
    plate: str,
    faces: Path,
    out: Path,
    person: int | None,
    model: Path | None,
    part: str | None,
    view: str | None,
    ocio: Path | None,
    colorspace: str | None,
    reporting: Reporting,
) -> None:
    """Measure what a plate is like around the face: its grain, per channel and brightness, and the grain's spectrum.

    Once per shot, on a few pairs of frames spread over it. `swap --measures` lays the grain over the new face.

    \b
    Example:
      bodydouble measure plates/sh010.####.exr --faces sh010.faces.json -o sh010.measures.json
    """
    from bodydouble.alignment.shotfaces import read_shot_faces
    from bodydouble.network.checkpoint import read_card
    from bodydouble.plates.platemeasures import measure_plate, write_measures
    from bodydouble.plates.reading import find_plate

    sequence, shot, colour = find_plate(plate, part, view), read_shot_faces(faces), open_colour(ocio)
    space = None if model is None else read_card(model).model_space
    with open_run("measure", reporting=reporting) as run:
        measures = measure_plate(sequence, shot, colour, colorspace and colour.resolve(colorspace), person, space)
        if measures.grain is None:
            run.notice("too little of the plate is seen to measure its grain; none will be added.")
        write_measures(out, measures)
        run.output("measures", out)
