"""What a node asks for, as plain values: where its files lie and which jobs the engine gets."""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from bodydouble_nuke.look import Look

_numbers = itertools.count(1)


class ShotError(Exception):
    """The node cannot work like this; the message says what to change."""


@dataclass(frozen=True)
class Plate:
    """The frames that the engine reads: a pattern, and how they are encoded.

    `ocio`: an OpenColorIO config, "" for the engine's own; `colorspace`: its name there.
    """

    pattern: str
    colorspace: str
    ocio: str = ""


@dataclass(frozen=True)
class Shot:
    """A node's request.

    Attributes:
        folder: where its files go.
        plate: what to read.
        model, persona: who appears.
        person: whose face; 0 is the most prominent.
        look: matte and blend.
        layers: whether frames carry the layers for comp.
        compression: of the frames, "" for the plate's own.
        production: what it is for, "" for none.
        fix: corrections placed by hand, "" for none.
        measures: of the plate's grain and blur, made elsewhere; "" for those that the node makes itself.
        mattes: which of "matte" and "holdout" the engine gets, too.
    """

    folder: str
    plate: Plate
    model: str
    persona: str
    person: int
    look: Look
    layers: bool = True
    compression: str = ""
    production: str = ""
    fix: str = ""
    measures: str = ""
    mattes: tuple[str, ...] = ()

    @property
    def faces(self) -> str:
        """The shot faces."""
        return joined(self.folder, "shot.faces.json")

    @property
    def result(self) -> str:
        """Pattern of the finished frames."""
        return result_pattern(self.folder)

    @property
    def own_measures(self) -> str:
        """The measures that the node makes itself: other ones for another plate, model, persona or person."""
        made_of = "\n".join([self.plate.pattern, self.plate.colorspace, self.model, self.persona, str(self.person)])
        key = hashlib.sha256(made_of.encode("utf-8")).hexdigest()[:8]
        return joined(self.folder, f"shot.{key}.measures.json")

    @property
    def needs_own_measures(self) -> bool:
        """Whether the look asks for measures and no others were named."""
        return self.look.needs_measures and not self.measures

    @property
    def is_measured(self) -> bool:
        """Whether the node's own measures are there, made after the alignment and the model."""
        made, aligned, trained = map(_written, (self.own_measures, self.faces, joined(self.model, "comb.json")))
        return aligned >= 0 and made > max(aligned, trained)

    @property
    def look_file(self) -> str:
        """The settings file."""
        return joined(self.folder, "look.settings.json")


def joined(folder: str, *names: str) -> str:
    """A path with slashes on every system, as Nuke writes them."""
    return "/".join([folder.replace("\\", "/").rstrip("/"), *names])


def input_pattern(folder: str, name: str) -> str:
    """Where the node's Write puts an input: plate, matte or holdout."""
    return joined(folder, name, f"{name}.####.exr")


def result_pattern(folder: str) -> str:
    """Where the engine puts finished frames."""
    return joined(folder, "swap", "swap.####.exr")


def draft_pattern(folder: str) -> str:
    """Where the engine puts drafts: one frame in the look as it is now."""
    return joined(folder, "draft", "draft.####.exr")


def frames_on_disk(pattern: str) -> list[int]:
    """The frames of a #### pattern that are there."""
    folder, name = os.path.split(pattern)
    head, hashes, tail = re.split("(#+)", name, maxsplit=1)
    fits = re.compile(re.escape(head) + rf"(-?\d{{{len(hashes)},}})" + re.escape(tail))
    try:
        names = os.listdir(folder)
    except OSError:
        return []
    return sorted(int(match[1]) for match in map(fits.fullmatch, names) if match)


def fresh_drafts(folder: str) -> list[int]:
    """Frames whose draft was made after their finished frame."""
    drafts, finished = draft_pattern(folder), result_pattern(folder)
    return [
        frame
        for frame in frames_on_disk(drafts)
        if _written(numbered(drafts, frame)) > _written(numbered(finished, frame))
    ]


def drop_drafts(folder: str, frames: Iterable[int]) -> None:
    """Remove the drafts of frames that are finished now."""
    for frame in frames:
        with contextlib.suppress(OSError):
            os.remove(numbered(draft_pattern(folder), frame))


def drop_measures(shot: Shot) -> None:
    """Remove the node's own measures, which are of an earlier alignment or model."""
    with contextlib.suppress(OSError):
        os.remove(shot.own_measures)


