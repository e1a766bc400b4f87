"""Options of the commands that farms run: frames and chunks, rules, what may be used of the machine."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

import click

from bodydouble.settings import RunSettings
from bodydouble_cli.options import chosen_frames

if TYPE_CHECKING:
    from bodydouble.plates.sequences import PlateSequence

DEFAULT = RunSettings()

Command = TypeVar("Command", bound=Callable[..., Any])


class ChunkType(click.ParamType):
    """A piece of the frames, such as `2/5`, as (2, 5)."""

    name = "chunk"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[int, int]:
        """Which of how many; a usage error when it is neither."""
        if isinstance(value, tuple):
            return value
        found = re.fullmatch(r"(\d+)/(\d+)", str(value).strip())
        if found is None or not 1 <= int(found[1]) <= int(found[2]):
            self.fail(f"{value!r} is no chunk; write 1/5 for the first of five.", param, ctx)
        return int(found[1]), int(found[2])


class BytesType(click.ParamType):
    """An amount of memory such as `8G` or `500M`, as bytes; a bare number is bytes."""

    name = "memory"
    _UNITS: ClassVar = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Bytes above zero; a usage error otherwise."""
        if isinstance(value, int):
            return value
        found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([KMGT]?)i?B?", str(value).strip(), re.IGNORECASE)
        count = int(float(found[1]) * self._UNITS[found[2].upper()]) if found else 0
        if count <= 0:
            self.fail(f"{value!r} is no amount of memory; write 8G or 500M.", param, ctx)
        return count


_FRAME_OPTIONS = (
    click.option(
        "--frames",
        "frame_text",
        metavar="RANGE",
        help="Frames to work on, such as 1001-1100x2,1120.  [default: all of the plate]",
    ),
    click.option(
        "--frame-syntax",
        type=click.Choice(["bodydouble", "openjd"]),
        default="bodydouble",
        show_default=True,
        help="How --frames is written: a step is x2, or :2 as in OpenJD.",
    ),
    click.option("--chunk", type=ChunkType(), metavar="I/N", help="Piece I of N near-equal pieces of these frames."),
)

_RUN_OPTIONS = (
    click.option(
        "--on-missing",
        type=click.Choice(["fail", "skip", "black"]),
        default=DEFAULT.on_missing,
        show_default=True,
        help="A frame that the plate lacks fails, is left out, or becomes black.",
    ),
    click.option(
        "--on-error",
        type=click.Choice(["continue", "stop"]),
        default=DEFAULT.on_error,
        show_default=True,
        help="After a frame that failed do the others all the same, or begin no more.",
    ),
    click.option(
        "--threads",
        type=click.IntRange(1),
        metavar="N",
        help="Cores to use.  [default: all, at most 8]",
    ),
    click.option(
        "--max-memory",
        type=BytesType(),
        metavar="SIZE",
        help="Host memory to stay below, such as 8G; exit code 33 where it cannot be done.",
    ),
)


@dataclass(frozen=True)
class FrameChoice:
    """Which frames a command line asked for: a range in one of two syntaxes, and which piece of it (2 of 5)."""

    text: str | None
    syntax: str
    chunk: tuple[int, int] | None

    def of(self, plate: PlateSequence) -> tuple[int, ...]:
        """The frames, ascending; without a range those of the plate, holes included. Errors: UsageError."""
        from bodydouble.plates.frames import FrameRange

        parse = FrameRange.parse_openjd if self.syntax == "openjd" else FrameRange.parse
        frames = chosen_frames(plate, None if self.text is None else parse(self.text))
        return tuple(FrameRange.of(frames).chunk(*self.chunk)) if self.chunk else frames


def frame_options(command: Command) -> Command:
    """Adds --frames, --frame-syntax and --chunk; the command takes `frames: FrameChoice`."""

    @functools.wraps(command)
    def call(*args: Any, frame_text: Any, frame_syntax: Any, chunk: Any, **options: Any) -> Any:
        return command(*args, frames=FrameChoice(frame_text, frame_syntax, chunk), **options)

    return functools.reduce(lambda made, option: option(made), reversed(_FRAME_OPTIONS), call)  # type: ignore[return-value]


def run_options(command: Command) -> Command:
    """Adds the options of `RunSettings`; the command takes `run_settings`."""

    @functools.wraps(command)
    def call(*args: Any, on_missing: Any, on_error: Any, threads: Any, max_memory: Any, **options: Any) -> Any:
        return command(*args, run_settings=RunSettings(on_missing, on_error, threads, max_memory), **options)

    return functools.reduce(lambda made, option: option(made), reversed(_RUN_OPTIONS), call)  # type: ignore[return-value]
