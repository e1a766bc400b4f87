"""`bodydouble export`: what other programs take: a shot as Nuke nodes, a persona as TorchScript."""

from __future__ import annotations

from pathlib import Path

import click

from bodydouble.errors import UsageError
from bodydouble.settings import SwapSettings
from bodydouble_cli.exits import EXIT_CODES
from bodydouble_cli.options import json_option, part_option, plate_argument, view_option
from bodydouble_cli.progress import open_run

DEFAULT = SwapSettings()


@click.group(short_help="A shot as Nuke nodes, or a persona as TorchScript for Nuke.", epilog=EXIT_CODES)
def export() -> None:
    """Hand work over to Nuke: a shot as ordinary nodes, or a persona as a TorchScript module.

    \b
    Example:
      bodydouble export nuke plates/sh010.####.exr --faces sh010.faces.json --patch patch -o sh010.nk
      bodydouble export torchscript --model cast.comb --persona anna -o anna_nuke
    """


@export.command(short_help="Alignment, matte, landmarks and blend of a shot as Nuke nodes.", epilog=EXIT_CODES)
@plate_argument
@click.option("-o", "--out", type=click.Path(path_type=Path), required=True, help="Nuke script to write: *.nk.")
@click.option("--faces", type=click.Path(path_type=Path), required=True, help="Shot faces from align.")
@click.option("--person", type=int, help="Whose face.  [default: the most prominent person]")
@click.option("--result", metavar="FRAMES", help="Finished frames from swap: a pattern or a folder.")
@click.option("--patch", metavar="FRAMES", help="Crop-space swaps from `swap --patch`: a pattern or a folder.")
@click.option(
    "--forehead", type=float, default=DEFAULT.forehead, show_default=True, help="Matte's reach: 0 brows, 1 hairline."
)
@click.option(
    "--edge", type=float, default=DEFAULT.edge, show_default=True, help="Ramp inside the outline, in % of the crop."
)
@click.option("--overwrite", is_flag=True, help="Replace an existing script.")
@part_option
@view_option
@json_option
def nuke(
    plate: str,
    out: Path,
    faces: Path,
    person: int | None,
    result: str | None,
    patch: str | None,
    forehead: float,
    edge: float,
    overwrite: bool,
    part: str | None,
    view: str | None,
    as_json: bool,
) -> None:
    """Write a shot as ordinary Nuke nodes: open it, or import it into a comp (File, Insert Comp Nodes).

    The alignment becomes a keyed CornerPin2D that places the patch, and a Transform that holds the face still; the
    matte's outline a Roto with keyed points; the landmarks a Tracker; and, with --patch, the blend nodes to change.
    Files are named from the script's own folder: keep them together.

    \b
    Example:
      bodydouble swap plates/sh010.####.exr -o swap --patch patch \\
          --model cast.comb --persona anna --faces sh010.faces.json
      bodydouble export nuke plates/sh010.####.exr -o sh010.nk \\
          --faces sh010.faces.json --result swap --patch patch
    """
    from bodydouble.exports.handover import find_handover, write_handover
    from bodydouble.plates.reading import find_plate

    _free(out, overwrite)
    settings = SwapSettings(forehead=forehead, edge=edge)
    with open_run("export", as_json=as_json) as run:
        write_handover(out, find_handover(find_plate(plate, part, view), faces, person, result, patch, settings))
        run.output("script", str(out))


@export.command(short_help="A persona as TorchScript for Nuke's CatFileCreator.", epilog=EXIT_CODES)
@click.option("--model", type=click.Path(path_type=Path), required=True, help="Trained model: a NAME.comb folder.")
@click.option("--persona", required=True, metavar="NAME", help="Who appears; `bodydouble info MODEL` lists them.")
@click.option("-o", "--out", type=click.Path(path_type=Path), required=True, help="Folder to write.")
@click.option("--performer", metavar="NAME", help="Whose crops it will be given, as in `swap`.  [default: anybody's]")
@click.option("--production", metavar="NAME", help="Production this is for; some personas may appear only in some.")
@click.option("--overwrite", is_flag=True, help="Replace what an earlier export left in the folder.")
@json_option
def torchscript(
    model: Path,
    persona: str,
    out: Path,
    performer: str | None,
    production: str | None,
    overwrite: bool,
    as_json: bool,
) -> None:
    """Write encoder and decoder of one persona as one TorchScript module, with a script for Nuke's CatFileCreator.

    The folder gets NAME.pt, NAME.nk that turns it into NAME.cat, and a README that says what goes in and comes out.
    """
    from bodydouble.exports.scripting import export_torchscript

    with open_run("export", as_json=as_json) as run:
        written = export_torchscript(
            model, persona, out, production=production, overwrite=overwrite, performer=performer
        )
        if written.notice:
            run.notice(written.notice)
        run.output("torchscript", str(written.module))
        run.output("nuke", str(written.script))
        run.output("readme", str(written.readme))


def _free(out: Path, overwrite: bool) -> None:
    if out.exists() and not overwrite:
        raise UsageError(f"{out} exists; say --overwrite to replace it.")
