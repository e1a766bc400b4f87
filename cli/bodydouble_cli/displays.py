"""Ways to show a run: a bar on a terminal, flushed lines in a log, JSON for a program, farm engines' own words."""

from __future__ import annotations

import re
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from typing import Protocol, TypeVar

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TaskID, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.progress import Progress as Bar

from bodydouble import events

FORMATS = ("plain", "json", "openjd", "opencue", "deadline", "none")


class Display(Protocol):
    """Shows one event."""

    def show(self, event: events.Event) -> None:
        """Shows `event` at once."""


class Both:
    """Shows everything twice."""

    def __init__(self, first: Display, second: Display) -> None:
        self._displays = first, second

    def show(self, event: events.Event) -> None:
        """Shows it to one after the other."""
        for display in self._displays:
            display.show(event)


class JsonLines:
    """Events as JSON lines on standard output."""

    def show(self, event: events.Event) -> None:
        """Writes one line and flushes it: a reader may wait for it."""
        print(events.event_to_line(event), flush=True)


_OfFrame = TypeVar("_OfFrame", bound=events.FrameDone | events.FrameFailed)


def reason_of(event: events.FrameDone | events.FrameFailed) -> str:
    """A frame's message without its number: messages name the frame's file, and are the same reason all the same."""
    return re.sub(rf"(?<!\d)0*{event.frame}(?!\d)", "####", event.message)


class _News:
    """Leaves out of frames what the frame before them said already: a disk that is full is told once."""

    def __init__(self) -> None:
        self._last: dict[type, str] = {}

    def of(self, event: _OfFrame) -> _OfFrame:
        """The event, without its message when that is not new but for the frame's number."""
        reason = reason_of(event)
        last, self._last[type(event)] = self._last.get(type(event)), reason
        return replace(event, message="") if reason == last else event


class _Counted:
    """Counts frames, each once: one that was done in passing may turn out to have no face in the end."""

    def __init__(self) -> None:
        self._frames: set[int] = set()

    def count(self, event: events.Event) -> bool:
        """Counts the frame that an event is about, if it is about one; whether it is new."""
        if not isinstance(event, events.FrameEvent):
            return False
        before = len(self._frames)
        self._frames.add(event.frame)
        return len(self._frames) > before

    def __len__(self) -> int:
        return len(self._frames)


class PlainLines:
    """One flushed line per event, for logs."""

    def __init__(self) -> None:
        self._total = 0
        self._counted = _Counted()
        self._news = _News()

    def show(self, event: events.Event) -> None:
        """Writes the event's line, if it has one."""
        if isinstance(event, events.FrameDone | events.FrameFailed):
            event = self._news.of(event)
        if isinstance(event, events.RunStarted):
            self._total = event.frames
        self._counted.count(event)
        text = plain_text(event)
        if text and isinstance(event, events.FrameEvent) and self._total:
            text = f"[{len(self._counted)}/{self._total}] {text}"
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
        self._counted = _Counted()
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
        elif isinstance(event, events.Notice):
            self._bar.console.print(plain_text(event), markup=False, highlight=False)
        elif isinstance(event, events.FrameFailed):
            self._bar.console.print(plain_text(self._news.of(event)), markup=False, highlight=False)
        elif isinstance(event, events.FrameDone) and self._news.of(event).message:
            self._bar.console.print(f"frame {event.frame}: {event.message}", markup=False, highlight=False)
        if isinstance(event, events.FrameEvent) and self._task is not None:
            self._bar.update(self._task, advance=int(self._counted.count(event)), note=f"frame {event.frame}")

    def _begin(self, stage: str, total: int) -> None:
        self._stage = stage
        self._task = self._bar.add_task(stage, total=total or None, note="")


