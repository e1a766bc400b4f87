"""The options that give a swap more than the plate: an artist's mattes and the shot's measures."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from bodydouble.errors import UsageError

if TYPE_CHECKING:
    from bodydouble.plates.sequences import PlateSequence
    from bodydouble.swap.guides import Guides, MatteFiles
    from bodydouble.swap.platemeasures import ShotMeasures

Command = TypeVar("Command", bound=Callable[..., Any])

_OPTIONS = (
    click.option("--matte-in", metavar="PLATE", help="Matte of the plate's size: the new face shows only inside it."),
    click.option(
        "--matte-channel",
        metavar="NAME",
        help="Channel of --matte-in.  [default: A where there is one, else the first]",
    ),
    click.option(
        "--holdout",
        metavar="PLATE",
        help="Matte of what is in front of the face (hands, a microphone): stays the plate.",
    ),
    click.option("--holdout-channel", metavar="NAME", help="Channel of --holdout.  [default: as for --matte-in]"),
    click.option(
        "--measures",
        type=click.Path(path_type=Path),
        metavar="FILE",
        help="*.measures.json of `bodydouble measure`: gives the new face the plate's grain and blur.",
    ),
)


def guide_options(command: Command) -> Command:
    """Adds the options; the command gets one argument per option, see `chosen_guides`."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def chosen_guides(
    matte_in: str | None,
    matte_channel: str | None,
    holdout: str | None,
    holdout_channel: str | None,
    measured: ShotMeasures | None,
) -> Guides | None:
    """The guides of a run; None where nothing was given. Errors: UsageError, PlateError."""
    from bodydouble.swap.guides import Guides

    for name, given, channel in (("matte-in", matte_in, matte_channel), ("holdout", holdout, holdout_channel)):
        if channel is not None and given is None:
            raise UsageError(f"channel {channel}: of which matte? Give --{name} too.")
    found = Guides(
        _matte(matte_in, matte_channel),
        _matte(holdout, holdout_channel),
        None if measured is None else measured.grain,
        None if measured is None else measured.spread,
    )
    return None if found == Guides() else found


def measures_notice(measures: Path | None, measured: ShotMeasures | None, plate: PlateSequence) -> str | None:
    """What to tell of measures that were taken of another plate; None for nothing. `measured`: what the file holds."""
    if measured is None:
        return None
    of = replace(plate, pattern=measured.plate)
    if of.path(plate.frames[0]).name == plate.path(plate.frames[0]).name:  # however the pattern is written
        return None
    name = Path(of.pattern).name
    return f"{measures} was measured on {name}: the grain and blur of another plate may not be those of this one."


def _matte(pattern: str | None, channel: str | None) -> MatteFiles | None:
    from bodydouble.plates.sequences import PlateSequence
    from bodydouble.swap.guides import MatteFiles

    return None if pattern is None else MatteFiles(PlateSequence.find(pattern), channel)
