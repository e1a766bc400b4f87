"""`bodydouble daemon`: a warm worker in the background of a farm's session, as the adaptors of OpenJD have it."""

from __future__ import annotations

import sys
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import click

from bodydouble import events
from bodydouble.errors import BodydoubleError, InputError, UsageError, near_names
from bodydouble.farm.jobs import Job
from bodydouble_cli.displays import Display, display_for
from bodydouble_cli.exits import EXIT_CODES, TERMINATED, Terminated

if TYPE_CHECKING:
    import socket

DONE_BY_DAEMON = ("align", "swap", "review")

connection_option = click.option(
    "--connection-file",
    "connection",
    type=click.Path(path_type=Path, dir_okay=False),
    required=True,
    help="File that says where the worker is; a folder of the session is its place.",
)


class JobEndedError(BodydoubleError):
    """A job that a worker did not do, or not all of it; with the exit code that the command itself would have had."""

    def __init__(self, message: str, exit_code: int) -> None:
        super().__init__(message)
        self.exit_code = exit_code


@click.group(short_help="A warm worker in the background, for the tasks of a farm's session.", epilog=EXIT_CODES)
def daemon() -> None:
    """Keep the model loaded between the tasks of a farm's session.

    The session begins with `start` and ends with `stop`; between them each task says `run` and the command that it is
    about. `submit openjd --warm` makes such a job.

    \b
    Example:
      bodydouble daemon start --connection-file session/worker.json
      bodydouble daemon run --connection-file session/worker.json swap plates/sh010.####.exr -o swap \\
          --model cast.comb --persona anna --faces sh010.faces.json --frames 1001-1010 --progress openjd
      bodydouble daemon stop --connection-file session/worker.json
    """


@daemon.command(short_help="Start the worker.", epilog=EXIT_CODES)
@connection_option
def start(connection: Path) -> None:
    """Start a worker that listens on a private socket, and return; nothing where one is there already.

    It ends by `stop`, when its connection file is gone, and when nothing was asked of it for a quarter of an hour.

    \b
    Example:
      bodydouble daemon start --connection-file session/worker.json
    """
    from bodydouble.farm.daemon import connect, log_of, read_connection

    line = connect(connection)
    if line is None:
        _start(connection)
    else:
        line.close()
    found = read_connection(connection)
    if found is not None:
        click.echo(f"worker {found.process} is there; what it prints is in {log_of(connection)}")


@daemon.command(
    short_help="Have the worker do a command.", epilog=EXIT_CODES, context_settings={"allow_interspersed_args": False}
)
@connection_option
@click.argument("words", metavar="COMMAND …", nargs=-1, type=click.UNPROCESSED, required=True)
@click.pass_context
def run(context: click.Context, connection: Path, words: tuple[str, ...]) -> None:
    """Have the worker do a command: align, swap or review, with the words of its command line.

    Progress and exit code are those of the command itself. A worker that is gone is started anew; one that ends in the
    middle of the job makes the exit code 143: run it again. What ends this process ends the job, not the worker. Paths
    are absolute, or begin where the worker was started.

    \b
    Example:
      bodydouble daemon run --connection-file session/worker.json swap plates/sh010.####.exr -o swap \\
          --model cast.comb --persona anna --faces sh010.faces.json --frames 1001-1010
    """
    from bodydouble.farm.daemon import log_of

    log = log_of(connection)
    said_before = log.stat().st_size if log.exists() else 0
    with ExitStack() as stack:
        display = display_for(_progress_of(context.find_root(), words), stack)
        try:
            last = _done(connection, Job("task", words[0], words=words[1:]), display)
        finally:
            _pass_on(log, said_before)
        display.show(last)
    if last.exit_code:
        raise JobEndedError(last.message, last.exit_code)


@daemon.command(short_help="End the worker.", epilog=EXIT_CODES)
@connection_option
def stop(connection: Path) -> None:
    """End the worker, wait until it is gone, and remove what it left; nothing where there is none.

    \b
    Example:
      bodydouble daemon stop --connection-file session/worker.json
    """
    from bodydouble.farm.daemon import stop_worker

    click.echo("the worker has ended" if stop_worker(connection) else "no worker is there")


def _progress_of(root: click.Context, words: tuple[str, ...]) -> str | None:
    """How the command would show its progress. Errors: those of a command line that cannot be meant."""
    if words[0] not in DONE_BY_DAEMON:
        raise UsageError(f"a worker cannot do {words[0]!r}. {near_names(words[0], DONE_BY_DAEMON)}")
    assert isinstance(root.command, click.Group)
    asked = root.command.commands[words[0]].make_context(words[0], list(words[1:]), parent=root)
    return "json" if asked.params["as_json"] else asked.params["progress"]


def _done(connection: Path, job: Job, display: Display) -> events.RunDone:
    """The last event of a job, which is not shown; all the others are."""
    from bodydouble.farm.daemon import connect, read_connection

    for was_there in (True, False):
        line = connect(connection)
        if line is None:
            if read_connection(connection) is not None:
                display.show(events.Notice("the worker is gone; another is started"))
            _start(connection)
            line = connect(connection)
        found = read_connection(connection)
        if line is None or found is None:
            continue
        with line:
            last = _followed(line, job, display)
        if isinstance(last, events.RunDone):
            display.show(events.Notice(f"done by worker {found.process} in {last.seconds:.2f} s"))
            return last
        # One that ended before it began, as after a long wait, has done nothing: another may.
        if last is not None or not was_there:
            message = f"worker {found.process} ended in the middle of the job; run it again: what is done is left alone"
            return events.RunDone(TERMINATED, message=message)
    raise InputError(f"{connection}: its worker does not answer.")


def _followed(line: socket.socket, job: Job, display: Display) -> events.Event | None:
    """Shows what the worker says of a job but for the last; returns the last event that it said, None for none."""
    from bodydouble.farm.daemon import answers, send

    last: events.Event | None = None
    send(line, job)
    try:
        for text in answers(line):
            last = events.event_from_line(text)
            if isinstance(last, events.RunDone):
                break
            display.show(last)
    except (KeyboardInterrupt, Terminated):
        # Frames that are being written are finished: what comes after this process may look for them.
        send(line, Job("cancel", "cancel", {"job": job.id}))
        for text in answers(line):
            if '"run_done"' in text:
                break
        raise
    return last


def _start(connection: Path) -> None:
    from bodydouble.farm.daemon import start_worker

    command = [sys.executable, "-m", "bodydouble_cli", "serve", "--connection-file", str(connection.absolute())]
    start_worker(command, connection)


def _pass_on(log: Path, start: int) -> None:
    """What the worker printed meanwhile, to standard error: the traceback of a bug stands there."""
    if not log.exists():
        return
    with log.open("rb") as file:
        file.seek(start)
        said = file.read().decode("utf-8", "replace")
    if said.strip():
        print(said.rstrip(), file=sys.stderr, flush=True)
