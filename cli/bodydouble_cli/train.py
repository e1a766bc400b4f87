"""`bodydouble train`: a comb from facesets."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from bodydouble.errors import UsageError
from bodydouble.events import Progress
from bodydouble.settings import TrainSettings
from bodydouble_cli.exits import EXIT_CODES
from bodydouble_cli.options import DurationType, device_option, json_option
from bodydouble_cli.progress import open_run

if TYPE_CHECKING:
    from bodydouble.training import TrainProgress

DEFAULT = TrainSettings()


@click.command(short_help="Train a model from facesets; resumable.", epilog=EXIT_CODES)
@click.argument("facesets", metavar="FACESET...", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("-o", "--out", type=click.Path(path_type=Path), required=True, help="Model to write: a NAME.comb folder.")
@click.option(
    "--resolution",
    type=click.Choice([4 * 2**level for level in range(9)]),
    default=DEFAULT.resolution,
    show_default=True,
    help="Pixels across the finished network's crop.",
)
@click.option(
    "--width", type=float, default=DEFAULT.width, show_default=True, help="Channels, as a factor of the full network's."
)
@click.option(
    "--iterations", type=int, default=DEFAULT.iterations, show_default=True, help="Per level; each updates everybody."
)
@click.option("--time-budget", "time_budget_s", type=DurationType(), help="Train so long in all instead: 90s, 30m, 8h.")
@click.option("--batch", type=int, default=DEFAULT.batch, show_default=True, help="Crops per persona and update.")
@click.option("--learning-rate", type=float, default=DEFAULT.learning_rate, show_default=True, help="Of Adam.")
@click.option(
    "--settle-learning-rate",
    type=float,
    default=DEFAULT.settle_learning_rate,
    show_default=True,
    help="After the last level.",
)
@click.option(
    "--settle", type=float, default=DEFAULT.settle, show_default=True, help="Share of the training at that rate."
)
@click.option(
    "--loss",
    type=click.Choice(["masked", "target-masked"]),
    default=DEFAULT.loss,
    show_default=True,
    help="masked leaves the background of a swap free, target-masked wants it black.",
)
@click.option(
    "--l1-weight",
    type=float,
    default=DEFAULT.l1_weight,
    show_default=True,
    help="Adds a mean absolute difference; 0 is the published loss.",
)
@click.option(
    "--precision",
    type=click.Choice(["bf16", "fp32"]),
    default=DEFAULT.precision,
    show_default=True,
    help="bf16 is faster where the device has it.",
)
@click.option("--seed", type=int, default=DEFAULT.seed, show_default=True, help="Of everything random.")
@click.option(
    "--rights",
    "rights_files",
    metavar="PERSONA=FILE",
    multiple=True,
    help="Rights record (JSON) of a persona, in place of its faceset's. On a finished model it renews the permission.",
)
@device_option
@json_option
def train(facesets: tuple[Path, ...], out: Path, rights_files: tuple[str, ...], as_json: bool, **options: Any) -> None:
    """Train a model of one persona per faceset, from small pictures to large ones.

    It can be stopped at any time (Ctrl-C saves first) and goes on where it was when called again with the same
    arguments. The model can be used for a swap after every save.

    \b
    Example:
      bodydouble train facesets/anna facesets/ben facesets/carl -o cast.comb --time-budget 8h
    """
    from bodydouble.rights import read_rights, rights_to_document
    from bodydouble.training import train as train_comb

    settings = TrainSettings(**options)
    rights = {name: rights_to_document(read_rights(path)) for name, path in map(_persona_and_file, rights_files)}
    with open_run("train", as_json=as_json) as run:
        for report in train_comb(facesets, out, settings, rights):
            run.emit(
                Progress(
                    stage="train",
                    done=round(1000 * report.progress),
                    total=1000,
                    seconds_left=report.seconds_left,
                    values={
                        "level": report.level,
                        "size": report.size,
                        "alpha": report.alpha,
                        "iteration": report.iteration,
                        "loss": report.loss,
                        "images_per_s": report.images_per_s,
                    },
                    message=_message(report),
                )
            )
        run.output("model", out)


def _persona_and_file(text: str) -> tuple[str, str]:
    persona, equals, path = text.partition("=")
    if not (persona and equals and path):
        raise UsageError(f"--rights {text}: write it like anna=anna.rights.json.")
    return persona, path


def _message(report: TrainProgress) -> str:
    # The last report comes after the last iteration and has no loss of its own.
    loss = "" if math.isnan(report.loss) else f", loss {report.loss:.4f}, {report.images_per_s:.0f} crops/s"
    return f"{report.size} px, iteration {report.iteration}{loss} {report.message}".rstrip()
