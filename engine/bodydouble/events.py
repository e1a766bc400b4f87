"""Event lines: what a run tells a program, one JSON object per line.

A farm wrapper, the Nuke node or a script reads them from `--json`. Each line carries `schema`, `version` and `event`
(the kind); the other keys are the fields of the dataclass of that kind. Numbers are finite or null, paths are text as
given, durations are seconds.
"""

from __future__ import annotations

import json
import math
import typing
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any, ClassVar

from bodydouble.errors import InputError

SCHEMA = "bodydouble.event"
VERSION = 1


@dataclass(frozen=True)
class RunStarted:
    """First line of every run. `frames` is how many frames it will report, 0 where a run has none (training)."""

    kind: ClassVar[str] = "run_started"
    command: str
    bodydouble: str
    frames: int = 0


@dataclass(frozen=True)
class FrameDone:
    """A frame is finished and, where `path` is given, on disk. `seconds` by stage; `confidence` in 0..1 or None:
    of `swap` that of the shot faces, of `align` that of the most convincing face as found, before the shot solve.

    `shows`: of a swap "swap", or "plate" or "black" where a rule allowed that; else empty.
    """

    kind: ClassVar[str] = "frame_done"
    frame: int
    path: str | None = None
    confidence: float | None = None
    seconds: Mapping[str, float] = field(default_factory=dict)
    message: str = ""
    shows: str = ""


@dataclass(frozen=True)
class FrameFailed:
    """A frame has no result and no file. `status`: "failed", "no_face" or "missing"; `message` is for a person."""

    kind: ClassVar[str] = "frame_failed"
    frame: int
    status: str
    message: str


@dataclass(frozen=True)
class FrameSkipped:
    """A frame that needed no work: it already exists, or (no `path`) the plate does not have it and a rule allows that.

    `shows`: as of a frame that is done.
    """

    kind: ClassVar[str] = "frame_skipped"
    frame: int
    path: str | None = None
    message: str = ""
    shows: str = ""


@dataclass(frozen=True)
class Notice:
    """Something the user should know; the run goes on."""

    kind: ClassVar[str] = "notice"
    message: str


@dataclass(frozen=True)
class Facts:
    """The document that `info` and `doctor` write, where a worker was asked for it."""

    kind: ClassVar[str] = "facts"
    facts: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Progress:
    """How far a stage is. `total` 0 where the end is unknown; `values` are numbers worth plotting (loss, level)."""

    kind: ClassVar[str] = "progress"
    stage: str
    done: int
    total: int = 0
    seconds_left: float | None = None
    values: Mapping[str, float] = field(default_factory=dict)
    message: str = ""


@dataclass(frozen=True)
class RunDone:
    """Last line of every run, also of one that failed. `outputs` names what to look at, `message` the error if any."""

    kind: ClassVar[str] = "run_done"
    exit_code: int
    done: int = 0
    failed: int = 0
    skipped: int = 0
    seconds: float = 0.0
    outputs: Mapping[str, str] = field(default_factory=dict)
    message: str = ""


FrameEvent = FrameDone | FrameFailed | FrameSkipped
Event = RunStarted | FrameEvent | Notice | Facts | Progress | RunDone

_KINDS: Mapping[str, type] = {cls.kind: cls for cls in typing.get_args(Event)}


def event_to_line(event: Event, job: str | None = None) -> str:
    """`event` as one line of JSON without the newline. NaN and Inf become null: JSON has neither.

    job: the job it belongs to, where a worker answers several.
    """
    document: dict[str, object] = {"schema": SCHEMA, "version": VERSION, "event": event.kind, **asdict(event)}
    if job is not None:
        document["job"] = job
    return json.dumps(_finite(document), ensure_ascii=False, allow_nan=False)


def event_from_line(line: str) -> Event:
    """The inverse of `event_to_line`. Unknown keys, as a later minor addition may bring, are left out.

    Raises `InputError` for a line that is no event or that a newer Bodydouble wrote.
    """
    try:
        document = json.loads(line)
    except ValueError as problem:
        raise InputError(f"Not an event line ({problem}): {line[:80]!r}") from problem
    if not isinstance(document, dict) or document.get("schema") != SCHEMA:
        raise InputError(f"Not an event line (no schema {SCHEMA!r}): {line[:80]!r}")
    if not isinstance(document.get("version"), int) or document["version"] > VERSION:
        raise InputError(f"Event line of version {document.get('version')!r}; this Bodydouble reads up to {VERSION}.")
    kind = _KINDS.get(document.get("event", ""))
    if kind is None:
        raise InputError(f"Event line of an unknown kind {document.get('event')!r}.")
    known = {item.name for item in fields(kind)}
    try:
        event: Event = kind(**{key: value for key, value in document.items() if key in known})
    except TypeError as problem:
        raise InputError(f"Incomplete {document['event']!r} event line: {problem}.") from problem
    return event


def _finite(value: object) -> object:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(key): _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return value
