"""Swap the rendered shots and hold the result against the perfect composite.

Runs the product's own `align_shot` and `swap_sequence` on every shot of `$BODYDOUBLE_SHARED/synth` and prints, per
shot and persona, the figures of `bodydouble.reviews.quality`, each beside the same figure of the plate as it is
(nothing swapped) or of the perfect composite itself. See benchmarks/README.md.
"""

from __future__ import annotations

import json
import math
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import click
import numpy as np

from bodydouble.alignment.aligning import align_shot
from bodydouble.alignment.faces import FaceFinder
from bodydouble.alignment.shotfaces import ShotFaces
from bodydouble.errors import BodydoubleError, UsageError
from bodydouble.plates.colour import Colour
from bodydouble.plates.frames import FrameRange
from bodydouble.plates.sequences import PlateSequence
from bodydouble.settings import AlignSettings
from figures import ShotFigures, Swapped, measure, references
from synth import SynthShot, load_shot, shot_names, synth_folder


@dataclass(frozen=True)
class Wish:
    """What to measure: shot and persona names (none: all), a frame range, and where swapped frames come from or go."""

    shots: tuple[str, ...]
    personas: tuple[str, ...]
    frames: str | None
    model: Path | None
    results: Path | None
    keep: Path | None
    device: str
    likeness: float


def run(wish: Wish) -> Iterator[ShotFigures]:
    """Figures of every wanted shot and persona, as they are done."""
    folder, colour, finder = synth_folder(), Colour(), FaceFinder()
    for name in wish.shots or shot_names(folder):
        shot = load_shot(name, folder)
        personas = [persona for persona in sorted(shot.personas) if persona in (wish.personas or shot.personas)]
        frames = (
            [frame for frame in FrameRange.parse(wish.frames) if frame in shot.frames] if wish.frames else shot.frames
        )
        if not personas or not frames:
            raise UsageError(f"{name} has none of the frames, or no truth for any of the personas, that you named.")
        people = references(sorted({shot.performer, *personas}), folder, finder)
        faces, align_seconds = (None, math.nan) if wish.results else aligned(shot, colour)
        for persona in personas:
            click.echo(f"{name}: {persona}, {len(frames)} frames", err=True)
            with tempfile.TemporaryDirectory(prefix="bodydouble-shots-") as scratch:
                out = (wish.results or wish.keep or Path(scratch)) / name / persona
                if faces is None:
                    result = found_in(out, shot, frames)
                else:
                    model = wish.model or bundled_model()
                    result = swapped(shot, persona, faces, frames, colour, model, out, wish.device, wish.likeness)
                for frame, reason in result.failed.items():
                    click.echo(f"{name}: {persona}: frame {frame}: {reason}", err=True)
                yield measure(shot, persona, result, finder, people, align_seconds)


def aligned(shot: SynthShot, colour: Colour) -> tuple[ShotFaces, float]:
    """Shot faces of the whole plate, as `bodydouble align` makes them once, and the mean seconds per frame."""
    seconds: list[float] = []
    faces = align_shot(
        shot.plate, shot.frames, colour, None, AlignSettings(), on_frame=lambda found: seconds.append(found.seconds)
    )
    return faces, float(np.mean(seconds))


def swapped(
    shot: SynthShot,
    persona: str,
    faces: ShotFaces,
    frames: Sequence[int],
    colour: Colour,
    model: Path,
    out: Path,
    device: str,
    likeness: float,
) -> Swapped:
    """The shot with the persona, by the product. likeness: as the setting, where the model knows the performer."""
    from bodydouble.network.checkpoint import notes_latents, read_card
    from bodydouble.settings import SwapSettings
    from bodydouble.swap.swapping import swap_sequence  # torch loads only when something is swapped

    sequence, card = PlateSequence.output(out, like=shot.plate), read_card(model)
    known = shot.performer in card.names and notes_latents(card, shot.performer)
    settings = SwapSettings(layers=True, performer=shot.performer if known else None, likeness=likeness)
    results = list(
        swap_sequence(
            shot.plate,
            sequence,
            model,
            persona,
            faces,
            frames,
            colour,
            None,
            settings,
            device=device,
            overwrite=True,
            person=None,
            compression=None,
            production=None,
        )
    )
    done = [result for result in results if result.status == "done"]
    failed = {result.frame: f"{result.status} {result.message}" for result in results if result.status != "done"}
    stages = dict.fromkeys(stage for result in done for stage in result.seconds)
    mean = {stage: float(np.mean([result.seconds.get(stage, 0.0) for result in done])) for stage in stages}
    return Swapped(sequence, tuple(result.frame for result in done), failed, mean)


def found_in(folder: Path, shot: SynthShot, frames: Sequence[int]) -> Swapped:
    """Frames that were swapped before, under the plate's file names."""
    sequence = PlateSequence.output(folder, like=shot.plate)
    there = tuple(frame for frame in frames if sequence.exists(frame))
    return Swapped(sequence, there, {frame: "missing" for frame in frames if frame not in there})


def bundled_model() -> Path:
    """The model that comes with the product."""
    from bodydouble.demo import BUNDLED

    return BUNDLED / "rendered.comb"


