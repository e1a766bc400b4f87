"""A shot's work as a farm sees it, of which every farm engine's job is made: align and measure once, swap in pieces,
review once.

The words are those of the command line, so a job is nothing but the commands that a person would type. A path that an
engine may map to another place is given by name (`place`), so that each engine can put its own variable there.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from bodydouble.errors import UsageError
from bodydouble.plates.frames import FrameRange

PATHS = ("Plate", "Out", "Model", "Faces", "Review", "Ocio", "Fix", "Settings", "Measures", "Matte", "Holdout")
"""The places of a submission, by the names that jobs have for them."""

Place = Callable[[str], str]


@dataclass(frozen=True)
class Submission:
    """What is to be done, and how it is cut.

    Attributes:
        name: of the job.
        plate, out, model, faces, review: patterns and folders; paths that the farm's machines can reach.
        persona: who appears.
        frames: of the plate, ascending.
        chunk: frames per task.
        align: whether the shot faces are still to be made; `faces` is then where they go.
        measure: whether the measures of the plate are still to be made; `measures` is then where they go.
        person: whose face; None for the most prominent.
        fix: frames placed by hand, for the alignment; "" for none.
        settings, measures, matte, holdout: for `swap`, the look, measures and an artist's mattes; "" for none.
        colorspace, ocio, part, view, production: as the commands take them; None to leave them out.
        extra: further words for `swap`.
        gpu: whether swapping needs a GPU.
        memory_gib: that swapping needs; None to leave that to the farm.
        command: words that start Bodydouble.
    """

    name: str
    plate: str
    out: str
    model: str
    persona: str
    faces: str
    review: str
    frames: tuple[int, ...]
    chunk: int = 10
    align: bool = True
    measure: bool = False
    person: int | None = None
    fix: str = ""
    settings: str = ""
    measures: str = ""
    matte: str = ""
    holdout: str = ""
    colorspace: str | None = None
    ocio: str | None = None
    part: str | None = None
    view: str | None = None
    production: str | None = None
    extra: tuple[str, ...] = ()
    gpu: bool = False
    memory_gib: float | None = None
    command: tuple[str, ...] = ("bodydouble",)

    def __post_init__(self) -> None:
        if not self.frames:
            raise UsageError("a job needs at least one frame.")
        if self.chunk < 1 or not self.command:
            raise UsageError("a job has at least one frame per task, and a command to start Bodydouble with.")

    def path(self, name: str) -> str:
        """The path of one of `PATHS`; empty where there is none."""
        return getattr(self, name.lower()) or ""

    def is_folder(self, name: str) -> bool:
        """Whether one of `PATHS` is a folder; a pattern is a file, as far as a farm knows."""
        path = Path(self.path(name))
        return name in ("Model", "Review") or path.is_dir() or (name == "Out" and not path.suffix)

    def chunks(self) -> tuple[FrameRange, ...]:
        """The pieces, `chunk` frames each but the last."""
        return tuple(
            FrameRange.of(self.frames[start : start + self.chunk]) for start in range(0, len(self.frames), self.chunk)
        )

    def align_words(self, place: Place, progress: str) -> list[str]:
        """The command that makes the shot faces; the same result replaces that of a try before."""
        words = ["align", place("Plate"), "-o", place("Faces"), "--overwrite", "--progress", progress]
        words += ["--fix", place("Fix")] if self.fix else []
        return [*self.command[1:], *words, *self._picture(place, "--view")]

    def measure_words(self, place: Place, progress: str) -> list[str]:
        """The command that measures the plate against the persona's swaps."""
        words = ["measure", place("Plate"), "-o", place("Measures"), "--faces", place("Faces")]
        words += ["--model", place("Model"), "--persona", self.persona, "--progress", progress]
        return [*self.command[1:], *words, *self._whose(), *self._picture(place, "--view")]

    def swap_words(self, place: Place, progress: str, frames: str, syntax: str = "bodydouble") -> list[str]:
        """The command that swaps some frames; what an earlier try has finished is left alone."""
        words = ["swap", place("Plate"), "-o", place("Out"), "--model", place("Model"), "--persona", self.persona]
        words += ["--faces", place("Faces"), "--frames", frames, "--progress", progress]
        words += ["--frame-syntax", syntax] if syntax != "bodydouble" else []
        given = (
            ("settings", "--settings"),
            ("measures", "--measures"),
            ("matte", "--matte-in"),
            ("holdout", "--holdout"),
        )
        words += [word for name, option in given if getattr(self, name) for word in (option, place(name.capitalize()))]
        return [*self.command[1:], *words, *self._whose(), *self._picture(place, "--view"), *self.extra]

    def review_words(self, place: Place, progress: str) -> list[str]:
        """The command that makes the quality page."""
        words = ["review", place("Out"), "--plate", place("Plate"), "--faces", place("Faces"), "-o", place("Review")]
        words += ["--frames", str(FrameRange.of(self.frames)), "--progress", progress]
        return [*self.command[1:], *words, *self._picture(place, "--plate-view")]

    def _whose(self) -> list[str]:
        """What says whose face is meant, and what for."""
        words = [] if self.person is None else ["--person", str(self.person)]
        return [*words, "--production", self.production] if self.production else words

    def _picture(self, place: Place, view_option: str) -> list[str]:
        """What says which picture of the plate is meant, and its colour."""
        given = (("--colorspace", self.colorspace), ("--part", self.part), (view_option, self.view))
        words = [word for option, value in given if value for word in (option, value)]
        return [*words, "--ocio", place("Ocio")] if self.ocio else words


def plain_place(submission: Submission) -> Place:
    """The paths as they are."""
    return submission.path


def folders_of(submission: Submission) -> tuple[list[str], list[str]]:
    """Folders that are read and folders that are written, absolute."""
    plate, out = (
        Path(path) if submission.is_folder(name) else Path(path).parent
        for name, path in (("Plate", submission.plate), ("Out", submission.out))
    )
    mattes = [Path(path).parent for path in (submission.matte, submission.holdout) if path]
    read = [plate, Path(submission.model), *mattes]
    made = [Path(submission.measures).parent] if submission.measure else []
    written = [out, Path(submission.faces).parent, Path(submission.review), *made]
    return [str(path.absolute()) for path in read], sorted({str(path.absolute()) for path in written})
