"""`bodydouble train`: a comb from facesets."""

from __future__ import annotations

from pathlib import Path

import click

from bodydouble.events import Progress
from bodydouble_cli.exits import EXIT_CODES
from bodydouble_cli.options import DurationType, device_option, json_option
from bodydouble_cli.progress import open_run


@click.command(short_help="Train a model from facesets; resumable.", epilog=EXIT_CODES)
@click.argument("facesets", metavar="FACESET...", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("-o", "--out", type=click.Path(path_type=Path), required=True, help="Model to write: a NAME.comb folder.")
@click.option("--resolution", type=int, default=128, show_default=True, help="Pixels across the crop: 4·2^level.")
@click.option("--width", type=float, default=0.25, show_default=True, help="Network width; 1 is the published one.")
@click.option("--iterations", type=int, help="Iterations per level.  [default: the engine's preset]")
@click.option("--time-budget", type=DurationType(), help="Train this long in all, spread over the levels: 30m, 8h.")
@click.option("--batch", type=int, help="Crops per persona and update.  [default: the engine's preset]")
@click.option("--learning-rate", type=float, help="Of Adam.  [default: the engine's preset]")
@click.option(
    "--loss",
    type=click.Choice(["masked", "target-masked"]),
    default="masked",
    show_default=True,
    help="masked ignores the background; target-masked paints it black.",
)
@click.option("--precision", type=click.Choice(["bf16", "fp32"]), help="Of the network.  [default: the engine's preset]")
@click.option("--seed", type=int, default=0, show_default=True, help="Of everything random.")
@device_option()
@json_option()
def train(facesets: tuple[Path, ...], out: Path, as_json: bool, **options: object) -> None:
    """Train a model of one persona per faceset, from small pictures to large ones.

    It can be stopped at any time (Ctrl-C saves first) and goes on where it was when called again with the same
    arguments. The model can be used for a swap after every save.

    \b
    Example:
      bodydouble train facesets/anna facesets/ben facesets/carl -o cast.comb --time-budget 8h
    """
    from bodydouble.settings import TrainSettings
    from bodydouble.training import train as train_comb

    given = {name: value for name, value in options.items() if value is not None}
    if "time_budget" in given:
        given["time_budget_s"] = given.pop("time_budget")
    settings = TrainSettings(**given)  # type: ignore[arg-type]
    with open_run("train", as_json=as_json) as run:
        for report in train_comb(facesets, out, settings):
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
                    message=(
                        f"{report.size} px, iteration {report.iteration}, loss {report.loss:.4f}, "
                        f"{report.images_per_s:.0f} crops/s {report.message}"
                    ).rstrip(),
                )
            )
        run.output("model", out)
