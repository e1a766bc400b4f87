"""Arguments and options that several commands share, and their parsers."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, get_args, get_type_hints

import click

from bodydouble.errors import BodydoubleError, PlateError, UsageError
from bodydouble.settings import WIDTH_PRESETS
from bodydouble_cli.displays import FORMATS
from bodydouble_cli.progress import Reporting, served

if TYPE_CHECKING:
    from bodydouble.alignment.shotfaces import ShotFaces
    from bodydouble.plates.colour import Colour
    from bodydouble.plates.frames import FrameRange
    from bodydouble.plates.sequences import PlateSequence


Command = TypeVar("Command", bound=Callable[..., Any])


class FramesType(click.ParamType):
    """A frame range such as `1001-1100x2,1120`."""

    name = "range"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> FrameRange:
        """The parsed range; a usage error when it is none."""
        from bodydouble.plates.frames import FrameRange

        if isinstance(value, FrameRange):
            return value
        try:
            return FrameRange.parse(value)
        except BodydoubleError as problem:
            self.fail(str(problem), param, ctx)


class DurationType(click.ParamType):
    """A duration such as `90s`, `30m`, `8h` or `1h30m`, as seconds; a bare number is seconds."""

    name = "duration"
    _UNITS = (3600.0, 60.0, 1.0)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Seconds above zero; a usage error otherwise."""
        if isinstance(value, float):
            return value
        text = str(value).strip().lower()
        number = r"(\d+(?:\.\d+)?)"
        found = re.fullmatch(rf"(?:{number}h)?(?:{number}m)?(?:{number}s?)?", text)
        seconds = 0.0
        if found and text:
            seconds = sum(float(part or 0) * unit for part, unit in zip(found.groups(), self._UNITS, strict=True))
        if seconds <= 0:
            self.fail(f"{value!r} is no duration; write 90s, 30m, 8h or 1h30m.", param, ctx)
        return seconds


class WidthType(click.ParamType):
    """Width of the network: `full`, `half`, `quarter`, or a factor of the full one."""

    name = "width"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """The factor; a usage error when it is none."""
        try:
            return WIDTH_PRESETS[value] if value in WIDTH_PRESETS else float(value)
        except ValueError:
            self.fail(f"{value!r} is no width; write full, half, quarter or a factor such as 0.25.", param, ctx)


class IterationsType(click.ParamType):
    """Iterations: one number for all levels, or one for each by commas."""

    name = "number[,…]"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int | tuple[int, ...]:
        """The number or numbers; a usage error when they are none."""
        if isinstance(value, int):
            return value
        try:
            counts = tuple(int(part) for part in str(value).split(","))
        except ValueError:
            self.fail(
                f"{value!r} are no iterations; write 100000, or one number per level: 2000,2000,5000.", param, ctx
            )
        return counts if len(counts) > 1 else counts[0]


class FractionType(click.ParamType):
    """A rate such as `24`, `23.976` or `24000/1001`; 23.976, 29.97 and 59.94 mean the exact n·1000/1001."""

    name = "rate"
    _NTSC = ("23.976", "29.97", "47.952", "59.94")

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Fraction:
        """Frames per second above zero; a usage error otherwise."""
        if isinstance(value, Fraction):
            return value
        try:
            rate = Fraction(str(value))
        except (ValueError, ZeroDivisionError):
            rate = Fraction(0)
        if not 1 <= rate <= 240:
            self.fail(f"{value!r} is no frame rate; write 24, 23.976 or 24000/1001.", param, ctx)
        return Fraction(round(rate) * 1000, 1001) if value in self._NTSC else rate


plate_argument = click.argument("plate", metavar="PLATE")

frames_option = click.option(
    "--frames", type=FramesType(), help="Frames to work on, such as 1001-1100x2,1120.  [default: all of the plate]"
)

ocio_option = click.option(
    "--ocio",
    type=click.Path(path_type=Path),
    help="OpenColorIO config.  [default: $OCIO, else the built-in ACES studio config]",
)

colorspace_option = click.option(
    "--colorspace",
    metavar="NAME",
    help="Colour space of the plate.  [default: by its EXR attributes and the config's file rules]",
)