def numbered(pattern: str, frame: int) -> str:
    """The file of one frame of a #### pattern."""
    return re.sub("#+", lambda hashes: str(frame).zfill(len(hashes[0])), pattern)


def _written(path: str) -> int:
    """When a file was written, in nanoseconds; -1 if it is not there."""
    try:
        return os.stat(path).st_mtime_ns
    except OSError:
        return -1


def frame_range(frames: Iterable[int]) -> str:
    """Frames as the engine writes them: 1001-1003,1010."""
    spans: list[list[int]] = []
    for frame in sorted(set(frames)):
        if spans and spans[-1][1] == frame - 1:
            spans[-1][1] = frame
        else:
            spans.append([frame, frame])
    return ",".join(str(low) if low == high else f"{low}-{high}" for low, high in spans)


def held_keys(frames: Sequence[int], first: int, last: int) -> str:
    """A curve that is 1 at `frames` and 0 elsewhere between `first` and `last`, held from key to key, for a knob."""
    seen = set(frames)
    span = range(min([first, *seen]) - 1, max([last, *seen]) + 2)
    changes = [frame for frame in span if frame == span[0] or (frame in seen) != (frame - 1 in seen)]
    return "{{curve K " + " ".join(f"x{frame} {int(frame in seen)}" for frame in changes) + "}}"


def align_job(shot: Shot) -> dict[str, object]:
    """The job that finds the faces of the whole plate."""
    return _job("align", {**_plate(shot.plate), "out": shot.faces, "fix": shot.fix or None, "overwrite": True})


def measure_job(shot: Shot) -> dict[str, object]:
    """The job that measures the plate's grain, and its blur against the persona's swaps."""
    return _job(
        "measure",
        {
            **_plate(shot.plate),
            "faces": shot.faces,
            "out": shot.own_measures,
            "person": shot.person,
            "model": shot.model,
            "persona": shot.persona,
            "production": shot.production or None,
        },
    )


def draft_job(shot: Shot, frames: Sequence[int]) -> dict[str, object]:
    """The job that shows the look of frames: no more of them than what depends on it."""
    drafts = draft_pattern(shot.folder)
    return _swap(shot, frames, shot.is_measured, {"out": drafts, "draft": True, "layers": None, "compression": None})


def swap_job(shot: Shot, frames: Sequence[int], measured: bool | None = None) -> dict[str, object]:
    """The job that swaps frames; what is there already and made otherwise is replaced.

    measured: whether the node's own measures will be there then; None: whether they are now.
    """
    return _swap(shot, frames, shot.is_measured if measured is None else measured, {})


def _swap(shot: Shot, frames: Sequence[int], measured: bool, changed: Mapping[str, object]) -> dict[str, object]:
    own = shot.own_measures if measured and shot.needs_own_measures else None
    return _job(
        "swap",
        {
            **_plate(shot.plate),
            "out": shot.result,
            "model": shot.model,
            "persona": shot.persona,
            "person": shot.person,
            "faces": shot.faces,
            "frames": frame_range(frames),
            "settings": shot.look_file,
            "measures": shot.measures or own,
            "matte_in": input_pattern(shot.folder, "matte") if "matte" in shot.mattes else None,
            "holdout": input_pattern(shot.folder, "holdout") if "holdout" in shot.mattes else None,
            "layers": shot.layers,
            "compression": shot.compression or None,
            "production": shot.production or None,
            "on_no_face": "plate",
            "overwrite": True,
            **changed,
        },
    )


def cancel_job(job: str) -> dict[str, object]:
    """The job that ends another."""
    return _job("cancel", {"job": job})


def option_words(arguments: Mapping[str, object]) -> list[str]:
    """Arguments of a job as words of the engine's command line, for a farm."""
    words: list[str] = []
    for name, value in arguments.items():
        option = "--" + name.replace("_", "-")
        if value is not None and value is not False:
            words += [option] if value is True else [option, str(value)]
    return words


def _plate(plate: Plate) -> dict[str, object]:
    return {"plate": plate.pattern, "colorspace": plate.colorspace or None, "ocio": plate.ocio or None}


def _job(command: str, arguments: dict[str, object]) -> dict[str, object]:
    given = {name: value for name, value in arguments.items() if value is not None}
    identity = f"nuke-{os.getpid()}-{next(_numbers)}"
    return {"schema": "bodydouble.job", "version": 1, "id": identity, "command": command, "arguments": given}
