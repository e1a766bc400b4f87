"""A worker in the background: where it listens, how it is started, asked and ended.

For the sessions of a farm, in which one task follows another on the same machine: the worker keeps the model loaded
between them. A *connection file* says where it is, as with the adaptors of Open Job Description. What passes between
the two are jobs and event lines, as on the standard streams of `serve`, over a socket of the file system: no ports, and
nobody but its own user can reach it.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from bodydouble.documents import read_document
from bodydouble.errors import InputError, OutputError
from bodydouble.farm.jobs import READ_BYTES, Job, job_to_line, lines_of
from bodydouble.writing import atomic_path, scratch_folder

SCHEMA = "bodydouble.connection"
VERSION = 1
IDLE_S = 900.0
"""A worker that nobody asks for so long ends: whoever started it may be gone. The next task starts another."""
LOOK_S = 1.0
"""A worker that waits looks so often whether it is still wanted."""
START_S = 120.0
STOP_S = 30.0


@dataclass(frozen=True)
class Connection:
    """Where a worker is: its socket, and the id of its process."""

    socket: str
    process: int


def read_connection(file: Path) -> Connection | None:
    """What a connection file says; None where there is none. Errors: InputError for a file that is something else."""
    if not file.exists():
        return None
    document = read_document(file, InputError)
    if not isinstance(document, dict) or document.get("schema") != SCHEMA or document.get("version") != VERSION:
        raise InputError(f"{file} is no connection file of this Bodydouble; name another.")
    return Connection(str(document.get("socket")), int(document.get("process", 0)))


def log_of(file: Path) -> Path:
    """Where a worker writes what is no event: tracebacks, and what libraries print."""
    return file.with_name(f"{file.name}.log")


@contextmanager
def listening(file: Path) -> Iterator[socket.socket]:
    """A socket for those who ask, named in the connection file; both are gone afterwards.

    A connection file that is there already is replaced: its worker, should there be one, ends. Errors: OutputError.
    """
    # A folder of its own keeps others out, and its path short: the system allows a hundred characters or so.
    with scratch_folder() as folder, socket.socket(socket.AF_UNIX) as server:
        here = Connection(str(folder / "socket"), os.getpid())
        try:
            server.bind(here.socket)
        except OSError as error:
            advice = "name another folder in $TMPDIR, one with a short path"
            raise OutputError(f"{here.socket}: no socket can be made ({error}); {advice}.") from error
        server.listen()
        with atomic_path(file) as temporary:
            document = {"schema": SCHEMA, "version": VERSION, **asdict(here)}
            temporary.write_text(json.dumps(document) + "\n", encoding="utf-8")
        try:
            yield server
        finally:
            if _names(file, here.socket):
                file.unlink(missing_ok=True)


def callers(server: socket.socket, file: Path, idle_s: float = IDLE_S) -> Iterator[socket.socket]:
    """Who asks, one after the other, to be closed by the receiver.

    Ends when the connection file is gone or names another worker, as when a session's folder was removed, and when
    nobody has come for `idle_s`.
    """
    here = server.getsockname()
    server.settimeout(LOOK_S)
    last = time.monotonic()
    while _names(file, here) and time.monotonic() - last < idle_s:
        try:
            caller, _ = server.accept()
        except TimeoutError:
            continue
        caller.settimeout(None)
        yield caller
        last = time.monotonic()


def start_worker(command: Sequence[str], file: Path) -> Connection:
    """Start a worker that outlives this process, and wait until it listens. command: what starts it.

    Errors: OutputError, with the end of its log, where it does not come to that.
    """
    log, before = log_of(file), read_connection(file)
    if before is not None:
        _remove_socket(before)
    try:
        log.parent.mkdir(parents=True, exist_ok=True)
        process = _spawn(command, log)
    except OSError as error:
        raise OutputError(f"{command[0]}: cannot be started ({error}).") from error
    found = None
    try:
        found = _wait_for(process, file)
    finally:
        if found is None:
            with suppress(OSError):  # it has ended
                os.kill(process, signal.SIGKILL)
                os.waitpid(process, 0)
    if found is not None:
        return found
    said = log.read_text(encoding="utf-8", errors="replace").strip()[-2000:]
    raise OutputError(f"the worker does not start; {log} says: {said or 'nothing'}")


def _spawn(command: Sequence[str], log: Path) -> int:
    """The id of a process of its own session: what ends the task and its group of processes does not end it."""
    files = [
        (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
        (os.POSIX_SPAWN_OPEN, 1, str(log), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644),
        (os.POSIX_SPAWN_DUP2, 1, 2),
    ]
    return os.posix_spawnp(command[0], list(command), os.environ, file_actions=files, setsid=True)


def _wait_for(process: int, file: Path) -> Connection | None:
    """Where the process listens; None where it ends before or takes too long."""
    end = time.monotonic() + START_S
    while os.waitpid(process, os.WNOHANG) == (0, 0) and time.monotonic() < end:
        found = read_connection(file)
        if found is not None and found.process == process:
            return found
        time.sleep(0.02)
    return None


def connect(file: Path) -> socket.socket | None:
    """A line to the worker; None where there is none. Errors: as `read_connection`."""
    found = read_connection(file)
    if found is None:
        return None
    line = socket.socket(socket.AF_UNIX)
    try:
        line.connect(found.socket)
    except OSError:
        line.close()
        return None
    return line


def send(line: socket.socket, job: Job) -> None:
    """Hand the worker a job; that it is gone shows when its answer is read."""
    with suppress(OSError):
        line.sendall(f"{job_to_line(job)}\n".encode())


def answers(line: socket.socket) -> Iterator[str]:
    """What the worker says, line by line, to the end of the connection, however it ends."""
    return lines_of(lambda: _received(line))


def stop_worker(file: Path, patience_s: float = STOP_S) -> bool:
    """End the worker, by force where it does not end by itself, and remove what it left; whether there was one.

    Errors: as `read_connection`.
    """
    found, line = read_connection(file), connect(file)
    if found is not None and line is not None:
        with line:
            send(line, Job("quit", "quit"))
            # Its end of the line is closed by the end of its process.
            for number in (None, signal.SIGTERM, signal.SIGKILL):
                if number is not None:
                    with suppress(ProcessLookupError):
                        os.kill(found.process, number)
                if _has_ended(line, patience_s):
                    break
    elif found is not None:
        _remove_socket(found)
    for left in (file, log_of(file)):
        left.unlink(missing_ok=True)
    return line is not None


def _remove_socket(left: Connection) -> None:
    """Remove the socket that a killed worker left, and the folder that it alone is in."""
    path = Path(left.socket)
    with suppress(OSError):
        if path.is_socket():
            path.unlink()
            path.parent.rmdir()


def _has_ended(line: socket.socket, patience_s: float) -> bool:
    end = time.monotonic() + patience_s
    while (left := end - time.monotonic()) > 0:
        line.settimeout(left)
        try:
            if not _received(line):
                return True
        except TimeoutError:
            return False
    return False


def _received(line: socket.socket) -> bytes:
    try:
        return line.recv(READ_BYTES)
    except ConnectionError:
        return b""


def _names(file: Path, socket_path: str) -> bool:
    """Whether a connection file names this socket."""
    try:
        found = read_connection(file)
    except InputError:
        return False
    return found is not None and found.socket == socket_path
