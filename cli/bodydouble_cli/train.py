"""`bodydouble train`: a comb from facesets."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from bodydouble.errors import UsageError
from bodydouble.events import Progress
from bodydouble.settings import TrainSettings
from bodydouble_cli.exits import EXIT_CODES
from bodydouble_cli.options import DurationType, IterationsType, WidthType, device_option, json_option, setting_option
from bodydouble_cli.progress import open_run

if TYPE_CHECKING:
    from bodydouble.training.trainjob import TrainProgress

DEFAULT = TrainSettings()
# What a switched-on augmentation does where the default is none: sigmas in crop sides, grain at scene-linear 1.
STRENGTHS = {"shape": 0.006, "warp": 0.01, "blur": 0.006, "grain": 0.03}


def _switch(name: str, default: bool, help: str) -> Any:
    return click.option(f"--{name}/--no-{name}", default=default, show_default=True, help=help)


@click.command(short_help="Train a model from facesets; resumable.", epilog=EXIT_CODES)
@click.argument("facesets", metavar="[FACESET]...", nargs=-1, type=click.Path(path_type=Path))
@click.option("-o", "--out", type=click.Path(path_type=Path), help="Model to write: a NAME.comb folder.")
@click.option(
    "--add",
    "added",
    type=click.Path(path_type=Path),
    multiple=True,
    metavar="FACESET",
    help="Add its persona to the model --to; encoder and the other personas keep every bit.",
)
@click.option(
    "--to", type=click.Path(path_type=Path), metavar="MODEL", help="Finished model that a persona is added to."
)
@click.option("--replace", is_flag=True, help="With --add: train anew a persona that the model has.")
@click.option(
    "--fine-tune",
    is_flag=True,
    help="With --add: train everything on; give the facesets of the model's personas too.",
)
@click.option(
    "--resolution",
    type=click.Choice([4 * 2**level for level in range(9)]),
    default=DEFAULT.resolution,
    show_default=True,
    help="Pixels across the finished network's crop.",
)
@click.option(
    "--width",
    type=WidthType(),
    default="full",
    show_default=True,
    help="Channels: full, half, quarter, or a factor of the full network's.",
)
@click.option(
    "--iterations",
    type=IterationsType(),
    default=DEFAULT.iterations,
    show_default=True,
    help="Per level: a number, or one for each level by commas, 0 to skip it.",
)
@click.option("--time-budget", "time_budget_s", type=DurationType(), help="Train so long in all instead: 90s, 30m, 8h.")
@click.option(
    "--batch", type=int, help="Crops per persona and iteration.  [default: 16, more below 32 px, as memory allows]"
)
@setting_option(DEFAULT, "--update", "An update per persona, as published, or one for all together, which is faster.")
@setting_option(DEFAULT, "--optimiser", "adam is the published one; muon learns more per iteration.")
@click.option("--learning-rate", type=float, help="Of the optimiser.  [default: 1e-3 muon, 1e-4 adam]")
@click.option("--settle-learning-rate", type=float, help="At the end.  [default: 1e-5]")
@setting_option(DEFAULT, "--settle", "Share of the training for that.")
@setting_option(DEFAULT, "--settle-form", "The rate falls to it, or begins with it, as published.")
@setting_option(DEFAULT, "--loss", "masked leaves the background of a swap free, target-masked wants it black.")
@setting_option(
    DEFAULT,
    "--loss-span",
    "Range of model space that a face fills; a smaller one makes faint detail count. 1 is the published loss.",
)
@setting_option(DEFAULT, "--detail-weight", "Adds a loss of the finest structure; 0 is the published loss.")
@setting_option(
    DEFAULT,
    "--texture-weight",
    "Adds a loss of how strong the finest structure is, wherever it lies: skin and lashes instead of wax. "
    "For the end of a training, about 1; 0 is the published loss.",
)
@setting_option(DEFAULT, "--l1-weight", "Adds a mean absolute difference; 0 is the published loss.")
@setting_option(
    DEFAULT,
    "--eyes-mouth-weight",
    "How many times as much eyes and mouth count as the rest of the face; 1 is the published loss.",
)
@_switch("similarity", True, "Turn, scale and shift crops a little.")
@_switch("exposure", True, "Change their exposure, in scene-linear light.")
@_switch("balance", True, "Change their white balance.")
@_switch("light", True, "Change the light smoothly over the crop.")
@_switch("shape", DEFAULT.jitter_shape > 0, "Bend faces a little, input and goal alike.")
@_switch("warp", DEFAULT.jitter_warp > 0, "Bend the inputs a little; the goal stays as it is.")
@_switch("mirror", DEFAULT.mirror, "Show half of the crops mirrored; not for faces whose two sides differ.")
@_switch("blur", DEFAULT.jitter_blur > 0, "Blur half of the inputs; the goal stays sharp.")
@_switch("grain", DEFAULT.jitter_grain > 0, "Put grain on half of the inputs; the goal stays clean.")
@setting_option(DEFAULT, "--held-out", "Share of each faceset that is validated with, not trained on.")
@setting_option(DEFAULT, "--precision", "bf16 is faster where the device has it.")
@setting_option(DEFAULT, "--seed", "Of everything random.")
@setting_option(DEFAULT, "--keep", "How many states to keep to go on from.")
@click.option(
    "--preview-every",
    "preview_every_s",
    type=DurationType(),
    default=DEFAULT.preview_every_s,
    help="Time between preview pictures.  [default: 10m]",
)
@click.option(
    "--rights",
    "rights_files",
    metavar="PERSONA=FILE",
    multiple=True,
    help="Rights record (JSON) of a persona, in place of its faceset's. On a finished model it renews the permission.",
)
@click.option("--tensorboard", is_flag=True, help="Write curves for TensorBoard into the model's training folder.")
@click.option("--cache", type=click.Path(path_type=Path), help="Folder for decoded crops.  [default: in the model]")
@device_option
@json_option
def train(
    facesets: tuple[Path, ...],
    out: Path | None,
    added: tuple[Path, ...],
    to: Path | None,
    replace: bool,
    fine_tune: bool,
    rights_files: tuple[str, ...],
    cache: Path | None,
    as_json: bool,
    **options: Any,
) -> None:
    """Train a model of one persona per faceset, from small pictures to large ones.

    It can be stopped or killed at any time (Ctrl-C saves first) and goes on where it was when called again with the
    same arguments. The model can be used for a swap after every save. Start it with torchrun to train on many GPUs.

    \b
    Example:
      bodydouble train facesets/anna facesets/ben facesets/carl -o cast.comb --time-budget 8h
      bodydouble train --add facesets/dora --to cast.comb --time-budget 1h
      torchrun --nproc-per-node 8 -m bodydouble_cli train facesets/* -o cast.comb
    """
    model = to if added else out
    _check_request(facesets, out, added, to, replace, fine_tune)
    settings = TrainSettings(**_switched(options))
    rights = _rights(rights_files)
    reports = _training(facesets, out, added, to, replace, fine_tune, settings, rights, cache)
    if os.environ.get("RANK", "0") != "0":
        for _ in reports:  # rank 0 speaks for all
            pass
        return
    with open_run("train", as_json=as_json) as run:
        for report in reports:
            run.emit(_event(report))
        run.output("model", model)


def _check_request(
    facesets: tuple[Path, ...], out: Path | None, added: tuple[Path, ...], to: Path | None, replace: bool, tune: bool
) -> None:
    if bool(added) != (to is not None):
        raise click.UsageError("--add names the faceset of a new persona and --to the model it is added to: give both.")
    if added and out is not None:
        raise click.UsageError("--add changes the model --to in place; leave out -o.")
    if not added and (replace or tune):
        raise click.UsageError("--replace and --fine-tune belong to --add.")
    if replace and tune:
        raise click.UsageError("--replace keeps the encoder, --fine-tune moves it: give one.")
    if added and facesets and not tune:
        raise click.UsageError("other facesets than that of --add are of use with --fine-tune only.")
    if not added and (out is None or not facesets):
        raise click.UsageError("give the facesets to train on and -o MODEL, or --add FACESET --to MODEL.")


def _training(
    facesets: tuple[Path, ...],
    out: Path | None,
    added: tuple[Path, ...],
    to: Path | None,
    replace: bool,
    tune: bool,
    settings: TrainSettings,
    rights: Mapping[str, Mapping[str, Any]],
    cache: Path | None,
) -> Iterator[TrainProgress]:
    from bodydouble.training import family, training

    if to is not None and tune:
        return family.fine_tune((*facesets, *added), to, settings, rights, cache)
    if to is not None:
        return family.add_persona(added, to, settings, rights, replace, cache)
    assert out is not None
    return training.train(facesets, out, settings, rights, cache)


def _switched(options: dict[str, Any]) -> dict[str, Any]:
    """Options to settings: an augmentation that is off has strength 0."""
    settings = dict(options)
    strengths = {
        "similarity": ("jitter_degrees", "jitter_scale", "jitter_shift"),
        "exposure": ("jitter_exposure",),
        "balance": ("jitter_balance",),
        "light": ("jitter_light",),
    }
    for switch, names in strengths.items():
        if not settings.pop(switch):
            settings |= dict.fromkeys(names, 0.0)
    for switch, strength in STRENGTHS.items():
        settings[f"jitter_{switch}"] = strength if settings.pop(switch) else 0.0
    return settings


def _event(report: TrainProgress) -> Progress:
    values = {
        "level": report.level,
        "size": report.size,
        "alpha": report.alpha,
        "iteration": report.iteration,
        "loss": report.loss,
        "images_per_s": report.images_per_s,
        "level_seconds_left": report.level_seconds_left,
        "batch": report.batch,
        **{f"loss/{name}": loss for name, loss in report.losses.items()},
        **{f"validation/{name}": loss for name, loss in report.validation.items()},
    }
    return Progress(
        stage="train",
        done=round(1000 * report.progress),
        total=1000,
        seconds_left=report.seconds_left,
        values=values,
        message=_message(report),
    )


def _rights(files: tuple[str, ...]) -> dict[str, dict[str, object]]:
    from bodydouble.rights import read_rights, rights_to_document

    return {name: rights_to_document(read_rights(path)) for name, path in map(_persona_and_file, files)}


def _persona_and_file(text: str) -> tuple[str, str]:
    persona, equals, path = text.partition("=")
    if not (persona and equals and path):
        raise UsageError(f"--rights {text}: write it like anna=anna.rights.json.")
    return persona, path


def _message(report: TrainProgress) -> str:
    # The last report may come without an iteration since the one before, and has no loss of its own then.
    loss = "" if math.isnan(report.loss) else f", loss {report.loss:.4f}, {report.images_per_s:.0f} crops/s"
    held = report.validation
    checked = f", held out {sum(held.values()) / len(held):.4f}" if held else ""
    left = f", level ends in {_duration(report.level_seconds_left)}" if report.level_seconds_left > 0 else ""
    return f"{report.size} px, iteration {report.iteration}{loss}{checked}{left} {report.message}".rstrip()


def _duration(seconds: float) -> str:
    minutes = round(seconds / 60)
    return f"{seconds:.0f} s" if seconds < 90 else f"{minutes} min" if minutes < 90 else f"{minutes / 60:.1f} h"
