"""A node's shot as a job of a farm: the engine's `submit`, called with what the node asks for."""

from __future__ import annotations

from collections.abc import Sequence

from bodydouble_nuke.engine import Engine, EngineError, call
from bodydouble_nuke.shot import Shot, joined, option_words, swap_job

SUBMIT_SECONDS = 120.0


# What `submit` takes itself; everything else it hands on to `swap`.
_OWN = (
    "out", "model", "persona", "person", "faces", "frames", "production", "ocio", "colorspace", "settings", "measures",
    "matte_in", "holdout",
)  # fmt: skip


def submit_arguments(shot: Shot, farm: str, frames: Sequence[int], chunk: int, name: str) -> list[str]:
    """The words after `bodydouble submit`: align and measure where that was not done, swap in tasks of `chunk` frames,
    review.
    """
    arguments = swap_job(shot, frames, measured=True)["arguments"]
    assert isinstance(arguments, dict)
    own = {key: arguments.pop(key) for key in _OWN if key in arguments} | ({"fix": shot.fix} if shot.fix else {})
    words = [farm, str(arguments.pop("plate")), *option_words(own), "--frames-per-task", str(chunk), "--name", name]
    if farm == "openjd":
        words += ["--bundle", joined(shot.folder, "farm")]
    return [*words, "--", *option_words(arguments)]


def submit(engine: Engine, arguments: Sequence[str]) -> str:
    """Give the job to the farm and return what its program said; blocks for some seconds.

    Raises:
        EngineError: it was not taken.
    """
    done = call(engine, ("submit", *arguments), SUBMIT_SECONDS, "The job was not sent")
    if done.returncode != 0:
        raise EngineError(f"The job was not taken (code {done.returncode}). {done.stderr.strip()}")
    return done.stdout.strip()
