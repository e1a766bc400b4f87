"""The look options of `bodydouble swap`: flags, and a settings file with key frames below them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from bodydouble.settings import SwapSettings

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
    click.option(
        "--on-no-face",
        type=click.Choice(["fail", "plate", "black"]),
        default=DEFAULT.on_no_face,
        show_default=True,
        help="A frame without a face fails, or becomes a copy of the plate, or black.",
    ),
    click.option(
        "--layers", is_flag=True, help="Add matte, un-blended face, confidence and ST map as channels bodydouble.*."
    ),
    click.option(
        "--forehead",
        type=float,
        default=DEFAULT.forehead,
        show_default=True,
        help="Matte's reach: 0 brows, 1 hairline.",
    ),
    click.option(
        "--grow",
        type=float,
        default=DEFAULT.grow,
        show_default=True,
        help="Move the matte's outline outwards, inwards below 0, in % of the crop.",
    ),
    click.option(
        "--edge", type=float, default=DEFAULT.edge, show_default=True, help="Ramp inside the outline, in % of the crop."
    ),
    click.option(
        "--sigma",
        type=float,
        default=DEFAULT.sigma,
        show_default=True,
        help="Softness of the blend, in pixels per band.",
    ),
    click.option(
        "--plate-levels",
        type=int,
        default=DEFAULT.plate_levels,
        show_default=True,
        help="Coarsest bands that stay the plate's: more keeps more of its light and tone.",
    ),
    click.option(
        "--colour-match",
        type=click.Choice(["low", "ring", "none"]),
        default=DEFAULT.colour_match,
        show_default=True,
        help="Light and tone: low, those bands of the plate; ring, the swap's with the plate's mean and deviation in a"
        " ring inside the outline; none, the swap's.",
    ),
    click.option(
        "--contrast",
        type=float,
        default=DEFAULT.contrast,
        show_default=True,
        help="Share of the plate's local contrast that the new face gets: 0 its own, 1 the plate's.",
    ),
    click.option(
        "--precision",
        type=click.Choice(["fp32", "bf16"]),
        default=DEFAULT.precision,
        show_default=True,
        help="Of the network; bf16 is faster where the device has it.",
    ),
    click.option(
        "--grain",
        type=float,
        default=DEFAULT.grain,
        show_default=True,
        help="Strength of the plate's grain on the new face, with --measures; 0 for none.",
    ),
    click.option(
        "--defocus",
        type=float,
        default=DEFAULT.defocus,
        show_default=True,
        help="Share of the plate's defocus that the new face gets, with --measures; 0 for none.",
    ),
    click.option(
        "--motion-blur",
        type=float,
        default=DEFAULT.motion_blur,
        show_default=True,
        help="Share of the plate's motion blur that the new face gets, with --measures; 0 for none.",
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
