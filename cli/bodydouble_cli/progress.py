"""A run of a command: every event of it passes through here, is counted, shown and, if wanted, recorded.

Progress goes to standard error, results to standard output; with JSON or a farm engine's lines everything is on
standard output.
"""

from __future__ import annotations

import json
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

import bodydouble
from bodydouble import events
from bodydouble.errors import FramesFailedError, OutputError
from bodydouble_cli.displays import Both, Display, display_for, reason_of
from bodydouble_cli.exits import exit_code_of, message_of
from bodydouble_cli.runrecord import RunRecord

if TYPE_CHECKING:
    from bodydouble.swap.warm import Warm

LISTED_REASONS = 10


@dataclass(frozen=True)
class Reporting:
    """How a run tells of itself. progress: one of `displays.FORMATS`, None to choose; report: JSON file to write."""

    progress: str | None = None
    report: Path | None = None


@dataclass(frozen=True)
class Served:
    """What a worker hands to the command it runs, as click's context object: where its events go, and what it keeps."""

    display: Display
    warm: Warm


class Run:
    """One run of a command: every event passes through `emit`, which counts it and shows it."""

    def __init__(self, display: Display, frames: int = 0) -> None:
        self._display = display
        self._frames = frames
        self._frames_done: set[int] = set()
        self.skipped = 0
        self.failures: list[events.FrameFailed] = []
        self.outputs: dict[str, str] = {}

    @property
    def done(self) -> int:
        """How many frames are done; one that fails after all no longer counts."""
        return len(self._frames_done)

    def emit(self, event: events.Event) -> None:
        """Counts and shows one event."""
        if isinstance(event, events.FrameDone):
            self._frames_done.add(event.frame)
        elif isinstance(event, events.FrameSkipped):
            self.skipped += 1
        elif isinstance(event, events.FrameFailed):
            self.failures.append(event)
            self._frames_done.discard(event.frame)
        self._display.show(event)

    def notice(self, message: str) -> None:
        """Tells something the user should know."""
        self.emit(events.Notice(message))

    def output(self, name: str, path: object) -> None:
        """Names a result, shown at the end of the run."""
        self.outputs[name] = str(path)

    def raise_failures(self) -> None:
        """Raises `FramesFailedError` with every failed frame and its reason."""
        if self.failures:
            tried = self.done + self.skipped + len(self.failures)
            text = failure_text(self.failures, max(tried, self._frames))
            untried = self._frames - tried
            raise FramesFailedError(f"{text}\n  {untried} more were not tried" if untried > 0 else text)


@contextmanager
def open_run(
    command: str, *, frames: int = 0, as_json: bool = False, reporting: Reporting | None = None
) -> Iterator[Run]:
    """A run from its first to its last event; raises `FramesFailedError` at the end if any frame failed.

    frames: how many it will report. reporting: how; None for lines and bars, or with `as_json` for JSON lines.
    """
    reporting = reporting or Reporting("json" if as_json else None)
    started = time.monotonic()
    with ExitStack() as stack:
        worker = served()
        display = worker.display if worker is not None else display_for(reporting.progress, stack)
        record = None if reporting.report is None else RunRecord(reporting.report)
        run = Run(display if record is None else Both(display, record), frames)

        def finish(exit_code: int, message: str) -> events.RunDone:
            last = events.RunDone(
                exit_code=exit_code,
                done=run.done,
                failed=len(run.failures),
                skipped=run.skipped,
                seconds=round(time.monotonic() - started, 3),
                outputs=run.outputs,
                message=message,
            )
            if record is not None:
                last = record.finish(last)
            run.emit(last)
            return last

        run.emit(events.RunStarted(command, bodydouble.__version__, frames))
        try:
            yield run
            run.raise_failures()
        except BaseException as problem:
            finish(exit_code_of(problem), message_of(problem) or f"{type(problem).__name__}: {problem}")
            raise
        if (last := finish(0, "")).exit_code:
            raise OutputError(last.message)


def failure_text(failures: Sequence[events.FrameFailed], total: int) -> str:
    """What failed, one line per reason, frames as compact ranges."""
    from bodydouble.plates.frames import FrameRange

    frames_of: dict[tuple[str, str], list[int]] = defaultdict(list)
    for failure in failures:
        frames_of[failure.status, reason_of(failure)].append(failure.frame)
    lines = [f"{len(failures)} of {total} frames have no result:"]
    for (status, reason), frames in list(frames_of.items())[:LISTED_REASONS]:
        lines.append(f"  {FrameRange.of(frames)} {status.replace('_', ' ')}: {reason}")
    if len(frames_of) > LISTED_REASONS:
        rest = [frame for frames in list(frames_of.values())[LISTED_REASONS:] for frame in frames]
        lines.append(f"  {FrameRange.of(rest)}: other reasons, see the lines above")
    return "\n".join(lines)


def show_facts(facts: Mapping[str, Any], text: str, as_json: bool) -> None:
    """The answer of a command that only looks: for people, as one JSON document, or as an event of a worker."""
    worker = served()
    document = json.dumps(facts, indent=2, default=str)
    if worker is not None:
        worker.display.show(events.Facts(json.loads(document)))
    else:
        click.echo(document if as_json else text)


def served() -> Served | None:
    """The worker that runs this command; None on an ordinary command line."""
    context = click.get_current_context(silent=True)
    return None if context is None else context.find_object(Served)
