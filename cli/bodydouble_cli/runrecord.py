"""The report of a run: one JSON document of everything that its events said, written when it ends, however it ends."""

from __future__ import annotations

import json
import platform
import sys
from collections import defaultdict
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from bodydouble import events
from bodydouble.errors import OutputError

SCHEMA = "bodydouble.report"
VERSION = 1


class RunRecord:
    """Gathers the events of a run."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._events: list[events.Event] = []
        self._started = datetime.now(UTC)

    def show(self, event: events.Event) -> None:
        """Remembers the event, unless it is mere progress."""
        if not isinstance(event, events.Progress):
            self._events.append(event)

    def finish(self, last: events.RunDone) -> events.RunDone:
        """Writes the report; returns the last event, changed where the report itself could not be written."""
        from bodydouble.writing import atomic_path

        document = report_document([*self._events, last], self._started)
        try:
            with atomic_path(self._path) as temporary:
                temporary.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
        except OutputError as problem:
            if last.exit_code:
                click.echo(f"bodydouble: {problem}", err=True)
                return last
            return replace(last, exit_code=problem.exit_code, message=str(problem))
        return last


def report_document(happened: list[events.Event], started: datetime) -> dict[str, Any]:
    """The report: the run's first and last event as its head, then what became of every frame, and seconds by stage."""
    lines = [json.loads(events.event_to_line(event)) for event in happened]
    kinds = {"frame_done", "frame_skipped", "frame_failed"}
    frames = [_without(line, "schema", "version") for line in lines if line["event"] in kinds]
    seconds: dict[str, float] = defaultdict(float)
    for frame in frames:
        for stage, spent in frame.get("seconds", {}).items():
            seconds[stage] += spent
    first, last = lines[0], lines[-1]
    return {
        "schema": SCHEMA,
        "version": VERSION,
        "command": first["command"],
        "bodydouble": first["bodydouble"],
        "arguments": sys.argv[1:],
        "host": platform.node(),
        "started": started.isoformat(timespec="seconds"),
        **_without(last, "schema", "version", "event"),
        "seconds_by_stage": {stage: round(spent, 3) for stage, spent in seconds.items()},
        "notices": [line["message"] for line in lines if line["event"] == "notice"],
        "frames": frames,
    }


def _without(document: dict[str, Any], *names: str) -> dict[str, Any]:
    return {name: value for name, value in document.items() if name not in names}
