"""From an exception to what the user sees and the code the process ends with."""

from __future__ import annotations

import click

from bodydouble.errors import BodydoubleError, OutOfMemoryError, from_system, is_out_of_memory

BUG = 1
OUT_OF_MEMORY = OutOfMemoryError.exit_code
INTERRUPTED = 130
TERMINATED = 143

EXIT_CODES = """\b
Exit codes:
  0    every frame done
  1    a bug (with a traceback)
  2    usage: an option, a name or a combination that cannot be meant
  3    input missing or unreadable
  4    some frames failed or had no face (listed at the end)
  5    not permitted by the persona's usage rights
  33   out of memory (a retry on a larger machine may succeed)
  130  interrupted (Ctrl-C), 143 terminated (SIGTERM)"""


class Terminated(BaseException):
    """SIGTERM arrived: unwind like Ctrl-C, so that no half-written file stays behind."""


class Cancelled(BaseException):
    """A worker was told to end the job it is doing."""


def is_stop(problem: BaseException) -> bool:
    """Whether the whole process was asked to end."""
    return isinstance(problem, Terminated | KeyboardInterrupt | SystemExit | click.Abort)


def exit_code_of(problem: BaseException) -> int:
    """The exit code for an exception that ended a run."""
    if isinstance(problem, BodydoubleError):
        return problem.exit_code
    if isinstance(problem, click.ClickException):
        return problem.exit_code
    if isinstance(problem, Terminated):
        return TERMINATED
    if isinstance(problem, KeyboardInterrupt | click.Abort | Cancelled):
        return INTERRUPTED
    if is_out_of_memory(problem):
        return OUT_OF_MEMORY
    refused = _refused_by_system(problem)
    return BUG if refused is None else refused.exit_code


def message_of(problem: BaseException) -> str | None:
    """The sentence to print for an exception, or None for a bug, which shows its traceback."""
    if isinstance(problem, BodydoubleError):
        return str(problem)
    if isinstance(problem, click.ClickException):
        return problem.format_message()
    if isinstance(problem, Terminated):
        return "Terminated."
    if isinstance(problem, KeyboardInterrupt | click.Abort):
        return "Interrupted."
    if isinstance(problem, Cancelled):
        return "Cancelled."
    if is_out_of_memory(problem):
        return f"Out of memory: {str(problem).splitlines()[0] if str(problem) else 'no details'}"
    refused = _refused_by_system(problem)
    return None if refused is None else str(refused)


def _refused_by_system(problem: BaseException) -> BodydoubleError | None:
    """What disks, permissions and pipes refuse: no bug, wherever in the code it shows."""
    return from_system(problem) if isinstance(problem, OSError) and problem.errno is not None else None
