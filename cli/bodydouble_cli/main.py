"""The command group and the one place that turns exceptions into messages and exit codes."""

from __future__ import annotations

import logging
import os
import sys
import traceback
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import click

import bodydouble
from bodydouble.errors import UsageError, from_system, is_text
from bodydouble_cli.align import align
from bodydouble_cli.daemon import daemon
from bodydouble_cli.demo import demo
from bodydouble_cli.doctor import doctor
from bodydouble_cli.evaluate import evaluate
from bodydouble_cli.exits import EXIT_CODES, exit_code_of, message_of
from bodydouble_cli.export import export
from bodydouble_cli.extract import extract
from bodydouble_cli.holdout import holdout
from bodydouble_cli.info import info
from bodydouble_cli.measure import measure
from bodydouble_cli.persona import persona
from bodydouble_cli.review import review
from bodydouble_cli.serve import serve
from bodydouble_cli.sign import sign
from bodydouble_cli.signals import catch_signals
from bodydouble_cli.submit import submit
from bodydouble_cli.swap import swap
from bodydouble_cli.train import train
from bodydouble_cli.verify import verify


class InOrder(click.Group):
    """Lists its commands in the order of the work, not of the alphabet."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The names as they were added."""
        return list(self.commands)

    def invoke(self, ctx: click.Context) -> Any:
        """As ever, but a reader that has gone is ours to tell of: click would end with the exit code of a bug."""
        try:
            return super().invoke(ctx)
        except BrokenPipeError as problem:
            raise from_system(problem) from problem


@click.group(
    cls=InOrder,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
    epilog=EXIT_CODES,
)
@click.version_option(bodydouble.__version__, "-V", "--version", prog_name="bodydouble")
def cli() -> None:
    """Replace a performer's face in scene-linear EXR plates with a trained persona.

    \b
    See it work on the bundled shot:
      bodydouble demo
    \b
    On your own plate:
      bodydouble align plate.####.exr -o shot.faces.json
      bodydouble swap plate.####.exr -o out.####.exr --model cast.comb --persona NAME --faces shot.faces.json
      bodydouble review out.####.exr --plate plate.####.exr -o review
    \b
    A persona of your own:
      bodydouble align footage.####.exr -o footage.faces.json
      bodydouble extract footage.####.exr --faces footage.faces.json --persona NAME -o facesets/NAME
      bodydouble train facesets/* -o cast.comb

    Plates are a pattern (plate.####.exr, plate.%04d.exr), one file or a folder. Frames are ranges: 1001-1100x2,1120.
    """


COMMANDS = (
    demo, doctor, info, align, extract, train, persona, measure, holdout, swap, review, evaluate, export,
    verify, sign, serve, daemon, submit,
)  # fmt: skip
for command in COMMANDS:
    cli.add_command(command)


def run(arguments: Sequence[str]) -> int:
    """Runs the command line and returns its exit code; prints what went wrong to standard error."""
    try:
        _check_text(arguments)
        result = cli.main(args=list(arguments), prog_name="bodydouble", standalone_mode=False)
    except click.ClickException as problem:
        problem.show()
        return exit_code_of(problem)
    except BaseException as problem:
        message = message_of(problem)
        if message is None:
            traceback.print_exc()
        else:
            with suppress(OSError):
                click.echo(f"bodydouble: {message}", err=True)
        return exit_code_of(problem)
    finally:
        _let_go_of_broken_streams()
    # Outside standalone mode click returns the code of `ctx.exit`, as --help and --version use it.
    return result if isinstance(result, int) else 0


def _check_text(arguments: Sequence[str]) -> None:
    """Errors: UsageError for a word that is no text here: the libraries take file names as UTF-8."""
    for word in arguments:
        if not is_text(word):
            shown = ascii(os.fsencode(word))[1:]
            raise UsageError(f"{shown}: this is not UTF-8; rename the file, or set LC_ALL=C.UTF-8 if it is.")


def _let_go_of_broken_streams() -> None:
    """Python flushes them once more at its end, and would make 120 of the exit code where that fails."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError):
            with suppress(OSError, ValueError):
                nowhere = os.open(os.devnull, os.O_WRONLY)
                os.dup2(nowhere, stream.fileno())
                os.close(nowhere)


def main() -> None:
    """Entry point of the `bodydouble` command."""
    catch_signals()
    # It warns of a home folder that it cannot write to, which a farm's log scanner takes for a failure.
    logging.getLogger("matplotlib").setLevel(logging.ERROR)
    sys.exit(run(sys.argv[1:]))
