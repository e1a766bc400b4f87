"""Where the engine is and whether it works. It runs as a process of its own, in an environment of its own."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

VARIABLE = "BODYDOUBLE_ENGINE"
DOCTOR_SECONDS = 120.0

# Nuke's own Python and libraries: in another interpreter they break imports and CUDA.
_NUKES_OWN = ("PYTHONHOME", "PYTHONPATH", "PYTHONSTARTUP", "PYTHONEXECUTABLE", "QT_PLUGIN_PATH", "NUKE_PATH")
_LIBRARY_PATHS = ("LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH")


class EngineError(Exception):
    """The engine is not there or does not work; the message says what to do."""


@dataclass(frozen=True)
class Engine:
    """How to start the engine: the words of its command, and the environment."""

    command: tuple[str, ...]
    environment: Mapping[str, str]

    def arguments(self, *words: str) -> list[str]:
        """A whole command line."""
        return [*self.command, *words]


def find_engine(knob: str, environment: Mapping[str, str]) -> Engine:
    """The engine named by the node's knob, else by BODYDOUBLE_ENGINE, else the `bodydouble` on PATH.

    `knob` and the variable hold a program, or a command such as `python -m bodydouble_cli`; blanks in the name of a
    program that exists are part of it.

    Raises:
        EngineError: there is none; the message says where was looked.
    """
    for place, text in (("the node's engine knob", knob.strip()), (VARIABLE, environment.get(VARIABLE, "").strip())):
        if text:
            return Engine(_words(text, place, environment), clean_environment(environment))
    found = shutil.which("bodydouble", path=environment.get("PATH"))
    if found is None:
        raise EngineError(
            "The Bodydouble engine is not found. Name its program in the node's Farm tab (engine), or in the "
            f"environment variable {VARIABLE}, or put `bodydouble` on PATH."
        )
    return Engine((found,), clean_environment(environment))


def _words(text: str, place: str, environment: Mapping[str, str]) -> tuple[str, ...]:
    words = (text,) if os.path.exists(text) else tuple(shlex.split(text, posix=os.name != "nt"))
    program = shutil.which(words[0], path=environment.get("PATH")) if words else None
    if program is None:
        raise EngineError(f"{place} names {text!r}, and there is no such program on this machine.")
    return (program, *words[1:])


def clean_environment(environment: Mapping[str, str]) -> dict[str, str]:
    """The environment without what Nuke sets for itself. The studio's own values of those, kept by a launcher as
    BODYDOUBLE_<name>, are put back.
    """
    clean = {name: value for name, value in environment.items() if name not in _NUKES_OWN}
    for name in (*_NUKES_OWN, *_LIBRARY_PATHS):
        kept = environment.get(f"BODYDOUBLE_{name}")
        if kept is not None:
            clean[name] = kept
    nuke_folder = os.path.dirname(sys.executable)
    for name in _LIBRARY_PATHS:
        if name in clean and f"BODYDOUBLE_{name}" not in environment:
            paths = [path for path in clean[name].split(os.pathsep) if path and not path.startswith(nuke_folder)]
            clean[name] = os.pathsep.join(paths)
    return clean


def call(engine: Engine, words: Sequence[str], seconds: float, failure: str) -> subprocess.CompletedProcess[str]:
    """Run one command of the engine to its end, whatever its exit code; blocks, `seconds` at most.

    Raises:
        EngineError: it did not start or did not end in time; the message begins with `failure`.
    """
    try:
        return subprocess.run(
            engine.arguments(*words),
            env=dict(engine.environment),
            capture_output=True,
            text=True,
            encoding="utf-8",
            errors="replace",
            timeout=seconds,
            check=False,
        )
    except (OSError, subprocess.SubprocessError) as error:
        raise EngineError(f"{failure}: {error}") from error


def diagnose(engine: Engine) -> str:
    """What `bodydouble doctor` says, as text for a person; blocks for some seconds.

    Raises:
        EngineError: the engine does not start, or says that it is not well.
    """
    done = call(engine, ("doctor",), DOCTOR_SECONDS, f"The engine {shlex.join(engine.command)} does not start")
    if done.returncode != 0:
        raise EngineError(f"The engine is not well (exit code {done.returncode}).\n{done.stdout}{done.stderr}".strip())
    return done.stdout.strip()


@dataclass(frozen=True)
class ModelCard:
    """What the node shows of a model: its personas, size, and one line on each persona's rights."""

    personas: tuple[str, ...]
    size: int
    rights: Mapping[str, str]


def read_model_card(folder: str) -> ModelCard:
    """Read a model's `comb.json`; the engine is not needed for it.

    Raises:
        EngineError: it is missing or damaged.
    """
    path = os.path.join(folder, "comb.json")
    try:
        with open(path, encoding="utf-8") as handle:
            data = json.load(handle)
        personas = data["personas"]
        rights = {name: _rights_line(entry.get("rights")) for name, entry in personas.items()}
        return ModelCard(tuple(personas), int(data["dims"]["size"]), rights)
    except FileNotFoundError:
        raise EngineError(f"{folder} is not a model: it has no comb.json. Choose a NAME.comb folder.") from None
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise EngineError(f"{path} cannot be read ({error}); copy the model again.") from error


def _rights_line(record: object) -> str:
    if not isinstance(record, dict):
        return "no rights record: make sure you may show this face"
    words = [str(record.get("performer", "somebody"))]
    for key in ("consent", "productions", "valid_until", "contact"):
        if record.get(key):
            value = record[key]
            words.append(f"{key.replace('_', ' ')}: {', '.join(map(str, value)) if isinstance(value, list) else value}")
    return "; ".join(words)
