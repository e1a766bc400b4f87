"""The look options of `bodydouble swap`: flags, and a settings file with key frames below them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from bodydouble.settings import SwapSettings
from bodydouble_cli.options import setting_option

if TYPE_CHECKING:
    from bodydouble.swap.lookfile import ShotLook

DEFAULT = SwapSettings()

Command = TypeVar("Command", bound=Callable[..., Any])

_OPTIONS = (
    click.option(
        "--settings",
        "settings_file",
        type=click.Path(path_type=Path),
        metavar="FILE",
        help="Look of the shot, *.settings.json, with key frames if wanted. A flag given here goes before it.",
    ),
    setting_option(DEFAULT, "--on-no-face", "A frame without a face fails, or becomes a copy of the plate, or black."),
    click.option(
        "--layers", is_flag=True, help="Add matte, un-blended face, confidence and ST map as channels bodydouble.*."
    ),
    setting_option(DEFAULT, "--forehead", "Matte's reach: 0 brows, 1 hairline."),
    setting_option(DEFAULT, "--grow", "Move the matte's outline outwards, inwards below 0, in % of the crop."),
    setting_option(DEFAULT, "--edge", "Ramp inside the outline, in % of the crop."),
    setting_option(DEFAULT, "--sigma", "Softness of the blend, in pixels per band."),
    setting_option(
        DEFAULT, "--plate-levels", "Coarsest bands that stay the plate's: more keeps more of its light and tone."
    ),
    setting_option(
        DEFAULT,
        "--colour-match",
        "Light and tone: low, those bands of the plate; ring, the swap's with the plate's mean and deviation in a"
        " ring inside the outline; none, the swap's.",
    ),
    setting_option(
        DEFAULT, "--contrast", "Share of the plate's local contrast that the new face gets: 0 its own, 1 the plate's."
    ),
    click.option(
        "--performer",
        metavar="NAME",
        help="Who plays the face in the plate, where the model knows them as a persona: what tells the two apart is"
        " taken out of the latent, and the result is more like the persona.",
    ),
    setting_option(DEFAULT, "--likeness", "With --performer: share of that which is taken out; 0 for none, up to 2."),
    setting_option(DEFAULT, "--precision", "Of the network; bf16 is faster where the device has it."),
    setting_option(DEFAULT, "--grain", "Strength of the plate's grain on the new face, with --measures; 0 for none."),
    setting_option(
        DEFAULT, "--defocus", "Share of the plate's defocus that the new face gets, with --measures; 0 for none."
    ),
    setting_option(
        DEFAULT,
        "--motion-blur",
        "Share of the plate's motion blur that the new face gets, with --measures; 0 for none.",
    ),
)


def look_options(command: Command) -> Command:
    """Adds the options; the command gets `settings_file` and one argument per setting."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def chosen_look(settings_file: Path | None, flags: dict[str, Any]) -> ShotLook:
    """The look of a run: the settings file, or the defaults, under the flags that were given on the command line."""
    from click.core import ParameterSource

    from bodydouble.swap.lookfile import ShotLook, read_look

    if settings_file is None:
        return ShotLook(SwapSettings(**flags))
    context = click.get_current_context()
    given = {
        name: value for name, value in flags.items() if context.get_parameter_source(name) != ParameterSource.DEFAULT
    }
    return read_look(settings_file).with_settings(**given)
