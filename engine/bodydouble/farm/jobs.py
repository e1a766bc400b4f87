"""Job documents: what a program asks of a warm worker, one JSON object per line.

::

    {"schema": "bodydouble.job", "version": 1, "id": "7", "command": "swap",
     "arguments": {"plate": "sh010.####.exr", "out": "swap", "model": "cast.comb", "persona": "anna", "layers": true}}

`arguments` are named as the long options of the command with underscores for hyphens, and as its arguments (`plate`,
`result` of review, `path` of info). An option that is a switch takes true or false, null leaves an option out. Instead
of `arguments` there may be `words`: those of the command line after the command's name, as a list.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from bodydouble.errors import UsageError, near_names

SCHEMA = "bodydouble.job"
VERSION = 1
READ_BYTES = 65536
COMMANDS = ("swap", "align", "measure", "review", "info", "doctor", "cancel", "quit")
"""`cancel` ends the job whose id is its argument `job`; `quit` ends the worker when the jobs before it are done."""


@dataclass(frozen=True)
class Job:
    """One thing to do: who asked (any text, given back with every event of the job), which command, with what."""

    id: str
    command: str
    arguments: Mapping[str, Any] = field(default_factory=dict)
    words: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.arguments and self.words:
            raise UsageError(f"job {self.id!r}: give its arguments or its words, not both.")
        if self.command not in COMMANDS:
            raise UsageError(f"job {self.id!r}: no command {self.command!r}. {near_names(self.command, COMMANDS)}")


def job_to_line(job: Job) -> str:
    """`job` as one line of JSON without the newline."""
    return json.dumps({"schema": SCHEMA, "version": VERSION, **asdict(job)}, ensure_ascii=False)


def job_from_line(line: str) -> Job:
    """The inverse of `job_to_line`. Unknown keys are left out.

    Raises `UsageError` for a line that is no job, or that a newer Bodydouble wrote.
    """
    try:
        document = json.loads(line)
    except ValueError as problem:
        raise UsageError(f"Not a job ({problem}): {line[:80]!r}") from problem
    if not isinstance(document, dict) or document.get("schema") != SCHEMA:
        raise UsageError(f"Not a job (no schema {SCHEMA!r}): {line[:80]!r}")
    if not isinstance(document.get("version"), int) or document["version"] > VERSION:
        raise UsageError(f"Job of version {document.get('version')!r}; this Bodydouble reads up to {VERSION}.")
    arguments = document.get("arguments", {})
    if not isinstance(document.get("id"), str) or not isinstance(document.get("command"), str):
        raise UsageError(f"A job has an id and a command, both text: {line[:80]!r}")
    if not isinstance(arguments, dict):
        raise UsageError(f"job {document['id']!r}: arguments are one object, not {type(arguments).__name__}.")
    words = document.get("words", [])
    if not isinstance(words, list) or not all(isinstance(word, str) for word in words):
        raise UsageError(f"job {document['id']!r}: words are a list of text.")
    return Job(document["id"], document["command"], arguments, tuple(words))


def job_id_of(line: str) -> str:
    """The id in a line that may be no good job, so that its answer can be told from others; else empty."""
    try:
        document = json.loads(line)
    except ValueError:
        return ""
    found = document.get("id") if isinstance(document, dict) else None
    return found if isinstance(found, str) else ""


def lines_of(receive: Callable[[], bytes]) -> Iterator[str]:
    """Lines as they arrive. receive: waits for more of them, at most `READ_BYTES`; nothing is the end."""
    rest = b""
    while data := receive():
        *lines, rest = (rest + data).split(b"\n")
        for line in lines:
            yield line.decode("utf-8", "replace")
    if rest:
        yield rest.decode("utf-8", "replace")
