"""Jobs for farms that speak Open Job Description (OpenJD), AWS Deadline Cloud among them.

Template of specification 2023-09, with the extension TASK_CHUNKING where a task is more than one frame. Paths are
parameters of the job, so that a farm can map them; what was asked for once stands in the commands as it is.
"""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path
from typing import Any

from bodydouble.farm.submission import PATHS, Submission, folders_of
from bodydouble.plates.frames import FrameRange
from bodydouble.writing import atomic_path

SPECIFICATION = "jobtemplate-2023-09"
NOTIFY_S = 30
"""A cancelled task is told so long before it is killed: time to finish the frame at hand."""

CONNECTION_FILE = "{{Session.WorkingDirectory}}/bodydouble_worker.json"

_LABELS = {
    "Plate": ("Plate", "IN", "Shot"),
    "Out": ("Result", "OUT", "Shot"),
    "Model": ("Model (.comb)", "IN", "Persona"),
    "Faces": ("Shot faces", "INOUT", "Shot"),
    "Review": ("Review folder", "OUT", "Shot"),
    "Ocio": ("OpenColorIO config", "IN", "Colour"),
    "Fix": ("Frames placed by hand", "IN", "Shot"),
    "Settings": ("Look (.settings.json)", "IN", "Look"),
    "Measures": ("Measures of the plate", "INOUT", "Look"),
    "Matte": ("Matte", "IN", "Look"),
    "Holdout": ("Holdout", "IN", "Look"),
}


def openjd_template(submission: Submission, warm: bool = False) -> dict[str, Any]:
    """The job template: steps Align and Measure (where their files are still to be made), Swap and Review, each after
    the one before.

    warm: swap by a worker that keeps the model between the tasks that one machine does one after the other.
    """
    steps = [_swap_step(submission, warm), _step("Review", submission, submission.review_words(_parameter, "openjd"))]
    if submission.measure:
        steps.insert(0, _step("Measure", submission, submission.measure_words(_parameter, "openjd")))
    if submission.align:
        steps.insert(0, _step("Align", submission, submission.align_words(_parameter, "openjd")))
    for before, step in pairwise(steps):
        step["dependencies"] = [{"dependsOn": before["name"]}]
    return {
        "specificationVersion": SPECIFICATION,
        **({"extensions": ["TASK_CHUNKING"]} if submission.chunk > 1 else {}),
        "name": submission.name[:128],
        "parameterDefinitions": [
            *(_path_definition(submission, name) for name in _used(submission)),
            *_frame_definitions(submission),
        ],
        "steps": steps,
    }


def openjd_values(submission: Submission) -> dict[str, str | int]:
    """The values of the template's parameters."""
    values: dict[str, str | int] = {name: submission.path(name) for name in _used(submission)}
    values["Frames"] = openjd_range(submission.frames)
    return {**values, "FramesPerTask": submission.chunk} if submission.chunk > 1 else values


def write_bundle(folder: Path, submission: Submission, warm: bool = False) -> list[Path]:
    """Write the job bundle that `deadline bundle submit` takes, and `parameters.json` for `openjd run`.

    Errors: OutputError.
    """
    read, written = folders_of(submission)
    values = openjd_values(submission)
    listed = [{"name": name, "value": value} for name, value in values.items()]
    documents: dict[str, Any] = {
        "template.json": openjd_template(submission, warm),
        "parameter_values.json": {"parameterValues": listed},
        "asset_references.json": {
            "assetReferences": {
                "inputs": {"filenames": [], "directories": read},
                "outputs": {"directories": written},
                "referencedPaths": [],
            }
        },
        "parameters.json": values,
    }
    for name, document in documents.items():
        with atomic_path(folder / name) as temporary:
            temporary.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
    return [folder / name for name in documents]


def openjd_range(frames: tuple[int, ...]) -> str:
    """Frames as an OpenJD range expression."""
    return str(FrameRange.of(frames)).replace("x", ":")


def _parameter(name: str) -> str:
    return f"{{{{Param.{name}}}}}"


def _used(submission: Submission) -> list[str]:
    return [name for name in PATHS if submission.path(name)]


def _path_definition(submission: Submission, name: str) -> dict[str, Any]:
    label, flow, group = _LABELS[name]
    kind = "DIRECTORY" if submission.is_folder(name) else "FILE"
    # A submitter takes a file that goes both ways for one to be written: it need not be there yet.
    file_control = "CHOOSE_INPUT_FILE" if flow == "IN" else "CHOOSE_OUTPUT_FILE"
    control = "CHOOSE_DIRECTORY" if kind == "DIRECTORY" else file_control
    hints = {"control": control, "label": label, "groupLabel": group}
    return {"name": name, "type": "PATH", "objectType": kind, "dataFlow": flow, "userInterface": hints}


def _frame_definitions(submission: Submission) -> list[dict[str, Any]]:
    frames = {
        "name": "Frames",
        "type": "STRING",
        "userInterface": {"control": "LINE_EDIT", "label": "Frames, such as 1001-1100", "groupLabel": "Shot"},
    }
    size = {
        "name": "FramesPerTask",
        "type": "INT",
        "minValue": 1,
        "userInterface": {"control": "SPIN_BOX", "label": "Frames per task", "groupLabel": "Shot"},
    }
    return [frames, size] if submission.chunk > 1 else [frames]


def _swap_step(submission: Submission, warm: bool) -> dict[str, Any]:
    words = submission.swap_words(_parameter, "openjd", "{{Task.Param.Frame}}", "openjd")
    if warm:
        own = len(submission.command) - 1
        words = [*_daemon_words(submission, "run"), *words[own:]]
    frame: dict[str, Any] = {"name": "Frame", "type": "INT", "range": "{{Param.Frames}}"}
    if submission.chunk > 1:
        chunks = {"defaultTaskCount": "{{Param.FramesPerTask}}", "rangeConstraint": "NONCONTIGUOUS"}
        frame = {**frame, "type": "CHUNK[INT]", "chunks": chunks}
    step = _step("Swap", submission, words)
    if warm:
        step["stepEnvironments"] = [_worker_environment(submission)]
    step["parameterSpace"] = {"taskParameterDefinitions": [frame]}
    amounts: list[dict[str, Any]] = []
    if submission.gpu:
        amounts.append({"name": "amount.worker.gpu", "min": 1})
    if submission.memory_gib is not None:
        amounts.append({"name": "amount.worker.memory", "min": round(submission.memory_gib * 1024)})
    if amounts:
        step["hostRequirements"] = {"amounts": amounts}
    return step


def _worker_environment(submission: Submission) -> dict[str, Any]:
    """Starts a worker before the first task of the step that a machine does, and ends it after the last."""
    start, stop = (
        {"command": submission.command[0], "args": _daemon_words(submission, verb)} for verb in ("start", "stop")
    )
    return {"name": "Worker", "script": {"actions": {"onEnter": start, "onExit": stop}}}


def _daemon_words(submission: Submission, verb: str) -> list[str]:
    return [*submission.command[1:], "daemon", verb, "--connection-file", CONNECTION_FILE]


def _step(name: str, submission: Submission, words: list[str]) -> dict[str, Any]:
    run = {
        "command": submission.command[0],
        "args": words,
        "cancelation": {"mode": "NOTIFY_THEN_TERMINATE", "notifyPeriodInSeconds": NOTIFY_S},
    }
    return {"name": name, "script": {"actions": {"onRun": run}}}
