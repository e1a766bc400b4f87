"""Files that appear whole or not at all."""

from __future__ import annotations

import os
import re
import secrets
import tempfile
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from bodydouble.errors import OutputError, system_reason

TRIED_BYTES = 1 << 20
TEMPORARY = re.compile(r"\.(.+)\.\d+-[0-9a-f]{8}\.tmp")
STALE_AFTER_S = 3600.0
"""Far longer than any file takes to write, also over a slow network and with clocks that disagree."""


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """A temporary name beside `path` to write to; it takes the real name only if the block ends well.

    The temporary is hidden and does not end like an image, so no pattern, folder listing or viewer takes it for a
    frame, even after a power cut. It is flushed to the disk before it is renamed. The folder is made when missing, the
    temporary removed after any failure, interrupts included. Errors: OutputError naming the path and the reason.
    """
    # Farm machines share folders, and their process ids repeat.
    temporary = path.with_name(f".{path.name}.{os.getpid()}-{secrets.token_hex(4)}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        _flush(temporary)
        os.replace(temporary, path)
        _flush_folder(path.parent)
    except OSError as error:
        raise OutputError(f"{path}: cannot be written ({system_reason(error)}).") from error
    except OutputError as error:
        reason = _reason_by_trying(temporary)
        if reason is None:
            raise OutputError(str(error).replace(str(temporary), path.name)) from error
        raise OutputError(f"{path}: cannot be written ({reason}).") from error
    finally:
        with suppress(OSError):
            temporary.unlink()


def check_writable(path: Path) -> None:
    """Before long work: find out whether a file can be written where `path` is meant to be.

    Its folder is made when missing; the file, if it is there, is not touched. Errors: OutputError as of `atomic_path`.
    """
    if path.is_dir():
        raise OutputError(f"{path}: cannot be written (it is a folder).")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=path.parent):
            pass
    except OSError as error:
        raise OutputError(f"{path}: cannot be written ({system_reason(error)}).") from error


def remove_stale(paths: Iterable[Path], age_s: float = STALE_AFTER_S) -> None:
    """Remove what killed writers left behind of some files: temporaries that nothing was written to for `age_s`."""
    wanted: dict[Path, set[str]] = {}
    for path in paths:
        wanted.setdefault(path.parent, set()).add(path.name)
    for folder, names in wanted.items():
        with suppress(OSError):
            for entry in os.scandir(folder):
                found = TEMPORARY.fullmatch(entry.name)
                with suppress(OSError):
                    if found and found[1] in names and time.time() - entry.stat().st_mtime > age_s:
                        os.unlink(entry.path)


def file_version(path: Path) -> tuple[int, int, int]:
    """What changes when a file is written or replaced. Errors: OSError."""
    found = path.stat()
    return found.st_ino, found.st_size, found.st_mtime_ns


@contextmanager
def scratch_folder() -> Iterator[Path]:
    """A private folder that is gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="bodydouble-") as folder:
        yield Path(folder)


def _flush(path: Path) -> None:
    descriptor = os.open(path, os.O_RDWR)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _flush_folder(path: Path) -> None:
    """Make the new name last, where the system lets folders be opened."""
    with suppress(OSError):
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _reason_by_trying(path: Path) -> str | None:
    """Why nothing more can be written to a file: image libraries do not pass on what the system said."""
    try:
        with open(path, "ab") as file:
            file.write(bytes(TRIED_BYTES))
        _flush(path)
    except OSError as error:
        return system_reason(error)
    return None
