"""Errors of the engine. The command prints the message as it stands and exits with `exit_code`.

::

    BodydoubleError (1)
    ├── UsageError (2)               the request cannot be meant like this
    │   ├── UnknownColourSpaceError
    │   └── UnknownPersonaError
    ├── InputError (3)               a file is missing, unreadable or not what it should be
    │   ├── PlateError
    │   ├── SidecarError
    │   ├── ModelError
    │   ├── FacesetError
    │   └── NoFaceError              no usable face in a frame
    ├── OutputError (4)              a frame could not be written
    ├── FramesFailedError (4)        some frames of a run failed; the rest is done
    ├── RightsError (5)              the persona's usage rights do not permit it
    └── OutOfMemoryError (33)        the device or host is out of memory

Anything that is not a `BodydoubleError` is a bug and shows a traceback (exit code 1).
"""

from __future__ import annotations

import difflib
import errno
from collections.abc import Iterable


class BodydoubleError(Exception):
    """Base of all errors an artist or a farm can act on."""

    exit_code = 1


class UsageError(BodydoubleError):
    """The request cannot be meant like this: a wrong option, range or combination."""

    exit_code = 2


class UnknownColourSpaceError(UsageError):
    """A colour space that the OpenColorIO config does not know."""


class UnknownPersonaError(UsageError):
    """A persona that the model does not have."""


class InputError(BodydoubleError):
    """A file is missing, unreadable or not what it should be."""

    exit_code = 3


class PlateError(InputError):
    """A plate file or sequence that cannot be read."""


class SidecarError(InputError):
    """A `*.faces.json` that cannot be read."""


class ModelError(InputError):
    """A `*.comb` folder with a missing, damaged or foreign file."""


class FacesetError(InputError):
    """A faceset folder that cannot be read."""


class NoFaceError(InputError):
    """No usable face of the wanted person in a frame."""


class OutputError(BodydoubleError):
    """A frame could not be written: disk full, permissions, lost mount."""

    exit_code = 4


class FramesFailedError(BodydoubleError):
    """Some frames of a run failed; the message lists them."""

    exit_code = 4


class RightsError(BodydoubleError):
    """The persona's usage rights do not permit this use; the message says whom to ask."""

    exit_code = 5


class OutOfMemoryError(BodydoubleError):
    """The device or the host ran out of memory; a retry on a larger machine may succeed."""

    exit_code = 33


def is_out_of_memory(problem: BaseException) -> bool:
    """Whether the host's or the device's memory ran out. Known by name: asking torch would load it."""
    if isinstance(problem, MemoryError | OutOfMemoryError):
        return True
    name = type(problem).__name__
    if name == "OutOfMemoryError" and type(problem).__module__.split(".")[0] == "torch":
        return True
    # torch's host allocator raises a bare RuntimeError; libraries in C++ hand their own exception on as text.
    return "DefaultCPUAllocator: can't allocate memory" in str(problem) or "std::bad_alloc" in str(problem)


CANNOT_WRITE = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EFBIG, errno.EPIPE})


def system_reason(problem: OSError) -> str:
    """What the operating system said, in words that name the way out where there is one."""
    if problem.errno in (errno.ENOSPC, errno.EDQUOT):
        return "the disk or your quota is full; free some space and run it again"
    return problem.strerror or str(problem)


def from_system(problem: OSError) -> BodydoubleError:
    """What went wrong with a file, where nobody who knows more about it has said so already."""
    if problem.errno == errno.EPIPE:
        return OutputError("nobody reads what is written here any more: the other end of the pipe is closed.")
    kind = OutputError if problem.errno in CANNOT_WRITE else InputError
    if problem.filename is None:
        return kind(f"the system refused: {system_reason(problem)}.")
    verb = "cannot be written" if kind is OutputError else "cannot be used"
    return kind(f"{problem.filename}: {verb} ({system_reason(problem)}). Check the path, its permissions and its disk.")


def is_text(name: str) -> bool:
    """Whether a file's name is UTF-8, as the libraries take it; on disk it may be any bytes."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def near_names(name: str, known: Iterable[str]) -> str:
    """The sentence that helps after a misspelt name: near matches, or all names when they are few."""
    known = list(known)
    lowered = {item.lower(): item for item in known}
    close = [lowered[key] for key in difflib.get_close_matches(name.lower(), lowered, n=5, cutoff=0.4)]
    close += [item for item in known if name.lower() in item.lower() and item not in close][:5]
    if close:
        return "Did you mean: " + ", ".join(close[:8]) + "?"
    return "Known: " + (", ".join(known[:12]) + (", …" if len(known) > 12 else "") if known else "none") + "."


def how_to_install(extra: str) -> str:
    """The command that adds an optional extra, said in the folder of the sources: no package index has Bodydouble."""
    return f'pip install -c requirements/constraints.txt ".[{extra}]"'
