"""Shows a run: a bar on a terminal, flushed lines in a log, JSON lines for a program.

Progress goes to standard error, results to standard output; with `--json` standard output holds event lines only.
"""

from __future__ import annotations

import json
import re
import sys
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from typing import Any, Protocol

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TaskID, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.progress import Progress as Bar

import bodydouble
from bodydouble import events
from bodydouble.errors import FramesFailedError
from bodydouble_cli.exits import exit_code_of, message_of

LISTED_REASONS = 10


class Display(Protocol):
    """Shows one event."""

    def show(self, event: events.Event) -> None:
        """Shows `event` at once."""


@dataclass(frozen=True)
class Served:
    """What a worker hands to the command it runs, as click's context object: where its events go."""

    display: Display


class Run:
    """One run of a command: every event passes through `emit`, which counts it and shows it."""

    def __init__(self, display: Display) -> None:
        self._display = display
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
            total = self.done + self.skipped + len(self.failures)
            raise FramesFailedError(failure_text(self.failures, total))


@contextmanager
def open_run(command: str, *, frames: int = 0, as_json: bool = False) -> Iterator[Run]:
    """A run from its first to its last event; raises `FramesFailedError` at the end if any frame failed."""
    started = time.monotonic()
    with ExitStack() as stack:
        run = Run(_display(as_json, stack))

        def finish(exit_code: int, message: str) -> None:
            run.emit(
                events.RunDone(
                    exit_code=exit_code,
                    done=run.done,
                    failed=len(run.failures),
                    skipped=run.skipped,
                    seconds=round(time.monotonic() - started, 3),
                    outputs=run.outputs,
                    message=message,
                )
            )

        run.emit(events.RunStarted(command, bodydouble.__version__, frames))
        try:
            yield run
            run.raise_failures()
        except BaseException as problem:
            finish(exit_code_of(problem), message_of(problem) or f"{type(problem).__name__}: {problem}")
            raise
        finish(0, "")


def failure_text(failures: Sequence[events.FrameFailed], total: int) -> str:
    """What failed, one line per reason, frames as compact ranges."""
    from bodydouble.frames import FrameRange

    frames_of: dict[tuple[str, str], list[int]] = defaultdict(list)
    for failure in failures:
        # Messages name the frame's file; they are the same reason all the same.
        reason = re.sub(rf"(?<!\d)0*{failure.frame}(?!\d)", "####", failure.message)
        frames_of[failure.status, reason].append(failure.frame)
    lines = [f"{len(failures)} of {total} frames have no result:"]
    for (status, reason), frames in list(frames_of.items())[:LISTED_REASONS]:
        lines.append(f"  {FrameRange.of(frames)} {status.replace('_', ' ')}: {reason}")
    if len(frames_of) > LISTED_REASONS:
        rest = [frame for frames in list(frames_of.values())[LISTED_REASONS:] for frame in frames]
        lines.append(f"  {FrameRange.of(rest)}: other reasons, see the lines above")
    return "\n".join(lines)


class JsonLines:
    """Events as JSON lines on standard output."""

    def show(self, event: events.Event) -> None:
        """Writes one line and flushes it: a reader may wait for it."""
        print(events.event_to_line(event), flush=True)


class _News:
    """Leaves out of finished frames what the frame before them said already."""

    def __init__(self) -> None:
        self._last = ""

    def of(self, event: events.FrameDone) -> events.FrameDone:
        """The event, without its message when that is not new."""
        last, self._last = self._last, event.message
        return replace(event, message="") if event.message == last else event


class PlainLines:
    """One flushed line per event, for logs."""

    def __init__(self) -> None:
        self._total = 0
        self._count = 0
        self._news = _News()

    def show(self, event: events.Event) -> None:
        """Writes the event's line, if it has one."""
        if isinstance(event, events.FrameDone):
            event = self._news.of(event)
        if isinstance(event, events.RunStarted):
            self._total = event.frames
        if isinstance(event, events.FrameDone | events.FrameSkipped | events.FrameFailed):
            self._count += 1
        text = plain_text(event)
        if text and isinstance(event, events.FrameDone | events.FrameSkipped | events.FrameFailed) and self._total:
            text = f"[{self._count}/{self._total}] {text}"
        if text:
            print(text, file=sys.stderr, flush=True)
        if isinstance(event, events.RunDone):
            show_outputs(event)


class TerminalBar:
    """A bar with the time left; failures and notices scroll above it."""

    def __init__(self, bar: Bar) -> None:
        self._bar = bar
        self._task: TaskID | None = None
        self._stage = ""
        self._news = _News()

    def show(self, event: events.Event) -> None:
        """Moves the bar or prints above it."""
        if isinstance(event, events.RunStarted):
            if event.frames:
                self._begin(event.command, event.frames)
        elif isinstance(event, events.Progress):
            if event.stage != self._stage or self._task is None:
                self._begin(event.stage, event.total)
            assert self._task is not None
            self._bar.update(self._task, completed=event.done, total=event.total or None, note=event.message)
        elif isinstance(event, events.RunDone):
            self._bar.stop()
            show_outputs(event)
        elif isinstance(event, events.Notice | events.FrameFailed):
            self._bar.console.print(plain_text(event), markup=False, highlight=False)
        elif isinstance(event, events.FrameDone) and self._news.of(event).message:
            self._bar.console.print(f"frame {event.frame}: {event.message}", markup=False, highlight=False)
        if isinstance(event, events.FrameDone | events.FrameSkipped | events.FrameFailed) and self._task is not None:
            self._bar.update(self._task, advance=1, note=f"frame {event.frame}")

    def _begin(self, stage: str, total: int) -> None:
        self._stage = stage
        self._task = self._bar.add_task(stage, total=total or None, note="")


def plain_text(event: events.Event) -> str:
    """An event as one line for people; empty where there is nothing to say."""
    if isinstance(event, events.FrameDone):
        took = f" in {sum(event.seconds.values()):.2f} s" if event.seconds else ""
        return f"frame {event.frame} done{took}" + (f": {event.message}" if event.message else "")
    if isinstance(event, events.FrameSkipped):
        return f"frame {event.frame} skipped" + (f": {event.message}" if event.message else "")
    if isinstance(event, events.FrameFailed):
        return f"frame {event.frame} {event.status.replace('_', ' ')}: {event.message}"
    if isinstance(event, events.Notice):
        return f"note: {event.message}"
    if isinstance(event, events.Progress):
        count = f" {event.done}/{event.total}" if event.total else ""
        return f"{event.stage}{count}" + (f" {event.message}" if event.message else "")
    return ""


def show_facts(facts: Mapping[str, Any], text: str, as_json: bool) -> None:
    """The answer of a command that only looks: for people, as one JSON document, or as an event of a worker."""
    served = _served()
    document = json.dumps(facts, indent=2, default=str)
    if served is not None:
        served.display.show(events.Facts(json.loads(document)))
    else:
        click.echo(document if as_json else text)


def show_outputs(event: events.RunDone) -> None:
    """The named results of a run on standard output."""
    width = max((len(name) for name in event.outputs), default=0)
    for name, path in event.outputs.items():
        click.echo(f"{name:<{width}}  {path}")


def _served() -> Served | None:
    context = click.get_current_context(silent=True)
    return None if context is None else context.find_object(Served)


def _display(as_json: bool, stack: ExitStack) -> Display:
    if (served := _served()) is not None:
        return served.display
    if as_json:
        return JsonLines()
    console = Console(stderr=True)
    if not console.is_terminal:
        return PlainLines()
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}"),
    )
    return TerminalBar(stack.enter_context(Bar(*columns, console=console)))
