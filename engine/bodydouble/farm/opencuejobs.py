"""Jobs for OpenCue, through PyOutline: layers align, measure, swap and review, each after the one before.

A frame of the layer swap is one piece of the shot's frames; its number counts the pieces.
"""

from __future__ import annotations

import re
from itertools import pairwise
from typing import Any

from bodydouble.errors import InputError, how_to_install
from bodydouble.farm.submission import Submission, plain_place

MISSING = f"PyOutline is not installed. Install it with: {how_to_install('farm')}"


def opencue_outline(submission: Submission, show: str, shot: str, user: str) -> Any:
    """The outline of a job (`outline.Outline`). Errors: InputError where PyOutline is not installed."""
    try:
        import outline
        from outline.modules.shell import Shell, ShellSequence
    except ImportError as error:
        raise InputError(MISSING) from error
    place, start = plain_place(submission), submission.command[0]
    name = re.sub(r"[^A-Za-z0-9_]+", "_", submission.name)[:80]
    job = outline.Outline(name, show=show, shot=shot, user=user)
    chunks = submission.chunks()
    commands = [[start, *submission.swap_words(place, "opencue", str(chunk))] for chunk in chunks]
    needs: dict[str, Any] = {"gpus": 1, "gpu_memory": "1g"} if submission.gpu else {}
    if submission.memory_gib is not None:
        needs["memory"] = f"{submission.memory_gib:g}g"
    swap = ShellSequence("swap", commands=commands, service="bodydouble", **needs)
    once = [
        ("align", submission.align, submission.align_words),
        ("measure", submission.measure, submission.measure_words),
    ]
    layers = [
        Shell(name, command=[start, *words(place, "opencue")], range="1", service="bodydouble")
        for name, wanted, words in once
        if wanted
    ]
    for before, layer in pairwise([*layers, swap]):
        layer.depend_all(before)
    for layer in layers:
        job.add_layer(layer)
    # Numbered as the last piece: PyOutline's local backend knows no dependencies, it goes by number and order.
    words = [start, *submission.review_words(place, "opencue")]
    review = Shell("review", command=words, range=str(len(chunks)), service="bodydouble")
    review.depend_all(swap)
    job.add_layer(swap)
    job.add_layer(review)
    return job


def opencue_specification(job: Any) -> str:
    """The job as the XML that Cuebot takes. Errors: InputError where what is needed is not installed."""
    launcher = _launcher(job, "cue")
    return str(launcher.serialize(use_pycuerun=True))


def launch_opencue(job: Any, backend: str) -> None:
    """Hand the job to OpenCue ("cue", to the Cuebot that its own settings name) or run it here ("local")."""
    _launcher(job, backend).launch(use_pycuerun=True)


def _launcher(job: Any, backend: str) -> Any:
    try:
        import outline.cuerun
    except ImportError as error:
        raise InputError(MISSING) from error
    return outline.cuerun.OutlineLauncher(job, backend=backend, range=None)
