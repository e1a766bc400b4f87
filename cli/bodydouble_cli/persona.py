"""`bodydouble persona`: the personas of a model, one at a time."""

from __future__ import annotations

from pathlib import Path

import click

from bodydouble_cli.exits import EXIT_CODES
from bodydouble_cli.options import json_option
from bodydouble_cli.progress import open_run


@click.command(short_help="Export, import or remove a persona of a model.", epilog=EXIT_CODES)
@click.argument("model", type=click.Path(path_type=Path))
@click.option("--export", "exported", metavar="NAME", help="Write this persona to the file --out.")
@click.option("--import", "imported", type=click.Path(path_type=Path), help="Put an exported persona into the model.")
@click.option("--remove", "removed", metavar="NAME", help="Take this persona out of the model, weights included.")
@click.option("-o", "--out", type=click.Path(path_type=Path), help="With --export: the file, NAME.persona.")
@click.option("--as", "name", metavar="NAME", help="With --import: another name, such as 'anna 1990'.")
@click.option("--replace", is_flag=True, help="With --import: instead of the persona of that name.")
@json_option
def persona(
    model: Path,
    exported: str | None,
    imported: Path | None,
    removed: str | None,
    out: Path | None,
    name: str | None,
    replace: bool,
    as_json: bool,
) -> None:
    """Hand a persona from model to model, or take it out of one.

    A persona's file carries its decoder, its rights record and which encoder it fits: it can be imported into any model
    with that encoder, such as copies of one model that two shows added their own personas to.

    \b
    Example:
      bodydouble persona cast.comb --export dora -o dora.persona
      bodydouble persona other/cast.comb --import dora.persona --as "dora 1990"
      bodydouble persona cast.comb --remove dora
    """
    if sum(wish is not None for wish in (exported, imported, removed)) != 1:
        raise click.UsageError("say one of --export, --import and --remove.")
    if (exported is None) != (out is None):
        raise click.UsageError("--export writes to the file --out: give both.")
    if imported is None and (name is not None or replace):
        raise click.UsageError("--as and --replace belong to --import.")
    from bodydouble.training import family

    with open_run("persona", as_json=as_json) as run:
        if exported is not None and out is not None:
            family.export_persona(model, exported, out)
            run.output("persona", out)
        elif imported is not None:
            found = family.import_persona(model, imported, name, replace)
            run.notice(f"{found!r} is now in {model}.")
            run.output("model", model)
        elif removed is not None:
            family.remove_persona(model, removed)
            run.output("model", model)
