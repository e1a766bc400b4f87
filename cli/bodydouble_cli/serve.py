"""`bodydouble serve`: a warm worker for a program, job documents in, event lines out."""

from __future__ import annotations

import os
import queue
import threading
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from bodydouble import events
from bodydouble.errors import UsageError, is_out_of_memory, near_names
from bodydouble.farm.jobs import READ_BYTES, Job, job_from_line, job_id_of, lines_of
from bodydouble_cli.exits import EXIT_CODES, Cancelled, exit_code_of, is_stop, message_of
from bodydouble_cli.progress import Served

if TYPE_CHECKING:
    import socket

    from bodydouble.swap.warm import Warm


@click.command(short_help="A warm worker: job documents on stdin, events on stdout.", epilog=EXIT_CODES)
@click.option(
    "--connection-file",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Take jobs from a private socket that this file will name, not from standard input; see daemon.",
)
@click.pass_context
def serve(context: click.Context, connection_file: Path | None) -> None:
    """Do jobs one after the other, keeping models loaded between them.

    Each line on standard input is a job document: one JSON object that names a command (swap, align, measure, review,
    info, doctor) and its options. Standard output gets the event lines of every job, with the job's id in them; each
    job ends with its run_done. A job that fails does not end the worker: the end of the input does, or the job quit.

    \b
    Example:
      echo '{"schema": "bodydouble.job", "version": 1, "id": "1", "command": "doctor"}' | bodydouble serve
    """
    from bodydouble.farm.daemon import callers, listening

    root = context.find_root().command
    assert isinstance(root, click.Group)
    if connection_file is None:
        serve_lines(root)
        return
    with listening(connection_file) as server:
        serve_callers(root, callers(server, connection_file))


def serve_lines(root: click.Group) -> None:
    """Jobs from standard input, events to standard output."""
    from bodydouble.swap.warm import Warm

    inbox = Inbox()
    # Not by sys.stdin: a thread that waits in it holds its lock, and the interpreter cannot end then.
    lines = lines_of(lambda: os.read(0, READ_BYTES))
    threading.Thread(target=inbox.listen, args=(lines,), daemon=True).start()
    serve_jobs(root, inbox, lambda line: print(line, flush=True), Warm())


def serve_callers(root: click.Group, callers: Iterator[socket.socket]) -> None:
    """Jobs of those who call, one after the other. Who hangs up while a job is being done has it cancelled."""
    from bodydouble.farm.daemon import answers
    from bodydouble.swap.warm import Warm

    warm = Warm()
    for caller in callers:
        inbox = Inbox(cancel_at_end=True)
        threading.Thread(target=inbox.listen, args=(answers(caller),), daemon=True).start()

        def write(line: str, caller: socket.socket = caller) -> None:
            with suppress(OSError):
                caller.sendall(f"{line}\n".encode())

        if serve_jobs(root, inbox, write, warm):
            # Closed by the end of the process, which is what the one who asked for it waits for.
            caller.detach()
            return
        caller.close()


class Inbox:
    """Jobs that wait, in their order, and those of them that were cancelled; filled by a thread of its own."""

    def __init__(self, cancel_at_end: bool = False) -> None:
        self._cancel_at_end = cancel_at_end
        self._waiting: queue.SimpleQueue[tuple[str, Job | events.RunDone | None]] = queue.SimpleQueue()
        self._open: set[str] = set()
        self._cancelled: set[str] = set()

    def listen(self, lines: Iterator[str]) -> None:
        """Takes in lines until they end."""
        for line in lines:
            if line.strip():
                self._take(line)
        if self._cancel_at_end:
            self._cancelled |= self._open
        self._waiting.put(("", None))

    def _take(self, line: str) -> None:
        try:
            job = job_from_line(line)
        except UsageError as problem:
            self._waiting.put((job_id_of(line), events.RunDone(problem.exit_code, message=str(problem))))
            return
        if job.command == "cancel":
            self._cancelled |= {str(job.arguments.get("job"))} & self._open
        else:
            self._open.add(job.id)
        self._waiting.put((job.id, job))

    def next(self) -> tuple[str, Job | events.RunDone | None]:
        """The next job and its id; for a line that is none the answer to it; None at the end. Waits for it."""
        return self._waiting.get()

    def is_cancelled(self, job: str) -> bool:
        """Whether a job is to end."""
        return job in self._cancelled

    def close(self, job: str) -> None:
        """The job has ended; another may have the same id."""
        self._cancelled.discard(job)
        self._open.discard(job)


class JobDisplay:
    """Events of one job as lines with its id; ends the job where it was cancelled."""

    def __init__(self, job: str, write: Callable[[str], None], is_cancelled: Callable[[str], bool]) -> None:
        self._job = job
        self._write = write
        self._is_cancelled = is_cancelled
        self.ended = False

    def show(self, event: events.Event) -> None:
        """Writes the line. Raises `Cancelled` after it, unless it is the last."""
        self._write(events.event_to_line(event, self._job))
        self.ended = isinstance(event, events.RunDone)
        if not self.ended and self._is_cancelled(self._job):
            raise Cancelled


def serve_jobs(root: click.Group, inbox: Inbox, write: Callable[[str], None], warm: Warm) -> bool:
    """Does jobs until there are no more; whether the last one was to quit."""
    while True:
        id, job = inbox.next()
        if job is None:
            return False
        display = JobDisplay(id, write, inbox.is_cancelled)
        if isinstance(job, events.RunDone):
            display.show(job)
        elif job.command in ("cancel", "quit"):
            display.show(events.RunDone(0))
            if job.command == "quit":
                return True
        else:
            do_job(root, job, display, warm)
            inbox.close(id)


def do_job(root: click.Group, job: Job, display: JobDisplay, warm: Warm) -> None:
    """Runs a job's command to its last event; signals go on to the caller, after it."""
    code, message = 0, ""
    try:
        arguments = [job.command, *(job.words or command_line(root.commands[job.command], job.arguments))]
        root.main(args=arguments, prog_name="bodydouble", standalone_mode=False, obj=Served(display, warm))
    except BaseException as problem:
        code, message = exit_code_of(problem), message_of(problem) or f"{type(problem).__name__}: {problem}"
        if message_of(problem) is None:
            traceback.print_exc()
        if is_stop(problem):
            raise
        if is_out_of_memory(problem):
            warm.drop()
    finally:
        # What fails before the run begins, such as a wrong option, has no last event of its own.
        if not display.ended:
            display.show(events.RunDone(code, message=message))


def command_line(command: click.Command, arguments: Mapping[str, Any]) -> list[str]:
    """A job's arguments as the words of the command line. Errors: UsageError for one that the command does not have."""
    parameters = {_key(param): param for param in command.params}
    words, last = [], []
    for key, value in arguments.items():
        param = parameters.get(key)
        values = value if isinstance(value, list) else [value]
        if param is None:
            raise UsageError(f"{command.name} has no argument {key!r}. {near_names(key, parameters)}")
        if isinstance(param, click.Argument):
            last += [str(item) for item in values]
        elif isinstance(param, click.Option) and param.is_flag:
            words += [param.opts[-1]] if value else []
        elif value is not None:
            words += [f"{param.opts[-1]}={item}" for item in values]
    return [*words, "--", *last]


def _key(param: click.Parameter) -> str:
    return param.opts[-1].removeprefix("--").replace("-", "_")
