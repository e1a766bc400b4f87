"""What a press of a button makes of a shot: the jobs, one after the other, and which frames of the plate they need."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from bodydouble_nuke.shot import Shot, align_job, draft_job, measure_job, swap_job

Purpose = Literal["align", "measure", "swap frame", "swap", "look", "render"]
"""What a run is for: the alignment; the plate's measures; one finished frame, or the range of them; a draft of one
while a knob of the look moves; what a render lacks.
"""


@dataclass(frozen=True)
class Step:
    """A job and what the artist calls it; `whole`: whether it looks at the whole shot."""

    name: str
    job: Mapping[str, Any]
    whole: bool = False


def steps_of(shot: Shot, frames: Sequence[int], purpose: Purpose) -> list[Step]:
    """The steps, in their order.

    A shot that is not aligned yet is aligned first. What the look needs to know of the plate is measured before a range
    or a render, so that all its frames share it; one frame or a draft is not kept waiting.
    """
    must_align = purpose == "align" or not os.path.exists(shot.faces)
    steps = [Step("align", align_job(shot), True)] if must_align else []
    if purpose == "align":
        return steps
    stale = must_align or not shot.is_measured
    must_measure = purpose in ("swap", "render") and shot.needs_own_measures and stale
    if purpose == "measure" or must_measure:
        steps.append(Step("measure", measure_job(shot), True))
    if purpose == "look":
        steps.append(Step("swap", draft_job(shot, frames)))
    elif purpose != "measure":
        steps.append(Step("swap", swap_job(shot, frames, must_measure or not stale)))
    return steps


def confidences(faces: str, person: int) -> dict[int, float]:
    """Frame → how far one person's alignment can be trusted, from the shot faces; {} where they cannot be read."""
    try:
        with open(faces, encoding="utf-8") as handle:
            found = json.load(handle)["frames"]
        return {
            int(frame): float(face["confidence"])
            for frame, there in found.items()
            for face in there
            if face["person"] == person
        }
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return {}
