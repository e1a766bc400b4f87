"""What lies in the output folder from runs before, so that a run goes on where another was cut off.

A frame counts as done when its file opens, its stamp is whole, its pixels and channels are those that were stamped, and
it was made of the very same things: plate, face, model, persona, settings and version (its *job hash*).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from bodydouble.errors import PlateError
from bodydouble.plates.images import read_plate
from bodydouble.swap.verifying import verify_frame

Shows = Literal["swap", "plate", "black"]
"""What a finished frame shows: the persona; a copy of the plate where there is no face; black."""


@dataclass(frozen=True)
class Standing:
    """What is at the place of a frame's file.

    Attributes:
        state: "free": nothing that is worth anything; "done": the frame, as this job makes it; "other": something else.
        message: for a person.
        shows: of a frame that is done.
    """

    state: Literal["free", "done", "other"]
    message: str = ""
    shows: Shows = "swap"


def standing(path: Path, frame: int, job_hash: str, accepted: tuple[Shows, ...]) -> Standing:
    """Look at a frame's file. accepted: what it may show. Raises OSError where the folder cannot be reached."""
    if not path.exists():
        return Standing("free")
    try:
        verdict = verify_frame(read_plate(path), frame)
    except PlateError as error:
        return Standing("free", f"replaced a file that cannot be read ({error})")
    shows = verdict.facts.get("shows")
    if verdict.facts.get("job") != job_hash or shows not in accepted:
        message = f"{path} exists and was made otherwise; write elsewhere or replace it with --overwrite"
        return Standing("other", message)
    if verdict.status != "intact":
        return Standing(
            "other", f"{path} was made by this job but changed since ({verdict.message}); replace it with --overwrite"
        )
    return Standing("done", "already there, made by the same job", shows)