def plain_text(event: events.Event) -> str:
    """An event as one line for people; empty where there is nothing to say."""
    if isinstance(event, events.FrameDone):
        stages = ", ".join(f"{stage} {spent:.2f}" for stage, spent in event.seconds.items())
        took = f" in {sum(event.seconds.values()):.2f} s ({stages})" if stages else ""
        return f"frame {event.frame} done{took}" + (f": {event.message}" if event.message else "")
    if isinstance(event, events.FrameSkipped):
        return f"frame {event.frame} skipped" + (f": {event.message}" if event.message else "")
    if isinstance(event, events.FrameFailed):
        why = f": {event.message}" if event.message else ", as before"
        return f"frame {event.frame} {event.status.replace('_', ' ')}{why}"
    if isinstance(event, events.Notice):
        return f"note: {event.message}"
    if isinstance(event, events.Progress):
        count = f" {event.done}/{event.total}" if event.total else ""
        return f"{event.stage}{count}" + (f" {event.message}" if event.message else "")
    return ""


def show_outputs(event: events.RunDone) -> None:
    """The named results of a run on standard output."""
    width = max((len(name) for name in event.outputs), default=0)
    for name, path in event.outputs.items():
        click.echo(f"{name:<{width}}  {path}")


class FarmLines:
    """Lines on standard output, where a farm engine reads how far the run is."""

    def __init__(self, lines_of: Callable[[events.Event, float, float], list[str]]) -> None:
        self._lines_of = lines_of
        self._started = time.monotonic()
        self._total = 0
        self._counted = _Counted()

    def show(self, event: events.Event) -> None:
        """Writes the event's lines, if it has any."""
        if isinstance(event, events.RunStarted):
            self._total = event.frames
        self._counted.count(event)
        percent = min(100.0, 100 * len(self._counted) / self._total) if self._total else 0.0
        if isinstance(event, events.Progress) and event.total:
            percent = min(100.0, 100 * event.done / event.total)
        for line in self._lines_of(event, percent, time.monotonic() - self._started):
            print(line, flush=True)
        if isinstance(event, events.RunDone):
            show_outputs(event)


def openjd_lines(event: events.Event, percent: float, _seconds: float) -> list[str]:
    """What Open Job Description calls messages: https://github.com/OpenJobDescription, "How Jobs Are Run"."""
    text = " ".join(plain_text(event).split())
    if isinstance(event, events.RunDone):
        return [f"openjd_fail: {' '.join(event.message.split())}"] if event.exit_code else ["openjd_progress: 100"]
    if not text:
        return []
    return [text] if isinstance(event, events.Notice) else [f"openjd_progress: {percent:.1f}", f"openjd_status: {text}"]


def deadline_lines(event: events.Event, percent: float, _seconds: float) -> list[str]:
    """What Deadline's own plug-ins look for: `Progress: 12%`."""
    text = plain_text(event)
    if not text or isinstance(event, events.Notice):
        return [text] if text else []
    return [f"Progress: {percent:.0f}% {text}"]


def opencue_lines(event: events.Event, percent: float, seconds: float) -> list[str]:
    """What CueGUI estimates the time left from: the time since the start, and three figures before `% done`."""
    text = plain_text(event)
    if not text or isinstance(event, events.Notice):
        return [text] if text else []
    clock = f"{int(seconds) // 3600:02}:{int(seconds) // 60 % 60:02}:{int(seconds) % 60:02}"
    return [f"{clock} {percent:3.0f}% done: {text}"]


class Nothing:
    """Shows nothing; what failed is told at the end all the same, by the command."""

    def show(self, event: events.Event) -> None:
        """Does nothing."""


def display_for(format: str | None, stack: ExitStack) -> Display:
    """The display of a run. format: one of `FORMATS`; None for a bar on a terminal, else plain."""
    farm = {"openjd": openjd_lines, "opencue": opencue_lines, "deadline": deadline_lines}
    if format == "json":
        return JsonLines()
    if format == "none":
        return Nothing()
    if format in farm:
        return FarmLines(farm[format])
    console = Console(stderr=True)
    if format == "plain" or not console.is_terminal:
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