part_option = click.option(
    "--part", metavar="NAME", help="Part of a multi-part plate: name, or number from 1.  [default: first with R, G, B]"
)

view_option = click.option(
    "--view", metavar="NAME", help="View of a stereo plate, such as left; also what %V in a pattern stands for."
)


def setting_option(defaults: Any, name: str, help: str) -> Callable[[Command], Command]:
    """The option of one setting: its default, and what it takes, are those of the field of the same name.

    `defaults`: an instance of the settings' dataclass; a field is a number, or a Literal of some words.
    """
    field = name.removeprefix("--").replace("-", "_")
    default = getattr(defaults, field)
    words = get_args(get_type_hints(type(defaults))[field])
    kind = click.Choice(words) if words else type(default)
    return click.option(name, type=kind, default=default, show_default=True, help=help)


def plate_options(command: Command) -> Command:
    """Adds --part, --view, --ocio and --colorspace: which picture of the plate, and what its colours mean."""
    options = (part_option, view_option, ocio_option, colorspace_option)
    return functools.reduce(lambda made, option: option(made), reversed(options), command)


device_option = click.option(
    "--device", default="auto", metavar="NAME", show_default=True, help="auto, cpu, cuda, cuda:1 or mps."
)

json_option = click.option(
    "--json", "as_json", is_flag=True, help="Write events as JSON lines on standard output, one object per line."
)


_REPORTING_OPTIONS = (
    click.option(
        "--progress",
        type=click.Choice(FORMATS),
        help="How the run tells how far it is.  [default: a bar on a terminal, else plain]",
    ),
    json_option,
    click.option(
        "--report",
        type=click.Path(path_type=Path, dir_okay=False),
        metavar="FILE",
        help="Also write what became of every frame here, as one JSON document.",
    ),
)


def reporting_options(command: Command) -> Command:
    """Adds --progress, --json (progress as JSON lines) and --report; the command takes `reporting`."""

    @functools.wraps(command)
    def call(*args: Any, progress: str | None, as_json: bool, report: Path | None, **options: Any) -> Any:
        if as_json and progress not in (None, "json"):
            raise click.UsageError(f"--json and --progress {progress} contradict each other.")
        return command(*args, reporting=Reporting("json" if as_json else progress, report), **options)

    return functools.reduce(lambda made, option: option(made), reversed(_REPORTING_OPTIONS), call)  # type: ignore


def open_colour(ocio: Path | None) -> Colour:
    """The OpenColorIO config of a run."""
    from bodydouble.plates.colour import Colour

    name, worker = str(ocio) if ocio else None, served()
    return Colour(name) if worker is None else worker.warm.colour(name)


def chosen_frames(plate: PlateSequence, frames: FrameRange | None) -> tuple[int, ...]:
    """The frames of a run in ascending order: those asked for, else those of the plate, holes included."""
    if frames is not None:
        return tuple(sorted(set(frames)))
    return tuple(sorted({*plate.frames, *plate.missing}))


def check_holes(plate: PlateSequence, wanted: Sequence[int]) -> None:
    """Before long work. Errors: PlateError that names the frames that are not there, and the range without them."""
    from bodydouble.plates.frames import FrameRange

    there = set(plate.frames)
    if holes := [frame for frame in wanted if frame not in there]:
        rest = [frame for frame in wanted if frame in there]
        way = f"render it, or say --frames {FrameRange.of(rest)}" if rest else f"there are {plate.range}"
        raise PlateError(f"{plate.pattern}: there is no frame {FrameRange.of(holes)}; {way}.")


def person_option(what: str) -> Callable[[Command], Command]:
    """`--person`, by number or by a picture; `what` begins the help text."""
    return click.option(
        "--person", metavar="N|PICTURE", help=f"{what}: a number, or a picture.  [default: the most prominent person]"
    )


def chosen_person(person: str | None, shot: ShotFaces | None, colour: Colour) -> int | None:
    """The number of the person that `--person` names. Errors: as `identifying.choose_person`."""
    if person is None:
        return None
    if shot is not None:
        from bodydouble.reviews.identifying import choose_person

        return choose_person(person, shot, colour)
    if person.isdigit():
        return int(person)
    raise UsageError("--person with a picture needs --faces, from `bodydouble align`: they say who is who.")