def rows(figures: ShotFigures) -> Iterator[tuple[str, str]]:
    """The lines of the table: what is measured, and its value with the references."""
    f = figures

    def line(value: float, digits: int, **others: float) -> str:
        rest = ", ".join(f"{name.replace('_', ' ')} {number:.{digits}f}" for name, number in others.items())
        return f"{value:.{digits}f}" + (f" ({rest})" if rest else "")

    found = len(f.known("landmark_error"))
    yield "truth", f.truth
    yield "frames measured", f"{len(f.frames)} of {len(f.frames) + len(f.failed)}"
    yield "PSNR in the face, dB ↑", line(f.mean("psnr"), 2, plate=f.mean("plate_psnr"))
    yield "SSIM in the face ↑", line(f.mean("ssim"), 3, plate=f.mean("plate_ssim"))
    yield "nearer to the persona, % ↑", line(100 * f.persona_share, 0)
    yield "distance to the persona ↓", line(f.mean("to_persona"), 3, truth=f.mean("truth_to_persona"))
    yield "distance to the performer ↑", line(f.mean("to_performer"), 3, truth=f.mean("truth_to_performer"))
    yield "landmark error, % ↓", line(f.mean("landmark_error"), 2, truth=f.mean("truth_landmark_error"))
    yield "face found by dlib, frames", f"{found} (truth {len(f.known('truth_landmark_error'))})"
    yield "flicker, milli-codes ↓", line(f.flicker, 1, plate=f.plate_flicker, truth_moves=f.truth_change)
    yield "seam, milli-codes/px ↓", line(f.mean("seam"), 1, truth=f.mean("truth_seam"))
    yield "colour step, milli-codes ↓", line(f.mean("colour_step"), 1, truth=f.mean("truth_colour_step"))
    light = {"plate": f.total("plate_highlights"), "truth": f.total("truth_highlights")}
    yield "light above 1.0 in the face", line(f.total("highlights"), 0, **light)
    yield "pixels changed outside the matte ↓", line(f.total("outside_pixels"), 0)
    yield "changed outside the true face, % ↓", line(f.mean("spill_percent"), 1)
    for stage, seconds in f.seconds.items():
        yield f"seconds per frame: {stage}", line(seconds, 3)


def table(all_figures: Sequence[ShotFigures]) -> str:
    """A Markdown table, one column per shot and persona."""
    columns = [dict(rows(figures)) for figures in all_figures]
    names = dict.fromkeys(name for column in columns for name in column)
    head = ["", *(f"{figures.shot}, {figures.persona}" for figures in all_figures)]
    body = [[name, *(column.get(name, "–").replace("nan", "–") for column in columns)] for name in names]
    widths = [max(len(line[i]) for line in [head, *body]) for i in range(len(head))]
    lines = [head, ["-" * width for width in widths], *body]
    padded = [[cell.ljust(width) for cell, width in zip(line, widths, strict=True)] for line in lines]
    return "\n".join(f"| {' | '.join(line)} |" for line in padded)


def as_json(all_figures: Sequence[ShotFigures]) -> str:
    """Every figure of every frame; what could not be measured is null."""

    def plain(value: Any) -> Any:
        if isinstance(value, float):
            return value if math.isfinite(value) else None
        if isinstance(value, Mapping):
            return {str(key): plain(item) for key, item in value.items()}
        return [plain(item) for item in value] if isinstance(value, list | tuple) else value

    document = {"schema": "bodydouble.benchmark.shots", "version": 1, "shots": plain([asdict(f) for f in all_figures])}
    return json.dumps(document, indent=1, allow_nan=False) + "\n"


def _names(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(",") if part.strip())


@click.command(help=str(__doc__))
@click.option("--model", type=click.Path(path_type=Path), help="Model folder.  [default: the bundled one]")
@click.option("--results", type=click.Path(path_type=Path), help="Swap nothing, measure DIR/<shot>/<persona>/.")
@click.option("--shots", default="", help="Shots, by commas.  [default: all]")
@click.option("--personas", default="", help="Personas, by commas.  [default: all that have a truth]")
@click.option("--frames", default=None, help="Frames, like 1001-1048x4.  [default: all]")
@click.option("--device", default="auto", show_default=True, help="Where the network runs.")
@click.option("--likeness", default=1.0, show_default=True, help="As of swap, where the model knows the performer.")
@click.option("--keep", type=click.Path(path_type=Path), help="Keep the swapped frames in DIR/<shot>/<persona>/.")
@click.option("--json", "json_path", type=click.Path(path_type=Path), help="Write every frame's figures to a file.")
def main(
    model: Path | None,
    results: Path | None,
    shots: str,
    personas: str,
    frames: str | None,
    device: str,
    likeness: float,
    keep: Path | None,
    json_path: Path | None,
) -> None:
    try:
        wish = Wish(_names(shots), _names(personas), frames, model, results, keep, device, likeness)
        all_figures = list(run(wish))
        click.echo(table(all_figures))
        if json_path is not None:
            json_path.write_text(as_json(all_figures), encoding="utf-8")
    except BodydoubleError as error:
        click.echo(str(error), err=True)
        sys.exit(error.exit_code)


if __name__ == "__main__":
    main()
